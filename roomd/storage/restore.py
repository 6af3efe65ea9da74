"""Restore a backup in place of a database that is not served."""

import contextlib
import fcntl
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from roomd.config import local_secret_file
from roomd.storage.errors import StoreBusy, StoreError
from roomd.storage.events import begin_new_log
from roomd.storage.files import SIDE_FILES, make_folder, sync, unfinished, write_durably
from roomd.storage.snapshot import copy, go_on, reading


class Restored(NamedTuple):
    """Where a restore has put what it replaced."""

    database: Path | None
    """The replaced database; None when there was none."""
    secret: Path | None
    """The replaced secret; None when there was none, or when it stayed."""


def restore(backup: Path, database: Path, secret: bytes | None) -> Restored:
    """Put a backup in the place of a database, and its secret in the place of that one's. Keep what is replaced.

    `secret` is the content of the secret beside the backup; None without one, and then the one that is there stays. If
    root calls, the files belong to the owner of the database, or to that of its folder where the database is missing or
    belongs to root. Raises `StoreError`; then the database and the secret are as they were.
    """
    database = database.resolve()
    if backup.resolve() == database:
        raise StoreError(f"{backup}: is the database itself; name a backup")
    now = time.time()
    ending = f"replaced-{time.strftime('%Y%m%dT%H%M%S', time.gmtime(now))}.{int(now % 1 * 1000):03}Z"
    secret_file = local_secret_file(database)
    try:
        make_folder(database.parent)
        with contextlib.ExitStack() as stack:
            source = stack.enter_context(reading(backup))
            is_there = stack.enter_context(_locked(database))
            owned = database if is_there and database.stat().st_uid else database.parent
            owner = owned.stat()
            new = stack.enter_context(unfinished(database, owner))
            new_secret = stack.enter_context(unfinished(secret_file, owner))
            copy(source, new, between=go_on)
            begin_new_log(new)
            undo = stack.enter_context(contextlib.ExitStack())  # runs where one of the following steps fails
            kept = _keep_database(database, ending, undo) if is_there else None
            kept_secret = None
            if secret is not None and _content(secret_file) != secret:
                write_durably(new_secret, secret)
                kept_secret = _keep(secret_file, ending, undo)
                new_secret.replace(secret_file)
            if kept is None:
                database.hardlink_to(new)  # fails where a daemon has created one meanwhile
            else:
                new.replace(database)
            undo.pop_all()
            sync(database.parent)
    except (OSError, sqlite3.Error) as exc:
        name, why = (exc.filename, exc.strerror) if isinstance(exc, OSError) else (None, exc)
        raise StoreBusy(f"{name or database}: cannot be restored: {why}") from None
    return Restored(kept, kept_secret)


def _content(file: Path) -> bytes | None:
    """Return the content of a secret without the white space around it; None without a file. Raises `OSError`."""
    with contextlib.suppress(FileNotFoundError):
        return file.read_bytes().strip()
    return None


@contextlib.contextmanager
def _locked(database: Path) -> Iterator[bool]:
    """Lock a database as the daemon does, and return whether it is there. Raises `StoreBusy` and `OSError`."""
    try:
        lock = os.open(database, os.O_RDWR | os.O_NONBLOCK | os.O_NOCTTY)
    except FileNotFoundError:
        yield False
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield True
    except BlockingIOError:
        raise StoreBusy(f"{database}: a roomd is serving this database; stop it first") from None
    finally:
        os.close(lock)


def _keep_database(database: Path, ending: str, undo: contextlib.ExitStack) -> Path | None:
    """Keep a database under another name, and leave none of the files that SQLite has beside it."""
    try:
        # The log is written into the file, which is then whole by itself. Nobody else may have the database open.
        with contextlib.closing(sqlite3.connect(database, isolation_level=None, timeout=1)) as db:
            db.execute("PRAGMA journal_mode = DELETE").fetchone()
    except sqlite3.DatabaseError as exc:
        if exc.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise StoreBusy(f"{database}: another program has it open; end that program, and try again") from None
        # A database that is damaged is kept as it is, with its log.
    kept = _keep(database, ending, undo)
    for suffix in SIDE_FILES:
        file = Path(f"{database}{suffix}")
        copy_of_file = Path(f"{kept}{suffix}")
        with contextlib.suppress(FileNotFoundError):
            copy_of_file.hardlink_to(file)
            undo.callback(copy_of_file.replace, file)
            file.unlink()
    return kept


def _keep(file: Path, ending: str, undo: contextlib.ExitStack) -> Path | None:
    """Give a file a second name, and return it; None when there is no file. `undo` gives it the first one alone."""
    kept = file.with_name(f"{file.name}.{ending}")
    try:
        kept.hardlink_to(file)
    except FileNotFoundError:
        undo.callback(file.unlink, missing_ok=True)
        return None

    def bring_back() -> None:
        file.unlink(missing_ok=True)
        kept.rename(file)

    undo.callback(bring_back)
    return kept
