"""Copy a database from SQLite to PostgreSQL and back: whole or not at all, and compared row by row.

An interrupted copy leaves nothing, so that it can be made again: to PostgreSQL it is one transaction, to SQLite a file
that gets its name in the end.
"""

import contextlib
import itertools
import sqlite3
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from roomd.config import DatabaseConfig, database_name
from roomd.storage.compacting import make_shrinkable
from roomd.storage.errors import StoreBusy, StoreError
from roomd.storage.files import make_folder, sync, unfinished
from roomd.storage.migrations import SCHEMA_VERSION, schema
from roomd.storage.postgresql.connection import Connection, DatabaseError, Row, connect
from roomd.storage.postgresql.migrations import check_version, is_empty, migrate, try_lock
from roomd.storage.postgresql.tables import (
    TABLES,
    Table,
    read_postgresql,
    read_sqlite,
    write_postgresql,
    write_sqlite,
)
from roomd.storage.snapshot import check_kind, problem, reading

_LAST_GIVEN = "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'events'), 0)"


async def to_postgresql(file: Path, url: str) -> dict[str, int]:
    """Copy a database of SQLite into an empty one of PostgreSQL. Return the numbers of rows, by table.

    The caller has locked the file. Raises `StoreError`; then nothing was changed.
    """
    async with opened(url) as target:
        name = database_name(DatabaseConfig(url=url))
        if not await try_lock(target):
            raise StoreBusy(f"{name}: a roomd is serving this database; stop it")
        await migrate(target, name)
        if await target.fetch("SELECT 1 FROM rooms UNION ALL SELECT 1 FROM events LIMIT 1"):
            raise StoreError(f"{name}: has rooms or events already; choose an empty database")
        with reading(file) as source:
            if (version := check_kind(source, file)) != SCHEMA_VERSION:
                raise StoreError(f"{file}: has the schema {version} of an older roomd; start `roomd serve` with it")
            async with target.transaction():
                counts = {}
                for table in TABLES:
                    await target.execute(f"DELETE FROM {table.name}")  # what the schema begins with
                    for part in read_sqlite(source, table):
                        await write_postgresql(target, table, part)
                    counts[table.name] = await _compare(source, target, table)
                ((last,),) = source.execute(_LAST_GIVEN).fetchall()
                await target.fetch("SELECT setval('event_positions', greatest($1, 1), $1 > 0)", last)
    return counts


async def to_sqlite(url: str, file: Path) -> dict[str, int]:
    """Copy a database of PostgreSQL into a new file of SQLite. Return the numbers of rows, by table.

    Raises `StoreError`; then there is no new file.
    """
    if file.exists():  # noqa: ASYNC240 - nothing else runs in this loop
        raise StoreError(f"{file}: exists already; choose another file")
    try:
        make_folder(file.parent)
        with unfinished(file, file.parent.stat()) as new:
            async with opened(url) as source:
                name = database_name(DatabaseConfig(url=url))
                if not await try_lock(source):
                    raise StoreBusy(f"{name}: a roomd is serving this database; stop it")
                counts = await copy_to_sqlite(source, new, name)
            sync(new)
            new.replace(file)
        sync(file.parent)
    except OSError as exc:
        raise StoreBusy(f"{exc.filename or file}: cannot be written: {exc.strerror}") from None
    return counts


async def copy_to_sqlite(
    source: Connection, file: Path, name: str, only: Mapping[str, tuple[str, ...]] | None = None
) -> dict[str, int]:
    """Copy what a database of PostgreSQL has at one moment into an empty file. Return the numbers of rows, by table.

    With `only` just the rows are copied for which the conditions of their tables hold: SQL, and the values of $1 and so
    on. Raises `StoreError` and `DatabaseError`.
    """
    if await is_empty(source):
        raise StoreError(f"{name}: is no database of roomd")
    await check_version(source, name)
    counts = {}
    try:
        with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as target:
            make_shrinkable(target, file)
            target.executescript(f"PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF; {schema()}")
            target.execute("BEGIN")
            async with source.transaction(is_snapshot=True):
                for table in TABLES:
                    target.execute(f"DELETE FROM {table.name}")
                    where, *values = (only or {}).get(table.name, ("true",))
                    async for part in read_postgresql(source, table, where, *values):
                        write_sqlite(target, table, part)
                    if only is None:
                        counts[table.name] = await _compare(target, source, table)
                ((last,),) = await source.fetch(
                    "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM event_positions"
                )
            target.execute("DELETE FROM sqlite_sequence WHERE name = 'events'")
            target.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('events', ?)", (last,))
            target.execute("COMMIT")
    except sqlite3.Error as exc:
        raise problem(file, exc) from None
    return counts


async def _compare(here: sqlite3.Connection, there: Connection, table: Table) -> int:
    """Compare a table of both databases, row by row, and return the number of rows. Raises `StoreError`."""
    count = 0
    async with contextlib.aclosing(read_postgresql(there, table)) as parts:
        with contextlib.closing(read_sqlite(here, table)) as own:
            found = itertools.chain.from_iterable(own)
            async for part in parts:
                for row in part:
                    _check_same(table, next(found, None), row)
                    count += 1
            _check_same(table, next(found, None), None)
    return count


def _check_same(table: Table, one: Row | None, other: Row | None) -> None:
    if one != other:
        row = one or other or ()
        key = ", ".join(str(row[table.columns.index(column)]) for column in table.key.split(", "))
        raise StoreError(f"a row of {table.name} was not copied as it is: {key}; nothing was changed")


@contextlib.asynccontextmanager
async def opened(url: str) -> AsyncIterator[Connection]:
    """Connect for the block. Raises `StoreError`, also for what fails in the block."""
    name = database_name(DatabaseConfig(url=url))
    try:
        connection = await connect(url)
        try:
            yield connection
        finally:
            await connection.close()
    except DatabaseError as exc:
        raise StoreBusy(f"{name}: {exc}") from None
