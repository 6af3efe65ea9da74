"""What may be asked of a room, what then happened, and the answers: the vocabulary around `room.py`.

Commands are verbs, events past. All are frozen; none knows where it came from or where it goes.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from roomd.errors import Refused
from roomd.frames import Participant
from roomd.frames import Room as RoomView


class Moment(NamedTuple):
    """One instant on two clocks."""

    stamp: str
    """Wall clock, for people and the database: ISO 8601, UTC, milliseconds."""
    clock: float
    """Monotonic seconds, for deadlines."""


class Caller(msgspec.Struct, frozen=True):
    """Who is asking; a guest has no user id."""

    seat_id: str | None = None
    """The participant the caller's connection was last told it is in this room, if any,"""
    owner: int | None = None
    """and the number it owns that seat by."""
    user_id: str | None = None
    display_name: str = ""
    admin: bool = False
    """Host rights in every room."""


class Seat(msgspec.Struct, frozen=True):
    """A participant and what the server alone knows of their seat."""

    participant: Participant
    resume_hash: str
    """SHA-256 of the resume token that is good now."""
    owner: int | None
    """Who sits there now; None while it is held."""
    dropped_at: str | None = None
    """While held: when its connection was last there."""
    held_until: float = 0.0
    """While held: the clock time at which it is given up."""


# What a client may ask of a room.


class Join(msgspec.Struct, frozen=True):
    """Take a seat, or take over the one the caller already has."""

    caller: Caller
    guest_name: str | None
    """Already clean; None for users."""
    participant_id: str
    """The id a new participant would get."""
    resume_hash: str
    owner: int


class Resume(msgspec.Struct, frozen=True):
    """Take a seat back with its resume token."""

    caller: Caller
    participant_id: str
    token_hash: str
    resume_hash: str
    """Of the next token; the one shown is used up."""
    owner: int


class Leave(msgspec.Struct, frozen=True):
    """Give the seat up."""

    participant_id: str
    owner: int


class Drop(msgspec.Struct, frozen=True):
    """The seat's connection is gone; hold the seat from that moment on."""

    participant_id: str
    owner: int
    at: Moment


class Expire(msgspec.Struct, frozen=True):
    """Give up every seat whose hold has run out."""


class Get(msgspec.Struct, frozen=True):
    """See the room, and whether the caller could join it now."""

    caller: Caller


class List(msgspec.Struct, frozen=True):
    """See who is in the room; with `history`, ask whether the caller may see who was."""

    caller: Caller
    history: bool


class Settings(msgspec.Struct, frozen=True):
    """The settings of a room that a host may choose; None leaves one as it is."""

    name: str | None = None
    is_locked: bool | None = None
    max_participants: int | None = None
    allow_guest_access: bool | None = None
    waiting_room: bool | None = None


class Update(msgspec.Struct, frozen=True):
    """Change the room's settings."""

    caller: Caller
    settings: Settings


class End(msgspec.Struct, frozen=True):
    """End the room for everyone."""

    caller: Caller


Command = Join | Resume | Leave | Drop | Expire | Get | List | Update | End


# What happened.


class SeatChanged(msgspec.Struct, frozen=True):
    """A seat was taken, changed hands, was dropped, or was left."""

    seat: Seat


class RoomChanged(msgspec.Struct, frozen=True):
    """A room was created, changed or ended."""

    room: RoomView


Event = SeatChanged | RoomChanged


class Decision(NamedTuple):
    """What a command comes to: events to apply and keep, and the answer for who asked."""

    events: Sequence[Event]
    answer: Any = None


class Got(NamedTuple):
    """The answer to `Get`."""

    room: RoomView
    refusal: Refused | None
    """What a join would get now; None when it would succeed."""


class Listed(NamedTuple):
    """The answer to `List`."""

    room: RoomView
    participants: list[Participant]


class Changes(NamedTuple):
    """Net effect of events on who is in a room; a participant stands in at most one list."""

    joined: list[Participant]
    updated: list[Participant]
    left: list[Participant]
