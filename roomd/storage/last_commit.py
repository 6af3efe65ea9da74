"""Whether a store can commit: known from its last commit, and found out again while nothing else is committed."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable

from roomd.engine.ports import StorageFailed

PROBE_INTERVAL = 1.0
"""The seconds between two attempts to commit again after a failure."""


class LastCommit:
    """Whether the last commit failed. `again` commits something that changes nothing; it may raise `StorageFailed`."""

    def __init__(self, again: Callable[[], Awaitable[object]]) -> None:
        self.has_failed = False
        """Set by the store after each commit."""
        self._again = again
        self._probe: asyncio.Task[None] | None = None
        self._probe_at = 0.0

    def is_failing(self) -> bool:
        """Return whether the last commit failed.

        Then this starts to commit again, unless it did within the last second: who asks may be the one that keeps
        clients away until it is well, and without clients nothing else would be committed.
        """
        now = time.monotonic()
        if self.has_failed and now >= self._probe_at and (self._probe is None or self._probe.done()):
            self._probe_at = now + PROBE_INTERVAL
            self._probe = asyncio.create_task(self._commit_again())
        return self.has_failed

    async def close(self) -> None:
        """Wait for the attempt that is running."""
        if self._probe is not None:
            await self._probe

    async def _commit_again(self) -> None:
        with contextlib.suppress(StorageFailed):
            await self._again()
