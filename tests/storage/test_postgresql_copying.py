"""A database that is copied to PostgreSQL and back, checked there, and exported from there."""

import itertools
from pathlib import Path

import msgspec
import pytest

from roomd.config import DatabaseConfig
from roomd.protocol.log_events import LoggedParticipantJoined
from roomd.rooms.changes import RoomChanged
from roomd.rooms.event_log import reference
from roomd.storage.checking import check
from roomd.storage.errors import StoreBusy, StoreError
from roomd.storage.exporting import export_room, export_user
from roomd.storage.opening import locked
from roomd.storage.postgresql import inspecting
from roomd.storage.postgresql.connection import Row
from roomd.storage.postgresql.copying import to_postgresql, to_sqlite
from roomd.storage.postgresql.tables import TABLES, read_sqlite
from tests.support.databases import opened
from tests.support.postgresql import Server
from tests.support.stored import JANE, LATER, ROOM, numbers
from tests.support.stores import opened as opened_storage


@pytest.fixture
def source(database: Path) -> Path:
    """A database as a daemon left it, with texts that PostgreSQL cannot store as they are."""
    with opened(database) as db:
        odd = "\0 \x1b \x1b0 \x1b1 \\ \U0001f600"
        db.execute("UPDATE messages SET text = text || ?", (odd,))
        db.execute("UPDATE bans SET reason = ?", (odd,))
    return database


def rows(file: Path) -> dict[str, list[Row]]:
    with opened(file) as db:
        found = {one.name: list(itertools.chain.from_iterable(read_sqlite(db, one))) for one in TABLES}
        found["sqlite_sequence"] = db.execute("SELECT * FROM sqlite_sequence").fetchall()
    return found


async def test_a_database_goes_to_postgresql_and_back(source: Path, url: str, tmp_path: Path) -> None:
    """Every row and every column is the same, and the counts say how many there are."""
    before = rows(source)
    counts = await to_postgresql(source, url)
    assert counts == {name: len(found) for name, found in before.items() if name != "sqlite_sequence"}
    assert min(counts[name] for name in ("rooms", "participants", "messages", "bans", "events")) > 0
    back = tmp_path / "new" / "back.db"
    assert await to_sqlite(url, back) == counts
    assert rows(back) == before
    assert check(back).problems == []
    assert back.stat().st_mode & 0o777 == 0o600


async def test_the_event_log_goes_on_where_it_was(source: Path, url: str) -> None:
    """Readers and webhooks keep their positions: the log has the same id, and the next number follows."""
    with opened(source) as db:
        ((last, log_id),) = db.execute("SELECT max(position), (SELECT lower(hex(id)) FROM event_log) FROM events")
    await to_postgresql(source, url)
    async with opened_storage(DatabaseConfig(url=url)) as (store, events, *_):
        assert await events.log_id() == log_id
        joined = LoggedParticipantJoined(LATER, reference(ROOM), JANE)
        await store.append(ROOM.id, [RoomChanged(msgspec.structs.replace(ROOM, code="new-new-new"))], [joined])
        assert numbers(await events.read_events(last, 10)) == [last + 1]


async def test_an_empty_database_is_copied(url: str, tmp_path: Path) -> None:
    """Its log begins with the first number."""
    file = tmp_path / "roomd.db"
    async with opened_storage(DatabaseConfig(path=str(file))):
        pass
    await to_postgresql(file, url)
    async with opened_storage(DatabaseConfig(url=url)) as (store, events, *_):
        await store.append(ROOM.id, [RoomChanged(ROOM)], [LoggedParticipantJoined(LATER, reference(ROOM), JANE)])
        assert numbers(await events.read_events(0, 10)) == [1]


async def test_a_copy_that_fails_leaves_nothing_and_can_be_made_again(
    source: Path, url: str, postgresql: Server
) -> None:
    """Whatever refuses a row in the middle: the target is empty, and the next copy is whole."""
    database = name_of(url)
    async with opened_storage(DatabaseConfig(url=url)):
        pass
    postgresql.run_sql("ALTER TABLE bans ADD CONSTRAINT never CHECK (false)", database)
    with pytest.raises(StoreError, match="never"):
        await to_postgresql(source, url)
    assert postgresql.run_sql("SELECT count(*) FROM rooms", database) == "0"
    postgresql.run_sql("ALTER TABLE bans DROP CONSTRAINT never", database)
    await to_postgresql(source, url)
    assert postgresql.run_sql("SELECT count(*) FROM rooms", database) != "0"


async def test_a_row_that_is_not_the_same_is_found(source: Path, url: str, postgresql: Server) -> None:
    """The copy is compared with its source before it is kept."""
    database = name_of(url)
    async with opened_storage(DatabaseConfig(url=url)):
        pass
    postgresql.run_sql(
        "CREATE FUNCTION other() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.text = NEW.text || ''!''; RETURN NEW; "
        "END'; CREATE TRIGGER other BEFORE INSERT ON messages FOR EACH ROW EXECUTE FUNCTION other()",
        database,
    )
    with pytest.raises(StoreError, match="a row of messages was not copied as it is"):
        await to_postgresql(source, url)
    assert postgresql.run_sql("SELECT count(*) FROM messages", database) == "0"


async def test_what_is_there_is_not_replaced(source: Path, url: str) -> None:
    """A target with rooms is refused, and a file that exists."""
    await to_postgresql(source, url)
    with pytest.raises(StoreError, match="has rooms or events already"):
        await to_postgresql(source, url)
    with pytest.raises(StoreError, match="exists already"):
        await to_sqlite(url, source)


async def test_a_database_that_is_served_is_not_copied(source: Path, url: str, tmp_path: Path) -> None:
    """A daemon has either locked."""
    async with opened_storage(DatabaseConfig(url=url)):
        with pytest.raises(StoreBusy, match="a roomd is serving this database"):
            await to_sqlite(url, tmp_path / "back.db")
        with pytest.raises(StoreBusy, match="a roomd is serving this database"):
            await to_postgresql(source, url)
    async with opened_storage(DatabaseConfig(path=str(source))):
        with pytest.raises(StoreBusy, match="another roomd is serving"), locked(source):
            pass
    assert list(tmp_path.glob("back*")) == []


def name_of(url: str) -> str:
    return url.partition("?")[0].rpartition("/")[2]


@pytest.fixture
async def copied(source: Path, url: str) -> str:
    await to_postgresql(source, url)
    return url


def test_the_database_is_checked_by_the_same_rules(copied: str, postgresql: Server) -> None:
    """What SQLite's foreign keys refuse is found, and what breaks a rule of a room."""
    assert inspecting.check(copied).problems == []
    database = name_of(copied)
    postgresql.run_sql("UPDATE messages SET room_id = 'none' WHERE id = (SELECT min(id) FROM messages)", database)
    postgresql.run_sql(
        "UPDATE participants SET left_at = '2000-01-01T00:00:00.000Z' WHERE left_at IS NOT NULL", database
    )
    found = [one.problem for one in inspecting.check(copied).problems]
    assert "a row of messages names a missing row of rooms" in found
    postgresql.run_sql("DELETE FROM messages WHERE room_id = 'none'", database)
    assert "left before joining" in [one.problem for one in inspecting.check(copied).problems]


def test_missing_parts_of_the_schema_are_found(copied: str, postgresql: Server) -> None:
    """The constraints that keep what the rooms rely on are there."""
    postgresql.run_sql("DROP INDEX seats", name_of(copied))
    assert [one.problem for one in inspecting.check(copied).problems] == ["the index seats is missing"]


def test_a_database_of_nobody(url: str) -> None:
    """It is named, without user and parameters."""
    with pytest.raises(StoreError, match=r"^postgresql:///[^@?]+/roomd-pg-\w+/roomd_\d+: is no database of roomd"):
        inspecting.check(url)


def test_exports_are_the_same(copied: str, source: Path) -> None:
    """Of a user everything, of a room who was there; and only the rows that are needed are copied."""
    with opened(source) as db:
        codes = [code for (code,) in db.execute("SELECT code FROM rooms")]
    for user in ("alice", "bob", "eve", "nobody"):
        with inspecting.copied(copied, inspecting.of_user(user)) as file:
            assert export_user(file, user) == export_user(source, user)
    assert export_user(source, "alice").messages
    for code in codes:
        with inspecting.copied(copied, inspecting.of_room(code)) as file:
            assert export_room(file, code) == export_room(source, code)
            assert len(rows(file)["rooms"]) == 1
            assert rows(file)["messages"] == []
