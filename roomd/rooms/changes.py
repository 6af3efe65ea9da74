"""What happened in a room: the changes that a decision comes to. Storage keeps them, `Room.apply` makes them true."""

import msgspec

from roomd.protocol.errors import ErrorKind
from roomd.protocol.objects import Ban, Message
from roomd.protocol.objects import Room as RoomView
from roomd.rooms.model import Seat


class Removal(msgspec.Struct, frozen=True):
    """A host took the seat away."""

    reason: str | None
    """The host's words for the participant, if any."""


class SeatChanged(msgspec.Struct, frozen=True):
    """A seat, or a place in the queue, was taken, changed hands, was dropped, or was left."""

    seat: Seat
    refusal: ErrorKind | None = None
    """The error for somebody whose waiting ended without a seat and who did not ask for that."""
    removal: Removal | None = None
    """Set when a host removed the participant from their seat."""


class RoomChanged(msgspec.Struct, frozen=True):
    """A room was created, changed or ended."""

    room: RoomView


class MessageSent(msgspec.Struct, frozen=True):
    """A participant sent a message."""

    message: Message
    user_id: str | None
    """The sender's user id. A user who comes back is another participant, and may still read the message."""
    to_user_id: str | None
    """The user id of the participant it is for."""


class UserBanned(msgspec.Struct, frozen=True):
    """A user cannot come back."""

    ban: Ban


class UserUnbanned(msgspec.Struct, frozen=True):
    """A user can come back."""

    user_id: str


Change = SeatChanged | RoomChanged | MessageSent | UserBanned | UserUnbanned
