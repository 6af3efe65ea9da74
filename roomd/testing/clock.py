"""A clock that a test moves. Time goes on by itself, too."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Future
from datetime import datetime

from roomd.system import clock


class Timer:
    """A call at a time of a clock that may be moved."""

    def __init__(self, clock: "Clock", due: float, function: Callable[[], None]) -> None:
        self.due = due
        """When to call, in seconds of the clock that never goes back."""
        self._clock = clock
        self._function = function
        self._handle: asyncio.TimerHandle | None = None

    def arm(self) -> None:
        """Wait for what is left."""
        self.disarm()
        left = max(0.0, self.due - self._clock.monotonic())
        self._handle = asyncio.get_running_loop().call_later(left, self.fire)

    def disarm(self) -> None:
        """Do not wait any more."""
        if self._handle is not None:
            self._handle.cancel()

    def fire(self) -> None:
        """Call the function, now."""
        self.cancel()
        self._function()

    def cancel(self) -> None:
        """Never call the function."""
        self.disarm()
        self._clock.forget(self)


class Clock(clock.Clock):
    """The clocks of the machine, and how far a test has moved them ahead.

    A daemon asks this clock for every time that it stores or compares, and for holds, bans, tokens, rates and the ends
    of rooms. The network keeps the machine's time: pings, long polls, and the time that a client has to read.
    """

    def __init__(self) -> None:
        self._ahead = 0.0  # of the machine's clocks, in seconds
        self._set_ahead = 0.0  # of that, the wall clock alone
        self._timers: set[Timer] = set()
        self._loop: asyncio.AbstractEventLoop | None = None

    def use(self, loop: asyncio.AbstractEventLoop | None) -> None:
        """Move timers on `loop` from now on; None: there are none."""
        self._loop = loop

    def wall(self) -> float:
        """Return seconds since the epoch."""
        return time.time() + self._ahead + self._set_ahead

    def monotonic(self) -> float:
        """Return seconds of a clock that never goes back."""
        return time.monotonic() + self._ahead

    def call_later(self, delay: float, function: Callable[[], None]) -> Timer:
        """Call `function` on the running loop after `delay` seconds of this clock."""
        timer = Timer(self, self.monotonic() + delay, function)
        self._timers.add(timer)
        timer.arm()
        return timer

    def forget(self, timer: Timer) -> None:
        """Drop a timer, which was called or cancelled."""
        self._timers.discard(timer)

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass at once. It may be called from any thread.

        What came due meanwhile has begun when this returns, earlier things first. Clients are told of it as always,
        a moment later. Raises `ValueError` for a negative number: time does not go back; see `set`.
        """
        if not seconds >= 0:
            raise ValueError(f"{seconds}: time does not go back; clock.set() sets the wall clock to any time")
        if self._loop is None or self._loop is _running_loop():
            self._advance(seconds)
            return
        moved: Future[None] = Future()
        self._loop.call_soon_threadsafe(self._advance_for, seconds, moved)
        moved.result()

    def set(self, now: datetime) -> None:
        """Set the wall clock, as an administrator does: forward or back, and nothing comes due by that alone.

        Raises `ValueError` for a time without a time zone.
        """
        if now.tzinfo is None:
            raise ValueError(f"{now}: needs a time zone, like datetime(2026, 3, 3, 10, 35, tzinfo=UTC)")
        self._set_ahead += now.timestamp() - self.wall()

    def _advance_for(self, seconds: float, moved: Future[None]) -> None:
        """Move the clock for another thread."""
        try:
            self._advance(seconds)
        except BaseException as exc:
            moved.set_exception(exc)
            raise
        moved.set_result(None)

    def _advance(self, seconds: float) -> None:
        """Move the clock, and call what has come due, in its order."""
        self._ahead += seconds
        for timer in sorted(self._timers, key=lambda timer: timer.due):
            if timer not in self._timers:
                continue  # cancelled by one before it
            if timer.due <= self.monotonic():
                timer.fire()
            else:
                timer.arm()


def _running_loop() -> asyncio.AbstractEventLoop | None:
    """Return the loop of this thread, if one runs."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
