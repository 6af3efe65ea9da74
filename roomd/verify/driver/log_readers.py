"""Readers of the event log: one at each node, over whatever fails meanwhile."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

from roomd.client.event_log import follow_log
from roomd.client.settings import Settings
from roomd.client.tokens import Token
from roomd.protocol.errors import Refused
from roomd.verify.driver.host import NAME
from roomd.verify.driver.lines import clock
from roomd.verify.records import LogRecord

LONGEST_PAUSE = 1.0
"""Seconds between two attempts of a reader, at most."""


class LogReader:
    """Follows the log at one node, and keeps the events of the rooms of this run."""

    def __init__(self, node: str, token: Token, run: str) -> None:
        self.record = LogRecord(node)
        self.ended: set[str] = set()
        """The codes of the rooms whose end it has read."""
        self.has_begun = asyncio.Event()
        """Set when the server has said from which position on it reads, or has refused."""
        self.refusal: str | None = None
        """The code of the refusal to read the log."""
        self._token = token
        self._run = run

    async def follow(self) -> None:
        """Read until this is cancelled."""
        settings = Settings(sleep=lambda seconds: asyncio.sleep(min(seconds, LONGEST_PAUSE)))
        try:
            async with contextlib.aclosing(
                follow_log(self.record.node, self._token, "latest", settings=settings)
            ) as parts:
                async for part in parts:
                    at = clock()
                    self.has_begun.set()
                    for event in part.events:
                        room = event["room"]
                        if (room.get("metadata") or {}).get(NAME) == self._run:
                            self.record.events.append((at, event))
                            if event["type"] == "room-ended":
                                self.ended.add(room["code"])
        except Refused as refused:
            self.refusal = refused.kind.code
            self.has_begun.set()


@contextlib.asynccontextmanager
async def reading(readers: Sequence[LogReader]) -> AsyncIterator[None]:
    """Have these readers follow the log; each has begun when this begins."""
    tasks = [asyncio.create_task(reader.follow()) for reader in readers]
    try:
        for reader in readers:
            await reader.has_begun.wait()
        yield
    finally:
        for task in tasks:
            task.cancel()
        for end in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(end, Exception):
                raise end
