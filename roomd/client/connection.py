"""One open connection that speaks roomd/1: requests get their replies, and frames are handled in order.

One task reads. It gives each frame to `on_frame` first and then to the request that it answers. When a request
returns, `on_frame` has therefore handled everything that came before the reply. When the connection ends, every request
that still waits raises the reason. websockets is imported when a connection is opened, so that programs that only use
the types start fast.
"""

import asyncio
import ipaddress
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from urllib.parse import urlsplit

import msgspec

from roomd.client.encoding import encode
from roomd.protocol import events, replies
from roomd.protocol.errors import ErrorKind, Refused
from roomd.protocol.events import Event, ServerRestarting
from roomd.protocol.replies import ErrorReply, Reply, RequestId
from roomd.protocol.requests import Authenticate, Request

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

SUBPROTOCOL = "roomd.v1"
PATIENCE = 10.0
"""Seconds to wait for the server: for the connection, and for each reply."""
MAX_FRAME = 65_536
"""Bytes that a frame to the server may have; the server's `limits.frame`."""
CLOSE_TIMEOUT = 2.0
"""Seconds to wait for the server's part of the closing handshake."""
LONGEST_IN_HEADER = 12 * 1024
"""Characters that a token in the header `Authorization` may have; a longer one is sent by `authenticate`."""
LARGEST_FRAME = 1 << 27
"""Bytes that a frame from the server may have. A `room-state` of 100,000 participants is about a quarter of it."""
GONE = 1006
"""The close code that stands for "no close frame" and is never sent (RFC 6455, section 7.4.1)."""
TOO_LONG = ErrorKind(0, "too_long", "This is too long to be sent")
"""What this client refuses itself: the server would close the connection with 1009. The status is none of HTTP's."""

_NOT_ROOMD = "it does not speak roomd/1"

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
    | replies.WaitingListReply
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
F = TypeVar("F")


class Unreachable(Exception):  # noqa: N818 - an outcome, not a mistake of the caller
    """The server at `url` did not answer, or what answered does not speak roomd/1. `reason` is for people."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"{url}: {reason}")
        self.url = url
        self.reason = reason


class NoAnswer(Unreachable):
    """The server did not answer a request in time. It may have carried it out."""

    def __init__(self, url: str, seconds: float) -> None:
        super().__init__(url, f"no answer within {seconds:g} seconds")


class Closed(Exception):  # noqa: N818 - an outcome, not a mistake of the caller
    """The connection is closed. `code` and `reason` are those of the close frame; 1006 when there was none.

    `retry_after` is the number of seconds after which the server asked to be tried again, if it did.
    """

    def __init__(self, code: int, reason: str, retry_after: float | None = None) -> None:
        super().__init__(f"connection closed with {code}")
        self.code = code
        self.reason = reason
        self.retry_after = retry_after


class _Envelope(msgspec.Struct):
    type: str


_envelopes = msgspec.json.Decoder(_Envelope)

# msgspec raises RecursionError for input nested deeper than the interpreter's limit.
_UNREADABLE = (msgspec.MsgspecError, UnicodeError, RecursionError)


class FrameReader(Generic[F]):
    """Reads the frames of some types. `types` is their union."""

    def __init__(self, types: Any) -> None:
        self._frames: msgspec.json.Decoder[F] = msgspec.json.Decoder(types)
        self._tags = frozenset(cls.__struct_config__.tag for cls in types.__args__)

    def read(self, data: bytes) -> F | None:
        """Read one frame of the server. None for another type: a newer server may send it.

        Raises `msgspec.MsgspecError`, `UnicodeError` or `RecursionError` when the frame is not roomd/1.
        """
        try:
            return self._frames.decode(data)
        except msgspec.ValidationError:
            if _envelopes.decode(data).type in self._tags:
                raise
            return None

    async def receive(self, url: str, websocket: "ClientConnection") -> F:
        """Wait for the next frame of these types.

        Raises `Closed`, and `Unreachable` for what is not roomd/1.
        """
        from websockets.exceptions import ConnectionClosed

        while True:
            try:
                frame = self.read(await websocket.recv(decode=False))
            except ConnectionClosed as exc:
                code, reason = (exc.rcvd.code, exc.rcvd.reason) if exc.rcvd else (GONE, "")
                raise Closed(code, reason) from None
            except _UNREADABLE:
                raise Unreachable(url, _NOT_ROOMD) from None
            if frame is not None:
                return frame


_frames = FrameReader[Frame](AnyReply | AnyEvent)


def decode(data: bytes) -> Frame | None:
    """Read one frame of the server, as `FrameReader.read` does."""
    return _frames.read(data)


def refusal(frame: ErrorReply) -> Refused:
    """Return the refusal that an `error` carries."""
    kind = ErrorKind(frame.status_code, frame.code, frame.message)
    return Refused(kind, retry_after=frame.retry_after, oldest=frame.oldest)


def _ignore(*_: object) -> None:
    pass


class Connection:
    """One open connection, made by `connect`. Several tasks may send requests at the same time."""

    def __init__(
        self,
        url: str,
        websocket: "ClientConnection",
        patience: float,
        max_frame: int,
        on_frame: Callable[[Frame], None],
        on_end: Callable[[], None],
    ) -> None:
        self.url = url
        """The address that was given to `connect`."""
        self._websocket = websocket
        self._patience = patience
        self._max_frame = max_frame
        self._on_frame = on_frame
        self._on_end = on_end
        self._last_id = 0
        self._waiting: dict[RequestId, asyncio.Future[Reply]] = {}
        self._retry_after: float | None = None
        self._end: Exception | None = None
        self._reader = asyncio.get_running_loop().create_task(self._read())

    @property
    def has_ended(self) -> bool:
        """Whether no more frames will come. `check` raises the reason."""
        return self._end is not None

    def check(self) -> None:
        """Raise `Closed` or `Unreachable` when the connection has ended."""
        if self._end is not None:
            raise self._end

    async def request(self, request: Request, reply: type[R]) -> R:
        """Send a request, and return its reply, which must be of type `reply`.

        Raises `Refused` when the reply is an error or the request is too long to be sent, `Closed` when the connection
        ends before the reply (the request may have been served), `NoAnswer`, an `Unreachable`, when none comes in time.
        """
        answer = await self.ask(request)
        if not isinstance(answer, reply):
            raise Unreachable(self.url, _NOT_ROOMD)
        return answer

    async def ask(self, request: Request) -> Reply:
        """Send a request, and return its reply of any type. Raises like `request`. An `id` that is set is kept."""
        self.check()
        self._last_id += 1
        request_id = self._last_id if request.id is None else request.id
        text = encode(msgspec.structs.replace(request, id=request_id))
        if len(text) > self._max_frame:
            raise Refused(TOO_LONG)
        answer: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting[request_id] = answer
        try:
            async with asyncio.timeout(self._patience):
                await self._send(text)
                return await answer
        except TimeoutError:
            raise NoAnswer(self.url, self._patience) from None
        finally:
            del self._waiting[request_id]

    async def close(self) -> None:
        """Close with the closing handshake, and stop reading. When cancelled, close at once without it."""
        try:
            await self._websocket.close()
        except asyncio.CancelledError:
            self.abort()
            raise
        finally:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)

    def abort(self) -> None:
        """End the connection without a close frame, so that the server takes it for a drop."""
        self._websocket.transport.abort()

    async def _send(self, text: bytes) -> None:
        from websockets.exceptions import ConnectionClosed

        # A server that closes first gives the reason in a frame that is still to be read: `_read` raises both.
        with suppress(ConnectionClosed):
            await self._websocket.send(text, text=True)

    async def _read(self) -> None:
        """Handle frames until there are no more, then raise the reason in every request that waits."""
        end: Exception = Closed(GONE, "closed here")
        try:
            while True:
                frame = await self._receive()
                self._on_frame(frame)
                self._answer(frame)
        except Exception as exc:  # noqa: BLE001 - the edge of a connection: every request that waits raises it
            end = exc
        finally:
            self._end = end
            self._fail(end)
            self._on_end()

    async def _receive(self) -> Frame:
        try:
            frame = await _frames.receive(self.url, self._websocket)
        except Closed as closed:
            closed.retry_after = self._retry_after
            raise
        if isinstance(frame, ServerRestarting):
            self._retry_after = frame.retry_after
        return frame

    def _answer(self, frame: Frame) -> None:
        """Give a reply to the request that it answers, if that still waits."""
        if not isinstance(frame, Reply):
            return
        if isinstance(frame, ErrorReply):
            refused = refusal(frame)
            if frame.id is None:  # about the connection (a bad token): no request will get another answer
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
    max_frame: int = MAX_FRAME,
    on_frame: Callable[[Frame], None] = _ignore,
    on_end: Callable[[], None] = _ignore,
) -> AsyncIterator[Connection]:
    """Open a connection, as a guest or with a token, and close it at the end of the `async with`.

    `url` is like `wss://meet.example/ws`; `patience` is in seconds, for the connection and for each reply; `max_frame`
    is in bytes, the server's `limits.frame`. `on_frame` is called with every frame, replies included; `on_end` is
    called once, when no more frames will come. Raises `Unreachable`; for a token of more than 12 KiB also `Refused`.
    """
    websocket, left = await open_websocket(url, token, patience)
    connection = Connection(url, websocket, patience, max_frame, on_frame, on_end)
    try:
        if left is not None:
            await connection.request(left, replies.AuthenticatedReply)
        yield connection
    finally:
        await connection.close()


async def open_websocket(
    url: str, token: str | None, patience: float
) -> tuple["ClientConnection", Authenticate | None]:
    """Open a WebSocket, and return it, and the request to send first for a token that is too long for a header.

    Raises `Unreachable`.
    """
    in_header = token is not None and len(token) <= LONGEST_IN_HEADER and token.isascii() and token.isprintable()
    websocket = await _open(url, token if in_header else None, patience)
    return websocket, Authenticate(token=token) if token and not in_header else None


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
            # The proxy that the environment names is for other machines.
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
    """Return whether a URL points at this machine by a loopback address."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _reason(exc: OSError) -> str:
    """Return the system's words for an error. `strerror` has asyncio's own, with every address that was tried."""
    if exc.errno is not None and exc.errno > 0:
        return os.strerror(exc.errno)
    return exc.strerror or str(exc)
