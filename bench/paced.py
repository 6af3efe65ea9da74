"""Guests that join and leave at a fixed rate, the same for each node, and what that costs the nodes.

Saturated nodes that share two cores do not fill their statements as one daemon does, so a comparison of these compares
batches too. At the same rate for each node, and with a database that takes as long for all, batches are equal.
"""

import asyncio
import random
import socket
import statistics
import time
from collections.abc import Sequence
from typing import NamedTuple

from bench.clients import Client, Kind, Roomd
from bench.processes import Server, cpu_seconds
from bench.work.cycle import Cycle, Tally

CONNECT_AT_ONCE = 20
WARM_UP = 1.0
"""The seconds before the measurement, and more if the guests are slower."""
LEAVE_TIMEOUT = 10.0


class Paced(NamedTuple):
    """What some nodes have done, together."""

    operations: int
    """Joins and leaves."""
    wall: float
    """The seconds that it took."""
    seconds: float
    """Their processor time."""
    commits: float
    """The statements that stored something."""
    rows: float
    """The changes that these stored."""
    join: float
    """The p50 of a join, in milliseconds."""

    @property
    def microseconds(self) -> float:
        """The processor time of one join or leave."""
        return 1e6 * self.seconds / self.operations


class Joins(Tally):
    """What all guests have done, and how long their joins took."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []
        """The seconds of each join."""


class Guest(Cycle):
    """A guest who joins and leaves, each `interval` seconds after the request before, or later if that took longer."""

    def __init__(self, url: str, code: str, number: int, tally: Joins, interval: float) -> None:
        super().__init__(Client(Roomd(), url), code, number, tally)
        self._joins = tally.seconds
        self._interval = interval
        self._asked_at = 0.0
        self.client.on_lost = self._on_lost

    def start(self) -> None:
        """Join, unless the guest is to end."""
        self._asked_at = time.perf_counter()
        super().start()

    def _leave(self) -> None:
        self._asked_at = time.perf_counter()
        self.client.leave()

    def _on_answer(self, kind: Kind) -> None:
        taken = time.perf_counter() - self._asked_at
        if kind is Kind.JOINED:
            self._joins.append(taken)
        then = self._leave if kind is Kind.JOINED else self.start
        asyncio.get_running_loop().call_later(max(0.0, self._interval - taken), then)

    def _on_lost(self, reason: str) -> None:
        self._tally.errors[reason] += 1
        self.end()
        self.start()


async def measure(servers: Sequence[Server], codes: Sequence[str], clients: int, rate: float, seconds: float) -> Paced:
    """Have `clients` guests of each node join and leave, together `rate` times a second there.

    The guests of a room are at one node after the other. A guest that is answered late asks at once.
    """
    interval = clients / rate
    total = clients * len(servers)
    tally = Joins()
    urls = [f"ws://{server.host}" for server in servers]
    guests = [
        Guest(urls[number % len(urls)], codes[number * len(codes) // total], number, tally, interval)
        for number in range(total)
    ]
    waiting = iter(guests)

    async def connect() -> None:
        for guest in waiting:
            await guest.client.open()

    loop = asyncio.get_running_loop()
    try:
        await asyncio.gather(*(connect() for _ in range(CONNECT_AT_ONCE)))
        for guest in guests:
            loop.call_later(random.random() * interval, guest.start)
        await asyncio.sleep(max(WARM_UP, 2 * interval))
        tally.replies = 0
        tally.seconds.clear()
        before, began = _figures(servers), time.perf_counter()
        await asyncio.sleep(seconds)
        used, commits, rows = (after - one for after, one in zip(_figures(servers), before, strict=True))
        wall = time.perf_counter() - began
        operations, joins = tally.replies, tally.seconds.copy()
        await asyncio.wait([guest.end() for guest in guests], timeout=LEAVE_TIMEOUT + interval)
        if tally.errors:
            raise RuntimeError(f"errors: {dict(tally.errors)}")
    finally:
        await asyncio.gather(*(guest.client.close() for guest in guests))
    return Paced(operations, wall, used, commits, rows, 1000 * statistics.median(joins))


def _figures(servers: Sequence[Server]) -> tuple[float, float, float]:
    """Read processor time, commits and their changes of some daemons, which serve metrics beside their databases."""
    metrics = [_metrics(server) for server in servers]
    names = "roomd_commit_changes_count", "roomd_commit_changes_sum"
    commits, rows = (sum(one.get(name, 0.0) for one in metrics) for name in names)
    return sum(cpu_seconds(server.pid) for server in servers), commits, rows


def _metrics(server: Server) -> dict[str, float]:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(server.database.parent / METRICS))
        client.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        text = b"".join(iter(lambda: client.recv(65_536), b"")).decode()
    lines = (line.rpartition(" ") for line in text.splitlines() if line.startswith("roomd_"))
    return {name: float(value) for name, _, value in lines}


METRICS = "metrics.sock"
"""The socket of the metrics of a daemon, in its folder."""
