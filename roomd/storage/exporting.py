"""Export what is stored: everything about a user, and who was in a room. It reads the file, served or not."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from roomd.protocol.errors import ROOM_NOT_FOUND, Refused
from roomd.protocol.objects import Ban, Message, Participant, Room
from roomd.protocol.timestamps import seconds_of
from roomd.storage.errors import StoreError
from roomd.storage.migrations import SCHEMA_VERSION
from roomd.storage.rows import (
    BAN_COLUMNS,
    MESSAGE_COLUMNS,
    PARTICIPANT_COLUMNS,
    ROOM_COLUMNS,
    to_ban,
    to_message,
    to_room,
    to_seat,
)
from roomd.storage.snapshot import check_kind, reading


class Exported(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """Something of a room."""

    room_code: str | None
    """The code of the room; null while it is being deleted."""


class ExportedMessage(Exported, frozen=True):
    """A message that the user sent, or got privately."""

    is_own: bool
    """Whether the user sent it."""
    message: Message
    """The message."""


class ExportedBan(Exported, frozen=True):
    """A ban of the user."""

    ban: Ban
    """The ban."""


class UserData(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """Everything that is stored about a user."""

    user_id: str
    """The id of the user."""
    stays: list[Participant]
    """The stays in rooms, with states and metadata; places in a queue too."""
    messages: list[ExportedMessage]
    """The messages that they sent, and the private ones that they got."""
    bans: list[ExportedBan]
    """Their bans."""
    rooms: list[Room]
    """The rooms that they host."""
    events: list[msgspec.Raw]
    """The log events about them: of their stays, their bans, their rooms and their messages."""


class Attendance(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """One stay in a room."""

    name: str
    """The name that others saw."""
    user_id: str | None
    """The user id; null for a guest."""
    participant_id: str
    """The id of the participant."""
    joined_at: str
    """When they came: ISO 8601."""
    left_at: str | None
    """When they left; null while they are there."""
    minutes: float | None
    """How long they were there, with one decimal; null while they are."""


def export_user(path: Path, user_id: str) -> UserData:
    """Read everything that is stored about a user, as it is at one moment. Secrets are not in it.

    Raises `StoreError`.
    """
    with _current(path) as db:
        stays = db.execute(f"SELECT {PARTICIPANT_COLUMNS} FROM participants WHERE user_id = ?", (user_id,))  # noqa: S608
        people = [to_seat(row).participant for row in stays]
        sql = f"SELECT {MESSAGE_COLUMNS} FROM messages WHERE user_id = :user OR to_user_id = :user"  # noqa: S608 - our own
        messages = db.execute(sql, {"user": user_id}).fetchall()
        bans = db.execute(f"SELECT {BAN_COLUMNS} FROM bans WHERE user_id = ?", (user_id,)).fetchall()  # noqa: S608
        rooms = db.execute(f"SELECT {ROOM_COLUMNS} FROM rooms WHERE host_id = ? AND NOT is_deleted", (user_id,))  # noqa: S608
        return UserData(
            user_id=user_id,
            stays=people,
            messages=[
                ExportedMessage(room_code=_code(db, row[0]), is_own=row[3] == user_id, message=to_message(row))
                for row in messages
            ],
            bans=[ExportedBan(room_code=_code(db, row[0]), ban=to_ban(row)[1]) for row in bans],
            rooms=[to_room(row) for row in rooms],
            events=[msgspec.Raw(body) for body in _events(db, user_id, {row[1] for row in messages})],
        )


def export_room(path: Path, code: str) -> list[Attendance]:
    """Read who was in a room and when, in the order in which they came. Hidden admins are not in it.

    Raises `Refused` (404 `room_not_found`) and `StoreError`.
    """
    with _current(path) as db:
        room = db.execute("SELECT id FROM rooms WHERE code = ?", (code,)).fetchone()
        if room is None:
            raise Refused(ROOM_NOT_FOUND)
        sql = (
            f"SELECT {PARTICIPANT_COLUMNS} FROM participants WHERE room_id = ? "  # noqa: S608 - our own names
            "AND waits_for IS NULL AND NOT is_hidden ORDER BY id"
        )
        return [_attendance(to_seat(row).participant) for row in db.execute(sql, room)]


@contextlib.contextmanager
def _current(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a database of this version for reading. Raises `StoreError`."""
    with reading(path) as db:
        if (version := check_kind(db, path)) != SCHEMA_VERSION:
            raise StoreError(
                f"{path}: has the schema {version} of an older roomd; start `roomd serve` once, to migrate it"
            )
        yield db


def _code(db: sqlite3.Connection, room_id: str) -> str | None:
    row: tuple[Any, ...] | None = db.execute(
        "SELECT code FROM rooms WHERE id = ? AND NOT is_deleted", (room_id,)
    ).fetchone()
    return str(row[0]) if row is not None else None


def _events(db: sqlite3.Connection, user_id: str, messages: set[str]) -> Iterator[bytes]:
    """Read the events about a user, and those of their messages, also of messages that are deleted already."""
    sql = (
        "SELECT CAST(body AS BLOB), body ->> '$.participant.userId' = :user OR body ->> '$.ban.userId' = :user "
        "OR body ->> '$.room.hostId' = :user, body ->> '$.participant.id', body ->> '$.message.participantId', "
        "body ->> '$.message.id' FROM events ORDER BY position"
    )
    own = {key for (key,) in db.execute("SELECT id FROM participants WHERE user_id = ?", (user_id,))}
    for body, is_about, participant_id, sender, message_id in db.execute(sql, {"user": user_id}):
        if is_about and participant_id is not None:
            own.add(participant_id)
        if is_about or sender in own or message_id in messages:
            yield body


def _attendance(one: Participant) -> Attendance:
    minutes = None if one.left_at is None else round((seconds_of(one.left_at) - seconds_of(one.joined_at)) / 60, 1)
    return Attendance(
        name=one.display_name,
        user_id=one.user_id,
        participant_id=one.id,
        joined_at=one.joined_at,
        left_at=one.left_at,
        minutes=minutes,
    )
