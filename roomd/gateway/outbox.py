"""The outbox of one client: the bytes that wait to be sent, with a limit.

Writing never waits. Frames are written to the transport at once, and its buffer is the queue. A client whose buffer
exceeds the limit is closed with 4408, so a slow client does not delay the others. There is no compression, so the bytes
of an event are the same for every client and are encoded once.
"""

import struct
from collections.abc import Callable, Iterable
from typing import Protocol

from roomd.protocol.codec import encode
from roomd.protocol.errors import Close
from roomd.protocol.events import Event
from roomd.protocol.replies import Reply


def text_frame(payload: bytes) -> bytes:
    """Build one unmasked WebSocket text frame with this payload (RFC 6455, section 5.2)."""
    size = len(payload)
    if size < 126:
        return bytes((0x81, size)) + payload
    if size < 65_536:
        return struct.pack("!BBH", 0x81, 126, size) + payload
    return struct.pack("!BBQ", 0x81, 127, size) + payload


def encode_frame(frame: Reply | Event) -> bytes:
    """Encode a reply or an event as a whole frame."""
    return text_frame(encode(frame))


class Transport(Protocol):
    """The part of an asyncio transport that an outbox needs."""

    def write(self, data: bytes, /) -> None:
        """Queue bytes for the client."""

    def writelines(self, list_of_data: Iterable[bytes], /) -> None:
        """Queue bytes for the client."""

    def get_write_buffer_size(self) -> int:
        """Return the number of bytes that are not sent yet."""
        ...


class Connection(Protocol):
    """The part of a WebSocket that an outbox needs."""

    is_open: bool
    """Whether the connection is open and neither side has sent a close frame."""


class Outbox:
    """Write frames to one client without waiting.

    `limit` is in bytes. `close` takes a close code and a reason, starts the closing handshake and must not wait.
    """

    __slots__ = ("_close", "_connection", "_limit", "_transport", "is_closed")

    def __init__(
        self, transport: Transport, limit: int, connection: Connection, close: Callable[[int, str], None]
    ) -> None:
        self._transport = transport
        self._limit = limit
        self._connection = connection
        self._close = close
        self.is_closed = False
        """Whether the outbox is closed: nothing more is written."""

    def send(self, data: bytes, more: bytes = b"") -> None:
        """Write whole frames, `more` after `data`. Nothing is written to a client that is closed or too slow."""
        if self._transport.get_write_buffer_size() > self._limit:
            self.check()
        elif self.is_closed or not self._connection.is_open:
            pass  # RFC 6455, section 5.5.1: no data frame follows a close frame
        elif more:
            self._transport.writelines((data, more))
        else:
            self._transport.write(data)

    def check(self) -> None:
        """Close the client if more bytes than the limit wait for it."""
        if self._transport.get_write_buffer_size() > self._limit:
            self.close(Close.TOO_SLOW, "too slow to read")

    def is_half_full(self) -> bool:
        """Return whether more than half of the limit waits. Then events that can be sent later should be."""
        return self._transport.get_write_buffer_size() > self._limit / 2

    def close(self, code: int, reason: str = "") -> None:
        """Close the connection; frames written before are sent first. Closing twice is fine."""
        if not self.is_closed:
            self.is_closed = True
            self._close(code, reason)
