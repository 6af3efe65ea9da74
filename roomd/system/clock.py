"""Where time comes from, so that everything else can be handed it."""

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

from roomd.protocol.timestamps import stamp
from roomd.rooms.commands import Moment


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
