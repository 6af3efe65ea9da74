"""Run the load test: guests join and leave rooms for some time."""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from picows import WSError

from roomd.load.guest import Counts, Guest
from roomd.load.times import Times

CONNECT_AT_ONCE = 50
"""The number of handshakes at the same time: few enough that no accept queue overflows."""
WARM_UP = 0.5
"""The seconds before the measurement."""
LEAVE_TIMEOUT = 3.0
"""The seconds in which all guests must leave at the end."""


class Result(NamedTuple):
    """The result of a test."""

    clients: int
    """The number of guests."""
    seconds: float
    """The duration of the measurement, in seconds."""
    joins: Times
    """The durations of joins."""
    leaves: Times
    """The durations of leaves."""
    errors: Counter[str]
    """The number of each error since the first connection."""
    generator: float
    """The share of a processor core that the guests needed, 0 to 1."""


async def run_load_test(url: str, codes: Sequence[str], clients: int, seconds: float, stop: asyncio.Event) -> Result:
    """Let `clients` guests join and leave rooms, for `seconds` or until `stop` is set, and return the result.

    `codes` are the codes of the rooms; each gets about the same number of guests. Raises `RuntimeError` when guests
    cannot connect.
    """
    counts = Counts()
    guests = [Guest(codes[number * len(codes) // clients], number, counts) for number in range(clients)]
    try:
        await _connect(guests, url)
        for guest in guests:
            guest.start()
        await _wait(stop, WARM_UP)
        counts.take()
        start, before = time.perf_counter(), time.process_time()
        await _wait(stop, seconds)
        taken, spent = time.perf_counter() - start, time.process_time() - before
        joins, leaves = counts.take()
        await asyncio.wait([guest.end() for guest in guests], timeout=LEAVE_TIMEOUT)
        errors = counts.errors.copy()
    finally:
        await asyncio.gather(*(guest.close() for guest in guests))
    return Result(clients, taken, joins, leaves, errors, spent / taken)


async def _connect(guests: Sequence[Guest], url: str) -> None:
    waiting = iter(guests)

    async def connect() -> None:
        for guest in waiting:
            await guest.connect(url)

    try:
        await asyncio.gather(*(connect() for _ in range(CONNECT_AT_ONCE)))
    except (OSError, WSError) as exc:
        raise RuntimeError(f"cannot connect: {exc}") from None


async def _wait(stop: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        pass
