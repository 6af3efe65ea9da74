"""`client(name, host)`: a client (bench/clients/client.py) of roomd, of a peer or of a ceiling."""

import asyncio
from typing import cast

from picows import WSError, WSFrame, WSMsgType, WSTransport

from bench.clients import READ_BUFFER, Client, Dialect, Kind
from bench.peers.dialects import DIALECTS, Colyseus


def client(
    name: str, host: str, token: str | None = None, read_buffer: int = READ_BUFFER, source: str | None = None
) -> Client:
    """Make a client of the server `name` at `host`, as the user of `token` or as a guest."""
    dialect = DIALECTS[name]
    if isinstance(dialect, Colyseus):
        return ColyseusClient(dialect, host, token, read_buffer, source)
    return Client(dialect, f"ws://{host}", token, read_buffer, source)


class ColyseusClient(Client):
    """Makes a matchmaking request and a new WebSocket for each join, as Colyseus's own client does."""

    CONSENTED = 4000

    def __init__(
        self, dialect: Dialect, host: str, token: str | None, read_buffer: int = READ_BUFFER, source: str | None = None
    ) -> None:
        super().__init__(dialect, f"ws://{host}", token, read_buffer, source)
        self._matchmaking = Matchmaking(host, token)
        self._joining: asyncio.Task[None] | None = None
        self._left = asyncio.Event()

    async def open(self) -> None:
        """Connect for matchmaking."""
        await self._matchmaking.open()

    def join(self, code: str, number: int) -> None:
        """See `Client`."""
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
        """Find the kind of a frame, and pass it on."""
        if frame.msg_type == WSMsgType.BINARY:
            if self.tap is not None and self.tap(frame):
                return
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
        """Report the loss, unless the server has answered a leave."""
        if self.transport is transport:
            self.on_lost("connection lost")

    def settle(self) -> None:
        """Drop the matchmaking's connection; the next join opens it again."""
        self._matchmaking.close()

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
        self._transport = cast("asyncio.Transport", transport)  # uvloop's class does not derive from it

    def data_received(self, data: bytes) -> None:
        """Collect an answer: it has a length when granted, and comes in chunks when refused."""
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
