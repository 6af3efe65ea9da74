"""Delete the rows of deleted rooms, a few at a time, so that no join waits for long.

A room is deleted for everyone in the transaction that marks its row. What belongs to it is deleted after that: messages
first, then bans and participants, and the row of the room last. After a restart this goes on.
"""

import asyncio
import contextlib
import sqlite3
from collections.abc import Awaitable, Callable

from roomd.engine.ports import RETRY_AFTER, StorageFailed

MOST_PURGED = 200
"""The rows that one transaction deletes: it takes some milliseconds."""
PAUSE = 0.02
"""The seconds between two of these transactions, in which others are stored."""


def has_deleted(db: sqlite3.Connection) -> bool:
    """Return whether rows of deleted rooms are left.

    Raises `sqlite3.Error`.
    """
    return _next_deleted(db) is not None


def purge_some(db: sqlite3.Connection) -> bool:
    """Delete some rows of a deleted room. Return whether rows of deleted rooms may be left.

    Raises `sqlite3.Error`.
    """
    room_id = _next_deleted(db)
    if room_id is None:
        return False
    for table in ("messages", "bans", "participants"):
        some = f"SELECT id FROM {table} WHERE room_id = ? LIMIT ?"  # noqa: S608 - our own names
        sql = f"DELETE FROM {table} WHERE room_id = ? AND id IN ({some})"  # noqa: S608 - our own names
        if db.execute(sql, (room_id, room_id, MOST_PURGED)).rowcount:
            return True
    db.execute("DELETE FROM rooms WHERE id = ?", (room_id,))
    return True


def _next_deleted(db: sqlite3.Connection) -> str | None:
    row = db.execute("SELECT id FROM rooms WHERE is_deleted LIMIT 1").fetchone()
    return str(row[0]) if row else None


class Purger:
    """The task that deletes the rows. `purge` deletes some, and returns whether any may be left."""

    def __init__(self, purge: Callable[[], Awaitable[bool]]) -> None:
        self._purge = purge
        self._task: asyncio.Task[None] | None = None
        self._is_wanted = False
        self._closing = asyncio.Event()

    def start(self) -> None:
        """Begin, unless it goes on already."""
        self._is_wanted = True
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="purge deleted rooms")

    async def close(self) -> None:
        """Stop after the current transaction. The next start goes on."""
        self._closing.set()
        if self._task is not None:
            await self._task

    async def _run(self) -> None:
        while self._is_wanted and not self._closing.is_set():
            self._is_wanted, pause = False, PAUSE
            try:
                is_more = await self._purge()
            except StorageFailed:
                is_more, pause = True, RETRY_AFTER
            self._is_wanted = self._is_wanted or is_more  # `start` may have been called meanwhile
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), pause)
