"""The sill of the door: what the WebSocket library leaves open at the edge of each connection.

It answers the HTTP methods that no handshake uses, keeps one client's flood from holding up the others, holds to the
limits what the library does by itself, and ends what a client ends without hanging up. A message that comes whole is
served past the library's parser, and what the library keeps for nothing is dropped (figures: docs/performance.md).
"""

import asyncio
import logging
import re
from http import HTTPStatus
from typing import Any, Protocol

from websockets.asyncio.server import ServerConnection
from websockets.datastructures import Headers
from websockets.frames import Frame, Opcode, apply_mask  # type: ignore[attr-defined]  # the compiled one, or else not
from websockets.http11 import Response
from websockets.protocol import State
from websockets.streams import StreamReader

from roomd.gateway.outbox import Outbox

_METHOD = re.compile(rb"[A-Z]+ ")
LONGEST_METHOD = 16
"""Bytes; what goes on without a space is no HTTP."""
SLICE = 16_384
"""Bytes of one client that are parsed before the others' turn; of the smallest frames that is some milliseconds."""
PING = Frame(Opcode.PING, b"").serialize(mask=False)
_CONTROL = (Opcode.PING, Opcode.PONG)

_TEXT, _MASKED, _TWO_BYTES = 0x81, 0x80, 126
"""RFC 6455, section 5.2: the first byte of a whole text message; in the second, the mask's bit, and the length that
stands for a longer one in the next two."""
_BETWEEN_FRAMES = StreamReader.at_eof.__code__


_NO_HEADERS = Headers()
_LOGGER = logging.getLogger("websockets.server")


class Client(Protocol):
    """The conversation behind the door."""

    outbox: Outbox

    def count_control_frame(self) -> None:
        """Hear that the client sent a ping or a pong."""

    def take(self, data: bytes) -> bool:
        """Serve a text frame at once; False when it has to wait in line."""
        ...


class Door(ServerConnection):
    """A connection as the library has it, and what is said on top of this file."""

    # With more attributes beside the library's, instances would no longer share their keys (PEP 412): 1.3 KiB each.
    __slots__ = ("_backlog", "_head", "_refused", "_waiting", "client", "heard_at")

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.client: Client | None = None
        """Set once the conversation has begun."""
        self.heard_at = 0.0
        """When the client was last heard of, by the loop's clock."""
        self._waiting: asyncio.Future[None] | None = None  # for something to read
        self._head: bytes | None = b""  # of the request, until its method is known
        self._refused = False  # a body may follow, and is read to no end, so that the answer is not lost
        self._backlog = b""  # received and not yet parsed

    def connection_made(self, transport: Any) -> None:
        """Have reading resumed only when nothing that was read before is left."""
        super().connection_made(transport)
        self.heard_at = self.loop.time()
        self.recv_messages.resume = self._read_on

    def connection_lost(self, exc: Exception | None) -> None:
        """Let who waits for something to read see that nothing more comes."""
        super().connection_lost(exc)
        self.wake()

    def data_received(self, data: bytes) -> None:
        """Look at a request's method before the library does; parse much in slices, with the others in between."""
        self.heard_at = self.loop.time()
        if self._head is not None:
            data = self._head = self._head + data
            if not (b" " in data or b"\n" in data or len(data) > LONGEST_METHOD):
                return
            self._head = None
            self._refused = not data.startswith((b"GET ", b"HEAD ")) and _METHOD.match(data) is not None
            if self._refused:
                self._refuse_method()
        if self._refused:
            return
        if self._backlog or len(data) > SLICE:
            self._backlog += data
            self._parse_slice()
        else:
            self._parse(data)

    def process_event(self, event: Any) -> None:
        """Have a whole message served at once where that can be, and count the frames that the library answers."""
        client = self.client
        if client is None or not isinstance(event, Frame):
            super().process_event(event)
        elif (
            event.opcode is Opcode.TEXT
            and event.fin
            and not self.recv_messages.frames
            and client.take(bytes(event.data))
        ):
            pass
        else:
            super().process_event(event)
            if event.opcode in _CONTROL:
                client.count_control_frame()
            elif event.opcode is Opcode.CLOSE and self.close_timeout is not None:
                self.loop.call_later(self.close_timeout, self.transport.abort)  # if the client does not hang up
            elif self.recv_messages.frames:
                self.wake()

    def pause_writing(self) -> None:
        """Cut off who was told to go and still asks for more without reading."""
        super().pause_writing()
        self.loop.call_soon(self.transport.abort)

    @property
    def is_readable(self) -> bool:
        """Say whether `recv` has something to say, or will have with the rest of a message."""
        return bool(self.recv_messages.frames) or self.recv_messages.closed

    def readable(self) -> asyncio.Future[None]:
        """Wait until `is_readable`, or for `wake`; to wait in `recv` takes a kilobyte more."""
        self._waiting = self.loop.create_future()
        if self.is_readable:
            self._waiting.set_result(None)
        return self._waiting

    def wake(self, _: object = None) -> None:
        """End the waiting."""
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    def slim(self) -> None:
        """Drop what the library keeps of the handshake and for what roomd does not use: more than a seat takes."""
        if self.request is not None:
            self.request.headers = _NO_HEADERS
        self.response = None
        self.request_rcvd = None  # type: ignore[assignment]
        self.logger = self.protocol.logger = _LOGGER
        self.drain_waiters = []  # type: ignore[assignment]  # a deque takes 760 bytes; writing never waits

    def ping_or_drop(self, now: float, interval: float) -> None:
        """Ask a client that has been silent for an interval (seconds) whether it is there; cut one off after two."""
        silence = now - self.heard_at
        if silence >= 2 * interval:
            self.transport.abort()
        elif silence >= interval and self.state is State.OPEN:
            self.transport.write(PING)

    def _parse(self, data: bytes) -> None:
        if not self._serve_whole(data):
            super().data_received(data)
        if self.client is not None:
            self.client.outbox.check()  # pongs do not come by there

    def _serve_whole(self, data: bytes) -> bool:
        """Serve what is one whole text message, as nearly all is, past the library's parser, which takes longer."""
        client, protocol = self.client, self.protocol
        if client is None or len(data) < 8 or data[0] != _TEXT:
            return False
        if data[1] == _MASKED | len(data) - 6 and len(data) - 6 < _TWO_BYTES:
            start = 6
        elif data[1] == _MASKED | _TWO_BYTES and int.from_bytes(data[2:4]) == len(data) - 8 <= (
            protocol.max_message_size or 0
        ):
            start = 8
        else:
            return False
        return self._is_between_messages() and client.take(apply_mask(data[start:], data[start - 4 : start]))

    def _is_between_messages(self) -> bool:
        """Say whether the library has nothing under way: between frames its parser waits for data or the end."""
        protocol = self.protocol
        parser: Any = protocol.parser  # the innermost of its generators is the one that waits
        while inner := parser.gi_yieldfrom:
            parser = inner
        return (
            parser.gi_code is _BETWEEN_FRAMES
            and protocol.state is State.OPEN  # what is discarded after the end is waited for in the same way
            and protocol.current_size is None
            and not self.recv_messages.frames
        )

    def _parse_slice(self) -> None:
        if self.transport.is_closing():
            return
        self.transport.pause_reading()
        data, self._backlog = self._backlog[:SLICE], self._backlog[SLICE:]
        self._parse(data)
        self.loop.call_soon(self._parse_slice if self._backlog else self._read_on)

    def _read_on(self) -> None:
        if not self._backlog and not self.recv_messages.paused and not self.transport.is_closing():
            self.transport.resume_reading()

    def _refuse_method(self) -> None:
        """Answer 405 (RFC 9110, section 15.5.6); the library reads only requests without a body."""
        refusal = text_response(HTTPStatus.METHOD_NOT_ALLOWED, "Only GET and HEAD are served.\n")
        refusal.headers["Allow"] = "GET, HEAD"
        self.transport.write(refusal.serialize())
        self.transport.write_eof()


def text_response(status: HTTPStatus, text: str) -> Response:
    """Make an HTTP response for people."""
    return response(status, "text/plain; charset=utf-8", text.encode())


def response(status: HTTPStatus, content_type: str, body: bytes) -> Response:
    """Make an HTTP response that ends its connection."""
    headers = Headers(
        {
            "Content-Type": content_type,
            "Content-Length": str(len(body)),
            "Cache-Control": "no-store",
            "Connection": "close",
        }
    )
    return Response(status.value, status.phrase, headers, body)
