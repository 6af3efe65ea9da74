"""What a room is made of, as clients see it: the objects that frames carry (docs/protocol.md, section 3)."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

SafeInteger = Annotated[int, Meta(ge=-(2**53) + 1, le=2**53 - 1)]
"""The integers that every JSON reader reads exactly (RFC 8259, section 6)."""
Scalar = bool | SafeInteger | float | str
State = dict[str, Scalar]
"""A participant's own state, like `{"muted": true}`: at most 16 keys, 1 KiB of JSON."""
Metadata = dict[str, Any]
"""A JSON object of an application's own, which roomd keeps and shows: of a room at most 4 KiB of JSON, of a participant
at most 2 KiB, in the token."""
Role = Literal["host", "cohost", "member"]
"""Which rights a participant has in the room."""


EndReason = Literal["expired", "empty", "deleted"]
"""Why a room ended that no host has ended: its `expiresAt` or its `endWhenEmpty` has come, or it was deleted."""

HistoryVisible = Literal["all", "since-joined", "none"]
"""What a newcomer gets of the messages that were sent before (docs/protocol.md, section 7)."""


class Participant(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One person's stay in a room. Times are ISO 8601 in UTC with milliseconds."""

    id: str
    room_id: str
    user_id: str | None
    """Null for guests, and for all where the server hides user ids."""
    guest_name: str | None
    """Null for users."""
    is_active: bool
    """Whether a connection is there now; false while the seat is held for one that dropped."""
    is_host: bool
    joined_at: str
    """ISO 8601."""
    left_at: str | None
    """Null while the participant holds a seat; else when the connection was last there."""
    display_name: str
    """The name to show. Text, never markup."""
    state: State = {}
    """The participant's own state, as it last set it."""
    role: Role = "member"
    """`host` for whom `isHost` is true, `cohost` for others whose token gives host rights here, else `member`."""
    metadata: Metadata | UnsetType = UNSET
    """The claim `roomd.metadata` of the token; left out where there is none."""
    is_hidden: bool | UnsetType = UNSET
    """True for an admin who is there unseen; left out for everybody else."""


class Message(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A message in a room."""

    id: str
    participant_id: str | None
    """Who sent it; null for the service: a host or an admin outside the room."""
    display_name: str
    """The name of who sent it. Text, never markup."""
    text: str
    """Text, never markup."""
    sent_at: str
    """ISO 8601."""
    to: str | None
    """The one participant it was for; null when it was for everyone."""
    client_id: str | None = None
    """The id that its sender's client gave it; left out when it gave none."""


class Ban(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Somebody who cannot come back to a room: a user, or a guest by the address that the guest had."""

    user_id: str | None
    """Null for a guest."""
    display_name: str
    reason: str | None
    banned_at: str
    """ISO 8601."""
    id: str
    """Names the ban in `unban`, as `banId`."""
    expires_at: str | None
    """ISO 8601; null for a user, whose ban has no end."""


class Waiting(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Somebody who waits to be let in, as hosts see it."""

    participant_id: str
    user_id: str | None
    guest_name: str | None
    display_name: str
    is_active: bool
    """Whether a connection is there now."""
    position: int
    """From 1, in the order people came."""
    reason: str
    """`waiting_room`: for the host. `room_full`: for a seat."""
    waiting_since: str
    """ISO 8601."""


class IceServer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A STUN or TURN server, as `RTCPeerConnection` takes it."""

    urls: list[str]
    username: str | None = None
    credential: str | None = None


class Room(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A room as clients see it."""

    id: str
    code: str
    """Like `abc-def-ghi`."""
    name: str
    host_id: str
    """The user id of the host; empty for whom the server hides user ids from."""
    is_active: bool
    is_locked: bool
    max_participants: int
    allow_guest_access: bool
    waiting_room: bool
    """Newcomers wait until a host admits them."""
    history_visible: HistoryVisible
    """What a newcomer gets of the messages that were sent before."""
    participant_count: int
    """Seats, held ones included."""
    created_at: str
    """ISO 8601."""
    ended_at: str | None
    """Null while the room is open."""
    external_id: str | None = None
    """The id that an application gave the room; left out when it gave none."""
    metadata: Metadata = {}
    """What an application keeps with the room; left out when that is nothing. It may be any JSON."""
    expires_at: str | None = None
    """ISO 8601: when the room ends by itself; left out when it does not."""
    end_when_empty: int | None = None
    """The room ends when nobody was in it for so many seconds; left out when it does not."""


class Admission(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Whether this caller could join now, and if not, the error a join would get."""

    allowed: bool
    status_code: int | None = None
    code: str | None = None
    message: str | None = None
