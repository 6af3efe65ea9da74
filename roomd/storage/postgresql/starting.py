"""What a start does: it takes the database over from the daemon before, and holds every seat."""

from roomd.protocol.log_events import LogEvent
from roomd.rooms.event_log import dropped_at_start
from roomd.storage.postgresql.connection import Connection
from roomd.storage.postgresql.writing import Fence, new_events, statement
from roomd.storage.rows import PARTICIPANT_COLUMNS, ROOM_COLUMNS, to_room, to_seat

_HOLD = "UPDATE participants SET is_active = false, dropped_at = coalesce(dropped_at, $1) WHERE left_at IS NULL"


async def hold_seats(db: Connection, fence: Fence, at: str, *, log_events: bool) -> bool:
    """Hold every seat and every place in a queue as of `at`, a stamp.

    Returns False, and changes nothing, if the fence does not allow it. Raises `DatabaseError`.
    """
    drops = await _drops(db, at) if log_events else []
    parts: tuple[str, ...] = ("events",) if drops else ()
    values = [new_events(drops)] if drops else []
    async with db.transaction():
        if not await db.fetch(statement(parts), *fence, *values):
            return False
        await db.execute(_HOLD, at)
    return True


async def _drops(db: Connection, at: str) -> list[tuple[str, LogEvent]]:
    """Return the drops of everybody whose seat was connected when the daemon ended, with the ids of the rooms."""
    where = "left_at IS NULL AND waits_for IS NULL AND is_active"
    sql = f"SELECT {ROOM_COLUMNS} FROM rooms WHERE id IN (SELECT room_id FROM participants WHERE {where})"
    rooms = {row[0]: to_room(row) for row in await db.fetch(sql)}
    seats = await db.fetch(
        f"SELECT {PARTICIPANT_COLUMNS} FROM participants WHERE {where} ORDER BY coalesce(seated_id, id)"
    )
    return [(row[0], dropped_at_start(rooms[row[0]], to_seat(row).participant, at)) for row in seats]
