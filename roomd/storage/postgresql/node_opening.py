"""Open a database in PostgreSQL for one node of a cluster.

A daemon that has all rooms holds an advisory lock alone; the nodes of a cluster share it. So neither starts beside the
other. The first node creates or migrates the tables, while it has the lock alone.

The session that shares the lock renews the lease, too. When it is lost, the next one shares the lock again before it
renews anything: a node without the lock has no lease either.
"""

import asyncio
import logging
import time

from roomd.config import DatabaseConfig, database_name
from roomd.counters import Counters
from roomd.engine.ports import StorageFailed
from roomd.storage.errors import StoreBusy, StoreError
from roomd.storage.postgresql.connection import Connection, DatabaseError, Readers, connect
from roomd.storage.postgresql.migrations import LOCK, SCHEMA_VERSION, check_version, is_empty, migrate, try_lock
from roomd.storage.postgresql.node_store import NodeStore
from roomd.storage.postgresql.nodes import StoredOwners
from roomd.storage.postgresql.opening import not_opened
from roomd.storage.postgresql.own_connection import OwnConnection
from roomd.storage.postgresql.store import PostgresqlStore
from roomd.storage.postgresql.writer import Writer

log = logging.getLogger("roomd.storage.postgresql.node_opening")

PATIENCE = 5.0
"""The seconds that a node waits while another one creates or migrates the tables."""
LOOK_AGAIN = 0.1
LONGEST_CLAIM = 3.0
"""The seconds that a statement may take for which a room waits: as long as a lease."""

_SHARE = "SELECT pg_try_advisory_lock_shared($1)"
_REPLACE_SINGLE = "UPDATE fence SET generation = generation + 1, version = version + 1"


class NodeStorage:
    """The database of a node: `database` reads, `rooms` stores, `owners` has the nodes. Closing it closes all of it.

    `claimers` are the connections for claims, `session` is the one that shares the lock.
    """

    def __init__(
        self,
        session: OwnConnection,
        claimers: Readers,
        database: PostgresqlStore,
        rooms: NodeStore,
    ) -> None:
        self._session = session
        self._claimers = claimers
        self.database = database
        self.rooms = rooms
        self.owners = StoredOwners(database, claimers, session)

    async def close(self) -> None:
        """Finish the waiting appends, and close the connections. Closing twice is fine."""
        await self.rooms.close()
        await self._claimers.close()
        await self.database.close()
        await self._session.close()


async def open_node_storage(config: DatabaseConfig, counters: Counters | None = None) -> NodeStorage:
    """Open the database for a node. Create its tables when they are missing, and migrate them when old.

    The caller must close it. Raises `StoreError`; `StoreBusy` when trying again later may help.
    """
    url, name, is_durable = config.url or "", database_name(config), config.synchronous == "FULL"
    try:
        session = await connect(url, is_durable=is_durable)
        try:
            await _lock(session, name)
            await session.execute(_REPLACE_SINGLE)
            await _answer_alone(session, is_durable=is_durable)
        except BaseException:
            session.terminate()
            raise
    except DatabaseError as exc:
        raise not_opened(name, exc) from None
    except ValueError as exc:
        raise StoreError(f"database.url: {exc}") from None

    async def prepare(again: Connection) -> None:
        await _share_again(again, name, is_durable=is_durable)

    # The writer of the whole database is never opened: in a cluster only the rooms' own fences allow appends.
    database = PostgresqlStore(Writer(url, name, is_durable=is_durable), Readers(url, is_durable=is_durable), counters)
    claimers = Readers(url, is_durable=is_durable, longest=LONGEST_CLAIM)
    return NodeStorage(
        OwnConnection(url, is_durable=is_durable, prepare=prepare, connection=session),
        claimers,
        database,
        NodeStore(url, database, claimers, is_durable=is_durable, counters=counters),
    )


async def _lock(session: Connection, name: str) -> None:
    """Share the lock with the other nodes; first, alone, bring the tables to this version."""
    deadline = time.monotonic() + PATIENCE
    while True:
        if await try_lock(session):
            await migrate(session, name)
            await session.fetch("SELECT pg_advisory_lock_shared($1)", LOCK)
            await session.fetch("SELECT pg_advisory_unlock($1)", LOCK)
            return
        ((is_shared,),) = await session.fetch(_SHARE, LOCK)
        if is_shared and not await is_empty(session):
            if await check_version(session, name) != SCHEMA_VERSION:
                raise StoreBusy(f"{name}: stop the nodes that run; the tables must be migrated by one alone")
            return
        if is_shared:
            await session.fetch("SELECT pg_advisory_unlock_shared($1)", LOCK)
        if time.monotonic() > deadline:
            raise StoreBusy(f"{name}: a roomd that is no node of a cluster is serving this database; stop it")
        await asyncio.sleep(LOOK_AGAIN)


async def _share_again(session: Connection, name: str, *, is_durable: bool) -> None:
    """Share the lock in another session, when the one before was lost.

    Waits while another node that starts has it alone for a moment. Raises `StorageFailed` when the tables have another
    version by now, and `DatabaseError`.
    """
    await _answer_alone(session, is_durable=is_durable)
    while not (await session.fetch(_SHARE, LOCK))[0][0]:  # noqa: ASYNC110 - the server tells nobody
        await asyncio.sleep(LOOK_AGAIN)
    version = None
    try:
        version = await check_version(session, name)
    except StoreError as exc:
        log.error("not of this cluster any more", {"reason": str(exc)})
    if version != SCHEMA_VERSION:
        raise StorageFailed
    await session.execute(_REPLACE_SINGLE)
    log.info("session opened again")


async def _answer_alone(session: Connection, *, is_durable: bool) -> None:
    """Let the commits of the session, which are beats, not wait for a standby.

    A renewal that is lost with the primary ends the lease earlier. That allows others to claim rooms; it is the fence
    that keeps two nodes from changing one.
    """
    if is_durable:
        await session.execute("SET synchronous_commit = local")
