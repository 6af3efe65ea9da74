"""A proxy between clients and the daemon that cuts, freezes, delays and swallows at random."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from random import Random

CHUNK = 65_536


class Link:
    """One proxied connection. What is done to it is done to bytes, as a network does: no byte is lost in the middle."""

    def __init__(self) -> None:
        self.flowing = asyncio.Event()
        self.flowing.set()
        self.delay = 0.0
        """Seconds that each chunk is delayed."""
        self.swallowed: frozenset[str] = frozenset()
        """The directions, `up` and `down`, in which everything is lost. They can only end by a cut."""
        self.streams: list[asyncio.StreamWriter] = []
        self.kept: dict[str, bytes] = {}
        """What waits until it flows, by its direction."""

    async def pump(self, direction: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry bytes in one direction until they end."""
        while data := await reader.read(CHUNK):
            self.kept[direction] = data
            await self.flowing.wait()
            del self.kept[direction]
            if self.delay:
                await asyncio.sleep(self.delay)
            if passed := self.passed(direction, data):
                writer.write(passed)
                await writer.drain()
        await self.flowing.wait()
        with contextlib.suppress(OSError, RuntimeError):
            writer.write_eof()

    def passed(self, direction: str, data: bytes) -> bytes:
        """Return what goes on of the bytes that came in a direction."""
        return b"" if direction in self.swallowed else data

    def cut(self) -> None:
        """End both sides without a close frame."""
        self.flowing.set()
        for stream in self.streams:
            stream.transport.abort()


class Network:
    """The proxy with its links."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.port = 0
        """The port for clients."""
        self.links: set[Link] = set()
        self.url = ""
        """The address for clients."""
        self.counts: dict[str, int] = {}
        """How often each thing was done."""

    @contextlib.asynccontextmanager
    async def serve(self) -> AsyncIterator["Network"]:
        """Carry connections to the daemon's port."""
        async with await asyncio.start_server(self._carry, "127.0.0.1", 0) as server:
            self.port = server.sockets[0].getsockname()[1]
            self.url = f"ws://127.0.0.1:{self.port}/ws"
            yield self
            server.close()
            while self.links:
                for link in self.links:
                    link.cut()
                await asyncio.sleep(0)

    def link(self) -> Link:
        """Make what carries one connection."""
        return Link()

    async def onward(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to what the clients want to reach. Raises `OSError`."""
        return await asyncio.open_connection("127.0.0.1", self._port)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = self.link()
        link.streams.append(writer)
        self.links.add(link)
        try:
            with contextlib.suppress(OSError):
                there, onward = await self.onward()
                link.streams.append(onward)
                await asyncio.gather(link.pump("up", reader, onward), link.pump("down", there, writer))
        finally:
            link.cut()
            self.links.discard(link)

    async def fail(self, random: Random, seconds: float, pause: float, longest: float) -> None:
        """Do something to some connection every `pause` seconds on average. What lasts, lasts `longest` at most."""
        async with asyncio.TaskGroup() as tasks:
            end = asyncio.get_running_loop().time() + seconds
            while asyncio.get_running_loop().time() < end:
                await asyncio.sleep(random.uniform(0.5, 1.5) * pause)
                kind = random.choice(["cut", "freeze", "delay", "swallow", "swallow"])
                place, length = random.random(), random.uniform(0.1, 1) * longest
                direction = random.choice([{"up"}, {"down"}, {"up", "down"}])
                links = sorted(self.links, key=id)
                if links:
                    link = links[int(place * len(links))]
                    self.counts[kind] = self.counts.get(kind, 0) + 1
                    tasks.create_task(_harm(link, kind, length, frozenset(direction)))


async def _harm(link: Link, kind: str, seconds: float, directions: frozenset[str]) -> None:
    match kind:
        case "cut":
            link.cut()
        case "freeze":
            link.flowing.clear()
            await asyncio.sleep(seconds)
            link.flowing.set()
        case "delay":
            link.delay = min(0.5, seconds / 4)
            await asyncio.sleep(seconds)
            link.delay = 0.0
        case _:
            link.swallowed |= directions
            await asyncio.sleep(seconds)
            link.cut()
