"""The store: rooms, participants, messages and bans in one SQLite file.

`append` makes changes durable. While one transaction runs, the appends of all rooms gather and make the next one
(group commit), so the price of an fsync is shared by whoever arrives together, without a timer. A transaction is one
function on the database thread (see `writing.py`).

Two connections: the writer, which only `append` and the start use, and a reader, so that a long page of history never
holds up a join. Write-ahead logging lets them run side by side.
"""

import asyncio
import logging
import os
import sqlite3
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any, NamedTuple, TypeVar

import msgspec

from roomd.engine.ports import StorageFailed
from roomd.protocol.objects import Message, Participant, Room
from roomd.protocol.paging import page
from roomd.rooms.answers import Reader
from roomd.rooms.changes import Change
from roomd.rooms.model import Seat, StoredRoom
from roomd.rooms.room import MESSAGES_SHOWN
from roomd.storage.rows import (
    BAN_COLUMNS,
    MESSAGE_COLUMNS,
    PARTICIPANT_COLUMNS,
    ROOM_COLUMNS,
    to_ban,
    to_message,
    to_room,
    to_seat,
)
from roomd.storage.worker import Worker
from roomd.storage.writing import RoomChanges, in_transaction, write

log = logging.getLogger("roomd.storage.sqlite")

T = TypeVar("T")

PAGE_BYTES = 256 * 1024
"""Bytes of messages in one page, about the most."""


class _Append(NamedTuple):
    """An append that waits for a transaction."""

    changes: RoomChanges
    done: asyncio.Future[None]


class SqliteStore:
    """An open database. Make one with `open_store`. Offers `ports.Store` and `ports.Archive`."""

    def __init__(self, writer: Worker, reader: Worker, lock: int) -> None:
        self._writer = writer
        self._reader = reader
        self._lock = lock
        self._waiting: list[_Append] = []
        self._committer: asyncio.Task[None] | None = None

    async def append(self, room_id: str, changes: Sequence[Change]) -> None:
        """Make changes of one room durable, all or none.

        Raises `StorageFailed`; then nothing was changed.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Append(RoomChanges(room_id, changes), done))
        if self._committer is None:
            self._committer = asyncio.create_task(self._commit_waiting())
        await done

    async def load(self, code: str) -> StoredRoom | None:
        """Read a room that nobody has a seat in by its code; None when there is none.

        Raises `StorageFailed`.
        """

        def read(db: sqlite3.Connection) -> StoredRoom | None:
            sql = f"SELECT {ROOM_COLUMNS} FROM rooms WHERE code = ?"  # noqa: S608 - our own names
            row = db.execute(sql, (code,)).fetchone()
            return _stored(db, to_room(row)) if row else None

        return await self._run(self._reader, read)

    async def hold_seats(self, restarted_at: str) -> list[StoredRoom]:
        """Hold every seat, and every place in a queue, anew after a start, and read them with their rooms.

        A seat that was connected when the daemon died counts as dropped at `restarted_at`: that its connection was
        there until then is the most that is known.
        """

        def hold_and_read(db: sqlite3.Connection) -> list[StoredRoom]:
            db.execute(
                "UPDATE participants SET is_active = 0, dropped_at = coalesce(dropped_at, ?) WHERE left_at IS NULL",
                (restarted_at,),
            )
            rooms = db.execute(
                f"SELECT {ROOM_COLUMNS} FROM rooms WHERE id IN "  # noqa: S608 - our own names
                "(SELECT room_id FROM participants WHERE left_at IS NULL)"
            ).fetchall()
            seats: dict[str, list[Seat]] = {}
            for row in db.execute(
                f"SELECT {PARTICIPANT_COLUMNS} FROM participants WHERE left_at IS NULL "  # noqa: S608
                "ORDER BY CASE WHEN waits_for IS NULL THEN joined_at END, id"
            ):
                seats.setdefault(row[0], []).append(to_seat(row))
            return [_stored(db, to_room(row), seats[row[0]]) for row in rooms]

        return await self._run(self._writer, lambda db: in_transaction(db, lambda: hold_and_read(db)))

    async def rooms_of(
        self, host_id: str | None, is_active: bool | None, cursor: str | None, limit: int
    ) -> tuple[list[Room], str | None]:
        """Read a page of a host's rooms, of all rooms when `host_id` is None: newest first, and the next cursor.

        Raises `StorageFailed`.
        """
        wanted = {"host_id = ?": host_id, "is_active = ?": is_active, "id < ?": cursor}
        given = {condition: value for condition, value in wanted.items() if value is not None}
        where = " AND ".join(given) or "true"
        sql = f"SELECT {ROOM_COLUMNS} FROM rooms WHERE {where} ORDER BY id DESC LIMIT ?"  # noqa: S608 - our own
        return page([to_room(row) for row in await self._read(sql, (*given.values(), limit + 1))], limit)

    async def history(self, room_id: str, cursor: str | None, limit: int) -> tuple[list[Participant], str | None]:
        """Read a page of everyone who was ever in a room, in the order they joined, and the next cursor.

        Raises `StorageFailed`.
        """
        sql = (
            f"SELECT {PARTICIPANT_COLUMNS} FROM participants WHERE room_id = ? AND id > ? "  # noqa: S608
            "AND waits_for IS NULL ORDER BY id LIMIT ?"
        )
        rows = await self._read(sql, (room_id, cursor or "", limit + 1))
        return page([to_seat(row).participant for row in rows], limit)

    async def messages(self, reader: Reader, cursor: str | None, limit: int) -> tuple[list[Message], str | None]:
        """Read a page of what was said to everyone and to or by the reader, in its order, and the next cursor.

        Raises `StorageFailed`.
        """
        sql = (
            f"SELECT {MESSAGE_COLUMNS} FROM messages WHERE room_id = ? AND id > ? "  # noqa: S608
            "AND (to_id IS NULL OR ? IN (participant_id, to_id) OR ? IN (user_id, to_user_id)) ORDER BY id LIMIT ?"
        )
        mine = (reader.participant_id, reader.user_id)
        rows = await self._read(sql, (reader.room_id, cursor or "", *mine, limit + 1))
        messages = [to_message(row) for row in rows]
        return page(messages, min(limit, fitting(messages)))

    async def close(self) -> None:
        """Finish what was begun and close the file. Closing twice is fine."""
        while self._committer is not None:
            await self._committer
        await self._reader.close()
        await self._writer.close()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    async def _commit_waiting(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting, []
                await self._commit(batch)
        finally:
            self._committer = None

    async def _commit(self, batch: list[_Append]) -> None:
        failure: Exception | None = None
        try:
            await self._run(self._writer, lambda db: write(db, [one.changes for one in batch]))
        except Exception as exc:  # noqa: BLE001 - the edge of a batch: whatever it was, those who wait must hear of it
            failure = exc
        if len(batch) > 1 and isinstance(failure and failure.__cause__, sqlite3.IntegrityError):
            for one in batch:  # only the append that broke a constraint fails, not its neighbours
                await self._commit([one])
            return
        for one in batch:
            if one.done.done():  # whoever asked was cancelled
                continue
            if failure is None:
                one.done.set_result(None)
            else:
                one.done.set_exception(failure)

    async def _read(self, sql: str, values: Sequence[object]) -> list[tuple[Any, ...]]:
        return await self._run(self._reader, lambda db: db.execute(sql, values).fetchall())

    async def _run(self, worker: Worker, function: Callable[[sqlite3.Connection], T]) -> T:
        try:
            return await worker.run(function)
        except sqlite3.Error as exc:
            log.error("storage failed", {"error": type(exc).__name__, "reason": str(exc)})
            failed = StorageFailed()
            failed.lasting = is_lasting(exc)
            raise failed from exc


def is_lasting(error: sqlite3.Error) -> bool:
    """Tell what somebody must mend from what may pass: locked, full, failing."""
    code = getattr(error, "sqlite_errorcode", 0)  # absent when it is not SQLite that objects
    return code & 0xFF in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_ERROR)


def fitting(messages: Sequence[Message]) -> int:
    """Count how many messages make a page that a slow client can be sent at once; one always does."""
    sizes = accumulate(len(msgspec.json.encode(message)) for message in messages)
    return max(1, sum(size <= PAGE_BYTES for size in sizes))


def _stored(db: sqlite3.Connection, room: Room, seats: Sequence[Seat] = ()) -> StoredRoom:
    """Read what else belongs to a room."""
    last_ids = (_last_id(db, table, room.id) for table in ("participants", "messages"))
    bans = db.execute(f"SELECT {BAN_COLUMNS} FROM bans WHERE room_id = ?", (room.id,))  # noqa: S608 - our own
    # The planner takes the primary key for as good as `public_messages`, and would read every private message.
    said = db.execute(
        f"SELECT {MESSAGE_COLUMNS} FROM messages INDEXED BY public_messages "  # noqa: S608 - our own
        "WHERE room_id = ? AND to_id IS NULL ORDER BY id DESC LIMIT ?",
        (room.id, MESSAGES_SHOWN),
    )
    messages = [to_message(row) for row in said][::-1]
    return StoredRoom(room, seats, [to_ban(row) for row in bans], messages, max(last_ids))


def _last_id(db: sqlite3.Connection, table: str, room_id: str) -> str:
    row = db.execute(
        f"SELECT id FROM {table} WHERE room_id = ? ORDER BY id DESC LIMIT 1",  # noqa: S608 - our own names
        (room_id,),
    ).fetchone()
    return str(row[0]) if row else ""
