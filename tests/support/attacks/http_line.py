"""Clients by HTTP: requests by hand, and what comes back as it comes."""

import asyncio
import json
from collections import Counter
from typing import Any

from tests.support.attacks.line import Line, Lost
from tests.support.processes import PATIENCE


def post(kind: str, address: str, token: str | None, *fields: str, body: bytes = b"", method: str = "POST") -> bytes:
    """Return a request of the server API, as a proxy passes it on. `fields` are further header fields.

    Without a field that says how long the body is, its length is added.
    """
    lines = [f"{method} /api/v1/{kind} HTTP/1.1", "Host: x", f"X-Forwarded-For: {address}", *fields]
    if body or method == "POST":
        lines.append("Content-Type: application/json")
    if not any(field.lower().startswith(("content-length:", "transfer-encoding:")) for field in fields):
        lines.append(f"Content-Length: {len(body)}")
    if token is not None:
        lines.append(f"Authorization: Bearer {token}")
    return "".join(f"{line}\r\n" for line in lines).encode() + b"\r\n" + body


class HttpLine(Line):
    """One connection by HTTP. It counts the responses; the bodies must have a length."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: Counter[int] = Counter()
        """How often each status came."""
        self.in_order: list[int] = []
        """The statuses."""
        self.body = b""
        """The body of the last response."""

    def data_received(self, data: bytes) -> None:
        """Take bytes from the daemon."""
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            first, *lines = self._buffer[:end].decode("latin-1").split("\r\n")
            fields = dict(line.lower().split(": ", 1) for line in lines)
            size = int(fields.get("content-length", "0"))
            if len(self._buffer) < end + 4 + size:
                break
            self.status = int(first.split()[1])
            self.body = bytes(self._buffer[end + 4 : end + 4 + size])
            del self._buffer[: end + 4 + size]
            self.answers[self.status] += 1
            self.in_order.append(self.status)
            self._changed.set()

    def eof_received(self) -> None:
        """End the connection: the daemon serves nothing more on it."""
        self._end()

    async def answered(self, count: int = 1) -> None:
        """Wait until so many responses came since the start.

        Raises `Lost` where the connection ends before, or nothing comes within `PATIENCE`.
        """
        try:
            async with asyncio.timeout(PATIENCE):
                while len(self.in_order) < count:
                    if not self.is_open:
                        raise Lost(self.status)
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise Lost("no response") from None

    async def respond(self, request: bytes) -> tuple[int, dict[str, Any]]:
        """Send a request and return the status and the JSON of its response. It has to be the only one.

        Raises `Lost`.
        """
        self.write(request)
        await self.answered(len(self.in_order) + 1)
        return self.status, json.loads(self.body or b"{}")
