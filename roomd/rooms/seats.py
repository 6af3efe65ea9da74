"""All state changes of a seat. A place in the queue is a `Seat` that waits for something.

    state      | participant            | Join, Resume     | Admit, a free  | Leave, Remove, | Drop (with   | Expire
               |                        |                  | seat           | End            | the claim)   |
    -----------|------------------------|------------------|----------------|----------------|--------------|-----------
    (none)     |                        | connected, or    |                |                |              |
               |                        | waiting          |                |                |              |
    waiting    | no seat; isActive      | waiting, new     | connected      | (none)         | waiting,     |
               |                        | claim, new token |                |                | dropped      |
    waiting,   | no seat; not isActive  | waiting, new     | held           | (none)         |              | (none)
    dropped    |                        | claim, new token |                |                |              |
    connected  | isActive, leftAt null  | connected, new   |                | left           | held         |
               |                        | claim, new token |                |                |              |
    held       | not isActive, leftAt   | connected, new   |                | left           |              | left as of
               | null                   | claim, new token |                |                |              | the drop
    left       | not isActive, leftAt   |                  |                |                |              |

The functions here return the changes; the commands check who may ask for them.
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
    """Give a seat, or a place in the queue, to the connection with `claim`.

    `resume_hash` is the SHA-256 of the secret in its new resume token.
    """
    participant = seat.participant
    if not participant.is_active:
        participant = msgspec.structs.replace(participant, is_active=True)
    return SeatChanged(Seat(participant, resume_hash, claim, waits_for=seat.waits_for, seated_id=seat.seated_id))


def wait_for(seat: Seat, waits_for: WaitsFor) -> SeatChanged:
    """Change what somebody waits for; they keep their position in the queue."""
    return SeatChanged(msgspec.structs.replace(seat, waits_for=waits_for))


def admit(seat: Seat, now: Moment, seated_id: str) -> SeatChanged:
    """Turn a place in the queue into a seat. If its connection is lost, the seat is held for the rest of the hold.

    `seated_id` is a new id.
    """
    participant = msgspec.structs.replace(seat.participant, joined_at=now.stamp)
    return SeatChanged(msgspec.structs.replace(seat, participant=participant, waits_for=None, seated_id=seated_id))


def drop(seat: Seat, now: Moment, age: float, hold: float) -> SeatChanged:
    """Hold a seat, or a place, for `hold` seconds after its connection was lost, which was `age` seconds ago."""
    participant = msgspec.structs.replace(seat.participant, is_active=False)
    return SeatChanged(
        msgspec.structs.replace(
            seat,
            participant=participant,
            claim=None,
            dropped_at=now.ago(age),
            held_until=now.clock - age + hold,
        )
    )


def leave(seat: Seat, now: Moment, *, refusal: ErrorKind | None = None, removal: Removal | None = None) -> SeatChanged:
    """Give up a seat, or a place in the queue.

    `leftAt` is the time of the drop if the seat is held, else now. It is never before `joinedAt`, though the clock may
    have been set back, or the connection lost while the participant waited.
    """
    left_at = max(seat.dropped_at or now.stamp, seat.participant.joined_at)
    participant = msgspec.structs.replace(seat.participant, is_active=False, left_at=left_at)
    return SeatChanged(msgspec.structs.replace(seat, participant=participant, claim=None), refusal, removal)


def expire(room: Room, now: Moment) -> list[SeatChanged]:
    """Give up every seat, and every place in the queue, whose hold is over."""
    return [leave(seat, now) for seat in room.expired(now.clock)]


def follow_up(room: Room, now: Moment, settings: RoomView | None = None) -> list[SeatChanged]:
    """Return the changes of the queue that are due: who gets a free seat, and who can wait no longer.

    The queue is served in its order, by the room's settings or by new `settings`. While somebody
    waits for a seat, and not for the host, no seat is free, so nobody gets a seat out of order.
    """
    settings = settings or room.settings
    changes: list[SeatChanged] = []
    free = settings.max_participants - len(room.seats)
    last_id = room.last_id
    for seat in room.queue.values():
        refusal = None
        if seat.participant.user_id is None and not settings.allow_guest_access:
            refusal = GUESTS_NOT_ALLOWED
        if seat.waits_for == "waiting_room" and settings.waiting_room:
            changes += [leave(seat, now, refusal=refusal)] if refusal else []
        elif refusal := refusal or (ROOM_LOCKED if settings.is_locked else None):
            changes.append(leave(seat, now, refusal=refusal))
        elif free > 0:
            free -= 1
            last_id = now.new_id(last_id)
            changes.append(admit(seat, now, last_id))
        elif seat.waits_for == "waiting_room":
            changes.append(wait_for(seat, "room_full"))
    return changes


def describe_queue(queue: Mapping[str, Seat]) -> list[Waiting]:
    """Return everyone in a queue as hosts see them, in the order in which they came."""
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
