"""(g): how long a join takes at half the peak rate of (a).

200 guests join and leave by a schedule that does not wait for answers. A request is sent at its time, or as soon as the
guest's last one is answered, and its latency counts from its time on the schedule: so a server that stalls pays for all
requests that were due meanwhile. Requests that are due are sent once a millisecond.
"""

import asyncio
import time
from collections import deque

from bench.clients import Client, Crowd, Kind
from bench.rig import Figure, Rig
from bench.work.cycle import CLIENTS, SEATS

WARM_UP = 0.5
"""Seconds before the measurement."""
TICK = 0.001
"""Seconds between two looks at the schedule."""


class Planned:
    """A guest who joins and leaves at given times."""

    def __init__(self, client: Client, code: str, number: int, first: float, every: float, crowd: Crowd) -> None:
        """`first` is the time of the first join; every `every` seconds a join or leave is due."""
        self.client = client
        self.next = first
        """When the next request is due."""
        self.latencies: list[tuple[float, float]] = []
        """Of each join: when it was due, and the seconds from then on."""
        self._every = every
        self._code = code
        self._number = number
        self._fail = crowd.fail
        self._due: deque[float] = deque()
        self._is_asking = False
        self._is_in = False
        client.on_frame = self._on_frame

    @property
    def is_idle(self) -> bool:
        """No request is under way or due, and the guest has no seat."""
        return not (self._is_asking or self._is_in or self._due)

    def tick(self, now: float) -> None:
        """Send what is due."""
        while self.next <= now:
            self._due.append(self.next)
            self.next += self._every
        if self._due and not self._is_asking:
            self._ask()

    def end(self) -> None:
        """End the schedule: send what is due already, which counts too, and then leave."""
        self.next = float("inf")
        self._leave_if_done()

    def _leave_if_done(self) -> None:
        if self._is_in and not self._is_asking and not self._due:
            self._due.append(time.perf_counter())
            self._ask()

    def _ask(self) -> None:
        self._is_asking = True
        if self._is_in:
            self.client.leave()
        else:
            self.client.join(self._code, self._number)

    def _on_frame(self, kind: Kind, payload: bytes) -> None:
        if kind is Kind.JOINED or kind is Kind.LEFT:
            due = self._due.popleft()
            self._is_asking = False
            self._is_in = kind is Kind.JOINED
            if self._is_in:
                self.latencies.append((due, time.perf_counter() - due))
            if self._due:
                self._ask()
            elif self.next == float("inf"):
                self._leave_if_done()
        elif kind is Kind.REFUSED:
            self._fail(f"refused: {payload[:200].decode(errors='replace')}")


async def measure(rig: Rig, seconds: float, peak: float) -> list[Figure]:
    """Measure p50 and p99 of joins, in milliseconds, at half of `peak` (joins + leaves per second)."""
    codes = await rig.create_rooms(CLIENTS // SEATS, SEATS)
    every = CLIENTS / (peak / 2)
    async with rig.crowd() as crowd:
        clients = await crowd.open(CLIENTS)
        begin = time.perf_counter() + 0.05
        # Spread over two steps: at any time as many join as leave.
        guests = [
            Planned(client, codes[number // SEATS], number, begin + 2 * every * number / CLIENTS, every, crowd)
            for number, client in enumerate(clients)
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
        taken = sorted(taken for guest in guests for due, taken in guest.latencies if start.wall <= due < end)
        if not taken:
            raise RuntimeError("no join was answered")
        return [
            Figure("g50", quantile(taken, 0.5) * 1000, usage),
            Figure("g99", quantile(taken, 0.99) * 1000, usage),
        ]


def quantile(values: list[float], share: float) -> float:
    """Return the least of the sorted `values` that a share of them, above 0 and up to 1, does not exceed."""
    return values[max(0, -int(-share * len(values) // 1) - 1)]


async def _tick(guests: list[Planned]) -> None:
    while True:
        now = time.perf_counter()
        for guest in guests:
            if guest.next <= now:
                guest.tick(now)
        await asyncio.sleep(TICK)


async def _idle(guests: list[Planned]) -> None:
    while not all(guest.is_idle for guest in guests):  # noqa: ASYNC110 - not timed
        await asyncio.sleep(0.02)
