"""The store's contract, which the fake keeps as well, and what only a real file can show.

What belongs to a meeting stands in test_store_meeting.py, schema and migrations in test_store_schema.py.
"""

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from roomd.config import DatabaseConfig
from roomd.engine.ports import StorageFailed
from roomd.protocol.paging import PAGE_BYTES
from roomd.rooms.changes import RoomChanged, SeatChanged
from roomd.rooms.model import Seat, StoredRoom
from roomd.storage.errors import StoreError
from roomd.storage.migrations import SCHEMA_VERSION
from roomd.storage.opening import open_store
from roomd.storage.sqlite import SqliteStore
from roomd.storage.tickets import MOST_USED
from tests.support.stored import BOB, JANE, LATER, ROOM, append, seat
from tests.support.stores import AnyStore, RealStore

KEPT = StoredRoom(ROOM, (), [], [])


@pytest.fixture
def config(tmp_path: Path) -> DatabaseConfig:
    return DatabaseConfig(path=str(tmp_path / "new" / "roomd.db"), busy_timeout=0.1)


@pytest.fixture
async def sqlite(config: DatabaseConfig) -> AsyncIterator[SqliteStore]:
    opened = await open_store(config)
    yield opened
    await opened.close()


async def test_what_was_appended_is_read_back(store: AnyStore) -> None:
    """Rooms by their code, participants in the order they joined, field by field."""
    ended = msgspec.structs.replace(ROOM, is_active=False, is_locked=True, ended_at=LATER, name="Ünï")
    assert await store.load(ROOM.code) is None
    await append(store, [RoomChanged(ROOM), seat(BOB), seat(JANE)])
    assert await store.load(ROOM.code) == KEPT._replace(last_id="p2")
    left = msgspec.structs.replace(BOB, is_active=False, left_at=LATER)
    await append(store, [seat(left, claim=None), RoomChanged(ended)])
    assert await store.load(ROOM.code) == StoredRoom(ended, (), [], [], "p2")
    assert await store.history("r1", None, 10) == ([JANE, left], None)
    assert await store.history("r2", None, 10) == ([], None)


async def test_after_a_start_every_seat_is_held(store: AnyStore) -> None:
    """Section 5: held anew; a connected seat counts as dropped at the start, a held one keeps its drop."""
    other = msgspec.structs.replace(ROOM, id="r2", code="zzz-zzz-zzz")
    gone = msgspec.structs.replace(BOB, room_id="r2", id="p3", is_active=False, left_at=LATER)
    held = msgspec.structs.replace(BOB, is_active=False)
    await append(store, [RoomChanged(ROOM), RoomChanged(other), seat(JANE), seat(gone)])
    await append(store, [seat(held, claim=None, dropped_at="2026-03-03T10:30:00.000Z")])
    ((room, seats, _, _, last_id, *_),) = await store.hold_seats(LATER)
    assert (room, last_id) == (ROOM, "p2")
    assert seats == [
        Seat(msgspec.structs.replace(JANE, is_active=False), "hash-p1", None, LATER),
        Seat(held, "hash-p2", None, "2026-03-03T10:30:00.000Z"),
    ]
    assert (await store.history("r1", None, 1))[0] == [seats[0].participant]


async def test_what_proves_a_seat_is_kept(store: AnyStore) -> None:
    """Section 5: both resume tokens of a seat and of a place in a queue, and the rights that it carries."""
    proved = SeatChanged(Seat(BOB, "new", 1, previous_hash="old", is_admin=True, token_exp=1_772_534_100.5))
    waits = SeatChanged(Seat(JANE, "new", 2, waits_for="waiting_room", previous_hash="old"))
    await append(store, [RoomChanged(ROOM), proved, waits])
    ((_, seats, *_),) = await store.hold_seats(LATER)
    found = [(one.resume_hash, one.previous_hash, one.is_admin, one.token_exp) for one in seats]
    assert found == [("new", "old", False, None), ("new", "old", True, 1_772_534_100.5)]
    await append(store, [SeatChanged(msgspec.structs.replace(seats[1], previous_hash=None, is_admin=False))])
    ((_, seats, *_),) = await store.hold_seats(LATER)
    assert (seats[1].previous_hash, seats[1].is_admin) == (None, False)


async def test_what_a_token_says_is_kept(store: AnyStore) -> None:
    """Section 3: the role and the metadata of a seat, and that an admin is hidden, who is in no history."""
    cohost = msgspec.structs.replace(
        BOB, id="p3", user_id="dora", is_host=False, role="cohost", metadata={"k": ["é", {}]}
    )
    hidden = msgspec.structs.replace(BOB, id="p4", user_id="root", is_host=False, role="cohost", is_hidden=True)
    rights = [
        SeatChanged(Seat(BOB, "h", 1)),
        SeatChanged(Seat(cohost, "h", 2, is_cohost=True)),
        SeatChanged(Seat(hidden, "h", 3, is_admin=True)),
    ]
    await append(store, [RoomChanged(ROOM), *rights])
    ((_, seats, *_),) = await store.hold_seats(LATER)
    away = [msgspec.structs.replace(one, is_active=False) for one in (BOB, cohost, hidden)]
    assert [one.participant for one in seats] == away
    assert [(one.is_admin, one.is_cohost) for one in seats] == [(False, False), (False, True), (True, False)]
    assert (await store.history("r1", None, 10))[0] == away[:2]


async def test_pages(store: AnyStore) -> None:
    """Rooms newest first and filtered, history oldest first; the cursor leads through all of it once."""
    rooms = [
        msgspec.structs.replace(ROOM, id=f"r{n}", code=f"code-{n}", host_id="alice" if n % 2 else "bob",
                                is_active=n != 3)
        for n in range(6)
    ]  # fmt: skip
    people = [msgspec.structs.replace(JANE, id=f"p{n}", room_id="r0") for n in range(5)]
    await append(store, [*(RoomChanged(r) for r in rooms), *(seat(p) for p in people)])

    async def all_rooms(host: str | None, is_active: bool | None) -> list[list[str]]:
        pages, cursor = [], None
        while True:
            found, cursor = await store.rooms_of(host, is_active, cursor, 2)
            pages.append([room.id for room in found])
            if cursor is None:
                return pages

    assert await all_rooms(None, None) == [["r5", "r4"], ["r3", "r2"], ["r1", "r0"]]
    assert await all_rooms("alice", None) == [["r5", "r3"], ["r1"]]
    assert await all_rooms("alice", True) == [["r5", "r1"]]
    assert await all_rooms(None, False) == [["r3"]]
    assert await all_rooms("carol", None) == [[]]
    first, cursor = await store.history("r0", None, 3)
    rest, end = await store.history("r0", cursor, 3)
    assert ([*first, *rest], cursor, end) == (people, "p2", None)


async def test_pages_of_what_is_large(store: AnyStore) -> None:
    """Pages of rooms and people with large metadata are shorter, and the cursor leads through all of it once."""
    large = {"note": "x" * 4000}
    rooms = [msgspec.structs.replace(ROOM, id=f"r{n:03}", code=f"code-{n}", metadata=large) for n in range(150)]
    people = [msgspec.structs.replace(JANE, id=f"p{n:03}", room_id="r000", metadata=large) for n in range(150)]
    await append(store, [*(RoomChanged(room) for room in rooms), *(seat(person) for person in people)])

    async def pages_of(read: Callable[[str | None], Awaitable[tuple[Sequence[Any], str | None]]]) -> list[list[str]]:
        pages: list[list[str]] = []
        cursor: str | None = None
        while not pages or cursor is not None:
            found, cursor = await read(cursor)
            assert len(msgspec.json.encode(found)) <= PAGE_BYTES + len(found) + 1, "the commas and brackets"
            pages.append([one.id for one in found])
        return pages

    for pages, ids in (
        (await pages_of(lambda cursor: store.rooms_of(None, None, cursor, 200)), [room.id for room in rooms[::-1]]),
        (await pages_of(lambda cursor: store.history("r000", cursor, 200)), [person.id for person in people]),
    ):
        assert [one for page in pages for one in page] == ids
        assert len(pages) == 3


async def test_a_code_is_given_once(store: AnyStore) -> None:
    """Two rooms never share a code; the append that would make it so changes nothing."""
    await append(store, [RoomChanged(ROOM)])
    with pytest.raises(StorageFailed):
        await append(store, [RoomChanged(msgspec.structs.replace(ROOM, id="r2", name="thief"))])
    assert await store.load(ROOM.code) == KEPT


async def test_appends_that_gather_share_a_transaction(sqlite: SqliteStore) -> None:
    """Group commit: what arrives while one transaction runs makes the next one, whole and in order."""
    await append(sqlite, [RoomChanged(ROOM)])
    statements: list[str] = []
    await sqlite._writer.set_trace_callback(statements.append)
    people = [msgspec.structs.replace(JANE, id=f"p{n:03}") for n in range(100)]
    await asyncio.gather(*(append(sqlite, [seat(p)]) for p in people))
    assert statements.count("COMMIT") <= 2
    assert (await sqlite.history("r1", None, 200))[0] == people


@pytest.mark.parametrize("count", [1, 2, 3, 63, 64, 65, 200])
async def test_any_number_of_rows_is_written_in_order(real: RealStore, count: int) -> None:
    """However many rows share a statement, the last word about a participant counts."""
    await append(real, [RoomChanged(ROOM)])
    people = [msgspec.structs.replace(JANE, id=f"p{n:03}") for n in range(count)]
    left = [msgspec.structs.replace(p, is_active=False, left_at=LATER) for p in people]
    await append(real, [event for pair in zip(people, left, strict=True) for event in map(seat, pair)])
    assert (await real.history("r1", None, 1000))[0] == left


async def test_a_broken_append_fails_alone(sqlite: SqliteStore) -> None:
    """One room's append that breaks a constraint costs its neighbours in the transaction nothing."""
    await append(sqlite, [RoomChanged(ROOM)])
    orphan = msgspec.structs.replace(JANE, room_id="no such room")
    results = await asyncio.gather(
        append(sqlite, [seat(msgspec.structs.replace(JANE, id="p8"))]),  # a transaction of its own
        append(sqlite, [seat(JANE)]),
        sqlite.append("r1", [seat(orphan), seat(msgspec.structs.replace(JANE, id="p7"))]),
        append(sqlite, [seat(BOB)]),
        return_exceptions=True,
    )
    assert [result is None for result in results] == [True, True, False, True]
    assert isinstance(results[2], StorageFailed)
    assert [p.id for p in (await sqlite.history("r1", None, 10))[0]] == ["p1", "p2", "p8"]


async def test_the_database_itself_refuses_a_second_seat(real: RealStore) -> None:
    """One seat per user and room is a constraint of the schema as well."""
    await append(real, [RoomChanged(ROOM), seat(BOB)])
    with pytest.raises(StorageFailed):
        await append(real, [seat(msgspec.structs.replace(BOB, id="p9"))])


async def test_locked_storage_fails_and_recovers(sqlite: SqliteStore, config: DatabaseConfig) -> None:
    """Another program holds the lock: StorageFailed after `busy_timeout`, nothing changed, and it goes on after."""
    await append(sqlite, [RoomChanged(ROOM)])
    with contextlib.closing(sqlite3.connect(config.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageFailed):
            await append(sqlite, [seat(JANE)])
        assert await sqlite.load(ROOM.code) == KEPT
        other.execute("ROLLBACK")
    assert await sqlite.history("r1", None, 10) == ([], None)
    await append(sqlite, [seat(JANE)])
    assert await sqlite.history("r1", None, 10) == ([JANE], None)


async def test_a_failure_is_known_until_a_commit_succeeds(sqlite: SqliteStore, config: DatabaseConfig) -> None:
    """Whoever asks has the store try again, at most once a second, though nobody else commits anything."""
    assert not sqlite.is_failing()
    with contextlib.closing(sqlite3.connect(config.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageFailed):
            await append(sqlite, [RoomChanged(ROOM)])
        assert await sqlite.history("r1", None, 10) == ([], None)  # reading works, and changes nothing
        assert sqlite.is_failing()
        other.execute("ROLLBACK")
    async with asyncio.timeout(60):
        while sqlite.is_failing():  # noqa: ASYNC110 - to ask is what brings it about
            await asyncio.sleep(0.02)
    await append(sqlite, [RoomChanged(ROOM)])


async def test_both_threads_answer(sqlite: SqliteStore) -> None:
    """While one thread of the database hangs, there is no answer."""
    for worker in (sqlite._writer, sqlite._reader):
        await sqlite.answers()
        gate = threading.Event()
        hanging = asyncio.create_task(worker.run(lambda _, gate=gate: gate.wait(60)))  # type: ignore[misc]
        answers = asyncio.create_task(sqlite.answers())
        other = sqlite._reader if worker is sqlite._writer else sqlite._writer
        for _ in range(3):
            await other.run(lambda _: None)
        assert not answers.done()
        gate.set()
        await asyncio.gather(hanging, answers)


async def test_full_disk_fails_and_recovers(sqlite: SqliteStore) -> None:
    """No room for another page: StorageFailed, nothing half done, and it goes on once there is room."""
    await append(sqlite, [RoomChanged(ROOM)])
    (pages,) = (await sqlite._writer.execute_fetchall("PRAGMA page_count"))[0]  # type: ignore[index]
    await sqlite._writer.execute_fetchall(f"PRAGMA max_page_count = {pages}")
    people = [msgspec.structs.replace(JANE, id=f"p{n:04}", display_name="x" * 100) for n in range(500)]
    with pytest.raises(StorageFailed):
        await append(sqlite, [seat(p) for p in people])
    assert await sqlite.history("r1", None, 10) == ([], None)
    await sqlite._writer.execute_fetchall("PRAGMA max_page_count = 1000000")
    await append(sqlite, [seat(p) for p in people])
    assert len((await sqlite.history("r1", None, 1000))[0]) == 500


async def test_what_cannot_be_written_at_all_fails(real: RealStore) -> None:
    """Whatever goes wrong, who waits hears of it."""
    with pytest.raises((UnicodeEncodeError, StorageFailed)):
        await append(real, [RoomChanged(msgspec.structs.replace(ROOM, name="\ud800"))])
    await append(real, [RoomChanged(ROOM)])


async def test_an_append_whose_turn_was_cancelled(real: RealStore) -> None:
    """Cancelling who waits cancels no transaction."""
    waiting = asyncio.create_task(real.append("r1", [RoomChanged(ROOM)]))
    failing = asyncio.create_task(real.append("r2", [RoomChanged(msgspec.structs.replace(ROOM, id="r2"))]))
    await asyncio.sleep(0)
    waiting.cancel()
    failing.cancel()
    await asyncio.gather(waiting, failing, return_exceptions=True)
    await append(real, [seat(JANE)])
    assert await real.load(ROOM.code) == KEPT._replace(last_id="p1")


async def test_settings_of_the_database(sqlite: SqliteStore, config: DatabaseConfig) -> None:
    """WAL, FULL and foreign keys on the writer; a reader that cannot write."""

    async def pragma(connection: Any, name: str) -> Any:
        return (await connection.execute_fetchall(f"PRAGMA {name}"))[0][0]

    assert await pragma(sqlite._writer, "journal_mode") == "wal"
    assert await pragma(sqlite._writer, "synchronous") == 2
    assert await pragma(sqlite._writer, "foreign_keys") == 1
    assert await pragma(sqlite._reader, "query_only") == 1
    assert await pragma(sqlite._writer, "user_version") == SCHEMA_VERSION


async def test_one_daemon_at_a_time(sqlite: SqliteStore, config: DatabaseConfig) -> None:
    """A second daemon on the same database is refused with a clear message, and may start after the first."""
    with pytest.raises(StoreError, match="another roomd is serving this database"):
        await open_store(config)
    await sqlite.close()
    await sqlite.close()
    await (await open_store(config)).close()


async def test_reopening_keeps_everything(config: DatabaseConfig) -> None:
    """A database that is up to date is left as it is."""
    first = await open_store(config)
    await append(first, [RoomChanged(ROOM)])
    await first.close()
    second = await open_store(config)
    assert await second.load(ROOM.code) == KEPT
    await second.close()


async def test_files_that_cannot_be_opened(tmp_path: Path) -> None:
    """No database, no folder, no file: each names the path."""
    (tmp_path / "text.db").write_text("this is not a database, whatever its name says " * 20)
    (tmp_path / "folder.db").mkdir()
    for path in (tmp_path / "text.db", tmp_path / "folder.db", tmp_path / "text.db" / "below.db"):
        with pytest.raises(StoreError, match=str(path)):
            await open_store(DatabaseConfig(path=str(path)))


async def test_a_ticket_is_used_once(store: AnyStore) -> None:
    """It is known until it is not valid any more, and then forgotten."""
    assert await store.use_ticket("t1", 100.0, 50.0)
    assert not await store.use_ticket("t1", 100.0, 100.0)
    assert await store.use_ticket("t2", 100.0, 100.0)
    assert await store.use_ticket("t1", 200.0, 101.0)


async def test_the_tickets_that_are_known_are_bounded(sqlite: SqliteStore) -> None:
    """When too many are known, none is accepted until some are forgotten."""
    rows = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) SELECT i, 100.0 FROM n"
    await sqlite._writer.execute(f"INSERT INTO used_tickets {rows}", (MOST_USED,))
    with pytest.raises(StorageFailed):
        await sqlite.use_ticket("t1", 200.0, 100.0)
    assert await sqlite.use_ticket("t1", 200.0, 101.0)
