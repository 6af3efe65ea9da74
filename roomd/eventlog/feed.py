"""The feed: how everybody reads the event log, from a position on, and waits for what comes next.

All readers use `Feed.read`: `watch`, long polls, streams and webhooks. A reader that has caught up is served from the
tail, a bounded list of the last events in memory. When events were committed, the first reader that asks reads them
from the database, for all of them. So a commit costs one call here, however many follow, and an event is read once.
A reader that is behind the tail reads the database itself.

A position is the id of the log and the number of an event. A log that may lack events which were read before has a new
id: after a backup was restored, and when the log was off meanwhile. Then the positions of before are refused.
"""

import asyncio
import re
from bisect import bisect_right
from collections.abc import Callable, Collection, Sequence

from roomd.engine.ports import PART_BYTES, EventLog, LoggedEvents
from roomd.protocol.errors import BAD_FRAME, EVENTS_OFF, POSITION_EXPIRED, Refused
from roomd.protocol.logged import number_of, room_id_of

MOST_EVENTS = 1000
"""The largest `limit` of a read."""
TAIL_BYTES = 4 * 1024 * 1024
"""The bytes of events that the tail has at most; then the older half of it is forgotten."""
GATHER = 0.01
"""The seconds between two reads of new events from the database: what is committed meanwhile is read together."""
LATEST = "latest"
"""The position from which only what is logged from now on is read."""
_POSITION = re.compile("([0-9a-f]{12})([0-9a-f]{12})")
_NO_POSITION = "after must be the position of an event, or a next, or latest"


class Feed:
    """All that the readers of one event log share. With None as `log`, every read is refused: the server keeps none."""

    def __init__(self, log: EventLog | None) -> None:
        self._log = log
        self._log_id = ""
        self._tail: list[bytes] = []
        self._sizes = 0  # the bytes of the tail
        self._start = 0  # the tail has every event behind this number
        self._end = 0  # up to this one
        self._is_stale = False  # whether events were committed that are not in the tail
        self._filling = asyncio.Lock()
        self._filled_at = 0.0  # by the clock of the loop
        self._news = asyncio.Event()  # set, and replaced, when events were committed
        self._waiting = 0  # the readers that wait for it
        self.on_rewritten: Callable[[], None] = _nothing
        """Called when this process has rewritten events."""
        self.is_stopping = False
        """Whether nobody waits any more, because the daemon stops."""

    async def open(self) -> None:
        """Begin at the end of the log.

        Raises `StorageFailed`.
        """
        if self._log is not None:
            self._log_id = await self._log.log_id()
            self._start = self._end = (await self._log.bounds()).last

    @property
    def log_id(self) -> str:
        """The id of the log, which its positions begin with."""
        return self._log_id

    def committed(self) -> None:
        """Note that events were committed, and tell those who wait."""
        self._is_stale = True
        self._news.set()
        self._news = asyncio.Event()

    async def look(self) -> None:
        """While somebody waits, look whether events were committed of which nobody has told.

        Raises `StorageFailed`.
        """
        if self._waiting and (await self._opened().bounds()).last > self._end:
            self.committed()

    async def forget(self) -> None:
        """Forget the events in memory: some were rewritten. They are read again from the database."""
        async with self._filling:
            self._begin_anew(self._end)

    async def rewritten(self) -> None:
        """Note that this process has rewritten events: forget them, and tell others who may have them in memory."""
        await self.forget()
        self.on_rewritten()

    def stop(self) -> None:
        """Let nobody wait any more: the daemon stops."""
        self.is_stopping = True
        self._news.set()

    def position(self, number: int) -> str:
        """Return the position after the event with this number."""
        return f"{self._log_id}{number:012x}"

    async def start(self, after: str | None, *, is_read_next: bool = False) -> int:
        """Return the number that a reader begins after: that of a position, of `latest`, or for None before the oldest.

        With `is_read_next` a `read` follows at once, which refuses a position that has expired. Then a position that
        this process has passed is not looked up.

        Raises `Refused` (400 `bad_frame`, 404 `events_off`, 410 `position_expired`) and `StorageFailed`.
        """
        log = self._opened()
        found = _POSITION.fullmatch(after) if after is not None else None
        if found is None and after not in (None, LATEST):
            raise Refused(BAD_FRAME, f"{BAD_FRAME.message}: {_NO_POSITION}")
        is_of_log = found is not None and found[1] == self._log_id
        number = int(found[2], 16) if found is not None and is_of_log else 0
        if is_of_log and (0 if is_read_next else self._start) <= number <= self._end:
            return number  # the tail has what follows, or `read` finds out whether the log has it
        bounds = await log.bounds(number)
        self._is_stale = self._is_stale or bounds.last > self._end  # another process has logged more
        if found is None:
            return bounds.last if after == LATEST else bounds.before_first
        if not (is_of_log and bounds.before_first <= number <= bounds.last):
            raise self._expired(bounds.before_first)
        return number

    async def read(
        self, after: int, limit: int, wait: float = 0.0, rooms: Collection[str] | None = None
    ) -> LoggedEvents:
        """Read the events after a number, at most `limit`, of the rooms with these ids, or of all for None.

        At the end of the log, wait for at most `wait` seconds. The part may have fewer events, or none: then `last` is
        where to read on. Raises `Refused` (404 `events_off`, 410 `position_expired`) and `StorageFailed`.
        """
        log, loop = self._opened(), asyncio.get_running_loop()
        until = loop.time() + wait
        while True:
            news = self._news
            part = await self._part(log, after, limit, rooms)
            left = until - loop.time()
            if part.events or not part.is_end or left <= 0 or self.is_stopping:
                return part
            after = part.last
            self._waiting += 1
            try:
                async with asyncio.timeout(left):
                    await news.wait()
            except TimeoutError:
                return part
            finally:
                self._waiting -= 1

    def _opened(self) -> EventLog:
        if self._log is None:
            raise Refused(EVENTS_OFF)
        return self._log

    def _expired(self, before_first: int) -> Refused:
        return Refused(POSITION_EXPIRED, oldest=self.position(before_first))

    async def _part(self, log: EventLog, after: int, limit: int, rooms: Collection[str] | None) -> LoggedEvents:
        if after >= self._end and (self._is_stale or self._filling.locked()):
            async with self._filling:
                if after >= self._end and self._is_stale:  # else another reader has done it
                    await self._fill(log, after)
        if after < self._start:
            part = await log.read_events(after, limit, rooms)
            if after < part.before_first:
                raise self._expired(part.before_first)
            return part
        return self._from_tail(after, limit, rooms)

    async def _fill(self, log: EventLog, after: int) -> None:
        """Read new events into the tail.

        It begins anew where the reader is, if nobody has followed for a while; and at the oldest event that is kept,
        if events were deleted before anybody read them: then a reader at the end of the tail is refused.
        """
        loop = asyncio.get_running_loop()
        await asyncio.sleep(self._filled_at + GATHER - loop.time())
        if after > self._end:
            self._begin_anew(after)
        self._is_stale = False
        try:
            part = await log.read_events(self._end, MOST_EVENTS)
        except BaseException:
            self._is_stale = True
            raise
        self._filled_at = loop.time()
        if part.before_first > self._end:
            self._begin_anew(part.before_first)
        self._is_stale = self._is_stale or not part.is_end
        self._tail += part.events
        self._sizes += _size(part.events)
        self._end = part.last
        if self._sizes > TAIL_BYTES:
            half = (len(self._tail) + 1) // 2
            self._start = number_of(self._tail[half - 1])
            del self._tail[:half]
            self._sizes = _size(self._tail)

    def _begin_anew(self, number: int) -> None:
        """Empty the tail, and have it begin behind a number."""
        self._tail, self._sizes = [], 0
        self._start = self._end = number

    def _from_tail(self, after: int, limit: int, rooms: Collection[str] | None) -> LoggedEvents:
        found: list[bytes] = []
        size, last = 0, max(after, self._end)  # a reader of the database may be further than the tail
        first = bisect_right(self._tail, after, key=number_of)
        for event in self._tail[first:]:
            if rooms is not None and room_id_of(event) not in rooms:
                continue
            size += len(event)
            if len(found) == limit or (found and size > PART_BYTES):
                last = number_of(found[-1])
                break
            found.append(event)
        return LoggedEvents(found, last, last >= self._end and not self._is_stale, last - after, self._start)


def _nothing() -> None:
    """Do nothing."""


def _size(events: Sequence[bytes]) -> int:
    return sum(map(len, events))
