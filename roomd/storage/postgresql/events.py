"""The stored event log: written with the changes, read in the order of the commits.

An event's number is its position, which a sequence gives. Commits of several daemons may run at the same time, so a
commit can become visible after one with higher positions. A reader that has passed it would miss it. So a reader goes
no further than the horizon: the last position below which no transaction is open any more. It is found in two steps:
first the last position that was given, then which transactions write to the log. When these have ended, whoever had
drawn a position up to that one is visible, or has failed. A transaction that writes to the log holds a lock on its
table from before it draws a position until it is visible. So no other transaction of the server delays the log, as the
oldest one of its snapshots would (`pg_snapshot_xmin`).
"""

import asyncio
from collections import deque
from collections.abc import Collection

from roomd.engine.ports import PART_BYTES, LogBounds, LoggedEvents
from roomd.storage.events import MOST_SCANNED, Log, part_of_log
from roomd.storage.postgresql.connection import Connection
from roomd.storage.postgresql.store import PostgresqlStore

_LAST_GIVEN = "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM event_positions"
_WRITING = """
    SELECT virtualtransaction FROM pg_locks WHERE locktype = 'relation' AND mode = 'RowExclusiveLock' AND granted
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND relation = 'events'::regclass
"""
_LOG = "SELECT encode(id, 'hex'), renewed_at FROM event_log"
_RENEW = f"UPDATE event_log SET id = substring(uuid_send(gen_random_uuid()) FOR 6), renewed_at = ({_LAST_GIVEN})"
_FIRST = "SELECT min(position) FROM events WHERE position <= $1"
_READ = """
    SELECT convert_to(body, 'UTF8') FROM (
        SELECT *, sum(octet_length(body)) OVER (ORDER BY position) - octet_length(body) AS before FROM events
        WHERE position > $1 AND position <= $2 AND ($3::text[] IS NULL OR room_id = ANY($3)) ORDER BY position LIMIT $4
    ) AS part WHERE before <= $5 ORDER BY position
"""


MOST_PENDING = 64
"""The positions that are remembered until the transactions that were open with them have ended."""
LOOK_AGAIN = 0.005
"""The seconds between two looks whether these have ended."""
WAKE_AFTER = 0.01
"""The seconds after which readers are woken again that could not read all, because a transaction was open."""


class Horizon:
    """How far the log can be read. One object may serve many readers."""

    def __init__(self) -> None:
        self._reached = 0
        self._pending: deque[tuple[int, set[str]]] = deque()
        """Positions, with the transactions that may have drawn lower ones and were open then."""
        self._looking = asyncio.Lock()

    async def find(self, db: Connection, passed: int = 0) -> int:
        """Return the last number that can be read. At first, wait until it is known. Raises `DatabaseError`.

        Another process may have `passed` a number, if that was given: then all transactions below it have ended, and
        this waits until it is known here too.
        """
        given = await self._look(db)
        while self._pending and (self._reached == 0 or self._reached < passed <= given):
            await asyncio.sleep(LOOK_AGAIN)
            await self._look(db)
        return self._reached

    async def _look(self, db: Connection) -> int:
        """Return the last position that was given.

        One reader looks at a time: which transactions were open before another one has found a position says nothing of
        those that have drawn it.
        """
        async with self._looking:
            return await self._look_alone(db)

    async def _look_alone(self, db: Connection) -> int:
        # In this order: who begins to write after the first statement draws a higher position.
        ((given,),) = await db.fetch(_LAST_GIVEN)
        writing = {row[0] for row in await db.fetch(_WRITING)}
        if not self._pending or self._pending[-1][0] < given:
            if len(self._pending) == MOST_PENDING:
                self._pending.pop()
            self._pending.append((given, writing))
        while self._pending and writing.isdisjoint(self._pending[0][1]):
            self._reached = max(self._reached, self._pending.popleft()[0])
        return int(given)

    @property
    def is_waiting(self) -> bool:
        """Whether there are positions behind the horizon."""
        return bool(self._pending)


class StoredEvents:
    """The event log of an open database. It implements `ports.EventLog`."""

    def __init__(self, store: PostgresqlStore) -> None:
        self._store = store
        self._horizon = Horizon()
        self._waker: asyncio.TimerHandle | None = None

    async def log_id(self) -> str:
        """Read the id of the log, 12 hexadecimal digits.

        Raises `StorageFailed`.
        """
        ((log_id,),) = await self._store.fetch("SELECT encode(id, 'hex') FROM event_log")
        return str(log_id)

    async def renew_log_id(self) -> None:
        """Give the log a new id, so that nobody reads on from an earlier position.

        Raises `StorageFailed`.
        """
        await self._store.fetch(_RENEW)

    async def bounds(self, passed: int = 0) -> LogBounds:
        """Read where the log begins and ends; see `ports.EventLog`.

        Raises `StorageFailed`.
        """
        async with self._store.reading() as db:
            return await self._bounds(db, passed)

    async def read_events(self, after: int, limit: int, rooms: Collection[str] | None = None) -> LoggedEvents:
        """Read the events after a number: at most `limit`, of the rooms with these ids, or of all for None.

        Raises `StorageFailed`.
        """
        async with self._store.reading() as db:
            ((log_id, renewed_at),) = await db.fetch(_LOG)
            log = Log(log_id, renewed_at, await self._bounds(db))
            end = log.bounds.last if rooms is None else min(log.bounds.last, after + MOST_SCANNED)
            chosen = None if rooms is None else list(rooms)
            events = [event for (event,) in await db.fetch(_READ, after, end, chosen, limit, PART_BYTES)]
        return part_of_log(events, sum(map(len, events)), after, limit, end, log)

    async def delete_events(self, before: str, limit: int) -> int:
        """Delete the oldest events, at most `limit`, from before a stamp. Return how many were deleted.

        An event behind one that is younger may have an earlier stamp, because the clock was set back; it stays until
        its turn comes. Raises `StorageFailed`.
        """
        sql = """
            DELETE FROM events WHERE position IN (
                SELECT position FROM (SELECT position, bool_and(at < $1) OVER (ORDER BY position) AS is_old FROM (
                    SELECT position, at FROM events ORDER BY position LIMIT $2) AS first) AS part WHERE is_old)
        """
        async with self._store.reading() as db:
            return await db.execute(sql, before, limit)

    async def _bounds(self, db: Connection, passed: int = 0) -> LogBounds:
        last = await self._horizon.find(db, passed)
        if self._horizon.is_waiting and self._waker is None:
            self._waker = asyncio.get_running_loop().call_later(WAKE_AFTER, self._wake)
        ((first,),) = await db.fetch(_FIRST, last)
        return LogBounds(first - 1 if first is not None else last, last)

    def _wake(self) -> None:
        self._waker = None
        self._store.on_events()
