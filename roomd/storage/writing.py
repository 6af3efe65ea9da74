"""The SQL statements that store changes, in one transaction.

A statement writes many rows. Python's sqlite3 releases the interpreter lock around every statement, and then waits
until the busy event loop gives it back.
"""

import sqlite3
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple, TypeVar

from roomd.rooms.changes import Banned, Change, MessageSent, RoomChanged, SeatChanged, Unbanned
from roomd.rooms.model import SentId
from roomd.storage.rows import (
    BAN_COLUMNS,
    MESSAGE_COLUMNS,
    PARTICIPANT_COLUMNS,
    ROOM_COLUMNS,
    ban_row,
    message_row,
    room_row,
    seat_row,
)

T = TypeVar("T")

MOST_ROWS = 64
"""The largest number of rows in one statement. The numbers are powers of two, so that few statements are prepared."""


class RoomChanges(NamedTuple):
    """Changes of one room that are stored together."""

    room_id: str
    """The id of the room."""
    changes: Sequence[Change]
    """The changes, in their order."""


def write(db: sqlite3.Connection, batch: Sequence[RoomChanges]) -> None:
    """Write the changes of some rooms in one transaction.

    Raises `sqlite3.Error`; then nothing was written.
    """
    changes = [(room_id, change) for room_id, changes in batch for change in changes]
    rooms = [room_row(change.room) for _, change in changes if isinstance(change, RoomChanged)]
    seats = [change.seat for _, change in changes if isinstance(change, SeatChanged)]
    messages = [message_row(room_id, change) for room_id, change in changes if isinstance(change, MessageSent)]
    bans = [(room_id, change) for room_id, change in changes if isinstance(change, (Banned, Unbanned))]
    gave_up = [  # somebody who leaves the queue was never in the room
        (seat.participant.room_id, seat.participant.id) for seat in seats if seat.waits_for and seat.participant.left_at
    ]

    def statements() -> None:
        _write_rows(db, "rooms", ROOM_COLUMNS, "id", rooms)
        _write_rows(db, "participants", PARTICIPANT_COLUMNS, "room_id, id", [seat_row(seat) for seat in seats])
        _write_rows(db, "messages", MESSAGE_COLUMNS, "room_id, id", messages)
        for room_id, change in bans:
            _write_ban(db, room_id, change)
        if gave_up:
            db.executemany("DELETE FROM participants WHERE room_id = ? AND id = ?", gave_up)

    in_transaction(db, statements)


def write_new(db: sqlite3.Connection, batch: Sequence[RoomChanges]) -> dict[str, list[SentId]]:
    """Write the changes of some rooms in one transaction, unless messages of theirs are stored already.

    Returns such messages by room id: they have the same sender and client id as a stored one. If there are any, nothing
    was written. Raises `sqlite3.Error`; then nothing was written either.
    """
    try:
        write(db, batch)
    except sqlite3.IntegrityError:
        sent = {room_id: _find_sent(db, room_id, changes) for room_id, changes in batch}
        if not any(sent.values()):
            raise  # another constraint is broken
        return {room_id: found for room_id, found in sent.items() if found}
    return {}


def _find_sent(db: sqlite3.Connection, room_id: str, changes: Sequence[Change]) -> list[SentId]:
    """Return the senders and client ids of those messages that are stored already."""
    messages = [change.message for change in changes if isinstance(change, MessageSent)]
    ids = [(message.participant_id or "", message.client_id) for message in messages if message.client_id is not None]
    sql = "SELECT 1 FROM messages WHERE room_id = ? AND participant_id = ? AND client_id = ?"
    return [sent for sent in ids if db.execute(sql, (room_id, *sent)).fetchone()]


def in_transaction(db: sqlite3.Connection, function: Callable[[], T]) -> T:
    """Run `function` in a transaction and return its result. The transaction is rolled back when `function` raises."""
    db.execute("BEGIN IMMEDIATE")
    try:
        result = function()
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:  # a failed COMMIT may have rolled back already
            db.execute("ROLLBACK")
        raise
    return result


def _write_ban(db: sqlite3.Connection, room_id: str, change: Banned | Unbanned) -> None:
    if isinstance(change, Banned):
        _write_rows(db, "bans", BAN_COLUMNS, "room_id, id", [ban_row(room_id, change)])
    else:
        db.execute("DELETE FROM bans WHERE room_id = ? AND id = ?", (room_id, change.ban_id))


def _write_rows(db: sqlite3.Connection, table: str, columns: str, key: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert or update rows in their order, many in one statement. The last row of a key decides."""
    start = 0
    while left := len(rows) - start:
        size = min(1 << left.bit_length() - 1, MOST_ROWS)
        some = rows[start : start + size]
        db.execute(_upsert(table, columns, key, size), [value for row in some for value in row])
        start += size


@cache  # four tables and seven numbers of rows: 28 statements at most
def _upsert(table: str, columns: str, key: str, rows: int) -> str:
    names = columns.split(", ")
    values = ", ".join([f"({', '.join('?' * len(names))})"] * rows)
    changes = ", ".join(f"{name} = excluded.{name}" for name in names if name not in key.split(", "))
    return (
        f"INSERT INTO {table} ({columns}) VALUES {values} "  # noqa: S608 - our own names
        f"ON CONFLICT ({key}) DO UPDATE SET {changes}"
    )
