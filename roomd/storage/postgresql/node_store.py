"""The rooms of one node of a cluster, in PostgreSQL: each has a fence of its own (`writing.write_rooms`).

A commit spans rooms, and each room has its own outcome. When the connection is lost in a commit, it is not known
whether it was stored: all of its rooms are in doubt. Nothing is tried again here. Whoever needs such a room claims it
again, which raises its version, so that nothing which is still on its way can be stored, and then reads what is there.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence

from roomd.cluster.ports import Fence
from roomd.counters import Counters
from roomd.engine.moving import RoomLost
from roomd.engine.ports import StorageFailed
from roomd.protocol.log_events import LogEvent
from roomd.rooms.changes import Change
from roomd.rooms.model import StoredRoom
from roomd.storage.group_commit import Conflict, ConstraintBroken, GroupCommit, RoomChanges
from roomd.storage.last_commit import LastCommit
from roomd.storage.postgresql.commit_watch import CommitWatch
from roomd.storage.postgresql.connection import LONGEST_IDLE, Connection, DatabaseError, Readers, connect
from roomd.storage.postgresql.loading import load_with_seats
from roomd.storage.postgresql.store import PostgresqlStore
from roomd.storage.postgresql.writing import find_conflicts, write_rooms

log = logging.getLogger("roomd.storage.postgresql.node_store")

MOST_ATTEMPTS = 3
"""How often a commit is tried which the server has rolled back in favour of another one."""


class _Append(RoomChanges):
    """Changes of one room, and what became of them."""

    fence: Fence
    """What must be true of the room."""
    is_refused = False
    """Whether the fence did not allow it."""


class NodeStore:
    """The rooms, as one node stores them. It implements `cluster.ports.SharedStore`.

    `database` reads, over `claimers` what a claim waits for.
    """

    def __init__(
        self,
        url: str,
        database: PostgresqlStore,
        claimers: Readers,
        *,
        is_durable: bool = True,
        counters: Counters | None = None,
    ) -> None:
        self._url = url
        self._database = database
        self._claimers = claimers
        self._is_durable = is_durable
        self._counters = counters or Counters()
        self._connection: Connection | None = None
        self._watch = CommitWatch(url)
        self._commits = GroupCommit(self._commit)
        self._last_commit = LastCommit(self._probe)

    async def append(
        self, fence: Fence, room_id: str, changes: Sequence[Change], events: Sequence[LogEvent] = ()
    ) -> None:
        """Store changes of one room, maybe none, if the fence allows it; see `cluster.ports.SharedStore`.

        Raises `RoomLost`, `StorageFailed`, `AlreadySent` and `ExternalIdTaken`.
        """
        append = _Append(room_id, changes, events)
        append.fence = fence
        await self._commits.add(append)
        if append.is_refused:
            raise RoomLost

    async def load_with_seats(self, room_id: str) -> StoredRoom | None:
        """Read a room with its seats and their claims; None without such a room. Raises `StorageFailed`."""
        async with self._database.reading(self._claimers) as db:
            return await load_with_seats(db, room_id)

    def is_nearly_full(self) -> bool:
        """Return False: the disk is that of the server, and its operator's."""
        return False

    def is_failing(self) -> bool:
        """Return whether the last commit failed; see `LastCommit`."""
        return self._last_commit.is_failing()

    async def last_room_id(self) -> str:
        """Read the highest id of a room; empty without rooms. Raises `StorageFailed`."""
        return await self._database.last_room_id()

    async def next_ends(self, limit: int) -> list[tuple[str, str]]:
        """Read which rooms end by themselves next; see `engine.ports.Store`. Raises `StorageFailed`."""
        return await self._database.next_ends(limit)

    async def close(self) -> None:
        """Finish the waiting appends, and close the connection. Closing twice is fine."""
        await self._commits.finish()
        await self._last_commit.close()
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _commit(self, batch: Sequence[RoomChanges]) -> Mapping[int, Conflict]:
        """Write a batch, as `group_commit.Write` says."""
        began = time.perf_counter()
        appends = [one for one in batch if isinstance(one, _Append)]
        generation, versions = appends[0].fence.node.generation, [one.fence.version for one in appends]
        try:
            fenced = await self._run(lambda db: write_rooms(db, generation, versions, appends))
        except ConstraintBroken:
            async with self._database.reading() as db:
                conflicts = await find_conflicts(db, batch)
            if not conflicts:
                raise
            return conflicts
        for one in appends:
            one.is_refused = one.room_id not in fenced
        self._counters.commits.add(time.perf_counter() - began)
        self._counters.changes.add(sum(len(one.changes) for one in appends if not one.is_refused))
        if any(one.events for one in appends if not one.is_refused):
            self._database.on_events()
        return {}

    async def _probe(self) -> None:
        await self._run(_nothing)

    async def _run(self, function: Callable[[Connection], Awaitable[set[str]]]) -> set[str]:
        """Run a function that commits. Raises `RoomLost` when it is not known whether it has, and `StorageFailed`."""
        try:
            if self._connection is None or self._connection.is_closed:
                self._connection = None
                self._connection = await connect(self._url, is_durable=self._is_durable, longest_idle=LONGEST_IDLE)
        except DatabaseError as exc:
            raise self._failed(exc) from exc
        connection = self._connection
        left = MOST_ATTEMPTS
        while True:
            left -= 1
            try:
                with self._watch.watched(connection):
                    done = await function(connection)
                self._last_commit.has_failed = False
                return done
            except DatabaseError as exc:
                if exc.is_lost:
                    connection.terminate()
                    self._failed(exc)
                    raise RoomLost(is_in_doubt=True) from exc
                if not (exc.is_undone and left):
                    raise self._failed(exc) from exc
                # Another node writes to the same rooms. One of the two has them; the fence says which.
                log.warning("commit undone", {"reason": str(exc)})
            except BaseException:
                connection.terminate()  # cancelled in the middle
                raise

    def _failed(self, exc: DatabaseError) -> StorageFailed:
        """Count and log a failure, and return what to raise."""
        self._counters.storage_failures[exc.reason] += 1
        log.error("storage failed", {"error": type(exc.__cause__).__name__, "reason": str(exc)})
        if exc.is_constraint:
            return ConstraintBroken()
        self._last_commit.has_failed = True
        failed = StorageFailed()
        failed.is_lasting = exc.is_lasting
        return failed


async def _nothing(db: Connection) -> set[str]:
    """Write to the database, and change nothing."""
    await db.execute("UPDATE owners SET version = version WHERE false")
    return set()
