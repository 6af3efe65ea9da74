"""The outbox of one client: the bytes that wait to be sent, with a limit.

Writing never waits. Frames are written to the transport at once, and its buffer is the queue, so a slow client does not
delay the others. The transport says when more than the limit waits, and when all of that was sent. Between the two the
outbox is full: it takes no events. It takes the replies to the client's own requests; when twice the limit waits, these
requests are not read. A client that takes nothing of what waits for it is closed with 4408. There is no compression, so
the bytes of an event are the same for every client and are encoded once.
"""

import struct
from collections.abc import Callable, Iterable
from typing import Protocol

from roomd.protocol.codec import encode
from roomd.protocol.errors import Close
from roomd.protocol.events import Event
from roomd.protocol.replies import Reply

_SHORT = [bytes((0x81, size)) for size in range(126)]  # the headers of text frames, by the size of the payload
_MEDIUM = struct.Struct("!BBH").pack


def frame_header(size: int) -> bytes:
    """Build the header of an unmasked WebSocket text frame with a payload of so many bytes (RFC 6455, section 5.2)."""
    if size < 126:
        return _SHORT[size]
    if size < 65_536:
        return _MEDIUM(0x81, 126, size)
    return struct.pack("!BBQ", 0x81, 127, size)


def text_frame(payload: bytes) -> bytes:
    """Build one unmasked WebSocket text frame with this payload."""
    return frame_header(len(payload)) + payload


def encode_frame(frame: Reply | Event) -> bytes:
    """Encode a reply or an event as a whole frame."""
    payload = encode(frame)
    return frame_header(len(payload)) + payload


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

    is_full: bool
    """Whether more bytes waited than the transport's limit, and not all of them were sent since."""

    bytes_written: int
    """The bytes that the connection has written to the transport by itself."""

    def hold_reading(self, seconds: float) -> None:
        """Read nothing for some seconds."""

    def hold_until_drained(self) -> None:
        """Read and serve nothing until all that waits for the client was sent. Abort a connection that closes."""


class Outbox:
    """Write frames to one client without waiting.

    `limit` is that of the transport, in bytes. `close` takes a close code and a reason, starts the closing handshake
    and must not wait.
    """

    __slots__ = (
        "_close",
        "_connection",
        "_is_counting",
        "_limit",
        "_taken",
        "_ticks_stuck",
        "_transport",
        "is_closed",
        "written",
    )  # fmt: skip

    def __init__(
        self, transport: Transport, limit: int, connection: Connection, close: Callable[[int, str], None]
    ) -> None:
        self._transport = transport
        self._limit = limit
        self._connection = connection
        self._close = close
        self._is_counting = False  # whether something waited for the client at the last tick
        self._taken = 0  # the bytes that the client had taken at the last tick
        self._ticks_stuck = 0  # the number of ticks in which it took none
        self.written = 0
        """The bytes that this outbox has written."""
        self.is_closed = False
        """Whether the outbox is closed: nothing more is written."""

    def send(self, data: bytes, more: bytes = b"") -> None:
        """Write whole frames that must arrive, `more` after `data`. Nothing is written to a client that is closed."""
        connection = self._connection
        if self.is_closed or not connection.is_open:
            return  # RFC 6455, section 5.5.1: no data frame follows a close frame
        if more:
            self._transport.writelines((data, more))
            self.written += len(data) + len(more)
        else:
            self._transport.write(data)
            self.written += len(data)
        if connection.is_full:
            self.check()

    def offer(self, data: bytes, more: bytes = b"") -> bool:
        """Write whole frames, `more` after `data`, unless the outbox is full. Return whether it was not."""
        connection = self._connection
        if connection.is_full:
            return False
        if connection.is_open and not self.is_closed:
            if more:
                self._transport.writelines((data, more))
                self.written += len(data) + len(more)
            else:
                self._transport.write(data)
                self.written += len(data)
        return True

    def hold_reading(self, seconds: float) -> None:
        """Read nothing from the client for some seconds: it has been sent more than its share."""
        self._connection.hold_reading(seconds)

    def check(self) -> None:
        """Stop reading from the client while more than twice the limit waits for it."""
        if self._connection.is_full and self._transport.get_write_buffer_size() > 2 * self._limit:
            self._connection.hold_until_drained()

    def unsent(self) -> int:
        """Return the bytes that wait to be sent."""
        return self._transport.get_write_buffer_size()

    def is_half_full(self) -> bool:
        """Return whether much waits. Then events that can be sent later should be."""
        return self._connection.is_full or self._transport.get_write_buffer_size() > self._limit / 2

    def tick(self, read_within: int) -> None:
        """Count a tick. Close a client that has taken nothing of what waits for it in `read_within` whole ticks."""
        unread = self._transport.get_write_buffer_size()
        was_counting, self._is_counting = self._is_counting, unread > 0
        taken = self.written + self._connection.bytes_written - unread
        if not was_counting or not unread or taken != self._taken:
            self._taken = taken
            self._ticks_stuck = 0
            return
        self._ticks_stuck += 1
        if self._ticks_stuck >= read_within:
            self.close(Close.TOO_SLOW, "too slow to read")

    def close(self, code: int, reason: str = "") -> None:
        """Close the connection; frames written before are sent first. Closing twice is fine."""
        if not self.is_closed:
            close = self._close
            self.end()
            close(code, reason)

    def end(self) -> None:
        """Write nothing more: the connection is closed. No cycle of references is left."""
        self.is_closed = True
        self._close = _nothing


def _nothing(_code: int, _reason: str) -> None:
    """Do nothing."""
