"""One open connection that speaks roomd/1: a request gets its reply, and every frame is heard in order.

One task reads. It hands each frame to `on_frame` first and then to the request it answers, so whoever awaits a reply
finds what came before it taken in. When the connection ends, every request that waits hears why. websockets is
imported on connecting, so that programs that need no daemon start fast.
"""

import asyncio
import ipaddress
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

import msgspec

from roomd.protocol import events, replies
from roomd.protocol.errors import ErrorKind, Refused
from roomd.protocol.events import Event, ServerRestarting
from roomd.protocol.replies import ErrorReply, Reply, RequestId
from roomd.protocol.requests import Request

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

SUBPROTOCOL = "roomd.v1"
PATIENCE = 10.0
"""Seconds to wait for the daemon, on connecting and for each reply."""
CLOSE_TIMEOUT = 2.0
LARGEST_FRAME = 1 << 27
"""Bytes; a room-state of 100,000 participants is about a quarter of it."""
GONE = 1006
"""The close code that is never sent: there was none (RFC 6455, section 7.4.1)."""
STRANGE = "it does not speak roomd/1"

AnyReply = (
    ErrorReply
    | replies.PongReply
    | replies.AuthenticatedReply
    | replies.RoomReply
    | replies.RoomsReply
    | replies.ParticipantReply
    | replies.ParticipantsReply
    | replies.OkReply
    | replies.WaitingReply
    | replies.MessagesReply
    | replies.BansReply
    | replies.IceServersReply
)
AnyEvent = (
    events.RoomState
    | events.ParticipantsChanged
    | events.RoomUpdated
    | events.RoomEnded
    | events.SignalEvent
    | events.MessageEvent
    | events.Removed
    | events.MuteRequested
    | events.WaitingChanged
    | ServerRestarting
)
Frame = Reply | Event
R = TypeVar("R", bound=Reply)


class Unreachable(Exception):  # noqa: N818 - an event, not a mistake of the caller
    """No daemon answered at `url`, or what answered does not speak roomd/1."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"{url}: {reason}")
        self.url = url
        self.reason = reason


class Closed(Exception):  # noqa: N818 - an event, not a mistake of the caller
    """The connection is gone. `retry_after` (seconds) is what the server asked for before it went."""

    def __init__(self, code: int, reason: str, retry_after: float | None = None) -> None:
        super().__init__(f"connection closed with {code}")
        self.code = code
        self.reason = reason
        self.retry_after = retry_after


class _Envelope(msgspec.Struct):
    type: str


_frames = msgspec.json.Decoder(AnyReply | AnyEvent)
_envelopes = msgspec.json.Decoder(_Envelope)
_TYPES = frozenset(cls.__struct_config__.tag for cls in (AnyReply | AnyEvent).__args__)

# msgspec raises RecursionError for input nested deeper than the interpreter's limit.
_UNREADABLE = (msgspec.MsgspecError, UnicodeError, RecursionError)


def decode(data: bytes) -> Frame | None:
    """Read one frame of the server; None for a type this client does not know, which is no error.

    Raises `msgspec.MsgspecError`, `UnicodeError` and `RecursionError` for what is not roomd/1.
    """
    try:
        frame: Frame = _frames.decode(data)
    except msgspec.ValidationError:
        if _envelopes.decode(data).type in _TYPES:
            raise
        return None
    return frame


def _ignore(*_: object) -> None:
    pass


class Connection:
    """One open connection. Made by `connect`."""

    def __init__(
        self,
        url: str,
        websocket: "ClientConnection",
        patience: float,
        on_frame: Callable[[Frame], None],
        on_end: Callable[[], None],
    ) -> None:
        self.url = url
        self._websocket = websocket
        self._patience = patience
        self._on_frame = on_frame
        self._on_end = on_end
        self._last_id = 0
        self._waiting: dict[RequestId, asyncio.Future[Reply]] = {}
        self._retry_after: float | None = None
        self._end: Exception | None = None
        self._reader = asyncio.get_running_loop().create_task(self._read())

    @property
    def has_ended(self) -> bool:
        """Whether no more frames will come; `check` says why."""
        return self._end is not None

    def check(self) -> None:
        """Raise `Closed` or `Unreachable` when the connection has ended."""
        if self._end is not None:
            raise self._end

    async def request(self, request: Request, reply: type[R]) -> R:
        """Ask, and wait for the reply of that request.

        Raises `Refused` when the answer is an error, `Closed` when the connection goes first, `Unreachable` when
        there is no answer in time.
        """
        answer = await self.ask(request)
        if not isinstance(answer, reply):
            raise Unreachable(self.url, STRANGE)
        return answer

    async def ask(self, request: Request) -> Reply:
        """Ask, and wait for whatever reply; raises like `request`. A request that has an `id` keeps it."""
        self.check()
        self._last_id += 1
        request_id = self._last_id if request.id is None else request.id
        answer: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting[request_id] = answer
        try:
            async with asyncio.timeout(self._patience):
                await self._send(msgspec.structs.replace(request, id=request_id))
                return await answer
        except TimeoutError:
            raise Unreachable(self.url, f"no answer within {self._patience:g} seconds") from None
        finally:
            del self._waiting[request_id]

    async def close(self) -> None:
        """Close in order, and stop reading; when cancelled, close at once."""
        try:
            await self._websocket.close()
        except asyncio.CancelledError:
            self._websocket.transport.abort()
            raise
        finally:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)

    async def _send(self, request: Request) -> None:
        from websockets.exceptions import ConnectionClosed

        # A server that closes first says why in a frame that is still to be read: reading reports both.
        with suppress(ConnectionClosed):
            await self._websocket.send(msgspec.json.encode(request), text=True)

    async def _read(self) -> None:
        """Hear frames until there are no more, and tell everybody who waits."""
        end: Exception = Closed(GONE, "closed here")
        try:
            while True:
                frame = await self._receive()
                self._on_frame(frame)
                self._answer(frame)
        except Exception as exc:  # noqa: BLE001 - whatever ends the reading, those who wait must hear of it
            end = exc
        finally:
            self._end = end
            self._fail(end)
            self._on_end()

    async def _receive(self) -> Frame:
        from websockets.exceptions import ConnectionClosed

        frame: Frame | None = None
        while frame is None:
            try:
                frame = decode(await self._websocket.recv(decode=False))
            except ConnectionClosed as exc:
                code, reason = (exc.rcvd.code, exc.rcvd.reason) if exc.rcvd else (GONE, "")
                raise Closed(code, reason, self._retry_after) from None
            except _UNREADABLE:
                raise Unreachable(self.url, STRANGE) from None
        if isinstance(frame, ServerRestarting):
            self._retry_after = frame.retry_after
        return frame

    def _answer(self, frame: Frame) -> None:
        """Give a reply to the request it answers, if that still waits."""
        if not isinstance(frame, Reply):
            return
        if isinstance(frame, ErrorReply):
            refused = Refused(ErrorKind(frame.status_code, frame.code, frame.message), retry_after=frame.retry_after)
            if frame.id is None:  # it is about the connection (a bad token): no other answer will come
                self._fail(refused)
            elif answer := self._open(frame.id):
                answer.set_exception(refused)
        elif frame.id is not None and (answer := self._open(frame.id)):
            answer.set_result(frame)

    def _open(self, request_id: RequestId) -> asyncio.Future[Reply] | None:
        answer = self._waiting.get(request_id)
        return answer if answer is not None and not answer.done() else None

    def _fail(self, exc: Exception) -> None:
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(exc)


@asynccontextmanager
async def connect(
    url: str,
    token: str | None = None,
    patience: float = PATIENCE,
    *,
    on_frame: Callable[[Frame], None] = _ignore,
    on_end: Callable[[], None] = _ignore,
) -> AsyncIterator[Connection]:
    """Open a connection, as a guest or with a token, and close it at the end. `patience` is in seconds.

    `on_frame` hears every frame, replies included; `on_end` that there will be no more. Raises `Unreachable`.
    """
    websocket = await _open(url, token, patience)
    connection = Connection(url, websocket, patience, on_frame, on_end)
    try:
        yield connection
    finally:
        await connection.close()


async def _open(url: str, token: str | None, patience: float) -> "ClientConnection":
    from websockets.asyncio.client import connect as open_websocket
    from websockets.exceptions import InvalidStatus, WebSocketException
    from websockets.typing import Subprotocol

    try:
        return await open_websocket(
            url,
            subprotocols=[Subprotocol(SUBPROTOCOL)],
            additional_headers={"Authorization": f"Bearer {token}"} if token else None,
            compression=None,
            max_size=LARGEST_FRAME,
            open_timeout=patience,
            close_timeout=CLOSE_TIMEOUT,
            # A proxy of the environment is for other machines.
            proxy=None if is_loopback(url) else True,
        )
    except InvalidStatus as exc:
        raise Unreachable(url, f"it answered with HTTP status {exc.response.status_code}") from None
    except TimeoutError:
        raise Unreachable(url, f"no answer within {patience:g} seconds") from None
    except OSError as exc:
        raise Unreachable(url, _reason(exc)) from None
    except WebSocketException as exc:
        raise Unreachable(url, f"no WebSocket there ({exc})") from None


def is_loopback(url: str) -> bool:
    """Whether a URL points at this machine by its loopback address."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _reason(exc: OSError) -> str:
    """Say what the system said; asyncio puts its own words (and every address tried) into `strerror`."""
    if exc.errno is not None and exc.errno > 0:
        return os.strerror(exc.errno)
    return exc.strerror or str(exc)
