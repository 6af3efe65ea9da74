"""One client's WebSocket after its handshake: frames by the library's sans-I/O protocol, messages to a conversation.

The stream is cut into whole frames here, so the library is between two frames whenever it is asked for anything, and a
text message in one frame need not go through its parser at all. It is asked for the rest: control frames, fragments,
closes, long frames, and whatever breaks RFC 6455.

    OPEN     ── our close ──────────────────────────→ CLOSING   everything is discarded but the client's close frame
    OPEN     ── the client's close, or its fault ───→ OVER      nothing that comes counts (sections 1.4 and 7.1.7)
    CLOSING  ── the client's close, or its fault ───→ OVER

A message is served where it was read. While one is under way the next wait, and past a bound no more is read.
"""

import asyncio
from typing import Protocol

from websockets import protocol as sans_io
from websockets.frames import Frame, Opcode

from roomd.gateway.limits import Usage

CLOSE_TIMEOUT = 4.0
"""Seconds a client gets to end its connection after a close frame of either side, before it is cut."""
SLICE = 8_192
"""Bytes of one client that are parsed before the others get their turn; of the smallest frames, some milliseconds."""
WAITING_LIMIT = 16
"""Messages of one client that wait for the one before them before no more is read."""
FRAGMENT_LIMIT = 4096
"""Frames of one message."""
FRAGMENTS_A_REQUEST = 16
"""Fragments that cost as much of the allowance for requests as a message does."""
SHORT = 1024
"""Bytes of a payload that are unmasked here faster than the library is asked."""

# Section 5.2: the first byte of a text message in one frame; the mask's bit and the length in the second byte.
_WHOLE_TEXT, _MASKED, _SIZE = 0x81, 0x80, 0x7F
_OPCODES = frozenset({0x0, 0x1, 0x2, 0x8, 0x9, 0xA})
_REFUSED = 0
_PING = b"\x89\x00"

_OPEN, _CLOSING, _OVER = range(3)


class Conversation(Protocol):
    """What a socket tells about its client; every call may close the socket."""

    usage: Usage
    """Where the socket counts what it receives."""

    def text(self, message: str) -> "asyncio.Future[None] | None":
        """Serve a message; the next one waits until what is returned is done."""
        ...

    def binary(self) -> None:
        """Refuse a binary message."""

    def overhead(self) -> None:
        """Account for a frame that carries no message: a ping, a pong, or one of many fragments."""

    def closed(self) -> None:
        """Hear, once, that the client ended the conversation and every message of it was served."""

    def lost(self, code: int) -> None:
        """Hear, once, that the connection is gone; `code` is the client's close code, 1006 without one.

        What was read before is still served.
        """


class ClientSocket(asyncio.Protocol):
    """An open WebSocket on a transport.

    `limit` is the most bytes of a message. `start` begins the conversation.
    """

    __slots__ = (
        "_buffer", "_conversation", "_fragments", "_fragments_read", "_is_paused", "_is_text", "_library", "_limit",
        "_needed", "_owes_end", "_phase", "_silence", "_timer", "_transport", "_under_way", "_waiting", "is_open",
    )  # fmt: skip

    def __init__(self, transport: asyncio.Transport, limit: int, conversation: Conversation) -> None:
        self.is_open = True
        """No close frame was sent or received, and the connection stands."""
        self._transport = transport
        self._limit = limit
        self._conversation = conversation
        self._library: sans_io.Protocol | None = None  # made for the first frame that needs it
        self._phase = _OPEN
        self._owes_end = False  # the conversation is to hear that it is over
        self._buffer = bytearray()  # received and not yet cut
        self._needed = 0  # bytes of it that make a frame, or the head of one
        self._is_paused = False  # no more is read for now
        self._fragments: bytearray | None = None  # of a message that is not complete
        self._fragments_read = 0
        self._is_text = True
        self._under_way: asyncio.Future[None] | None = None  # the last message that took its time
        self._waiting: list[bytes | bytearray | None] = []  # messages behind it; None for a binary one
        self._silence = 0  # ticks in which nothing came
        self._timer: asyncio.TimerHandle | None = None

    def start(self, received: bytes) -> None:
        """Take the transport over, with what was `received` behind the handshake."""
        self._transport.set_protocol(self)
        if received:
            self.data_received(received)

    def hold(self, work: "asyncio.Future[None]") -> None:
        """Have messages wait until `work` is done."""
        self._under_way = work

    def close(self, code: int, reason: str) -> None:
        """Send a close frame and discard what comes until the client's; abort a client that takes too long."""
        if self._phase == _OPEN and not self._transport.is_closing():
            library = self._get_library()
            library.send_close(code, reason)
            self._stop(_CLOSING)
            self._write(library)
            self._waiting.clear()
            asyncio.get_running_loop().call_soon(self._read_on)  # where messages that waited had reading paused

    def abort(self) -> None:
        """End the connection at once."""
        self._transport.abort()

    def tick(self, ping_after: int) -> None:
        """Count a period without a frame; ping a client after so many, and drop it after twice as many.

        What the client sent while nobody read does not count against it.
        """
        if self._is_paused:
            self._silence = 0
            return
        self._silence += 1
        if self._silence > 2 * ping_after:
            self._transport.abort()
        elif self._silence == ping_after + 1 and self.is_open:
            self._transport.write(_PING)

    def data_received(self, data: bytes) -> None:
        """Cut what came into frames, and serve them."""
        self._silence = 0
        if self._phase == _OVER:
            return
        if self._buffer:
            self._buffer += data
            if len(self._buffer) < self._needed:
                return
            data = self._take_buffer()
        if not self._waiting and len(data) <= SHORT and self._measure(data, 0) == len(data):
            self._take_frame(data)  # nearly always: one frame, and all of it
        else:
            self._cut(data)

    def eof_received(self) -> None:
        """End the conversation with a client that sends no more; the transport closes itself."""
        self._end()

    def connection_lost(self, _: Exception | None) -> None:
        """End what is left of the conversation."""
        self._end()
        code = 1006
        if self._library is not None:
            self._library.receive_eof()
            code = self._library.close_code or code
        if self._timer is not None:
            self._timer.cancel()
        self._conversation.lost(code)

    def pause_writing(self) -> None:
        """Abort a client that keeps sending and does not read, even after a close: past the limits of its buffer."""
        asyncio.get_running_loop().call_soon(self._transport.abort)

    def _cut(self, data: bytes) -> None:
        """Serve frame by frame, up to one that is not whole, or as much as one client may take at a time."""
        start, end = 0, len(data)
        while start < end and self._phase != _OVER:
            if start >= SLICE or len(self._waiting) >= WAITING_LIMIT:
                self._pause(data[start:])
                return
            size = self._measure(data, start)
            if size == _REFUSED:
                self._ask_library(data[start:])
                self._end()
                return
            if size > end - start:
                self._buffer += data[start:]
                self._needed = size
                return
            self._take_frame(data[start : start + size])
            start += size

    def _measure(self, data: bytes, start: int) -> int:
        """Count the bytes of the frame that begins at `start`, or as many as are needed to tell (section 5.2).

        `_REFUSED` for a head that the library refuses without the payload behind it.
        """
        available = len(data) - start
        if available < 2:
            return 2
        size = data[start + 1] & _SIZE
        if data[start + 1] < _MASKED or data[start] & 0x0F not in _OPCODES:
            return _REFUSED
        head = 6
        if size >= 126:
            head = 8 if size == 126 else 14
            if available < head - 4:
                return head - 4
            size = int.from_bytes(data[start + 2 : start + head - 4])
        if size > self._limit - (len(self._fragments) if self._fragments is not None else 0):
            return _REFUSED
        return head + size

    def _take_frame(self, frame: bytes) -> None:
        self._conversation.usage.count(len(frame))
        if self._phase == _CLOSING and frame[0] & 0x0F < 8:
            return
        if frame[0] == _WHOLE_TEXT and len(frame) <= SHORT and self._fragments is None:
            size = frame[1] & _SIZE
            start = 6 if size < 126 else 8 if size == 126 else 14
            self._take_message(_unmask(frame[start:], frame[start - 4 : start]))
        else:
            self._ask_library(frame)

    def _ask_library(self, frame: bytes) -> None:
        library = self._get_library()
        library.receive_data(frame)
        events = library.events_received()
        self._write(library)
        for event in events:
            if isinstance(event, Frame):
                self._take_event(event)
        if library.state is not sans_io.State.OPEN and self._phase == _OPEN:
            self._end()

    def _take_event(self, frame: Frame) -> None:
        """Take a frame that the library has parsed, checked and, if it was a ping or a close, answered."""
        if frame.opcode in (Opcode.PING, Opcode.PONG):
            self._conversation.overhead()
        elif frame.opcode is Opcode.CLOSE:
            self._end()
        elif self._phase != _OPEN:
            pass
        elif frame.fin and self._fragments is None:
            self._take_message(bytes(frame.data) if frame.opcode is Opcode.TEXT else None)
        else:
            self._take_fragment(frame)

    def _take_fragment(self, frame: Frame) -> None:
        """Join fragments; the library has checked that they belong together, and their size (section 5.4)."""
        if self._fragments is None:
            self._fragments = bytearray()
            self._fragments_read = 0
            self._is_text = frame.opcode is Opcode.TEXT
        self._fragments += frame.data
        self._fragments_read += 1
        if self._fragments_read > FRAGMENT_LIMIT:
            self._fail(1009, f"fragmented message exceeds limit of {FRAGMENT_LIMIT} frames")
        elif frame.fin:
            message, self._fragments = self._fragments, None
            self._take_message(message if self._is_text else None)
        elif self._fragments_read % FRAGMENTS_A_REQUEST == 0:
            self._conversation.overhead()

    def _take_message(self, message: bytes | bytearray | None) -> None:
        """Serve a message, or have it wait for those before it; None is a binary one."""
        if self._waiting:
            self._waiting.append(message)
        elif self._under_way is not None and not self._under_way.done():
            self._waiting.append(message)
            self._under_way.add_done_callback(self._serve_waiting)
        else:
            self._serve(message)

    def _serve(self, message: bytes | bytearray | None) -> None:
        if message is None:
            self._conversation.binary()
            return
        try:
            text = str(message, "utf-8")
        except UnicodeDecodeError as exc:  # section 8.1
            self._fail(1007, f"{exc.reason} at position {exc.start}")
        else:
            self._under_way = self._conversation.text(text)

    def _serve_waiting(self, _: object) -> None:
        """Serve what waited, now that a message is done; the loop calls this, never what finished the message."""
        while self._waiting:
            self._serve(self._waiting.pop(0))
            if self._waiting and self._under_way is not None and not self._under_way.done():
                self._under_way.add_done_callback(self._serve_waiting)
                break
        self._tell_end()
        self._read_on()

    def _pause(self, data: bytes) -> None:
        """Leave what was received for later, and read no more until then."""
        self._buffer += data
        self._is_paused = True
        if not self._transport.is_closing():
            self._transport.pause_reading()
        if len(self._waiting) < WAITING_LIMIT:
            asyncio.get_running_loop().call_soon(self._read_on)

    def _read_on(self) -> None:
        if not self._is_paused or len(self._waiting) >= WAITING_LIMIT or self._transport.is_closing():
            return
        self._is_paused = False
        self._cut(self._take_buffer())
        if not self._is_paused:
            self._transport.resume_reading()

    def _take_buffer(self) -> bytes:
        data = bytes(self._buffer)
        self._buffer.clear()
        return data

    def _fail(self, code: int, reason: str) -> None:
        """End the connection for what the client sent (section 7.1.7)."""
        if self._phase == _OPEN:
            library = self._get_library()
            library.fail(code, reason)
            self._waiting.clear()
            self._write(library)
            self._end()

    def _end(self) -> None:
        """Let nothing count that comes from now on; what was read before is served to its end."""
        if self._phase == _OVER:
            return
        self._owes_end = self._phase == _OPEN
        self._stop(_OVER)
        self._tell_end()

    def _tell_end(self) -> None:
        if self._owes_end and not self._waiting:
            self._owes_end = False
            self._conversation.closed()

    def _stop(self, phase: int) -> None:
        self._phase = phase
        self.is_open = False
        self._fragments = None
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(CLOSE_TIMEOUT, self._transport.abort)

    def _write(self, library: sans_io.Protocol) -> None:
        """Write what the library has to send; the empty string is its word for the end (`SEND_EOF`)."""
        for data in library.data_to_send():
            if self._transport.is_closing():
                return
            if data:
                self._transport.write(data)
            else:
                self._transport.write_eof()

    def _get_library(self) -> sans_io.Protocol:
        if self._library is None:
            self._library = sans_io.Protocol(sans_io.Side.SERVER, state=sans_io.State.OPEN, max_size=self._limit)
        return self._library


def _unmask(payload: bytes, mask: bytes) -> bytes:
    """Undo the masking of section 5.3: one addition without carry of two long numbers."""
    size = len(payload)
    keys = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload) ^ int.from_bytes(keys)).to_bytes(size)
