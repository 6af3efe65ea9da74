"""Open a database in PostgreSQL: lock it for this daemon, create its tables when missing, migrate them when old."""

from roomd.config import DatabaseConfig, database_name
from roomd.counters import Counters
from roomd.storage.errors import StoreBusy, StoreError
from roomd.storage.postgresql.connection import DatabaseError, Readers
from roomd.storage.postgresql.store import PostgresqlStore
from roomd.storage.postgresql.writer import Writer

LATER = frozenset({"unreachable", "busy", "full", "readonly"})
"""The reasons of a failure that may pass."""
_ADVICE = {
    "denied": "check the user and the password: in database.url, or in the file that its passfile names (mode 600)",
    "untrusted": "sslrootcert in database.url names the file of the CA that signed it, and it must be valid now and "
    "for the host in the URL",
}
"""What to do, by the reason of a failure."""


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
            raise not_opened(name, exc) from None
        if isinstance(exc, ValueError):
            raise StoreError(f"database.url: {exc}") from None
        raise
    return PostgresqlStore(writer, Readers(url, is_durable=is_durable), counters)


def not_opened(name: str, exc: DatabaseError) -> StoreError:
    """Return why a database cannot be opened, and what to do if that is known."""
    kind = StoreBusy if exc.reason in LATER else StoreError
    advice = _ADVICE.get(exc.reason)
    return kind(f"{name}: cannot be opened: {exc}" + (f"; {advice}" if advice else ""))
