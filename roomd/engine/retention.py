"""Delete what is old, or belongs to a deleted room, a little at a time, so that no join waits for it.

Rooms and messages are deleted by a command of their room, so that a room in memory forgets them too, and the event log
says that a room is deleted. Rows that no room has in memory are deleted by the store: stays that ended, events, and
what belonged to deleted rooms. Then the file gets smaller by what is free in it.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from itertools import takewhile
from typing import Any, NamedTuple, Protocol, TypeVar

from roomd.counters import Counters
from roomd.engine.ports import RETRY_AFTER, Clock, EventLog, StorageFailed
from roomd.protocol.errors import ROOM_NOT_FOUND, Refused
from roomd.protocol.timestamps import stamp
from roomd.rooms.commands import DeleteMessages, DeleteOld
from roomd.rooms.room import Command

log = logging.getLogger("roomd.engine.retention")

A = TypeVar("A")
Cursor = TypeVar("Cursor")

MOST_ROWS = 100
"""The rows that one transaction deletes: it takes some milliseconds."""
MOST_MESSAGES, MOST_BYTES = 400, 131_072
"""The messages of a room that one transaction deletes, and their bytes, about: what belongs to each transaction takes
longer than 100 messages do, and they are one after the other in the database."""
MOST_ROOMS = 10
"""The rooms that are deleted at the same time."""
PAUSE = 0.05
"""The seconds between two transactions, at least."""
REST, LONGEST_PAUSE = 19.0, 2.0
"""The pause lasts until nothing was stored for so many times as long as the work before it; at most so many seconds.
So the work takes a part of the idle time (docs/decisions/0041-what-can-wait-takes-a-part-of-the-idle-time.md)."""
INTERVAL = 600.0
"""The seconds between two looks for what is old, at most."""
OPTIMIZE_INTERVAL = 86_400.0
"""The seconds between two `optimize` (sqlite.org/lang_analyze.html: once a day)."""
SHORTEST_INTERVAL = 0.1
"""The same at least."""


class Keep(NamedTuple):
    """How long things are kept, in seconds; None for ever."""

    events: float
    """The events of the log."""
    messages: float | None = None
    """Messages."""
    stays: float | None = None
    """Participants after they left."""
    rooms: float | None = None
    """Rooms after they ended, with all that belongs to them."""


class OldMessages(NamedTuple):
    """The oldest messages of a room, which are old enough to be deleted."""

    code: str
    """The code of the room."""
    through: str
    """The id of the last of them."""
    total_bytes: int
    """The bytes that the messages of the room had up to it."""


def oldest_messages(code: str, rows: Iterable[tuple[str, str, int]], before: str) -> OldMessages:
    """Choose the messages of a room that one transaction deletes: the first ones, from before a stamp.

    `rows` have the id, the stamp and the `total_bytes` of its oldest messages, in their order; the first is old enough.
    """
    old = list(takewhile(lambda row: row[1] < before, rows))
    most_bytes = old[0][2] + MOST_BYTES
    through, _, total_bytes = [row for row in old if row[2] <= most_bytes][-1]
    return OldMessages(code, through, total_bytes)


class OldRows(Protocol):
    """The rows of the store that may be old. Every method may raise `StorageFailed`.

    A method with a cursor returns the next one, None at the end; the first is None.
    """

    async def old_rooms(self, before: str, limit: int) -> list[str]:
        """Return the codes of rooms that ended before a stamp."""
        ...

    async def old_messages(self, before: str, cursor: str | None) -> tuple[OldMessages | None, str | None]:
        """Return some messages of one room from before a stamp; None when none were found up to the next cursor."""
        ...

    async def delete_stays(self, before: str, cursor: tuple[Any, ...] | None) -> tuple[Any, ...] | None:
        """Delete some stays that ended before a stamp."""
        ...

    async def purge(self) -> bool:
        """Delete some rows of a deleted room. Return whether there were any."""
        ...

    async def shrink(self) -> bool:
        """Make the file smaller by some free pages. Return whether it did."""
        ...

    async def checkpoint(self) -> None:
        """Write what was deleted into the file, beside all others. Else a join that commits may have to."""

    async def optimize(self, *, is_first: bool) -> None:
        """Let the store find out how its tables are filled. `is_first` since it was opened."""


class Commands(Protocol):
    """The rooms, as far as commands are submitted to them."""

    async def ask(self, code: str, command: Command[A]) -> A:
        """Submit a command to the room `code` and return the answer.

        Raises `Refused`.
        """
        ...


class Retention:
    """The task that deletes what is old. `keep` returns the ages; a reload may change them."""

    def __init__(
        self,
        rows: OldRows,
        events: EventLog,
        rooms: Commands,
        clock: Clock,
        keep: Callable[[], Keep],
        counters: Counters,
    ) -> None:
        self._rows = rows
        self._events = events
        self._rooms = rooms
        self._clock = clock
        self._keep = keep
        self._commits = counters.commits
        self._wanted = asyncio.Event()
        self._worked_from = 0.0  # by the clock of the loop

    def wake(self) -> None:
        """Delete the rows of deleted rooms now, since one was deleted, and what is old, if the ages have changed."""
        self._wanted.set()

    async def run(self) -> None:
        """Delete what is old, again and again, until cancelled."""
        due, keep = self._clock.monotonic(), self._keep()
        began = optimize_at = due
        while True:
            self._wanted.clear()
            try:
                if self._clock.monotonic() >= due or keep != self._keep():
                    keep = self._keep()
                    await self.delete_old()
                    due = self._clock.monotonic() + self._interval()
                await self.tidy()
                if self._clock.monotonic() >= optimize_at:
                    await self._rows.optimize(is_first=optimize_at == began)
                    optimize_at = self._clock.monotonic() + OPTIMIZE_INTERVAL
                pause = due - self._clock.monotonic()
            except (StorageFailed, Refused):
                log.warning("what is old is not deleted")  # the reason is in the log already
                pause = RETRY_AFTER
            timer = self._clock.call_later(max(0.0, pause), self._wanted.set)
            await self._wanted.wait()
            timer.cancel()

    async def delete_old(self) -> None:
        """Delete everything that is too old, as long as the ages stay the same.

        Raises `StorageFailed` and `Refused` (503 `unavailable`).
        """
        keep = self._keep()
        self._worked_from = asyncio.get_running_loop().time()
        await self._delete_events(keep, self._before(keep.events))
        if keep.rooms is not None:
            await self._delete_rooms(keep, self._before(keep.rooms))
        if keep.messages is not None:
            await self._delete_messages(keep, self._before(keep.messages))
        if keep.stays is not None:
            await self._delete_stays(keep, self._before(keep.stays))

    async def tidy(self) -> None:
        """Delete the rows of deleted rooms, and make the file smaller.

        Raises `StorageFailed`.
        """
        self._worked_from = asyncio.get_running_loop().time()
        while await self._rows.purge() or await self._rows.shrink():
            await self._rest()

    def _before(self, age: float) -> str:
        return stamp(max(0.0, self._clock.wall() - age))

    def _interval(self) -> float:
        shortest = min(age for age in self._keep() if age is not None)
        return max(SHORTEST_INTERVAL, min(INTERVAL, shortest / 4))

    async def _rest(self) -> None:
        """Leave the database to others: until it was idle for much longer than the work took.

        So the busier it is, the less of the time is for what can wait. Raises `StorageFailed`.
        """
        await self._rows.checkpoint()
        loop = asyncio.get_running_loop()
        now = loop.time()
        idle_until = self._idle(now) + REST * (now - self._worked_from)
        latest = now + LONGEST_PAUSE
        while True:
            await asyncio.sleep(max(PAUSE, min(idle_until - self._idle(now), latest - now)))
            now = loop.time()
            if now >= latest or self._idle(now) >= idle_until:
                break
        self._worked_from = now

    def _idle(self, now: float) -> float:
        """Return the seconds in which nothing was being stored, from some time up to `now`."""
        return now - self._commits.total

    async def _goes_on(self, keep: Keep) -> bool:
        """Rest, and return whether the ages are the same: a reload may have changed them."""
        await self._rest()
        return self._keep() == keep

    async def _delete_events(self, keep: Keep, before: str) -> None:
        while await self._events.delete_events(before, MOST_ROWS) and await self._goes_on(keep):
            pass

    async def _delete_rooms(self, keep: Keep, before: str) -> None:
        while codes := await self._rows.old_rooms(before, MOST_ROOMS):
            await asyncio.gather(*(self._ask(code, DeleteOld(before)) for code in codes))
            if not await self._goes_on(keep):
                return

    async def _delete_messages(self, keep: Keep, before: str) -> None:
        found, cursor = await self._rows.old_messages(before, None)
        while (found is not None or cursor is not None) and await self._goes_on(keep):
            if found is not None:
                await self._ask(found.code, DeleteMessages(found.through, found.total_bytes))
            found, cursor = await self._rows.old_messages(before, cursor)

    async def _delete_stays(self, keep: Keep, before: str) -> None:
        cursor = await self._rows.delete_stays(before, None)
        while cursor is not None and await self._goes_on(keep):
            cursor = await self._rows.delete_stays(before, cursor)

    async def _ask(self, code: str, command: Command[None]) -> None:
        try:
            await self._rooms.ask(code, command)
        except Refused as refused:
            if refused.kind is not ROOM_NOT_FOUND:  # it was deleted meanwhile
                raise
