"""The statement that stores the changes of some rooms: one for a whole batch, with its fence.

A statement has a part for each table. Rows go in as one JSON array for each table, whatever their number, so few
statements are prepared. The parts run in the order in which one needs the result of another: the fence first, then
what is deleted, then what is inserted. Changes that are rare have statements of their own; then all is one transaction.
"""

import secrets
from collections.abc import Collection, Sequence
from functools import cache
from typing import Any, NamedTuple

from roomd.engine.ports import AlreadySent, ExternalIdTaken
from roomd.protocol.log_events import LogEvent
from roomd.rooms.changes import (
    Banned,
    Change,
    MessagesDeleted,
    MessageSent,
    RoomChanged,
    RoomDeleted,
    RoomEmptied,
    SeatChanged,
    Unbanned,
)
from roomd.storage.group_commit import Conflict, RoomChanges
from roomd.storage.postgresql.connection import Connection, rows_as_json
from roomd.storage.postgresql.rows import column_type
from roomd.storage.rows import (
    BAN_COLUMNS,
    EVENT_ID_BYTES,
    MESSAGE_COLUMNS,
    PARTICIPANT_COLUMNS,
    ROOM_COLUMNS,
    ban_row,
    event_row,
    message_row,
    room_row,
    seat_row,
)

_Other = MessagesDeleted | Banned | Unbanned | RoomEmptied | RoomDeleted
"""The changes that are rare: each is written by a statement of its own."""


class Fence(NamedTuple):
    """What the daemon knows of the table `fence`."""

    generation: int
    """Its generation."""
    version: int
    """The number of commits."""


class _Table(NamedTuple):
    """A table that a batch writes to."""

    columns: str
    """The columns that are written."""
    key: str
    """Those of the primary key; empty where every row is new."""


_TABLES = {
    "rooms": _Table(ROOM_COLUMNS, "id"),
    "participants": _Table(PARTICIPANT_COLUMNS, "room_id, id"),
    "messages": _Table(MESSAGE_COLUMNS, "room_id, id"),
    "events": _Table("id, room_id, at, type, body", ""),
}
_GONE = "gone"
"""The part that deletes places of those who left the queue: they were never in the room."""

_FENCED = "fenced AS (UPDATE fence SET version = version + 1 WHERE generation = $1 AND version = $2 RETURNING version)"
_FENCED_ROOMS = """
    known AS (SELECT * FROM json_to_recordset($2) AS one (room_id text, version bigint)),
    changed AS (
        UPDATE owners SET version = owners.version + 1 FROM known
        WHERE owners.room_id = known.room_id AND owners.version = known.version AND owners.generation = $1
        RETURNING owners.room_id
    ),
    made AS (
        INSERT INTO owners SELECT room_id, $1, 1 FROM known WHERE version = 0 ON CONFLICT DO NOTHING RETURNING room_id
    ),
    fenced AS (SELECT room_id FROM changed UNION ALL SELECT room_id FROM made)
"""
"""The rooms of a batch that the node of the generation $1 still has, by their known versions; 0 is for new rooms."""


async def write(db: Connection, fence: Fence, batch: Sequence[RoomChanges]) -> bool:
    """Write the changes of some rooms in one transaction. Return False if the fence did not allow it.

    Raises `DatabaseError`. When it returns False, and when it raises and the connection is not lost, nothing was
    written.
    """
    changes = [(room_id, change) for room_id, changes, _ in batch for change in changes]
    sql, values = _statement_of(batch, changes)
    others = [(room_id, change) for room_id, change in changes if isinstance(change, _Other)]
    if not others:
        return bool(await db.fetch(sql, *fence, *values))
    async with db.transaction():
        if not await db.fetch(sql, *fence, *values):
            return False
        for room_id, change in others:
            await _write_other(db, room_id, change)
    return True


async def write_rooms(
    db: Connection, generation: int, versions: Sequence[int], batch: Sequence[RoomChanges]
) -> set[str]:
    """Write the changes of some rooms in one transaction, each if the node of this generation has it at its version.

    Returns the ids of these rooms; of others nothing was written. Raises `DatabaseError` like `write`.
    """
    changes = [(room_id, change) for room_id, changes, _ in batch for change in changes]
    sql, values = _statement_of(batch, changes, is_of_node=True)
    known = rows_as_json(["room_id", "version"], zip([room_id for room_id, _, _ in batch], versions, strict=True))
    fence = (generation, known)
    others = [(room_id, change) for room_id, change in changes if isinstance(change, _Other)]
    if not others:
        return {row[0] for row in await db.fetch(sql, *fence, *values)}
    async with db.transaction():
        fenced = {row[0] for row in await db.fetch(sql, *fence, *values)}
        for room_id, change in others:
            if room_id in fenced:
                await _write_other(db, room_id, change)
    return fenced


def _statement_of(
    batch: Sequence[RoomChanges], changes: Sequence[tuple[str, Change]], *, is_of_node: bool = False
) -> tuple[str, list[str]]:
    """Return the statement that writes all but the rare changes, and its values behind those of the fence."""
    seats = [change.seat for _, change in changes if isinstance(change, SeatChanged)]
    gone = {(one.participant.room_id, one.participant.id) for one in seats if one.waits_for and one.participant.left_at}
    rows: dict[str, Collection[tuple[Any, ...]]] = {
        _GONE: gone,
        # A statement can write a row once, so the last change of each row counts.
        "rooms": {
            change.room.id: room_row(change.room) for _, change in changes if isinstance(change, RoomChanged)
        }.values(),
        "participants": {
            key: (*seat_row(seat), seat.claim) if is_of_node else seat_row(seat)
            for seat in seats
            if (key := (seat.participant.room_id, seat.participant.id)) not in gone
        }.values(),
        "messages": [message_row(room_id, change) for room_id, change in changes if isinstance(change, MessageSent)],
        "events": event_rows([(room_id, event) for room_id, _, events in batch for event in events]),
    }
    parts = tuple(part for part, some in rows.items() if some)
    sql = statement(parts, is_of_node=is_of_node)
    return sql, [rows_as_json(_columns(part, is_of_node=is_of_node), rows[part]) for part in parts]


def event_rows(events: Sequence[tuple[str, LogEvent]]) -> list[tuple[Any, ...]]:
    """Convert log events, with the ids of their rooms, to rows of a random id and what `event_row` returns."""
    drawn, size = secrets.token_hex(EVENT_ID_BYTES * len(events)), 2 * EVENT_ID_BYTES  # one system call
    ids = [drawn[start : start + size] for start in range(0, len(drawn), size)]
    return [(id_, *event_row(room_id, event)) for id_, (room_id, event) in zip(ids, events, strict=True)]


def new_events(events: Sequence[tuple[str, LogEvent]]) -> str:
    """Return the value of the part `events`: log events with the ids of their rooms."""
    return rows_as_json(_columns("events", is_of_node=False), event_rows(events))


@cache
def _columns(part: str, *, is_of_node: bool) -> list[str]:
    """Return the columns that a part writes."""
    columns = _TABLES.get(part, _Table("room_id, id", "")).columns.split(", ")
    return [*columns, "claim"] if is_of_node and part == "participants" else columns


@cache  # one for each set of parts that occurs
def statement(parts: tuple[str, ...], *, is_of_node: bool = False) -> str:
    """Return the statement with these parts: behind the two parameters of the fence one for each, of `rows_as_json`.

    The fence is that of a daemon that has all rooms, and one row is returned if it allows the statement. If it
    `is_of_node`, each room has its own, as in `_FENCED_ROOMS`; the rooms that it allows are returned.
    """
    clauses = [_FENCED_ROOMS if is_of_node else _FENCED]
    for number, part in enumerate(parts, start=3):
        columns = _columns(part, is_of_node=is_of_node)
        typed = ", ".join(f"{column} {column_type(part, column)}" for column in columns)
        given = f"json_to_recordset(${number})"
        key = "id" if part == "rooms" else "room_id"
        is_fenced = f"fenced.room_id = one.{key}" if is_of_node else "true"
        if part == _GONE:
            clauses.append(
                f"{_GONE} AS (DELETE FROM participants USING fenced, {given} AS one ({typed}) "
                f"WHERE {is_fenced} AND participants.room_id = one.room_id AND participants.id = one.id RETURNING 1)"
            )
            continue
        names, chosen = ", ".join(columns), ", ".join(f"one.{column}" for column in columns)
        rows = f"ROWS FROM ({given} AS ({typed})) WITH ORDINALITY AS one ({names}, number)"
        if part == "events":
            clauses.append(_new_events(chosen, rows, is_fenced))
            continue
        after_gone = f"AND (SELECT count(*) FROM {_GONE}) >= 0 " if _GONE in parts and part == "participants" else ""
        clauses.append(
            f"new_{part} AS (INSERT INTO {part} ({names}) SELECT {chosen} FROM fenced, "
            f"{rows} WHERE {is_fenced} {after_gone}ORDER BY number{_on_conflict(columns, _TABLES[part].key)})"
        )
    return f"WITH {', '.join(clauses)} SELECT {'room_id' if is_of_node else 'version'} FROM fenced"


def _new_events(chosen: str, rows: str, is_fenced: str) -> str:
    """Return the part that adds log events, each as every reader gets it: with its id and its position."""
    return (
        "new_events AS (INSERT INTO events (position, room_id, at, type, body) SELECT position, room_id, at, type, "
        """'{"id":"' || placed.id || '","position":"' || encode(event_log.id, 'hex') || """
        """lpad(to_hex(position), 12, '0') || '",' || body """
        f"FROM event_log, (SELECT nextval('event_positions') AS position, one.* FROM (SELECT {chosen} FROM fenced, "
        f"{rows} WHERE {is_fenced} ORDER BY number) AS one) AS placed)"
    )


def _on_conflict(columns: Sequence[str], key: str) -> str:
    if not key:
        return ""
    changes = ", ".join(f"{name} = excluded.{name}" for name in columns if name not in key.split(", "))
    return f" ON CONFLICT ({key}) DO UPDATE SET {changes}"


async def find_conflicts(db: Connection, batch: Sequence[RoomChanges]) -> dict[int, Conflict]:
    """Find what keeps a batch from being stored that broke a constraint: by the index in the batch.

    Raises `DatabaseError`.
    """
    found: dict[int, Conflict] = {}
    new: dict[str, str] = {}
    for index, (room_id, changes, _) in enumerate(batch):
        for change in changes:
            if isinstance(change, RoomChanged) and (external_id := change.room.external_id) is not None:
                sql = "SELECT 1 FROM rooms WHERE external_id = $1 AND id <> $2"
                is_stored = await db.fetch(sql, external_id, room_id)
                if is_stored or new.setdefault(external_id, room_id) != room_id:
                    found[index] = ExternalIdTaken()
        messages = [change.message for change in changes if isinstance(change, MessageSent)]
        ids = [(one.participant_id or "", one.client_id) for one in messages if one.client_id is not None]
        sql = "SELECT 1 FROM messages WHERE room_id = $1 AND participant_id = $2 AND client_id = $3"
        if sent := [one for one in ids if await db.fetch(sql, room_id, *one)]:
            found[index] = AlreadySent(sent)
    return found


async def _write_other(db: Connection, room_id: str, change: _Other) -> None:
    match change:
        case MessagesDeleted(through=through, total_bytes=total_bytes, ids=ids):
            sql = "DELETE FROM messages WHERE room_id = $1 AND (id <= $2 OR id = ANY($3::text[]))"
            await db.execute(sql, room_id, through, list(ids))
            sql = "UPDATE rooms SET deleted_bytes = $2, deleted_message = greatest(deleted_message, $3) WHERE id = $1"
            await db.execute(sql, room_id, total_bytes, max((through, *ids)))
        case Banned():
            names = BAN_COLUMNS.split(", ")
            marks = ", ".join(f"${number}" for number in range(1, len(names) + 1))
            conflict = _on_conflict(names, "room_id, id")
            sql = f"INSERT INTO bans ({BAN_COLUMNS}) VALUES ({marks}){conflict}"
            await db.execute(sql, *ban_row(room_id, change))
        case Unbanned(ban_id=ban_id):
            await db.execute("DELETE FROM bans WHERE room_id = $1 AND id = $2", room_id, ban_id)
        case RoomEmptied(since=since):
            await db.execute("UPDATE rooms SET empty_since = $2 WHERE id = $1", room_id, since)
        case RoomDeleted():  # nobody can look it up from now on; `upkeep.py` deletes the rows
            sql = "UPDATE rooms SET is_deleted = true, code = 'deleted ' || id, external_id = NULL WHERE id = $1"
            await db.execute(sql, room_id)
