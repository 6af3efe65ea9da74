"""Ends connections on which a commit will never be answered."""

import asyncio
import contextlib
import logging
from collections.abc import Iterator

from roomd.storage.postgresql.connection import Connection, DatabaseError, connect

log = logging.getLogger("roomd.storage.postgresql.commit_watch")

WATCH_AFTER = 5.0
"""The seconds after which it is looked at whether the server still works on a commit, and between two looks."""
LOOKS = 2
"""The looks one after another that must find it does not: its answer may just be under way on a busy machine."""
_IS_WORKING = "SELECT 1 FROM pg_stat_activity WHERE pid = $1 AND state = 'active'"


class CommitWatch:
    """Asks the server at `url` over another connection whether it still works on a commit that takes long."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._watching: set[asyncio.Task[None]] = set()

    @contextlib.contextmanager
    def watched(self, connection: Connection) -> Iterator[None]:
        """Watch the connection while the block waits for the server."""
        watch = asyncio.get_running_loop().call_later(WATCH_AFTER, self._watch, connection)
        try:
            yield
        finally:
            watch.cancel()
            for task in self._watching:
                task.cancel()

    def _watch(self, connection: Connection) -> None:
        task = asyncio.create_task(self._give_up(connection), name="watch a commit")
        self._watching.add(task)
        task.add_done_callback(self._watching.discard)

    async def _give_up(self, connection: Connection) -> None:
        """End the connection as soon as the server does not work on the commit any more."""
        in_vain = 0
        while in_vain < LOOKS:
            in_vain = 0 if await self._is_working(connection.pid) else in_vain + 1
            await asyncio.sleep(WATCH_AFTER)
        log.warning("the server does not answer a commit")
        connection.terminate()

    async def _is_working(self, pid: int) -> bool:
        try:
            other = await connect(self._url, longest=WATCH_AFTER)
            try:
                return bool(await other.fetch(_IS_WORKING, pid))
            finally:
                other.terminate()
        except DatabaseError:
            return False
