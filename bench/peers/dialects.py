"""The frames of roomd's peers and ceilings: see bench/clients/dialect.py."""

import json
import re
from typing import Any

import msgspec

from bench.clients import GUEST, PERSON, Dialect, Kind, Presence, Roomd, presence_of


class SocketIo(Dialect):
    """Socket.IO 5 on Engine.IO 4, WebSocket only: joins are acknowledged under 1, leaves under 2."""

    path = "/socket.io/?EIO=4&transport=websocket"
    leave = b'422["leave-room",null]'
    pong = b"3"

    def __init__(self, name: str) -> None:
        self.name = name

    def headers(self, _: str | None) -> dict[str, str]:
        """Return none: the token is in the opening."""
        return {}

    def opening(self, token: str | None) -> bytes:
        """Connect to the main namespace; the documentation has clients send it at once, after the engine's `0{…}`."""
        return b"40" + (msgspec.json.encode({"token": token}) if token else b"")

    def join(self, code: str, number: int) -> bytes:
        """See `Dialect`."""
        return f'421["join-room",{{"code":"{code}","guestName":"{GUEST.format(number)}"}}]'.encode()

    def say(self, text: str) -> bytes:
        """See `Dialect`."""
        return b"42" + msgspec.json.encode(["send-message", {"text": text}])

    def signal(self, to: str, data: Any) -> bytes:
        """See `Dialect`."""
        return b"42" + msgspec.json.encode(["signal", {"to": to, "data": data}])

    def kind(self, payload: bytes) -> Kind:
        """See `Dialect`."""
        if payload.startswith(b'42["participants-changed",'):
            return Kind.CHANGED
        if payload.startswith(b'431[{"participant":'):
            return Kind.JOINED
        if payload.startswith(b'432[{"participant":'):
            return Kind.LEFT
        if payload.startswith(b'42["message",'):
            return Kind.MESSAGE
        if payload.startswith(b'42["signal",'):
            return Kind.SIGNAL
        if payload.startswith(b'42["room-state",'):
            return Kind.STATE
        if payload == b"2":
            return Kind.PING
        if payload.startswith(b"40{"):
            return Kind.OPENED
        return Kind.REFUSED if payload.startswith((b"43", b"44")) else Kind.OTHER

    def count_people(self, kind: Kind, payload: bytes) -> int:
        """See `Dialect`."""
        end = payload.find(b',"left":[') if kind is Kind.CHANGED else len(payload)
        return payload.count(PERSON, 0, end)

    def presence(self, kind: Kind, payload: bytes) -> Presence:
        """See `Dialect`."""
        return presence_of(kind, json.loads(payload[2:])[1])

    def address(self, joined: bytes) -> str:
        """See `Dialect`."""
        address: str = json.loads(joined[3:])[0]["participant"]["id"]
        return address


class Colyseus(Dialect):
    """Colyseus 0.18: a matchmaking request (`join` is its body), a WebSocket of its own for each join, Schema 5.

    The codes are those of @colyseus/shared-types, Protocol.ts. Strings of up to 31 bytes start with 0xa0 + length, and
    a field that is set is announced by 0x80 + its index: see Participant in colyseus/server.js.
    """

    name = "colyseus"
    path = ""
    leave = b"\x0c"
    repeats = True  # the state is sent on joining, and the next patch has all that changed since the last

    ACKNOWLEDGE = b"\x0a"
    _PERSON = b"\x86\xb820"  # joinedAt, the field 6: 24 bytes from the year on
    _NAME = re.compile(_PERSON + rb"[-\d:.TZ]{22}\x88[\xa1-\xbf]([ -~]+)")  # and then displayName, the field 8

    def join(self, _: str, number: int) -> bytes:
        """Make the body of the matchmaking request; its URL has the code."""
        return f'{{"guestName":"{GUEST.format(number)}"}}'.encode()

    def say(self, text: str) -> bytes:
        """See `Dialect`."""
        return b"\x0d\xa3say" + msgspec.msgpack.encode({"text": text})

    def signal(self, to: str, data: Any) -> bytes:
        """See `Dialect`."""
        return b"\x0d\xa6signal" + msgspec.msgpack.encode({"to": to, "data": data})

    def kind(self, payload: bytes) -> Kind:
        """See `Dialect`."""
        first = payload[0]
        if first == 15:
            return Kind.CHANGED
        if first == 13:
            return Kind.SIGNAL if payload.startswith(b"\xa6signal", 1) else Kind.MESSAGE
        if first == 14:
            return Kind.STATE
        if first == 10:
            return Kind.JOINED
        return Kind.REFUSED if first == 11 else Kind.OTHER

    def count_people(self, _: Kind, payload: bytes) -> int:
        """See `Dialect`."""
        return payload.count(self._PERSON)

    def presence(self, kind: Kind, payload: bytes) -> Presence:
        """Read the names. A patch tells of one who left in one byte, 64 + an index, that only a decoder can resolve."""
        names = [name.decode() for name in self._NAME.findall(payload)]
        return Presence(names, int(kind is Kind.CHANGED and not names))

    def address(self, _: bytes) -> str:
        """Return nothing: in Colyseus it is the session, which `Client.address` has from the matchmaking."""
        return ""


class Bare(Roomd):
    """The ceilings: the same requests, and every frame from the server is a message."""

    def kind(self, _: bytes) -> Kind:
        """See `Dialect`."""
        return Kind.MESSAGE


DIALECTS: dict[str, Dialect] = {
    "roomd": Roomd(),
    "echo": Bare("/"),
    "frames": Bare("/"),
    "ws": Roomd(),
    "socketio": SocketIo("socketio"),
    "python_socketio": SocketIo("python_socketio"),
    "colyseus": Colyseus(),
}
