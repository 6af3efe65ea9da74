"""Where time comes from, so that everything else can be handed it."""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Protocol

from roomd.commands import Moment


def stamp(seconds: float) -> str:
    """Write seconds since the epoch as the wire does: ISO 8601, UTC, milliseconds."""
    return _stamp(int(seconds * 1000))


@lru_cache(maxsize=16)
def _stamp(milliseconds: int) -> str:
    """Remember the last ones: whatever happens together has the same."""
    moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Timer(Protocol):
    """A call that is due later."""

    def cancel(self) -> None:
        """Call it off."""


class Clock:
    """Both of a machine's clocks, and calls at a time of the monotonic one."""

    def wall(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds that only ever go forward."""
        return time.monotonic()

    def now(self) -> Moment:
        """Read both clocks."""
        return Moment(stamp(self.wall()), self.monotonic())

    def call_later(self, delay: float, function: Callable[[], None]) -> Timer:
        """Call `function` on the running loop after `delay` seconds."""
        return asyncio.get_running_loop().call_later(delay, function)
