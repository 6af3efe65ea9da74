"""Log events: what the event log says happened, one struct a `type` (docs/protocol.md, section 10).

The log adds `id` and `position` when it stores an event: see `logged.py`.
"""

from typing import Literal

import msgspec

from roomd.protocol.objects import Ban, EndReason, Message, Metadata, Participant, Room

LeftReason = Literal["left", "expired", "removed", "room-ended", "took-another-room", "displaced"]
"""Why a seat was given up. `displaced`: the seat was held, and a newcomer to the full room took its place."""
WaitingReason = Literal["waiting_room", "room_full"]
"""What somebody waits for, as in `waiting`."""
WaitingEndReason = Literal[
    "admitted", "left", "expired", "denied", "room-ended", "room-locked", "guests-not-allowed", "took-another-room"
]
"""Why somebody waits no longer. `admitted`: they got a seat; `participant-joined` follows."""


class RoomReference(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The room that a log event is about, as it was then."""

    id: str
    code: str
    external_id: str | None = None
    """The id that the service has given the room; null without one."""
    metadata: Metadata = {}
    """What the service stores with the room."""


class _Logged(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", rename="camel", omit_defaults=True):
    """What the log adds to an event."""

    id: str = ""
    """The event's own id. It is the same in every way of reading, also after a backup was restored."""
    position: str = ""
    """Where the event is in the log: `after` this position comes the next one. Opaque."""


class LogEvent(_Logged, frozen=True):
    """What every log event has."""

    at: str
    """When it happened, by the server's clock: ISO 8601."""


class _RoomEvent(LogEvent, frozen=True):
    room: Room


class _EventInRoom(LogEvent, frozen=True):
    room: RoomReference


class _ParticipantEvent(_EventInRoom, frozen=True):
    participant: Participant


class LoggedRoomCreated(_RoomEvent, frozen=True, tag="room-created"):
    """A room was created."""


class LoggedRoomUpdated(_RoomEvent, frozen=True, tag="room-updated"):
    """A room's settings were changed."""


class LoggedRoomEnded(_RoomEvent, frozen=True, tag="room-ended"):
    """A room was ended; before it, everybody in it left."""

    reason: EndReason | None = None
    """Why the room ended by itself, or that it was deleted; left out when somebody ended it."""


class LoggedRoomDeleted(_RoomEvent, frozen=True, tag="room-deleted"):
    """A room was deleted, with all that was stored of it."""


class LoggedParticipantJoined(_ParticipantEvent, frozen=True, tag="participant-joined"):
    """Somebody got a seat. With `isActive` false they had waited for it, and their connection was lost meanwhile."""


class LoggedParticipantDropped(_ParticipantEvent, frozen=True, tag="participant-dropped"):
    """A connection was lost, or the server restarted; the seat is held."""


class LoggedParticipantReturned(_ParticipantEvent, frozen=True, tag="participant-returned"):
    """Somebody took their held seat back."""


class LoggedParticipantLeft(_ParticipantEvent, frozen=True, tag="participant-left"):
    """A seat was given up."""

    reason: LeftReason
    duration: float
    """Seconds from `joinedAt` to `leftAt`."""


class LoggedWaitingStarted(_ParticipantEvent, frozen=True, tag="waiting-started"):
    """Somebody began to wait. `joinedAt` of the participant is the time of that."""

    reason: WaitingReason


class LoggedWaitingEnded(_ParticipantEvent, frozen=True, tag="waiting-ended"):
    """Somebody waits no longer."""

    reason: WaitingEndReason


class LoggedMessageSent(_EventInRoom, frozen=True, tag="message-sent"):
    """A message to everyone was sent. Logged only where the server is configured so; private ones never are."""

    message: Message


class LoggedUserBanned(_EventInRoom, frozen=True, tag="user-banned"):
    """Somebody was banned: a user, or with `userId` null the guests of an address."""

    ban: Ban


class LoggedUserUnbanned(_EventInRoom, frozen=True, tag="user-unbanned"):
    """A ban was lifted, or was over and is forgotten."""

    ban: Ban


AnyLogEvent = (
    LoggedRoomCreated
    | LoggedRoomUpdated
    | LoggedRoomEnded
    | LoggedRoomDeleted
    | LoggedParticipantJoined
    | LoggedParticipantDropped
    | LoggedParticipantReturned
    | LoggedParticipantLeft
    | LoggedWaitingStarted
    | LoggedWaitingEnded
    | LoggedMessageSent
    | LoggedUserBanned
    | LoggedUserUnbanned
)
"""Every log event there is."""
