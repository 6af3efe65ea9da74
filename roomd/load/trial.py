"""The load test of `roomd bench`: guests join and leave for a while."""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from picows import WSError

from roomd.load.guest import Guest, Tally
from roomd.load.times import Times

CONNECT_AT_ONCE = 50
"""Handshakes under way: few enough that no accept queue overflows."""
WARM_UP = 0.5
"""Seconds before the measurement."""
LEAVING = 3.0
"""Seconds for all guests to leave at the end."""


class Outcome(NamedTuple):
    """The result of a test."""

    clients: int
    """How many guests there were."""
    seconds: float
    """How long the measurement took."""
    joins: Times
    """How long joins took."""
    leaves: Times
    """How long leaves took."""
    errors: Counter[str]
    """How often each error occurred, from the first connection on."""
    generator: float
    """Share of a core that the guests needed, 0 to 1."""


async def try_out(url: str, codes: Sequence[str], clients: int, seconds: float, stop: asyncio.Event) -> Outcome:
    """Have guests join and leave, as many in each room, for `seconds` or until `stop` is set.

    Raises `RuntimeError` when they cannot connect.
    """
    tally = Tally()
    guests = [Guest(codes[number * len(codes) // clients], number, tally) for number in range(clients)]
    try:
        await _connect(guests, url)
        for guest in guests:
            guest.start()
        await _wait(stop, WARM_UP)
        tally.take()
        start, before = time.perf_counter(), time.process_time()
        await _wait(stop, seconds)
        taken, spent = time.perf_counter() - start, time.process_time() - before
        joins, leaves = tally.take()
        await asyncio.wait([guest.end() for guest in guests], timeout=LEAVING)
        errors = tally.errors.copy()
    finally:
        await asyncio.gather(*(guest.close() for guest in guests))
    return Outcome(clients, taken, joins, leaves, errors, spent / taken)


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
