"""Where time comes from, so that everything else can be handed it."""

import asyncio
import time
from collections.abc import Callable

from roomd.engine.ports import Timer


class Clock:
    """Both of a machine's clocks, and calls at a time of the monotonic one."""

    wall = staticmethod(time.time)
    """Seconds since the epoch."""

    monotonic = staticmethod(time.monotonic)
    """Seconds that only ever go forward."""

    def call_later(self, delay: float, function: Callable[[], None]) -> Timer:
        """Call `function` on the running loop after `delay` seconds."""
        return asyncio.get_running_loop().call_later(delay, function)
