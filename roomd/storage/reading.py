"""The SQL that reads a page of messages. It reads what it returns, however much others wrote."""

import sqlite3
from typing import Any

from roomd.rooms.answers import Reader
from roomd.storage.rows import MESSAGE_COLUMNS

MOST_SCANNED = 1000
"""The public messages that are read for one page of a reader who sees only their own: no index has just these."""

_PUBLIC = (
    "SELECT id FROM messages INDEXED BY public_messages "
    "WHERE room_id = :room AND to_id IS NULL AND id > :after AND id <= :until"
)
_OWN = f"{_PUBLIC} AND sender = :reader"
_SENT = (
    "SELECT id FROM messages INDEXED BY messages_from "
    "WHERE room_id = :room AND sender = :reader AND to_id IS NOT NULL AND id > :after AND id <= :until"
)
_RECEIVED = (
    "SELECT id FROM messages INDEXED BY messages_to "
    "WHERE room_id = :room AND recipient = :reader AND to_id IS NOT NULL AND id > :after AND id <= :until"
)
_SCANNED = (
    "SELECT count(*), max(id) FROM (SELECT id FROM messages INDEXED BY public_messages "
    "WHERE room_id = :room AND to_id IS NULL AND id > :after ORDER BY id LIMIT :scanned)"
)
_END = "~"
"""Sorts after every id, which is of letters and digits."""


def read_messages(
    db: sqlite3.Connection, reader: Reader, cursor: str | None, limit: int
) -> tuple[list[tuple[Any, ...]], str | None, int]:
    """Read at most `limit` messages that the reader may see, oldest first, as rows with `MESSAGE_COLUMNS`.

    Also returns the cursor of the messages that were not looked at, None when all were, and the number of messages that
    were read for this, with those of others. Raises `sqlite3.Error`.
    """
    values = {
        "room": reader.room_id,
        "reader": reader_key(reader),
        "after": max(cursor or "", reader.after),
        "scanned": MOST_SCANNED,
    }
    scanned, last = (0, None) if reader.sees_public else db.execute(_SCANNED, values).fetchone()
    until = str(last) if scanned == MOST_SCANNED else None
    sql = messages_query(reader)
    rows = db.execute(sql, {**values, "until": until or _END, "limit": limit}).fetchall()
    return rows, until, scanned + len(rows)


def messages_query(reader: Reader) -> str:
    """Return the statement for the messages that the reader may see.

    Each part of the union is one index in the order of the ids. SQLite merges them, leaves out what is in two of them,
    and stops at the limit.
    """
    ids = " UNION ".join((_PUBLIC if reader.sees_public else _OWN, _SENT, _RECEIVED))
    return (
        f"SELECT {MESSAGE_COLUMNS} FROM messages WHERE room_id = :room "  # noqa: S608 - our own names
        f"AND id IN (SELECT id FROM ({ids} ORDER BY id LIMIT :limit)) ORDER BY id"
    )


def reader_key(reader: Reader) -> str | None:
    """Return the reader as the columns `sender` and `recipient` have them; None for one who sent and got nothing."""
    if reader.user_id is not None:
        return f"u{reader.user_id}"
    return f"g{reader.participant_id}" if reader.participant_id is not None else None
