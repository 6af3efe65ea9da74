"""The progress of webhooks, in memory."""

import asyncio
from collections.abc import Mapping

from roomd.engine.ports import StorageFailed
from roomd.engine.progress import Progress


class FakeProgress:
    """Keeps progress in memory; the same contract as the real one (tests/storage runs both)."""

    def __init__(self) -> None:
        self.rows: dict[str, Progress] = {}
        self.writes = 0
        self.failing = False
        self.asked = asyncio.Event()

    async def read_progress(self) -> dict[str, Progress]:
        if self.failing:
            raise StorageFailed
        return dict(self.rows)

    async def write_progress(self, changed: Mapping[str, Progress]) -> None:
        self.asked.set()
        if self.failing:
            raise StorageFailed
        self.writes += 1
        self.rows |= changed
