"""The store: rooms, participants, messages and bans in PostgreSQL.

`append` stores changes durably. Appends that arrive at the same time share one statement (see `group_commit.py` and
`writing.py`). One connection commits the changes of rooms (`writer.py`); a few others read, and write what only one
daemon would change anyway.
"""

import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import Protocol

from roomd.counters import Counters
from roomd.engine.ports import StorageFailed
from roomd.protocol.log_events import LogEvent
from roomd.protocol.objects import Message, Participant, Room
from roomd.protocol.paging import page
from roomd.rooms.answers import Reader
from roomd.rooms.changes import Change
from roomd.rooms.model import PastStay, StoredRoom
from roomd.storage.group_commit import Conflict, ConstraintBroken, GroupCommit, RoomChanges
from roomd.storage.last_commit import LastCommit
from roomd.storage.postgresql.connection import Connection, DatabaseError, Readers, Row
from roomd.storage.postgresql.loading import load_occupied, load_room
from roomd.storage.postgresql.pinging import Ping
from roomd.storage.postgresql.reading import read_messages
from roomd.storage.postgresql.starting import hold_seats
from roomd.storage.postgresql.writer import Writer
from roomd.storage.postgresql.writing import Fence, find_conflicts, write
from roomd.storage.rows import PARTICIPANT_COLUMNS, ROOM_COLUMNS, to_message, to_room, to_seat
from roomd.storage.tickets import MOST_USED

log = logging.getLogger("roomd.storage.postgresql.store")


class Connections(Protocol):
    """Connections to the database of the store."""

    def connection(self) -> contextlib.AbstractAsyncContextManager[Connection]:
        """Have a connection for the block alone. Raises `DatabaseError`."""
        ...


class PostgresqlStore:
    """An open database. It implements `ports.Database`; `open_store` builds it."""

    def __init__(self, writer: Writer, readers: Readers, counters: Counters | None = None) -> None:
        self._writer = writer
        self._readers = readers
        self._counters = counters or Counters()
        self._commits = GroupCommit(self._commit)
        self._last_commit = LastCommit(self._probe)
        self._ping = Ping(readers.url)
        self.on_events: Callable[[], None] = _nothing
        """Called when log events were committed."""

    async def append(self, room_id: str, changes: Sequence[Change], events: Sequence[LogEvent] = ()) -> None:
        """Store changes of one room, and their log events, durably: all of them or none.

        Raises `StorageFailed`, `AlreadySent` and `ExternalIdTaken`; then nothing was changed.
        """
        await self._commits.add(RoomChanges(room_id, changes, events))

    def is_nearly_full(self) -> bool:
        """Return False: the disk is that of the server, and its operator's."""
        return False

    def is_failing(self) -> bool:
        """Return whether the last commit failed, or it is not known yet whether it was stored.

        If it failed, this starts to commit again, at most once a second; see `LastCommit`.
        """
        return self._writer.is_in_doubt or self._last_commit.is_failing()

    async def load(self, code: str) -> StoredRoom | None:
        """Read a room in which nobody has a seat, by its code; None when there is none.

        Raises `StorageFailed`.
        """
        async with self.reading() as db:
            return await load_room(db, code)

    async def hold_seats(self, restarted_at: str, *, log_events: bool = False) -> list[StoredRoom]:
        """Hold every seat and every place in a queue after a start, and return them with their rooms.

        A seat that was connected when the daemon ended is dropped as of `restarted_at`, a stamp: the time at which its
        connection was really lost is not known. With `log_events` their drops are in the event log. Raises
        `StorageFailed`.
        """

        async def hold(db: Connection, fence: Fence) -> bool:
            return await hold_seats(db, fence, restarted_at, log_events=log_events)

        with self._translated(is_commit=True):
            await self._writer.commit(hold)
        async with self.reading() as db:
            return await load_occupied(db)

    async def last_room_id(self) -> str:
        """Read the highest id of a room; empty without rooms.

        Raises `StorageFailed`.
        """
        ((last_id,),) = await self.fetch("SELECT coalesce(max(id), '') FROM rooms")
        return str(last_id)

    async def rooms_of(
        self,
        host_id: str | None,
        is_active: bool | None,
        cursor: str | None,
        limit: int,
        external_id: str | None = None,
    ) -> tuple[list[Room], str | None]:
        """Read a page of a host's rooms, or of all rooms when `host_id` is None, newest first, and the next cursor.

        With `external_id` only the room that has it is read. Raises `StorageFailed`.
        """
        wanted = {"host_id =": host_id, "is_active =": is_active, "id <": cursor, "external_id =": external_id}
        given = {condition: value for condition, value in wanted.items() if value is not None}
        conditions = [f"{condition} ${number}" for number, condition in enumerate(given, start=2)]
        where = " AND ".join((*conditions, "NOT is_deleted"))
        sql = f"SELECT {ROOM_COLUMNS} FROM rooms WHERE {where} ORDER BY id DESC LIMIT $1"
        return page([to_room(row) for row in await self.fetch(sql, limit + 1, *given.values())], limit)

    async def next_ends(self, limit: int) -> list[tuple[str, str]]:
        """Read which rooms end by themselves next: the stamps of the times, and the codes, the earliest first.

        Raises `StorageFailed`.
        """
        sql = "SELECT ends_at, code FROM rooms WHERE ends_at IS NOT NULL ORDER BY ends_at LIMIT $1"
        return [(at, code) for at, code in await self.fetch(sql, limit)]

    async def history(self, room_id: str, cursor: str | None, limit: int) -> tuple[list[Participant], str | None]:
        """Read a page of everyone who was ever in a room, in the order in which they joined, and the next cursor.

        Raises `StorageFailed`.
        """
        sql = (
            f"SELECT {PARTICIPANT_COLUMNS} FROM participants WHERE room_id = $1 AND id > $2 "
            "AND waits_for IS NULL AND NOT is_hidden ORDER BY id LIMIT $3"
        )
        rows = await self.fetch(sql, room_id, cursor or "", limit + 1)
        return page([to_seat(row).participant for row in rows], limit)

    async def messages(self, reader: Reader, cursor: str | None, limit: int) -> tuple[list[Message], str | None, int]:
        """Read a page of the messages that the reader may see, oldest first, the next cursor, and the rows read.

        Raises `StorageFailed`.
        """
        async with self.reading() as db:
            rows, unread, read = await read_messages(db, reader, cursor, limit + 1)
        messages = [to_message(row) for row in rows]
        found, following = page(messages, limit)
        return found, following or unread, read

    async def past_stay(self, code: str, participant_id: str) -> PastStay | None:
        """Read somebody who is, or was, in the room with this code; None when there is nobody.

        Raises `StorageFailed`.
        """
        sql = (
            f"SELECT {PARTICIPANT_COLUMNS} FROM participants "
            "WHERE room_id = (SELECT id FROM rooms WHERE code = $1) AND id = $2 AND waits_for IS NULL"
        )
        seats = [to_seat(row) for row in await self.fetch(sql, code, participant_id)]
        return PastStay(seats[0].participant, seats[0].address_key) if seats else None

    async def use_ticket(self, key: str, valid_until: float, now: float) -> bool:
        """Note that a ticket was used, durably. Return False when it was used before. Times are in seconds.

        Tickets that are not valid any more are forgotten. Raises `StorageFailed`, also when too many are known.
        """
        async with self.reading() as db:
            await db.execute("DELETE FROM used_tickets WHERE valid_until < $1", now)
            ((count,),) = await db.fetch("SELECT count(*) FROM used_tickets")
            if count < MOST_USED:
                sql = "INSERT INTO used_tickets VALUES ($1, $2) ON CONFLICT DO NOTHING"
                return await db.execute(sql, key, valid_until) == 1
        log.error("too many tickets")
        self._counters.storage_failures["tickets"] += 1
        raise StorageFailed

    async def address_secret(self) -> bytes:
        """Read the key of the hashes of network addresses.

        Raises `StorageFailed`.
        """
        ((secret,),) = await self.fetch("SELECT value FROM secrets WHERE name = 'address'")
        return bytes(secret)

    async def fetch(self, sql: str, *values: object) -> list[Row]:
        """Run one statement that needs no fence, and return its rows.

        Raises `StorageFailed`.
        """
        async with self.reading() as db:
            return await db.fetch(sql, *values)

    @contextlib.asynccontextmanager
    async def reading(self, connections: Connections | None = None) -> AsyncIterator[Connection]:
        """Have a connection for reading, and for writing what needs no fence; one of `connections`, if they are given.

        Raises `StorageFailed`.
        """
        with self._translated():
            async with (connections or self._readers).connection() as connection:
                yield connection

    async def ping(self) -> None:
        """Return when the server has answered.

        Raises `StorageFailed`.
        """
        await self._ping.ask()

    async def answers(self) -> None:
        """Return at once: whether this process lives does not depend on another one, the server."""

    async def close(self) -> None:
        """Finish the waiting appends and close the connections. Closing twice is fine."""
        self._writer.stop_waiting()
        await self._commits.finish()
        await self._last_commit.close()
        await self._writer.close()
        await self._readers.close()
        await self._ping.close()

    async def _commit(self, batch: Sequence[RoomChanges]) -> Mapping[int, Conflict]:
        """Write a batch, as `group_commit.Write` says."""
        began = time.perf_counter()
        with self._translated(is_commit=True):
            try:
                await self._writer.commit(lambda db, fence: write(db, fence, batch))
            except DatabaseError as exc:
                conflicts = await self._conflicts(batch) if exc.is_constraint else {}
                if not conflicts:
                    raise
                return conflicts
        self._counters.commits.add(time.perf_counter() - began)
        self._counters.changes.add(sum(len(one.changes) for one in batch))
        if any(one.events for one in batch):
            self.on_events()
        return {}

    async def _conflicts(self, batch: Sequence[RoomChanges]) -> Mapping[int, Conflict]:
        async with self.reading() as db:
            return await find_conflicts(db, batch)

    async def _probe(self) -> None:
        with self._translated(is_commit=True):
            await self._writer.probe()

    @contextlib.contextmanager
    def _translated(self, *, is_commit: bool = False) -> Iterator[None]:
        """Raise `StorageFailed` for what fails in the block, and count and log it."""
        try:
            yield
        except StorageFailed:
            self._last_commit.has_failed |= is_commit
            raise
        except DatabaseError as exc:
            self._last_commit.has_failed |= is_commit
            log.error("storage failed", {"error": type(exc.__cause__).__name__, "reason": str(exc)})
            self._counters.storage_failures[exc.reason] += 1
            failed = ConstraintBroken() if exc.is_constraint else StorageFailed()
            failed.is_lasting = exc.is_lasting
            raise failed from exc
        if is_commit:
            self._last_commit.has_failed = False


def _nothing() -> None:
    """Do nothing."""
