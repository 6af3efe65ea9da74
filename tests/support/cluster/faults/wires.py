"""The connections of one node to the database and to the bus, which a test holds, lets go and loses messages on."""

import asyncio
from pathlib import Path
from random import Random

from tests.support.blips.network import Link, Network


class Wire(Network):
    """All connections of one node to one server. `upstream` is the server's socket, or its port."""

    def __init__(self, upstream: Path | int) -> None:
        super().__init__(upstream if isinstance(upstream, int) else 0)
        self._flows = asyncio.Event()
        self._flows.set()
        self._socket = upstream if isinstance(upstream, Path) else None

    def hold(self) -> None:
        """Let nothing pass from now on, and keep it. The system still accepts connections."""
        self._flows.clear()
        for link in self.links:
            link.flowing.clear()

    def let_go(self) -> None:
        """Let what was kept pass, and what comes after it."""
        self._flows.set()
        for link in self.links:
            link.flowing.set()

    def keeps(self, part: bytes) -> bool:
        """Return whether something that waits has this in it."""
        return any(part in data for link in self.links for data in link.kept.values())

    async def onward(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to the server. Raises `OSError`."""
        await self._flows.wait()
        if self._socket is not None:
            return await asyncio.open_unix_connection(str(self._socket))
        return await super().onward()


class BusWire(Wire):
    """The connection of one node to one server of the bus, which loses a share of the node's messages."""

    def __init__(self, port: int, random: Random) -> None:
        super().__init__(port)
        self.share = 0.0
        """The share of the messages that is lost."""
        self.lost = 0
        """The messages that were lost."""
        self._random = random

    def link(self) -> Link:
        """Make what carries one connection."""
        return _BusLink(self)

    def loses(self) -> bool:
        """Return whether the next message is lost, and count it."""
        is_lost = self._random.random() < self.share
        self.lost += is_lost
        return is_lost


class _BusLink(Link):
    """Finds the messages in the bytes of a client of NATS, which are lines, and payloads behind lines with `PUB`."""

    def __init__(self, wire: BusWire) -> None:
        super().__init__()
        self._wire = wire
        self._rest = b""  # the beginning of what has not come in full

    def passed(self, direction: str, data: bytes) -> bytes:
        """Return what is left of the bytes, without the messages that are lost."""
        if direction != "up":
            return super().passed(direction, data)
        self._rest += data
        kept = bytearray()
        while (one := _first(self._rest)) is not None:
            self._rest = self._rest[len(one) :]
            if not (one.startswith(b"PUB ") and self._wire.loses()):
                kept += one
        return bytes(kept)


def _first(data: bytes) -> bytes | None:
    """Return the first line, with its payload if it has one; None while it is not there in full."""
    line, end, _ = data.partition(b"\r\n")
    if not end:
        return None
    payload = int(line.rpartition(b" ")[2]) + 2 if line.startswith(b"PUB ") else 0
    whole = data[: len(line) + 2 + payload]
    return whole if len(whole) == len(line) + 2 + payload else None
