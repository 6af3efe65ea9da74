"""Replies: what answers a request, one struct a `type`. docs/protocol.md says what each means."""

from typing import Annotated

import msgspec
from msgspec import Meta

from roomd.protocol.objects import Admission, Ban, IceServer, Message, Participant, Room, Waiting

RequestId = int | Annotated[str, Meta(min_length=1, max_length=64)]
"""A client chooses it, to tell which reply answers which request."""


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
    oldest: str | None = None
    """With `position_expired` only: the position from which all events follow that are kept."""


class PongReply(Reply, frozen=True, tag="pong"):
    """The answer to `ping`."""


class AuthenticatedReply(Reply, frozen=True, tag="authenticated"):
    """The token is valid, or the ticket was."""

    user_id: str
    expires_at: str
    token: str | None = None
    """In the answer to a ticket only: the token that it was exchanged for."""


class RoomReply(Reply, frozen=True, tag="room"):
    """One room; `admission` only in the answer to `get-room`."""

    room: Room | None
    """Null only in the answer to `get-room`, for somebody banned and for a guest where guests are not allowed."""
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
    """The request was carried out; there is no other result."""


class WaitingReply(Reply, frozen=True, tag="waiting"):
    """The join waits. Sent again, as an event, when `position` or `reason` changes."""

    participant_id: str
    """The id that the participant will have."""
    position: int
    """From 1, in the order people came."""
    reason: str
    """`waiting_room`: for the host. `room_full`: for a seat."""
    resume_token: str | None = None
    """In the reply only: the token that resumes the place in the queue, or the seat that it became."""


class MessagesReply(Reply, frozen=True, tag="messages"):
    """A page of messages in the order they were sent; `nextCursor` is null on the last page."""

    messages: list[Message]
    next_cursor: str | None


class BansReply(Reply, frozen=True, tag="bans"):
    """A page of bans, by user id or else by id; `nextCursor` is null on the last page."""

    bans: list[Ban]
    next_cursor: str | None


class WaitingListReply(Reply, frozen=True, tag="waiting-list"):
    """A page of the queue, in the order in which people came; `nextCursor` is null on the last page."""

    waiting: list[Waiting]
    next_cursor: str | None


class IceServersReply(Reply, frozen=True, tag="ice-servers"):
    """STUN and TURN servers for `RTCPeerConnection`; none where none are configured."""

    ice_servers: list[IceServer]
    ttl: int
    """Seconds until the credentials expire."""


class WatchingReply(Reply, frozen=True, tag="watching"):
    """The watch has begun; `events` follow."""

    next: str
    """The position from which the events follow."""


REPLIES = tuple(Reply.__subclasses__())
"""Every reply there is."""
