"""What a node does when its connections to PostgreSQL are lost, in silence or not: session, beats, and claims."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

import pytest

from roomd.cluster.ports import Claimed, Fence, Node
from roomd.config import DatabaseConfig
from roomd.engine.moving import RoomLost
from roomd.engine.ports import StorageFailed
from roomd.rooms.changes import RoomChanged
from roomd.storage.kinds import open_storage
from roomd.storage.postgresql.connection import MOST_READERS, Connection
from roomd.storage.postgresql.migrations import LOCK
from roomd.storage.postgresql.node_opening import NodeStorage, open_node_storage
from tests.support.cluster.faults.wires import Wire
from tests.support.postgresql import SOCKET, Server
from tests.support.processes import PATIENCE
from tests.support.rooms import new_room

A = TypeVar("A")

LONG = 1000.0
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
SHARES = (
    f"SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = {LOCK} AND mode = 'ShareLock' AND granted"
)
END_SESSIONS = f"SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND objid = {LOCK}"


async def again(ask: Callable[[], Awaitable[A]]) -> A:
    """Ask until storage answers, as each beat does."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                return await ask()
            except StorageFailed:
                await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def node(url: str, name: str) -> AsyncIterator[tuple[NodeStorage, Node]]:
    """A node with a lease, and its database."""
    storage = await open_node_storage(DatabaseConfig(url=url))
    try:
        yield storage, await storage.owners.register(name, "", LONG)
    finally:
        await storage.close()


async def test_a_session_that_is_lost_shares_the_lock_again(postgresql: Server) -> None:
    """Otherwise a daemon that has all rooms could start beside the nodes."""
    url = postgresql.create()
    async with node(url, "ann") as (ann, ann_node), node(url, "bob") as (bob, bob_node):
        assert postgresql.run_sql(SHARES, url) == "2"
        postgresql.run_sql(END_SESSIONS, url)
        await again(lambda: ann.owners.beat(ann_node, LONG))
        await again(lambda: bob.owners.beat(bob_node, LONG))
        assert postgresql.run_sql(SHARES, url) == "2"


async def test_a_node_without_the_lock_has_no_lease(postgresql: Server) -> None:
    """A daemon that has started meanwhile has the database for itself; when it is gone, the node beats again."""
    url = postgresql.create()
    async with node(url, "ann") as (ann, ann_node):
        postgresql.run_sql(END_SESSIONS, url)
        single = await open_storage(DatabaseConfig(url=url))
        with pytest.raises(StorageFailed):
            await ann.owners.beat(ann_node, LONG)
        await single.store.close()
        await again(lambda: ann.owners.beat(ann_node, LONG))
        assert postgresql.run_sql(SHARES, url) == "1"


async def test_a_node_of_an_older_version_has_no_lease(postgresql: Server) -> None:
    """The tables were migrated while its session was lost."""
    url = postgresql.create()
    async with node(url, "ann") as (ann, ann_node):
        postgresql.run_sql("UPDATE roomd_schema SET version = version + 1", url)
        await ann.owners.beat(ann_node, LONG)
        postgresql.run_sql(END_SESSIONS, url)
        for _ in range(2):
            with pytest.raises(StorageFailed):
                await ann.owners.beat(ann_node, LONG)
        assert postgresql.run_sql(SHARES, url) == "0"


async def test_beats_and_claims_wait_behind_nobody(postgresql: Server) -> None:
    """The machine of the server is gone without a word: connections to it stay open, and have no answer. Readers wait
    for half a minute; beats and claims find the next server within their own time."""
    url, wire = postgresql.create(), Wire(postgresql.folder / SOCKET)
    async with wire.serve():
        name = url.partition("@/")[2].partition("?")[0]
        proxied = f"postgresql://{postgresql.user}@127.0.0.1:{wire.port}/{name}?sslmode=disable"
        async with node(proxied, "ann") as (ann, ann_node):
            view = new_room().view()
            await ann.rooms.append(Fence(ann_node, 0), view.id, [RoomChanged(view)])
            await asyncio.gather(*(ann.owners.find(view.code) for _ in range(MOST_READERS)))
            await ann.owners.beat(ann_node, LONG)
            await asyncio.gather(*(ann.database.fetch("SELECT 1") for _ in range(MOST_READERS)))
            for link in wire.links:  # and not those that come
                link.flowing.clear()
            readers = [asyncio.ensure_future(ann.database.fetch("SELECT 1")) for _ in range(MOST_READERS + 1)]
            assert ann_node in await again(lambda: ann.owners.beat(ann_node, LONG))
            assert isinstance(await again(lambda: ann.owners.claim(view.code, ann_node)), Claimed)
            assert await again(lambda: ann.rooms.load_with_seats(view.id)) is not None
            assert not any(reader.done() for reader in readers)
            for reader in readers:
                reader.cancel()
            await asyncio.gather(*readers, return_exceptions=True)


async def test_a_node_that_is_frozen_in_a_commit(postgresql: Server, caplog: pytest.LogCaptureFixture) -> None:
    """Its transaction is open, and has locked the room. The server ends it, and another node gets the room."""
    url = postgresql.create()
    async with node(url, "ann") as (ann, ann_node), node(url, "bob") as (bob, bob_node):
        view, goes_on, is_open = new_room().view(), asyncio.Event(), asyncio.Event()
        await ann.rooms.append(Fence(ann_node, 0), view.id, [RoomChanged(view)])
        await ann.owners.release(ann_node, [view.id])

        async def freeze(db: Connection) -> set[str]:
            async with db.transaction():
                await db.execute("UPDATE owners SET version = version + 1")
                is_open.set()
                await goes_on.wait()
            return set()

        committing = asyncio.ensure_future(ann.rooms._run(freeze))
        await is_open.wait()
        assert isinstance(await again(lambda: bob.owners.claim(view.code, bob_node)), Claimed)
        goes_on.set()
        with pytest.raises(RoomLost):
            await committing
        assert "the server does not answer a commit" not in caplog.text, "a frozen node would not look"


async def test_beats_wait_for_no_standby(postgresql: Server) -> None:
    """While no standby acknowledges, nothing is changed, and the nodes keep their rooms: also in a later session."""
    url = postgresql.create()
    postgresql.run_sql(f"ALTER DATABASE {url.partition('@/')[2].partition('?')[0]} SET synchronous_commit = 'on'")
    async with node(url, "ann") as (ann, ann_node):
        try:
            _wait_for_standby(postgresql, "'*'")
            view = new_room().view()
            stored = asyncio.ensure_future(ann.rooms.append(Fence(ann_node, 0), view.id, [RoomChanged(view)]))
            async with asyncio.timeout(PATIENCE):
                while postgresql.run_sql(WAITING) != "1":  # noqa: ASYNC110 - the server tells nobody
                    await asyncio.sleep(0.05)
            await ann.owners.beat(ann_node, LONG)
            postgresql.run_sql(END_SESSIONS, url)
            await again(lambda: ann.owners.beat(ann_node, LONG))
            assert not stored.done()
        finally:
            _wait_for_standby(postgresql, "''")
        await stored


def _wait_for_standby(postgresql: Server, names: str) -> None:
    """Have commits wait for these standbys, which do not exist; for an empty text for none."""
    postgresql.run_sql(f"ALTER SYSTEM SET synchronous_standby_names = {names}")
    postgresql.run_sql("SELECT pg_reload_conf()")
