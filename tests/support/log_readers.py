"""Who reads the event log by HTTP without a network, byte by byte."""

import asyncio
from typing import Any
from urllib.parse import urlencode

from roomd.protocol.log_events import LoggedRoomUpdated
from tests.support.api import ApiClient, ApiStage, parse
from tests.support.processes import PATIENCE
from tests.support.stored import LATER, ROOM


class EventStage(ApiStage):
    """A log beside a room of Alice's, and admins who read it."""

    def write(self, count: int = 1, room: str = ROOM.id) -> None:
        """Commit events."""
        self.log.add(room, [LoggedRoomUpdated(at=LATER, room=ROOM) for _ in range(count)])

    def reader(self, token: str | None = None) -> "Reader":
        """Connect somebody, by default an admin."""
        return Reader(self, self.token("root", admin=True) if token is None else token)


class Reader(ApiClient):
    """A client that reads the log."""

    def __init__(self, stage: ApiStage, token: str) -> None:
        super().__init__(stage)
        self.token = token
        self.text = ""

    def ask(self, query: str = "", method: str = "GET", **headers: str) -> None:
        """Send a request."""
        fields = {"Host": "x", "Authorization": self.token and f"Bearer {self.token}", **headers}
        lines = "".join(f"{name.replace('_', '-')}: {text}\r\n" for name, text in fields.items() if text)
        self.transport.receive(f"{method} /api/v1/events{query} HTTP/1.1\r\n{lines}\r\n".encode())

    async def until(self, *found: str) -> str:
        """Read until all of these texts came, and return everything since the last call."""
        async with asyncio.timeout(PATIENCE):
            while not all(text in self.text for text in found):
                self.text += self.transport.written().decode()
                await asyncio.sleep(0.001)
        text, self.text = self.text, ""
        return text

    async def poll(self, *, method: str = "GET", **parameters: Any) -> tuple[int, dict[str, Any]]:
        """Ask, and return the status and the body."""
        self.ask(f"?{urlencode(parameters, doseq=True)}", method)
        (answer,) = parse((await self.until("\r\n\r\n")).encode())
        return answer.status, answer.frame

    async def stream(self, query: str = "", **headers: str) -> str:
        """Begin a stream, and return its head."""
        self.ask(query, Accept="text/event-stream", **headers)
        text = await self.until("retry: ")
        end = text.index("retry: ")
        self.text = text[end:]
        return text[:end]
