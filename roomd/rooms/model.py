"""The objects of a room that clients do not see: seats, the caller of a command, and the time of a decision."""

import math
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import msgspec
from msgspec import UNSET, UnsetType

from roomd.protocol.objects import Ban, Message, Metadata, Participant
from roomd.protocol.objects import Room as RoomView
from roomd.protocol.timestamps import stamp

WaitsFor = Literal["waiting_room", "room_full"]
"""What somebody in the queue waits for: to be admitted by the host, or for a free seat."""


SentId = tuple[str, str]
"""A participant id, and the client id of a message that the participant sent. No two messages of a room share it.

For a message of the service, the participant id is empty.
"""


class PersonKey(NamedTuple):
    """A sign by which a room recognises somebody who comes again."""

    kind: Literal["user", "connection", "address"]
    """What the sign is."""
    value: str
    """The user id, the number of the connection, or the opaque key of the network address."""


class Moment(msgspec.Struct, frozen=True):
    """The inputs of a decision that are not in the room: the time on two clocks, and a source of ids."""

    wall: float
    """Seconds since the epoch."""
    clock: float
    """Seconds of the monotonic clock, for deadlines."""
    new_id: Callable[[str], str]
    """Returns a new id that sorts after the given one."""
    stamp: str = ""
    """`wall` as text, as the wire and the database write it. It is computed when it is left out."""

    def __post_init__(self) -> None:
        """Compute the stamp once, since most decisions need it."""
        if not self.stamp:
            msgspec.structs.force_setattr(self, "stamp", stamp(self.wall))

    def ago(self, seconds: float) -> str:
        """Return the stamp of the time `seconds` earlier."""
        return stamp(self.wall - seconds) if seconds else self.stamp


class Caller(msgspec.Struct, frozen=True):
    """Who sends a command."""

    seat_id: str | None = None
    """The caller's participant id in this room, as far as its connection knows; None without a seat or a place."""
    claim: int | None = None
    """The claim of the connection's sitting in this room; None without one."""
    user_id: str | None = None
    """The caller's user id; None for a guest."""
    display_name: str = ""
    """The name of a user that others see; empty for a guest, whose name comes with the join."""
    is_admin: bool = False
    """Whether the caller's token makes it an admin of this room."""
    is_cohost: bool = False
    """Whether the caller's token makes it a co-host of this room."""
    is_hidden: bool = False
    """Whether the caller is an admin whose token says that others do not see them."""
    metadata: Metadata | UnsetType = UNSET
    """What the caller's token says of them; never an empty object."""
    token_exp: float | None = None
    """The claim `exp` of the caller's token, in seconds since the epoch; None for a guest."""
    connection: int | None = None
    """The number of the caller's connection, which no other connection of any node has; None when it has none."""
    address_key: str | None = None
    """The key of the caller's network address, equal for equal addresses; None when the address is not known."""


class Seat(msgspec.Struct, frozen=True):
    """A participant's seat, or their place in the queue, with the data that only the server has.

    The claim is a number that names one sitting: every join, takeover and resume sets a new one. A late drop or leave
    of an earlier sitting has an old claim and changes nothing.
    """

    participant: Participant
    """The participant as clients see them. In the queue, `joined_at` is the time at which the waiting began."""
    resume_hash: str
    """The SHA-256, in hexadecimal, of the secret in the current resume token."""
    claim: int | None
    """The claim of the connection that has the seat; None while the seat is held."""
    dropped_at: str | None = None
    """The stamp of the time at which the connection was lost; None while it is connected."""
    held_until: float = 0.0
    """The time on the monotonic clock, in seconds, at which a held seat expires."""
    waits_for: WaitsFor | None = None
    """What the participant waits for in the queue; None when they have a seat."""
    previous_hash: str | None = None
    """The same of the previous resume token, while it is valid too; None when the client has the current one."""
    is_admin: bool = False
    """Whether the last token that was presented for the seat is that of an admin."""
    is_cohost: bool = False
    """Whether that token makes its user a co-host of the room."""
    token_exp: float | None = None
    """The claim `exp` of that token, in seconds since the epoch; None for a guest."""
    is_held_since_start: bool = False
    """Whether the seat is held because the daemon was restarted, and not because its client dropped."""
    connection: int | None = None
    """The number of the connection that has, or had, the seat; None after a restart."""
    address_key: str | None = None
    """The key of the network address of that connection; None when it is not known. It is stored for guests only."""
    here_since: float = -math.inf
    """The time on the monotonic clock, in seconds, at which the participant came. After a restart it is long ago."""
    seated_id: str | None = None
    """The id that was drawn when somebody who had waited got the seat. None for others: their own id was drawn then."""

    @property
    def since(self) -> str:
        """The id of when the participant got the seat. What the room has with a higher id came later."""
        return self.seated_id or self.participant.id


class PastStay(NamedTuple):
    """A stored participant, who may have left."""

    participant: Participant
    """The participant."""
    address_key: str | None
    """The key of a guest's network address; None for a user, and when it is not known."""


class StoredRoom(NamedTuple):
    """The part of a stored room that the next command needs."""

    view: RoomView
    """The room as clients see it, with a participant count of 0."""
    seats: Sequence[Seat] = ()
    """The seats and the places in the queue, in the order in which people came."""
    bans: Sequence[tuple[PersonKey, Ban]] = ()
    """All bans of the room, with whom they keep out."""
    messages: Sequence[Message] = ()
    """The last public messages, at most 50, oldest first."""
    last_id: str = ""
    """The highest id of anything in the room so far; new ids sort after it. Empty for none."""
    sent: Sequence[SentId] = ()
    """Who sent the last messages under which client id, oldest first, as far as they have one."""
    message_bytes: int = 0
    """About how many bytes all messages of the room had in the database, with those that were deleted."""
    deleted_bytes: int = 0
    """About how many of them were deleted because they were old."""
    empty_since: str | None = None
    """The stamp of the time since when nobody has been in a room that ends when it is empty; else None."""
    live_nodes: frozenset[int] | None = None
    """The generations of the nodes whose connections keep their seats; None where no other process has had the room."""
