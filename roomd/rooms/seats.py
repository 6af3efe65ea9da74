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
    held       | not isActive, leftAt   | connected, new   |                | left; also for |              | left as of
               | null                   | claim, new token |                | a newcomer     |              | the drop
    left       | not isActive, leftAt   |                  |                |                |              |

"For a newcomer": in a full room, the place of a held guest may be taken (`space.py`). A drop whose hold is over
already, as after a clean close of a client that asked for no hold, is a leave.

A seat, and a place in the queue, has a current resume token and at most one previous one:

    event                                  | current | previous
    ---------------------------------------|---------|-----------------------------------------------------------
    Join as a newcomer                     | new     | none
    Join from another connection           | new     | none
    Join on the same connection            | new     | the previous one; without one, the one that was current
    Resume with the current or previous    | new     | the one presented
    Confirm: the client has the current    | stays   | none

A hidden place, of an admin, has the states of a seat. It ends when a token is presented for it that does not hide.

The functions here return the changes; the commands check who may ask for them.
"""

from collections.abc import Mapping, Sequence

import msgspec

from roomd.protocol.errors import DENIED, GUESTS_NOT_ALLOWED, ROOM_LOCKED, ErrorKind
from roomd.protocol.objects import Room as RoomView
from roomd.protocol.objects import Waiting
from roomd.rooms.changes import Change, KnockDenied, LeaveReason, Removal, RoomChanged, SeatChanged
from roomd.rooms.denials import keys_of, next_denial
from roomd.rooms.model import Caller, Moment, Seat, WaitsFor
from roomd.rooms.rights import carries_host_rights, role_of
from roomd.rooms.room import Room
from roomd.rooms.settings import Rules
from roomd.rooms.space import Space

SHORTEST_HOLD = 3.0
"""The seconds for which the seat of a guest who had just come is held, if `Rules.seat_hold` is not shorter."""


def take(seat: Seat, caller: Caller, claim: int, resume_hash: str, previous_hash: str | None) -> SeatChanged:
    """Give a seat, or a place in the queue, to the caller's connection, whose sitting gets `claim`.

    `resume_hash` is the SHA-256 of the secret in its new resume token, `previous_hash` that of the previous token; None
    for none.
    """
    participant = seat.participant
    if not participant.is_active:
        participant = msgspec.structs.replace(participant, is_active=True)
    return renew(
        Seat(
            participant,
            resume_hash,
            claim,
            waits_for=seat.waits_for,
            previous_hash=previous_hash,
            is_admin=seat.is_admin,
            is_cohost=seat.is_cohost,
            token_exp=seat.token_exp,
            seated_id=seat.seated_id,
            connection=caller.connection,
            address_key=caller.address_key,
            here_since=seat.here_since,
        ),
        caller,
    )


def renew(seat: Seat, caller: Caller) -> SeatChanged:
    """Store what the caller's token says with its seat. Without a token the seat keeps what it has."""
    if caller.user_id is None:
        return SeatChanged(seat)
    before = seat.participant
    role = role_of(is_host=before.is_host, is_admin=caller.is_admin, is_cohost=caller.is_cohost)
    participant = msgspec.structs.replace(before, role=role, metadata=caller.metadata)
    return SeatChanged(
        msgspec.structs.replace(
            seat,
            participant=participant,
            is_admin=caller.is_admin,
            is_cohost=caller.is_cohost,
            token_exp=caller.token_exp,
        )
    )


def is_exposed(seat: Seat, caller: Caller) -> bool:
    """Return whether the caller comes for a hidden place with a token that does not hide: the place ends then."""
    return bool(seat.participant.is_hidden) and caller.user_id is not None and not caller.is_hidden


def confirm(seat: Seat) -> SeatChanged:
    """Void the previous resume token: the client is known to have the current one."""
    return SeatChanged(msgspec.structs.replace(seat, previous_hash=None))


def wait_for(seat: Seat, waits_for: WaitsFor) -> SeatChanged:
    """Change what somebody waits for; they keep their position in the queue."""
    return SeatChanged(msgspec.structs.replace(seat, waits_for=waits_for))


def admit(seat: Seat, now: Moment, seated_id: str) -> SeatChanged:
    """Turn a place in the queue into a seat. If its connection is lost, the seat is held for the rest of the hold.

    `seated_id` is a new id.
    """
    participant = msgspec.structs.replace(seat.participant, joined_at=now.stamp)
    return SeatChanged(msgspec.structs.replace(seat, participant=participant, waits_for=None, seated_id=seated_id))


def longest_hold(seat: Seat, rules: Rules, lost_at: float) -> float:
    """Return the seconds for which a seat, or a place, may be held whose connection was lost at `lost_at`.

    A guest's is held for no longer than the guest had been there, so that nobody fills a room with guests who drop at
    once. `lost_at` is a time of the monotonic clock.
    """
    if seat.participant.user_id is not None:
        return rules.seat_hold
    return min(rules.seat_hold, max(SHORTEST_HOLD, lost_at - seat.here_since))


def drop(seat: Seat, now: Moment, age: float, hold: float) -> SeatChanged:
    """Hold a seat, or a place, for `hold` seconds after its connection was lost, which was `age` seconds ago.

    If that is over already, give it up.
    """
    held = msgspec.structs.replace(
        seat,
        participant=msgspec.structs.replace(seat.participant, is_active=False),
        claim=None,
        # A delayed drop may find that the place in the queue has become a seat since then.
        dropped_at=max(now.ago(age), seat.participant.joined_at),
        held_until=now.clock - age + hold,
    )
    return SeatChanged(held) if held.held_until > now.clock else leave(held, now, "expired")


def leave(
    seat: Seat, now: Moment, reason: LeaveReason, *, refusal: ErrorKind | None = None, removal: Removal | None = None
) -> SeatChanged:
    """Give up a seat, or a place in the queue, for this reason.

    `leftAt` is the time of the drop if the seat is held, else now. It is never before `joinedAt`, though the clock may
    have been set back, or the connection lost while the participant waited.
    """
    left_at = max(seat.dropped_at or now.stamp, seat.participant.joined_at)
    participant = msgspec.structs.replace(seat.participant, is_active=False, left_at=left_at)
    return SeatChanged(msgspec.structs.replace(seat, participant=participant, claim=None), refusal, removal, reason)


def deny(room: Room, seat: Seat, now: Moment) -> list[SeatChanged | KnockDenied]:
    """Deny somebody in the queue a seat. They have to wait before the next knock."""
    denials = [KnockDenied(who, next_denial(who, room.denials.get(who), now.clock)) for who in keys_of(seat)]
    return [leave(seat, now, "denied", refusal=DENIED), *denials]


def expire(room: Room, now: Moment) -> list[SeatChanged]:
    """Give up every seat, and every place in the queue, whose hold is over."""
    return [leave(seat, now, "expired") for seat in room.expired(now.clock)]


def apply_changes(room: Room, changes: Sequence[Change], now: Moment) -> Sequence[Change]:
    """Apply the changes of a command, and then those of the queue that follow from them. Return all of them.

    The queue is not looked at when it was empty before: whoever joins it waits by the same rules.
    """
    may_move = room.queue and any(_moves_queue(room, change) for change in changes)
    for change in changes:
        room.apply(change)
    if not may_move:
        return changes
    more = follow_up(room, now)
    for change in more:
        room.apply(change)
    return [*changes, *more]


def _moves_queue(room: Room, change: Change) -> bool:
    """Return whether `follow_up` may return anything after a change, which is not applied yet.

    It does not after a message, a ban or a denial, nor when somebody stays connected in their seat: they neither give
    the seat up nor let it be taken.
    """
    if not isinstance(change, SeatChanged):
        return isinstance(change, RoomChanged)
    before = room.seats.get(change.seat.participant.id)
    return before is None or before.claim is None or change.seat.claim is None


def follow_up(room: Room, now: Moment, settings: RoomView | None = None) -> list[SeatChanged]:
    """Return the changes of the queue that are due: who gets a free seat, and who can wait no longer.

    The queue is served in its order, by the room's settings or by new `settings`. While somebody waits for a seat, and
    not for the host, no seat is free, so nobody gets a seat out of order; only who may take the place of a held guest
    passes those who may not.
    """
    settings = settings or room.settings
    changes: list[SeatChanged] = []
    space = Space(room, settings)
    last_id = room.last_id
    for seat in room.queue.values():
        user_id, is_hosts = seat.participant.user_id, carries_host_rights(seat, settings)
        is_kept_out = settings.is_locked and not (is_hosts and room.rules.host_passes_lock)
        refusal = None
        if user_id is None and not settings.allow_guest_access:
            refusal = GUESTS_NOT_ALLOWED
        if seat.waits_for == "waiting_room" and settings.waiting_room and not is_hosts:
            changes += [leave(seat, now, "guests-not-allowed", refusal=refusal)] if refusal else []
        elif refusal := refusal or (ROOM_LOCKED if is_kept_out else None):
            reason: LeaveReason = "room-locked" if refusal is ROOM_LOCKED else "guests-not-allowed"
            changes.append(leave(seat, now, reason, refusal=refusal))
        elif (given_up := space.take(user_id, is_connected=seat.claim is not None)) is not None:
            last_id = now.new_id(last_id)
            admitted = admit(seat, now, last_id)
            changes += [*(leave(guest, now, "displaced") for guest in given_up), admitted]
            space.add(admitted.seat)
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
