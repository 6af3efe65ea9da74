"""SQLite in a thread of its own: WAL, synchronous=FULL, and all waiting statements go into one transaction."""

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

SCHEMA = Path(__file__).parent.with_name("common") / "schema.sql"

CREATE = "INSERT INTO rooms VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
JOIN = "INSERT INTO participants VALUES (?, ?, ?, ?, ?, 1, ?, ?, NULL)"
LEAVE = "UPDATE participants SET is_active = 0, left_at = ? WHERE room_id = ? AND id = ?"
SAY = "INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?)"
NOTHING = "SELECT 1"


class UnavailableError(Exception):
    """The database failed; nothing was changed."""


class Change(NamedTuple):
    """A statement that waits for its commit."""

    sql: str
    values: tuple[Any, ...]
    apply: Callable[[], None]
    done: asyncio.Future[None]


class Store:
    """The database."""

    def __init__(self, path: str) -> None:
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.executescript(SCHEMA.read_text())
        self._thread = ThreadPoolExecutor(1)
        self._waiting: list[Change] = []
        self._committing: asyncio.Task[None] | None = None
        self.after_commit: Callable[[], None] = lambda: None

    def restore(self, now: str) -> Iterator[tuple[Any, ...]]:
        """Read the rooms; seats of the last process ended with its connections."""
        self._db.execute("UPDATE participants SET is_active = 0, left_at = ? WHERE left_at IS NULL", (now,))
        return self._db.execute("SELECT * FROM rooms")

    def write(
        self, sql: str, values: tuple[Any, ...] = (), apply: Callable[[], None] = lambda: None
    ) -> asyncio.Future[None]:
        """Store a change; once it is committed, `apply` runs, in order and before any waiting task continues."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(Change(sql, values, apply, done))
        if self._committing is None:
            self._committing = asyncio.create_task(self._commit())
        return done

    async def _commit(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            batch, self._waiting = self._waiting, []
            try:
                await loop.run_in_executor(self._thread, self._write, batch)
            except sqlite3.Error:
                logging.exception("nothing was committed")
                for change in batch:
                    change.done.set_exception(UnavailableError())
                continue
            for change in batch:
                change.apply()
                change.done.set_result(None)
            self.after_commit()
        self._committing = None

    def _write(self, batch: list[Change]) -> None:
        with self._db:  # commits, or rolls back
            self._db.execute("BEGIN IMMEDIATE")
            for sql, values, _, _ in batch:
                self._db.execute(sql, values)
