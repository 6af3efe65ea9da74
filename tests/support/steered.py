"""The daemon with a clock that its test moves: `python tests/support/steered.py DESCRIPTOR`.

Time goes on by itself, too. So a test gives a time limit of an hour, which no machine is slow enough to reach, and then
moves the clock past it. Each number of seconds that is read from the socket DESCRIPTOR is answered when the clock was
moved and what came due has been called. A line `set SECONDS` sets only the wall clock, so many seconds ahead.
"""

import asyncio
import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from functools import partial

from roomd.config import load
from roomd.daemon import serve
from roomd.system.clock import Clock


class SteeredTimer:
    """A call at a time of a clock that may be moved."""

    def __init__(self, clock: "SteeredClock", due: float, function: Callable[[], None]) -> None:
        self.clock = clock
        self.due = due
        self.function = function
        self.handle: asyncio.TimerHandle | None = None

    def arm(self) -> None:
        """Wait for what is left."""
        self.disarm()
        left = max(0.0, self.due - self.clock.monotonic())
        self.handle = asyncio.get_running_loop().call_later(left, self.fire)

    def disarm(self) -> None:
        if self.handle is not None:
            self.handle.cancel()

    def fire(self) -> None:
        self.cancel()
        self.function()

    def cancel(self) -> None:
        self.disarm()
        self.clock.timers.discard(self)


class SteeredClock(Clock):
    """The machine's clocks, ahead of them as far as was asked for."""

    def __init__(self, control: socket.socket) -> None:
        self.ahead = 0.0
        self.wall_ahead = 0.0
        self.timers: set[SteeredTimer] = set()
        self.control = control
        self.loop: asyncio.AbstractEventLoop | None = None
        threading.Thread(target=self.listen, daemon=True).start()

    def wall(self) -> float:
        return time.time() + self.ahead + self.wall_ahead

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead

    def call_later(self, delay: float, function: Callable[[], None]) -> SteeredTimer:
        self.loop = asyncio.get_running_loop()
        timer = SteeredTimer(self, self.monotonic() + delay, function)
        self.timers.add(timer)
        timer.arm()
        return timer

    def listen(self) -> None:
        """Move the clock as asked, one number at a time."""
        with self.control.makefile("rw", encoding="ascii") as lines:
            for line in lines:
                moved = threading.Event()
                if line.startswith("set "):
                    self.wall_ahead = float(line.removeprefix("set "))
                elif self.loop is None:
                    self.ahead += float(line)
                else:
                    self.loop.call_soon_threadsafe(self.advance, float(line), moved)
                    moved.wait()
                lines.write("moved\n")
                lines.flush()

    def advance(self, seconds: float, moved: threading.Event) -> None:
        """Move the clock, and call what has come due, in its order."""
        self.ahead += seconds
        for timer in sorted(self.timers, key=lambda timer: timer.due):
            if timer not in self.timers:
                continue  # called off by one before it
            if timer.due <= self.monotonic():
                timer.fire()
            else:
                timer.arm()
        moved.set()


if __name__ == "__main__":
    steered = SteeredClock(socket.socket(fileno=int(sys.argv[1])))
    sys.exit(serve(partial(load, environ=os.environ), demo=False, clock=steered))
