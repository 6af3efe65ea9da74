"""Convert the rows of the tables (schema.sql) to objects and back. Values have the order of the columns below."""

from typing import Any

import msgspec
from msgspec import UNSET

from roomd.protocol.log_events import AnyLogEvent, LogEvent
from roomd.protocol.objects import Ban, Message, Participant, Room
from roomd.rooms.changes import Banned, MessageSent
from roomd.rooms.model import PersonKey, Seat
from roomd.rooms.rights import role_of

ROOM_COLUMNS = (
    "id, code, name, host_id, is_active, is_locked, max_participants, allow_guest_access, waiting_room, "
    "created_at, ended_at, history_visible, external_id, metadata, expires_at, end_when_empty"
)
PARTICIPANT_COLUMNS = (
    "room_id, id, user_id, guest_name, display_name, is_active, is_host, joined_at, left_at, dropped_at, resume_hash, "
    "state, waits_for, previous_hash, is_admin, token_exp, seated_id, address_key, is_cohost, is_hidden, metadata"
)
MESSAGE_COLUMNS = (
    "room_id, id, participant_id, user_id, display_name, text, sent_at, to_id, to_user_id, client_id, total_bytes"
)
BAN_COLUMNS = "room_id, id, user_id, address_key, display_name, reason, banned_at, expires_at"
NULLABLE = frozenset(
    {
        *("ended_at", "external_id", "expires_at", "end_when_empty"),
        *("user_id", "guest_name", "left_at", "dropped_at", "waits_for", "previous_hash", "token_exp", "seated_id"),
        *("address_key", "metadata", "to_id", "to_user_id", "client_id", "reason"),
    }
)
"""Those of these columns that may be NULL in one of the tables."""
EVENT_ID_BYTES = 12
"""The random bytes of the id of a log event."""

_encoder = msgspec.json.Encoder()
_TYPES: dict[type[LogEvent], str] = {kind: str(kind.__struct_config__.tag) for kind in AnyLogEvent.__args__}


def room_row(room: Room) -> tuple[Any, ...]:
    """Convert a room to a row with `ROOM_COLUMNS`."""
    return (
        room.id,
        room.code,
        room.name,
        room.host_id,
        room.is_active,
        room.is_locked,
        room.max_participants,
        room.allow_guest_access,
        room.waiting_room,
        room.created_at,
        room.ended_at,
        room.history_visible,
        room.external_id,
        msgspec.json.encode(room.metadata).decode() if room.metadata else "{}",
        room.expires_at,
        room.end_when_empty,
    )


def to_room(row: tuple[Any, ...]) -> Room:
    """Convert a row to a room, with a participant count of 0."""
    return Room(
        id=row[0],
        code=row[1],
        name=row[2],
        host_id=row[3],
        is_active=bool(row[4]),
        is_locked=bool(row[5]),
        max_participants=row[6],
        allow_guest_access=bool(row[7]),
        waiting_room=bool(row[8]),
        participant_count=0,
        created_at=row[9],
        ended_at=row[10],
        history_visible=row[11],
        external_id=row[12],
        metadata=msgspec.json.decode(row[13]),
        expires_at=row[14],
        end_when_empty=row[15],
    )


def seat_row(seat: Seat) -> tuple[Any, ...]:
    """Convert a seat, or a place in the queue, to a row with `PARTICIPANT_COLUMNS`."""
    person = seat.participant
    return (
        person.room_id,
        person.id,
        person.user_id,
        person.guest_name,
        person.display_name,
        person.is_active,
        person.is_host,
        person.joined_at,
        person.left_at,
        seat.dropped_at,
        seat.resume_hash,
        msgspec.json.encode(person.state).decode() if person.state else "{}",
        seat.waits_for,
        seat.previous_hash,
        seat.is_admin,
        seat.token_exp,
        seat.seated_id,
        seat.address_key if person.user_id is None else None,
        seat.is_cohost,
        bool(person.is_hidden),
        msgspec.json.encode(person.metadata).decode() if person.metadata else None,
    )


def to_seat(row: tuple[Any, ...]) -> Seat:
    """Convert a row to a seat, or a place in the queue, without a connection."""
    participant = Participant(
        id=row[1],
        room_id=row[0],
        user_id=row[2],
        guest_name=row[3],
        is_active=bool(row[5]),
        is_host=bool(row[6]),
        joined_at=row[7],
        left_at=row[8],
        display_name=row[4],
        state=msgspec.json.decode(row[11]),
        role=role_of(is_host=row[6], is_admin=row[14], is_cohost=row[18]),
        is_hidden=bool(row[19]) or UNSET,
        metadata=msgspec.json.decode(row[20]) if row[20] is not None else UNSET,
    )
    return Seat(
        participant,
        resume_hash=row[10],
        claim=None,
        dropped_at=row[9],
        waits_for=row[12],
        previous_hash=row[13],
        is_admin=bool(row[14]),
        token_exp=row[15],
        seated_id=row[16],
        address_key=row[17],
        is_cohost=bool(row[18]),
    )


def message_row(room_id: str, change: MessageSent) -> tuple[Any, ...]:
    """Convert a message to a row with `MESSAGE_COLUMNS`."""
    message = change.message
    return (
        room_id,
        message.id,
        message.participant_id or "",
        change.user_id,
        message.display_name,
        message.text,
        message.sent_at,
        message.to,
        change.to_user_id,
        message.client_id,
        change.total_bytes,
    )


def to_message(row: tuple[Any, ...]) -> Message:
    """Convert a row to a message."""
    return Message(
        id=row[1],
        participant_id=row[2] or None,
        display_name=row[4],
        text=row[5],
        sent_at=row[6],
        to=row[7],
        client_id=row[9],
    )


def ban_row(room_id: str, change: Banned) -> tuple[Any, ...]:
    """Convert a ban to a row with `BAN_COLUMNS`."""
    ban = change.ban
    address_key = change.who.value if change.who.kind == "address" else None
    return room_id, ban.id, ban.user_id, address_key, ban.display_name, ban.reason, ban.banned_at, ban.expires_at


def to_ban(row: tuple[Any, ...]) -> tuple[PersonKey, Ban]:
    """Convert a row to a ban, and whom it keeps out."""
    who = PersonKey("user", row[2]) if row[2] is not None else PersonKey("address", row[3])
    ban = Ban(id=row[1], user_id=row[2], display_name=row[4], reason=row[5], banned_at=row[6], expires_at=row[7])
    return who, ban


def event_row(room_id: str, event: LogEvent) -> tuple[Any, ...]:
    """Convert a log event to a row for `write_events`: the room, the stamp, the type, and the JSON after its `{`."""
    return room_id, event.at, _TYPES[type(event)], _encoder.encode(event)[1:].decode()
