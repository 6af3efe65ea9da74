"""End the rooms that end by themselves, also those that are not in memory.

The store knows when each of them ends. One timer is set for the next of these times. When it is due, the rooms are
ended by a command like any other, which looks again whether their time has come. The times are of the wall clock, which
may be set, so no timer is set for longer than `LONGEST`.
"""

import asyncio
from collections.abc import Awaitable, Callable

from roomd.engine.ports import RETRY_AFTER, Clock, StorageFailed, Store, Timer
from roomd.protocol.timestamps import seconds_of, stamp

LONGEST = 30.0
"""The seconds after which a room ends at the latest when the clock was set forward past its end."""
SHORTEST = 0.01
"""The seconds for which a timer is set at least: a stamp has whole milliseconds."""
MOST_AT_ONCE = 100
"""The number of rooms that are ended at the same time."""


class RoomEnds:
    """The timer for the next room that ends by itself. `end` ends the room with a code, and returns whether it did."""

    def __init__(self, store: Store, clock: Clock, end: Callable[[str], Awaitable[bool]]) -> None:
        self._store = store
        self._clock = clock
        self._end = end
        self._next: str | None = None  # the stamp of the next end that is known
        self._timer: Timer | None = None
        self._task: asyncio.Task[None] | None = None
        self._is_closed = False

    async def open(self) -> None:
        """Find the next end.

        Raises `StorageFailed`.
        """
        for ends_at, _ in await self._store.next_ends(1):
            self.watch(ends_at)

    def watch(self, ends_at: str) -> None:
        """Note that a room ends at `ends_at`, a stamp, unless something changes."""
        if self._next is None or ends_at < self._next:
            self._next = ends_at
            self._set_timer()

    async def close(self) -> None:
        """Stop. Rooms that end meanwhile are ended after the next start."""
        self._is_closed = True
        self._stop_timer()
        if self._task is not None:
            await self._task

    def _set_timer(self, at_least: float = SHORTEST) -> None:
        """Wake when the next end is due. While rooms are ended, that sets the timer when it is done."""
        self._stop_timer()
        if self._next is not None and self._task is None and not self._is_closed:
            delay = seconds_of(self._next) - self._clock.wall()
            self._timer = self._clock.call_later(max(min(delay, LONGEST), at_least), self._wake)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wake(self) -> None:
        if self._next is not None and self._next > stamp(self._clock.wall()):
            self._set_timer()
        else:
            self._task = asyncio.create_task(self._end_due(), name="end rooms")

    async def _end_due(self) -> None:
        """End some of the rooms that are due, and set the timer for the next one."""
        self._next, pause = None, SHORTEST
        upcoming: str | None = stamp(self._clock.wall())  # look again at once, unless nothing is due
        try:
            found = await self._store.next_ends(MOST_AT_ONCE)
            now = stamp(self._clock.wall())
            due = [code for ends_at, code in found if ends_at <= now]
            if not due:
                upcoming = found[0][0] if found else None
            if not all(await asyncio.gather(*map(self._end, due))):
                pause = RETRY_AFTER
        except StorageFailed:
            pause = RETRY_AFTER
        self._next = min((time for time in (self._next, upcoming) if time is not None), default=None)
        self._task = None
        self._set_timer(pause)
