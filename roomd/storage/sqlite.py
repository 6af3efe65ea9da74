"""The only SQL: rooms, participants, messages and bans in one SQLite file.

`append` makes events durable. While one transaction runs, the appends of all rooms gather and make the next one
(group commit), so the price of an fsync is shared by whoever arrives together, without a timer. A transaction is one
function on the database thread, and its statements take many rows each: Python's sqlite3 gives up the interpreter lock
around every statement, and every return to it costs a wait for the busy event loop.

Two connections: the writer, which only `append` and the start touch, and a reader, so that a long page of history never
holds up a join. WAL lets them run side by side.
"""

import asyncio
import fcntl
import logging
import os
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import resources
from itertools import accumulate
from pathlib import Path
from typing import Any, TypeVar

import aiosqlite
import msgspec

from roomd.config import DatabaseConfig
from roomd.protocol.objects import Message, Participant, Room
from roomd.rooms.commands import (
    Event,
    Kept,
    MessageSent,
    Reader,
    RoomChanged,
    Seat,
    SeatChanged,
    UserBanned,
    UserUnbanned,
)
from roomd.rooms.state import MESSAGES_SHOWN
from roomd.storage.rows import (
    BAN_COLUMNS,
    MESSAGE_COLUMNS,
    PARTICIPANT_COLUMNS,
    ROOM_COLUMNS,
    message_row,
    room_row,
    seat_row,
    to_ban,
    to_message,
    to_room,
    to_seat,
)

log = logging.getLogger("roomd.storage.sqlite")

T = TypeVar("T")

APPLICATION_ID = 0x726F6F6D
"""What schema.sql marks a database of roomd's with."""
SCHEMA_VERSION = 2

# MIGRATIONS[n] is the SQL from user_version n to n + 1. An empty file is at 0, and schema.sql leads to the newest.
MIGRATIONS: dict[int, str] = {
    1: """
        ALTER TABLE participants ADD COLUMN state TEXT NOT NULL DEFAULT '{}';
        ALTER TABLE participants ADD COLUMN waits_for TEXT CHECK (waits_for IN ('waiting_room', 'room_full'));

        CREATE TABLE messages (
            room_id        TEXT NOT NULL REFERENCES rooms (id),
            id             TEXT NOT NULL,
            participant_id TEXT NOT NULL,
            user_id        TEXT,
            display_name   TEXT NOT NULL,
            text           TEXT NOT NULL,
            sent_at        TEXT NOT NULL,
            to_id          TEXT,
            to_user_id     TEXT,
            PRIMARY KEY (room_id, id)
        ) STRICT, WITHOUT ROWID;
        CREATE INDEX public_messages ON messages (room_id, id) WHERE to_id IS NULL;

        CREATE TABLE bans (
            room_id      TEXT NOT NULL REFERENCES rooms (id),
            user_id      TEXT NOT NULL,
            display_name TEXT NOT NULL,
            reason       TEXT,
            banned_at    TEXT NOT NULL,
            PRIMARY KEY (room_id, user_id)
        ) STRICT, WITHOUT ROWID;

        PRAGMA user_version = 2;
    """,
}


class StorageFailed(Exception):  # noqa: N818 - an event, not a mistake of the caller
    """The database did not take or give what was asked; nothing was changed."""

    lasting = False
    """It is no database, or a broken one: trying again does not help."""


class StoreError(Exception):
    """The database cannot be opened; the text says why and what to do."""


class StoreBusy(StoreError):  # noqa: N818 - a state, not a mistake
    """The database cannot be opened now, for a reason that may pass."""


PAGE_BYTES = 256 * 1024
"""Bytes of messages in one page, about the most."""

MOST_ROWS = 64
"""Rows in one statement. Statements have 1, 2, 4, … rows, so that few are ever prepared."""


@cache  # four tables, and seven numbers of rows
def _upsert(table: str, columns: str, key: str, rows: int) -> str:
    names = columns.split(", ")
    values = ", ".join([f"({', '.join('?' * len(names))})"] * rows)
    changes = ", ".join(f"{name} = excluded.{name}" for name in names if name not in key.split(", "))
    return (
        f"INSERT INTO {table} ({columns}) VALUES {values} "  # noqa: S608 - our own names
        f"ON CONFLICT ({key}) DO UPDATE SET {changes}"
    )


class Store:
    """An open database. Make one with `open_store`."""

    def __init__(self, writer: aiosqlite.Connection, reader: aiosqlite.Connection, lock: int) -> None:
        self._writer = writer
        self._reader = reader
        self._lock = lock
        self._waiting: list[tuple[Sequence[Event], asyncio.Future[None]]] = []
        self._committer: asyncio.Task[None] | None = None

    async def append(self, events: Sequence[Event]) -> None:
        """Make events durable, all or none.

        Raises `StorageFailed`; then nothing was changed.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((events, done))
        if self._committer is None:
            self._committer = asyncio.create_task(self._commit_waiting())
        await done

    async def load(self, code: str) -> Kept | None:
        """Read a room that nobody has a seat in by its code; None when there is none.

        Raises `StorageFailed`.
        """

        def read(db: sqlite3.Connection) -> Kept | None:
            sql = f"SELECT {ROOM_COLUMNS} FROM rooms WHERE code = ?"  # noqa: S608 - our own names
            row = db.execute(sql, (code,)).fetchone()
            return _kept(db, to_room(row)) if row else None

        return await self._run(self._reader, read)

    async def seats(self, restarted_at: str) -> list[Kept]:
        """Hold every seat, and every place in a queue, anew after a start, and read them with their rooms.

        A seat that was connected when the daemon died counts as dropped at `restarted_at`: that its connection was
        there until then is the most that is known.
        """

        def hold_and_read(db: sqlite3.Connection) -> list[Kept]:
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
            return [_kept(db, to_room(row), seats[row[0]]) for row in rooms]

        return await self._run(self._writer, lambda db: _in_transaction(db, lambda: hold_and_read(db)))

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

    async def _commit(self, batch: list[tuple[Sequence[Event], asyncio.Future[None]]]) -> None:
        events = [event for events, _ in batch for event in events]
        failure: Exception | None = None
        try:
            await self._run(self._writer, lambda db: _write(db, events))
        except Exception as exc:  # noqa: BLE001 - whatever it was, those who wait must hear of it
            failure = exc
        if len(batch) > 1 and isinstance(failure and failure.__cause__, sqlite3.IntegrityError):
            for one in batch:  # only the append that broke a constraint fails, not its neighbours
                await self._commit([one])
            return
        for _, done in batch:
            if done.done():  # its turn was cancelled
                continue
            if failure is None:
                done.set_result(None)
            else:
                done.set_exception(failure)

    async def _read(self, sql: str, values: Any) -> list[Any]:
        return await self._run(self._reader, lambda db: db.execute(sql, values).fetchall())

    async def _run(self, connection: aiosqlite.Connection, function: Callable[[sqlite3.Connection], T]) -> T:
        """Run one function on a connection's thread: aiosqlite's own way in, for more than one statement a hop."""
        try:
            result: T = await connection._execute(function, connection._conn)  # type: ignore[no-untyped-call]
        except sqlite3.Error as exc:
            log.error("storage failed", {"error": type(exc).__name__, "reason": str(exc)})
            failed = StorageFailed()
            failed.lasting = _lasts(exc)
            raise failed from exc
        return result


async def open_store(config: DatabaseConfig) -> Store:
    """Open the database, made or migrated as needed, for this process alone.

    Raises `StoreError`.
    """
    path = Path(config.path)
    lock = _lock(path)
    try:
        sqlite3.connect(path).close()  # what cannot be opened fails here, where no thread has begun
        writer = await aiosqlite.connect(path, isolation_level=None, timeout=config.busy_timeout)
        try:
            await writer._execute(_prepare, writer._conn, config)  # type: ignore[no-untyped-call]
            reader = await aiosqlite.connect(path, isolation_level=None, timeout=config.busy_timeout)
            await reader.execute("PRAGMA query_only = ON")
        except BaseException:
            await writer.close()
            raise
    except BaseException as exc:
        os.close(lock)
        if isinstance(exc, sqlite3.Error):
            kind = StoreError if _lasts(exc) else StoreBusy
            raise kind(f"{path}: cannot be opened: {exc}") from None
        raise
    return Store(writer, reader, lock)


def _lasts(error: sqlite3.Error) -> bool:
    """Tell what somebody must mend from what may pass: locked, full, failing."""
    code = getattr(error, "sqlite_errorcode", 0)  # absent when it is not SQLite that objects
    return code & 0xFF in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_ERROR)


def _lock(path: Path) -> int:
    """Mark the database as served; the kernel frees the mark however the process ends.

    It is on the file itself, so that no other name of it gets around. Its descriptor is opened before SQLite's and
    closed after them: closing one in between would drop SQLite's own locks, which belong to the process (POSIX).
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        raise StoreError(f"{path}: cannot be opened: {exc.strerror}") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise StoreBusy(f"{path}: another roomd is serving this database; stop it or choose another file") from None
    return lock


def _prepare(db: sqlite3.Connection, config: DatabaseConfig) -> None:
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"{config.path}: made by a newer roomd (schema {version}, this one knows {SCHEMA_VERSION}); "
            "install that version or restore a backup"
        )
    ours = db.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
    if not ours and (version or db.execute("SELECT 1 FROM sqlite_schema").fetchone()):
        raise StoreError(f"{config.path}: a database of another program; choose another file")
    if db.execute("PRAGMA journal_mode = WAL").fetchone() != ("wal",):
        raise StoreError(f"{config.path}: its file system cannot do write-ahead logging; choose a local disk")
    db.execute(f"PRAGMA synchronous = {config.synchronous}")
    db.execute("PRAGMA foreign_keys = ON")
    # A statement of many rows can be undone alone; SQLite keeps what it needs for that in a file of its own by default.
    db.execute("PRAGMA temp_store = MEMORY")
    migrate(db, {0: schema(), **MIGRATIONS})


def migrate(db: sqlite3.Connection, steps: Mapping[int, str]) -> None:
    """Lead a database forward, one step a transaction, until no step starts at its `user_version`.

    A step is SQL that ends by setting `PRAGMA user_version` to one more.
    """
    while script := steps.get(version := db.execute("PRAGMA user_version").fetchone()[0]):
        db.executescript(f"BEGIN IMMEDIATE;\n{script}\nCOMMIT;")
        if version:
            log.info("database led forward", {"from": version, "to": version + 1})


def schema() -> str:
    """Read schema.sql; in a checkout it is a link to the file at the top."""
    return (resources.files("roomd.storage") / "schema.sql").read_text(encoding="utf-8")


def _write(db: sqlite3.Connection, events: Sequence[Event]) -> None:
    rooms = [room_row(event.room) for event in events if isinstance(event, RoomChanged)]
    participants = [seat_row(event.seat) for event in events if isinstance(event, SeatChanged)]
    messages = [message_row(event) for event in events if isinstance(event, MessageSent)]
    bans = [event for event in events if isinstance(event, (UserBanned, UserUnbanned))]
    gave_up = [  # who leaves the queue was never in the room
        (event.seat.participant.room_id, event.seat.participant.id)
        for event in events
        if isinstance(event, SeatChanged) and event.seat.waits_for and event.seat.participant.left_at
    ]

    def write() -> None:
        _write_rows(db, "rooms", ROOM_COLUMNS, "id", rooms)
        _write_rows(db, "participants", PARTICIPANT_COLUMNS, "room_id, id", participants)
        _write_rows(db, "messages", MESSAGE_COLUMNS, "room_id, id", messages)
        for event in bans:
            _write_ban(db, event)
        if gave_up:
            db.executemany("DELETE FROM participants WHERE room_id = ? AND id = ?", gave_up)

    _in_transaction(db, write)


def _write_ban(db: sqlite3.Connection, event: UserBanned | UserUnbanned) -> None:
    if isinstance(event, UserBanned):
        _write_rows(db, "bans", BAN_COLUMNS, "room_id, user_id", [(event.room_id, *msgspec.structs.astuple(event.ban))])
    else:
        db.execute("DELETE FROM bans WHERE room_id = ? AND user_id = ?", (event.room_id, event.user_id))


def _write_rows(db: sqlite3.Connection, table: str, columns: str, key: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """Write rows in their order, as many as can be in a statement; a later one of a key wins over an earlier one."""
    start = 0
    while left := len(rows) - start:
        size = min(1 << left.bit_length() - 1, MOST_ROWS)
        some = rows[start : start + size]
        db.execute(_upsert(table, columns, key, size), [value for row in some for value in row])
        start += size


def _in_transaction(db: sqlite3.Connection, function: Callable[[], T]) -> T:
    db.execute("BEGIN IMMEDIATE")
    try:
        result = function()
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:  # a failed COMMIT may have rolled back already
            db.execute("ROLLBACK")
        raise
    return result


def fitting(messages: Sequence[Message]) -> int:
    """Count how many messages make a page that a slow client can be sent at once; one always does."""
    sizes = accumulate(len(msgspec.json.encode(message)) for message in messages)
    return max(1, sum(size <= PAGE_BYTES for size in sizes))


def page(items: list[T], limit: int) -> tuple[list[T], str | None]:
    """Cut a page out of items with an `id`, one more than `limit` of them if there are more; and the next cursor."""
    return items[:limit], items[limit - 1].id if len(items) > limit else None  # type: ignore[attr-defined]  # T has an id


def _kept(db: sqlite3.Connection, room: Room, seats: Sequence[Seat] = ()) -> Kept:
    """Read what else belongs to a room."""
    bans = db.execute(f"SELECT {BAN_COLUMNS} FROM bans WHERE room_id = ?", (room.id,))  # noqa: S608 - our own
    # The planner takes the primary key for as good as `public_messages`, and would read every private message.
    said = db.execute(
        f"SELECT {MESSAGE_COLUMNS} FROM messages INDEXED BY public_messages "  # noqa: S608 - our own
        "WHERE room_id = ? AND to_id IS NULL ORDER BY id DESC LIMIT ?",
        (room.id, MESSAGES_SHOWN),
    )
    return Kept(room, seats, [to_ban(row) for row in bans], [to_message(row) for row in said][::-1])
