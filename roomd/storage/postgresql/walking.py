"""Walk through a table in the order of its key, some rows at a time, so that nobody waits long."""

from typing import Any

from roomd.engine.retention import MOST_ROWS
from roomd.storage.postgresql.connection import Connection, Row
from roomd.storage.walking import MOST_LOOKED_AT, START, Key


async def step(
    db: Connection, table: str, key: str, start: Key | None, where: str, *values: Any, columns: str = ""
) -> tuple[list[Row], Key | None]:
    """Return the keys of the next rows of a table for which `where` holds, behind the key `start`; None to begin.

    `key` has the names of the columns of the primary key, one or two. The values of `where` begin with $3. With
    `columns` the rows have these columns and not the key, and there are as many of them as are looked at. Also returns
    the key behind which to go on; None after the last row. Raises `DatabaseError`.
    """
    names = key.split(", ")
    first = start or START[key]
    values = (*first, *[None] * (2 - len(names)), *values)
    marks = ", ".join(f"${number + 1}" for number in range(len(names)))
    spare = "" if len(names) == 2 else "AND $2::text IS NULL "
    behind = f"FROM {table} WHERE ({key}) > ({marks}) {spare}ORDER BY {key}"
    part = f"SELECT * {behind} LIMIT {MOST_LOOKED_AT}"
    most = MOST_LOOKED_AT if columns else MOST_ROWS
    sql = f"SELECT {columns or key} FROM ({part}) AS {table} WHERE {where} ORDER BY {key} LIMIT {most}"
    found = await db.fetch(sql, *values)
    if len(found) == MOST_ROWS and not columns:
        return found, found[-1]
    last = await db.fetch(f"SELECT {key} {behind} LIMIT 1 OFFSET {MOST_LOOKED_AT - 1}", *values[:2])
    return found, last[0] if last else None
