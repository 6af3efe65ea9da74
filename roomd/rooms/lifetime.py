"""When a room ends by itself: at its `expiresAt`, or when nobody was in it for the seconds of its `endWhenEmpty`.

What is due is the earlier of the two. Both follow the wall clock, because they hold over restarts. Somebody is there
while they have a seat, a held one too, or a place in the queue.
"""

from roomd.protocol.objects import EndReason, Room
from roomd.protocol.timestamps import seconds_of, stamp


def ends_at(room: Room, empty_since: str | None) -> str | None:
    """Return the stamp of the time at which a room ends by itself, unless something changes; None for never.

    `empty_since` is the stamp of the time since when nobody has been there; None when somebody is. The generated column
    `ends_at` of schema.sql is the same.
    """
    if not room.is_active or (room.expires_at is None and room.end_when_empty is None):
        return None
    empty_until = _empty_until(room, empty_since)
    return min((time for time in (room.expires_at, empty_until) if time is not None), default=None)


def end_due(room: Room, empty_since: str | None, now: str) -> EndReason | None:
    """Return why a room has to end at `now`, a stamp; None when it has not."""
    due = ends_at(room, empty_since)
    if due is None or due > now:
        return None
    return "expired" if due == room.expires_at else "empty"


def _empty_until(room: Room, empty_since: str | None) -> str | None:
    if room.end_when_empty is None or empty_since is None:
        return None
    return stamp(seconds_of(empty_since) + room.end_when_empty + 0.0005)  # a stamp is cut, and a sum is not exact
