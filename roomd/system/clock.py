"""The machine's clock, which the daemon passes to all parts that need the time."""

import asyncio
import time
from collections.abc import Callable

from roomd.engine.ports import Timer


class Clock:
    """The two clocks of the machine, and calls at a later time. It implements `ports.Clock`."""

    wall = staticmethod(time.time)
    """Returns seconds since the epoch."""

    monotonic = staticmethod(time.monotonic)
    """Returns seconds of a clock that never goes back."""

    def call_later(self, delay: float, function: Callable[[], None]) -> Timer:
        """Call `function` on the running loop after `delay` seconds."""
        return asyncio.get_running_loop().call_later(delay, function)
