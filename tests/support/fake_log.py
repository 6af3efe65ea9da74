"""An event log in memory."""

import asyncio
import itertools
from collections.abc import Callable, Collection, Iterable

import msgspec

from roomd.engine.ports import LogBounds, LoggedEvents, StorageFailed
from roomd.protocol.log_events import LogEvent
from roomd.protocol.logged import number_of, room_id_of


class FakeLog:
    """Keeps log events in memory; the same contract as the real log (tests/storage runs both)."""

    def __init__(self) -> None:
        self.name = "0123456789ab"
        self.rows: list[tuple[bytes, LogEvent]] = []
        self.reads = 0
        self.asked_to_delete = asyncio.Event()
        self.failing = False
        self.may_answer = asyncio.Event()
        """While it is not set, reads have no answer."""
        self.may_answer.set()
        self.on_events: Callable[[], None] = lambda: None
        self._last = 0

    def add(self, room_id: str, events: Iterable[LogEvent]) -> None:
        for event in events:
            self._last += 1
            body = {
                "id": f"{self._last:024x}",
                "position": f"{self.name}{self._last:012x}",
                **msgspec.json.decode(msgspec.json.encode(event)),
            }
            self.rows.append((msgspec.json.encode(body), event))
            self.on_events()

    async def log_id(self) -> str:
        return self.name

    async def renew_log_id(self) -> None:
        self.name = self.name[::-1]

    async def bounds(self, passed: int = 0) -> LogBounds:
        return LogBounds(number_of(self.rows[0][0]) - 1 if self.rows else self._last, self._last)

    async def read_events(self, after: int, limit: int, rooms: Collection[str] | None = None) -> LoggedEvents:
        self.reads += 1
        await self.may_answer.wait()
        if self.failing:
            raise StorageFailed
        found = [row for row, _ in self.rows if number_of(row) > after and (rooms is None or room_id_of(row) in rooms)]
        reached = number_of(found[limit - 1]) if len(found) >= limit else max(self._last, after)
        return LoggedEvents(
            found[:limit], reached, reached >= self._last, reached - after, (await self.bounds()).before_first
        )

    async def delete_events(self, before: str, limit: int) -> int:
        self.asked_to_delete.set()
        if self.failing:
            raise StorageFailed
        old = list(itertools.takewhile(lambda row: row[1].at < before, self.rows[:limit]))
        del self.rows[: len(old)]
        return len(old)
