"""Back up a database: one file that was checked before it got its name, and the secret beside it."""

import contextlib
import fcntl
import os
import re
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

from roomd.config import local_secret_file
from roomd.storage.errors import StoreBusy, StoreError
from roomd.storage.files import make_folder, remove_folder, sync, unfinished, write_durably
from roomd.storage.snapshot import copy, go_on, reading

STAMP = "%Y%m%dT%H%M%SZ"
"""The time in the name of a backup in a folder, in UTC."""
_DATED = r"-\d{8}T\d{6}Z"


def dated(database: Path, folder: Path) -> Path:
    """Return the name of a backup with the time in a folder, which is created if it is missing. Raises `StoreError`."""
    try:
        make_folder(folder)
    except OSError as exc:
        raise StoreError(f"{folder}: cannot be created: {exc.strerror}") from None
    return folder / f"{database.stem}-{time.strftime(STAMP, time.gmtime())}.db"


def back_up(database: Path, file: Path, secret: bytes | None, *, is_forced: bool = False) -> None:
    """Back up a database to a file, whether it is served or not. `secret` is the content of the one beside it.

    The backup's secret is beside the backup. An existing backup is replaced only if the call `is_forced`. The files
    have mode 600; if root calls, they belong to the owner of the folder. Raises `StoreError`; then there is no new
    backup, and nothing of one.
    """
    secret_file = local_secret_file(file)
    if secret_file == file:
        raise StoreError(f"{file}: its secret would have this name; choose another one, like {file.stem}.db")
    if file.resolve() == database.resolve():
        raise StoreError(f"{file}: is the database itself; choose another file")
    try:
        with reading(database) as source, _alone_in(file.parent):
            for existing in (file, secret_file):
                if existing.exists() and not is_forced:
                    raise StoreError(f"{existing}: exists already; give --force to replace it")
            _remove_leftovers(database, file.parent)
            _write(source, file, secret_file, secret)
    except OSError as exc:
        raise StoreBusy(f"{exc.filename or file}: cannot be written: {exc.strerror}") from None


def _write(source: sqlite3.Connection, file: Path, secret_file: Path, secret: bytes | None) -> None:
    """Write both files, and then give them their names: that of the database last."""
    owner = file.parent.stat()
    with unfinished(file, owner) as new, unfinished(secret_file, owner) as new_secret:
        copy(source, new)
        if secret is None:
            secret_file.unlink(missing_ok=True)  # of the backup that is replaced
        else:
            write_durably(new_secret, secret)
            new_secret.replace(secret_file)
        new.replace(file)
    sync(file.parent)


def _remove_leftovers(database: Path, folder: Path) -> None:
    """Remove what interrupted backups with a time in their names left. Raises `OSError`."""
    name = re.compile(re.escape(database.stem) + _DATED + r"\.(db|secret)\.unfinished")
    for left in folder.iterdir():
        if name.fullmatch(left.name):
            remove_folder(left)


def keep_last(database: Path, folder: Path, count: int) -> list[Path]:
    """Remove all but the last `count` backups of a database from a folder, and return the removed ones.

    Only what `back_up` names in a folder is removed, with its secret. Raises `StoreError`.
    """
    name = re.compile(re.escape(database.stem) + _DATED + r"\.db")
    try:
        old = sorted(file for file in folder.iterdir() if name.fullmatch(file.name))[:-count]
        for file in old:
            file.unlink(missing_ok=True)
            local_secret_file(file).unlink(missing_ok=True)
    except OSError as exc:
        raise StoreBusy(f"{exc.filename or folder}: old backups cannot be removed: {exc.strerror}") from None
    return old


def back_up_before_migration(db: sqlite3.Connection, database: Path, version: int) -> Path:
    """Copy the database, which `db` has open, beside itself before its schema is migrated from `version`.

    The copy of an earlier migration is removed when the new one is there. Raises `StoreError`: `StoreBusy` when there
    is no room for it.
    """
    database = database.resolve()
    file = database.with_name(f"{database.stem}-schema-{version}.db")
    db.execute("BEGIN")
    try:
        with unfinished(file, database.stat()) as new:
            copy(db, new, between=go_on)
            new.replace(file)
        sync(file.parent)
        earlier = re.compile(re.escape(database.stem) + r"-schema-\d+\.db")
        for one in file.parent.iterdir():
            if earlier.fullmatch(one.name) and one != file:
                one.unlink()
    except (StoreError, OSError) as exc:
        kind = StoreError if not isinstance(exc, StoreBusy | OSError) else StoreBusy
        raise kind(f"{database}: cannot be backed up before its migration from schema {version}: {exc}") from None
    finally:
        db.execute("ROLLBACK")
    return file


@contextlib.contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Let no other backup write to the folder meanwhile. Raises `StoreBusy` and `OSError`."""
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise StoreBusy(f"{folder}: another backup is being written here; wait until it is done") from None
    finally:
        os.close(lock)
