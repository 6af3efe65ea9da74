"""Copy a database as it is at one moment, while it is served or not, and check what a file is."""

import contextlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from roomd.storage.errors import StoreBusy, StoreDamaged, StoreError
from roomd.storage.files import sync
from roomd.storage.migrations import APPLICATION_ID, MIGRATIONS, SCHEMA_VERSION, user_version

STEP = 256
"""The pages of one step of a copy: 1 MiB."""
PAUSE = 0.005
"""The seconds between two steps, in which the disk is free for the daemon."""
TIMEOUT = 5.0
"""The seconds to wait for a lock of another program."""


@contextlib.contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a database for reading, in one read transaction for the whole block: what is read is of one moment.

    A daemon may serve the database: with write-ahead logging no writer waits for a reader. Raises `StoreError`.
    """
    try:
        if not path.is_file():
            raise StoreError(
                f"{path}: there is no such file; check the path, or name the database with --config or --database"
            )
        with contextlib.closing(_open(path)) as db:
            db.execute("PRAGMA query_only = ON")
            db.execute("PRAGMA temp_store = MEMORY")
            db.execute("BEGIN")
            db.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            yield db
            db.execute("ROLLBACK")
    except PermissionError as exc:
        raise StoreError(f"{path}: cannot be read: {exc.strerror}; run this as root or as the user of roomd") from None
    except sqlite3.Error as exc:
        raise problem(path, exc) from None


def _open(path: Path) -> sqlite3.Connection:
    """Open a database in the way that leaves no file beside it behind.

    Whoever may write opens it for writing, because only then SQLite removes its files at the end. For others a file
    without a log is one that does not change.
    """
    mode = "rw"
    if not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)):
        mode = "ro" if Path(f"{path}-wal").exists() else "ro&immutable=1"
    return _connect(path, mode)


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    """Open a file that exists. `mode` is `rw` or `ro`, and may have more parameters of a URI (sqlite3_open_v2)."""
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    return sqlite3.connect(uri, uri=True, isolation_level=None, timeout=TIMEOUT)


def problem(path: Path, error: sqlite3.Error) -> StoreError:
    """Return the error of SQLite as one for the operator."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_NOTADB:
        return StoreError(f"{path}: is no database; name a file that roomd made")
    if code == sqlite3.SQLITE_CORRUPT:
        return StoreDamaged(f"{path}: is damaged: {error}; restore a backup")
    return StoreBusy(f"{path}: {error}")


def rest() -> None:
    """Leave the disk to the daemon for a moment."""
    time.sleep(PAUSE)


def go_on() -> None:
    """Copy the next step at once, where nobody else uses the database."""


def copy(source: sqlite3.Connection, file: Path, between: Callable[[], None] = rest) -> None:
    """Copy the database into an empty file, check the copy, and write it to the disk.

    `source` is in a read transaction. Without one the copy would begin anew after each change of another connection
    (sqlite3_backup_step). The copy is one file, without a write-ahead log. `between` is called after each step. Raises
    `StoreError`: `StoreBusy` where the copy cannot be written; and `sqlite3.DatabaseError` for a damaged source.
    """

    def wait(_status: int, _left: int, _total: int) -> None:
        between()

    try:
        with contextlib.closing(_connect(file, "rw")) as target:
            for pragma in (
                "locking_mode = EXCLUSIVE",
                "journal_mode = OFF",
                "synchronous = OFF",
                "temp_store = MEMORY",
            ):
                target.execute(f"PRAGMA {pragma}")
            source.backup(target, pages=STEP, progress=wait)
            target.execute("PRAGMA journal_mode = DELETE")
            check_kind(target, file)
            broken = integrity(target)
        sync(file)
    except (sqlite3.OperationalError, OSError) as exc:
        raise StoreBusy(
            f"{file.parent}: the copy cannot be written: {exc}; free some space there, and try again"
        ) from None
    if broken:
        raise StoreError(
            f"the database is damaged: {broken[0]}; see all of it with `roomd check`, and restore a backup"
        )


def check_kind(db: sqlite3.Connection, path: Path) -> int:
    """Return the schema version of a database of roomd.

    Raises `StoreError` for a newer roomd's database, and for one of another program.
    """
    version = user_version(db)
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"{path}: made by a newer roomd (schema {version}, this one knows {SCHEMA_VERSION}); "
            "install that version or restore a backup"
        )
    if db.execute("PRAGMA application_id").fetchone() != (APPLICATION_ID,):
        raise StoreError(f"{path}: is a database of another program; choose another file")
    if version not in (*MIGRATIONS, SCHEMA_VERSION):
        raise StoreError(f"{path}: made by a roomd that was never released (schema {version}); choose another file")
    return version


def integrity(db: sqlite3.Connection) -> list[str]:
    """Return what is wrong with the file itself: pages, indexes, and rows that name a room that is not there."""
    found = [str(text) for (text,) in db.execute("PRAGMA integrity_check") if text != "ok"]
    missing = db.execute("PRAGMA foreign_key_check").fetchall()
    return [*found, *(f"a row of {table} names a missing row of {parent}" for table, _, parent, _ in missing)]
