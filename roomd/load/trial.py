"""A load test of a daemon anywhere: guests join and leave for a while, and it is said how that went."""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from roomd.load.crowd import Crowd
from roomd.load.cycle import Cycle, Tally, Times
from roomd.load.dialect import Roomd
from roomd.load.line import Line

WARM_UP = 0.5
PACE = 0.0025
"""Seconds between the requests of a guest: below the limit a daemon has by default, 500 a second."""
LEAVING = 3.0
"""Seconds for everyone to leave in the end."""


class Outcome(NamedTuple):
    """What a test came to."""

    clients: int
    seconds: float
    joins: Times
    leaves: Times
    errors: Counter[str]
    """How often each kind of trouble came up, from the first connection on."""
    generator: float
    """Share of a core that the guests needed, 0 to 1."""


async def try_out(url: str, codes: Sequence[str], clients: int, seconds: float, stop: asyncio.Event) -> Outcome:
    """Have guests join and leave, as many in each room, for some seconds or until `stop`.

    Raises `RuntimeError` when they cannot connect.
    """
    tally, troubles = Tally(), Counter[str]()
    dialect = Roomd(path="")  # the URL has it

    def lost(reason: str) -> None:
        troubles[reason] += 1

    async with Crowd(lambda _: Line(dialect, url), lost) as crowd:
        guests = [
            Cycle(line, codes[number * len(codes) // clients], number, tally, PACE)
            for number, line in enumerate(await crowd.open(clients))
        ]
        for guest in guests:
            guest.start()
        await _wait(stop, WARM_UP)
        troubles += tally.take().errors
        start, before = time.perf_counter(), time.process_time()
        await _wait(stop, seconds)
        taken, spent = time.perf_counter() - start, time.process_time() - before
        done = tally.take()
        await asyncio.wait([guest.end() for guest in guests], timeout=LEAVING)
    return Outcome(clients, taken, done.joins, done.leaves, troubles + done.errors, spent / taken)


async def _wait(stop: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        pass
