"""Events: what the server sends unasked, one struct a `type`. docs/protocol.md says what each means."""

import msgspec

from roomd.protocol.log_events import AnyLogEvent
from roomd.protocol.objects import EndReason, Message, Participant, Room, Waiting


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", rename="camel", omit_defaults=True):
    """What every event is."""


class RoomState(Event, frozen=True, tag="room-state"):
    """The whole room at `seq`; every later event follows once, in order."""

    epoch: str
    """Names the period in which `seq` counts: a restart begins a new one."""
    seq: int
    room: Room
    participants: list[Participant]
    messages: list[Message]
    """The last public ones, oldest first."""


class ParticipantsChanged(Event, frozen=True, tag="participants-changed"):
    """The net effect of one batch of commands; a participant stands in at most one list."""

    seq: int
    joined: list[Participant]
    updated: list[Participant]
    left: list[Participant]


class RoomUpdated(Event, frozen=True, tag="room-updated"):
    """The room's settings changed."""

    seq: int
    room: Room


class RoomEnded(Event, frozen=True, tag="room-ended"):
    """The room has ended; every seat is left."""

    seq: int
    room_id: str
    reason: EndReason | None = None
    """Why it ended by itself, or that it was deleted; left out when a host ended it."""


class SignalEvent(Event, frozen=True, tag="signal"):
    """Data that another participant sent to this one."""

    sender: str = msgspec.field(name="from")
    data: msgspec.Raw


class MessageEvent(Event, frozen=True, tag="message"):
    """A message, to everyone or to this participant alone."""

    message: Message


class Removed(Event, frozen=True, tag="removed"):
    """A host took the seat away; the connection is closed with 4403."""

    reason: str | None


class MuteRequested(Event, frozen=True, tag="mute-requested"):
    """A host asks this client to mute itself."""


class WaitingChanged(Event, frozen=True, tag="waiting-changed"):
    """The whole queue, in order; sent to hosts."""

    waiting: list[Waiting]


class ServerRestarting(Event, frozen=True, tag="server-restarting"):
    """The server restarts: resume after `retryAfter` seconds, which differ from client to client."""

    retry_after: float


class LogEvents(Event, frozen=True, tag="events"):
    """The next events of the log, to who watches; none when many events of other rooms were passed."""

    events: list[AnyLogEvent]
    next: str
    """The position from which to read on."""


EVENTS = tuple(Event.__subclasses__())
"""Every event there is, but for `waiting`, which is a reply that comes again."""
