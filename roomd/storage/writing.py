"""The SQL statements that store changes, in one transaction.

A statement writes many rows. Python's sqlite3 releases the interpreter lock several times for every statement, and each
time waits until the busy event loop gives it back: with `executemany` one time less, as it does not ask for the id of
the last row.
"""

import secrets
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import count
from typing import Any, Literal, TypeVar

from roomd.engine.ports import AlreadySent, ExternalIdTaken
from roomd.rooms.changes import (
    Banned,
    Change,
    KnockDenied,
    MessagesDeleted,
    MessageSent,
    RoomChanged,
    RoomDeleted,
    RoomEmptied,
    SeatChanged,
    Unbanned,
)
from roomd.rooms.model import Seat, SentId
from roomd.storage.group_commit import Conflict, RoomChanges
from roomd.storage.rows import (
    BAN_COLUMNS,
    EVENT_ID_BYTES,
    MESSAGE_COLUMNS,
    NULLABLE,
    PARTICIPANT_COLUMNS,
    ROOM_COLUMNS,
    ban_row,
    event_row,
    message_row,
    room_row,
    seat_row,
)

T = TypeVar("T")

LAST_EVENT = "coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'events'), 0)"
"""The SQL of the number of the newest event that there ever was; 0 for none."""
MOST_ROWS = 64
"""The largest number of rows in one statement. Above `ANY_NUMBER` the numbers are powers of two, so that few statements
are prepared."""
ANY_NUMBER = 16
"""Up to so many rows are written by one statement, whatever their number."""
_NULL = -1
"""What stands for NULL in the values of a statement. No column that may be NULL has a negative number."""
_WHOLE: dict[Any, int] = {None: _NULL, False: 0, True: 1}
"""The whole numbers that stand for other values in a statement."""


_Other = MessagesDeleted | Banned | Unbanned | RoomEmptied | RoomDeleted
"""The changes that are rare: each is written by a statement of its own."""


def write(db: sqlite3.Connection, batch: Sequence[RoomChanges]) -> None:
    """Write the changes of some rooms in one transaction.

    Raises `sqlite3.Error`; then nothing was written.
    """
    rooms: list[tuple[Any, ...]] = []
    seats: list[Seat] = []
    messages: list[tuple[Any, ...]] = []
    others: list[tuple[str, _Other]] = []
    for room_id, changes, _ in batch:
        for change in changes:
            if isinstance(change, SeatChanged):
                seats.append(change.seat)
            elif isinstance(change, MessageSent):
                messages.append(message_row(room_id, change))
            elif isinstance(change, RoomChanged):
                rooms.append(room_row(change.room))
            elif not isinstance(change, KnockDenied):  # which is not stored
                others.append((room_id, change))
    events = [event_row(room_id, event) for room_id, _, events in batch for event in events]
    gave_up = [  # somebody who leaves the queue was never in the room
        (seat.participant.room_id, seat.participant.id) for seat in seats if seat.waits_for and seat.participant.left_at
    ]

    upserts = [
        *_upserts("rooms", ROOM_COLUMNS, "id", rooms),
        *_upserts("participants", PARTICIPANT_COLUMNS, "room_id, id", [seat_row(seat) for seat in seats]),
        *_upserts("messages", MESSAGE_COLUMNS, "room_id, id", messages),
    ]
    if len(upserts) == 1 and not (others or gave_up or events):
        db.executemany(*upserts[0])  # a single statement is a transaction by itself
        return

    def statements() -> None:
        for upsert in upserts:
            db.executemany(*upsert)
        for room_id, change in others:
            _write_other(db, room_id, change)
        if gave_up:
            db.executemany("DELETE FROM participants WHERE room_id = ? AND id = ?", gave_up)
        write_events(db, events)

    in_transaction(db, statements)


def write_new(db: sqlite3.Connection, batch: Sequence[RoomChanges]) -> dict[int, Conflict]:
    """Write the changes of some rooms in one transaction, unless what must be there once is there already.

    Returns the conflicts by their index in the batch: messages with the sender and the client id of a stored one, and a
    new room with the external id of another one. If there are any, nothing was written. Raises `sqlite3.Error`; then
    nothing was written either.
    """
    try:
        write(db, batch)
    except sqlite3.IntegrityError:
        conflicts = _find_taken(db, batch)
        for index, (room_id, changes, _) in enumerate(batch):
            if sent := _find_sent(db, room_id, changes):
                conflicts[index] = AlreadySent(sent)
        if not conflicts:
            raise  # another constraint is broken
        return conflicts
    return {}


def _find_taken(db: sqlite3.Connection, batch: Sequence[RoomChanges]) -> dict[int, Conflict]:
    """Find the rooms whose external id another room has: a stored one, or an earlier one of the batch."""
    taken: dict[int, Conflict] = {}
    new: dict[str, str] = {}
    for index, (room_id, changes, _) in enumerate(batch):
        for change in changes:
            if isinstance(change, RoomChanged) and (external_id := change.room.external_id) is not None:
                sql = "SELECT 1 FROM rooms WHERE external_id = ? AND id <> ?"
                is_stored = db.execute(sql, (external_id, room_id)).fetchone()
                if is_stored or new.setdefault(external_id, room_id) != room_id:
                    taken[index] = ExternalIdTaken()
    return taken


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


def _write_other(db: sqlite3.Connection, room_id: str, change: _Other) -> None:
    match change:
        case MessagesDeleted(through=through, total_bytes=total_bytes, ids=ids):
            db.execute("DELETE FROM messages WHERE room_id = ? AND id <= ?", (room_id, through))
            db.executemany("DELETE FROM messages WHERE room_id = ? AND id = ?", [(room_id, one) for one in ids])
            note_deleted(db, "message", room_id, max((through, *ids)))
            db.execute("UPDATE rooms SET deleted_bytes = ? WHERE id = ?", (total_bytes, room_id))
        case Banned():
            for upsert in _upserts("bans", BAN_COLUMNS, "room_id, id", [ban_row(room_id, change)]):
                db.executemany(*upsert)
        case Unbanned(ban_id=ban_id):
            db.execute("DELETE FROM bans WHERE room_id = ? AND id = ?", (room_id, ban_id))
        case RoomEmptied(since=since):
            db.execute("UPDATE rooms SET empty_since = ? WHERE id = ?", (since, room_id))
        case RoomDeleted():  # nobody can look it up from now on; `deleting.py` deletes the rows
            sql = "UPDATE rooms SET is_deleted = 1, code = 'deleted ' || id, external_id = NULL WHERE id = ?"
            db.execute(sql, (room_id,))


def note_deleted(db: sqlite3.Connection, kind: Literal["message", "stay"], room_id: str, last_id: str) -> None:
    """Note the id of a deleted row of a room. New ids sort after it, although the row is gone."""
    sql = f"UPDATE rooms SET deleted_{kind} = max(deleted_{kind}, ?) WHERE id = ?"  # noqa: S608 - our own names
    db.execute(sql, (last_id, room_id))


def _upserts(
    table: str, columns: str, key: str, rows: Sequence[tuple[Any, ...]]
) -> Iterator[tuple[str, Sequence[Sequence[str | int | float]]]]:
    """Yield statements that insert rows in their order, with their values. The last row of a `key` decides.

    `sqlite3` binds whole numbers as they are. For None and for each boolean it looks for an adapter first, and raises
    and drops two exceptions when there is none: that would cost more than all else of a row.
    """
    for some in _portions(rows):
        values = [value for row in some for value in row]
        yield _insert(table, columns, key, len(some)), [list(map(_WHOLE.get, values, values))]


def write_events(db: sqlite3.Connection, rows: Sequence[tuple[Any, ...]]) -> None:
    """Add rows of `event_row` to the event log, in their order. Each gets an id and the next position."""
    if not rows:
        return
    ((log_id, last),) = db.execute(f"SELECT lower(hex(id)), {LAST_EVENT} FROM event_log").fetchall()  # noqa: S608
    ids = secrets.token_bytes(len(rows) * EVENT_ID_BYTES).hex(" ", EVENT_ID_BYTES).split()
    whole = [
        (number, room_id, at, kind, f'{{"id":"{event_id}","position":"{log_id}{number:012x}",{body}')
        for number, event_id, (room_id, at, kind, body) in zip(count(last + 1), ids, rows, strict=False)
    ]
    for some in _portions(whole):
        db.executemany(_insert_events(len(some)), [[value for row in some for value in row]])


def _portions(rows: Sequence[tuple[Any, ...]]) -> Iterator[Sequence[tuple[Any, ...]]]:
    """Divide rows into those of one statement each."""
    start = 0
    while left := len(rows) - start:
        size = left if left <= ANY_NUMBER else min(1 << left.bit_length() - 1, MOST_ROWS)
        yield rows[start : start + size]
        start += size


@cache  # four tables and 18 numbers of rows
def _insert(table: str, columns: str, key: str, rows: int) -> str:
    names = columns.split(", ")
    row = ", ".join(f"nullif(?, {_NULL})" if name in NULLABLE else "?" for name in names)
    values = ", ".join([f"({row})"] * rows)
    changes = ", ".join(f"{name} = excluded.{name}" for name in names if name not in key.split(", "))
    return f"INSERT INTO {table} ({columns}) VALUES {values} ON CONFLICT ({key}) DO UPDATE SET {changes}"  # noqa: S608


@cache
def _insert_events(rows: int) -> str:
    return f"INSERT INTO events (position, room_id, at, type, body) VALUES {', '.join(['(?, ?, ?, ?, ?)'] * rows)}"  # noqa: S608
