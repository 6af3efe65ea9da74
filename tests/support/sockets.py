"""A client's end of a socket without a network: a transport that the test reads and writes, and frames by hand."""

import asyncio
import socket
import struct
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any, cast

import msgspec

from roomd.config import LimitsConfig
from roomd.gateway.backlog import Backlog
from roomd.gateway.websocket import ClientSocket
from roomd.limits.ledgers import Ledgers
from roomd.limits.usage import Usage

KEY = b"\x01\xa0\x7f\xff"
"""A mask that changes every byte but one in four."""


def client_frame(payload: bytes, opcode: int = 1, *, fin: bool = True, size: int | None = None) -> bytes:
    """Make a masked frame; `size` (7, 16 or 64 bits) is the length's form, by default the shortest."""
    size = size or (7 if len(payload) < 126 else 16 if len(payload) < 65_536 else 64)
    head = bytes([fin << 7 | opcode])
    if size == 7:
        head += bytes([0x80 | len(payload)])
    else:
        head += struct.pack("!BH", 0xFE, len(payload)) if size == 16 else struct.pack("!BQ", 0xFF, len(payload))
    return head + KEY + bytes(byte ^ KEY[i % 4] for i, byte in enumerate(payload))


class SocketTransport:
    """An asyncio transport whose other end is the test. It passes for one of a Unix socket."""

    def __init__(self) -> None:
        self.extra: dict[str, Any] = {"socket": SimpleNamespace(family=socket.AF_UNIX)}
        """What `get_extra_info` returns."""
        self.protocol: asyncio.Protocol | None = None
        self.unread = 0
        """What counts as written and not yet read by the client."""
        self.close_code: int | None = None
        """Of the close frame that was written."""
        self.closing = asyncio.Event()
        """A close frame was written."""
        self.pings = 0
        """Pings that were written."""
        self.pongs: list[bytes] = []
        """Payloads of the pongs that were written."""
        self.has_ended = False
        """The end of the stream was written."""
        self.is_aborted = False
        self.reading = asyncio.Event()
        """Set while the daemon reads."""
        self.reading.set()
        self._written = b""
        self._read_later = b""
        self._is_lost = False

    @property
    def is_reading(self) -> bool:
        """Whether the daemon reads."""
        return self.reading.is_set()

    def as_transport(self) -> asyncio.Transport:
        """Pass for a transport."""
        return cast("asyncio.Transport", self)

    # The side of the daemon.

    def set_protocol(self, protocol: asyncio.Protocol) -> None:
        self.protocol = protocol

    def get_extra_info(self, name: str) -> Any:
        return self.extra.get(name)

    def set_write_buffer_limits(self, high: int, low: int) -> None:
        pass

    def write(self, data: bytes) -> None:
        self._written += data
        if data[0] == 0x88:
            self.closing.set()

    def writelines(self, list_of_data: Iterable[bytes]) -> None:
        self._written += b"".join(list_of_data)

    def write_eof(self) -> None:
        self.has_ended = True

    def get_write_buffer_size(self) -> int:
        return self.unread

    def is_closing(self) -> bool:
        return self._is_lost or self.is_aborted

    def pause_reading(self) -> None:
        self.reading.clear()

    def resume_reading(self) -> None:
        self.reading.set()
        asyncio.get_running_loop().call_soon(self.receive, b"")

    def abort(self) -> None:
        self.is_aborted = True
        asyncio.get_running_loop().call_soon(self.lose)

    def close(self) -> None:
        self.abort()

    # The side of the client.

    def receive(self, data: bytes) -> None:
        """Have the daemon receive bytes, once it reads."""
        self._read_later += data
        if self._read_later and self.reading.is_set() and not self.is_closing() and self.protocol is not None:
            data, self._read_later = self._read_later, b""
            self.protocol.data_received(data)

    def lose(self) -> None:
        """Have the connection end, whoever ended it."""
        if not self._is_lost and self.protocol is not None:
            self._is_lost = True
            self.protocol.connection_lost(None)

    def fill(self, unread: int) -> None:
        """Read nothing any more: so many bytes wait, more than the transport's limit."""
        self.unread = unread
        if self.protocol is not None:
            self.protocol.pause_writing()

    def drain(self) -> None:
        """Read all that was written."""
        self.unread = 0
        if self.protocol is not None:
            self.protocol.resume_writing()

    def hang_up(self) -> None:
        """End the client's side in order."""
        if not self.is_closing() and self.protocol is not None and not self.protocol.eof_received():
            self.lose()

    def written(self) -> bytes:
        """Take what was written since the last call, as bytes."""
        data, self._written = self._written, b""
        return data

    def frames(self) -> list[Any]:
        """Take the text frames written since the last call, decoded; note the others."""
        found = []
        data = self.written()
        while data:
            size, start = data[1], 2
            if size == 126:
                size, start = int.from_bytes(data[2:4]), 4
            elif size == 127:
                size, start = int.from_bytes(data[2:10]), 10
            payload, opcode = data[start : start + size], data[0]
            data = data[start + size :]
            # RFC 6455, section 5.5: after a close frame only a ping is still answered
            assert self.close_code is None or opcode == 0x8A, "nothing follows a close frame"
            if opcode == 0x81:
                found.append(msgspec.json.decode(payload))
            elif opcode == 0x88:
                self.close_code = int.from_bytes(payload[:2]) if payload else 1005
            elif opcode == 0x89:
                self.pings += 1
            else:
                assert opcode == 0x8A
                self.pongs.append(payload)
        return found


class CountedUsage(Usage):
    """Usage that counts the frames and their bytes."""

    frames = 0
    bytes = 0

    def count(self, size: int) -> None:
        self.frames += 1
        self.bytes += size
        super().count(size)


class Recorder:
    """A conversation that writes down what its socket tells it.

    While `gate` is a future, messages count as under way until that is done.
    """

    def __init__(self, limit: int = 65_536, backlog: Backlog | None = None) -> None:
        self.counted = CountedUsage(Ledgers(LimitsConfig()), None)
        self.usage: Usage = self.counted
        self.transport = SocketTransport()
        self.socket = ClientSocket(self.transport.as_transport(), limit, self, backlog or Backlog())
        self.messages: list[str | None] = []
        """Messages in order; None for a binary one."""
        self.overheads = 0
        self.drains = 0
        self.ends: list[int | None] = []
        """What was told of the end: None for `closed`, the code for `lost`."""
        self.gate: asyncio.Future[None] | None = None
        self.socket.start(b"")

    def receive(self, *frames: bytes) -> None:
        """Have the socket receive bytes, each argument by itself."""
        for data in frames:
            self.transport.receive(data)

    def text(self, message: str) -> "asyncio.Future[None] | None":
        self.messages.append(message)
        return self.gate

    def binary(self) -> None:
        self.messages.append(None)

    def overhead(self, pong: bytes = b"") -> None:
        self.overheads += 1

    def drained(self) -> None:
        self.drains += 1

    def closed(self) -> None:
        self.ends.append(None)

    def lost(self, code: int) -> None:
        self.ends.append(code)


async def turns(count: int = 20) -> None:
    """Let the loop run what is ready, and what that makes ready."""
    for _ in range(count):
        await asyncio.sleep(0)
