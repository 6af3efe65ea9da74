"""The SQL that deletes rows, a few at a time, so that no join waits for long. `engine/retention.py` says when.

A room is deleted for everyone in the transaction that marks its row. What belongs to it is deleted after that: messages
first, then bans and participants, and the row of the room last. After a restart this goes on.

There is no index by time: it would cost each join and each message. The messages of a room are in the order of time, so
the oldest one of each room is looked at. Stays end in any order, so all are looked at, some at a time.
"""

import sqlite3

from roomd.engine.retention import MOST_MESSAGES, MOST_ROWS, OldMessages, oldest_messages
from roomd.storage.walking import MOST_LOOKED_AT, Key, step
from roomd.storage.writing import note_deleted


def purge_some(db: sqlite3.Connection) -> None:
    """Delete some rows of a deleted room, if there is one.

    Raises `sqlite3.Error`.
    """
    room_id = next_deleted(db)
    if room_id is None:
        return
    for table in ("messages", "bans", "participants"):
        some = f"SELECT id FROM {table} WHERE room_id = ? LIMIT ?"  # noqa: S608 - our own names
        sql = f"DELETE FROM {table} WHERE room_id = ? AND id IN ({some})"  # noqa: S608 - our own names
        if db.execute(sql, (room_id, room_id, MOST_ROWS)).rowcount:
            return
    db.execute("DELETE FROM rooms WHERE id = ?", (room_id,))


def next_deleted(db: sqlite3.Connection) -> str | None:
    """Return the id of a deleted room that still has rows; None without one."""
    row = db.execute("SELECT id FROM rooms WHERE is_deleted LIMIT 1").fetchone()
    return str(row[0]) if row else None


def old_rooms(db: sqlite3.Connection, before: str, limit: int) -> list[str]:
    """Return the codes of rooms that ended before a stamp, the first that ended first."""
    sql = "SELECT code FROM rooms WHERE ended_at < ? AND NOT is_deleted ORDER BY ended_at LIMIT ?"
    return [code for (code,) in db.execute(sql, (before, limit))]


def old_messages(db: sqlite3.Connection, before: str, start: str) -> tuple[OldMessages | None, str | None]:
    """Find the next room, from the id `start` on, whose oldest messages are from before a stamp.

    Also return the id of the room from which to look on; None after the last. A message behind a younger one may have
    an earlier stamp, because the clock was set back; it stays until its turn comes.
    """
    rooms = "SELECT id FROM rooms WHERE id >= ? AND NOT is_deleted ORDER BY id LIMIT ?"
    row = db.execute(
        f"SELECT id, code FROM rooms WHERE id IN ({rooms}) "  # noqa: S608 - our own names
        "AND (SELECT sent_at FROM messages WHERE room_id = rooms.id ORDER BY id LIMIT 1) < ? ORDER BY id LIMIT 1",
        (start, MOST_LOOKED_AT, before),
    ).fetchone()
    if row is None:
        following = db.execute(f"{rooms} OFFSET ?", (start, 1, MOST_LOOKED_AT)).fetchone()
        return None, following and str(following[0])
    room_id, code = row
    oldest = db.execute(
        "SELECT id, sent_at, total_bytes FROM messages WHERE room_id = ? ORDER BY id LIMIT ?", (room_id, MOST_MESSAGES)
    )
    return oldest_messages(code, oldest, before), room_id


def old_stays(db: sqlite3.Connection, before: str, start: Key | None) -> tuple[list[Key], Key | None]:
    """Find stays behind the key `start` that ended before a stamp, and the key behind which to look on."""
    return step(db, "participants", "room_id, id", start, "left_at < ?", (before,))


def delete_stays(db: sqlite3.Connection, stays: list[Key]) -> None:
    """Delete stays that ended. Their messages stay.

    Raises `sqlite3.Error`.
    """
    db.executemany("DELETE FROM participants WHERE room_id = ? AND id = ?", stays)
    last_ids: dict[str, str] = dict(stays)
    for room_id, last_id in last_ids.items():
        note_deleted(db, "stay", room_id, last_id)
