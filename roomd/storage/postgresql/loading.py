"""Read rooms as they are loaded: many of them with a few statements, since each waits for the network."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from roomd.rooms.model import Seat, StoredRoom
from roomd.rooms.room import MESSAGES_SHOWN, MOST_SENT
from roomd.storage.loading import STORED_COLUMNS
from roomd.storage.postgresql.connection import Connection, Row
from roomd.storage.rows import BAN_COLUMNS, MESSAGE_COLUMNS, PARTICIPANT_COLUMNS, to_ban, to_message, to_room, to_seat

_EACH = "unnest($1::text[]) AS room (id) CROSS JOIN LATERAL"
"""For each of the rooms, what follows in brackets."""
_BANS = f"SELECT {BAN_COLUMNS} FROM bans WHERE room_id = ANY($1::text[]) ORDER BY room_id, id"
_SHOWN = (
    f"SELECT one.* FROM {_EACH} (SELECT {MESSAGE_COLUMNS} FROM messages "
    f"WHERE room_id = room.id AND to_id IS NULL ORDER BY id DESC LIMIT {MESSAGES_SHOWN}) AS one ORDER BY 1, 2"
)
_LAST_PERSON = (
    f"SELECT room.id, one.id FROM {_EACH} (SELECT max(id) AS id FROM participants WHERE room_id = room.id) AS one"
)
_LAST_MESSAGE = (
    f"SELECT room.id, one.id, one.total_bytes FROM {_EACH} (SELECT id, total_bytes FROM messages "
    "WHERE room_id = room.id ORDER BY id DESC LIMIT 1) AS one"
)
_SENT = (
    f"SELECT room.id, one.participant_id, one.client_id FROM {_EACH} (SELECT id, participant_id, client_id "
    f"FROM messages WHERE room_id = room.id ORDER BY id DESC LIMIT {MOST_SENT}) AS one "
    "WHERE one.client_id IS NOT NULL ORDER BY room.id, one.id"
)
_SEATED = (
    f"SELECT {PARTICIPANT_COLUMNS} FROM participants WHERE left_at IS NULL "
    "ORDER BY CASE WHEN waits_for IS NULL THEN coalesce(seated_id, id) END NULLS FIRST, id"
)
_SEATED_IN = (
    f"SELECT {PARTICIPANT_COLUMNS}, claim FROM participants WHERE room_id = $1 AND left_at IS NULL "
    "ORDER BY CASE WHEN waits_for IS NULL THEN coalesce(seated_id, id) END NULLS FIRST, id"
)


async def load_room(db: Connection, code: str) -> StoredRoom | None:
    """Read a room in which nobody has a seat, by its code; None when there is none.

    Raises `DatabaseError`.
    """
    rows = await db.fetch(f"SELECT {STORED_COLUMNS} FROM rooms WHERE code = $1", code)
    return (await _rooms(db, rows))[0] if rows else None


async def load_occupied(db: Connection) -> list[StoredRoom]:
    """Read the rooms in which somebody has a seat or waits, with the seats, the places and what was sent last.

    Raises `DatabaseError`.
    """
    seats: dict[str, list[Seat]] = {}
    for row in await db.fetch(_SEATED):
        seats.setdefault(row[0], []).append(to_seat(row))
    ids = list(seats)
    rows = await db.fetch(f"SELECT {STORED_COLUMNS} FROM rooms WHERE id = ANY($1::text[]) ORDER BY id", ids)
    sent: dict[str, list[tuple[str, str]]] = {}
    for room_id, participant_id, client_id in await db.fetch(_SENT, ids):
        sent.setdefault(room_id, []).append((participant_id, client_id))
    return [
        stored._replace(seats=seats[stored.view.id], sent=sent.get(stored.view.id, []))
        for stored in await _rooms(db, rows)
    ]


async def load_with_seats(db: Connection, room_id: str) -> StoredRoom | None:
    """Read a room with its seats, which have the claims of the connections that were there; None without such a room.

    Raises `DatabaseError`.
    """
    rows = await db.fetch(f"SELECT {STORED_COLUMNS} FROM rooms WHERE id = $1 AND NOT is_deleted", room_id)
    if not rows:
        return None
    (stored,) = await _rooms(db, rows)
    seats = [_with_claim(to_seat(row[:-1]), row[-1]) for row in await db.fetch(_SEATED_IN, room_id)]
    sent = [(row[1], row[2]) for row in await db.fetch(_SENT, [room_id])] if seats else []
    return stored._replace(seats=seats, sent=sent)


def _with_claim(seat: Seat, claim: int | None) -> Seat:
    """Return a seat with its claim, if its connection was there; 0 is no claim of any node."""
    return msgspec.structs.replace(seat, claim=claim or 0) if seat.participant.is_active else seat


async def _rooms(db: Connection, rows: Sequence[Row]) -> list[StoredRoom]:
    """Read the bans, the last messages and the last ids of the rooms in rows of `STORED_COLUMNS`."""
    ids = [row[0] for row in rows]
    bans = _by_room(await db.fetch(_BANS, ids))
    shown = _by_room(await db.fetch(_SHOWN, ids))
    people = {row[0]: row[1] for row in await db.fetch(_LAST_PERSON, ids)}
    last = {room_id: (last_id, size) for room_id, last_id, size in await db.fetch(_LAST_MESSAGE, ids)}
    found = []
    for row in rows:
        room = to_room(row)
        deleted_message, deleted_stay, deleted_bytes, empty_since = row[-4:]
        last_message, total_bytes = last.get(room.id, ("", 0))
        found.append(
            StoredRoom(
                room,
                (),
                [to_ban(ban) for ban in bans.get(room.id, ())],
                [to_message(message) for message in shown.get(room.id, ())],
                max(people.get(room.id) or "", last_message, deleted_message, deleted_stay),
                message_bytes=max(total_bytes, deleted_bytes),
                deleted_bytes=deleted_bytes,
                empty_since=empty_since,
            )
        )
    return found


def _by_room(rows: Iterable[tuple[Any, ...]]) -> dict[str, list[tuple[Any, ...]]]:
    found: dict[str, list[tuple[Any, ...]]] = {}
    for row in rows:
        found.setdefault(row[0], []).append(row)
    return found
