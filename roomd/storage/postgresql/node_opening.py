"""Open a database in PostgreSQL for one node of a cluster.

A daemon that has all rooms holds an advisory lock alone; the nodes of a cluster share it. So neither starts beside the
other. The first node creates or migrates the tables, while it has the lock alone.
"""

import asyncio
import time

from roomd.config import DatabaseConfig, database_name
from roomd.counters import Counters
from roomd.storage.errors import StoreBusy, StoreError
from roomd.storage.postgresql.connection import Connection, DatabaseError, Readers, connect
from roomd.storage.postgresql.migrations import LOCK, SCHEMA_VERSION, check_version, is_empty, migrate, try_lock
from roomd.storage.postgresql.node_store import NodeStore
from roomd.storage.postgresql.opening import not_opened
from roomd.storage.postgresql.store import PostgresqlStore
from roomd.storage.postgresql.writer import Writer

PATIENCE = 5.0
"""The seconds that a node waits while another one creates or migrates the tables."""
LOOK_AGAIN = 0.1

_REPLACE_SINGLE = "UPDATE fence SET generation = generation + 1, version = version + 1"


class NodeStorage:
    """The database of a node: `database` reads, `rooms` stores. Closing it closes all of it."""

    def __init__(self, session: Connection, database: PostgresqlStore, rooms: NodeStore) -> None:
        self._session = session  # it has the lock
        self.database = database
        self.rooms = rooms

    async def close(self) -> None:
        """Finish the waiting appends, and close the connections. Closing twice is fine."""
        await self.rooms.close()
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
        except BaseException:
            session.terminate()
            raise
    except DatabaseError as exc:
        raise not_opened(name, exc) from None
    except ValueError as exc:
        raise StoreError(f"database.url: {exc}") from None
    # The writer of the whole database is never opened: in a cluster only the rooms' own fences allow appends.
    database = PostgresqlStore(Writer(url, name, is_durable=is_durable), Readers(url, is_durable=is_durable), counters)
    return NodeStorage(session, database, NodeStore(url, database, is_durable=is_durable, counters=counters))


async def _lock(session: Connection, name: str) -> None:
    """Share the lock with the other nodes; first, alone, bring the tables to this version."""
    deadline = time.monotonic() + PATIENCE
    while True:
        if await try_lock(session):
            await migrate(session, name)
            await session.fetch("SELECT pg_advisory_lock_shared($1)", LOCK)
            await session.fetch("SELECT pg_advisory_unlock($1)", LOCK)
            return
        ((is_shared,),) = await session.fetch("SELECT pg_try_advisory_lock_shared($1)", LOCK)
        if is_shared and not await is_empty(session):
            if await check_version(session, name) != SCHEMA_VERSION:
                raise StoreBusy(f"{name}: stop the nodes that run; the tables must be migrated by one alone")
            return
        if is_shared:
            await session.fetch("SELECT pg_advisory_unlock_shared($1)", LOCK)
        if time.monotonic() > deadline:
            raise StoreBusy(f"{name}: a roomd that is no node of a cluster is serving this database; stop it")
        await asyncio.sleep(LOOK_AGAIN)
