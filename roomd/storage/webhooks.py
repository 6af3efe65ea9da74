"""The stored progress of the endpoints of webhooks."""

import sqlite3
from collections.abc import Mapping

from roomd.engine.progress import Progress
from roomd.storage.sqlite import SqliteStore


class StoredProgress:
    """The progress in an open database. It implements `engine.progress.ProgressStore`."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store

    async def read_progress(self) -> dict[str, Progress]:
        """Read the progress of every endpoint that there ever was, by name.

        Raises `StorageFailed`.
        """
        return await self._store.read(_read)

    async def write_progress(self, changed: Mapping[str, Progress]) -> None:
        """Store the progress of these endpoints, in one transaction.

        Raises `StorageFailed`.
        """
        rows = [(name, *progress) for name, progress in changed.items()]
        sql = "INSERT OR REPLACE INTO webhooks (name, log_id, number, delivered_at, is_gone) VALUES (?, ?, ?, ?, ?)"
        await self._store.write(lambda db: db.executemany(sql, rows))


def _read(db: sqlite3.Connection) -> dict[str, Progress]:
    rows = db.execute("SELECT name, log_id, number, delivered_at, is_gone FROM webhooks").fetchall()
    return {name: Progress(log_id, number, at, bool(is_gone)) for name, log_id, number, at, is_gone in rows}
