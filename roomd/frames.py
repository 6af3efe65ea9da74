"""The wire's words: requests in, replies and events out, as frozen structs without logic.

docs/protocol.md says what each means. Requests come first, then what the server says.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

from roomd.objects import Admission, Ban, IceServer, Message, Participant, Room, Scalar, Waiting

RequestId = int | Annotated[str, Meta(min_length=1, max_length=64)]
PageLimit = Annotated[int, Meta(ge=1, le=200)]
MessageText = Annotated[str, Meta(min_length=1, max_length=2000)]
"""Counted in code points."""
Reason = Annotated[str, Meta(max_length=200)]


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


class UpdateParticipant(Request, frozen=True, tag="update-participant"):
    """Change the caller's own presence, key by key; null takes a key away (RFC 7396)."""

    state: dict[str, Scalar | None]


class Signal(Request, frozen=True, tag="signal"):
    """Pass something on to one other participant, unread: WebRTC offers, answers, candidates."""

    to: str
    data: msgspec.Raw


class SendMessage(Request, frozen=True, tag="send-message"):
    """Say something to everyone in the room or, with `to`, to one participant."""

    text: MessageText
    to: str | None = None


class ListMessages(Request, frozen=True, tag="list-messages"):
    """What was said, in its order: public messages, and the caller's own private ones."""

    code: str
    cursor: str | None = None
    limit: PageLimit | None = None


class GetIceServers(Request, frozen=True, tag="get-ice-servers"):
    """Ask for STUN and TURN servers, with credentials of the participant's own."""


class HostRequest(Request, frozen=True):
    """What a host asks of a room: of the one the connection is in, unless `code` names another."""

    code: str | None = None


class RemoveParticipant(HostRequest, frozen=True, kw_only=True, tag="remove-participant"):
    """Take a participant's seat away; with `ban` the user cannot come back."""

    participant_id: str
    ban: bool | None = None
    reason: Reason | None = None


class MuteParticipant(HostRequest, frozen=True, kw_only=True, tag="mute-participant"):
    """Ask a participant's client to mute itself."""

    participant_id: str


class ListBans(HostRequest, frozen=True, kw_only=True, tag="list-bans"):
    """Who cannot come back."""

    cursor: str | None = None
    limit: PageLimit | None = None


class Unban(HostRequest, frozen=True, kw_only=True, tag="unban"):
    """Let a user come back."""

    user_id: str


class AdmitParticipant(HostRequest, frozen=True, kw_only=True, tag="admit-participant"):
    """Let somebody in who waits for the host."""

    participant_id: str


class AdmitAll(HostRequest, frozen=True, kw_only=True, tag="admit-all"):
    """Let everybody in who waits for the host."""


class DenyParticipant(HostRequest, frozen=True, kw_only=True, tag="deny-participant"):
    """Send somebody away who waits."""

    participant_id: str


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
    | UpdateParticipant
    | Signal
    | SendMessage
    | ListMessages
    | GetIceServers
    | RemoveParticipant
    | MuteParticipant
    | ListBans
    | Unban
    | AdmitParticipant
    | AdmitAll
    | DenyParticipant
)


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


class OkReply(Reply, frozen=True, tag="ok"):
    """It was done; there is nothing else to say."""


class WaitingReply(Reply, frozen=True, tag="waiting"):
    """The join waits. Comes again, as an event, when `position` or `reason` changes."""

    participant_id: str
    """The id the participant will have."""
    position: int
    """From 1, in the order people came."""
    reason: str
    """`waiting_room`: for the host. `room_full`: for a seat."""
    resume_token: str | None = None
    """In the reply only: takes the place in the queue back after a drop, or the seat it has become."""


class MessagesReply(Reply, frozen=True, tag="messages"):
    """A page of messages in the order they were sent; `nextCursor` is null on the last page."""

    messages: list[Message]
    next_cursor: str | None


class BansReply(Reply, frozen=True, tag="bans"):
    """A page of bans by user id; `nextCursor` is null on the last page."""

    bans: list[Ban]
    next_cursor: str | None


class IceServersReply(Reply, frozen=True, tag="ice-servers"):
    """STUN and TURN servers for `RTCPeerConnection`; none where none are configured."""

    ice_servers: list[IceServer]
    ttl: int
    """Seconds until the credentials expire."""


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", rename="camel", omit_defaults=True):
    """What the server says unasked."""


class RoomState(Event, frozen=True, tag="room-state"):
    """The whole room at `seq`; every later event follows once, in order."""

    epoch: str
    """Names the run of the room that `seq` counts in."""
    seq: int
    room: Room
    participants: list[Participant]
    messages: list[Message]
    """The last public ones, oldest first."""


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


class SignalEvent(Event, frozen=True, tag="signal"):
    """What another participant passed on."""

    sender: str = msgspec.field(name="from")
    data: msgspec.Raw


class MessageEvent(Event, frozen=True, tag="message"):
    """Something was said, to everyone or to this participant alone."""

    message: Message


class Removed(Event, frozen=True, tag="removed"):
    """A host took the seat away; the connection is closed with 4403."""

    reason: str | None


class MuteRequested(Event, frozen=True, tag="mute-requested"):
    """A host asks this client to mute itself."""


class WaitingChanged(Event, frozen=True, tag="waiting-changed"):
    """Everybody who waits, in order; for hosts."""

    waiting: list[Waiting]


class ServerRestarting(Event, frozen=True, tag="server-restarting"):
    """Come back after `retryAfter` seconds, jittered per client, and resume."""

    retry_after: float
