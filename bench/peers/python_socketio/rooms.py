"""The rules of joining and leaving, decided in memory; the same as in common/rooms.js."""

import secrets
import time
import unicodedata
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec


class RefusedError(Exception):
    """A request that changes nothing."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.reply = {"error": {"type": "error", "statusCode": status, "code": code, "message": message}}


class User(NamedTuple):
    """The user of a verified token."""

    id: str
    name: str


class Room:
    """A room, its members, and how many seats are taken once all is committed."""

    def __init__(self, row: tuple[Any, ...]) -> None:
        self.id, self.code, name, self.host, active, locked, self.most, created_at = row
        self.is_active, self.is_locked = bool(active), bool(locked)
        self.view = {
            "id": self.id, "code": self.code, "name": name, "hostId": self.host, "isActive": self.is_active,
            "isLocked": self.is_locked, "maxParticipants": self.most, "allowGuestAccess": True, "waitingRoom": False,
            "createdAt": created_at, "endedAt": None,
        }  # fmt: skip
        self.seats = self.seq = 0
        self.users: dict[str, Member] = {}
        self.members: dict[str, Member] = {}

    def state(self) -> dict[str, Any]:
        """Build the state for a newcomer."""
        view = {**self.view, "participantCount": len(self.members)}
        return {"seq": self.seq, "room": view, "participants": [member.raw for member in self.members.values()]}

    def take_seat(self, sid: str, user: User | None, name: str) -> "Member":
        """Grant a seat, or return the one the user has already (with another `sid`); raise `RefusedError`."""
        if not self.is_active:
            raise RefusedError(400, "room_inactive", "Room is no longer active")
        if user and user.id in self.users:
            return self.users[user.id]
        if self.is_locked:
            raise RefusedError(403, "room_locked", "Room is locked")
        if self.seats >= self.most:
            raise RefusedError(400, "room_full", "Room is full")
        member = Member(self, sid, user, name)
        self.seats += 1
        if user:
            self.users[user.id] = member
        return member

    def free_seat(self, member: "Member") -> None:
        """Release a seat."""
        self.seats -= 1
        if member.user_id and self.users.get(member.user_id) is member:
            del self.users[member.user_id]


class Member:
    """A participant with a seat; encoded once."""

    def __init__(self, room: Room, sid: str, user: User | None, name: str) -> None:
        self.room, self.sid, self.user_id = room, sid, user.id if user else None
        self.id = new_id()
        self.participant = {
            "id": self.id, "roomId": room.id, "userId": self.user_id, "guestName": None if user else name,
            "isActive": True, "isHost": self.user_id == room.host, "joinedAt": now(), "leftAt": None,
            "displayName": name,
        }  # fmt: skip
        self.raw = msgspec.Raw(msgspec.json.encode(self.participant))
        self.gone = self.participant

    def row(self) -> tuple[Any, ...]:
        """Build the row to store."""
        p = self.participant
        return self.room.id, self.id, p["userId"], p["guestName"], p["displayName"], p["isHost"], p["joinedAt"]


def now() -> str:
    """Format the current time as on the wire."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def new_id() -> str:
    """Make a random id that sorts by time."""
    return f"{time.time_ns() // 1_000_000:012x}{secrets.token_hex(6)}"


def new_code() -> str:
    """Make a random room code."""
    letters = "".join(secrets.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(9))
    return f"{letters[:3]}-{letters[3:6]}-{letters[6:]}"


def checked_name(name: str | None) -> str:
    """Check a guest's name; raise `RefusedError`."""
    if name is None:
        raise RefusedError(400, "guest_name_required", "guestName is required")
    name = unicodedata.normalize("NFC", name.strip())
    if not 1 <= len(name) <= 50 or not (name.isprintable() or all(unicodedata.category(c)[0] != "C" for c in name)):
        raise RefusedError(400, "invalid_guest_name", "guestName must be 1 to 50 printable characters")
    return name
