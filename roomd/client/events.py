"""What happens in a meeting: frozen structs named for it, which `Meeting` gives one by one."""

from typing import Any

import msgspec

from roomd.protocol.errors import BANNED
from roomd.protocol.objects import Message, Participant, Room, Waiting


class MeetingEvent(msgspec.Struct, frozen=True):
    """Something happened; the meeting's view has it already, and may be ahead of it."""


class Placed(MeetingEvent, frozen=True):
    """The join waits; told again whenever the place changes, and after a drop."""

    participant_id: str
    """The id the participant will have."""
    position: int
    """From 1, in the order people came."""
    reason: str
    """`waiting_room`: for the host. `room_full`: for a seat."""


class Entered(MeetingEvent, frozen=True):
    """A seat was taken, and the view has the room: at the start, after waiting, and anew when a held seat was gone."""


class Joined(MeetingEvent, frozen=True):
    """Somebody else took a seat."""

    participant: Participant


class Updated(MeetingEvent, frozen=True):
    """A participant dropped, came back or changed their presence; one's own is told too."""

    participant: Participant
    before: Participant


class Left(MeetingEvent, frozen=True):
    """A seat was given up. `participant.left_at` is null when it happened while this client was away."""

    participant: Participant


class RoomChanged(MeetingEvent, frozen=True):
    """The room's settings changed."""

    room: Room
    before: Room


class Said(MeetingEvent, frozen=True):
    """A message came, one's own included; with `message.to` it is for the two of them alone."""

    message: Message


class MessagesSkipped(MeetingEvent, frozen=True):
    """More was, or may have been, said while this client was away than is told: the next `Said` is not what came next.

    What lies between is to be had from `Meeting.list_messages`.
    """

    after: str | None
    """The id of the last message before the gap, a cursor; null when there was none."""


class Signalled(MeetingEvent, frozen=True):
    """Another participant passed something on."""

    sender: str
    """The participant's id."""
    data: Any


class MuteRequested(MeetingEvent, frozen=True):
    """A host asks this client to mute itself."""


class LobbyChanged(MeetingEvent, frozen=True):
    """Who waits has changed; hosts are told."""

    lobby: tuple[Waiting, ...]


class ServerRestarts(MeetingEvent, frozen=True):
    """The server is about to restart; a drop follows, and the client comes back by itself."""


class Dropped(MeetingEvent, frozen=True):
    """The connection was lost, or an attempt to come back failed; the next one follows."""

    reason: str
    delay: float
    """Seconds until the next attempt."""


class SeatLost(MeetingEvent, frozen=True):
    """The seat, or the place in the queue, was not held that long: the client joins anew, under a new id."""


class Returned(MeetingEvent, frozen=True):
    """The connection is back, with the same seat; what changed and was said meanwhile follows as events."""


class Refreshed(MeetingEvent, frozen=True):
    """Events were left out, because more waited than are kept: look at the view, which is current."""


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
    | Refreshed
)


class Over(msgspec.Struct, frozen=True):
    """Why a meeting is over."""

    reason: str
    """A word for programs: `left`, `room_ended`, `removed`, `denied`, `taken_over`, `bad_token`, `unreachable`,
    `bad_frame` (the server did not understand this client), or else the server's `code` for refusing the way (back) in,
    like `room_locked`. The JavaScript client has the same; `unreachable` is its own, this one raises or tries on."""
    message: str
    """For people; of `removed` the host's reason, which may be empty."""


LEFT = Over("left", "You left the room")
ROOM_ENDED = Over("room_ended", "The room has ended")
REMOVED = Over("removed", "")


def refusal(code: str, message: str) -> Over:
    """Say what an error comes to that refuses the way (back) into a room one was in, or waited for."""
    return REMOVED if code == BANNED.code else Over(code, message)
