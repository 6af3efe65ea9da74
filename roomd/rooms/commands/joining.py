"""Commands that take a seat, keep what belongs to it, or give it up: join, resume, renew, leave, drop, expire."""

import math
from typing import ClassVar

from roomd.protocol.errors import (
    GUESTS_NOT_ALLOWED,
    NOT_IN_ROOM,
    ROOM_FULL,
    ROOM_LOCKED,
    SEAT_EXPIRED,
    TAKEN_OVER,
    UNAUTHENTICATED,
    WRONG_USER,
    ErrorKind,
    Refused,
)
from roomd.protocol.objects import Participant
from roomd.rooms import seats
from roomd.rooms.changes import SeatChanged
from roomd.rooms.model import Caller, Moment, Seat, WaitsFor
from roomd.rooms.rights import check_active, check_ban, is_host, user_of
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
    take_over: bool = True
    """Whether the caller takes its own seat over from another connection that has it."""

    def decide(self, room: Room, now: Moment) -> Decision[Seat]:
        """Return the change of the caller's own seat, or a new seat or place.

        Raises `Refused` by the checks of docs/protocol.md, section 4, in that order; 409 `taken_over` with the caller's
        own seat; 401 `unauthenticated` for a user without a token who has lost the seat.
        """
        found = check_entry(room, self.caller)
        if found is not None:
            return Decision([taken := self._take_own(found)], taken.seat)
        user_id = self.caller.user_id
        if user_id is None and self.guest_name is None:
            raise Refused(UNAUTHENTICATED)
        waits_for = check_space(room, self.caller, wait=self.wait)
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
        seat = Seat(
            participant,
            self.resume_hash,
            self.claim,
            waits_for=waits_for,
            is_admin=self.caller.is_admin,
            token_exp=self.caller.token_exp,
        )
        guest = _place_for_host(room, self.caller) if waits_for is None else None
        left = [seats.leave(guest, now)] if guest is not None else []
        return Decision([*left, SeatChanged(seat)], seat)

    def _take_own(self, seat: Seat) -> SeatChanged:
        """Give the caller its own seat. On the connection that has it, a token that the client may have stays valid."""
        is_here = seat.claim is not None and seat.claim == self.caller.claim
        if not (is_here or self.take_over or seat.claim is None):
            raise Refused(TAKEN_OVER)
        previous = (seat.previous_hash or seat.resume_hash) if is_here else None
        return seats.take(seat, self.caller, self.claim, self.resume_hash, previous)


class Resume(SeatCommand, frozen=True, kw_only=True):
    """Take a seat, or a place in the queue, back by its resume token."""

    without_room: ClassVar[ErrorKind] = SEAT_EXPIRED

    participant_id: str
    """The participant id in the resume token."""
    token_hash: str
    """The SHA-256, in hexadecimal, of the secret in the resume token: the seat's current or previous one."""

    def decide(self, room: Room, now: Moment) -> Decision[Seat]:
        """Return the change that gives the seat to the caller.

        Raises `Refused` for a seat that was given up (410), for a token that was superseded (409), and for the seat of
        another user (403).
        """
        check_ban(room, self.caller)
        seat = room.place_of(self.participant_id)
        if seat is None:
            raise Refused(SEAT_EXPIRED)
        if self.token_hash not in (seat.resume_hash, seat.previous_hash):
            raise Refused(TAKEN_OVER)
        if self.caller.user_id is not None and self.caller.user_id != seat.participant.user_id:
            raise Refused(WRONG_USER)
        taken = seats.take(seat, self.caller, self.claim, self.resume_hash, self.token_hash)
        return Decision([taken], taken.seat)


class Renew(Command[None], frozen=True):
    """Store the rights of a new token with the caller's seat, or with its place in the queue."""

    caller: Caller
    """Who has presented the token."""

    def decide(self, room: Room, now: Moment) -> Decision[None]:
        """Return the change of the seat; change nothing if the caller has none any more, or the rights are the same."""
        seat = room.place_of_caller(self.caller)
        renewed = [seats.renew(seat, self.caller)] if seat is not None else []
        return Decision([change for change in renewed if change.seat != seat], None)


class Confirm(Command[None], frozen=True):
    """Void the previous resume token, because the client is known to have the current one."""

    participant_id: str
    """The participant whose client has the token."""
    claim: int
    """The claim of the sitting that began with the token."""

    def decide(self, room: Room, now: Moment) -> Decision[None]:
        """Return the change of the seat; change nothing if it was taken over, resumed or left since."""
        seat = room.place_of(self.participant_id)
        if seat is None or seat.claim != self.claim or seat.previous_hash is None:
            return Decision([], None)
        return Decision([seats.confirm(seat)], None)


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
    hold: float = math.inf
    """The seconds for which the seat is held, at most `Rules.seat_hold`."""

    def delayed(self, seconds: float) -> "Drop":
        """Return the drop with its age `seconds` higher: the hold begins when the connection was lost."""
        return Drop(self.participant_id, self.claim, self.age + seconds, self.hold)

    def decide(self, room: Room, now: Moment) -> Decision[None]:
        """Hold the seat; change nothing if it was taken over, resumed or left since."""
        seat = room.place_of(self.participant_id)
        if seat is None or seat.claim != self.claim:
            return Decision([], None)
        return Decision([seats.drop(seat, now, self.age, min(self.hold, room.rules.seat_hold))], None)


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
    if user_of(room, caller) is None and not room.settings.allow_guest_access:
        raise Refused(GUESTS_NOT_ALLOWED)
    if found := room.place_of_caller(caller):
        return found
    if room.settings.is_locked and not (room.rules.host_passes_lock and is_host(room, caller)):
        raise Refused(ROOM_LOCKED)
    return None


def check_space(room: Room, caller: Caller, *, wait: bool) -> WaitsFor | None:
    """Return what a newcomer has to wait for; None when they get a seat at once.

    `wait` is whether they wait when the room is full. Raises `Refused` (400 `room_full`) when they do not, or when too
    many people wait already.
    """
    full = room.free_seats <= 0 and _place_for_host(room, caller) is None
    must_be_admitted = room.settings.waiting_room and not is_host(room, caller)
    if full and not wait:
        raise Refused(ROOM_FULL)
    if (full or must_be_admitted) and len(room.queue) >= MOST_WAITING:
        raise Refused(ROOM_FULL, f"{MOST_WAITING} people wait already")
    return "waiting_room" if must_be_admitted else "room_full" if full else None


def _place_for_host(room: Room, caller: Caller) -> Seat | None:
    """Return the seat that the caller takes the place of, as the host of a room that is just full; else None."""
    return seats.held_for_host(room, caller.user_id) if room.free_seats == 0 else None
