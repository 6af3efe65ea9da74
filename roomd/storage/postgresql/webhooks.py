"""The stored progress of the endpoints of webhooks."""

from collections.abc import Mapping

from roomd.engine.progress import Progress
from roomd.storage.postgresql.store import PostgresqlStore

_WRITE = """
    INSERT INTO webhooks (name, log_id, number, delivered_at, is_gone)
    SELECT one.* FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::boolean[])
        AS one (name, log_id, number, delivered_at, is_gone)
    WHERE $6::bigint IS NULL OR EXISTS (
        SELECT 1 FROM duties WHERE duties.name = 'webhook ' || one.name AND duties.generation = $6 FOR SHARE
    )
    ON CONFLICT (name) DO UPDATE SET log_id = excluded.log_id, number = excluded.number,
        delivered_at = excluded.delivered_at, is_gone = excluded.is_gone
"""


class StoredProgress:
    """The progress in an open database. It implements `engine.progress.ProgressStore`.

    A node of a cluster, of this `generation`, writes that of the endpoints which it has the duty to push to. So one
    that was frozen, and whose duty another node has, does not set the progress back.
    """

    def __init__(self, store: PostgresqlStore, generation: int | None = None) -> None:
        self._store = store
        self._generation = generation

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
            await self._store.fetch(_WRITE, *zip(*rows, strict=True), self._generation)
