"""Rows that are old, or belong to deleted rooms: what is found, how much at once, and what stays true of the rest."""

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path

import msgspec
import pytest

from roomd.config import DatabaseConfig
from roomd.engine import retention
from roomd.engine.retention import MOST_ROWS, OldMessages, OldRows
from roomd.rooms.changes import Change, MessagesDeleted, RoomChanged, RoomDeleted
from roomd.storage import deleting, upkeep, walking
from roomd.storage.checking import check
from roomd.storage.kinds import Storage
from roomd.storage.opening import open_store
from roomd.storage.postgresql import upkeep as upkeep_in_postgresql
from roomd.storage.postgresql import walking as walking_in_postgresql
from roomd.storage.sqlite import SqliteStore
from roomd.storage.upkeep import StoredRows
from tests.support.processes import PATIENCE
from tests.support.stored import BOB, JANE, LATER, OTHER, ROOM, InRoom, append, kept, lived_in, said, seat
from tests.support.stores import RealStore, query

EARLIER, AFTER = "2026-03-03T09:00:00.000Z", "2026-03-03T12:00:00.000Z"


@pytest.fixture
def store(storage: Storage) -> RealStore:
    assert isinstance(storage.store, RealStore)
    return storage.store


@pytest.fixture
def rows(storage: Storage) -> OldRows:
    return storage.old_rows


async def counts(store: RealStore) -> dict[str, int]:
    """Count the rows of every table that has rows of rooms."""
    found = {}
    for table in ("rooms", "participants", "messages", "bans"):
        ((found[table],),) = await query(store, f"SELECT count(*) FROM {table}")
    return found


async def test_deleted_rooms_are_purged_a_few_rows_at_a_time(store: RealStore, rows: OldRows) -> None:
    """Nothing is left, nothing of other rooms is gone, and it can be interrupted anywhere."""
    other = msgspec.structs.replace(BOB, room_id="r2")
    await append(store, [*lived_in(450), RoomChanged(OTHER), InRoom("r2", seat(other))])
    assert not await rows.purge()
    await append(store, [InRoom("r1", RoomDeleted(ROOM))])
    before, steps = await counts(store), 0
    while await rows.purge():
        after = await counts(store)
        assert 0 < sum(before.values()) - sum(after.values()) <= MOST_ROWS
        before, steps = after, steps + 1
    assert (before, steps) == ({"rooms": 1, "participants": 1, "messages": 0, "bans": 0}, 12)


async def test_old_rooms(store: RealStore, rows: OldRows) -> None:
    """Those that ended before the time, the first that ended first; none that is active, or deleted."""
    ends = {"a": LATER, "b": EARLIER, "c": AFTER, "d": None}
    for name, at in ends.items():
        room = msgspec.structs.replace(ROOM, id=name, code=name, is_active=at is None, ended_at=at)
        await append(store, [RoomChanged(room)])
    assert await rows.old_rooms(AFTER, 10) == ["b", "a"]
    assert await rows.old_rooms(AFTER, 1) == ["b"]
    await append(store, [InRoom("b", RoomDeleted(ROOM))])
    assert await rows.old_rooms(AFTER, 10) == ["a"]


async def all_old_messages(rows: OldRows, before: str) -> list[OldMessages]:
    """Find the oldest messages of all rooms, once for each room."""
    result: list[OldMessages] = []
    found, cursor = await rows.old_messages(before, None)
    while found is not None or cursor is not None:
        if found is not None:
            result.append(found)
        found, cursor = await rows.old_messages(before, f"{cursor}!" if found is not None else cursor)
    return result


@pytest.mark.parametrize("most", [1, 2, 2000])
async def test_old_messages(store: RealStore, rows: OldRows, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest of each room, in many rooms as in few, up to the first that is young enough."""
    for module in (deleting, upkeep_in_postgresql):
        monkeypatch.setattr(module, "MOST_LOOKED_AT", most)
        monkeypatch.setattr(module, "MOST_MESSAGES", 2)
    quiet = msgspec.structs.replace(ROOM, id="r0", code="r0")
    await append(store, [RoomChanged(quiet), RoomChanged(ROOM), RoomChanged(OTHER)])
    await append(store, [dated(1, EARLIER), dated(2, LATER), dated(3, AFTER), dated(4, EARLIER)])
    await append(store, [dated(5, EARLIER, "r2"), dated(6, LATER, "r2"), dated(7, LATER, "r2")])
    assert await all_old_messages(rows, EARLIER) == []
    assert await all_old_messages(rows, LATER) == [
        OldMessages(ROOM.code, "m000001", 10), OldMessages(OTHER.code, "m000005", 50),
    ]  # fmt: skip
    assert [one.through for one in await all_old_messages(rows, "2027")] == ["m000002", "m000006"]


@pytest.mark.parametrize(("most", "last"), [(0, "m000001"), (25, "m000003"), (1000, "m000005")])
async def test_long_messages(
    store: RealStore, rows: OldRows, most: int, last: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One transaction deletes fewer of them, but always one."""
    monkeypatch.setattr(retention, "MOST_BYTES", most)
    await append(store, [RoomChanged(ROOM), *(dated(number, EARLIER) for number in range(1, 6))])
    found, _ = await rows.old_messages(LATER, None)
    assert found == OldMessages(ROOM.code, last, int(last[1:]) * 10)


def dated(number: int, at: str, room: str = "r1") -> InRoom:
    """Return a message of a time."""
    change = said(number, by=("p1", None)).change
    message = msgspec.structs.replace(change.message, sent_at=at)
    return InRoom(room, msgspec.structs.replace(change, message=message, total_bytes=10 * number))


async def test_what_is_known_of_deleted_messages(store: RealStore) -> None:
    """A room that is loaded again goes on behind their ids, and counts on from their bytes: `roomd check` agrees."""
    await append(store, [RoomChanged(ROOM), seat(JANE), *(dated(number, LATER) for number in range(3))])
    await append(store, [InRoom("r1", MessagesDeleted("m000001", 10))])
    some = await kept(store)
    assert ([one.id for one in some.messages], some.message_bytes, some.deleted_bytes) == (["m000002"], 20, 10)
    await append(store, [InRoom("r1", MessagesDeleted("m000002", 20))])
    none = await kept(store)
    assert (none.messages, none.last_id, none.message_bytes, none.deleted_bytes) == ([], "p1", 20, 20)
    await append(store, [InRoom("r1", MessagesDeleted("z00", 20))])
    assert (await kept(store)).last_id == "z00"


@pytest.mark.parametrize("most", [1, 3, 2000])
async def test_old_stays(store: RealStore, rows: OldRows, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those who left before the time, in all rooms. Their messages stay, and new ids sort after theirs."""
    for module in (walking, walking_in_postgresql):
        monkeypatch.setattr(module, "MOST_LOOKED_AT", most)
        monkeypatch.setattr(module, "MOST_ROWS", 2)
    changes: list[Change | InRoom] = [RoomChanged(ROOM), RoomChanged(OTHER)]
    for room in ("r1", "r2"):
        for number in range(5):
            person = msgspec.structs.replace(JANE, room_id=room, id=f"p{number}")
            left = msgspec.structs.replace(person, is_active=False, left_at=LATER if number % 2 else AFTER)
            changes.append(seat(left, claim=None))
    await append(store, [*changes, dated(1, LATER), dated(2, LATER, "r2")])
    await all_stays_deleted(rows, LATER)
    assert await counts(store) == {"rooms": 2, "participants": 10, "messages": 2, "bans": 0}
    await all_stays_deleted(rows, AFTER)
    assert [person.id for person in (await store.history("r1", None, 10))[0]] == ["p0", "p2", "p4"]
    assert await counts(store) == {"rooms": 2, "participants": 6, "messages": 2, "bans": 0}
    assert (await kept(store)).last_id == "p4"


async def all_stays_deleted(rows: OldRows, before: str) -> None:
    steps, cursor = 0, await rows.delete_stays(before, None)
    while cursor is not None:
        cursor = await rows.delete_stays(before, cursor)
        steps += 1
        assert steps < 100


@pytest.fixture
async def freed(sqlite: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> SqliteStore:
    """A store whose file can give a hundred pages back: one page in each step."""
    monkeypatch.setattr(upkeep, "FREE_PAGES", 3)
    monkeypatch.setattr(upkeep, "FREEING", 0.0)
    await append(sqlite, [RoomChanged(ROOM), *(said(number, "x" * 2000) for number in range(200))])
    assert not await StoredRows(sqlite).shrink()
    await append(sqlite, [InRoom("r1", MessagesDeleted("m000199", 0))])
    return sqlite


async def test_the_file_shrinks(freed: SqliteStore, tmp_path: Path) -> None:
    """A little at once, until the file has no more free pages than it keeps for what comes."""
    before = first = await pages(freed)
    while await StoredRows(freed).shrink():
        after = await pages(freed)
        assert 1 <= before - after <= 2, "a page, and the page that says where it and its like belong"
        before = after
    assert first - before > 50
    assert await freed.read(upkeep._free_pages) == 3
    await freed.close()
    assert (tmp_path / "roomd.db").stat().st_size == before * 4096
    assert check(tmp_path / "roomd.db").problems == []


async def test_a_step_gives_back_what_it_can_in_its_time(freed: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it, where that takes no longer, in one transaction."""
    monkeypatch.setattr(upkeep, "FREEING", PATIENCE)
    assert await StoredRows(freed).shrink()
    assert await freed.read(upkeep._free_pages) == 3
    assert not await StoredRows(freed).shrink()


async def shrink(store: SqliteStore) -> None:
    while await StoredRows(store).shrink():
        pass


async def purge(store: SqliteStore) -> None:
    await append(store, [InRoom("r1", RoomDeleted(ROOM))])
    while await StoredRows(store).purge():
        pass


@pytest.mark.parametrize(
    ("work", "statement"),
    [(shrink, "PRAGMA incremental_vacuum"), (purge, "DELETE FROM messages")], ids=["shrink", "purge"],
)  # fmt: skip
async def test_an_append_waits_for_one_step(
    freed: SqliteStore, work: Callable[[SqliteStore], Coroutine[None, None, None]], statement: str
) -> None:
    """Who joins meanwhile is stored behind the step that waits for the database already, and before all others."""
    await append(freed, [RoomChanged(OTHER), *(said(number) for number in range(1000, 2000))])
    statements: list[str] = []
    gate, is_held = threading.Event(), threading.Event()

    def hold(_: sqlite3.Connection) -> None:
        is_held.set()
        gate.wait(PATIENCE)

    await freed.maintain(lambda db: db.set_trace_callback(statements.append))
    working = asyncio.create_task(work(freed))
    async with asyncio.timeout(PATIENCE):
        while not sum(one.startswith(statement) for one in statements):  # noqa: ASYNC110 - a thread makes it true
            await asyncio.sleep(0)
        held = asyncio.create_task(freed.maintain(hold))
        while not is_held.is_set():  # noqa: ASYNC110 - as above
            await asyncio.sleep(0)
        before = len(statements)
        other = msgspec.structs.replace(BOB, room_id="r2")
        joining = asyncio.create_task(append(freed, [InRoom("r2", seat(other))]))
        await asyncio.sleep(0)
        gate.set()
        await asyncio.gather(held, joining, working)
    joined = next(n for n, one in enumerate(statements) if n >= before and one.startswith("INSERT INTO participants"))
    waited = sum(one.startswith(statement) for one in statements[before:joined])
    assert waited <= 1, "the rest waits for the one who joins"
    assert sum(one.startswith(statement) for one in statements[joined:]) > 5


async def test_what_was_deleted_is_written_into_the_file_beside_others(tmp_path: Path) -> None:
    """So no commit of a join has to; and nobody waits for it, whoever reads or writes meanwhile."""
    path, copy = tmp_path / "roomd.db", tmp_path / "without-the-log.db"
    store = await open_store(DatabaseConfig(path=str(path), busy_timeout=10 * PATIENCE))
    rows = StoredRows(store)
    await append(store, [RoomChanged(ROOM), *(said(number) for number in range(200))])
    await append(store, [InRoom("r1", MessagesDeleted("m000199", 0))])
    await rows.checkpoint()
    copy.write_bytes(path.read_bytes())
    with contextlib.closing(sqlite3.connect(copy)) as db:
        assert db.execute("SELECT count(*) FROM messages").fetchone() == (0,)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        async with asyncio.timeout(PATIENCE):
            db.execute("BEGIN")
            db.execute("SELECT count(*) FROM rooms").fetchone()  # from now on it needs what the log has
            await append(store, [RoomChanged(OTHER)])
            await rows.checkpoint()
            db.execute("COMMIT")
            db.execute("BEGIN IMMEDIATE")
            await rows.checkpoint()
            db.execute("ROLLBACK")
    await store.close()
    assert check(path).problems == []


async def pages(sqlite: SqliteStore) -> int:
    (count,) = await sqlite.read(lambda db: db.execute("PRAGMA page_count").fetchone())
    return int(count)


@pytest.mark.parametrize("is_first", [True, False])
async def test_statistics_change_nothing_else(sqlite: SqliteStore, tmp_path: Path, is_first: bool) -> None:
    """`roomd check` knows the table in which SQLite keeps them, and the next start reads it."""
    people = (msgspec.structs.replace(JANE, id=f"p{n}", is_active=False, left_at=LATER) for n in range(50))
    await append(sqlite, [RoomChanged(ROOM), *(seat(person, claim=None) for person in people)])
    await sqlite.maintain(lambda db: db.execute("ANALYZE"))
    await StoredRows(sqlite).optimize(is_first=is_first)
    await sqlite.close()
    await (await open_store(DatabaseConfig(path=str(tmp_path / "roomd.db")))).close()
    assert check(tmp_path / "roomd.db").problems == []
