"""How a database came to its schema: made, migrated or refused; and that every read of it has an index."""

import contextlib
import re
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from roomd.auth.resume_tokens import hash_secret
from roomd.config import DatabaseConfig
from roomd.protocol.log_events import LoggedParticipantJoined
from roomd.rooms.answers import Reader
from roomd.rooms.changes import RoomChanged
from roomd.rooms.event_log import reference
from roomd.storage.checking import check
from roomd.storage.errors import StoreError
from roomd.storage.event_log import StoredEvents
from roomd.storage.migrations import APPLICATION_ID, MIGRATIONS, SCHEMA_VERSION, migrate, schema
from roomd.storage.opening import open_store
from roomd.storage.rows import BAN_COLUMNS, MESSAGE_COLUMNS, NULLABLE, PARTICIPANT_COLUMNS, ROOM_COLUMNS
from roomd.storage.sqlite import SqliteStore
from tests.support.stored import BOB, JANE, LATER, ROOM, append, numbers, seat
from tests.support.upgrades import make_version_2


@pytest.fixture
def config(tmp_path: Path) -> DatabaseConfig:
    return DatabaseConfig(path=str(tmp_path / "roomd.db"), busy_timeout=0.1)


@contextlib.asynccontextmanager
async def served(config: DatabaseConfig) -> AsyncIterator[SqliteStore]:
    """Open the database, and close it whatever comes: an open one would keep the process from ending."""
    store = await open_store(config)
    try:
        yield store
    finally:
        await store.close()


@pytest.fixture
async def real(config: DatabaseConfig) -> AsyncIterator[SqliteStore]:
    async with served(config) as store:
        yield store


@contextlib.contextmanager
def opened(config: DatabaseConfig) -> Iterator[sqlite3.Connection]:
    """Look into the file without a store."""
    with contextlib.closing(sqlite3.connect(config.path, isolation_level=None)) as db:
        yield db


def described(db: sqlite3.Connection) -> dict[tuple[str, str], str]:
    """Tables and indexes with their SQL, spaces and quotes aside."""
    found = db.execute("SELECT type, name, coalesce(sql, '') FROM sqlite_schema").fetchall()
    return {(kind, name): re.sub(r"\s+", "", sql.replace('"', "")) for kind, name, sql in found}


def test_the_schema_and_every_migration_lead_to_the_version() -> None:
    """schema.sql marks a database as roomd's, at the newest version; the steps to it have no gap."""
    db = sqlite3.connect(":memory:", isolation_level=None)
    assert migrate(db, {0: schema(), **MIGRATIONS}) == SCHEMA_VERSION
    assert db.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
    db.close()
    assert sorted(MIGRATIONS) == list(range(SCHEMA_VERSION - len(MIGRATIONS), SCHEMA_VERSION))


async def test_a_database_of_version_2_is_migrated(config: DatabaseConfig) -> None:
    """A migrated database has the schema of a new one, and its seats keep everything; users keep their rights."""
    tokens = make_version_2(Path(config.path))
    with opened(config) as db:
        db.execute("INSERT INTO bans SELECT id, 'eve', 'Eve', 'spam', created_at FROM rooms")
    async with served(config) as store:
        rooms = await store.hold_seats(LATER)
        assert len(await store.address_secret()) == 32
    for room in rooms:
        [(who, ban)] = room.bans
        assert (who, ban.user_id, ban.reason, ban.expires_at) == (("user", "eve"), "eve", "spam", None)
        assert re.fullmatch("[0-9a-f]{24}", ban.id)
    new = sqlite3.connect(":memory:", isolation_level=None)
    new.executescript(schema())
    with opened(config) as db:
        assert described(db) == described(new)
    new.close()
    seats = {seat.participant.id: seat for room in rooms for seat in room.seats}
    assert {token.split(".")[1] for token in tokens.values()} == set(seats)
    for token in tokens.values():
        seat = seats[token.split(".")[1]]
        assert (seat.resume_hash, seat.previous_hash) == (hash_secret(token.split(".")[2]), None)
        assert (seat.token_exp is None) == (seat.participant.user_id is None)


async def test_events_of_version_5_keep_their_ids_and_positions(config: DatabaseConfig) -> None:
    """They were stored without both. Readers go on where they were."""
    path = Path(config.path)
    make_version_2(path)
    with opened(config) as db:
        migrate(db, {version: step for version, step in MIGRATIONS.items() if version < 5})
        event = LoggedParticipantJoined(LATER, reference(ROOM), JANE)
        row = (ROOM.id, LATER, "participant-joined", msgspec.json.encode(event).decode())
        db.executemany("INSERT INTO events (room_id, at, type, body) VALUES (?, ?, ?, ?)", [row, row])
        db.execute("DELETE FROM events WHERE position = 1")
        sql = "SELECT lower(hex(event_log.id)), lower(hex(events.id)) FROM event_log, events"
        ((log_id, event_id),) = db.execute(sql).fetchall()
    async with served(config) as store:
        log = StoredEvents(store)
        assert await log.log_id() == log_id
        [found] = (await log.read_events(0, 10)).events
        sent = msgspec.json.decode(msgspec.json.encode(event))
        assert msgspec.json.decode(found) == {"id": event_id, "position": f"{log_id}{2:012x}", **sent}
        await store.append(ROOM.id, [RoomChanged(ROOM)], [event])
        assert numbers(await log.read_events(2, 10)) == [3]
    assert check(path).problems == []


def test_migrations_lead_forward_step_by_step() -> None:
    """From any earlier version to the newest; a step that fails leaves the version before it, whole."""
    last = SCHEMA_VERSION
    steps = {
        0: schema(),
        last: f"ALTER TABLE rooms ADD COLUMN colour TEXT; PRAGMA user_version = {last + 1};",
        last + 1: f"ALTER TABLE rooms ADD COLUMN shape TEXT; PRAGMA user_version = {last + 2};",
    }
    for start in (0, last, last + 1, last + 2):
        db = sqlite3.connect(":memory:", isolation_level=None)
        migrate(db, {n: sql for n, sql in steps.items() if n < start})
        assert db.execute("PRAGMA user_version").fetchone() == (start,)
        migrate(db, steps)
        assert db.execute("PRAGMA user_version").fetchone() == (last + 2,)
        assert db.execute("SELECT colour, shape FROM rooms").fetchall() == []
        db.close()
    db = sqlite3.connect(":memory:", isolation_level=None)
    with pytest.raises(sqlite3.OperationalError):
        migrate(db, {0: schema(), last: "CREATE TABLE half (id TEXT); SELECT nonsense; PRAGMA user_version = 99;"})
    db.execute("ROLLBACK")
    assert db.execute("PRAGMA user_version").fetchone() == (last,)
    assert db.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'half'").fetchone() == (0,)
    db.close()


OURS = "PRAGMA application_id = 0x726f6f6d; "
REFUSED = [
    ("newer", "PRAGMA user_version = 99", "made by a newer roomd (schema 99, this one knows 6)"),
    ("newer by one", OURS + "PRAGMA user_version = 7", "made by a newer roomd (schema 7, this one knows 6)"),
    ("never released", OURS + "PRAGMA user_version = 1", "made by a roomd that was never released (schema 1)"),
    ("foreign, with a version", "PRAGMA user_version = 1", "a database of another program"),
    ("foreign", "CREATE TABLE songs (title TEXT)", "a database of another program"),
]


@pytest.mark.parametrize(("sql", "message"), [r[1:] for r in REFUSED], ids=[r[0] for r in REFUSED])
async def test_databases_that_are_refused(config: DatabaseConfig, sql: str, message: str) -> None:
    """Neither a newer roomd's database nor another program's is touched."""
    with opened(config) as db:
        db.executescript(sql)
    before = Path(config.path).read_bytes()
    with pytest.raises(StoreError) as caught:
        await open_store(config)
    assert message in str(caught.value)
    assert Path(config.path).read_bytes() == before


# Every read, and how it may be answered. `seats` has only the seats in it: to go through it is to read no history.
SEATS = "SCAN participants USING INDEX seats"
READS: list[tuple[str, Callable[[SqliteStore], Awaitable[object]], list[list[str]]]] = [
    ("a room", lambda store: store.load(ROOM.code), [
        ["SEARCH rooms USING INDEX sqlite_autoindex_rooms_2 (code=?)"],
        ["SEARCH bans USING PRIMARY KEY (room_id=?)"],
        ["SEARCH messages USING INDEX public_messages (room_id=?)"],
        ["SEARCH participants USING PRIMARY KEY (room_id=?)"],
        ["SEARCH messages USING PRIMARY KEY (room_id=?)"],
    ]),
    ("the seats", lambda store: store.hold_seats(LATER), [
        [SEATS],
        ["SEARCH rooms USING PRIMARY KEY (id=?)", "LIST SUBQUERY 1", SEATS],
        [SEATS, "USE TEMP B-TREE FOR ORDER BY"],
        ["SEARCH bans USING PRIMARY KEY (room_id=?)"],
        ["SEARCH messages USING INDEX public_messages (room_id=?)"],
        ["SEARCH participants USING PRIMARY KEY (room_id=?)"],
        ["SEARCH messages USING PRIMARY KEY (room_id=?)"],
        ["CO-ROUTINE (subquery-1)", "SEARCH messages USING PRIMARY KEY (room_id=?)", "SCAN (subquery-1)"],
    ]),
    ("the last room", lambda store: store.last_room_id(), [["SEARCH rooms USING PRIMARY KEY"]]),
    ("history", lambda store: store.history("r1", None, 10),
        [["SEARCH participants USING PRIMARY KEY (room_id=? AND id>?)"]]),
    ("a past stay", lambda store: store.past_stay(ROOM.code, "p1"), [[
        "SEARCH participants USING PRIMARY KEY (room_id=? AND id=?)",
        "SCALAR SUBQUERY 1",
        "SEARCH rooms USING INDEX sqlite_autoindex_rooms_2 (code=?)",
    ]]),
    ("messages", lambda store: store.messages(Reader("r1", "p1", "bob"), "m1", 10), [[
        "SEARCH messages USING PRIMARY KEY (room_id=? AND id=?)", "LIST SUBQUERY 4", "CO-ROUTINE (subquery-3)",
        "MERGE (UNION)",
        "LEFT", "MERGE (UNION)",
        "LEFT", "SEARCH messages USING INDEX public_messages (room_id=? AND id>? AND id<?)",
        "RIGHT", "SEARCH messages USING INDEX messages_from (room_id=? AND sender=? AND id>? AND id<?)",
        "RIGHT", "SEARCH messages USING INDEX messages_to (room_id=? AND recipient=? AND id>? AND id<?)",
        "SCAN (subquery-3)",
    ]]),
    ("a host's rooms", lambda store: store.rooms_of("alice", None, "r2", 10),
        [["SEARCH rooms USING INDEX rooms_of_host (host_id=? AND id<?)"]]),
    ("a host's active rooms", lambda store: store.rooms_of("alice", True, "r2", 10),
        [["SEARCH rooms USING INDEX rooms_of_host_by_state (host_id=? AND is_active=? AND id<?)"]]),
    ("active rooms", lambda store: store.rooms_of(None, True, "r2", 10),
        [["SEARCH rooms USING INDEX rooms_by_state (is_active=? AND id<?)"]]),
    ("a room by its external id", lambda store: store.rooms_of(None, None, None, 1, "x"), [
        ["SEARCH rooms USING INDEX rooms_by_external_id (external_id=?)", "USE TEMP B-TREE FOR ORDER BY"],
    ]),
    ("the next ends", lambda store: store.next_ends(10), [["SEARCH rooms USING INDEX rooms_by_end (ends_at>?)"]]),
    ("all rooms", lambda store: store.rooms_of(None, None, "r2", 10),
        [["SEARCH rooms USING PRIMARY KEY (id<?)"]]),
    ("all rooms from the newest", lambda store: store.rooms_of(None, None, None, 10),
        [["SCAN rooms"]]),  # in the order of its key, as far as the page goes: nothing is sorted
]  # fmt: skip


@pytest.mark.parametrize(("read", "plans"), [r[1:] for r in READS], ids=[r[0] for r in READS])
async def test_every_read_has_an_index(
    real: SqliteStore, config: DatabaseConfig, read: Callable[[SqliteStore], Awaitable[object]], plans: list[list[str]]
) -> None:
    """A read costs what it gives: not a whole history, nor the private messages between the last public ones."""
    await append(real, [RoomChanged(ROOM), seat(JANE), seat(BOB)])
    statements: list[str] = []
    for connection in (real._reader, real._writer):
        await connection.set_trace_callback(statements.append)
    await read(real)
    with opened(config) as db:
        found = [
            [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {sql}")]
            for sql in statements
            if sql not in ("BEGIN IMMEDIATE", "COMMIT")
        ]
    assert found == plans


async def test_the_columns_that_may_be_null_are_those_of_the_schema(real: SqliteStore, config: DatabaseConfig) -> None:
    """Every NULL is written as NULL, in whichever table: no column keeps what stands for it in a statement."""
    written = {
        "rooms": ROOM_COLUMNS,
        "participants": PARTICIPANT_COLUMNS,
        "messages": MESSAGE_COLUMNS,
        "bans": BAN_COLUMNS,
    }
    nullable: set[str] = set()
    with opened(config) as db:
        for table, columns in written.items():
            for name, must_be_set in db.execute('SELECT name, "notnull" FROM pragma_table_info(?)', (table,)):
                if name in columns.split(", ") and not must_be_set:
                    nullable.add(name)
    assert nullable == NULLABLE
