"""The tables that SQLite and PostgreSQL have alike, row by row, for what copies and compares them.

A row is as SQLite has it: with numbers for truth values.
"""

import contextlib
import sqlite3
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from typing import Any, NamedTuple

from roomd.storage.loading import STORED_COLUMNS
from roomd.storage.postgresql.connection import Connection, Row
from roomd.storage.postgresql.rows import BOOLEANS
from roomd.storage.rows import BAN_COLUMNS, MESSAGE_COLUMNS, PARTICIPANT_COLUMNS

PART = 2000
"""The rows that are in memory at the same time."""


class Table(NamedTuple):
    """A table."""

    name: str
    """Its name."""
    columns: tuple[str, ...]
    """Its columns, but those that are computed."""
    key: str
    """The columns by which rows are sorted."""


def _table(name: str, columns: str, key: str) -> Table:
    return Table(name, tuple(columns.split(", ")), key)


TABLES = (
    _table("rooms", f"{STORED_COLUMNS}, is_deleted", "id"),
    _table("participants", PARTICIPANT_COLUMNS, "room_id, id"),
    _table("messages", MESSAGE_COLUMNS, "room_id, id"),
    _table("bans", BAN_COLUMNS, "room_id, id"),
    _table("used_tickets", "id, valid_until", "id"),
    _table("secrets", "name, value", "name"),
    _table("events", "position, room_id, at, type, body", "position"),
    _table("event_log", "id, renewed_at", "id"),
    _table("webhooks", "name, log_id, number, delivered_at, is_gone", "name"),
)


async def read_postgresql(
    db: Connection, table: Table, where: str = "true", *values: object
) -> AsyncGenerator[list[Row], None]:
    """Read the rows of a table for which `where` holds, in their order, a part at a time.

    The caller has a transaction. Raises `DatabaseError`.
    """
    columns = ", ".join(table.columns)
    booleans = _booleans(table)
    sql = f"SELECT {columns} FROM {table.name} WHERE {where} ORDER BY {table.key}"
    async for part in db.parts(sql, PART, *values):
        yield [_changed(row, booleans, int) for row in part]


def read_sqlite(db: sqlite3.Connection, table: Table) -> Generator[list[Row], None, None]:
    """Read the rows of a table in their order, a part at a time. Raises `sqlite3.Error`."""
    with contextlib.closing(
        db.execute(f"SELECT {', '.join(table.columns)} FROM {table.name} ORDER BY {table.key}")
    ) as cursor:
        while part := cursor.fetchmany(PART):
            yield part


async def write_postgresql(db: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Add rows to a table. Raises `DatabaseError`."""
    booleans = _booleans(table)
    await db.copy_in(table.name, table.columns, [_changed(row, booleans, bool) for row in rows])


def write_sqlite(db: sqlite3.Connection, table: Table, rows: Sequence[Row]) -> None:
    """Add rows to a table. Raises `sqlite3.Error`."""
    marks = ", ".join("?" * len(table.columns))
    db.executemany(f"INSERT INTO {table.name} ({', '.join(table.columns)}) VALUES ({marks})", rows)


def _booleans(table: Table) -> list[int]:
    return [index for index, column in enumerate(table.columns) if column in BOOLEANS]


def _changed(row: Row, indexes: Sequence[int], change: Callable[[Any], Any]) -> Row:
    values = list(row)
    for index in indexes:
        values[index] = change(values[index])
    return tuple(values)
