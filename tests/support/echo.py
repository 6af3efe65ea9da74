"""Echo servers that are given the same bytes: on our socket, on the library's sans-I/O protocol, on its own server."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode
from websockets.http11 import Request as LibraryRequest
from websockets.http11 import Response
from websockets.protocol import Protocol, State
from websockets.server import ServerProtocol

from roomd.config import LimitsConfig
from roomd.gateway.backlog import Backlog
from roomd.gateway.handshake import Handshake
from roomd.gateway.http.connection import HttpConnection
from roomd.gateway.http.request import Request
from roomd.gateway.websocket import ClientSocket
from roomd.limits.ledgers import Ledgers
from roomd.limits.usage import Usage
from tests.support.fuzz_frames import HANDSHAKE, Script
from tests.support.sockets import SocketTransport

PATIENCE = 60.0
"""Seconds after which what is awaited counts as not happening."""
HANDSHAKES = Handshake([])
BINARY_REFUSED = (1003, "text frames only")
"""How every echo server here answers a binary message, as roomd does."""


@dataclass
class Outcome:
    """What a script led to, as far as the client or the echo handler can see it."""

    frames: list[tuple[int, bytes]] = field(default_factory=list)
    """What was written: opcodes and payloads."""
    messages: list[str | None] = field(default_factory=list)
    """What the handler got; None for a binary message."""
    has_ended: bool = False
    """The server ended the stream before the client did."""
    close_code: int = 1006
    """The code of the first close frame; 1005 for none in it, 1006 for no valid frame."""
    hung_up_on: bool = False
    """The server's close frame was the first."""

    def pongs(self) -> list[bytes]:
        """List the payloads of the pongs."""
        return [payload for opcode, payload in self.frames if opcode == Opcode.PONG]


def parse_frames(data: bytes) -> list[tuple[int, bytes]]:
    """Parse a server's frames, each of them whole, unmasked and unfragmented, with its length in the shortest form."""
    frames, start = [], 0
    while start < len(data):
        assert data[start] & 0xF0 == 0x80, "a whole frame without reserved bits"
        opcode, size, head = data[start] & 0x0F, data[start + 1], 2
        if size == 126:
            size, head = int.from_bytes(data[start + 2 : start + 4]), 4
            assert size >= 126
        elif size == 127:
            size, head = int.from_bytes(data[start + 2 : start + 10]), 10
            assert size >= 65_536
        payload = data[start + head : start + head + size]
        assert len(payload) == size
        assert opcode in (Opcode.TEXT, Opcode.CLOSE, Opcode.PONG)
        frames.append((opcode, payload))
        start += head + size
    return frames


class OurEcho:
    """The socket under test behind the HTTP that comes before it.

    Where `chance` is given, some messages take their time: the next one waits until `serve_on` is called.
    """

    def __init__(self, limit: int, chance: random.Random | None = None) -> None:
        self.http_connections: set[HttpConnection] = set()
        self.outcome = Outcome()
        self.usage = Usage(Ledgers(LimitsConfig()), None)
        self.ends: list[int | None] = []
        """What was told of the end: None for `closed`, the code for `lost`."""
        self.transport = SocketTransport()
        self.under_way: asyncio.Future[None] | None = None
        self._chance = chance
        self._limit = limit
        self._socket: ClientSocket | None = None
        self._has_closed = False
        connection = HttpConnection(self)
        self.transport.set_protocol(connection)
        connection.connection_made(self.transport.as_transport())

    # What HTTP asks of its handler.

    def body_limit(self, request: Request) -> int:
        return 0

    def opened(self, connection: HttpConnection) -> None:
        self.http_connections.add(connection)

    def ended(self, connection: HttpConnection) -> None:
        self.http_connections.discard(connection)

    def delay(self, connection: HttpConnection, request: Request | None) -> float:
        return 0.0

    def answer(self, connection: HttpConnection, request: Request, body: bytes) -> Response:
        return HANDSHAKES.answer(request)

    def spawn(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        return asyncio.create_task(work)

    def upgrade(self, connection: HttpConnection, request: Request, transport: asyncio.Transport, rest: bytes) -> None:
        self.http_connections.discard(connection)
        self._socket = ClientSocket(transport, self._limit, self, Backlog())
        self._socket.start(rest)

    # What the socket asks of its conversation.

    def text(self, message: str) -> asyncio.Future[None] | None:
        assert self.under_way is None or self.under_way.done(), "messages are served one after the other"
        assert None not in self.ends, "whoever is told of the end gets nothing more"
        if self._has_closed:
            assert not self.outcome.hung_up_on, "nothing is served behind our own close"
            return None
        self.outcome.messages.append(message)
        if self._socket is not None and self._socket.is_open:
            self.transport.write(Frame(Opcode.TEXT, message.encode()).serialize(mask=False))
        if self._chance is None or self._chance.random() < 0.4:
            return None
        self.under_way = asyncio.get_running_loop().create_future()
        return self.under_way

    def binary(self) -> None:
        if self._has_closed:
            return
        self.outcome.messages.append(None)
        self._has_closed = True
        if self._socket is not None:
            self.outcome.hung_up_on = self._socket.is_open
            self._socket.close(*BINARY_REFUSED)

    def overhead(self, pong: bytes = b"") -> None:
        pass

    def drained(self) -> None:
        pass

    def closed(self) -> None:
        self.ends.append(None)

    def lost(self, code: int) -> None:
        self.ends.append(code)

    # What the test does.

    def serve_on(self) -> bool:
        """Finish the message that is under way; say whether there was one."""
        if self.under_way is None or self.under_way.done():
            return False
        self.under_way.set_result(None)
        return True

    async def settle(self) -> None:
        """Let the loop run until what was received has been looked at, also behind the pauses of a close."""
        async with asyncio.timeout(PATIENCE):
            while True:
                await asyncio.sleep(0)
                if self.transport.is_reading:
                    await asyncio.sleep(0)
                    if self.transport.is_reading:
                        return
                self.serve_on()

    def finish(self) -> Outcome:
        """Take the outcome, after the connection is lost."""
        response, _, frames = self.transport.written().partition(b"\r\n\r\n")
        assert response.startswith(b"HTTP/1.1 101 ")
        self.outcome.frames = parse_frames(frames)
        closes = [None] if not self.outcome.hung_up_on else []
        assert [end for end in self.ends if end is None] == closes, "whoever is left is told once, who leaves is not"
        assert len(self.ends) == len(closes) + 1
        self.outcome.close_code = next(end for end in self.ends if end is not None)
        assert not self.http_connections
        return self.outcome


async def run_ours(script: Script) -> Outcome:
    """Play a script on our socket, where every message is served at once."""
    echo = OurEcho(script.limit)
    is_patient = script.seed % 2 == 0  # otherwise reads join while reading is paused
    for read in script.reads():
        if is_patient and not echo.transport.is_reading:
            await echo.settle()
        echo.transport.receive(read)
    await echo.settle()
    echo.outcome.has_ended = echo.transport.has_ended
    echo.transport.hang_up()
    return echo.finish()


async def run_ours_slowly(script: Script) -> Outcome:
    """Play a script on our socket, where some messages take their time, beyond the end of the stream too."""
    chance = random.Random(f"slow {script.seed}")
    echo = OurEcho(script.limit, chance)
    for read in script.reads():
        echo.transport.receive(read)
        pause = chance.random()
        if pause < 0.2:
            echo.serve_on()
        if pause < 0.1:
            await asyncio.sleep(0)
    await echo.settle()
    while chance.random() < 0.7 and echo.serve_on():
        await echo.settle()
    if chance.random() < 0.5:
        echo.transport.hang_up()
    else:
        echo.transport.lose()
    for _ in range(3):
        await asyncio.sleep(0)
    while echo.serve_on():
        for _ in range(3):
            await asyncio.sleep(0)
    return echo.finish()


class LibraryEcho:
    """The library's protocol, driven as its documentation says, with messages joined as its asyncio server does."""

    def __init__(self, limit: int) -> None:
        self.outcome = Outcome()
        self.failed_after_close = False
        """The client broke the protocol after our close frame, and the library ended the stream for that."""
        self._written = b""
        self._parts: list[bytes] = []
        self._opcode = Opcode.TEXT
        self._handles = True
        self._protocol = ServerProtocol(max_size=limit)
        self._protocol.receive_data(HANDSHAKE)
        (request,) = self._protocol.events_received()
        assert isinstance(request, LibraryRequest)
        self._protocol.send_response(self._protocol.accept(request))
        self._protocol.data_to_send()
        assert self._protocol.state is State.OPEN

    def receive(self, data: bytes) -> int:
        """Receive bytes; return how many have been written in all."""
        self._protocol.receive_data(data)
        events = self._protocol.events_received()
        self._write()
        for event in events:
            assert isinstance(event, Frame)
            if event.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
                self._take(event)
                self._write()
        return len(self._written)

    def finish(self) -> Outcome:
        """Hang up and take the outcome."""
        self.failed_after_close = (
            self.outcome.hung_up_on and self.outcome.has_ended and self._protocol.close_rcvd is None
        )
        has_ended, written = self.outcome.has_ended, len(self._written)
        self._protocol.receive_eof()
        self._write()
        assert len(self._written) == written
        self.outcome.has_ended = has_ended
        self.outcome.frames = parse_frames(self._written)
        self.outcome.close_code = _first_code(self._protocol)
        return self.outcome

    def _take(self, frame: Frame) -> None:
        if frame.opcode is not Opcode.CONT:
            self._parts, self._opcode = [], frame.opcode
        self._parts.append(bytes(frame.data))
        if frame.fin and self._handles:
            self._handle(b"".join(self._parts))

    def _handle(self, message: bytes) -> None:
        if self._opcode is Opcode.BINARY:
            self.outcome.messages.append(None)
            self._handles = False
            self.outcome.hung_up_on = True
            self._protocol.send_close(*BINARY_REFUSED)
            return
        try:
            text = message.decode()
        except UnicodeDecodeError as exc:
            self._handles = False
            self._protocol.fail(1007, f"{exc.reason} at position {exc.start}")
        else:
            self.outcome.messages.append(text)
            self._protocol.send_text(message)

    def _write(self) -> None:
        for data in self._protocol.data_to_send():
            self._written += data
            self.outcome.has_ended = self.outcome.has_ended or not data


def run_library(script: Script) -> tuple[Outcome, LibraryEcho]:
    """Play a script on the library's protocol."""
    echo = LibraryEcho(script.limit)
    for unit in script.units():
        echo.receive(unit)
    return echo.finish(), echo


class LibraryServer:
    """The library's own server on a loopback port."""

    def __init__(self) -> None:
        self._outcomes: asyncio.Queue[Outcome] = asyncio.Queue()
        self._ports: dict[int, int] = {}

    @contextlib.asynccontextmanager
    async def opened(self, *limits: int) -> AsyncIterator["LibraryServer"]:
        """Serve, on one port for each limit."""
        async with contextlib.AsyncExitStack() as stack:
            for limit in limits:
                server: Server = await stack.enter_async_context(
                    serve(
                        self._echo,
                        "127.0.0.1",
                        0,
                        compression=None,
                        max_size=limit,
                        max_queue=None,
                        ping_interval=None,
                        open_timeout=PATIENCE,
                        close_timeout=PATIENCE,
                    )
                )
                self._ports[limit] = next(iter(server.sockets)).getsockname()[1]
            yield self

    async def run(self, script: Script) -> Outcome:
        """Play a script frame by frame, each when what answers the one before it has come."""
        model = LibraryEcho(script.limit)
        async with asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_connection("127.0.0.1", self._ports[script.limit])
            writer.write(HANDSHAKE)
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
            written = b""
            for unit in script.units():
                writer.write(unit)
                await writer.drain()
                expected = model.receive(unit)
                while len(written) < expected and (data := await reader.read(65_536)):
                    written += data
            has_ended = model.outcome.has_ended and await reader.read(1) == b""
            with contextlib.suppress(OSError):
                writer.write_eof()
            written += await reader.read()
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
            outcome = await self._outcomes.get()
        outcome.frames = parse_frames(written)
        outcome.has_ended = has_ended
        return outcome

    async def _echo(self, connection: ServerConnection) -> None:
        outcome = Outcome()
        with contextlib.suppress(ConnectionClosed):
            async for message in connection:
                if isinstance(message, str):
                    outcome.messages.append(message)
                    await connection.send(message)
                else:
                    outcome.messages.append(None)
                    outcome.hung_up_on = True
                    await connection.close(*BINARY_REFUSED)
                    break
        await connection.wait_closed()
        outcome.close_code = _first_code(connection.protocol)
        self._outcomes.put_nowait(outcome)


def _first_code(protocol: Protocol) -> int:
    """Return the code of the close frame that was sent or received first."""
    closed = protocol.close_exc
    if closed.sent is None or closed.rcvd_then_sent:
        return closed.rcvd.code if closed.rcvd is not None else 1006
    return closed.sent.code
