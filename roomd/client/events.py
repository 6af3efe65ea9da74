"""The events of a meeting, as frozen structs. `Meeting` yields them one by one."""

from typing import Any

import msgspec

from roomd.protocol.errors import BANNED
from roomd.protocol.objects import Message, Participant, Room, Waiting


class MeetingEvent(msgspec.Struct, frozen=True):
    """Something happened. The meeting's properties already show it, and may show later events too."""


class Placed(MeetingEvent, frozen=True):
    """This client waits in the queue. Comes again when the place changes, and after a drop."""

    participant_id: str
    """The id that the participant will have."""
    position: int
    """From 1, in the order people came."""
    reason: str
    """`waiting_room`: the host has to admit. `room_full`: a seat has to become free."""


class Entered(MeetingEvent, frozen=True):
    """This client took a seat: at the start, after waiting, or a new one because the held seat had expired."""


class Joined(MeetingEvent, frozen=True):
    """Another participant took a seat."""

    participant: Participant


class Updated(MeetingEvent, frozen=True):
    """A participant dropped, came back or changed their state. Comes for this client's own participant too."""

    participant: Participant
    """The participant as it is now."""
    before: Participant
    """The participant as it was."""


class Left(MeetingEvent, frozen=True):
    """A participant gave up the seat, lost it or was removed."""

    participant: Participant
    """`left_at` is None when it happened while this client was disconnected."""


class RoomChanged(MeetingEvent, frozen=True):
    """The room's settings changed."""

    room: Room
    """The room as it is now."""
    before: Room
    """The room as it was."""


class Said(MeetingEvent, frozen=True):
    """A message arrived, this client's own included."""

    message: Message
    """Private when `to` is not None."""


class MessagesSkipped(MeetingEvent, frozen=True):
    """Some messages sent while this client was disconnected are not told; read them with `Meeting.list_messages`."""

    after: str | None
    """The id of the last message before the gap, to be used as `cursor`. None: the gap starts at the first message."""
    before: str | None
    """The id of the first message after the gap. None: the gap reaches to the last message."""


class Signalled(MeetingEvent, frozen=True):
    """Another participant sent a signal to this client."""

    sender: str
    """The sender's participant id."""
    data: Any
    """What they sent: any JSON value."""


class MuteRequested(MeetingEvent, frozen=True):
    """A host asks this client to mute itself."""


class LobbyChanged(MeetingEvent, frozen=True):
    """The list of people who wait changed. Only hosts get this event."""

    lobby: tuple[Waiting, ...]
    """Everyone who waits, in order."""


class ServerRestarts(MeetingEvent, frozen=True):
    """The server is about to restart. The connection will drop, and the client will reconnect by itself."""


class Dropped(MeetingEvent, frozen=True):
    """The connection was lost, or an attempt to reconnect failed. The client will try again."""

    reason: str
    """For people."""
    delay: float
    """Seconds until the next attempt."""


class SeatLost(MeetingEvent, frozen=True):
    """The held seat, or the place in the queue, has expired. The client joins again and gets a new participant id."""


class Returned(MeetingEvent, frozen=True):
    """The client is connected again and has the same seat. What changed while it was away follows as events."""


class Replaced(MeetingEvent, frozen=True):
    """The server sent the whole room anew on the same connection. The differences came as events before.

    Signals may be lost, so links to other participants must be begun anew.
    """


class Refreshed(MeetingEvent, frozen=True):
    """Events were dropped because too many were unread. Look at the meeting's properties: they are current."""


AnyMeetingEvent = (
    Placed
    | Entered
    | Joined
    | Updated
    | Left
    | RoomChanged
    | Said
    | MessagesSkipped
    | Signalled
    | MuteRequested
    | LobbyChanged
    | ServerRestarts
    | Dropped
    | SeatLost
    | Returned
    | Replaced
    | Refreshed
)


class Over(msgspec.Struct, frozen=True):
    """Why a meeting is over. docs/reference/clients.md lists the codes, which both clients share."""

    code: str
    """For programs: `left`, `room_ended`, `removed`, `denied`, `taken_over`, `bad_token`, `bad_frame`, or the server's
    code for refusing to let this client back in, like `room_locked`."""
    message: str
    """For people."""
    reason: str | None = None
    """Of `removed`, the words of the host. Of `room_ended`, `expired`, `empty` or `deleted`, if no host ended the room.
    None when there is none."""


LEFT = Over("left", "You left the room")
ROOM_ENDED = Over("room_ended", "The room has ended")
REMOVED = Over("removed", "You were removed from this room")
TAKEN_OVER = Over("taken_over", "You joined from somewhere else")
BAD_TOKEN = Over("bad_token", "The server does not accept the token")
BAD_FRAME = Over("bad_frame", "The server did not understand this client")


def over_by_refusal(code: str, message: str) -> Over:
    """Return the end that follows from an error that refuses a seat. A ban counts as a removal."""
    return Over(REMOVED.code, message) if code == BANNED.code else Over(code, message)
