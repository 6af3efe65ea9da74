"""Open the database: for this process alone, made when missing, migrated when old."""

import fcntl
import os
import sqlite3
from pathlib import Path

from roomd.config import DatabaseConfig
from roomd.storage.migrations import APPLICATION_ID, MIGRATIONS, SCHEMA_VERSION, migrate, schema, user_version
from roomd.storage.sqlite import SqliteStore, is_lasting
from roomd.storage.worker import Worker


class StoreError(Exception):
    """The database cannot be opened; the text says why and what to do."""


class StoreBusy(StoreError):  # noqa: N818 - a state, not a mistake
    """The database cannot be opened now, for a reason that may pass."""


async def open_store(config: DatabaseConfig) -> SqliteStore:
    """Open the database, made or migrated as needed, for this process alone.

    Raises `StoreError`.
    """
    path = Path(config.path)
    lock = _lock(path)
    try:
        sqlite3.connect(path).close()  # what cannot be opened fails here, where no thread has begun
        writer = Worker(path, config.busy_timeout)
        await writer
        try:
            await writer.run(lambda db: _prepare(db, config))
            reader = Worker(path, config.busy_timeout)
            await reader
            await reader.execute("PRAGMA query_only = ON")
        except BaseException:
            await writer.close()
            raise
    except BaseException as exc:
        os.close(lock)
        if isinstance(exc, sqlite3.Error):
            kind = StoreError if is_lasting(exc) else StoreBusy
            raise kind(f"{path}: cannot be opened: {exc}") from None
        raise
    return SqliteStore(writer, reader, lock)


def _lock(path: Path) -> int:
    """Lock the database file for this process; the kernel frees the lock however the process ends.

    The lock is on the file itself, so it holds for every name of the file. Its descriptor is opened before SQLite's and
    closed after them: closing one in between would drop SQLite's own locks, which belong to the process (POSIX).
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        raise StoreError(f"{path}: cannot be opened: {exc.strerror}") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise StoreBusy(f"{path}: another roomd is serving this database; stop it or choose another file") from None
    return lock


def _prepare(db: sqlite3.Connection, config: DatabaseConfig) -> None:
    version = user_version(db)
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"{config.path}: made by a newer roomd (schema {version}, this one knows {SCHEMA_VERSION}); "
            "install that version or restore a backup"
        )
    ours = db.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
    if not ours and (version or db.execute("SELECT 1 FROM sqlite_schema").fetchone()):
        raise StoreError(f"{config.path}: a database of another program; choose another file")
    steps = {0: schema(), **MIGRATIONS}
    if version not in (*steps, SCHEMA_VERSION):
        raise StoreError(
            f"{config.path}: made by a roomd that was never released (schema {version}); choose another file"
        )
    if db.execute("PRAGMA journal_mode = WAL").fetchone() != ("wal",):
        raise StoreError(f"{config.path}: its file system cannot do write-ahead logging; choose a local disk")
    db.execute(f"PRAGMA synchronous = {config.synchronous}")
    db.execute("PRAGMA foreign_keys = ON")
    # A statement of many rows can be undone alone; SQLite keeps what it needs for that in a file of its own by default.
    db.execute("PRAGMA temp_store = MEMORY")
    migrate(db, steps)
