"""Open the database: lock it for this process, create it when missing, migrate it when old."""

import contextlib
import fcntl
import logging
import os
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

from roomd.config import ConfigError, DatabaseConfig, check_file, is_open_to_others
from roomd.counters import Counters
from roomd.storage.backup import back_up_before_migration
from roomd.storage.compacting import check_space, is_shrinkable, make_shrinkable
from roomd.storage.errors import StoreBusy, StoreError
from roomd.storage.files import SIDE_FILES
from roomd.storage.migrations import MIGRATIONS, migrate, schema, user_version
from roomd.storage.snapshot import check_kind
from roomd.storage.space import Space
from roomd.storage.sqlite import SqliteStore, is_lasting
from roomd.storage.worker import Worker

log = logging.getLogger("roomd.storage.opening")


async def open_store(config: DatabaseConfig, counters: Counters | None = None) -> SqliteStore:
    """Open the database for this process alone. Create it when it is missing, and migrate it when it is old.

    The caller must close the store. Raises `StoreError`; `StoreBusy` when trying again later may help.
    """
    path = Path(config.path)
    lock = _lock(path)
    try:
        sqlite3.connect(path).close()  # a file that cannot be opened fails here, before a thread starts
        async with contextlib.AsyncExitStack() as opened:
            writer = Worker(path, config.busy_timeout)
            await opened.enter_async_context(writer)
            await writer.run(lambda db: _prepare(db, config))
            reader = Worker(path, config.busy_timeout)
            await opened.enter_async_context(reader)
            await reader.execute("PRAGMA query_only = ON")
            checkpointer = Worker(path, config.busy_timeout)
            await opened.enter_async_context(checkpointer)
            opened.pop_all()
    except BaseException as exc:
        os.close(lock)
        if isinstance(exc, sqlite3.Error):
            kind = StoreError if is_lasting(exc) else StoreBusy
            raise kind(f"{path}: cannot be opened: {exc}") from None
        raise
    return SqliteStore(writer, reader, checkpointer, lock, Space(path, config.reserve), counters)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Have a database that exists for the block alone: no daemon serves it meanwhile. Raises `StoreError`."""
    if not path.is_file():
        raise StoreError(f"{path}: there is no such file")
    lock = _lock(path)
    try:
        yield
    finally:
        os.close(lock)


def _lock(path: Path) -> int:
    """Lock the database file for this process, and return the descriptor that has the lock.

    The kernel releases the lock when the process ends in any way. The lock is on the file itself, so it applies to
    every name of the file. The descriptor is opened before those of SQLite and closed after them: closing it earlier
    would release SQLite's own locks, which belong to the process (POSIX). Raises `StoreError`.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Without O_NONBLOCK, opening a pipe could wait for its other end.
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY, 0o600)
    except OSError as exc:
        raise StoreError(f"{path}: cannot be opened: {exc.strerror}") from None
    try:
        _check_files(path, lock)
    except (ConfigError, OSError) as exc:
        os.close(lock)
        raise StoreError(str(exc)) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise StoreBusy(f"{path}: another roomd is serving this database; stop it or choose another file") from None
    return lock


def _check_files(path: Path, lock: int) -> None:
    """Check the database, which is open as `lock`, and the files that SQLite keeps beside it.

    A file that others can write to is refused: they may have changed it. One that they can only read is closed to them.
    SQLite puts its files beside the database itself, not beside a link to it. Raises `ConfigError` and `OSError`.
    """
    _close_to_others(path, os.fstat(lock))
    for suffix in SIDE_FILES:
        file = Path(f"{path.resolve()}{suffix}")
        with contextlib.suppress(FileNotFoundError):
            _close_to_others(file, file.lstat())


def _close_to_others(file: Path, status: os.stat_result) -> None:
    check_file(file, status, str(file), is_secret=False)
    if is_open_to_others(file, status.st_mode):
        file.chmod(0o600)
        log.warning(
            "others could read the database", {"file": str(file), "mode": f"{stat.S_IMODE(status.st_mode):04o}"}
        )


def _prepare(db: sqlite3.Connection, config: DatabaseConfig) -> None:
    path = Path(config.path)
    version = user_version(db)
    if version or db.execute("SELECT 1 FROM sqlite_schema").fetchone():
        check_kind(db, path)
        check_space(db, path, 2 * (not is_shrinkable(db)) + (version in MIGRATIONS))
    else:
        make_shrinkable(db, path)  # before the file has its first page
    if db.execute("PRAGMA journal_mode = WAL").fetchone() != ("wal",):
        raise StoreError(f"{path}: the file system does not support write-ahead logging; choose a local disk")
    db.execute(f"PRAGMA synchronous = {config.synchronous}")
    db.execute("PRAGMA foreign_keys = ON")
    # SQLite keeps a journal for each statement of many rows, to undo it alone; by default that is a temporary file.
    db.execute("PRAGMA temp_store = MEMORY")
    # What is deleted is overwritten in the file, so that nothing of it can be read there.
    db.execute("PRAGMA secure_delete = ON").fetchone()
    if version in MIGRATIONS:
        back_up_before_migration(db, path, version)
    make_shrinkable(db, path)
    migrate(db, {0: schema(), **MIGRATIONS})
