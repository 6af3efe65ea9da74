"""What may be asked of a room, what then happened, and the answers: the vocabulary around `room.py`.

Commands are verbs, events past. All are frozen; none knows where it came from or where it goes.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import msgspec

from roomd.protocol.errors import ErrorKind, Refused
from roomd.protocol.events import Removed
from roomd.protocol.objects import Ban, Message, Participant, Scalar
from roomd.protocol.objects import Room as RoomView

WaitsFor = Literal["waiting_room", "room_full"]
"""What somebody in the queue waits for: the host, or a seat."""


class Moment(msgspec.Struct, frozen=True):
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
    """A participant and what the server alone knows of their seat, or of their place in the queue for one."""

    participant: Participant
    resume_hash: str
    """SHA-256 of the resume token that is good now."""
    owner: int | None
    """Who sits there now; None while it is held."""
    dropped_at: str | None = None
    """While held: when its connection was last there."""
    held_until: float = 0.0
    """While held: the clock time at which it is given up."""
    waits_for: WaitsFor | None = None
    """What keeps the participant in the queue; None for a seat. Until then `joinedAt` is when they began to wait."""


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
    wait: bool = False
    """Wait for a seat when the room is full."""


class Resume(msgspec.Struct, frozen=True):
    """Take a seat, or a place in the queue, back with its resume token."""

    caller: Caller
    participant_id: str
    token_hash: str
    resume_hash: str
    """Of the next token; the one shown is used up."""
    owner: int


class Leave(msgspec.Struct, frozen=True):
    """Give the seat, or the place in the queue, up."""

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


class Present(msgspec.Struct, frozen=True):
    """Change the participant's own presence, key by key; None takes a key away."""

    participant_id: str
    owner: int
    state: Mapping[str, Scalar | None]


class Say(msgspec.Struct, frozen=True):
    """Say something to everyone or to one participant."""

    participant_id: str
    owner: int
    message_id: str
    text: str
    to: str | None


class ListMessages(msgspec.Struct, frozen=True):
    """Ask whether the caller may read what was said, and as whom."""

    caller: Caller


class Remove(msgspec.Struct, frozen=True):
    """Take somebody's seat, or place in the queue, away."""

    caller: Caller
    participant_id: str
    ban: bool
    reason: str | None


class Mute(msgspec.Struct, frozen=True):
    """Ask whether the caller may ask a participant to mute."""

    caller: Caller
    participant_id: str


class ListBans(msgspec.Struct, frozen=True):
    """See who cannot come back."""

    caller: Caller


class Unban(msgspec.Struct, frozen=True):
    """Let a user come back."""

    caller: Caller
    user_id: str


class Admit(msgspec.Struct, frozen=True):
    """Let somebody in who waits for the host; everybody when `participant_id` is None."""

    caller: Caller
    participant_id: str | None


class Deny(msgspec.Struct, frozen=True):
    """Send somebody away who waits."""

    caller: Caller
    participant_id: str


Command = (
    Join
    | Resume
    | Leave
    | Drop
    | Expire
    | Get
    | List
    | Update
    | End
    | Present
    | Say
    | ListMessages
    | Remove
    | Mute
    | ListBans
    | Unban
    | Admit
    | Deny
)


# What happened.


class SeatChanged(msgspec.Struct, frozen=True):
    """A seat, or a place in the queue, was taken, changed hands, was dropped, or was left."""

    seat: Seat
    told: ErrorKind | Removed | None = None
    """What the one who had it is told, where they did not ask for it: why they wait no more, or were removed."""


class RoomChanged(msgspec.Struct, frozen=True):
    """A room was created, changed or ended."""

    room: RoomView


class MessageSent(msgspec.Struct, frozen=True):
    """Something was said."""

    room_id: str
    message: Message
    user_id: str | None
    """Of the sender, who may come back as another participant,"""
    to_user_id: str | None
    """and of the one it is for."""


class UserBanned(msgspec.Struct, frozen=True):
    """A user cannot come back."""

    room_id: str
    ban: Ban


class UserUnbanned(msgspec.Struct, frozen=True):
    """A user can come back."""

    room_id: str
    user_id: str


Event = SeatChanged | RoomChanged | MessageSent | UserBanned | UserUnbanned


class Kept(NamedTuple):
    """What storage has of a room that matters to the next command."""

    view: RoomView
    seats: Sequence[Seat] = ()
    """Those in the queue among them, in the order they came."""
    bans: Sequence[Ban] = ()
    messages: Sequence[Message] = ()
    """The last public ones, oldest first."""


class Decision(msgspec.Struct, frozen=True):
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


class Queued(msgspec.Struct, frozen=True):
    """The answer to a `Join` or `Resume` that waits; comes again when it has changed."""

    participant: Participant
    """Whom they will be."""
    position: int = 0
    """From 1, as it is when the turn ends."""
    reason: WaitsFor = "room_full"


class Reader(NamedTuple):
    """The answer to `ListMessages`: beside the public messages, the reader sees those from and to these."""

    room_id: str
    participant_id: str | None
    user_id: str | None


class Changes(NamedTuple):
    """Net effect of events on who is in a room; a participant stands in at most one list."""

    joined: list[Participant]
    updated: list[Participant]
    left: list[Participant]
