"""Open a database in PostgreSQL: lock it for this daemon, create its tables when missing, migrate them when old."""

from roomd.config import DatabaseConfig, database_name
from roomd.counters import Counters
from roomd.storage.errors import StoreBusy, StoreError
from roomd.storage.postgresql.connection import DatabaseError, Readers
from roomd.storage.postgresql.store import PostgresqlStore
from roomd.storage.postgresql.writer import Writer

LATER = frozenset({"unreachable", "busy", "full", "readonly"})
"""The reasons of a failure that may pass."""


async def open_store(config: DatabaseConfig, counters: Counters | None = None) -> PostgresqlStore:
    """Open the database for this daemon alone. Create its tables when they are missing, and migrate them when old.

    The caller must close the store. Raises `StoreError`; `StoreBusy` when trying again later may help.
    """
    url = config.url or ""
    name = database_name(config)
    is_durable = config.synchronous == "FULL"
    writer = Writer(url, name, is_durable=is_durable)
    try:
        await writer.open()
    except BaseException as exc:
        await writer.close()
        if isinstance(exc, DatabaseError):
            kind = StoreBusy if exc.reason in LATER else StoreError
            raise kind(f"{name}: cannot be opened: {exc}") from None
        if isinstance(exc, ValueError):
            raise StoreError(f"database.url: {exc}") from None
        raise
    return PostgresqlStore(writer, Readers(url, is_durable=is_durable), counters)
