"""Run a function with several statements on the thread of an aiosqlite connection."""

import sqlite3
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import aiosqlite

T = TypeVar("T")


class Worker(aiosqlite.Connection):
    """A connection to a SQLite file, and the thread that uses it. Await it once to open it.

    `busy_timeout` is in seconds. Only this class uses `_execute` and `_conn` of aiosqlite (0.22). The documented API
    takes one statement for each call, so a transaction would wait for the event loop after every statement.
    """

    def __init__(self, path: Path, busy_timeout: float) -> None:
        connect = partial(sqlite3.connect, path, isolation_level=None, timeout=busy_timeout)
        super().__init__(connect, iter_chunk_size=64)

    async def run(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Run `function` on the thread with the SQLite connection, and return its result.

        Raises what `function` raises.
        """
        result: T = await self._execute(function, self._conn)  # type: ignore[no-untyped-call]
        return result
