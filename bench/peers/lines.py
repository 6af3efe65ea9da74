"""A client's line to a server, the same to use whichever server it is.

`line(name, host)`, `await open()`, then `join`, `leave`, `say` and `signal`, which only send: what comes back goes to
`on_frame`, with its kind. Pings and handshakes are answered below.
"""

import asyncio
from collections.abc import Callable
from typing import cast

from picows import WSError, WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from bench.peers.dialects import DIALECTS, Colyseus, Dialect, Kind

READ_BUFFER = 16 * 1024
MAX_FRAME = 64 * 1024 * 1024
HANDSHAKE_PATIENCE = 60.0

OnFrame = Callable[[Kind, bytes], None]


def line(name: str, host: str, token: str | None = None, read_buffer: int = READ_BUFFER) -> "Line":
    """Make a line to the server `name` at `host`, as the user of `token` or as a guest."""
    dialect = DIALECTS[name]
    return (ColyseusLine if isinstance(dialect, Colyseus) else Line)(dialect, host, token, read_buffer)


class Line(WSListener):
    """One WebSocket, on which a client joins and leaves as often as it likes."""

    address = ""
    """Whom others send signals to. For servers that tell it in their answer: see `Dialect.address`."""

    def __init__(self, dialect: Dialect, host: str, token: str | None, read_buffer: int = READ_BUFFER) -> None:
        self.dialect = dialect
        self.host = host
        self.token = token
        self.read_buffer = read_buffer
        self.on_frame: OnFrame = lambda _kind, _payload: None
        self.on_lost: Callable[[str], None] = lambda _reason: None
        """Told when the server ends the line unasked."""
        self.transport: WSTransport | None = None
        self._opened: asyncio.Future[None] | None = None
        self._kind = dialect.kind

    async def open(self) -> None:
        """Connect, until a join can be sent; raises `RuntimeError` when the server refuses."""
        dialect = self.dialect
        if opening := dialect.opening(self.token):
            self._opened = asyncio.get_running_loop().create_future()
        await self._connect(dialect.path, dialect.headers(self.token))
        if opening and self._opened and self.transport:
            self.transport.send(WSMsgType.TEXT, opening)
            await self._opened

    async def _connect(self, path: str, headers: dict[str, str]) -> None:
        await ws_connect(
            lambda: self, f"ws://{self.host}{path}", extra_headers=headers, read_buffer_init_size=self.read_buffer,
            max_frame_size=MAX_FRAME, websocket_handshake_timeout=HANDSHAKE_PATIENCE,
        )  # fmt: skip

    def send(self, request: bytes) -> None:
        """Send a request of the dialect."""
        assert self.transport is not None
        self.transport.send(WSMsgType.TEXT, request)

    def join(self, code: str, number: int) -> None:
        """Ask for a seat as guest `number`; answered by JOINED or REFUSED."""
        self.send(self.dialect.join(code, number))

    def leave(self) -> None:
        """Give the seat up; answered by LEFT."""
        self.send(self.dialect.leave)

    def say(self, text: str) -> None:
        """Say something to the room."""
        self.send(self.dialect.say(text))

    def signal(self, to: str, data: object) -> None:
        """Send something to one participant."""
        self.send(self.dialect.signal(to, data))

    async def close(self) -> None:
        """Drop the connection."""
        self.on_lost = lambda _: None
        if self.transport:
            self.transport.disconnect()
            await self.transport.wait_disconnected()

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Keep the transport."""
        self.transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Say what it is and hand it on."""
        if frame.msg_type == WSMsgType.TEXT:
            payload = frame.get_payload_as_bytes()
            kind = self._kind(payload)
            if kind is Kind.PING:
                transport.send(WSMsgType.TEXT, self.dialect.pong)
            elif (opened := self._opened) is None:
                self.on_frame(kind, payload)
            elif kind is Kind.OPENED:
                self._opened = None
                opened.set_result(None)
            elif kind is Kind.REFUSED:
                opened.set_exception(RuntimeError(f"refused: {payload.decode()}"))
        elif frame.msg_type == WSMsgType.CLOSE:
            self._closed(int.from_bytes(frame.get_payload_as_bytes()[:2]))
            transport.disconnect()

    def _closed(self, code: int) -> None:
        self.on_lost(f"closed by the server with {code}")

    def on_ws_disconnected(self, _: WSTransport) -> None:
        """Tell, unless it was meant."""
        self.on_lost("connection lost")


class ColyseusLine(Line):
    """A matchmaking request and a new WebSocket for each join, as Colyseus's own client does it."""

    CONSENTED = 4000

    def __init__(self, dialect: Dialect, host: str, token: str | None, read_buffer: int = READ_BUFFER) -> None:
        super().__init__(dialect, host, token, read_buffer)
        self._matchmaking = Matchmaking(host, token)
        self._joining: asyncio.Task[None] | None = None
        self._left = asyncio.Event()

    async def open(self) -> None:
        """Connect for matchmaking."""
        await self._matchmaking.open()

    def join(self, code: str, number: int) -> None:
        """See `Line`."""
        self._joining = asyncio.create_task(self._join(code, number))

    async def _join(self, code: str, number: int) -> None:
        try:
            status, answer = await self._matchmaking.ask(f"/matchmake/joinById/{code}", self.dialect.join(code, number))
            if status != 200:
                self.on_frame(Kind.REFUSED, answer)
                return
            self.address = _text_of(answer, b'"sessionId":"')
            query = f"sessionId={self.address}" + (f"&_authToken={self.token}" if self.token else "")
            process = _text_of(answer, b'"processId":"')
            await self._connect(f"/{process}/{code}?{query}", {})
        except (OSError, WSError) as exc:
            self.on_lost(f"could not join: {exc!r}")

    def send(self, request: bytes) -> None:
        """Send a request of the dialect."""
        assert self.transport is not None
        self.transport.send(WSMsgType.BINARY, request)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Say what it is and hand it on."""
        if frame.msg_type == WSMsgType.BINARY:
            payload = frame.get_payload_as_bytes()
            kind = self._kind(payload)
            if kind is Kind.JOINED:
                transport.send(WSMsgType.BINARY, Colyseus.ACKNOWLEDGE)
            self.on_frame(kind, payload)
        elif frame.msg_type == WSMsgType.CLOSE:
            payload = frame.get_payload_as_bytes()
            code = int.from_bytes(payload[:2])
            self.transport = None
            transport.disconnect()
            if code == self.CONSENTED:
                self.on_frame(Kind.LEFT, payload)
            else:
                self._closed(code)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """Tell, unless it was the end of a stay."""
        if self.transport is transport:
            self.on_lost("connection lost")

    async def close(self) -> None:
        """Drop both connections."""
        if self._joining:
            self._joining.cancel()
            await asyncio.wait({self._joining})
        await super().close()
        self._matchmaking.close()


class Matchmaking(asyncio.Protocol):
    """HTTP/1.1 as far as Colyseus's matchmaking needs it: one connection kept alive, one request at a time."""

    def __init__(self, host: str, token: str | None) -> None:
        self.host = host
        authorization = f"Authorization: Bearer {token}\r\n" if token else ""
        self._headers = (
            f" HTTP/1.1\r\nHost: {host}\r\nAccept: application/json\r\nContent-Type: application/json\r\n"
            f"{authorization}Content-Length: "
        )
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None

    async def open(self) -> None:
        """Connect."""
        name, port = self.host.split(":")
        await asyncio.get_running_loop().create_connection(lambda: self, name, int(port))

    async def ask(self, path: str, body: bytes) -> tuple[int, bytes]:
        """Post `body` and return the status and the answer's body."""
        if self._transport is None:  # Node's servers close a connection that was idle for five seconds
            await self.open()
        self._received = b""
        self._answer = asyncio.get_running_loop().create_future()
        assert self._transport is not None
        self._transport.write(f"POST {path}{self._headers}{len(body)}\r\n\r\n".encode() + body)
        return await self._answer

    def close(self) -> None:
        """Drop the connection."""
        if self._transport:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by name

    def data_received(self, data: bytes) -> None:
        """Collect an answer: with its length when granted, in chunks when refused."""
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        if not found or self._answer is None or self._answer.done():
            return
        at = head.lower().find(b"content-length: ")
        whole = body.endswith(b"0\r\n\r\n") if at < 0 else len(body) >= int(head[at + 16 :].split(b"\r\n", 1)[0])
        if whole:
            self._answer.set_result((int(head[9:12]), body))

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail the request under way."""
        self._transport = None
        if self._answer and not self._answer.done():
            self._answer.set_exception(exc or ConnectionResetError("matchmaking connection lost"))


def _text_of(answer: bytes, key: bytes) -> str:
    start = answer.index(key) + len(key)
    return answer[start : answer.index(b'"', start)].decode()
