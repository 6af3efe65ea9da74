"""The stored event log, for its readers."""

from collections.abc import Collection

from roomd.engine.ports import LogBounds, LoggedEvents
from roomd.storage import events
from roomd.storage.sqlite import SqliteStore


class StoredEvents:
    """The event log of an open database. It implements `ports.EventLog`."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store

    async def log_id(self) -> str:
        """Read the id of the log, 12 hexadecimal digits.

        Raises `StorageFailed`.
        """
        return await self._store.read(events.read_log_id)

    async def renew_log_id(self) -> None:
        """Give the log a new id, so that nobody reads on from an earlier position.

        Raises `StorageFailed`.
        """
        await self._store.write(events.renew_log_id)

    async def bounds(self, passed: int = 0) -> LogBounds:  # noqa: ARG002 - one process reads it
        """Read where the log begins and ends.

        Raises `StorageFailed`.
        """
        return await self._store.read(events.bounds)

    async def read_events(self, after: int, limit: int, rooms: Collection[str] | None = None) -> LoggedEvents:
        """Read the events after a number: at most `limit`, of the rooms with these ids, or of all for None.

        Raises `StorageFailed`.
        """
        return await self._store.read(lambda db: events.read_events(db, after, limit, rooms))

    async def delete_events(self, before: str, limit: int) -> int:
        """Delete the oldest events, at most `limit`, from before a stamp. Return how many were deleted.

        Raises `StorageFailed`.
        """
        if not await self._store.read(lambda db: events.old_events(db, before, 1)):
            return 0  # nothing is written, and no join waits for it
        return await self._store.write(lambda db: events.delete_events(db, before, limit))
