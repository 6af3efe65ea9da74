"""WebSocket frames made by hand (RFC 6455), and TCP connections to a daemon that send and read them as bytes."""

import asyncio
import contextlib
import json
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.support.daemon import Daemon
from tests.support.processes import PATIENCE
from tests.support.replies import check_reply

UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
"""A request to upgrade, without the empty line that ends it."""

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def frame(payload: bytes, opcode: int = 1, *, fin: bool = True, reserved: int = 0, masked: bool = True) -> bytes:
    """Make a frame, by default as a client must; its mask changes no byte."""
    head = bytes([fin << 7 | reserved << 4 | opcode])
    bit = masked << 7
    if len(payload) < 126:
        head += bytes([bit | len(payload)])
    else:
        head += struct.pack("!BH", bit | 126, len(payload)) if len(payload) < 65_536 else (
            struct.pack("!BQ", bit | 127, len(payload))
        )  # fmt: skip
    return head + (b"\0\0\0\0" if masked else b"") + payload


def pieces(payload: bytes, size: int, empty: int = 0) -> bytes:
    """Cut a text message into fragments of `size` bytes, with `empty` empty ones before the last."""
    cuts = [payload[i : i + size] for i in range(0, len(payload), size)] + [b""] * empty + [b""]
    return b"".join(frame(cut, 0 if i else 1, fin=i == len(cuts) - 1) for i, cut in enumerate(cuts))


@asynccontextmanager
async def tcp(daemon: Daemon) -> AsyncIterator[Streams]:
    """Connect; abort the connection at the end of the block."""
    reader, writer = await asyncio.open_connection("127.0.0.1", daemon.port)
    try:
        async with asyncio.timeout(2 * PATIENCE):
            yield reader, writer
    finally:
        writer.transport.abort()


@asynccontextmanager
async def opened(daemon: Daemon, header: bytes = b"X: y") -> AsyncIterator[Streams]:
    """Connect and open a WebSocket, with one more line in the request."""
    async with tcp(daemon) as (reader, writer):
        writer.write(UPGRADE + header + b"\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        yield reader, writer


async def next_frame(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Read the server's next frame; return its opcode and payload."""
    first, size = await reader.readexactly(2)
    if size >= 126:
        size = int.from_bytes(await reader.readexactly(2 if size == 126 else 8), "big")
    return first & 15, await reader.readexactly(size)


async def next_payload(reader: asyncio.StreamReader, opcode: int = 1) -> bytes:
    """Read the server's next frame, which must have this opcode; return its payload."""
    found, payload = await next_frame(reader)
    assert found == opcode, payload
    return payload


async def close_code(reader: asyncio.StreamReader) -> int:
    """Read up to the close frame; return its code, or 1005 without one. Each text frame before it must be a reply."""
    while (got := await next_frame(reader))[0] != 8:
        if got[0] == 1:
            check_reply(json.loads(got[1]))
    return int.from_bytes(got[1][:2], "big") if got[1] else 1005


async def answer_to(daemon: Daemon, raw: bytes) -> int | None:
    """Send bytes in place of a handshake, read until the connection ends, and return the HTTP status, if any."""
    async with tcp(daemon) as (reader, writer):
        writer.write(raw)
        answer = b""
        with contextlib.suppress(ConnectionError):  # the daemon closed without reading everything
            while got := await reader.read(65_536):
                answer += got
    return int(answer.split(b" ", 2)[1]) if answer else None


def narrow_socket(port: int) -> socket.socket:
    """Connect to a port of this machine with a small receive buffer, which little output fills."""
    narrow = socket.socket()
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8_192)
    narrow.connect(("127.0.0.1", port))
    return narrow
