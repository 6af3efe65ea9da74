"""(g): how long a join takes to be answered at half the peak rate of (a).

The load is open: 200 guests join and leave by a schedule that does not wait for answers. A request is sent at its time,
or as soon as the guest's last one is answered, and its latency counts from its time on the schedule, so a server that
stalls answers for all that should have been asked meanwhile. What falls due is sent once a millisecond.
"""

import asyncio
import time
from collections import deque

from bench.rig import Figure, Rig
from bench.work.cycle import CLIENTS, SEATS
from roomd.load import Crowd, Kind, Line, Times

WARM_UP = 0.5
TICK = 0.001


class Planned:
    """A guest who joins and leaves at given times."""

    def __init__(self, line: Line, code: str, number: int, first: float, every: float, crowd: Crowd[Line]) -> None:
        """`first` is the time of the first join; every `every` seconds a join or leave is due."""
        self.line = line
        self.next = first
        self.latencies: list[tuple[float, float]] = []
        """Of each join: when it was due, and the seconds from then on."""
        self._every = every
        self._code = code
        self._number = number
        self._fail = crowd.fail
        self._due: deque[float] = deque()
        self._is_asking = False
        self._is_in = False
        line.on_frame = self._on_frame

    @property
    def is_idle(self) -> bool:
        """Nothing is under way, and the seat given up."""
        return not (self._is_asking or self._is_in)

    def tick(self, now: float) -> None:
        """Ask what is due."""
        while self.next <= now:
            self._due.append(self.next)
            self.next += self._every
        if self._due and not self._is_asking:
            self._ask()

    def end(self) -> None:
        """Ask for nothing more, and leave."""
        self.next = float("inf")
        self._due.clear()
        if self._is_in and not self._is_asking:
            self._due.append(time.perf_counter())
            self._ask()

    def _ask(self) -> None:
        self._is_asking = True
        if self._is_in:
            self.line.leave()
        else:
            self.line.join(self._code, self._number)

    def _on_frame(self, kind: Kind, payload: bytes) -> None:
        if kind is Kind.JOINED or kind is Kind.LEFT:
            due = self._due.popleft() if self._due else 0.0
            self._is_asking = False
            self._is_in = kind is Kind.JOINED
            if self._is_in and due:
                self.latencies.append((due, time.perf_counter() - due))
            if self._due:
                self._ask()
            elif self._is_in and self.next == float("inf"):
                self.end()
        elif kind is Kind.REFUSED:
            self._fail(f"refused: {payload[:200].decode(errors='replace')}")


async def measure(rig: Rig, seconds: float, peak: float) -> list[Figure]:
    """Measure p50 and p99 of joins, in milliseconds, at half of `peak` (joins + leaves per second)."""
    codes = await rig.create_rooms(CLIENTS // SEATS, SEATS)
    every = CLIENTS / (peak / 2)
    async with rig.crowd() as crowd:
        lines = await crowd.open(CLIENTS)
        begin = time.perf_counter() + 0.05
        # Spread over two steps: at any time as many join as leave.
        guests = [
            Planned(line, codes[number // SEATS], number, begin + 2 * every * number / CLIENTS, every, crowd)
            for number, line in enumerate(lines)
        ]
        ticking = asyncio.ensure_future(_tick(guests))
        try:
            await crowd.until_later(WARM_UP)
            start = rig.server.clock()
            await crowd.until_later(seconds)
            usage = start.until(rig.server.clock())
        finally:
            ticking.cancel()
        for guest in guests:
            guest.end()
        await crowd.until(asyncio.ensure_future(_idle(guests)))
        end = start.wall + usage.seconds
        times = Times()
        for due, taken in (latency for guest in guests for latency in guest.latencies):
            if start.wall <= due < end:
                times.add(taken)
        return [
            Figure("g50", times.quantile(0.5) * 1000, usage),
            Figure("g99", times.quantile(0.99) * 1000, usage),
        ]


async def _tick(guests: list[Planned]) -> None:
    while True:
        now = time.perf_counter()
        for guest in guests:
            if guest.next <= now:
                guest.tick(now)
        await asyncio.sleep(TICK)


async def _idle(guests: list[Planned]) -> None:
    while not all(guest.is_idle for guest in guests):  # noqa: ASYNC110 - no hurry
        await asyncio.sleep(0.02)
