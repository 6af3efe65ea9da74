"""Check a database: the file itself, its schema, and what holds of the rows of every room."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from roomd.rooms.invariants import broken_rules, is_over_full
from roomd.rooms.model import StoredRoom
from roomd.rooms.room import Room
from roomd.rooms.settings import Rules
from roomd.storage.errors import StoreDamaged
from roomd.storage.migrations import SCHEMA_VERSION, schema
from roomd.storage.rows import BAN_COLUMNS, PARTICIPANT_COLUMNS, ROOM_COLUMNS, to_ban, to_room, to_seat
from roomd.storage.snapshot import check_kind, integrity, reading

MOST_IDS = 100
"""The ids that are named for one rule and room."""

END_SLACK = 300
"""The seconds by which something may be later than the end of a room that is active: the daemon was down, and the room
ends soon after the start."""

_STAMP = "'[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T[0-9][0-9]:[0-9][0-9]:[0-9][0-9].[0-9][0-9][0-9]Z'"
_DELETED_STAY = "(SELECT deleted_stay FROM rooms WHERE id = m.room_id)"
"""The highest id of a stay that was deleted in the room of message `m`, or empty. Those up to it may be missing."""
_ROWS = {
    "has left, and still waits": (
        "SELECT room_id, id FROM participants WHERE left_at IS NOT NULL AND waits_for IS NOT NULL"
    ),
    "left before joining": "SELECT room_id, id FROM participants WHERE left_at < joined_at",
    "has a time that cannot be read": (
        "SELECT room_id, id FROM participants WHERE NOT (joined_at GLOB {stamp} AND coalesce(left_at, joined_at) "
        "GLOB {stamp} AND coalesce(dropped_at, joined_at) GLOB {stamp}) "
        "UNION ALL SELECT room_id, id FROM messages WHERE sent_at NOT GLOB {stamp} "
        "UNION ALL SELECT id, id FROM rooms WHERE NOT (created_at GLOB {stamp} AND "
        "coalesce(ended_at, created_at) GLOB {stamp} AND coalesce(expires_at, created_at) GLOB {stamp} AND "
        "coalesce(empty_since, created_at) GLOB {stamp})"
    ),
    "has a state that cannot be read": (
        "SELECT room_id, id FROM participants "
        "WHERE CASE WHEN json_valid(state) THEN json_type(state) <> 'object' ELSE true END"
    ),
    "has metadata that cannot be read": (
        "SELECT room_id, id FROM "
        "(SELECT room_id, id, metadata FROM participants UNION ALL SELECT id, id, metadata FROM rooms) "
        "WHERE CASE WHEN json_valid(metadata) THEN json_type(metadata) <> 'object' ELSE metadata IS NOT NULL END"
    ),
    "has a hash that is none": (
        "SELECT room_id, id FROM participants "
        "WHERE left_at IS NULL AND (length(resume_hash) <> 64 OR resume_hash GLOB '*[^0-9a-f]*')"
    ),
    "has no expiry of a user's token, or that of a guest": (
        "SELECT room_id, id FROM participants WHERE left_at IS NULL AND (user_id IS NULL) <> (token_exp IS NULL)"
    ),
    "got a seat before it came": "SELECT room_id, id FROM participants WHERE seated_id <= id",
    "is active and has an end, or the other way round": (
        "SELECT id, id FROM rooms WHERE is_active <> (ended_at IS NULL)"
    ),
    "is active past its end": (
        "SELECT id, id FROM rooms WHERE ends_at < (SELECT strftime('%Y-%m-%dT%H:%M:%fZ', max(at), '-{slack} seconds') "
        "FROM (SELECT max(joined_at) AS at FROM participants UNION ALL SELECT max(sent_at) FROM messages "
        "UNION ALL SELECT max(max(created_at), max(coalesce(ended_at, ''))) FROM rooms))"
    ),
    "is empty and has no time since when, or the other way round": (
        "SELECT id, id FROM rooms WHERE (empty_since IS NOT NULL) <> (is_active AND end_when_empty IS NOT NULL AND "
        "NOT EXISTS (SELECT 1 FROM participants WHERE room_id = rooms.id AND left_at IS NULL AND NOT is_hidden))"
    ),
    "is of a sender who was not in the room": (
        "SELECT room_id, id FROM messages AS m WHERE participant_id > {deleted_stay} AND "
        "NOT EXISTS (SELECT 1 FROM participants AS p WHERE "
        "p.room_id = m.room_id AND p.id = m.participant_id AND p.user_id IS m.user_id AND p.waits_for IS NULL "
        "AND coalesce(p.seated_id, p.id) < m.id)"
    ),
    "is to somebody who was not in the room": (
        "SELECT room_id, id FROM messages AS m WHERE to_id > {deleted_stay} AND "
        "NOT EXISTS (SELECT 1 FROM participants AS p WHERE "
        "p.room_id = m.room_id AND p.id = m.to_id AND p.user_id IS m.to_user_id AND coalesce(p.seated_id, p.id) < m.id)"
    ),
    "counts fewer bytes than the message before": (
        "SELECT room_id, id FROM (SELECT room_id, id, total_bytes, lag(total_bytes) OVER "
        "(PARTITION BY room_id ORDER BY id) AS before FROM messages) WHERE total_bytes < before"
    ),
    "bans whom another ban of the room bans": (
        "SELECT room_id, id FROM (SELECT room_id, id, count(*) OVER (PARTITION BY room_id, user_id, address_key) "
        "AS bans FROM bans) WHERE bans > 1"
    ),
    "is an event whose JSON says something else than its row": (
        'SELECT room_id, substr(body, 8, 24) FROM events, event_log WHERE instr(body, \'","position":"\' || '
        "iif(position > renewed_at, lower(hex(event_log.id)), substr(body, 46, 12)) || printf('%012x', position) || "
        '\'","type":"\' || type || \'","at":"\' || at || \'"\') <> 32 OR '
        'instr(body, \'"room":{{"id":"\' || room_id || \'"\') = 0'
    ),
}
"""What must not be of a row: statements that find its room id and its id."""


class Problem(msgspec.Struct, frozen=True):
    """Something that is wrong in a database."""

    problem: str
    """What is wrong, in words."""
    room: str | None = None
    """The code of the room, or its id where no room has it; None for the file itself."""
    ids: tuple[str, ...] = ()
    """The ids of the participants, messages, bans or rooms that it is about, some of them if there are many."""


class Findings(msgspec.Struct, frozen=True):
    """What a check has found."""

    schema: int
    """The version of the schema."""
    rooms: int
    """The number of rooms."""
    problems: list[Problem]
    """What is wrong."""
    notes: list[Problem]
    """What is unusual, and may be right."""


def check(path: Path) -> Findings:
    """Check a database, or a backup, as it is at one moment, and change nothing. A daemon may serve it.

    Of a database of an older schema only the file itself is checked. Raises `StoreError` for a file that is no database
    of this roomd or of an older one.
    """
    try:
        with reading(path) as db:
            return _check(db, path)
    except StoreDamaged as damaged:
        return Findings(0, 0, [Problem(str(damaged))], [])


def _check(db: sqlite3.Connection, path: Path) -> Findings:
    version = check_kind(db, path)
    (count,) = db.execute("SELECT count(*) FROM rooms").fetchone()
    found = Findings(version, count, [Problem(text) for text in integrity(db)], [])
    if version < SCHEMA_VERSION:
        older = f"the rows were not checked: schema {version} is older than {SCHEMA_VERSION}"
        return msgspec.structs.replace(found, notes=[Problem(older)])
    found.problems.extend(_missing_objects(db))
    if found.problems:  # where the file itself is damaged, its rows say nothing
        return found
    found.problems.extend(_wrong_rows(db))
    for code, room in _rooms(db):
        found.problems.extend(Problem(rule, code, tuple(ids[:MOST_IDS])) for rule, ids in broken_rules(room))
        if is_over_full(room):
            taken = f"{len(room.seats)} seats of {room.settings.max_participants} are taken"
            found.notes.append(Problem(f"{taken}: right if a host lowered the limit", code))
    return found


def _missing_objects(db: sqlite3.Connection) -> list[Problem]:
    """Compare the tables and indexes with those of schema.sql."""
    own = sqlite3.connect(":memory:")
    own.executescript(schema())
    sql = "SELECT type, name FROM sqlite_schema"
    expected, found = set(own.execute(sql)), set(db.execute(sql))
    own.close()
    missing = [Problem(f"the {kind} {name} is missing") for kind, name in sorted(expected - found)]
    more = [
        Problem(f"the {kind} {name} is not of roomd")
        for kind, name in sorted(found - expected)
        if not name.startswith("sqlite_stat")
    ]
    if not missing and db.execute("SELECT length(value) FROM secrets WHERE name = 'address'").fetchone() != (32,):
        missing.append(Problem("the key of the network addresses is missing"))
    if not missing and db.execute("SELECT length(id) FROM event_log").fetchall() != [(6,)]:
        missing.append(Problem("the id of the event log is missing"))
    return [*missing, *more]


def _wrong_rows(db: sqlite3.Connection) -> Iterator[Problem]:
    codes = "SELECT coalesce((SELECT code FROM rooms WHERE rooms.id = found.room), found.room), found.id"
    for rule, sql in _ROWS.items():
        by_room: dict[str, list[str]] = {}
        whole = sql.format(stamp=_STAMP, slack=END_SLACK, deleted_stay=_DELETED_STAY)
        statement = f"WITH found (room, id) AS ({whole}) {codes} FROM found"
        for room, key in db.execute(statement):
            ids = by_room.setdefault(room, [])
            if len(ids) < MOST_IDS:
                ids.append(key)
        yield from (Problem(rule, room, tuple(ids)) for room, ids in by_room.items())


def _rooms(db: sqlite3.Connection) -> Iterator[tuple[str, Room]]:
    """Read the rooms in which somebody has a place, with all places and bans."""
    rules = Rules(seat_hold=0, max_participants=0)  # what the configuration sets has no part in the invariants
    occupied = "(SELECT room_id FROM participants WHERE left_at IS NULL)"
    seats = _by_room(db, f"SELECT {PARTICIPANT_COLUMNS} FROM participants WHERE left_at IS NULL ORDER BY id")  # noqa: S608
    bans = _by_room(db, f"SELECT {BAN_COLUMNS} FROM bans WHERE room_id IN {occupied}")  # noqa: S608 - our own names
    for row in db.execute(f"SELECT {ROOM_COLUMNS} FROM rooms WHERE id IN {occupied}"):  # noqa: S608 - our own names
        room_id, code = row[:2]
        try:
            places = [to_seat(one) for one in seats[room_id]]
        except msgspec.DecodeError:  # a state that cannot be read, which is among the rows that are wrong
            continue
        yield code, Room(StoredRoom(to_room(row), places, [to_ban(one) for one in bans.get(room_id, [])]), rules)


def _by_room(db: sqlite3.Connection, sql: str) -> dict[str, list[tuple[Any, ...]]]:
    found: dict[str, list[tuple[Any, ...]]] = {}
    for row in db.execute(sql):
        found.setdefault(row[0], []).append(row)
    return found
