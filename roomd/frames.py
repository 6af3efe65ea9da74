"""The wire's words: requests in, replies and events out, as frozen structs without logic.

docs/protocol.md says what each means. Requests come first, then the objects, then what the server says.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

RequestId = int | Annotated[str, Meta(min_length=1, max_length=64)]
PageLimit = Annotated[int, Meta(ge=1, le=200)]


class Request(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", rename="camel"):
    """What every request may carry. Unknown keys are ignored; null is the same as absent."""

    id: RequestId | None = None


class Ping(Request, frozen=True, tag="ping"):
    """For clients that cannot send WebSocket pings."""


class Authenticate(Request, frozen=True, tag="authenticate"):
    """Say who is asking, or renew it."""

    token: str


class CreateRoom(Request, frozen=True, tag="create-room"):
    """Open a room; the caller becomes its host."""

    name: str | None = None
    max_participants: int | None = None
    allow_guest_access: bool | None = None
    waiting_room: bool | None = None


class UpdateRoom(Request, frozen=True, tag="update-room"):
    """Change a room's settings; only what is present changes."""

    code: str
    name: str | None = None
    is_locked: bool | None = None
    max_participants: int | None = None
    allow_guest_access: bool | None = None
    waiting_room: bool | None = None


class GetRoom(Request, frozen=True, tag="get-room"):
    """Look at a room and at whether the caller could join it now."""

    code: str


class ListRooms(Request, frozen=True, tag="list-rooms"):
    """The rooms the caller hosts; all rooms for an admin."""

    is_active: bool | None = None
    cursor: str | None = None
    limit: PageLimit | None = None


class EndRoom(Request, frozen=True, tag="end-room"):
    """End a room for everyone in it."""

    code: str


class JoinRoom(Request, frozen=True, tag="join-room"):
    """Take a seat in a room."""

    code: str
    guest_name: str | None = None
    wait: bool | None = None


class Resume(Request, frozen=True, tag="resume"):
    """Take a held seat back."""

    resume_token: str


class LeaveRoom(Request, frozen=True, tag="leave-room"):
    """Give the seat up at once."""


class ListParticipants(Request, frozen=True, tag="list-participants"):
    """Who is in the room; with `history` also who was."""

    code: str
    history: bool | None = None
    cursor: str | None = None
    limit: PageLimit | None = None


AnyRequest = (
    Ping
    | Authenticate
    | CreateRoom
    | UpdateRoom
    | GetRoom
    | ListRooms
    | EndRoom
    | JoinRoom
    | Resume
    | LeaveRoom
    | ListParticipants
)


class Participant(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One person's stay in a room. Times are ISO 8601 in UTC with milliseconds."""

    id: str
    room_id: str
    user_id: str | None
    """Null for guests."""
    guest_name: str | None
    """Null for users."""
    is_active: bool
    """A connection is there now."""
    is_host: bool
    joined_at: str
    left_at: str | None
    """Null while the participant holds a seat; else when the connection was last there."""
    display_name: str


class Room(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A room as clients see it."""

    id: str
    code: str
    name: str
    host_id: str
    is_active: bool
    is_locked: bool
    max_participants: int
    allow_guest_access: bool
    waiting_room: bool
    participant_count: int
    """Seats, held ones included."""
    created_at: str
    ended_at: str | None


class Admission(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Whether this caller could join now, and if not, the error a join would get."""

    allowed: bool
    status_code: int | None = None
    code: str | None = None
    message: str | None = None


class Reply(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", rename="camel", omit_defaults=True):
    """What every reply carries: the `id` of its request, where that had one."""

    id: RequestId | None = None


class ErrorReply(Reply, frozen=True, tag="error"):
    """A refusal."""

    status_code: int
    code: str
    message: str
    retry_after: float | None = None
    """Seconds; present where trying again helps."""


class PongReply(Reply, frozen=True, tag="pong"):
    """The answer to `ping`."""


class AuthenticatedReply(Reply, frozen=True, tag="authenticated"):
    """The token was good."""

    user_id: str
    expires_at: str


class RoomReply(Reply, frozen=True, tag="room"):
    """One room; `admission` only in the answer to `get-room`."""

    room: Room
    admission: Admission | None = None


class RoomsReply(Reply, frozen=True, tag="rooms"):
    """A page of rooms, newest first; `nextCursor` is null on the last page."""

    rooms: list[Room]
    next_cursor: str | None


class ParticipantReply(Reply, frozen=True, tag="participant"):
    """A seat: taken (with the token that takes it back) or given up (without)."""

    participant: Participant
    resume_token: str | None = None


class ParticipantsReply(Reply, frozen=True, tag="participants"):
    """A page of participants in the order they joined; `nextCursor` is null on the last page."""

    participants: list[Participant]
    next_cursor: str | None


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", rename="camel", omit_defaults=True):
    """What the server says unasked."""


class RoomState(Event, frozen=True, tag="room-state"):
    """The whole room at `seq`; every later event follows once, in order."""

    epoch: str
    """Names the run of the room that `seq` counts in."""
    seq: int
    room: Room
    participants: list[Participant]


class ParticipantsChanged(Event, frozen=True, tag="participants-changed"):
    """The net effect of one turn; a participant stands in at most one list."""

    seq: int
    joined: list[Participant]
    updated: list[Participant]
    left: list[Participant]


class RoomUpdated(Event, frozen=True, tag="room-updated"):
    """The room's settings changed."""

    seq: int
    room: Room


class RoomEnded(Event, frozen=True, tag="room-ended"):
    """The host ended the room; every seat is left."""

    seq: int
    room_id: str


class ServerRestarting(Event, frozen=True, tag="server-restarting"):
    """Come back after `retryAfter` seconds, jittered per client, and resume."""

    retry_after: float
