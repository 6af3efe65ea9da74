"""Delete what is old from the event log, a little at a time, so that no join waits for it."""

import asyncio
import logging
from collections.abc import Callable

from roomd.engine.ports import Clock, EventLog, StorageFailed
from roomd.protocol.timestamps import stamp

log = logging.getLogger("roomd.eventlog.retention")

MOST_ROWS = 500
"""The events that are deleted in one transaction."""
PAUSE = 0.1
"""The seconds between two transactions."""
INTERVAL = 60.0
"""The seconds between two looks, at most."""


class Retention:
    """Keeps the event log to an age. `keep` returns it, in seconds; a reload may change it."""

    def __init__(self, events: EventLog, clock: Clock, keep: Callable[[], float]) -> None:
        self._events = events
        self._clock = clock
        self._keep = keep

    async def run(self) -> None:
        """Delete what is old, again and again, until cancelled."""
        while True:
            deleted = 0
            try:
                deleted = await self.delete()
            except StorageFailed:
                log.warning("old events are not deleted")  # the reason is in the log already
            await asyncio.sleep(PAUSE if deleted == MOST_ROWS else min(INTERVAL, self._keep() / 4))

    async def delete(self) -> int:
        """Delete the oldest events, at most `MOST_ROWS`, if they are too old. Return how many were deleted.

        Raises `StorageFailed`.
        """
        before = stamp(max(0.0, self._clock.wall() - self._keep()))
        return await self._events.delete_events(before, MOST_ROWS)
