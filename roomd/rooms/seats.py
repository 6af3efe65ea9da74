"""Every move of a seat. A place in the queue is a seat to come.

    state      | participant            | Join, Resume     | Admit, a free  | Leave, Remove, | Drop (by its | Expire, in
               |                        |                  | seat in turn   | End            | claim)       | time
    -----------|------------------------|------------------|----------------|----------------|--------------|-----------
    (none)     |                        | connected, or    |                |                |              |
               |                        | waiting          |                |                |              |
    waiting    | no seat; isActive      | waiting, new     | connected      | gone           | waiting,     |
               |                        | claim, new token |                |                | dropped      |
    waiting,   | no seat; not isActive  | waiting, new     | held           | gone           |              | gone
    dropped    |                        | claim, new token |                |                |              |
    connected  | isActive, leftAt null  | connected, new   |                | left           | held         |
               |                        | claim, new token |                |                |              |
    held       | not isActive, leftAt   | connected, new   |                | left           |              | left as of
               | null                   | claim, new token |                |                |              | the drop
    left       | not isActive, leftAt   |                  |                |                |              |

The functions here make the changes; the commands decide who may ask for them.
"""

from collections.abc import Mapping

import msgspec

from roomd.protocol.errors import GUESTS_NOT_ALLOWED, ROOM_LOCKED, ErrorKind
from roomd.protocol.objects import Room as RoomView
from roomd.protocol.objects import Waiting
from roomd.rooms.changes import Removal, SeatChanged
from roomd.rooms.model import Moment, Seat, WaitsFor
from roomd.rooms.room import Room


def take(seat: Seat, claim: int, resume_hash: str) -> SeatChanged:
    """Give a seat, or a place in the queue, to a connection."""
    participant = seat.participant
    if not participant.is_active:
        participant = msgspec.structs.replace(participant, is_active=True)
    return SeatChanged(Seat(participant, resume_hash, claim, waits_for=seat.waits_for))


def wait_for(seat: Seat, waits_for: WaitsFor) -> SeatChanged:
    """Make somebody wait for something else, at the same place in the queue."""
    return SeatChanged(msgspec.structs.replace(seat, waits_for=waits_for))


def admit(seat: Seat, now: Moment) -> SeatChanged:
    """Turn a place in the queue into a seat. Where the connection is gone it is held, and the hold runs on."""
    participant = msgspec.structs.replace(seat.participant, joined_at=now.stamp)
    dropped_at = now.stamp if seat.claim is None else None  # leftAt must not be before joinedAt
    return SeatChanged(msgspec.structs.replace(seat, participant=participant, dropped_at=dropped_at, waits_for=None))


def drop(seat: Seat, now: Moment, age: float, hold: float) -> SeatChanged:
    """Hold a seat for `hold` seconds from the moment its connection was lost, `age` seconds ago."""
    participant = msgspec.structs.replace(seat.participant, is_active=False)
    return SeatChanged(
        msgspec.structs.replace(
            seat,
            participant=participant,
            claim=None,
            dropped_at=max(now.ago(age), participant.joined_at),  # a drop that comes late may find a newer seat
            held_until=now.clock - age + hold,
        )
    )


def leave(seat: Seat, now: Moment, *, refusal: ErrorKind | None = None, removal: Removal | None = None) -> SeatChanged:
    """Give a seat, or a place in the queue, up; `leftAt` is when its connection was last there."""
    participant = msgspec.structs.replace(seat.participant, is_active=False, left_at=seat.dropped_at or now.stamp)
    return SeatChanged(msgspec.structs.replace(seat, participant=participant, claim=None), refusal, removal)


def follow_up(room: Room, now: Moment, settings: RoomView | None = None) -> list[SeatChanged]:
    """Decide what becomes of those who wait, first come, first served, under the room's settings or new ones.

    While somebody waits for a seat there is no free one, so nobody overtakes them.
    """
    settings = settings or room.settings
    changes: list[SeatChanged] = []
    free = settings.max_participants - len(room.seats)
    for seat in room.queue.values():
        barred = None
        if seat.participant.user_id is None and not settings.allow_guest_access:
            barred = GUESTS_NOT_ALLOWED
        if seat.waits_for == "waiting_room" and settings.waiting_room:
            changes += [leave(seat, now, refusal=barred)] if barred else []
        elif barred := barred or (ROOM_LOCKED if settings.is_locked else None):
            changes.append(leave(seat, now, refusal=barred))
        elif free > 0:
            free -= 1
            changes.append(admit(seat, now))
        elif seat.waits_for == "waiting_room":
            changes.append(wait_for(seat, "room_full"))
    return changes


def describe_queue(queue: Mapping[str, Seat]) -> list[Waiting]:
    """Describe everyone in a queue as hosts see them, in the order they came."""
    return [
        Waiting(
            participant_id=key,
            user_id=seat.participant.user_id,
            guest_name=seat.participant.guest_name,
            display_name=seat.participant.display_name,
            is_active=seat.participant.is_active,
            position=position,
            reason=seat.waits_for or "",
            waiting_since=seat.participant.joined_at,
        )
        for position, (key, seat) in enumerate(queue.items(), 1)
    ]
