"""A backend that receives webhooks, as well or as badly as it is told."""

import asyncio
import base64
import contextlib
import json
import ssl
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Self

from standardwebhooks import Webhook

from tests.support.processes import PATIENCE, free_port

SIGNING = "whsec_" + base64.b64encode(b"a webhook secret for tests, only").decode()
OTHER_SIGNING = "whsec_" + base64.b64encode(b"another secret for a rotation of").decode()

OK = "ok"
HERE = ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "2130706433", "0.0.0.0", "[::]", "[::1]", "[::ffff:7f00:1]")
"""Names of this machine."""

DONE = "HTTP/1.1 204 No Content\r\n\r\n"
ANSWERS = {
    "forged": "HTTP/1.1 400 Forged\r\nContent-Length: 0\r\n\r\n",
    "500": "HTTP/1.1 500 Oh\r\nContent-Length: 2\r\n\r\nno",
    "503": "HTTP/1.1 503 Busy\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n",
    "410": "HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n",
    "redirect": "HTTP/1.1 307 There\r\nLocation: {there}\r\nContent-Length: 0\r\n\r\n",
    "nonsense": "SSH-2.0-OpenSSH_9.2\r\n",
}
"""How it refuses: the event was not taken."""
LOST = ("hang", "close", "late")
"""How its answer is lost: the event was taken. `late` waits until the sender is gone, and answers then."""


class Received(NamedTuple):
    """One request."""

    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        event: dict[str, Any] = json.loads(self.body)
        return event


class Receiver:
    """Takes events once each, by their id. `plan` has how the next requests are served; then all is well.

    A request whose signature does not fit is answered with 400, and counted in `forged`. `given` is called before each
    answer with how the request is served, in the words above, and the request.
    """

    def __init__(
        self,
        *secrets: str,
        tls: ssl.SSLContext | None = None,
        is_checking: bool = True,
        given: Callable[[str, Received], None] = lambda _how, _request: None,
    ) -> None:
        self.checks = [Webhook(secret) for secret in secrets or (SIGNING,)]
        self.is_checking = is_checking
        self.given = given
        self.plan: deque[str] = deque()
        self.requests: list[Received] = []
        self.events: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.forged = 0
        self.connections = 0
        self.most_at_once = 0
        self.there = "http://127.0.0.1:9/"
        self.port = free_port()
        self._tls = tls
        self._at_once = 0
        self._open: dict[asyncio.Task[Any], asyncio.StreamWriter] = {}
        self._ids: set[str] = set()
        self._news = asyncio.Condition()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """Its address."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}/hooks?key=q"

    async def start(self) -> None:
        """Listen, at the same port each time."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self._tls)

    async def stop(self) -> None:
        """Be away: refuse connections, and close those that are open."""
        if self._server is not None:
            self._server.close()
            self._server = None
            for writer in self._open.values():
                writer.transport.abort()
            await asyncio.gather(*self._open, return_exceptions=True)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something holds, looked at after each request."""
        async with asyncio.timeout(PATIENCE), self._news:
            await self._news.wait_for(condition)

    async def until_type(self, kind: str, count: int = 1) -> None:
        """Wait until it has so many events of a type."""
        await self.until(lambda: [event["type"] for event in self.events].count(kind) >= count)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._open[task] = writer
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                while True:
                    head = (await reader.readuntil(b"\r\n\r\n")).decode()
                    first, *lines = head.rstrip().split("\r\n")
                    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
                    body = await reader.readexactly(int(headers["content-length"]))
                    assert first.startswith("POST ")
                    self.paths.append(first.split()[1])
                    self._at_once += 1
                    self.most_at_once = max(self.most_at_once, self._at_once)
                    try:
                        if not await self._answer(Received(headers, body), reader, writer):
                            return
                    finally:
                        self._at_once -= 1
        finally:
            del self._open[task]
            writer.close()

    async def _answer(self, request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        how = self.plan.popleft() if self.plan else OK
        if self.is_checking and not self._is_signed(request):
            how = "forged"
            self.forged += 1
        self.given(how, request)
        async with self._news:
            self.requests.append(request)
            if how not in ANSWERS and request.event["id"] not in self._ids:
                self._ids.add(request.event["id"])
                self.events.append(request.event)
            self._news.notify_all()
        if how in LOST:
            if how != "close":
                assert await reader.read() == b""  # the sender goes
                writer.write(DONE.encode())
            return False
        if how == "endless":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n")
            while True:
                writer.write(b"x" * 65536)
                await writer.drain()
        writer.write(ANSWERS.get(how, DONE).format(there=self.there).encode())
        return how != "nonsense"

    def _is_signed(self, request: Received) -> bool:
        for check in self.checks:
            with contextlib.suppress(Exception):
                check.verify(request.body, request.headers)
                return bool(request.headers["webhook-id"] == request.event["id"])
        return False


def secret_file(folder: Path, secret: str = SIGNING, name: str = "webhook.secret") -> str:
    """Write a secret to a file that only its owner can read, and return its path."""
    file = folder / name
    file.write_text(f"{secret}\n")
    file.chmod(0o600)
    return str(file)


def endpoints(folder: Path, **urls: str) -> dict[str, Any]:
    """Return the setting `webhooks.endpoints` of endpoints on this machine."""
    file = secret_file(folder)
    return {name: {"url": url, "secret_files": [file], "private": True} for name, url in urls.items()}


def setting(value: dict[str, Any]) -> dict[str, str]:
    """Return the variable of this setting."""
    return {"ROOMD_WEBHOOKS_ENDPOINTS": json.dumps(value)}


def an_endpoint(folder: Path) -> dict[str, str]:
    """Return the variable of an endpoint where nobody listens."""
    return setting(endpoints(folder, backend="http://127.0.0.1:9/"))
