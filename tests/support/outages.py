"""Ways to make the storage of a running daemon fail."""

import contextlib
import sqlite3
from collections.abc import Iterator

from tests.support.daemon import Daemon
from tests.support.databases import change


@contextlib.contextmanager
def outage(daemon: Daemon) -> Iterator[None]:
    """Lock the database for writing: appends wait for it, at most as long as `database.busy_timeout`.

    PostgreSQL has no such time: there each append fails.
    """
    if daemon.database_url is not None:
        with _refusal(daemon, "fence", "true"):
            yield
        return
    with contextlib.closing(sqlite3.connect(daemon.database, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            db.execute("ROLLBACK")


@contextlib.contextmanager
def no_leaving(daemon: Daemon) -> Iterator[None]:
    """Make every append fail that releases a seat, and no other."""
    if daemon.database_url is not None:
        with _refusal(daemon, "participants", "NEW.left_at IS NOT NULL"):
            yield
        return
    with contextlib.closing(sqlite3.connect(daemon.database, isolation_level=None)) as db:
        db.execute(
            "CREATE TRIGGER outage BEFORE INSERT ON participants WHEN NEW.left_at IS NOT NULL "
            "BEGIN SELECT RAISE(ABORT, 'outage'); END"
        )
        yield
        db.execute("DROP TRIGGER outage")


@contextlib.contextmanager
def _refusal(daemon: Daemon, table: str, when: str) -> Iterator[None]:
    """Have PostgreSQL refuse rows of a table, as when its disk is full."""
    raise_ = "BEGIN RAISE SQLSTATE '53100' USING MESSAGE = 'outage'; END"
    change(
        daemon,
        f"CREATE FUNCTION outage() RETURNS trigger LANGUAGE plpgsql AS $${raise_}$$",
        f"CREATE TRIGGER outage BEFORE INSERT OR UPDATE ON {table} FOR EACH ROW WHEN ({when}) "
        "EXECUTE FUNCTION outage()",
    )
    try:
        yield
    finally:
        change(daemon, f"DROP TRIGGER outage ON {table}", "DROP FUNCTION outage")
