"""One client's WebSocket after its handshake: read frames, and give messages to a handler.

The bytes are divided into whole frames here. A short text message in one frame is decoded here too. Every other frame
goes to the sans-I/O protocol of the library `websockets`: control frames, fragments, closes, long frames, and
violations of RFC 6455. The library always gets whole frames, so it never waits inside one.

    OPEN     ── our close ──────────────────────────→ CLOSING   only the client's control frames are read
    OPEN     ── the client's close, or its error ───→ ENDED     nothing more is read (sections 1.4 and 7.1.7)
    CLOSING  ── the client's close, or its error ───→ ENDED

A message is served as soon as it is read. While one is running, the next ones wait; when too many wait, reading pauses.
It pauses too while too much that was sent to the client waits.
The section numbers below are those of RFC 6455.
"""

import asyncio

from websockets import protocol as sans_io
from websockets.frames import Frame, Opcode

from roomd.gateway.backlog import Backlog
from roomd.gateway.fragments import FRAGMENT_LIMIT, Fragments
from roomd.gateway.framing import ABNORMAL, REFUSED, first_close, measure, short_text
from roomd.gateway.message_handler import MessageHandler

CLOSE_TIMEOUT = 4.0
"""The seconds after the first close frame in which a connection must end; then it is aborted."""
PARSE_LIMIT = 8_192
"""The bytes of one client that are parsed before it joins the backlog: at most some milliseconds."""
FRAMES_A_TURN = 16
"""The frames of one client that are parsed before it joins the backlog: an empty frame costs some 10 µs."""
CLOSING_PAUSE = 0.5
"""The seconds for which a client that is being closed waits instead: some send on at full speed."""
WAITING_LIMIT = 16
"""The messages of one client that may wait for the running one. With so many, reading pauses."""

_PING = 0x89
_OPEN, _CLOSING, _ENDED = range(3)


class ClientSocket(asyncio.Protocol):
    """An open WebSocket on a transport.

    `limit` is the most bytes of a message, at least `framing.SHORT`. `handler` gets the messages after `start`.
    """

    __slots__ = (
        "_backlog",
        "_buffer",
        "_fragments",
        "_handler",
        "_hold",
        "_is_overfull",
        "_is_paused",
        "_library",
        "_limit",
        "_must_report_end",
        "_needed",
        "_phase",
        "_rest",
        "_running",
        "_silent_ticks",
        "_start",
        "_timer",
        "_transport",
        "_waiting",
        "bytes_written",
        "close_received",
        "is_full",
        "is_open",
    )  # fmt: skip

    def __init__(self, transport: asyncio.Transport, limit: int, handler: MessageHandler, backlog: Backlog) -> None:
        self.is_open = True
        """Whether the connection is open and no close frame was sent or received."""
        self.close_received = 0
        """The code in the client's close frame; 0 without one."""
        self.is_full = False
        """Whether more bytes waited for the client than the transport's limit, and not all of them were sent since."""
        self.bytes_written = 0
        """The bytes of control frames that were written."""
        self._transport = transport
        self._limit = limit
        self._handler = handler
        self._backlog = backlog
        self._library: sans_io.Protocol | None = None  # built for the first frame that needs it
        self._phase = _OPEN
        self._must_report_end = False  # `closed` of the handler must still be called
        self._buffer = bytearray()  # the beginning of a frame that is not complete
        self._rest, self._start = b"", 0  # received bytes that were not parsed yet, and the index of the first
        self._needed = 0  # the bytes of the next frame, or of its header
        self._is_paused = False  # whether reading is paused
        self._fragments: Fragments | None = None  # those of a message that is not complete
        self._running: asyncio.Future[None] | None = None  # the last message that was not served at once
        self._waiting: list[bytes | bytearray | None] = []  # messages that wait for it; None for a binary one
        self._silent_ticks = 0  # the number of ticks in which no bytes came
        self._timer: asyncio.TimerHandle | None = None
        self._hold: asyncio.TimerHandle | None = None  # ends a time in which nothing is read
        self._is_overfull = False  # whether nothing is read or served while `is_full`

    def start(self, received: bytes) -> None:
        """Take over the transport, and read the bytes `received` after the handshake."""
        self._transport.set_protocol(self)
        if received:
            self.data_received(received)

    def wait_for(self, work: "asyncio.Future[None]") -> None:
        """Let messages wait until `work` is done."""
        self._running = work

    def hold_reading(self, seconds: float) -> None:
        """Read nothing for some seconds, unless the connection closes. Messages that were read are still served."""
        if self._hold is None and self._phase == _OPEN:
            self._hold = asyncio.get_running_loop().call_later(seconds, self._end_hold)
            self._pause()

    def hold_until_drained(self) -> None:
        """Read and serve nothing until all that waits for the client was sent. Abort a connection that closes."""
        if self._phase == _OPEN:
            self._is_overfull = True
            self._pause()
        else:
            asyncio.get_running_loop().call_soon(self._transport.abort)

    def close(self, code: int, reason: str) -> None:
        """Send a close frame, and discard frames until the client's close frame arrives.

        The connection is aborted after `CLOSE_TIMEOUT` seconds. Closing twice is fine.
        """
        if self._phase == _OPEN and not self._transport.is_closing():
            library = self._get_library()
            library.send_close(code, reason)
            self._stop(_CLOSING)
            self._write(library)
            self._waiting.clear()
            if self._hold is not None:
                self._hold.cancel()
                self._hold = None
            self._resume_reading()  # too many messages may have waited

    def abort(self) -> None:
        """Abort the connection at once."""
        self._transport.abort()

    def ping(self, payload: bytes) -> None:
        """Send a ping. A pong with the same payload, of at most 125 bytes, answers it (section 5.5.3)."""
        if self.is_open:
            self._write_bytes(bytes((_PING, len(payload))) + payload)

    def held(self) -> int:
        """Return the bytes that are held for the client: unfinished frames and messages, and what is not sent yet."""
        fragments = self._fragments.held() if self._fragments is not None else 0
        waiting = sum(len(message) for message in self._waiting if message is not None)
        unsent = self._transport.get_write_buffer_size()
        return len(self._buffer) + len(self._rest) + fragments + waiting + unsent

    def tick(self, ping_after: int) -> None:
        """Count one tick. Ping after `ping_after` ticks without bytes, and abort after twice as many.

        Ticks in which reading is paused do not count: bytes of the client may not have been read.
        """
        if self._is_paused:
            self._silent_ticks = 0
            return
        self._silent_ticks += 1
        if self._silent_ticks > 2 * ping_after:
            self._transport.abort()
        elif self._silent_ticks == ping_after + 1:
            self.ping(b"")

    def data_received(self, data: bytes) -> None:
        """Divide the bytes into frames, and serve them."""
        self._silent_ticks = 0
        if self._phase == _ENDED:
            return
        if self._buffer:
            self._buffer += data
            if len(self._buffer) < self._needed:
                return
            data, self._buffer = bytes(self._buffer), bytearray()
        is_idle = not self._waiting and self._phase == _OPEN and self._fragments is None
        if is_idle and (payload := short_text(data)) is not None:  # the usual case: exactly one whole message
            self._handler.usage.count(len(data))
            self._take_message(payload)
        else:
            self._parse(data, 0)

    def eof_received(self) -> None:
        """End the connection with a client that sends no more. The transport closes itself."""
        self._end()

    def connection_lost(self, _: Exception | None) -> None:
        """Report the end and the loss of the connection."""
        self._end()
        code = first_close(self._library) if self._library is not None else ABNORMAL
        for timer in (self._timer, self._hold):
            if timer is not None:
                timer.cancel()
        self._handler.usage.count(len(self._buffer) + len(self._rest) - self._start)
        self._library, self._buffer, self._rest = None, bytearray(), b""
        self._handler.lost(code)
        if not self._must_report_end:
            del self._handler  # no cycle of references is left

    def pause_writing(self) -> None:
        """Note that more bytes wait for the client than the transport's limit."""
        self.is_full = True

    def resume_writing(self) -> None:
        """Read again: everything was sent that waited for the client."""
        self.is_full = self._is_overfull = False
        self._handler.drained()
        self._serve_waiting(None)

    def _parse(self, data: bytes, start: int) -> None:
        """Serve the frames from `start` on. Stop at an incomplete one, if others must be served or too many wait."""
        first, end, frames = start, len(data), 0
        while start < end and self._phase != _ENDED:
            is_long = start - first >= PARSE_LIMIT or frames >= FRAMES_A_TURN
            if is_long or self._must_wait():
                self._rest, self._start = data, start
                self._pause()
                return
            joined = len(self._fragments.data) if self._fragments is not None else 0
            size = measure(data, start, self._limit - joined)
            if size == REFUSED:
                self._ask_library(data[start:])
                self._end()
                return
            if size > end - start:
                self._buffer += data[start:]
                self._needed = size
                return
            self._take_frame(data[start : start + size])
            start += size
            frames += 1

    def _take_frame(self, frame: bytes) -> None:
        self._handler.usage.count(len(frame))
        if self._phase == _CLOSING and frame[0] & 0x0F < 8:
            return
        if self._fragments is None and (payload := short_text(frame)) is not None:
            self._take_message(payload)
        else:
            self._ask_library(frame)

    def _ask_library(self, frame: bytes) -> None:
        library = self._get_library()
        library.receive_data(frame)
        self._write(library)
        for event in library.events_received():
            if isinstance(event, Frame):
                self._take_event(event)
        if library.state is not sans_io.State.OPEN and self._phase == _OPEN:
            self._end()

    def _take_event(self, frame: Frame) -> None:
        """Handle a frame that the library has parsed and checked. It has answered a ping or a close."""
        if frame.opcode in (Opcode.PING, Opcode.PONG):
            self._handler.overhead(bytes(frame.data) if frame.opcode is Opcode.PONG else b"")
        elif frame.opcode is Opcode.CLOSE:
            self.close_received = int.from_bytes(frame.data[:2])
            self._end()
        elif self._phase != _OPEN:
            pass
        elif frame.fin and self._fragments is None:
            self._take_message(bytes(frame.data) if frame.opcode is Opcode.TEXT else None)
        else:
            self._take_fragment(frame)

    def _take_fragment(self, frame: Frame) -> None:
        """Join fragments of a message."""
        if self._fragments is None:
            self._fragments = Fragments(is_text=frame.opcode is Opcode.TEXT)
        fragments = self._fragments
        fragments.add(frame.data)
        if fragments.are_too_many():
            self._fail(1009, f"fragmented message exceeds limit of {FRAGMENT_LIMIT} frames")
        elif frame.fin:
            self._fragments = None
            self._take_message(fragments.data if fragments.is_text else None)
        elif fragments.must_be_counted():
            self._handler.overhead()

    def _take_message(self, message: bytes | bytearray | None) -> None:
        """Serve a message, or let it wait for those before it. None is a binary message."""
        if self._waiting:
            self._waiting.append(message)
        elif self._running is not None and not self._running.done():
            self._waiting.append(message)
            self._running.add_done_callback(self._serve_waiting)
        else:
            self._serve(message)

    def _serve(self, message: bytes | bytearray | None) -> None:
        if message is None:
            self._handler.binary()
            return
        try:
            text = str(message, "utf-8")
        except UnicodeDecodeError as exc:  # section 8.1
            self._fail(1007, f"{exc.reason} at position {exc.start}")
        else:
            self._running = self._handler.text(text)

    def _serve_waiting(self, _: object) -> None:
        """Serve the messages that waited, after one is done. The event loop calls this as a callback."""
        while self._waiting and not self._is_overfull and (self._running is None or self._running.done()):
            self._serve(self._waiting.pop(0))
            if self._waiting and self._running is not None and not self._running.done():
                self._running.add_done_callback(self._serve_waiting)
                break
        self._report_end()
        self._resume_reading()

    def _pause(self) -> None:
        """Pause reading until others were served, and for as long as the client must wait."""
        self._is_paused = True
        if not self._transport.is_closing():
            self._transport.pause_reading()
        if self._phase == _CLOSING and self._hold is None:
            self._hold = asyncio.get_running_loop().call_later(CLOSING_PAUSE, self._end_hold)
        self._resume_reading()

    def _resume_reading(self) -> None:
        """Read on when the backlog comes to this client, unless it must wait."""
        if self._is_paused and not self._must_wait():
            self._backlog.add(self)

    def read_on(self) -> None:
        """Parse more of what was received, and read on behind it. The backlog calls this."""
        if not self._is_paused or self._must_wait() or self._transport.is_closing():
            return
        self._is_paused = False
        data, start = self._rest, self._start
        self._rest, self._start = b"", 0
        self._parse(data, start)
        if not self._is_paused:
            self._transport.resume_reading()

    def _must_wait(self) -> bool:
        """Return whether nothing more may be parsed now."""
        return len(self._waiting) >= WAITING_LIMIT or self._hold is not None or self._is_overfull

    def _end_hold(self) -> None:
        self._hold = None
        self._resume_reading()

    def _fail(self, code: int, reason: str) -> None:
        """Close the connection because of an error of the client (section 7.1.7). Messages that wait are not served."""
        self._waiting.clear()
        if self._phase == _OPEN:
            library = self._get_library()
            library.fail(code, reason)
            self._write(library)
            self._end()

    def _end(self) -> None:
        """Read nothing more. Messages that were read before are still served."""
        if self._phase == _ENDED:
            return
        self._must_report_end = self._phase == _OPEN
        self._stop(_ENDED)
        self._serve_waiting(None)

    def _report_end(self) -> None:
        """Report the end when the last message was answered, so that a message takes effect before the end does."""
        if not self._must_report_end or self._waiting:
            return
        if self._running is not None and not self._running.done():
            self._running.add_done_callback(self._serve_waiting)
            return
        self._must_report_end = False
        self._handler.closed()

    def _stop(self, phase: int) -> None:
        self._phase = phase
        self.is_open = self._is_overfull = False
        self._fragments = None
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(CLOSE_TIMEOUT, self._transport.abort)

    def _write(self, library: sans_io.Protocol) -> None:
        """Write the bytes that the library wants to send. Empty bytes mean the end of the stream (`SEND_EOF`)."""
        for data in library.data_to_send():
            if self._transport.is_closing():
                return
            if data:
                self._write_bytes(data)
            else:
                self._transport.write_eof()

    def _write_bytes(self, data: bytes) -> None:
        self.bytes_written += len(data)
        self._transport.write(data)

    def _get_library(self) -> sans_io.Protocol:
        if self._library is None:
            self._library = sans_io.Protocol(sans_io.Side.SERVER, state=sans_io.State.OPEN, max_size=self._limit)
        return self._library
