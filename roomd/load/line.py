"""A client's line to a server, the same to use whichever server it is.

`Line(dialect, url)`, `await open()`, then `join`, `leave`, `say` and `signal`, which only send: what comes back goes to
`on_frame`, with its kind. Pings and handshakes are answered below.
"""

import asyncio
from collections.abc import Callable

from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from roomd.load.dialect import Dialect, Kind

READ_BUFFER = 16 * 1024
MAX_FRAME = 64 * 1024 * 1024
HANDSHAKE_PATIENCE = 60.0

OnFrame = Callable[[Kind, bytes], None]


class Line(WSListener):
    """One WebSocket, on which a client joins and leaves as often as it likes."""

    address = ""
    """Whom others send signals to. For servers that tell it in their answer: see `Dialect.address`."""

    def __init__(
        self,
        dialect: Dialect,
        url: str,
        token: str | None = None,
        read_buffer: int = READ_BUFFER,
        source: str | None = None,
    ) -> None:
        """`url` has no path: that is the dialect's. `source` is the address to connect from."""
        self.dialect = dialect
        self.url = url
        self.token = token
        self.read_buffer = read_buffer
        self.source = source
        self.on_frame: OnFrame = lambda _kind, _payload: None
        self.on_lost: Callable[[str], None] = lambda _reason: None
        """Told when the server ends the line unasked."""
        self.tap: Callable[[WSFrame], bool] | None = None
        """Sees each frame with a message first, where it was received; true if that was all there is to do with it."""
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
            lambda: self, self.url + path, extra_headers=headers, read_buffer_init_size=self.read_buffer,
            max_frame_size=MAX_FRAME, websocket_handshake_timeout=HANDSHAKE_PATIENCE,
            local_addr=(self.source, 0) if self.source else None,
        )  # fmt: skip

    def send(self, request: bytes) -> None:
        """Send a request of the dialect."""
        assert self.transport is not None  # noqa: S101 - `open` is the caller's part
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

    def settle(self) -> None:
        """Let go of what only joining needs."""

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
            if self.tap is not None and self.tap(frame):
                return
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
