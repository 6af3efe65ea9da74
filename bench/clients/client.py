"""A client with one WebSocket to a server, the same to use whichever server it is.

`Client(dialect, url)`, `await open()`, then `join`, `leave`, `say` and `signal`, which only send. What the server sends
goes to `on_frame`, with its kind. Pings and the opening are answered here.
"""

import asyncio
from collections.abc import Callable

from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from bench.clients.dialect import Dialect, Kind

READ_BUFFER = 16 * 1024
"""Bytes of a client's buffer at first; it grows with the largest frame."""
MAX_FRAME = 64 * 1024 * 1024
"""Bytes of the largest frame that a client accepts."""
HANDSHAKE_PATIENCE = 60.0
"""Seconds for the WebSocket's handshake."""

OnFrame = Callable[[Kind, bytes], None]


class Client(WSListener):
    """One WebSocket, on which a client joins and leaves repeatedly."""

    address = ""
    """The address to which others send signals, for servers whose reply to a join has none: see `Dialect.address`."""

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
        """Called with the reason when the server ends the connection unasked."""
        self.tap: Callable[[WSFrame], bool] | None = None
        """Called first with each frame that has a message; returns true if `on_frame` need not see it."""
        self.transport: WSTransport | None = None
        self._opened: asyncio.Future[None] | None = None
        self._kind = dialect.kind

    async def open(self) -> None:
        """Connect, until a join can be sent; raise `RuntimeError` when the server refuses."""
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
        """Send a request of the dialect. Raises `RuntimeError` without a connection."""
        if self.transport is None:
            raise RuntimeError("the connection was not made, or was closed at once")
        self.transport.send(WSMsgType.TEXT, request)

    def join(self, code: str, number: int) -> None:
        """Ask for a seat as guest `number`; the answer is JOINED or REFUSED."""
        self.send(self.dialect.join(code, number))

    def leave(self) -> None:
        """Give up the seat; the answer is LEFT."""
        self.send(self.dialect.leave)

    def say(self, text: str) -> None:
        """Send a message to the room."""
        self.send(self.dialect.say(text))

    def signal(self, to: str, data: object) -> None:
        """Send a signal to one participant."""
        self.send(self.dialect.signal(to, data))

    def settle(self) -> None:
        """Release what only joining needs."""

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
        """Find the kind of a frame, and pass it on."""
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
        """Report the loss, unless `close` was called."""
        self.on_lost("connection lost")
