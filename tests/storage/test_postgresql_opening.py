"""Opening a database in PostgreSQL: which ones can be used, and what an older one becomes."""

import pytest

from roomd.config import DatabaseConfig
from roomd.rooms.changes import RoomChanged
from roomd.storage.errors import StoreBusy, StoreError
from roomd.storage.postgresql.connection import Connection
from roomd.storage.postgresql.opening import open_store
from tests.support.postgresql import Server
from tests.support.stored import OTHER, ROOM, append, kept


async def test_databases_that_cannot_be_used(postgresql: Server, url: str) -> None:
    """Each is named with the reason, and whether trying again may help."""
    wrong = {
        postgresql.url("missing"): (StoreError, "does not exist"),
        "postgresql:///x?host=/nowhere": (StoreBusy, "cannot be opened"),
        f"{url}&sslmode=nonsense": (StoreError, "database.url: "),
    }
    for one, (kind, text) in wrong.items():
        with pytest.raises(StoreError, match=text) as caught:
            await open_store(DatabaseConfig(url=one))
        assert type(caught.value) is kind
    postgresql.run_sql("CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'")
    with pytest.raises(StoreError, match="has the encoding LATIN1"):
        await open_store(DatabaseConfig(url=postgresql.url("latin")))


async def test_a_database_of_another_program_or_of_a_newer_roomd(other: Connection, url: str) -> None:
    """Neither is changed."""
    await other.execute("CREATE TABLE rooms (id integer)")
    with pytest.raises(StoreError, match="has tables of another program"):
        await open_store(DatabaseConfig(url=url))
    await other.execute("DROP TABLE rooms")
    await (await open_store(DatabaseConfig(url=url))).close()
    await other.execute("UPDATE roomd_schema SET version = 99")
    with pytest.raises(StoreError, match="made by a newer roomd"):
        await open_store(DatabaseConfig(url=url))


async def test_reopening_keeps_everything(url: str) -> None:
    """A start takes over what the daemon before has stored."""
    first = await open_store(DatabaseConfig(url=url))
    await append(first, [RoomChanged(ROOM), RoomChanged(OTHER)])
    secret = await first.address_secret()
    await first.close()
    second = await open_store(DatabaseConfig(url=url))
    assert (await kept(second)).view == ROOM
    assert await second.address_secret() == secret
    assert len(secret) == 32
    assert await second.last_room_id() == "r2"
    await second.close()


COLUMNS = """
    SELECT table_name, column_name, data_type, column_default, is_nullable FROM information_schema.columns
    WHERE table_schema = 'public' ORDER BY table_name, column_name
"""
TO_VERSION_1 = """
    ALTER TABLE nodes DROP COLUMN is_leaving;
    DROP TABLE duties;
    UPDATE roomd_schema SET version = 1;
"""


async def test_a_database_of_the_first_version(other: Connection, url: str) -> None:
    """It is brought to this version, and keeps its rooms."""
    first = await open_store(DatabaseConfig(url=url))
    await append(first, [RoomChanged(ROOM)])
    await first.close()
    expected = await other.fetch(COLUMNS)
    await other.script(TO_VERSION_1)
    second = await open_store(DatabaseConfig(url=url))
    assert (await kept(second)).view == ROOM
    await second.close()
    assert await other.fetch(COLUMNS) == expected
