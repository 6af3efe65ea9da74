"""The SQL that reads a page of messages. It reads what it returns, however much others wrote."""

from typing import Any

from roomd.rooms.answers import Reader
from roomd.storage.postgresql.connection import Connection
from roomd.storage.reading import MOST_SCANNED, reader_key
from roomd.storage.rows import MESSAGE_COLUMNS

_IN_ROOM = "SELECT id FROM messages WHERE room_id = $1 AND id > $2 AND id <= $3"
_PUBLIC = f"{_IN_ROOM} AND to_id IS NULL"
_OWN = f"{_PUBLIC} AND sender = $4"
_SENT = f"{_IN_ROOM} AND to_id IS NOT NULL AND sender = $4"
_RECEIVED = f"{_IN_ROOM} AND to_id IS NOT NULL AND recipient = $4"
_SCANNED = (
    "SELECT count(*), max(id) FROM (SELECT id FROM messages WHERE room_id = $1 AND to_id IS NULL AND id > $2 "
    f"ORDER BY id LIMIT {MOST_SCANNED}) AS part"
)
_END = "~"
"""Sorts after every id, which is of letters and digits."""


async def read_messages(
    db: Connection, reader: Reader, cursor: str | None, limit: int
) -> tuple[list[tuple[Any, ...]], str | None, int]:
    """Read at most `limit` messages that the reader may see, oldest first, as rows with `MESSAGE_COLUMNS`.

    Also returns the cursor of the messages that were not looked at, None when all were, and the number of messages that
    were read for this, with those of others. Raises `DatabaseError`.
    """
    after = max(cursor or "", reader.after)
    scanned, last = 0, None
    if not reader.sees_public:
        ((scanned, last),) = await db.fetch(_SCANNED, reader.room_id, after)
    until = str(last) if scanned == MOST_SCANNED else None
    rows = await db.fetch(_query(reader), reader.room_id, after, until or _END, reader_key(reader), limit)
    return rows, until, scanned + len(rows)


def _query(reader: Reader) -> str:
    """Return the statement for the messages that the reader may see: each part of the union is one index, in order.

    The messages are looked up one by one, so that the planner cannot choose to read all of the room.
    """
    parts = (_PUBLIC if reader.sees_public else _OWN, _SENT, _RECEIVED)
    ids = " UNION ".join(f"({part} ORDER BY id LIMIT $5)" for part in parts)
    return (
        f"SELECT one.* FROM (SELECT id FROM ({ids}) AS found ORDER BY id LIMIT $5) AS seen CROSS JOIN LATERAL "
        f"(SELECT {MESSAGE_COLUMNS} FROM messages WHERE room_id = $1 AND id = seen.id LIMIT 1) AS one ORDER BY one.id"
    )
