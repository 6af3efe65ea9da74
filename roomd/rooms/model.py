"""What a room is made of inside: seats, who asks, and the moment of a decision."""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import msgspec

from roomd.protocol.objects import Ban, Message, Participant
from roomd.protocol.objects import Room as RoomView
from roomd.protocol.timestamps import stamp

WaitsFor = Literal["waiting_room", "room_full"]
"""What somebody in the queue waits for: the host, or a seat."""


class Moment(msgspec.Struct, frozen=True):
    """What a decision needs from outside: one instant on two clocks, and ids."""

    wall: float
    """Seconds since the epoch."""
    clock: float
    """Monotonic seconds, for deadlines."""
    new_id: Callable[[str], str]
    """Draw an id that sorts after the given one."""
    stamp: str = ""
    """`wall` as the wire and the database write it; filled in when left out."""

    def __post_init__(self) -> None:
        """Write the stamp once, since most decisions need it."""
        if not self.stamp:
            msgspec.structs.force_setattr(self, "stamp", stamp(self.wall))

    def ago(self, seconds: float) -> str:
        """Write the time so many seconds earlier."""
        return stamp(self.wall - seconds) if seconds else self.stamp


class Caller(msgspec.Struct, frozen=True):
    """Who is asking."""

    seat_id: str | None = None
    """The id of the participant that the caller's connection is in this room, as far as it knows."""
    claim: int | None = None
    """The claim by which the connection has that seat."""
    user_id: str | None = None
    """None for a guest."""
    display_name: str = ""
    """What others see of a user; empty for a guest, whose name comes with the join."""
    admin: bool = False
    """The caller has host rights in every room."""


class Seat(msgspec.Struct, frozen=True):
    """A participant's seat, or their place in the queue for one, with what only the server knows of it.

    The claim is a number that names one sitting: every join, takeover and resume brings a new one. What comes late from
    the sitting before, a drop or a leave that storage delayed, has an old claim and changes nothing.
    """

    participant: Participant
    resume_hash: str
    """SHA-256 of the secret in the resume token that is good now."""
    claim: int | None
    """The claim of the connection that has the seat; None while the seat is held."""
    dropped_at: str | None = None
    """When the connection was last there, while the seat is held."""
    held_until: float = 0.0
    """The time on the monotonic clock at which a held seat expires."""
    waits_for: WaitsFor | None = None
    """What the participant waits for in the queue; None for a seat. While they wait, `joinedAt` is when that began."""


class StoredRoom(NamedTuple):
    """What storage keeps of a room that matters to the next command."""

    view: RoomView
    """The room as clients see it, with a participant count of 0."""
    seats: Sequence[Seat] = ()
    """Seats and places in the queue, in the order people came."""
    bans: Sequence[Ban] = ()
    """Who is banned."""
    messages: Sequence[Message] = ()
    """The last public messages, oldest first."""
    last_id: str = ""
    """The highest id of a participant or a message that the room has had; new ones sort after it."""
