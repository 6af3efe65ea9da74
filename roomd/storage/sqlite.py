"""The store: rooms, participants, messages and bans in one SQLite file.

`append` stores changes durably. Appends that arrive at the same time share one fsync (see `group_commit.py`). A
transaction is one function that runs on the writer's thread (see `writing.py`).

There are three connections: a writer, which only `append` and the start use, a reader, so that no join waits for a long
page of history, and one for checkpoints. With write-ahead logging they can work at the same time.
"""

import asyncio
import logging
import os
import sqlite3
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

from roomd.counters import Counters
from roomd.engine.ports import StorageFailed
from roomd.protocol.log_events import LogEvent
from roomd.protocol.objects import Message, Participant, Room
from roomd.protocol.paging import page
from roomd.rooms.answers import Reader
from roomd.rooms.changes import Change
from roomd.rooms.model import PastStay, Seat, StoredRoom
from roomd.storage.events import write_drops
from roomd.storage.group_commit import Conflict, ConstraintBroken, GroupCommit, RoomChanges
from roomd.storage.last_commit import LastCommit
from roomd.storage.loading import STORED_COLUMNS, stored_room, with_seats
from roomd.storage.migrations import rewrite_version
from roomd.storage.reading import read_messages
from roomd.storage.rows import (
    PARTICIPANT_COLUMNS,
    ROOM_COLUMNS,
    to_message,
    to_room,
    to_seat,
)
from roomd.storage.space import Space
from roomd.storage.tickets import use
from roomd.storage.worker import Worker
from roomd.storage.writing import in_transaction, write_new

log = logging.getLogger("roomd.storage.sqlite")

T = TypeVar("T")

CHANGE_BYTES = 10_000
"""The bytes that a change has in the database at most, about: the longest message has 8,000."""
OTHER = "other"
REASONS = {
    sqlite3.SQLITE_BUSY: "busy",
    sqlite3.SQLITE_LOCKED: "busy",
    sqlite3.SQLITE_READONLY: "readonly",
    sqlite3.SQLITE_IOERR: "io",
    sqlite3.SQLITE_CORRUPT: "corrupt",
    sqlite3.SQLITE_NOTADB: "corrupt",
    sqlite3.SQLITE_FULL: "full",
    sqlite3.SQLITE_CANTOPEN: "cannot_open",
    sqlite3.SQLITE_CONSTRAINT: "constraint",
}
"""The names of failures, by the result code of SQLite."""


class SqliteStore:
    """An open database. It implements `ports.Store` and `ports.Archive`; `open_store` builds it.

    `lock` is the descriptor that has the lock on the file; -1 without one. `space` knows the free space.
    """

    def __init__(
        self,
        writer: Worker,
        reader: Worker,
        checkpointer: Worker,
        lock: int,
        space: Space,
        counters: Counters | None = None,
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._checkpointer = checkpointer
        self._lock = lock
        self._space = space
        self._counters = counters or Counters()
        self._commits = GroupCommit(self._commit)
        self._last_commit = LastCommit(lambda: self.write(rewrite_version))
        self.on_events: Callable[[], None] = _nothing
        """Called when log events were committed."""

    async def append(self, room_id: str, changes: Sequence[Change], events: Sequence[LogEvent] = ()) -> None:
        """Store changes of one room, and their log events, durably: all of them or none.

        Raises `StorageFailed`, `AlreadySent` and `ExternalIdTaken`; then nothing was changed.
        """
        await self._commits.add(RoomChanges(room_id, changes, events))

    def is_nearly_full(self) -> bool:
        """Return whether less than `database.reserve` bytes are free, as of a short time ago."""
        return self._space.is_low()

    def is_failing(self) -> bool:
        """Return whether the last commit failed.

        If so, this starts to commit again, at most once a second; see `LastCommit`.
        """
        return self._last_commit.is_failing()

    async def load(self, code: str) -> StoredRoom | None:
        """Read a room in which nobody has a seat, by its code; None when there is none.

        Raises `StorageFailed`.
        """

        def read(db: sqlite3.Connection) -> StoredRoom | None:
            sql = f"SELECT {STORED_COLUMNS} FROM rooms WHERE code = ?"  # noqa: S608 - our own names
            row = db.execute(sql, (code,)).fetchone()
            return stored_room(db, row) if row else None

        return await self.read(read)

    async def hold_seats(self, restarted_at: str, *, log_events: bool = False) -> list[StoredRoom]:
        """Hold every seat and every place in a queue after a start, and return them with their rooms.

        A seat that was connected when the daemon ended is dropped as of `restarted_at`, a stamp: the time at which its
        connection was really lost is not known. With `log_events` their drops are in the event log. Raises
        `StorageFailed`.
        """

        def hold_and_read(db: sqlite3.Connection) -> list[StoredRoom]:
            if log_events:
                write_drops(db, restarted_at)
            db.execute(
                "UPDATE participants SET is_active = 0, dropped_at = coalesce(dropped_at, ?) WHERE left_at IS NULL",
                (restarted_at,),
            )
            rooms = db.execute(
                f"SELECT {STORED_COLUMNS} FROM rooms WHERE id IN "  # noqa: S608 - our own names
                "(SELECT room_id FROM participants WHERE left_at IS NULL)"
            ).fetchall()
            seats: dict[str, list[Seat]] = {}
            for row in db.execute(
                f"SELECT {PARTICIPANT_COLUMNS} FROM participants WHERE left_at IS NULL "  # noqa: S608
                "ORDER BY CASE WHEN waits_for IS NULL THEN coalesce(seated_id, id) END, id"
            ):
                seats.setdefault(row[0], []).append(to_seat(row))
            return [with_seats(db, stored_room(db, row), seats[row[0]]) for row in rooms]

        return await self.write(hold_and_read)

    async def last_room_id(self) -> str:
        """Read the highest id of a room; empty without rooms.

        Raises `StorageFailed`.
        """
        ((last_id,),) = await self._read("SELECT coalesce(max(id), '') FROM rooms", ())
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
        wanted = {"host_id = ?": host_id, "is_active = ?": is_active, "id < ?": cursor, "external_id = ?": external_id}
        given = {condition: value for condition, value in wanted.items() if value is not None}
        where = " AND ".join((*given, "NOT is_deleted"))
        sql = f"SELECT {ROOM_COLUMNS} FROM rooms WHERE {where} ORDER BY id DESC LIMIT ?"  # noqa: S608 - our own
        return page([to_room(row) for row in await self._read(sql, (*given.values(), limit + 1))], limit)

    async def next_ends(self, limit: int) -> list[tuple[str, str]]:
        """Read which rooms end by themselves next: the stamps of the times, and the codes, the earliest first.

        Raises `StorageFailed`.
        """
        return await self._read(
            "SELECT ends_at, code FROM rooms WHERE ends_at IS NOT NULL ORDER BY ends_at LIMIT ?", (limit,)
        )

    async def history(self, room_id: str, cursor: str | None, limit: int) -> tuple[list[Participant], str | None]:
        """Read a page of everyone who was ever in a room, in the order in which they joined, and the next cursor.

        Raises `StorageFailed`.
        """
        sql = (
            f"SELECT {PARTICIPANT_COLUMNS} FROM participants WHERE room_id = ? AND id > ? "  # noqa: S608
            "AND waits_for IS NULL AND NOT is_hidden ORDER BY id LIMIT ?"
        )
        rows = await self._read(sql, (room_id, cursor or "", limit + 1))
        return page([to_seat(row).participant for row in rows], limit)

    async def messages(self, reader: Reader, cursor: str | None, limit: int) -> tuple[list[Message], str | None, int]:
        """Read a page of the messages that the reader may see, oldest first, the next cursor, and the rows read.

        Raises `StorageFailed`.
        """
        rows, unread, read = await self.read(lambda db: read_messages(db, reader, cursor, limit + 1))
        found, following = page([to_message(row) for row in rows], limit)
        return found, following or unread, read

    async def use_ticket(self, key: str, valid_until: float, now: float) -> bool:
        """Note that a ticket was used, durably. Return False when it was used before. Times are in seconds.

        Tickets that are not valid any more are forgotten. Raises `StorageFailed`, also when too many are known.
        """
        used = await self.write(lambda db: use(db, key, valid_until, now))
        if used is None:
            log.error("too many tickets")
            self._counters.storage_failures["tickets"] += 1
            raise StorageFailed
        return used

    async def past_stay(self, code: str, participant_id: str) -> PastStay | None:
        """Read somebody who is, or was, in the room with this code; None when there is nobody.

        Raises `StorageFailed`.
        """
        sql = (
            f"SELECT {PARTICIPANT_COLUMNS} FROM participants "  # noqa: S608 - our own names
            "WHERE room_id = (SELECT id FROM rooms WHERE code = ?) AND id = ? AND waits_for IS NULL"
        )
        seats = [to_seat(row) for row in await self._read(sql, (code, participant_id))]
        return PastStay(seats[0].participant, seats[0].address_key) if seats else None

    async def address_secret(self) -> bytes:
        """Read the key of the hashes of network addresses.

        Raises `StorageFailed`.
        """
        ((secret,),) = await self._read("SELECT value FROM secrets WHERE name = 'address'", ())
        return bytes(secret)

    async def read(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Run a function that only reads, with the reader's connection, on its thread.

        Raises `StorageFailed`.
        """
        return await self._run(self._reader, function)

    async def write(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Run a function in a transaction of its own, with the writer's connection, on its thread.

        Raises `StorageFailed`; then nothing was changed.
        """
        return await self._run(self._writer, lambda db: in_transaction(db, lambda: function(db)))

    async def maintain(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Run a function that opens no transaction, or its own, with the writer's connection, on its thread.

        Raises `StorageFailed`.
        """
        return await self._run(self._writer, function)

    async def checkpoint(self) -> None:
        """Write what is in the write-ahead log into the file, as far as nobody has to wait for it.

        SQLite does that by itself in every commit that makes the log long, and the joins in it wait: longer, the more
        pages were written. Raises `StorageFailed`.
        """
        await self._run(self._checkpointer, lambda db: db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall())

    async def ping(self) -> None:
        """Return at once: there is no server."""

    async def answers(self) -> None:
        """Return when the threads of the writer and the reader have answered, so that neither of them hangs."""
        for worker in (self._writer, self._reader):
            await worker.answers()

    async def close(self) -> None:
        """Finish the waiting appends and close the file. Closing twice is fine."""
        await self._commits.finish()
        await self._last_commit.close()
        await self._checkpointer.close()
        await self._reader.close()
        await self._writer.close()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _commit(self, batch: Sequence[RoomChanges]) -> Awaitable[Mapping[int, Conflict]]:
        """Write a batch, as `group_commit.Write` says. The thread begins before this returns."""
        return self._finish_commit(batch, time.perf_counter(), self._writer.begin(lambda db: write_new(db, batch)))

    async def _finish_commit(
        self, batch: Sequence[RoomChanges], began: float, written: "asyncio.Future[dict[int, Conflict]]"
    ) -> Mapping[int, Conflict]:
        conflicts = await self._result(self._writer, written)
        size = sum(len(one.changes) for one in batch)
        self._counters.commits.add(time.perf_counter() - began)
        self._counters.changes.add(size)
        self._space.wrote(CHANGE_BYTES * size)
        if not conflicts and any(one.events for one in batch):
            self.on_events()
        return conflicts

    async def _read(self, sql: str, values: Sequence[object]) -> list[tuple[Any, ...]]:
        return await self.read(lambda db: db.execute(sql, values).fetchall())

    async def _run(self, worker: Worker, function: Callable[[sqlite3.Connection], T]) -> T:
        return await self._result(worker, worker.begin(function))

    async def _result(self, worker: Worker, begun: "asyncio.Future[T]") -> T:
        try:
            done = await worker.result(begun)
        except sqlite3.Error as exc:
            self._last_commit.has_failed |= worker is self._writer
            log.error("storage failed", {"error": type(exc).__name__, "reason": str(exc)})
            self._counters.storage_failures[_reason(exc)] += 1
            failed = ConstraintBroken() if isinstance(exc, sqlite3.IntegrityError) else StorageFailed()
            failed.is_lasting = is_lasting(exc)
            raise failed from exc
        if worker is self._writer:
            self._last_commit.has_failed = False
        return done


def _nothing() -> None:
    """Do nothing."""


def _reason(error: sqlite3.Error) -> str:
    """Return a short name of why SQLite failed, by its primary result code (sqlite.org/rescode.html)."""
    return REASONS.get(getattr(error, "sqlite_errorcode", 0) & 0xFF, OTHER)


def is_lasting(error: sqlite3.Error) -> bool:
    """Return whether an operator must repair the file. False for errors that may pass: locked, disk full, I/O error."""
    code = getattr(error, "sqlite_errorcode", 0)  # absent when the error is not from SQLite itself
    return code & 0xFF in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_ERROR)
