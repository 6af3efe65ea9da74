"""A WebSocket client that hides nothing: single frames out, single frames in (RFC 6455, section 5.2)."""

import asyncio
import struct
from collections.abc import Sequence
from typing import NamedTuple

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
MASK = b"\x01\xa0\x7f\xff"
KEY = "dGhlIHNhbXBsZSBub25jZQ=="


class Frame(NamedTuple):
    """A frame that the server sent."""

    opcode: int
    payload: bytes
    is_plain: bool
    """It is final, has no reserved bit and no mask, and gives its length in the shortest form."""


def frame(payload: bytes, opcode: int = TEXT, *, fin: bool = True, reserved: int = 0, masked: bool = True) -> bytes:
    """Write a frame as a client must, or must not."""
    bit, size = masked << 7, len(payload)
    head = bytes([fin << 7 | reserved << 4 | opcode])
    if size < 126:
        head += bytes([bit | size])
    elif size < 65_536:
        head += struct.pack("!BH", bit | 126, size)
    else:
        head += struct.pack("!BQ", bit | 127, size)
    return head + (MASK + _mask(payload) if masked else payload)


def _mask(payload: bytes) -> bytes:
    size = len(payload)
    key = (MASK * (size // 4 + 1))[:size]
    return (int.from_bytes(payload) ^ int.from_bytes(key)).to_bytes(size)


class Wire:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, port: int, headers: Sequence[tuple[str, str]] = ()) -> "Wire":
        """Connect and shake hands.

        Raises `AssertionError` when the server does not answer 101.
        """
        wire = cls(*await asyncio.open_connection("127.0.0.1", port))
        given = [
            ("Host", "roomd.example"),
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", KEY),
            *headers,
        ]
        lines = ["GET /ws HTTP/1.1", *(f"{name}: {value}" for name, value in given)]
        await wire.send("".join(f"{line}\r\n" for line in [*lines, ""]).encode())
        wire.response = (await wire._reader.readuntil(b"\r\n\r\n")).decode()
        assert wire.response.startswith("HTTP/1.1 101 "), wire.response
        return wire

    response = ""
    """The head of the server's answer to the upgrade."""

    async def send(self, data: bytes) -> None:
        """Send bytes as they are; nothing happens when the server has gone."""
        try:
            self._writer.write(data)
            await self._writer.drain()
        except ConnectionError:
            pass

    async def read(self) -> Frame | None:
        """Wait for the next frame; None when there will be none."""
        try:
            first, second = await self._reader.readexactly(2)
            size, shortest = second & 127, 0
            if size == 126:
                size, shortest = int.from_bytes(await self._reader.readexactly(2)), 126
            elif size == 127:
                size, shortest = int.from_bytes(await self._reader.readexactly(8)), 65_536
            payload = await self._reader.readexactly(size)
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        return Frame(first & 15, payload, first >> 4 == 8 and second < 128 and size >= shortest)

    def cut(self) -> None:
        """End the connection without a close frame."""
        self._writer.transport.abort()
