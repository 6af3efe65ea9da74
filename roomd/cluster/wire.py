"""The messages between nodes, in MessagePack. Fields are added at the end, with defaults; nodes update one by one."""

from typing import Union

import msgspec

from roomd.cluster import registry
from roomd.cluster.registry import Refusal
from roomd.engine.ports import SeatLost
from roomd.protocol.objects import Participant
from roomd.rooms.model import WaitsFor


class Item(msgspec.Struct, array_like=True, frozen=True):
    """A part of a message."""


# From the edge to the owner. Each has a number, which the edge gives to one item only.


class Ask(Item, tag=1, frozen=True):
    """A command for a room. Its answer comes in `News`; `Elsewhere` if the room is not there."""

    number: int
    code: str
    command: msgspec.Raw
    """As `registry.encode_command` writes it."""


class Relay(Item, tag=2, frozen=True):
    """An event for one participant."""

    number: int
    code: str
    participant_id: str
    frame: bytes
    """The event as a whole frame."""


class Unsubscribe(Item, tag=3, frozen=True):
    """No more events for a sitting: its client has taken another seat."""

    code: str
    participant_id: str
    claim: int


# From the owner to the edge.


class Elsewhere(Item, tag=10, frozen=True):
    """The room of an `Ask` or a `Relay` is not there. Nothing was changed, unless it is in doubt."""

    number: int
    is_in_doubt: bool


class Answered(Item, tag=11, frozen=True):
    """The answer to an `Ask`, or to a `Relay`."""

    number: int
    answer: msgspec.Raw
    """As `registry.encode_answer` writes it."""


class Declined(Item, tag=12, frozen=True):
    """The refusal of an `Ask`, or of a `Relay`."""

    number: int
    refusal: Refusal


class Seated(Item, tag=13, frozen=True):
    """`Member.seated`; for a member that has its seat already, `Member.refreshed`."""

    claim: int
    participant: Participant
    state: int
    """The index of the frame of the state."""


class Queued(Item, tag=14, frozen=True):
    """`Member.queued`."""

    claim: int
    participant: Participant
    position: int
    reason: WaitsFor


class Unseated(Item, tag=15, frozen=True):
    """`Member.refused`, also of an `Attach`."""

    claim: int
    refusal: Refusal


class Lost(Item, tag=16, frozen=True):
    """`Member.seat_lost`."""

    claim: int
    lost: SeatLost


class Refreshed(Item, tag=17, frozen=True):
    """`Member.refreshed`."""

    claim: int
    state: int
    """The index of the frame of the state."""


class Events(Item, tag=18, frozen=True):
    """`Member.events`."""

    claims: list[int]
    """The addressees."""
    frames: int
    """The index of the frames."""
    are_last: bool


Told = Union[Answered, Declined, Seated, Queued, Unseated, Lost, Refreshed, Events]  # noqa: UP007 - read at run time


class News(Item, tag=19, frozen=True):
    """What one room has for one edge since the last time, in its order (rule 9)."""

    code: str
    term: int
    """The version with which the owner has loaded the room. Each later owner, and each later load, has a higher one."""
    number: int
    """1 for the first of the room for this edge in this term, and then one more each time: a gap is noticed."""
    seats: int
    """The number of seats of the room."""
    told: list[Told]
    """What members and askers are told."""
    frames: list[bytes]
    """The frames, each once, that `told` refers to."""


class Owned(Item, tag=20, frozen=True):
    """The sender has the room, and has connected seats of the edge, which are to attach."""

    code: str
    term: int


class Released(Item, tag=21, frozen=True):
    """The sender does not have the room any more."""

    code: str
    term: int


class Beacon(Item, tag=22, frozen=True):
    """The number of the last `News` of each room that has members on the edge, with the term."""

    rooms: dict[str, tuple[int, int]]


# From one node to each other one.


class Noticed(Item, tag=30, frozen=True):
    """Something happened that concerns the database, and not one room. It may be lost, and may come too often."""

    what: list[str]
    """`logged`: events were committed. `rewritten`: stored events were. `deleted`: a room was."""


# Between any two nodes, for operators.


class Order(Item, tag=31, frozen=True):
    """An operation of the admin interface, which the receiver is to serve."""

    number: int
    """One of the sender's, of which the `Report` has the same."""
    operation: str
    """Like "GET /status"."""
    body: bytes
    """The JSON that it takes; empty for nothing."""


class Report(Item, tag=32, frozen=True):
    """The answer to an `Order`."""

    number: int
    status: int
    """As by HTTP."""
    body: bytes
    """The JSON of the answer."""


AnyItem = Union[  # noqa: UP007
    Ask, Relay, Unsubscribe, Elsewhere, Answered, Declined, News, Owned, Released, Beacon, Noticed, Order, Report
]


class _Head(msgspec.Struct, array_like=True, frozen=True):
    """What each message on the bus begins with."""

    sender: str
    """The name of the sender."""
    generation: int
    """The generation of the sender."""
    to: int
    """The generation that the receiver must have: what is for an earlier run is not for this one."""
    confirmed: int
    """The sender has the answers to all its items for the receiver up to this number (rule 14)."""


class Message(_Head, frozen=True):
    """One message on the bus: what one node has for another."""

    items: list[AnyItem]
    """Its parts, in the order in which they are served."""


class _Unread(_Head, frozen=True):
    """A message of which some parts may be unknown."""

    items: list[msgspec.Raw]


_messages = msgspec.msgpack.Decoder(Message)
_unread = msgspec.msgpack.Decoder(_Unread)
_items: "msgspec.msgpack.Decoder[AnyItem]" = msgspec.msgpack.Decoder(AnyItem)


def encode(message: Message) -> bytes:
    """Encode a message."""
    return registry.encode(message)


def decode(data: bytes) -> Message:
    """Decode a message. Parts that only a newer node knows are left out.

    Raises `msgspec.DecodeError`.
    """
    try:
        return _messages.decode(data)
    except msgspec.ValidationError:
        unread = _unread.decode(data)
    items = []
    for raw in unread.items:
        try:
            items.append(_items.decode(raw))
        except msgspec.ValidationError:
            continue
    return Message(unread.sender, unread.generation, unread.to, unread.confirmed, items)
