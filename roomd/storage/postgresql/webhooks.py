"""The stored progress of the endpoints of webhooks."""

from collections.abc import Mapping

from roomd.engine.progress import Progress
from roomd.storage.postgresql.store import PostgresqlStore

_WRITE = """
    INSERT INTO webhooks (name, log_id, number, delivered_at, is_gone)
    SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::boolean[])
    ON CONFLICT (name) DO UPDATE SET log_id = excluded.log_id, number = excluded.number,
        delivered_at = excluded.delivered_at, is_gone = excluded.is_gone
"""


class StoredProgress:
    """The progress in an open database. It implements `engine.progress.ProgressStore`."""

    def __init__(self, store: PostgresqlStore) -> None:
        self._store = store

    async def read_progress(self) -> dict[str, Progress]:
        """Read the progress of every endpoint that there ever was, by name.

        Raises `StorageFailed`.
        """
        rows = await self._store.fetch("SELECT name, log_id, number, delivered_at, is_gone FROM webhooks")
        return {name: Progress(*progress) for name, *progress in rows}

    async def write_progress(self, changed: Mapping[str, Progress]) -> None:
        """Store the progress of these endpoints, in one transaction.

        Raises `StorageFailed`.
        """
        if changed:
            rows = [(name, *progress) for name, progress in changed.items()]
            await self._store.fetch(_WRITE, *zip(*rows, strict=True))
