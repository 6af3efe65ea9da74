"""Requests: what a client asks, one struct a `type`. docs/protocol.md says what each means.

A request names the replies that answer it, so that nothing else lists them.
"""

from collections.abc import Iterator
from typing import Annotated, ClassVar, get_args

import msgspec
from msgspec import Meta

from roomd.protocol import replies
from roomd.protocol.lengths import LONGEST_EXTERNAL_ID, LONGEST_USER_ID
from roomd.protocol.objects import HistoryVisible, Metadata, Scalar
from roomd.protocol.replies import OkReply, Reply, RequestId

PageLimit = Annotated[int, Meta(ge=1, le=200)]
Cursor = Annotated[str, Meta(max_length=24, pattern="^[0-9a-f]{24}$", examples=["019cb36d5a00c0ffee123456"])]
"""The `nextCursor` of the page before: the id of its last item. A message's id serves for what came after it."""
UserCursor = Annotated[str, Meta(max_length=LONGEST_USER_ID, pattern=r"^[^\x00-\x1f\x7f]+$", examples=["bob"])]
"""The `nextCursor` of the page before, in a list that is sorted by user id."""
UserId = Annotated[str, Meta(min_length=1, max_length=LONGEST_USER_ID)]
"""The claim `sub` of a token."""
MessageText = Annotated[str, Meta(min_length=1, max_length=2000)]
"""Counted in code points."""
ClientId = Annotated[str, Meta(min_length=1, max_length=64)]
"""A client chooses it, and sends it again with a message of which it does not know whether it arrived."""
HistoryChoice = Annotated[str, Meta(examples=list(get_args(HistoryVisible)))]
"""Another text is refused with the other settings (400 `invalid_settings`)."""
LogPosition = Annotated[str, Meta(max_length=24, examples=["6a1f0c9d2b7e00000000002a", "latest"])]
"""The position of a log event, or a `next`; `latest` for what comes from now on. Absent: from the oldest kept."""
Reason = Annotated[str, Meta(max_length=200)]
ExternalId = Annotated[str, Meta(min_length=1, max_length=LONGEST_EXTERNAL_ID, examples=["appointment-4711"])]
"""An application chooses it. No two rooms of a server have the same."""
Expiry = Annotated[str, Meta(max_length=40, examples=["2026-03-03T12:00:00Z", "never"])]
"""ISO 8601 with an offset, or `never`. Another text is refused with the other settings (400 `invalid_settings`)."""


class Request(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", rename="camel"):
    """What every request may carry. Unknown keys are ignored; null is the same as absent."""

    answers: ClassVar[tuple[type[Reply], ...]] = (OkReply,)
    """The replies that answer this request when `error` does not."""
    is_quiet: ClassVar[bool] = False
    """`ok` answers this request only where it has an `id` (✉ in docs/protocol.md)."""
    needs_socket: ClassVar[bool] = False
    """The request is about a WebSocket or a seat on it: the server API has it not (docs/protocol.md, section 11)."""

    id: RequestId | None = None


class Ping(Request, frozen=True, tag="ping"):
    """For clients that cannot send WebSocket pings."""

    answers = (replies.PongReply,)
    needs_socket = True


class Authenticate(Request, frozen=True, tag="authenticate"):
    """Authenticate the connection with a token or, in its place, a ticket; or renew its token."""

    answers = (replies.AuthenticatedReply,)
    needs_socket = True

    token: str | None = None
    ticket: str | None = None


class CreateRoom(Request, frozen=True, tag="create-room"):
    """Create a room, with the caller as its host; or return the room that has the `externalId`."""

    answers = (replies.RoomReply,)

    external_id: ExternalId | None = None
    name: str | None = None
    max_participants: int | None = None
    allow_guest_access: bool | None = None
    waiting_room: bool | None = None
    history_visible: HistoryChoice | None = None
    host_id: UserId | None = None
    metadata: Metadata | None = None
    expires_at: Expiry | None = None
    end_when_empty: int | None = None


class UpdateRoom(Request, frozen=True, tag="update-room"):
    """Change a room's settings; only what is present changes."""

    answers = (replies.RoomReply,)

    code: str
    name: str | None = None
    is_locked: bool | None = None
    max_participants: int | None = None
    allow_guest_access: bool | None = None
    waiting_room: bool | None = None
    history_visible: HistoryChoice | None = None
    host_id: UserId | None = None
    metadata: Metadata | None = None
    expires_at: Expiry | None = None
    end_when_empty: int | None = None


class GetRoom(Request, frozen=True, tag="get-room"):
    """Get a room by its code, or by its `externalId`, and whether the caller could join it now."""

    answers = (replies.RoomReply,)

    code: str | None = None
    external_id: ExternalId | None = None


class ListRooms(Request, frozen=True, tag="list-rooms"):
    """List the rooms that the caller hosts; all rooms for an admin."""

    answers = (replies.RoomsReply,)

    is_active: bool | None = None
    external_id: ExternalId | None = None
    cursor: Cursor | None = None
    limit: PageLimit | None = None


class EndRoom(Request, frozen=True, tag="end-room"):
    """End a room for everyone in it."""

    answers = (replies.RoomReply,)

    code: str


class DeleteRoom(Request, frozen=True, tag="delete-room"):
    """End a room and delete it, with its messages, its participants and its bans."""

    code: str


class JoinRoom(Request, frozen=True, tag="join-room"):
    """Take a seat in a room."""

    answers = (replies.ParticipantReply, replies.WaitingReply)
    needs_socket = True

    code: str
    guest_name: str | None = None
    wait: bool | None = None
    take_over: bool | None = None


class Resume(Request, frozen=True, tag="resume"):
    """Take a seat back."""

    answers = (replies.ParticipantReply, replies.WaitingReply)
    needs_socket = True

    resume_token: str


class LeaveRoom(Request, frozen=True, tag="leave-room"):
    """Give the seat up at once."""

    answers = (replies.ParticipantReply,)
    needs_socket = True


class UpdateConnection(Request, frozen=True, tag="update-connection"):
    """Set for how many seconds the seat is held after the client closes this connection with 1000 or 1001."""

    needs_socket = True

    hold: Annotated[float, Meta(ge=0)]


class ListParticipants(Request, frozen=True, tag="list-participants"):
    """List who is in the room; with `history` also who was."""

    answers = (replies.ParticipantsReply,)

    code: str
    history: bool | None = None
    cursor: Cursor | None = None
    limit: PageLimit | None = None


class UpdateParticipant(Request, frozen=True, tag="update-participant"):
    """Change the caller's own state, key by key; null removes a key (RFC 7396), `"@now"` becomes the server's time."""

    is_quiet = True
    needs_socket = True

    state: dict[str, Scalar | None]


class Signal(Request, frozen=True, tag="signal"):
    """Send data to one other participant as it is, such as WebRTC offers, answers and candidates."""

    is_quiet = True
    needs_socket = True

    to: str
    data: msgspec.Raw


class SendMessage(Request, frozen=True, tag="send-message"):
    """Send a message to everyone in the room or, with `to`, to one participant; with `code` also from outside."""

    is_quiet = True

    text: MessageText
    to: str | None = None
    client_id: ClientId | None = None
    code: str | None = None


class ListMessages(Request, frozen=True, tag="list-messages"):
    """List messages in the order they were sent: public ones, and private ones from and to the caller."""

    answers = (replies.MessagesReply,)

    code: str
    cursor: Cursor | None = None
    limit: PageLimit | None = None


class GetIceServers(Request, frozen=True, tag="get-ice-servers"):
    """Ask for STUN and TURN servers, with credentials of the participant's own."""

    answers = (replies.IceServersReply,)
    needs_socket = True


class HostRequest(Request, frozen=True):
    """What every request of a host may carry: `code` names the room; without it, it is the room that the host is in."""

    code: str | None = None


class RemoveParticipant(HostRequest, frozen=True, kw_only=True, tag="remove-participant"):
    """Take a participant's seat away; with `ban` the user, or guests of the same address, cannot come back."""

    participant_id: str
    ban: bool | None = None
    reason: Reason | None = None


class BanPerson(HostRequest, frozen=True, kw_only=True, tag="ban"):
    """Ban a user by `userId`, or a user or a guest by `participantId`, whether they are in the room or not."""

    user_id: UserId | None = None
    participant_id: str | None = None
    reason: Reason | None = None


class MuteParticipant(HostRequest, frozen=True, kw_only=True, tag="mute-participant"):
    """Ask a participant's client to mute itself."""

    is_quiet = True

    participant_id: str


class ListBans(HostRequest, frozen=True, kw_only=True, tag="list-bans"):
    """List who is banned."""

    answers = (replies.BansReply,)

    cursor: UserCursor | None = None
    limit: PageLimit | None = None


class Unban(HostRequest, frozen=True, kw_only=True, tag="unban"):
    """Lift the ban of a user, or the one with `banId`. Without both, the `id` of the request is that of the ban."""

    user_id: str | None = None
    ban_id: str | None = None


class ListWaiting(HostRequest, frozen=True, kw_only=True, tag="list-waiting"):
    """List who waits, in the order in which they came."""

    answers = (replies.WaitingListReply,)

    cursor: Cursor | None = None
    limit: PageLimit | None = None


class AdmitParticipant(HostRequest, frozen=True, kw_only=True, tag="admit-participant"):
    """Admit one participant who waits for the host."""

    participant_id: str


class AdmitAll(HostRequest, frozen=True, kw_only=True, tag="admit-all"):
    """Admit everybody who waits for the host."""


class DenyParticipant(HostRequest, frozen=True, kw_only=True, tag="deny-participant"):
    """Refuse one participant who waits."""

    participant_id: str


MOST_WATCHED = 100
"""The rooms that may be named to read their events."""


class Watch(Request, frozen=True, tag="watch"):
    """Follow the event log: all rooms, for admins, or some. A later `watch` on the connection replaces it."""

    answers = (replies.WatchingReply,)
    needs_socket = True

    after: LogPosition | None = None
    rooms: Annotated[list[str], Meta(min_length=1, max_length=MOST_WATCHED)] | None = None
    """The codes of the rooms."""


def _leaves(cls: type[Request]) -> Iterator[type[Request]]:
    """Find the requests among the subclasses, in the order of this file."""
    for sub in cls.__subclasses__():
        yield from _leaves(sub) if sub.__subclasses__() else (sub,)


REQUESTS = tuple(_leaves(Request))
"""Every request there is."""
BY_HTTP = tuple(cls for cls in REQUESTS if not cls.needs_socket)
"""The requests of the server API."""


def tag_of(cls: type[msgspec.Struct]) -> str:
    """Return the `type` of a frame."""
    return str(cls.__struct_config__.tag)
