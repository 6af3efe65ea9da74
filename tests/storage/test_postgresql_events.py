"""The event log in PostgreSQL, which readers read in the order of the commits, whoever commits beside them."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from roomd.config import DatabaseConfig
from roomd.engine.ports import LogBounds
from roomd.protocol.log_events import LoggedParticipantJoined
from roomd.rooms.changes import RoomChanged
from roomd.rooms.event_log import reference
from roomd.storage.postgresql.connection import Connection, Row
from roomd.storage.postgresql.events import Horizon, StoredEvents
from roomd.storage.postgresql.opening import open_store
from roomd.storage.postgresql.store import PostgresqlStore
from tests.support.postgresql import holding
from tests.support.stored import JANE, LATER, ROOM, numbers

LOG = (
    """INSERT INTO events SELECT n, 'r1', '{at}', 'x', '{{"id":"' || repeat('0', 24) || '","position":"' || """
    """repeat('0', 12) || lpad(to_hex(n), 12, '0') || '"}}' FROM nextval('event_positions') AS n"""
)


async def write(store: PostgresqlStore, count: int) -> None:
    events = [LoggedParticipantJoined(LATER, reference(ROOM), JANE) for _ in range(count)]
    await store.append(ROOM.id, [RoomChanged(ROOM)], events)


@pytest.fixture
async def store(url: str) -> AsyncIterator[PostgresqlStore]:
    opened = await open_store(DatabaseConfig(url=url))
    yield opened
    await opened.close()


async def test_the_log_is_read_in_the_order_of_the_commits(store: PostgresqlStore, other: Connection) -> None:
    """A reader does not pass a position below which a transaction is open, and is woken when it has ended."""
    log = StoredEvents(store)
    await write(store, 1)
    assert numbers(await log.read_events(0, 10)) == [1]
    woken = asyncio.Event()
    async with other.transaction():
        await other.execute(LOG.format(at=LATER))  # position 2
        await write(store, 1)  # position 3, committed before it
        store.on_events = woken.set
        part = await log.read_events(0, 10)
        assert (numbers(part), part.last) == ([1], 1)
        assert await log.bounds() == LogBounds(0, 1)
        async with asyncio.timeout(60):
            await woken.wait()
    assert numbers(await log.read_events(1, 10)) == [2, 3]


async def test_a_position_that_another_reader_has_passed(store: PostgresqlStore, other: Connection) -> None:
    """It was read elsewhere, so it is known here too, if not at once; one that was not given is not waited for."""
    log = StoredEvents(store)
    await write(store, 1)
    await log.bounds()
    async with other.transaction():
        await other.execute(LOG.format(at=LATER))  # position 2
        await write(store, 1)
        assert (await log.bounds(9)).last == 1
        asked = asyncio.create_task(log.bounds(3))
        await asyncio.wait([asked], timeout=0.1)
        assert not asked.done()
    async with asyncio.timeout(60):
        assert (await asked).last == 3


async def test_a_position_that_was_drawn_in_vain_holds_nobody_up(store: PostgresqlStore, other: Connection) -> None:
    """A transaction that fails leaves a gap."""
    log = StoredEvents(store)
    await write(store, 1)
    assert (await log.read_events(0, 10)).last == 1
    async with holding(other, LOG.format(at=LATER)):
        await write(store, 1)
        assert (await log.read_events(0, 10)).last == 1
    assert numbers(await log.read_events(0, 10)) == [1, 3]


async def test_other_transactions_do_not_hold_the_log_up(store: PostgresqlStore, other: Connection) -> None:
    """However long one runs that writes something else."""
    async with holding(other, "CREATE TABLE something (id integer)"):
        await write(store, 2)
        assert (await StoredEvents(store).read_events(0, 10)).last == 2


class Late(Connection):
    """A connection whose answers about open transactions come late."""

    def __init__(self, other: Connection) -> None:
        self._other = other
        self.has_asked = asyncio.Event()
        self.may_go_on = asyncio.Event()

    async def fetch(self, sql: str, *values: object) -> list[Row]:
        found = await self._other.fetch(sql, *values)
        if "pg_locks" in sql:
            self.has_asked.set()
            await self.may_go_on.wait()
        return found


async def test_an_answer_that_comes_late_moves_no_reader(store: PostgresqlStore, other: Connection) -> None:
    """What one reader saw before a transaction began says nothing of the position that another has found since."""
    horizon = Horizon()
    await write(store, 1)
    async with store.reading() as db, store.reading() as another:
        assert await horizon.find(db) == 1
        late = Late(another)
        first = asyncio.create_task(horizon.find(late))
        await late.has_asked.wait()
        async with other.transaction():
            await other.execute(LOG.format(at=LATER))  # position 2
            second = asyncio.create_task(horizon.find(db))
            await asyncio.wait([second], timeout=0.2)  # it need not wait for the first
            late.may_go_on.set()
            assert [await first, await second, await horizon.find(db)] == [1, 1, 1]
        assert await horizon.find(db) == 2
