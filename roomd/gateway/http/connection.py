"""A connection by HTTP/1.1: read requests within limits of time, and write the answers in their order.

A connection has one of these phases. `tick` bounds each but the answering, which its handler bounds:

| phase | until | ticks, as a multiple of those for a head |
|---|---|---|
| head | the header of the request is complete | 1 |
| body | the body is complete | `BODY_TIMES` |
| answering | the answer is written | none; `UNREAD_TIMES` while the client does not take a stream |
| idle | the next request begins | `IDLE_TIMES` |
| closing | the client has closed too | 1 |
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from functools import partial
from http import HTTPStatus
from typing import Any, Protocol

from websockets.http11 import Response

from roomd.gateway.addresses import find_peer
from roomd.gateway.http.reading import HEAD_LIMIT, BadRequest, RequestReader
from roomd.gateway.http.request import Request
from roomd.gateway.http.responses import CONTINUE, Answer, Content, Stream
from roomd.gateway.http.streaming import Sender
from roomd.limits.addresses import Address

limited = logging.getLogger("roomd.gateway.limited")

DISCARD_LIMIT = 8_388_608
"""The bytes that are read and discarded after a response. Closing before a client has sent its body would reset the
connection, and the response would be lost (RFC 9112, section 9.6)."""
AHEAD_LIMIT = HEAD_LIMIT
"""The bytes of further requests that are read while one is answered."""
BODY_TIMES = 4
"""How many times as long as a head a body may take."""
IDLE_TIMES = 12
"""How many times as long a connection is kept without a request."""
UNREAD_TIMES = 6
"""How many times as long a client may take nothing of a stream."""


class Handler(Protocol):
    """The part that answers requests."""

    def opened(self, connection: "HttpConnection") -> None:
        """Handle a new connection."""

    def ended(self, connection: "HttpConnection") -> None:
        """Handle the end of a connection that is no WebSocket. It may be called twice, and without `opened`."""

    def body_limit(self, request: Request) -> int:
        """Return how many bytes of the body are read before the request is answered; 0 to ignore the body."""
        ...

    def delay(self, connection: "HttpConnection", request: Request | None) -> float:
        """Return the seconds until the request may be answered. Called once; None for what is no request."""
        ...

    def answer(
        self, connection: "HttpConnection", request: Request, body: bytes
    ) -> "Content | asyncio.Future[Content] | None":
        """Answer a request: with the response, a future of it, or None to call `connection.respond` later.

        101 makes the connection a WebSocket. The future is cancelled when the client is gone, so that a long poll ends.
        """
        ...

    def spawn(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """Start a task that sends a stream, and own it."""
        ...

    def upgrade(
        self, connection: "HttpConnection", request: Request, transport: asyncio.Transport, rest: bytes
    ) -> None:
        """Take over the connection after a 101. `rest` are the bytes received after the request."""


class HttpConnection(asyncio.Protocol):
    """A connection from its start until it is a WebSocket or ends. `handler` answers its requests."""

    __slots__ = ("_discarded", "_future", "_handler", "_is_answering", "_is_finishing", "_is_full", "_is_paused",
                 "_reader", "_sender", "_ticks", "_waits_to_go_on", "address", "has_arrived", "owner", "peer",
                 "received", "transport")  # fmt: skip

    def __init__(self, handler: Handler) -> None:
        self.peer: str | None = None
        """The address of the other end, found once at the start; None for a Unix socket."""
        self.address: Address | None = None
        """The address that the current request is charged to. The handler sets it."""
        self.has_arrived = False
        """Whether the connection was charged. The handler sets it."""
        self.received = 0
        """The bytes that were received and not charged yet."""
        self.owner: object = None
        """What the handler keeps with the connection from one request to the next."""
        self.transport: asyncio.Transport
        """The transport, from the start of the connection on."""
        self._handler = handler
        self._reader: RequestReader | None = RequestReader(handler.body_limit)  # None after the last response
        self._is_answering = False  # a request is complete, and its response is not
        self._is_finishing = False  # the connection ends with the current request
        self._is_full = False  # more was written than the transport takes at once
        self._is_paused = False  # nothing is read, because much was received behind the request
        self._waits_to_go_on = False  # the next request is read when the client has taken the responses
        self._future: asyncio.Future[Content] | None = None  # the answer that is awaited
        self._sender: Sender | None = None  # the stream that is sent
        self._discarded = 0
        self._ticks = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for a request. Abort a connection that the other end has reset: nobody is known to be there."""
        self.transport = transport  # type: ignore[assignment] # that of a stream
        try:
            self.peer = find_peer(self.transport)
        except ConnectionResetError:
            self._forget_reader()
            self.transport.abort()
        else:
            self._handler.opened(self)

    def connection_lost(self, _: Exception | None) -> None:
        """Forget the connection, and end what answers its request."""
        self._leave()

    def data_received(self, data: bytes) -> None:
        """Read the request and answer it. Keep the bytes of further requests, and discard those after the last."""
        reader = self._reader
        self.received += len(data)
        if reader is None:
            self._discard(len(data))
        elif self._is_answering:
            reader.rest += data
            if len(reader.rest) > AHEAD_LIMIT:
                self._is_paused = True
                self.transport.pause_reading()
        else:
            self._read(reader, data)

    def pause_writing(self) -> None:
        """Note that the client does not take what was written."""
        self._is_full = True
        if self._sender is not None:
            self._sender.pause()

    def resume_writing(self) -> None:
        """Go on with what waited for the client."""
        self._is_full = False
        self._ticks = 0
        if self._sender is not None:
            self._sender.resume()
        if self._waits_to_go_on:
            self._waits_to_go_on = False
            self._go_on()

    def held(self) -> int:
        """Return the bytes that are held for the client: an unfinished request, and what is not sent yet."""
        reader = self._reader
        return (reader.held if reader is not None else 0) + self.transport.get_write_buffer_size()

    def abort(self) -> None:
        """Abort the connection at once."""
        self.transport.abort()

    def tick(self, most: int) -> None:
        """Count one tick. Abort a connection that takes too long: `most` ticks are for a head, and for closing."""
        reader = self._reader
        if self._is_answering:
            if not self._is_full:
                return
            most *= UNREAD_TIMES
        elif reader is not None:
            if reader.request is not None:
                most *= BODY_TIMES
            elif self._is_idle():
                most *= IDLE_TIMES
        self._ticks += 1
        if self._ticks >= most:
            self.transport.abort()

    def give_way(self) -> None:
        """Abort the connection, so that another can be served."""
        self._leave()
        self.transport.abort()

    def finish(self) -> None:
        """End the connection as soon as its request is answered, also one of which a part was received.

        A stream ends now. The server stops.
        """
        self._is_finishing = True
        if self._sender is not None:
            self._sender.close()
            self.transport.close()
        elif not self._is_answering and self._is_idle():
            self.transport.close()

    def close(self) -> None:
        """Close the connection after the written bytes were sent."""
        self.transport.close()

    def respond(self, content: Content) -> None:
        """Write the response to the current request. Nothing happens when the client is gone."""
        reader = self._reader
        self._future = None
        if reader is None or (request := reader.request) is None or self.transport.is_closing():
            return
        if isinstance(content, Answer):
            keeps = reader.keeps and reader.is_whole and not (content.must_close or self._is_finishing)
            head = content.head(keeps)
            self.transport.writelines((head,) if request.method == "HEAD" else (head, content.body))
            self._after(reader, keeps)
        elif isinstance(content, Response):
            self._respond_last(request, reader, content)
        else:
            self._send_stream(request, reader, content)

    def _is_idle(self) -> bool:
        """Return whether nothing was received of the next request."""
        return self._reader is not None and not (self._reader.is_first or self._reader.has_begun)

    def _read(self, reader: RequestReader, data: bytes) -> None:
        """Have the reader read, and answer the request if it is complete then."""
        had_head = reader.request is not None
        if self._is_idle():
            self._ticks = 0
        try:
            reader.feed(data)
        except BadRequest as bad:
            if bad.answer is not None:
                limited.info("request refused", {"status": bad.answer.status_code, "reason": bad.answer.reason_phrase})
            self._is_answering = True
            if delay := self._handler.delay(self, None):
                self.hold(delay, partial(self._end, bad.answer))
            else:
                self._end(bad.answer)
            return
        request = reader.request
        if request is not None and reader.is_complete:
            self._is_answering = True
            if delay := self._handler.delay(self, request):
                self.hold(delay, partial(self._answer, request, reader))
            else:
                self._answer(request, reader)
        elif request is not None and not had_head:
            self._ticks = 0
            self._allow_body(request, reader)

    def _allow_body(self, request: Request, reader: RequestReader) -> None:
        """Tell a client that waits for it to send the body (RFC 9110, section 10.1.1)."""
        expected = request.headers.get_all("expect")
        if expected and request.protocol == "HTTP/1.1" and not reader.body_size:
            self.transport.write(CONTINUE)

    def hold(self, seconds: float, go_on: Callable[[], None]) -> None:
        """Read nothing for some seconds, then do something, unless the client is gone by then."""
        self.transport.pause_reading()
        asyncio.get_running_loop().call_later(seconds, self._serve_late, go_on)

    def _serve_late(self, answer: Callable[[], None]) -> None:
        if self._reader is not None and not self.transport.is_closing():
            self.transport.resume_reading()
            answer()

    def _answer(self, request: Request, reader: RequestReader) -> None:
        content = self._handler.answer(self, request, reader.body)
        if isinstance(content, asyncio.Future):
            self._future = content
            content.add_done_callback(self._respond_late)
        elif content is not None:
            self.respond(content)

    def _respond_late(self, answer: "asyncio.Future[Content]") -> None:
        if not answer.cancelled():
            self.respond(answer.result())

    def _respond_last(self, request: Request, reader: RequestReader, response: Response) -> None:
        if response.status_code != HTTPStatus.SWITCHING_PROTOCOLS:
            if request.method == "HEAD":
                response.body = b""
            self._end(response)
        elif not reader.is_upgrade:
            self._end(None)  # the parser saw no upgrade, so the start of the frames is not known
        else:
            self.transport.write(response.serialize())
            rest = reader.rest
            self._forget_reader()
            self._handler.upgrade(self, request, self.transport, rest)

    def _send_stream(self, request: Request, reader: RequestReader, stream: Stream) -> None:
        """Write the header of a stream, and have its parts written as the client takes them."""
        is_chunked = request.protocol == "HTTP/1.1"
        keeps = reader.keeps and reader.is_whole
        self.transport.write(stream.head(keeps, is_chunked))
        if request.method == "HEAD":
            self._after(reader, keeps)
            return
        done = partial(self._after_stream, reader, keeps)
        self._sender = Sender(stream.parts, self.transport, done, self._handler.spawn, is_chunked=is_chunked)
        if self._is_full:
            self._sender.pause()

    def _after_stream(self, reader: RequestReader, keeps: bool, is_complete: bool) -> None:
        self._sender = None
        if not is_complete:
            self.transport.abort()
        elif self._reader is not None and not self.transport.is_closing():
            self._after(reader, keeps)

    def _after(self, reader: RequestReader, keeps: bool) -> None:
        """Go on after a response: with the next request, or with the end of the connection."""
        if not keeps:
            self._end(None)
        elif self._is_full:
            self._waits_to_go_on = True
        elif reader.rest:
            asyncio.get_running_loop().call_soon(self._go_on)
        else:
            self._go_on()

    def _go_on(self) -> None:
        """Read the next request."""
        reader = self._reader
        if reader is None or self.transport.is_closing():
            return
        self._is_answering = False
        self._ticks = 0
        if self._is_paused:
            self._is_paused = False
            self.transport.resume_reading()
        if rest := reader.go_on():
            self._read(reader, rest)

    def _end(self, response: Response | None) -> None:
        """Write the response, if any, and the end of the stream. Then discard bytes until the client closes too."""
        self._forget_reader()
        self._is_answering = False
        self._ticks = 0
        if self.transport.is_closing():
            return
        if response is not None:
            self.transport.write(response.serialize())
        self.transport.write_eof()

    def _discard(self, size: int) -> None:
        self._discarded += size
        if self._discarded > DISCARD_LIMIT:
            self.transport.abort()

    def _leave(self) -> None:
        self._forget_reader()
        if self._future is not None:
            self._future.cancel()
            self._future = None
        if self._sender is not None:
            self._sender.close()
        self._handler.ended(self)

    def _forget_reader(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None
