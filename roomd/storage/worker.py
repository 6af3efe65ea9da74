"""aiosqlite's thread, for more than one statement a trip."""

import sqlite3
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import aiosqlite

T = TypeVar("T")


class Worker(aiosqlite.Connection):
    """A connection to a SQLite file, and the thread that it lives on.

    This class alone knows how aiosqlite (0.22) reaches its thread. aiosqlite documents one statement a call; a
    transaction of a few would cost a trip through the event loop for each.
    """

    def __init__(self, path: Path, busy_timeout: float) -> None:
        connect = partial(sqlite3.connect, path, isolation_level=None, timeout=busy_timeout)
        super().__init__(connect, iter_chunk_size=64)

    async def run(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Run `function` on the thread and return its result.

        Raises what `function` raises.
        """
        result: T = await self._execute(function, self._conn)  # type: ignore[no-untyped-call]
        return result
