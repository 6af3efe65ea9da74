"""How a client talks to a server, told by a few bytes of a frame.

A `Dialect` has the words: requests as bytes, and what an answer is. A `Line` (line.py) speaks them. Nothing here parses
JSON except `told` and `address`, which are for after the clock has stopped.
"""

import json
from abc import ABC, abstractmethod
from enum import Enum, auto
from typing import Any, NamedTuple

import msgspec


class Kind(Enum):
    """What a frame from the server is to a client."""

    OPENED = auto()
    """The line is open: from here on a client may join."""
    JOINED = auto()
    """The answer to a join; the seat is committed."""
    LEFT = auto()
    """The answer to a leave; it is committed."""
    REFUSED = auto()
    STATE = auto()
    """All who are in the room, for a newcomer."""
    CHANGED = auto()
    """Who came and who went, for the others."""
    MESSAGE = auto()
    SIGNAL = auto()
    PING = auto()
    """Wants `Dialect.pong`."""
    OTHER = auto()


class Told(NamedTuple):
    """What a STATE or CHANGED says, by display names."""

    joined: list[str]
    left: int
    """How many went."""


class Dialect(ABC):
    """The words of one server."""

    name: str
    path: str
    leave: bytes
    pong: bytes = b""
    repeats = False
    """A CHANGED may tell again of whom the STATE before it told: count distinct names of `told`, not `people`."""

    def headers(self, token: str | None) -> dict[str, str]:
        """Make the headers of the upgrade request."""
        return {"Authorization": f"Bearer {token}"} if token else {}

    def opening(self, token: str | None) -> bytes | None:  # noqa: ARG002  # most need none
        """Make the frame that opens the line once the WebSocket is up; None where there is none to send."""
        return None

    @abstractmethod
    def join(self, code: str, number: int) -> bytes:
        """Make the join of guest `number`; the same size for all of them."""

    @abstractmethod
    def say(self, text: str) -> bytes:
        """Make a message to the room."""

    @abstractmethod
    def signal(self, to: str, data: Any) -> bytes:
        """Make a signal to the participant `address` gave as `to`."""

    @abstractmethod
    def kind(self, payload: bytes) -> Kind:
        """Say what a frame is."""

    @abstractmethod
    def people(self, kind: Kind, payload: bytes) -> int:
        """Count the participants that a STATE or CHANGED tells of as being there, without parsing it."""

    @abstractmethod
    def told(self, kind: Kind, payload: bytes) -> Told:
        """Read a STATE or CHANGED in full."""

    @abstractmethod
    def address(self, joined: bytes) -> str:
        """Find in a JOINED whom others send signals to."""


GUEST = "Guest {:04}"
PERSON = b'"joinedAt":'


class Roomd(Dialect):
    """roomd's own protocol, docs/protocol.md; the peer on `ws` speaks it too."""

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
            # Anywhere in it, as the order of keys is nobody's promise; the ids roomd gives are strings.
            return Kind.LEFT if b'"id":2' in payload else Kind.JOINED
        if payload.startswith(b'{"type":"message",'):
            return Kind.MESSAGE
        if payload.startswith(b'{"type":"signal",'):
            return Kind.SIGNAL
        if payload.startswith(b'{"type":"room-state",'):
            return Kind.STATE
        return Kind.REFUSED if payload.startswith(b'{"type":"error",') else Kind.OTHER

    def people(self, kind: Kind, payload: bytes) -> int:
        """See `Dialect`."""
        end = payload.find(b',"updated":[') if kind is Kind.CHANGED else len(payload)
        return payload.count(PERSON, 0, end)

    def told(self, kind: Kind, payload: bytes) -> Told:
        """See `Dialect`."""
        return told_in(kind, json.loads(payload))

    def address(self, joined: bytes) -> str:
        """See `Dialect`."""
        address: str = json.loads(joined)["participant"]["id"]
        return address


def told_in(kind: Kind, event: dict[str, Any]) -> Told:
    """Read an event that has roomd's keys."""
    people = event["participants" if kind is Kind.STATE else "joined"]
    return Told([person["displayName"] for person in people], len(event.get("left", ())))
