"""Walk through a table in the order of its key, some rows at a time, so that nobody waits long for the reader."""

import sqlite3
from collections.abc import Sequence
from typing import Any

from roomd.engine.retention import MOST_ROWS

MOST_LOOKED_AT = 2000
"""The rows that one step looks at."""
Key = tuple[Any, ...]
"""The values of the key of a row."""
START: dict[str, Key] = {"room_id, id": ("", ""), "position": (0,)}
"""What sorts before every row, by the columns of the key."""


def step(
    db: sqlite3.Connection, table: str, key: str, start: Key | None, where: str, values: Sequence[Any] = ()
) -> tuple[list[Key], Key | None]:
    """Return the keys of the next rows of a table for which `where` holds, behind the key `start`; None to begin.

    `key` has the names of the columns of the primary key. Also returns the key behind which to go on; None after the
    last row. Raises `sqlite3.Error`.
    """
    marks = ", ".join("?" * len(START[key]))
    behind = f"FROM {table} WHERE ({key}) > ({marks})"
    first = start or START[key]
    last = db.execute(
        f"SELECT {key} {behind} ORDER BY {key} LIMIT 1 OFFSET ?",
        (*first, MOST_LOOKED_AT - 1),
    ).fetchone()
    until, end = (f"AND ({key}) <= ({marks}) ", last) if last is not None else ("", ())
    sql = f"SELECT {key} {behind} {until}AND {where} ORDER BY {key} LIMIT ?"
    found = db.execute(sql, (*first, *end, *values, MOST_ROWS)).fetchall()
    return found, found[-1] if len(found) == MOST_ROWS else last
