"""The changes that a decision returns. Storage keeps them; `Room.apply` writes them into the room."""

import msgspec

from roomd.protocol.errors import ErrorKind
from roomd.protocol.log_events import LeftReason, WaitingEndReason
from roomd.protocol.objects import Ban, EndReason, Message
from roomd.protocol.objects import Room as RoomView
from roomd.rooms.denials import Denial
from roomd.rooms.model import PersonKey, Seat

LeaveReason = LeftReason | WaitingEndReason
"""Why somebody left their seat or the queue, for the event log."""


class Removal(msgspec.Struct, frozen=True):
    """A host took the seat away."""

    reason: str | None
    """The text that the host wrote for the participant; None without one."""


class SeatChanged(msgspec.Struct, frozen=True):
    """A seat, or a place in the queue, was taken, taken over, dropped or left."""

    seat: Seat
    """The seat or the place as it is after the change."""
    refusal: ErrorKind | None = None
    """The error for somebody who waited and gets no seat, unless they left the queue themselves."""
    removal: Removal | None = None
    """Set when a host removed the participant from their seat."""
    reason: LeaveReason | None = None
    """Why the seat or the place was given up; None while it is not."""


class RoomChanged(msgspec.Struct, frozen=True):
    """A room was created, changed or ended."""

    room: RoomView
    """The room as it is after the change."""
    reason: EndReason | None = None
    """Why the room ended; None when it has not, or when a host has ended it."""


class RoomEmptied(msgspec.Struct, frozen=True):
    """A room that ends when it is empty became empty, or is empty no longer."""

    since: str | None
    """The stamp of the time since when nobody has been there; None when somebody is, or when it does not matter."""


class RoomDeleted(msgspec.Struct, frozen=True):
    """A room was deleted, with all that belongs to it."""

    room: RoomView
    """The room as it was, after its end."""


class MessageSent(msgspec.Struct, frozen=True):
    """A participant sent a message, or a host from the service."""

    message: Message
    """The message as clients see it."""
    user_id: str | None
    """The sender's user id; None for a guest. A user who joins again is another participant, and may still read the
    message."""
    to_user_id: str | None
    """The user id of the addressee; None for a public message and for a guest."""
    total_bytes: int = 0
    """About how many bytes the messages of the room have in the database, up to this one."""


class MessagesDeleted(msgspec.Struct, frozen=True):
    """Messages of the room were deleted: the oldest, which were kept for long enough, or those of somebody."""

    through: str
    """The id of the last of the oldest; empty for none of them."""
    total_bytes: int
    """Its `MessageSent.total_bytes`, or that of what was deleted before it."""
    ids: frozenset[str] = frozenset()
    """The ids of others."""


class Banned(msgspec.Struct, frozen=True):
    """Somebody cannot join the room again."""

    who: PersonKey
    """Whom the ban keeps out: a user, or the guests of an address."""
    ban: Ban
    """The ban, which replaces an earlier ban of the same user or address."""


class Unbanned(msgspec.Struct, frozen=True):
    """A ban was lifted, or is over."""

    who: PersonKey
    """Whom it kept out."""
    ban_id: str
    """The id of the ban."""


class KnockDenied(msgspec.Struct, frozen=True):
    """Somebody was denied a seat and has to wait before the next knock. This is not stored."""

    who: PersonKey
    """By what the room recognises them."""
    denial: Denial
    """How often it has happened, and how long they wait."""


Change = (
    SeatChanged
    | RoomChanged
    | RoomEmptied
    | RoomDeleted
    | MessageSent
    | MessagesDeleted
    | Banned
    | Unbanned
    | KnockDenied
)
