"""How a database came to its schema: made, migrated or refused; and that every read of it has an index."""

import contextlib
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from roomd.config import DatabaseConfig
from roomd.protocol.objects import Ban, Message
from roomd.rooms.commands import Kept, MessageSent, Reader, RoomChanged, Seat, UserBanned
from roomd.storage.sqlite import MIGRATIONS, SCHEMA_VERSION, Store, StoreError, migrate, open_store, schema
from tests.storage.test_sqlite import BOB, JANE, LATER, ROOM, seat

VERSION_1 = """
    CREATE TABLE rooms (
        id                 TEXT PRIMARY KEY,
        code               TEXT NOT NULL UNIQUE,
        name               TEXT NOT NULL,
        host_id            TEXT NOT NULL,
        is_active          INTEGER NOT NULL CHECK (is_active IN (0, 1)),
        is_locked          INTEGER NOT NULL CHECK (is_locked IN (0, 1)),
        max_participants   INTEGER NOT NULL CHECK (max_participants >= 2),
        allow_guest_access INTEGER NOT NULL CHECK (allow_guest_access IN (0, 1)),
        waiting_room       INTEGER NOT NULL CHECK (waiting_room IN (0, 1)),
        created_at         TEXT NOT NULL,
        ended_at           TEXT
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX rooms_of_host ON rooms (host_id, id);
    CREATE INDEX rooms_of_host_by_state ON rooms (host_id, is_active, id);
    CREATE INDEX rooms_by_state ON rooms (is_active, id);

    CREATE TABLE participants (
        room_id      TEXT NOT NULL REFERENCES rooms (id),
        id           TEXT NOT NULL,
        user_id      TEXT,
        guest_name   TEXT,
        display_name TEXT NOT NULL,
        is_active    INTEGER NOT NULL CHECK (is_active IN (0, 1)),
        is_host      INTEGER NOT NULL CHECK (is_host IN (0, 1)),
        joined_at    TEXT NOT NULL,
        left_at      TEXT,
        dropped_at   TEXT,
        resume_hash  TEXT NOT NULL,
        PRIMARY KEY (room_id, id),
        CHECK ((user_id IS NULL) <> (guest_name IS NULL)),
        CHECK (left_at IS NULL OR is_active = 0)
    ) STRICT, WITHOUT ROWID;
    CREATE UNIQUE INDEX seats ON participants (room_id, user_id) WHERE left_at IS NULL;

    PRAGMA application_id = 0x726f6f6d;
    PRAGMA user_version = 1;
"""
"""What schema.sql was in version 1."""

CONTENT_1 = """
    INSERT INTO rooms VALUES
        ('r1', 'abc-def-ghi', 'Weekly', 'alice', 1, 0, 3, 1, 0, '2026-03-03T10:00:00.000Z', NULL),
        ('r2', 'zzz-zzz-zzz', 'Over 😀', 'bob', 0, 1, 9, 0, 1, '2026-03-03T10:00:00.000Z', '2026-03-03T11:00:00.000Z');
    INSERT INTO participants VALUES
        ('r1', 'p1', NULL, 'Jane 😀', 'Jane 😀', 1, 0, '2026-03-03T10:00:01.000Z', NULL, NULL, 'hash-p1'),
        ('r1', 'p2', 'bob', NULL, 'Bob', 0, 1, '2026-03-03T10:00:01.000Z', NULL, '2026-03-03T10:30:00.000Z', 'hash-p2'),
        ('r2', 'p1', NULL, 'Jane 😀', 'Jane 😀', 0, 0, '2026-03-03T10:00:01.000Z',
         '2026-03-03T11:00:00.000Z', NULL, '');
"""
"""Two rooms: a live one with a connected and a held seat, and one that has ended, with a stay."""


@pytest.fixture
def config(tmp_path: Path) -> DatabaseConfig:
    return DatabaseConfig(path=str(tmp_path / "roomd.db"), busy_timeout=0.1)


@contextlib.asynccontextmanager
async def served(config: DatabaseConfig) -> AsyncIterator[Store]:
    """Open the database, and close it whatever comes: an open one would keep the process from ending."""
    store = await open_store(config)
    try:
        yield store
    finally:
        await store.close()


@pytest.fixture
async def real(config: DatabaseConfig) -> AsyncIterator[Store]:
    async with served(config) as store:
        yield store


@contextlib.contextmanager
def opened(config: DatabaseConfig) -> Iterator[sqlite3.Connection]:
    """Look into the file without a store."""
    with contextlib.closing(sqlite3.connect(config.path, isolation_level=None)) as db:
        yield db


def described(db: sqlite3.Connection) -> dict[tuple[str, str], str]:
    """Tables and indexes with their SQL, spaces and comments aside."""
    found = db.execute("SELECT type, name, coalesce(sql, '') FROM sqlite_schema").fetchall()
    return {(kind, name): " ".join(sql.split()) for kind, name, sql in found}


def content(db: sqlite3.Connection) -> list[tuple[object, ...]]:
    """What the tables of version 1 held."""
    return [row for table in ("rooms", "participants") for row in db.execute(f"SELECT * FROM {table}")]


async def test_a_database_of_version_1_is_led_to_the_newest(config: DatabaseConfig) -> None:
    """Rooms, seats and history are all there afterwards, with the start's holds and without state or queue."""
    with opened(config) as db:
        db.executescript(VERSION_1 + CONTENT_1)
    async with served(config) as store:
        jane, bob = (msgspec.structs.replace(person, is_active=False) for person in (JANE, BOB))
        held = [Seat(jane, "hash-p1", None, LATER), Seat(bob, "hash-p2", None, "2026-03-03T10:30:00.000Z")]
        assert await store.seats(LATER) == [Kept(ROOM, held, [], [])]
        ended = msgspec.structs.replace(
            ROOM, id="r2", code="zzz-zzz-zzz", name="Over 😀", host_id="bob", is_active=False, is_locked=True,
            max_participants=9, allow_guest_access=False, waiting_room=True, ended_at=LATER,
        )  # fmt: skip
        assert await store.load("zzz-zzz-zzz") == Kept(ended, (), [], [])
        assert await store.rooms_of(None, None, None, 10) == ([ended, ROOM], None)
        assert await store.history("r1", None, 10) == ([jane, bob], None)
        left = msgspec.structs.replace(jane, room_id="r2", left_at=LATER)
        assert await store.history("r2", None, 10) == ([left], None)
        said = Message(id="m1", participant_id="p2", display_name="Bob", text="Hi", sent_at=LATER, to=None)
        stateful = msgspec.structs.replace(BOB, state={"muted": True})
        ban = Ban(user_id="eve", display_name="Eve", reason=None, banned_at=LATER)
        await store.append([MessageSent("r1", said, "bob", None), UserBanned("r1", ban), seat(stateful)])
        assert await store.load(ROOM.code) == Kept(ROOM, (), [ban], [said])
        assert (await store.history("r1", "p1", 10))[0] == [stateful]
    with opened(config) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []


def test_schema_and_migrations_lead_to_the_same() -> None:
    """schema.sql and the migrations cannot drift apart: tables, columns in their order, checks and indexes."""
    ways = []
    for start in (schema(), VERSION_1):
        db = sqlite3.connect(":memory:", isolation_level=None)
        db.executescript(start)
        migrate(db, MIGRATIONS)
        columns = {name: db.execute(f"PRAGMA table_xinfo({name})").fetchall() for _, name in described(db)}
        version = db.execute("SELECT * FROM pragma_user_version, pragma_application_id").fetchone()
        ways.append((described(db), columns, version))
        db.close()
    assert ways[0] == ways[1]


async def test_a_migration_that_fails_leaves_the_version_before(config: DatabaseConfig) -> None:
    """A statement in its middle fails: not a column of it stays, and a later start leads on from there."""
    with opened(config) as db:
        db.executescript(VERSION_1 + CONTENT_1 + "CREATE TABLE bans (in_the_way TEXT);")
        before = described(db), content(db)
    with pytest.raises(StoreError, match="bans already exists"):
        await open_store(config)
    with opened(config) as db:
        assert (described(db), content(db)) == before
        assert db.execute("PRAGMA user_version").fetchone() == (1,)
        db.execute("DROP TABLE bans")
    async with served(config) as store:
        assert len(await store.seats(LATER)) == 1


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
    ("newer", "PRAGMA user_version = 99", "made by a newer roomd (schema 99, this one knows 2)"),
    ("newer by one", OURS + "PRAGMA user_version = 3", "made by a newer roomd (schema 3, this one knows 2)"),
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
READS: list[tuple[str, Callable[[Store], Awaitable[object]], list[list[str]]]] = [
    ("a room", lambda store: store.load(ROOM.code), [
        ["SEARCH rooms USING INDEX sqlite_autoindex_rooms_2 (code=?)"],
        ["SEARCH bans USING PRIMARY KEY (room_id=?)"],
        ["SEARCH messages USING INDEX public_messages (room_id=?)"],
    ]),
    ("the seats", lambda store: store.seats(LATER), [
        [SEATS],
        ["SEARCH rooms USING PRIMARY KEY (id=?)", "LIST SUBQUERY 1", SEATS],
        [SEATS, "USE TEMP B-TREE FOR ORDER BY"],
        ["SEARCH bans USING PRIMARY KEY (room_id=?)"],
        ["SEARCH messages USING INDEX public_messages (room_id=?)"],
    ]),
    ("history", lambda store: store.history("r1", None, 10),
        [["SEARCH participants USING PRIMARY KEY (room_id=? AND id>?)"]]),
    ("messages", lambda store: store.messages(Reader("r1", "p1", "bob"), "m1", 10),
        [["SEARCH messages USING PRIMARY KEY (room_id=? AND id>?)"]]),
    ("a host's rooms", lambda store: store.rooms_of("alice", None, "r2", 10),
        [["SEARCH rooms USING INDEX rooms_of_host (host_id=? AND id<?)"]]),
    ("a host's active rooms", lambda store: store.rooms_of("alice", True, "r2", 10),
        [["SEARCH rooms USING INDEX rooms_of_host_by_state (host_id=? AND is_active=? AND id<?)"]]),
    ("active rooms", lambda store: store.rooms_of(None, True, "r2", 10),
        [["SEARCH rooms USING INDEX rooms_by_state (is_active=? AND id<?)"]]),
    ("all rooms", lambda store: store.rooms_of(None, None, "r2", 10),
        [["SEARCH rooms USING PRIMARY KEY (id<?)"]]),
    ("all rooms from the newest", lambda store: store.rooms_of(None, None, None, 10),
        [["SCAN rooms"]]),  # in the order of its key, as far as the page goes: nothing is sorted
]  # fmt: skip


@pytest.mark.parametrize(("read", "plans"), [r[1:] for r in READS], ids=[r[0] for r in READS])
async def test_every_read_has_an_index(
    real: Store, config: DatabaseConfig, read: Callable[[Store], Awaitable[object]], plans: list[list[str]]
) -> None:
    """A read costs what it gives: not a whole history, nor the private messages between the last public ones."""
    await real.append([RoomChanged(ROOM), seat(JANE), seat(BOB)])
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
