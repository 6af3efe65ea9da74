"""Write the file anew once, so that it can give free pages back to the file system later (`PRAGMA auto_vacuum`).

SQLite can change this property only by writing the whole file. `VACUUM INTO` writes a new file in the same folder, and
the backup interface copies it back in one transaction: after a crash at any time the database is as it was, or whole
and compact. Plain `VACUUM` would need a temporary file, in a folder that may be small or in memory.
"""

import contextlib
import logging
import sqlite3
from pathlib import Path

from roomd.storage.errors import StoreBusy
from roomd.storage.files import unfinished
from roomd.storage.space import free_bytes

log = logging.getLogger("roomd.storage.compacting")

INCREMENTAL = 2
"""The value of `PRAGMA auto_vacuum` for a file that gives pages back when it is asked to."""


def make_shrinkable(db: sqlite3.Connection, path: Path) -> None:
    """Write the database anew if it cannot give pages back. An empty one is only told.

    Raises `StoreError` and `sqlite3.Error`; then nothing was changed.
    """
    if is_shrinkable(db):
        return
    db.execute("PRAGMA auto_vacuum = INCREMENTAL")
    if is_shrinkable(db):  # it is empty
        return
    path = path.resolve()
    try:
        with unfinished(path.with_name(f"{path.stem}-compact.db"), path.stat()) as new:
            db.execute("VACUUM INTO ?", (str(new),))
            with contextlib.closing(sqlite3.connect(new)) as compact:
                compact.backup(db)
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    except (sqlite3.OperationalError, OSError) as exc:
        raise StoreBusy(f"{path}: cannot be written anew: {exc}; free some space there, and start again") from None
    log.info("database compacted", {"bytes": path.stat().st_size})


def is_shrinkable(db: sqlite3.Connection) -> bool:
    """Return whether the file gives pages back when it is asked to."""
    return bool(db.execute("PRAGMA auto_vacuum").fetchone() == (INCREMENTAL,))


def check_space(db: sqlite3.Connection, path: Path, copies: int) -> None:
    """Check that so many copies of the database have room beside it. Raises `StoreBusy`."""
    needed = copies * db.execute("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size").fetchone()[0]
    free = free_bytes(path.resolve().parent)
    if free < needed:
        raise StoreBusy(
            f"{path}: the first start of this version writes the database anew, for which {needed:,} bytes must be "
            f"free there, and {free:,} are; free some space, and start again"
        )
