"""The SQL of the event log: read it, delete what is old, and tell one log from another.

An event's number is the key of its row. SQLite never gives a number twice (AUTOINCREMENT), so the numbers have no gaps
but where events were deleted. There is no index by room: it would cost each join four times what the event costs
(docs/decisions/0026-event-log-without-index.md). So a read of some rooms looks at a bounded number of events.
"""

import contextlib
import sqlite3
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from roomd.engine.ports import PART_BYTES, LogBounds, LoggedEvents
from roomd.protocol.logged import LOG_ID, number_of
from roomd.rooms.event_log import dropped_at_start
from roomd.storage.files import sync
from roomd.storage.rows import PARTICIPANT_COLUMNS, ROOM_COLUMNS, event_row, to_room, to_seat
from roomd.storage.writing import LAST_EVENT, write_events

MOST_SCANNED = 5000
"""The events that are looked at for one read of some rooms."""
ROWS_AT_ONCE = 128
"""The events that are read before their bytes are counted: so many are read at most that are not in the part."""


def renew_log_id(db: sqlite3.Connection) -> None:
    """Give the log a new id."""
    db.execute(f"UPDATE event_log SET id = randomblob(6), renewed_at = {LAST_EVENT}")  # noqa: S608 - our own name


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
    write_events(db, rows)


class Log(NamedTuple):
    """What is known of the whole log."""

    id: str
    """Its id."""
    renewed_at: int
    """The number up to which the stored positions have an earlier id."""
    bounds: LogBounds
    """Where it begins and ends."""


def _log(db: sqlite3.Connection) -> Log:
    ((log_id, renewed_at, first, last),) = db.execute(
        f"SELECT lower(hex(id)), renewed_at, (SELECT min(position) FROM events), {LAST_EVENT} FROM event_log"  # noqa: S608
    ).fetchall()
    return Log(log_id, renewed_at, LogBounds(first - 1 if first is not None else last, last))


def read_log_id(db: sqlite3.Connection) -> str:
    """Read the id of the log."""
    return _log(db).id


def bounds(db: sqlite3.Connection) -> LogBounds:
    """Read where the log begins and ends."""
    return _log(db).bounds


def read_events(db: sqlite3.Connection, after: int, limit: int, rooms: Collection[str] | None) -> LoggedEvents:
    """Read the events after a number, as `ports.EventLog` says."""
    log = _log(db)
    end, where = log.bounds.last, "position > ?"
    values: list[int | str] = [after]
    if rooms is not None:
        end = min(end, after + MOST_SCANNED)
        where += f" AND position <= ? AND room_id IN ({', '.join('?' * len(rooms))})"
        values += [after + MOST_SCANNED, *rooms]
    sql = f"SELECT CAST(body AS BLOB) FROM events WHERE {where} ORDER BY position LIMIT ?"  # noqa: S608 - our own
    events, size = _take(db.execute(sql, (*values, limit)))
    return part_of_log(events, size, after, limit, end, log)


def part_of_log(events: list[bytes], size: int, after: int, limit: int, end: int, log: Log) -> LoggedEvents:
    """Make a part of the log, with at most `PART_BYTES` or one event, of events that were read behind `after`.

    `events` have `size` bytes. They are at most `limit`, up to the number `end`; if they have no more than `PART_BYTES`
    and are fewer, they are all.
    """
    are_all = size <= PART_BYTES and len(events) < limit
    while size > PART_BYTES and len(events) > 1:
        size -= len(events.pop())
    reached = number_of(events[-1]) if events else after
    if are_all:
        reached = max(end, reached)
    if after < log.renewed_at:
        events = [_renewed(event, log.id) for event in events]
    return LoggedEvents(events, reached, reached >= log.bounds.last, reached - after, log.bounds.before_first)


def _take(rows: sqlite3.Cursor) -> tuple[list[bytes], int]:
    """Take events until they have more than `PART_BYTES`. Return also their bytes."""
    events: list[bytes] = []
    size = 0
    while size <= PART_BYTES and (some := [event for (event,) in rows.fetchmany(ROWS_AT_ONCE)]):
        events += some
        size += sum(map(len, some))
    return events, size


def _renewed(event: bytes, log_id: str) -> bytes:
    """Return an event with the position that it has in the log with this id."""
    return event[: LOG_ID.start] + log_id.encode() + event[LOG_ID.stop :]


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
