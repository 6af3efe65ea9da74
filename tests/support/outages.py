"""Ways to make the storage of a running daemon fail."""

import contextlib
import sqlite3
from collections.abc import Iterator

from tests.support.daemon import Daemon


@contextlib.contextmanager
def outage(daemon: Daemon) -> Iterator[None]:
    """Lock the database for writing: appends wait for it, at most as long as `database.busy_timeout`."""
    with contextlib.closing(sqlite3.connect(daemon.database, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            db.execute("ROLLBACK")


@contextlib.contextmanager
def no_leaving(daemon: Daemon) -> Iterator[None]:
    """Make every append fail that releases a seat, and no other."""
    with contextlib.closing(sqlite3.connect(daemon.database, isolation_level=None)) as db:
        db.execute(
            "CREATE TRIGGER outage BEFORE INSERT ON participants WHEN NEW.left_at IS NOT NULL "
            "BEGIN SELECT RAISE(ABORT, 'outage'); END"
        )
        yield
        db.execute("DROP TRIGGER outage")
