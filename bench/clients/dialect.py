"""The frames of a server: how its requests are written, and how its answers and events are recognised.

A `Dialect` has the bytes, a `Client` (client.py) sends and receives them. Only `presence` and `address` parse JSON;
both are called after the clock has stopped.
"""

import json
from abc import ABC, abstractmethod
from enum import Enum, auto
from typing import Any, NamedTuple

import msgspec


class Kind(Enum):
    """What a frame from the server is to a client."""

    OPENED = auto()
    """The connection is open: from here on a client may join."""
    JOINED = auto()
    """The answer to a join; the seat is committed."""
    LEFT = auto()
    """The answer to a leave; it is committed."""
    REFUSED = auto()
    """The answer to a request that the server did not grant."""
    STATE = auto()
    """All who are in the room, for a newcomer."""
    CHANGED = auto()
    """Who came and who left, for the other members."""
    MESSAGE = auto()
    """A message to the room."""
    SIGNAL = auto()
    """A signal from one participant to this one."""
    PING = auto()
    """Wants `Dialect.pong`."""
    OTHER = auto()
    """Any other frame."""


class Presence(NamedTuple):
    """The content of a STATE or CHANGED."""

    joined: list[str]
    """The display names of those who are there or came."""
    left: int
    """How many left."""


class Dialect(ABC):
    """The frames of one server."""

    name: str
    """The server's name, as in `bench.suite.SERVERS`."""
    path: str
    """The path of its WebSocket."""
    leave: bytes
    """The request to leave."""
    pong: bytes = b""
    """The answer to PING."""
    repeats = False
    """A CHANGED may repeat names of the STATE before it: count distinct names of `presence`, not `count_people`."""

    def headers(self, token: str | None) -> dict[str, str]:
        """Make the headers of the upgrade request."""
        return {"Authorization": f"Bearer {token}"} if token else {}

    def opening(self, token: str | None) -> bytes | None:  # noqa: ARG002  # most need none
        """Make the frame that a client sends once the WebSocket is up; None where there is none to send."""
        return None

    @abstractmethod
    def join(self, code: str, number: int) -> bytes:
        """Make the join of guest `number`, 0 to 9999; all have the same size."""

    @abstractmethod
    def say(self, text: str) -> bytes:
        """Make a message to the room."""

    @abstractmethod
    def signal(self, to: str, data: Any) -> bytes:
        """Make a signal to the participant whose `address` is `to`."""

    @abstractmethod
    def kind(self, payload: bytes) -> Kind:
        """Return the kind of a frame."""

    @abstractmethod
    def count_people(self, kind: Kind, payload: bytes) -> int:
        """Count those who are there or came by a STATE or CHANGED, without parsing it."""

    @abstractmethod
    def presence(self, kind: Kind, payload: bytes) -> Presence:
        """Parse a STATE or CHANGED."""

    @abstractmethod
    def address(self, joined: bytes) -> str:
        """Find in a JOINED the address to which others send signals."""


GUEST = "Guest {:04}"
PERSON = b'"joinedAt":'
"""A key that is once in every participant that roomd writes."""


class Roomd(Dialect):
    """roomd's own protocol, docs/protocol.md; the peer `ws` uses it too."""

    name = "roomd"
    leave = b'{"type":"leave-room","id":2}'

    def __init__(self, path: str = "/ws") -> None:
        self.path = path

    def join(self, code: str, number: int) -> bytes:
        """See `Dialect`."""
        return f'{{"type":"join-room","id":1,"code":"{code}","guestName":"{GUEST.format(number)}"}}'.encode()

    def say(self, text: str) -> bytes:
        """See `Dialect`."""
        return msgspec.json.encode({"type": "send-message", "text": text})

    def signal(self, to: str, data: Any) -> bytes:
        """See `Dialect`."""
        return msgspec.json.encode({"type": "signal", "to": to, "data": data})

    def kind(self, payload: bytes) -> Kind:
        """See `Dialect`."""
        if payload.startswith(b'{"type":"participants-changed",'):
            return Kind.CHANGED
        if payload.startswith(b'{"type":"participant",'):
            # The order of keys is not guaranteed, so search the whole frame. The ids that roomd makes are strings.
            return Kind.LEFT if b'"id":2' in payload else Kind.JOINED
        if payload.startswith(b'{"type":"message",'):
            return Kind.MESSAGE
        if payload.startswith(b'{"type":"signal",'):
            return Kind.SIGNAL
        if payload.startswith(b'{"type":"room-state",'):
            return Kind.STATE
        return Kind.REFUSED if payload.startswith(b'{"type":"error",') else Kind.OTHER

    def count_people(self, kind: Kind, payload: bytes) -> int:
        """See `Dialect`."""
        end = payload.find(b',"updated":[') if kind is Kind.CHANGED else len(payload)
        return payload.count(PERSON, 0, end)

    def presence(self, kind: Kind, payload: bytes) -> Presence:
        """See `Dialect`."""
        return presence_of(kind, json.loads(payload))

    def address(self, joined: bytes) -> str:
        """See `Dialect`."""
        address: str = json.loads(joined)["participant"]["id"]
        return address


def presence_of(kind: Kind, event: dict[str, Any]) -> Presence:
    """Read an event that has roomd's keys."""
    people = event["participants" if kind is Kind.STATE else "joined"]
    return Presence([person["displayName"] for person in people], len(event.get("left", ())))
