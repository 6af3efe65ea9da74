"""Commands that take a seat or give it up: join, resume, leave, drop, expire."""

from typing import ClassVar

from roomd.protocol.errors import (
    GUESTS_NOT_ALLOWED,
    NOT_IN_ROOM,
    ROOM_FULL,
    ROOM_LOCKED,
    SEAT_EXPIRED,
    WRONG_USER,
    ErrorKind,
    Refused,
)
from roomd.protocol.objects import Participant
from roomd.rooms import seats
from roomd.rooms.changes import SeatChanged
from roomd.rooms.model import Caller, Moment, Seat, WaitsFor
from roomd.rooms.rights import check_active, check_ban, is_host
from roomd.rooms.room import Command, Decision, Room

MOST_WAITING = 100
"""The number of people who may wait in one queue (docs/protocol.md, section 8)."""


class SeatCommand(Command[Seat], frozen=True, kw_only=True):
    """A command that gives its caller a seat, or a place in the queue. The seat or the place is its answer."""

    caller: Caller
    """Who sends the command."""
    resume_hash: str
    """The SHA-256, in hexadecimal, of the secret in the resume token that the caller gets."""
    claim: int
    """The claim of the new sitting, which no earlier sitting has had."""


class Join(SeatCommand, frozen=True, kw_only=True):
    """Take a seat, or take over the one the caller already has."""

    guest_name: str | None
    """The guest's name, already checked by `clean_name`; None for a user."""
    wait: bool = False
    """Whether the caller waits for a seat when the room is full."""

    def decide(self, room: Room, now: Moment) -> Decision[Seat]:
        """Return the change of the caller's own seat, or a new seat or place.

        Raises `Refused` by the checks of docs/protocol.md, section 4, in that order.
        """
        found = check_entry(room, self.caller)
        if found is not None:
            return _given(seats.take(found, self.claim, self.resume_hash))
        waits_for = check_space(room, self.caller, wait=self.wait)
        user_id = self.caller.user_id
        participant = Participant(
            id=now.new_id(room.last_id),
            room_id=room.settings.id,
            user_id=user_id,
            guest_name=self.guest_name,
            is_active=True,
            is_host=user_id is not None and user_id == room.settings.host_id,
            joined_at=now.stamp,
            left_at=None,
            display_name=self.guest_name if self.guest_name is not None else self.caller.display_name,
        )
        return _given(SeatChanged(Seat(participant, self.resume_hash, self.claim, waits_for=waits_for)))


class Resume(SeatCommand, frozen=True, kw_only=True):
    """Take a seat, or a place in the queue, back by its resume token."""

    without_room: ClassVar[ErrorKind] = SEAT_EXPIRED

    participant_id: str
    """The participant id in the resume token."""
    token_hash: str
    """The SHA-256, in hexadecimal, of the secret in the resume token. The token serves once."""

    def decide(self, room: Room, now: Moment) -> Decision[Seat]:
        """Return the change that gives the seat to the caller.

        Raises `Refused` for a token that is not the seat's current one (410), and for the seat of another user (403).
        """
        check_ban(room, self.caller)
        seat = room.place_of(self.participant_id)
        if seat is None or seat.resume_hash != self.token_hash:
            raise Refused(SEAT_EXPIRED)
        if self.caller.user_id is not None and self.caller.user_id != seat.participant.user_id:
            raise Refused(WRONG_USER)
        return _given(seats.take(seat, self.claim, self.resume_hash))


class Leave(Command[Participant], frozen=True):
    """Give up the seat, or the place in the queue. The answer is the participant after they left."""

    participant_id: str
    """The participant who leaves."""
    claim: int
    """The claim of their sitting."""

    def decide(self, room: Room, now: Moment) -> Decision[Participant]:
        """Let the participant leave.

        Raises `Refused` (400 `not_in_room`) when there is no such seat, or when it has another claim.
        """
        seat = room.place_of(self.participant_id)
        if seat is None or seat.claim != self.claim:
            raise Refused(NOT_IN_ROOM)
        left = seats.leave(seat, now)
        return Decision([left], left.seat.participant)


class Drop(Command[None], frozen=True):
    """Hold the seat, or the place in the queue, whose connection was lost."""

    participant_id: str
    """The participant whose connection was lost."""
    claim: int
    """The claim of their sitting."""
    age: float
    """The seconds since the connection was lost."""

    def delayed(self, seconds: float) -> "Drop":
        """Return the drop with its age `seconds` higher: the hold begins when the connection was lost."""
        return Drop(self.participant_id, self.claim, self.age + seconds)

    def decide(self, room: Room, now: Moment) -> Decision[None]:
        """Hold the seat; change nothing if it was taken over, resumed or left since."""
        seat = room.place_of(self.participant_id)
        if seat is None or seat.claim != self.claim:
            return Decision([], None)
        return Decision([seats.drop(seat, now, self.age, room.rules.seat_hold)], None)


class Expire(Command[None], frozen=True):
    """Give up every seat, and every place, whose hold is over."""

    def decide(self, room: Room, now: Moment) -> Decision[None]:
        """Let their participants leave."""
        return Decision(seats.expire(room, now), None)


def check_entry(room: Room, caller: Caller) -> Seat | None:
    """Run the checks of a join up to the lock, in the order of docs/protocol.md, section 4.

    Returns the seat, or the place in the queue, that the caller already has, else None. Raises `Refused`.
    """
    check_active(room)
    check_ban(room, caller)
    if caller.user_id is None and not room.settings.allow_guest_access:
        raise Refused(GUESTS_NOT_ALLOWED)
    if found := room.place_of_caller(caller):
        return found
    if room.settings.is_locked:
        raise Refused(ROOM_LOCKED)
    return None


def check_space(room: Room, caller: Caller, *, wait: bool) -> WaitsFor | None:
    """Return what a newcomer has to wait for; None when they get a seat at once.

    `wait` is whether they wait when the room is full. Raises `Refused` (400 `room_full`) when they do not, or when too
    many people wait already.
    """
    full = room.free_seats <= 0
    must_be_admitted = room.settings.waiting_room and not is_host(room, caller)
    if full and not wait:
        raise Refused(ROOM_FULL)
    if (full or must_be_admitted) and len(room.queue) >= MOST_WAITING:
        raise Refused(ROOM_FULL, f"{MOST_WAITING} people wait already")
    return "waiting_room" if must_be_admitted else "room_full" if full else None


def _given(change: SeatChanged) -> Decision[Seat]:
    return Decision([change], change.seat)
