"""The SQL of the event log: read it, delete what is old, and tell one log from another.

An event's number is the key of its row. SQLite never gives a number twice (AUTOINCREMENT), so the numbers have no gaps
but where events were deleted. There is no index by room: it would cost each join four times what the event costs
(docs/decisions/0026-event-log-without-index.md). So a read of some rooms looks at a bounded number of events.
"""

import contextlib
import sqlite3
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

from roomd.engine.ports import LogBounds, LoggedEvent, LoggedEvents
from roomd.rooms.event_log import dropped_at_start
from roomd.storage.files import sync
from roomd.storage.rows import EVENT_COLUMNS, PARTICIPANT_COLUMNS, ROOM_COLUMNS, event_row, to_room, to_seat
from roomd.storage.writing import write_rows

MOST_SCANNED = 5000
"""The events that are looked at for one read of some rooms."""
PART_BYTES = 256 * 1024
"""The bytes of events in one part, unless a single event is larger."""
_LARGEST = (1 << 48) - 1
"""The largest number that a position has room for."""


def read_log_id(db: sqlite3.Connection) -> str:
    """Read the id of the log."""
    ((log_id,),) = db.execute("SELECT lower(hex(id)) FROM event_log").fetchall()
    return str(log_id)


def renew_log_id(db: sqlite3.Connection) -> None:
    """Give the log a new id."""
    db.execute("UPDATE event_log SET id = randomblob(6)")


def begin_new_log(file: Path) -> None:
    """Give the log in a restored file a new id: what was logged after the backup is not in it.

    So no reader goes on from a position of before and misses events without being told. A file of a version without a
    log is left as it is. Raises `sqlite3.Error` and `OSError`.
    """
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = MEMORY")
        if db.execute("SELECT 1 FROM sqlite_schema WHERE name = 'event_log'").fetchone():
            renew_log_id(db)
    sync(file)


def write_drops(db: sqlite3.Connection, at: str) -> None:
    """Add the drops of everybody whose seat was connected when the daemon ended. `at` is a stamp."""
    where = "left_at IS NULL AND waits_for IS NULL AND is_active"
    rooms = {
        row[0]: to_room(row)
        for row in db.execute(
            f"SELECT {ROOM_COLUMNS} FROM rooms WHERE id IN (SELECT room_id FROM participants WHERE {where})"  # noqa: S608
        )
    }
    seats = db.execute(
        f"SELECT {PARTICIPANT_COLUMNS} FROM participants WHERE {where} ORDER BY coalesce(seated_id, id)"  # noqa: S608
    )
    rows = [event_row(row[0], dropped_at_start(rooms[row[0]], to_seat(row).participant, at)) for row in seats]
    write_rows(db, "events", EVENT_COLUMNS, "", rows)


def _last(db: sqlite3.Connection) -> int:
    row = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'events'").fetchone()
    return int(row[0]) if row else 0


def bounds(db: sqlite3.Connection) -> LogBounds:
    """Read where the log begins and ends."""
    last = _last(db)
    ((first,),) = db.execute("SELECT min(position) FROM events").fetchall()
    return LogBounds(first - 1 if first is not None else last, last)


def read_events(
    db: sqlite3.Connection, log_id: str, after: int, limit: int, rooms: Collection[str] | None
) -> LoggedEvents:
    """Read the events after a number, as `ports.EventLog` says."""
    before_first, last = bounds(db)
    until, where = _LARGEST, ""
    if rooms is not None:
        until, where = after + MOST_SCANNED, f"AND room_id IN ({', '.join('?' * len(rooms))}) "
    found = db.execute(
        "SELECT position, id, room_id, type, CAST(body AS BLOB) FROM events "  # noqa: S608 - our own names
        f"WHERE position > ? AND position <= ? {where}ORDER BY position LIMIT ?",
        (after, until, *(rooms or ()), limit),
    )
    return part_of_log(found, log_id, after, limit, min(until, last), LogBounds(before_first, last))


def part_of_log(
    rows: Iterable[Sequence[Any]], log_id: str, after: int, limit: int, until: int, bounds: LogBounds
) -> LoggedEvents:
    """Make a part of the log, with at most `PART_BYTES`, of the rows behind the number `after` and up to `until`.

    A row has a number, an id of bytes, the id of the room, the type and the body as bytes.
    """
    events: list[LoggedEvent] = []
    size = 0
    for number, raw_id, room_id, kind, body in rows:
        size += len(body)
        if size > PART_BYTES and events:
            break
        key = raw_id.hex()
        whole = b'{"id":"%b","position":"%b%012x",%b' % (key.encode(), log_id.encode(), number, body[1:])
        events.append(LoggedEvent(number, key, room_id, kind, whole))
    else:
        if len(events) < limit:  # all up to `until`
            reached = max(until, events[-1].number if events else after)
            return LoggedEvents(events, reached, reached >= bounds.last, reached - after, bounds.before_first)
    reached = events[-1].number
    return LoggedEvents(events, reached, reached >= bounds.last, reached - after, bounds.before_first)


def old_events(db: sqlite3.Connection, before: str, limit: int) -> list[int]:
    """Return the numbers of the oldest events, at most `limit`, up to the first that is not from before the stamp.

    An event behind it may have an earlier stamp, because the clock was set back; it stays until its turn comes.
    """
    numbers: list[int] = []
    for number, at in db.execute("SELECT position, at FROM events ORDER BY position LIMIT ?", (limit,)):
        if at >= before:
            break
        numbers.append(number)
    return numbers


def delete_events(db: sqlite3.Connection, before: str, limit: int) -> int:
    """Delete the oldest events, at most `limit`, from before a stamp. Return how many were deleted."""
    numbers = old_events(db, before, limit)
    if numbers:
        db.execute("DELETE FROM events WHERE position <= ?", (numbers[-1],))
    return len(numbers)
