"""A listener in this process, on a loop whose clock the test moves, with clients on real sockets."""

import asyncio
import contextlib
import json
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Any

from roomd.auth.orders import TokenOrder
from roomd.auth.tokens import mint
from roomd.config import Config, LimitsConfig, ServerConfig
from roomd.engine.hub import Hub
from roomd.gateway.listener import Listener
from roomd.gateway.outbox import encode_frame
from roomd.rooms.settings import Rules
from roomd.system.ids import Ids
from tests.support.fakes import SECRET, START, FakeClock, FakeKeys, FakeStore
from tests.support.services import services
from tests.support.sockets import client_frame

UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
PONG = client_frame(b"", 0xA)
PING = b"\x89\x00"
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class SteerableLoop(asyncio.SelectorEventLoop):
    """A loop whose clock the test moves, as if something had held it up for so long."""

    ahead = 0.0

    def time(self) -> float:
        return super().time() + self.ahead


class Port:
    """A listener on a loop of its own, with clients on real sockets."""

    def __init__(self, loop: SteerableLoop, trusted_proxies: Sequence[str] = ("127.0.0.0/8",), **limits: Any) -> None:
        self.loop = loop
        store, clock = FakeStore(), FakeClock()
        self.store = store
        hub = Hub(store, Rules(30.0, 100), clock, Ids(), encode_frame)
        config = Config(
            server=ServerConfig(port=0, ping_interval=20.0, trusted_proxies=tuple(trusted_proxies)),
            limits=LimitsConfig(**limits),
        )
        self.listener = Listener(config, services(hub, store, FakeKeys(), clock, **limits), hub)
        self.writers: list[asyncio.StreamWriter] = []

    async def connect(self, first: bytes = UPGRADE, user: str | None = None) -> Streams:
        reader, writer = await asyncio.open_connection(*self.listener.addresses[0])
        self.writers.append(writer)
        token = f"Authorization: Bearer {mint(SECRET, TokenOrder(user=user, ttl=3600), START)}\r\n\r\n" if user else ""
        writer.write(first[:-2] + token.encode() if user else first)
        if first is UPGRADE:
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        return reader, writer

    async def member(self) -> asyncio.StreamWriter:
        """Connect as a user whose token was verified."""
        reader, writer = await self.connect(user="alice")
        writer.write(client_frame(b'{"type": "ping"}'))
        assert await reader.readexactly(17) == b'\x81\x0f{"type":"pong"}'
        return writer

    async def hold_up(self, seconds: float) -> None:
        """Let so much time go by in which the loop reads nothing, and then run what is due."""
        self.loop.ahead += seconds
        for _ in range(10):
            await asyncio.sleep(0)

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Let the loop run until something is so."""
        while not is_so():
            await self.hold_up(0)

    async def close(self) -> None:
        for writer in self.writers:
            writer.transport.abort()
        await self.listener.close()


@contextlib.asynccontextmanager
async def opened(**limits: Any) -> AsyncIterator[Port]:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SteerableLoop)
    port = Port(loop, **limits)
    await port.listener.open()
    yield port
    await port.close()


def run(test: Coroutine[Any, Any, None]) -> None:
    """Run a test on a loop of its own, for a minute of real time at most."""

    async def bounded() -> None:
        task = asyncio.ensure_future(test)
        bound = threading.Timer(60, asyncio.get_running_loop().call_soon_threadsafe, [task.cancel])
        bound.start()
        try:
            await task
        finally:
            bound.cancel()

    with asyncio.Runner(loop_factory=SteerableLoop) as runner:
        runner.run(bounded())


async def json_at(port: Port, path: str) -> tuple[int, dict[str, Any]]:
    """Request a path; return the status and the JSON of the answer."""
    reader, writer = await port.connect(f"GET {path} HTTP/1.1\r\n\r\n".encode())
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.transport.abort()
    await port.until(lambda: not port.listener._http_connections)
    return int(head.split()[1]), json.loads(body)
