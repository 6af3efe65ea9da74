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
    whole, milliseconds = divmod(int(seconds * 1000), 1000)
    return f"{_second(whole)}.{milliseconds:03}Z"


@lru_cache(maxsize=4)
def _second(seconds: int) -> str:
    """Remember the last ones: a second is written ten thousand times."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


class Timer(Protocol):
    """A call that is due later."""

    def cancel(self) -> None:
        """Call it off."""


class Clock:
    """Both of a machine's clocks, and calls at a time of the monotonic one."""

    wall = staticmethod(time.time)
    """Seconds since the epoch."""

    monotonic = staticmethod(time.monotonic)
    """Seconds that only ever go forward."""

    def now(self) -> Moment:
        """Read both clocks."""
        return Moment(stamp(self.wall()), self.monotonic())

    def call_later(self, delay: float, function: Callable[[], None]) -> Timer:
        """Call `function` on the running loop after `delay` seconds."""
        return asyncio.get_running_loop().call_later(delay, function)
