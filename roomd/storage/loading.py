"""Read a room as it is loaded: with its bans, its last messages and its seats."""

import sqlite3
from collections.abc import Sequence
from typing import Any

from roomd.rooms.model import Seat, StoredRoom
from roomd.rooms.room import MESSAGES_SHOWN, MOST_SENT
from roomd.storage.rows import BAN_COLUMNS, MESSAGE_COLUMNS, ROOM_COLUMNS, to_ban, to_message, to_room

STORED_COLUMNS = f"{ROOM_COLUMNS}, deleted_message, deleted_stay, deleted_bytes, empty_since"
"""The columns of a room that is loaded."""


def with_seats(db: sqlite3.Connection, stored: StoredRoom, seats: Sequence[Seat]) -> StoredRoom:
    """Add the seats of a room, and the client ids of its last messages, which their participants may send again."""
    sent = db.execute(
        "SELECT participant_id, client_id FROM (SELECT * FROM messages WHERE room_id = ? ORDER BY id DESC LIMIT ?) "
        "WHERE client_id IS NOT NULL",
        (stored.view.id, MOST_SENT),
    ).fetchall()[::-1]
    return stored._replace(seats=seats, sent=sent)


def stored_room(db: sqlite3.Connection, row: tuple[Any, ...]) -> StoredRoom:
    """Read the bans, the last messages and the last id of the room in a row of `STORED_COLUMNS`."""
    room = to_room(row)
    bans = db.execute(f"SELECT {BAN_COLUMNS} FROM bans WHERE room_id = ?", (room.id,))  # noqa: S608 - our own
    # Without INDEXED BY the planner chooses the primary key, and would read every private message.
    said = db.execute(
        f"SELECT {MESSAGE_COLUMNS} FROM messages INDEXED BY public_messages "  # noqa: S608 - our own
        "WHERE room_id = ? AND to_id IS NULL ORDER BY id DESC LIMIT ?",
        (room.id, MESSAGES_SHOWN),
    )
    messages = [to_message(message) for message in said][::-1]
    (last_person,) = _last(db, "participants", "id", room.id) or ("",)
    last_message, total_bytes = _last(db, "messages", "id, total_bytes", room.id) or ("", 0)
    deleted_message, deleted_stay, deleted_bytes, empty_since = row[-4:]
    last_id = max(last_person, last_message, deleted_message, deleted_stay)
    return StoredRoom(
        room,
        (),
        [to_ban(ban) for ban in bans],
        messages,
        last_id,
        message_bytes=max(total_bytes, deleted_bytes),
        deleted_bytes=deleted_bytes,
        empty_since=empty_since,
    )


def _last(db: sqlite3.Connection, table: str, columns: str, room_id: str) -> tuple[Any, ...] | None:
    """Read columns of the last row of a room; None without one."""
    sql = f"SELECT {columns} FROM {table} WHERE room_id = ? ORDER BY id DESC LIMIT 1"  # noqa: S608 - our own names
    row: tuple[Any, ...] | None = db.execute(sql, (room_id,)).fetchone()
    return row
