"""A small client of roomd/1: a request gets its reply, whatever else arrives is an event.

One coroutine at a time reads. While `Client.request` waits, events that overtake the reply are put aside, and
`Client.receive` hands them out first: nothing is lost and nothing changes its order. websockets is imported on
connecting, so that commands that need no daemon start fast.
"""

import asyncio
import ipaddress
import os
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

import msgspec

from roomd.errors import ErrorKind, Refused
from roomd.frames import (
    AuthenticatedReply,
    ErrorReply,
    Event,
    ParticipantReply,
    ParticipantsChanged,
    ParticipantsReply,
    PongReply,
    Reply,
    Request,
    RoomEnded,
    RoomReply,
    RoomsReply,
    RoomState,
    RoomUpdated,
    ServerRestarting,
)

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

SUBPROTOCOL = "roomd.v1"
PATIENCE = 10.0
"""Seconds to wait for the daemon, on connecting and for each reply."""
CLOSE_TIMEOUT = 2.0
LARGEST_FRAME = 1 << 27
"""Bytes; a room-state of 100,000 participants is about a quarter of it."""

AnyReply = (
    ErrorReply | PongReply | AuthenticatedReply | RoomReply | RoomsReply | ParticipantReply | ParticipantsReply
)  # fmt: skip
AnyEvent = RoomState | ParticipantsChanged | RoomUpdated | RoomEnded | ServerRestarting
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


def decode(data: bytes) -> Frame | None:
    """Read one frame of the server; None for a type this client does not know, which is no error.

    Raises `msgspec.MsgspecError` for what is not roomd/1.
    """
    try:
        frame: Frame = _frames.decode(data)
    except msgspec.ValidationError:
        if _envelopes.decode(data).type in _TYPES:
            raise
        return None
    return frame


class Client:
    """One open connection. Made by `connect`."""

    def __init__(self, url: str, websocket: "ClientConnection", patience: float) -> None:
        self.url = url
        self._patience = patience
        self._websocket = websocket
        self._last_id = 0
        self._aside: deque[Frame] = deque()
        self._retry_after: float | None = None

    async def request(self, request: Request, reply: type[R]) -> R:
        """Ask, and wait for the reply of that request.

        Raises `Refused` when the answer is an error, `Closed` when the connection goes first, `Unreachable` when
        there is no answer in time.
        """
        self._last_id += 1
        try:
            async with asyncio.timeout(self._patience):
                await self._send(msgspec.structs.replace(request, id=self._last_id))
                answer = await self._reply_to(self._last_id)
        except TimeoutError:
            raise Unreachable(self.url, f"no answer within {self._patience:g} seconds") from None
        if not isinstance(answer, reply):
            raise Unreachable(self.url, "it does not speak roomd/1")
        return answer

    async def receive(self) -> Frame:
        """Wait for the next frame.

        Raises `Closed` when there will be none.
        """
        return self._aside.popleft() if self._aside else await self._read()

    async def _send(self, request: Request) -> None:
        from websockets.exceptions import ConnectionClosed

        # A server that closes first says why in a frame that is still to be read: reading reports both.
        with suppress(ConnectionClosed):
            await self._websocket.send(msgspec.json.encode(request), text=True)

    async def _reply_to(self, request_id: int) -> Reply:
        while True:
            frame = await self._read()
            # An error without id is about the connection (a bad token): no other answer will come.
            if isinstance(frame, ErrorReply) and frame.id in (None, request_id):
                kind = ErrorKind(frame.status_code, frame.code, frame.message)
                raise Refused(kind, retry_after=frame.retry_after)
            if isinstance(frame, Reply) and frame.id == request_id:
                return frame
            self._aside.append(frame)

    async def _read(self) -> Frame:
        from websockets.exceptions import ConnectionClosed

        frame: Frame | None = None
        while frame is None:
            try:
                frame = decode(await self._websocket.recv(decode=False))
            except ConnectionClosed as exc:
                code, reason = (exc.rcvd.code, exc.rcvd.reason) if exc.rcvd else (1006, "")
                raise Closed(code, reason, self._retry_after) from None
            except msgspec.MsgspecError:
                raise Unreachable(self.url, "it does not speak roomd/1") from None
        if isinstance(frame, ServerRestarting):
            self._retry_after = frame.retry_after
        return frame


@asynccontextmanager
async def connect(url: str, token: str | None = None, patience: float = PATIENCE) -> AsyncIterator[Client]:
    """Open a connection, as a guest or with a token, and close it at the end. `patience` is in seconds.

    Raises `Unreachable`.
    """
    from websockets.asyncio.client import connect as open_websocket
    from websockets.exceptions import InvalidStatus, WebSocketException
    from websockets.typing import Subprotocol

    try:
        websocket = await open_websocket(
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
    try:
        yield Client(url, websocket, patience)
    finally:
        await websocket.close()


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
