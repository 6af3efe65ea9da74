"""What waits to be written to one client, bounded, and when a client is too slow.

Writing never waits. Frames go straight to the transport, whose buffer is the queue; a client whose buffer is past
its bound is closed with 4408 instead of being awaited, so one slow reader costs the others nothing. Without
compression an event's bytes are the same for every client: `text_frame` makes them once.
"""

import struct
from collections.abc import Callable, Iterable
from typing import Protocol

from roomd.protocol.codec import encode
from roomd.protocol.errors import Close
from roomd.protocol.events import Event
from roomd.protocol.replies import Reply


def text_frame(payload: bytes) -> bytes:
    """Wrap a payload as one unmasked WebSocket text frame (RFC 6455, section 5.2)."""
    size = len(payload)
    if size < 126:
        return bytes((0x81, size)) + payload
    if size < 65_536:
        return struct.pack("!BBH", 0x81, 126, size) + payload
    return struct.pack("!BBQ", 0x81, 127, size) + payload


def encode_frame(frame: Reply | Event) -> bytes:
    """Write a reply or an event as a whole frame."""
    return text_frame(encode(frame))


class Transport(Protocol):
    """The part of an asyncio transport that an outbox needs."""

    def write(self, data: bytes, /) -> None:
        """Queue bytes for the client."""

    def writelines(self, list_of_data: Iterable[bytes], /) -> None:
        """Queue bytes for the client."""

    def get_write_buffer_size(self) -> int:
        """Count the bytes that still wait."""
        ...


class Connection(Protocol):
    """What an outbox asks of a WebSocket connection."""

    is_open: bool
    """Neither side has sent a close frame, and the connection stands."""


class Outbox:
    """Write frames to one client, never waiting.

    `limit` is in bytes; `close` starts the closing handshake, and may not wait.
    """

    __slots__ = ("_close", "_connection", "_limit", "_transport", "closed")

    def __init__(
        self, transport: Transport, limit: int, connection: Connection, close: Callable[[int, str], None]
    ) -> None:
        self._transport = transport
        self._limit = limit
        self._connection = connection
        self._close = close
        self.closed = False
        """Nothing more will be written."""

    def send(self, data: bytes, more: bytes = b"") -> None:
        """Write whole frames in one go, unless the client is closed or too slow for more."""
        if self._transport.get_write_buffer_size() > self._limit:
            self.check()
        elif self.closed or not self._connection.is_open:
            pass  # RFC 6455, section 5.5.1: no data frame follows a close frame
        elif more:
            self._transport.writelines((data, more))
        else:
            self._transport.write(data)

    def check(self) -> None:
        """Close a client that has more than the limit (bytes) unread."""
        if self._transport.get_write_buffer_size() > self._limit:
            self.close(Close.TOO_SLOW, "too slow to read")

    def is_busy(self) -> bool:
        """Say whether more than half of the limit waits unread; what can be sent later should be."""
        return self._transport.get_write_buffer_size() > self._limit / 2

    def close(self, code: int, reason: str = "") -> None:
        """Close the connection once; what was written before is sent first."""
        if not self.closed:
            self.closed = True
            self._close(code, reason)
