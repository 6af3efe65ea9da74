"""A WebSocket client that costs little: frames by hand, on a transport of asyncio."""

import asyncio
import contextlib
import json
import time
from collections.abc import Callable
from typing import Any, TypeVar

import jwt

from tests.support.processes import PATIENCE
from tests.support.raw_sockets import UPGRADE, frame

Frame = dict[str, Any]

CUT = 0
"""The HTTP status where the connection ended without one."""


class Lost(Exception):  # noqa: N818 - what happened to the connection
    """The connection ended while something was awaited."""


def handshake(address: str, token: str | None = None) -> bytes:
    """Return a whole request to upgrade from an address, as a proxy passes it on."""
    lines = f"X-Forwarded-For: {address}\r\n" + (f"Authorization: Bearer {token}\r\n" if token else "")
    return UPGRADE + lines.encode() + b"\r\n"


def text(type_: str, **fields: Any) -> bytes:
    """Return a request as a frame."""
    return frame(json.dumps({"type": type_, **fields}).encode())


def token_for(user: str, secret: str) -> str:
    """Make a token as an issuer would."""
    return jwt.encode({"sub": user, "exp": int(time.time()) + 3600}, secret, algorithm="HS256")


class Line(asyncio.Protocol):
    """One connection. It answers pings, and passes each text frame that is no reply to `heard`.

    A `Line` without `heard` counts the frames without reading them, until `ask` needs a reply.
    """

    def __init__(self, heard: Callable[[Frame], None] | None = None) -> None:
        self.heard = heard
        self.status = CUT
        """The HTTP status of the handshake."""
        self.code = 0
        """The close code that the daemon sent; 0 without one."""
        self.is_open = True
        """Whether the daemon has neither closed nor cut the connection."""
        self.count = 0
        """The number of text frames that came."""
        self.waiting: dict[int, asyncio.Future[Frame]] = {}
        self.transport: asyncio.Transport
        self.lost = asyncio.Event()
        self._changed = asyncio.Event()
        self._buffer = bytearray()
        self._last = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def connection_lost(self, _: Exception | None) -> None:
        self._end()
        self.lost.set()

    def data_received(self, data: bytes) -> None:
        """Take bytes from the daemon."""
        self._buffer += data
        if self.status == CUT:
            head, found, rest = self._buffer.partition(b"\r\n\r\n")
            if not found:
                return
            self.status = int(head[9:12])
            self._buffer = rest
            self._changed.set()
        if self.status == 101:
            self._take_frames()

    def _take_frames(self) -> None:
        buffer, start = self._buffer, 0
        while len(buffer) - start >= 2:
            size, body = buffer[start + 1], start + 2
            if size >= 126:
                body += 2 if size == 126 else 8
                size = int.from_bytes(buffer[start + 2 : body])
            if len(buffer) < body + size:
                break
            self._take(buffer[start] & 15, bytes(buffer[body : body + size]))
            start = body + size
        del buffer[:start]

    def _take(self, opcode: int, payload: bytes) -> None:
        if opcode == 9:
            self.write(frame(payload, 10))
        elif opcode == 8:
            self.code = int.from_bytes(payload[:2])
            self.write(frame(payload, 8))
            self._end()
            self.transport.close()
        elif opcode == 1:
            self.count += 1
            if self.heard is not None or self.waiting:
                self._read(json.loads(payload))

    def _read(self, found: Frame) -> None:
        future = self.waiting.pop(found.get("id", 0), None)
        if future is not None and not future.done():
            future.set_result(found)
        elif self.heard is not None:
            self.heard(found)

    def _end(self) -> None:
        self.is_open = False
        self._changed.set()
        for future in self.waiting.values():
            if not future.done():
                future.set_exception(Lost(self.code))
        self.waiting.clear()

    def write(self, data: bytes) -> None:
        """Send bytes, unless the connection has ended."""
        if self.is_open and not self.transport.is_closing():
            self.transport.write(data)

    def send(self, type_: str, **fields: Any) -> None:
        """Send a request without an `id`."""
        self.write(text(type_, **fields))

    async def ask(self, type_: str, **fields: Any) -> Frame:
        """Send a request and return its reply.

        Raises `Lost`, also when there is no reply within `PATIENCE`.
        """
        if not self.is_open:
            raise Lost(self.code)
        self._last += 1
        future: asyncio.Future[Frame] = asyncio.get_running_loop().create_future()
        self.waiting[self._last] = future
        self.write(text(type_, id=self._last, **fields))
        try:
            async with asyncio.timeout(PATIENCE):
                return await future
        except TimeoutError:
            raise Lost(f"no reply to {type_}") from None

    async def upgraded(self) -> bool:
        """Wait for the answer to the handshake; return whether the WebSocket is open."""
        while self.status == CUT and self.is_open:
            self._changed.clear()
            await self._changed.wait()
        return self.status == 101

    def cut(self) -> None:
        """End the connection as a network that fails would."""
        self.is_open = False
        if not self.lost.is_set():
            self.transport.abort()


L = TypeVar("L", bound=Line)


async def connect(port: int, line: L, first: bytes = b"") -> L:
    """Connect a new line, and send bytes.

    Raises `OSError`.
    """
    await asyncio.get_running_loop().create_connection(lambda: line, "127.0.0.1", port)
    if first:
        line.write(first)
    return line


async def dial(port: int, first: bytes = b"", heard: Callable[[Frame], None] | None = None) -> Line:
    """Connect and send bytes.

    Raises `OSError`.
    """
    return await connect(port, Line(heard), first)


async def gone(line: Line, seconds: float) -> bool:
    """Wait until the connection has ended, for some seconds at most; return whether it has."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await line.lost.wait()
    return line.lost.is_set()
