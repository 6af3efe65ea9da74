"""Commands that take a seat, keep what belongs to it, or give it up: join, resume, renew, leave, drop, expire."""

import math
from typing import ClassVar

import msgspec
from msgspec import UNSET

from roomd.protocol.errors import (
    NOT_IN_ROOM,
    ROOM_FULL,
    ROOM_LOCKED,
    SEAT_EXPIRED,
    TAKEN_OVER,
    UNAUTHENTICATED,
    WRONG_USER,
    ErrorKind,
    Refused,
    rate_limited,
)
from roomd.protocol.objects import Participant
from roomd.rooms import seats
from roomd.rooms.changes import LeaveReason, Removal, SeatChanged
from roomd.rooms.denials import keys_of
from roomd.rooms.model import Caller, Moment, Seat, WaitsFor
from roomd.rooms.rights import check_active, check_ban, check_guests, is_host, role_of, user_of
from roomd.rooms.room import Command, Decision, Room, is_same_to_clients
from roomd.rooms.space import Space

MOST_WAITING = 100
"""The number of people who may wait in one queue (docs/protocol.md, section 8)."""
MOST_GUESTS_WAITING = 80
"""The length of a queue from which on guests are refused, so that users find a place."""
MOST_OF_ADDRESS, MOST_OF_KNOWN_ADDRESS = 5, 20
"""The guests of one address who may wait in one queue; the second where somebody of the address has a seat."""


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
    is_again: bool = False
    """Whether the same join was submitted before, and may have had its effect."""

    def decide(self, room: Room, now: Moment) -> Decision[Seat]:
        """Return the change of the caller's own seat, or a new seat or place.

        Raises `Refused` by the checks of docs/protocol.md, section 4, in that order; 409 `taken_over` with the caller's
        own seat; 401 `unauthenticated` for a user without a token who has lost the seat.
        """
        if self.is_again and (own := self._find_given(room)) is not None:
            if own.claim is not None:
                return Decision([], own)
            taken = seats.take(own, self.caller, self.claim, self.resume_hash, own.previous_hash)
            return Decision([taken], taken.seat)
        caller, settings = self.caller, room.settings
        found = check_entry(room, caller, now)
        if found is not None:
            return Decision([taken := self._take_own(found)], taken.seat)
        user_id = caller.user_id
        if user_id is None and self.guest_name is None:
            raise Refused(UNAUTHENTICATED)
        waits_for, given_up = check_space(room, caller, wait=self.wait)
        hidden = room.place_of_user(user_id) if room.hidden else None
        exposed = [seats.leave(hidden, now, "left", removal=Removal(None))] if hidden is not None else []
        is_host = user_id is not None and user_id == settings.host_id
        participant = Participant(
            id=now.new_id(room.last_id),
            room_id=settings.id,
            user_id=user_id,
            guest_name=self.guest_name,
            is_active=True,
            is_host=is_host,
            joined_at=now.stamp,
            left_at=None,
            display_name=self.guest_name if self.guest_name is not None else caller.display_name,
            role=role_of(is_host=is_host, is_admin=caller.is_admin, is_cohost=caller.is_cohost),
            metadata=caller.metadata,
            is_hidden=caller.is_hidden or UNSET,
        )
        seat = Seat(
            participant,
            self.resume_hash,
            self.claim,
            waits_for=waits_for,
            is_admin=caller.is_admin,
            is_cohost=caller.is_cohost,
            token_exp=caller.token_exp,
            connection=caller.connection,
            address_key=caller.address_key,
            here_since=now.clock,
        )
        displaced = [seats.leave(guest, now, "displaced") for guest in given_up]
        return Decision([*exposed, *displaced, SeatChanged(seat)], seat)

    def repeated(self) -> "Join":
        """Return the join that finds the place that the first one got."""
        return msgspec.structs.replace(self, is_again=True)

    def _find_given(self, room: Room) -> Seat | None:
        """Return the place that this join got before, also one that is held since then; None without one.

        Nobody else can have come back to it: its token was not told to anybody.
        """
        return next((seat for seat in room.places if seat.resume_hash == self.resume_hash), None)

    def _take_own(self, seat: Seat) -> SeatChanged:
        """Give the caller its own seat. On the connection that has it, a token that the client may have stays valid."""
        caller = self.caller
        is_here = (seat.participant.id, seat.claim or caller.claim) == (caller.seat_id, caller.claim)
        if not (is_here or self.take_over or seat.claim is None):
            raise Refused(TAKEN_OVER)
        previous = (seat.previous_hash or seat.resume_hash) if is_here else None
        return seats.take(seat, self.caller, self.claim, self.resume_hash, previous)


class Resume(SeatCommand, frozen=True, kw_only=True):
    """Take a seat, or a place in the queue, back by its resume token."""

    without_room: ClassVar[ErrorKind] = SEAT_EXPIRED
    is_repeatable: ClassVar[bool] = True

    participant_id: str
    """The participant id in the resume token."""
    token_hash: str
    """The SHA-256, in hexadecimal, of the secret in the resume token: the seat's current or previous one."""

    def decide(self, room: Room, now: Moment) -> Decision[Seat]:
        """Return the change that gives the seat to the caller.

        Raises `Refused` for a seat that was given up (410), for a token that was superseded (409), and for the seat of
        another user (403).
        """
        seat = room.place_of(self.participant_id)
        if self.caller.user_id is not None:  # the ban of an address keeps newcomers out
            check_ban(room, self.caller, now)
        if seat is None or seats.is_exposed(seat, self.caller):
            raise Refused(SEAT_EXPIRED)
        if self.token_hash not in (seat.resume_hash, seat.previous_hash):
            raise Refused(TAKEN_OVER)
        if self.caller.user_id is not None and self.caller.user_id != seat.participant.user_id:
            raise Refused(WRONG_USER)
        taken = seats.take(seat, self.caller, self.claim, self.resume_hash, self.token_hash)
        return Decision([taken], taken.seat)


class Attach(Command[Seat], frozen=True):
    """Get the events of a seat, or of a place in the queue, that the connection has already.

    The node of the connection sends it after it has missed events, and when another node has got the room.
    """

    without_room: ClassVar[ErrorKind] = SEAT_EXPIRED
    is_repeatable: ClassVar[bool] = True

    participant_id: str
    """The participant whose connection it is."""
    claim: int
    """The claim of the sitting."""

    def decide(self, room: Room, now: Moment) -> Decision[Seat]:
        """Return the seat, and change nothing.

        Raises `Refused` for a seat that was given up (410), and for one with another claim (409).
        """
        seat = room.place_of(self.participant_id)
        if seat is None or seat.claim is None:
            raise Refused(SEAT_EXPIRED)
        if seat.claim != self.claim:
            raise Refused(TAKEN_OVER)
        return Decision([], seat)


class Renew(Command[None], frozen=True):
    """Store what a new token says with the caller's seat, or with its place.

    A hidden place ends when the token does not hide.
    """

    is_repeatable: ClassVar[bool] = True

    caller: Caller
    """Who has presented the token."""

    def decide(self, room: Room, now: Moment) -> Decision[None]:
        """Return the change of the seat; change nothing if the caller has none any more, or nothing is different."""
        seat = room.place_of_caller(self.caller)
        if seat is None:
            return Decision([], None)
        if seats.is_exposed(seat, self.caller):
            return Decision([seats.leave(seat, now, "removed", removal=Removal(None))], None)
        renewed = seats.renew(seat, self.caller)
        is_same = renewed.seat == seat and is_same_to_clients(renewed.seat.participant, seat.participant)
        return Decision([] if is_same else [renewed], None)


class Confirm(Command[None], frozen=True):
    """Void the previous resume token, because the client is known to have the current one."""

    is_repeatable: ClassVar[bool] = True

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
    reason: LeaveReason = "left"
    """Why they leave, for the event log: by themselves, or because they have taken a seat in another room."""

    def decide(self, room: Room, now: Moment) -> Decision[Participant]:
        """Let the participant leave.

        Raises `Refused` (400 `not_in_room`) when there is no such seat, or when it has another claim.
        """
        seat = room.place_of(self.participant_id)
        if seat is None or seat.claim != self.claim:
            raise Refused(NOT_IN_ROOM)
        left = seats.leave(seat, now, self.reason)
        return Decision([left], left.seat.participant)


class Drop(Command[None], frozen=True):
    """Hold the seat, or the place in the queue, whose connection was lost."""

    is_repeatable: ClassVar[bool] = True

    participant_id: str
    """The participant whose connection was lost; empty where only the claim is known: its join was not answered."""
    claim: int
    """The claim of their sitting."""
    age: float
    """The seconds since the connection was lost."""
    hold: float = math.inf
    """The most seconds for which the seat is held; see `seats.longest_hold`."""

    is_late: bool = False
    """Whether the hold begins when the drop is stored: until then no room was served, and nobody could come back."""

    def delayed(self, seconds: float) -> "Drop":
        """Return the drop with its age `seconds` higher: the hold begins when the connection was lost."""
        if self.is_late:
            return self
        return Drop(self.participant_id, self.claim, self.age + seconds, self.hold)

    def decide(self, room: Room, now: Moment) -> Decision[None]:
        """Hold the seat; change nothing if it was taken over, resumed or left since."""
        if self.participant_id:
            seat = room.place_of(self.participant_id)
        else:
            seat = next((one for one in room.places if one.claim == self.claim), None)
        if seat is None or seat.claim != self.claim:
            return Decision([], None)
        hold = min(self.hold, seats.longest_hold(seat, room.rules, now.clock - self.age))
        return Decision([seats.drop(seat, now, self.age, hold)], None)


class DropNodes(Command[None], frozen=True):
    """Hold the seats, and the places in the queue, of connections whose node is gone.

    The upper 32 bits of a claim are the generation of the node that drew it. It has a batch of its own, so that nobody
    is given a seat with a state in which they have lost it.
    """

    is_alone: ClassVar[bool] = True
    is_repeatable: ClassVar[bool] = True

    nodes: frozenset[int]
    """The generations of the nodes that are there."""
    are_gone: bool = False
    """Whether `nodes` are instead those that are gone."""

    def decide(self, room: Room, now: Moment) -> Decision[None]:
        """Hold them as of now."""
        claimed = [(seat, seat.claim >> 32) for seat in room.places if seat.claim is not None]
        gone = [seat for seat, node in claimed if (node in self.nodes) is self.are_gone]
        holds = [seats.longest_hold(seat, room.rules, now.clock) for seat in gone]
        drops = [seats.drop(seat, now, 0.0, hold) for seat, hold in zip(gone, holds, strict=True)]
        return Decision(drops, None)


class Expire(Command[None], frozen=True):
    """Give up every seat, and every place, whose hold is over."""

    is_repeatable: ClassVar[bool] = True

    def decide(self, room: Room, now: Moment) -> Decision[None]:
        """Let their participants leave."""
        return Decision(seats.expire(room, now), None)


def check_entry(room: Room, caller: Caller, now: Moment) -> Seat | None:
    """Run the checks of a join up to the waiting time after a denial, in the order of docs/protocol.md, section 4.

    Returns the seat, or the place in the queue, that the caller already has, else None. Raises `Refused`.
    """
    check_active(room)
    check_ban(room, caller, now)
    check_guests(room, caller)
    found = room.place_of_caller(caller) or _dropped_place(room, caller)
    if found is not None and not seats.is_exposed(found, caller):
        return found
    if caller.is_hidden:
        return None
    if room.settings.is_locked and not (room.rules.host_passes_lock and is_host(room, caller)):
        raise Refused(ROOM_LOCKED)
    if room.denials:
        _check_denials(room, caller, now)
    return None


def _dropped_place(room: Room, caller: Caller) -> Seat | None:
    """Return the held place that the caller's connection had: its node was taken for gone, and is there after all."""
    place = room.place_of(caller.seat_id)
    return place if place is not None and place.claim is None else None


def _check_denials(room: Room, caller: Caller, now: Moment) -> None:
    """Check that the caller was not denied a short time ago. Raises `Refused` (429 `rate_limited`)."""
    denials = [room.denials[who].until for who in keys_of(caller) if who in room.denials]
    wait = max(denials, default=now.clock) - now.clock
    if wait > 0 and not is_host(room, caller):
        raise rate_limited(wait, "The host declined; wait before you knock again")


def check_space(room: Room, caller: Caller, *, wait: bool) -> tuple[WaitsFor | None, list[Seat]]:
    """Return what a newcomer has to wait for, and the seats that are given up for them when they wait for nothing.

    The caller has no place in the room. `wait` is whether they wait when it is full. Raises `Refused` (400 `room_full`)
    when they do not, or when too many people wait already. Who is hidden needs no seat.
    """
    if caller.is_hidden:
        return None, []
    given_up = [] if room.free_seats > 0 else Space(room).take(caller.user_id)
    must_be_admitted = room.settings.waiting_room and not is_host(room, caller)
    if given_up is None and not wait:
        raise Refused(ROOM_FULL)
    if given_up is not None and not must_be_admitted:
        return None, given_up
    _check_queue(room, caller)
    return "waiting_room" if must_be_admitted else "room_full", []


def _check_queue(room: Room, caller: Caller) -> None:
    """Check that there is a place in the queue for a newcomer.

    Raises `Refused` (400 `room_full`).
    """
    count, is_guest = len(room.queue), user_of(room, caller) is None
    if count >= (MOST_GUESTS_WAITING if is_guest else MOST_WAITING):
        raise Refused(ROOM_FULL, f"{count} people wait already")
    if not is_guest or caller.address_key is None:
        return
    is_known = any(seat.address_key == caller.address_key for seat in room.seats.values())
    waiting = [seat for seat in room.queue.values() if seat.address_key == caller.address_key]
    guests = sum(seat.participant.user_id is None for seat in waiting)
    if guests >= (MOST_OF_KNOWN_ADDRESS if is_known else MOST_OF_ADDRESS):
        raise Refused(ROOM_FULL, f"{guests} guests of your network address wait already")
