"""Coming and going: join, resume, leave, drop, expire."""

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
"""People in a queue (docs/protocol.md, section 8)."""


class SeatCommand(Command[Seat], frozen=True, kw_only=True):
    """A command that gives its caller a seat, or a place in the queue: that is its answer."""

    caller: Caller
    resume_hash: str
    """SHA-256 of the secret in the resume token that the caller gets."""
    claim: int
    """A number that no sitting has had."""


class Join(SeatCommand, frozen=True, kw_only=True):
    """Take a seat, or take over the one the caller already has."""

    guest_name: str | None
    """Already clean; None for users."""
    wait: bool = False
    """Wait for a seat when the room is full."""

    def decide(self, room: Room, now: Moment) -> Decision[Seat]:
        """Follow the checks in the order of docs/protocol.md, section 4."""
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
    """Take a seat, or a place in the queue, back with its resume token."""

    without_room: ClassVar[ErrorKind] = SEAT_EXPIRED

    participant_id: str
    token_hash: str
    """SHA-256 of the secret in the token that was shown; that token is used up."""

    def decide(self, room: Room, now: Moment) -> Decision[Seat]:
        """Refuse a token that is not the seat's current one (410), and another user's seat (403)."""
        check_ban(room, self.caller)
        seat = room.place_of(self.participant_id)
        if seat is None or seat.resume_hash != self.token_hash:
            raise Refused(SEAT_EXPIRED)
        if self.caller.user_id is not None and self.caller.user_id != seat.participant.user_id:
            raise Refused(WRONG_USER)
        return _given(seats.take(seat, self.claim, self.resume_hash))


class Leave(Command[Participant], frozen=True):
    """Give the seat, or the place in the queue, up. The answer is the participant as they left."""

    participant_id: str
    claim: int

    def decide(self, room: Room, now: Moment) -> Decision[Participant]:
        """Refuse a claim that is not the seat's own (400 `not_in_room`)."""
        seat = room.place_of(self.participant_id)
        if seat is None or seat.claim != self.claim:
            raise Refused(NOT_IN_ROOM)
        left = seats.leave(seat, now)
        return Decision([left], left.seat.participant)


class Drop(Command[None], frozen=True):
    """Hold the seat: its connection is gone."""

    participant_id: str
    claim: int
    age: float
    """Seconds since the connection was lost."""

    def delayed(self, seconds: float) -> "Drop":
        """Return the drop as old as it is by then: the hold runs from when the connection was lost."""
        return Drop(self.participant_id, self.claim, self.age + seconds)

    def decide(self, room: Room, now: Moment) -> Decision[None]:
        """Change nothing where the seat was taken over, resumed or left meanwhile."""
        seat = room.place_of(self.participant_id)
        if seat is None or seat.claim != self.claim:
            return Decision([], None)
        return Decision([seats.drop(seat, now, self.age, room.rules.seat_hold)], None)


class Expire(Command[None], frozen=True):
    """Give up every seat whose hold has run out."""

    def decide(self, room: Room, now: Moment) -> Decision[None]:
        """Let everyone leave who is due."""
        return Decision([seats.leave(seat, now) for seat in room.expired(now.clock)], None)


def check_entry(room: Room, caller: Caller) -> Seat | None:
    """Check a join up to the lock, in the order of docs/protocol.md, section 4.

    Returns the seat, or the place in the queue, that the caller already has. Raises `Refused`.
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
    """Return what a newcomer has to wait for; None for a seat at once.

    Raises `Refused` (400 `room_full`) when they would not wait for a seat, or too many wait already.
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
