"""HTTP/1.1 on the port of the WebSocket: parse a request with httptools, within limits of size and time, and answer it.

Every response ends its connection, except the 101 that makes it a WebSocket.
"""

import asyncio
import logging
import re
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import Protocol, cast

import httptools
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from roomd.gateway.addresses import find_peer
from roomd.limits.addresses import Address

limited = logging.getLogger("roomd.gateway.limited")

HEAD_LIMIT = 16_384
"""The bytes that a request line and its header fields may have: room for a token of 12 KiB and what browsers and
proxies add. A longer token comes with `authenticate`."""
FIELD_LIMIT = 128
"""The number of header fields that a request may have."""
DISCARD_LIMIT = 8_388_608
"""The bytes that are read and discarded after a response. Closing before a client has sent its body would reset the
connection, and the response would be lost (RFC 9112, section 9.6)."""

_PHRASES = {413: "Content Too Large", 414: "URI Too Long"}
"""The names of RFC 9110, sections 15.5.14 and 15.5.15, which Python has had since 3.13."""

_METHOD = re.compile(rb"[A-Z]+(?= )")


class BadRequest(Exception):  # noqa: N818 - the name of the status
    """The bytes are no request that can be served. `answer` is the response; None to close without a response."""

    def __init__(self, answer: Response | None) -> None:
        super().__init__()
        self.answer = answer


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

    def answer(self, request: Request, body: bytes) -> "Response | asyncio.Future[Response]":
        """Return the response, or a future of it; 101 makes its connection a WebSocket."""
        ...

    def upgrade(
        self, connection: "HttpConnection", request: Request, transport: asyncio.Transport, rest: bytes
    ) -> None:
        """Take over the connection after a 101. `rest` are the bytes received after the request."""


class RequestReader:
    """Read one request: its line, its header fields and, if the handler wants it, its body.

    `body_limit` is the method of the handler. httptools calls the methods that begin with `on_`.
    """

    __slots__ = ("_body_limit", "_fields", "_limit", "_line", "_method", "_parser", "_path", "body",
                 "is_complete", "request", "rest", "size")  # fmt: skip

    def __init__(self, body_limit: Callable[[Request], int]) -> None:
        self.request: Request | None = None
        """The request; None until its header is complete."""
        self.body = b""
        """The part of the body that was received, if the handler wants it."""
        self.is_complete = False
        """Whether the request can be answered."""
        self.rest: bytes | None = None
        """The bytes received after a request to upgrade; None for any other request."""
        self.size = 0
        """The bytes of the request line and the header fields that were received, and of what came with them."""
        self._body_limit = body_limit
        self._limit = 0
        self._parser: httptools.HttpRequestParser | None = httptools.HttpRequestParser(self)
        self._line: bytes | None = b""  # the request line, until it is complete
        self._method = b""
        self._path = b""
        self._fields: list[tuple[bytes, bytes]] = []

    def feed(self, data: bytes) -> None:
        """Parse bytes that were received.

        Raises `BadRequest` when they are no request that can be served.
        """
        if self.request is not None:
            self._parse(data)
            return
        space = HEAD_LIMIT - self.size
        head, behind = data[:space], data[space:]
        self.size += len(head)
        self._feed_head(head)
        if self.request is not None:
            if self.rest is not None:
                self.rest += behind
            elif behind and not self.is_complete:
                self._parse(behind)
        elif self.size == HEAD_LIMIT:
            raise BadRequest(_too_large(self._line is not None))

    def close(self) -> None:
        """Release the parser, which refers to this reader, so that no cycle of references is left."""
        self._parser = None

    def on_url(self, url: bytes) -> None:
        """Add a part of the request's target."""
        if self.request is None:
            self._path += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Add a header field."""
        if self.request is None:
            self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        """Build the request, and ask the handler how much of the body it wants."""
        if self.request is not None or len(self._fields) > FIELD_LIMIT:
            return
        parser = cast("httptools.HttpRequestParser", self._parser)
        headers = Headers()
        for name, value in self._fields:
            headers[name.decode("latin-1")] = value.decode("latin-1")
        self._fields.clear()
        version = f"HTTP/{parser.get_http_version()}"
        self.request = Request(
            self._path.decode("ascii", "surrogateescape"), headers, parser.get_method().decode("ascii"), version
        )
        self._limit = self._body_limit(self.request)
        self.is_complete = self._limit == 0

    def on_body(self, body: bytes) -> None:
        """Add a part of the body."""
        if not self.is_complete and len(self.body) <= self._limit:
            self.body += body

    def on_message_complete(self) -> None:
        """Mark the request as complete."""
        self.is_complete = self.request is not None

    def _feed_head(self, data: bytes) -> None:
        if self._line is not None:
            data = self._line = self._line + data
            if not data[:1].isupper():
                raise BadRequest(None)  # no HTTP method: for example TLS
            if b"\n" not in data:
                return
            self._check_line(data[: data.index(b"\n")])
            self._line = None
        self._parse(data)
        if len(self._fields) > FIELD_LIMIT:
            raise BadRequest(_too_large(line=False))

    def _check_line(self, line: bytes) -> None:
        """Refuse any line but that of HTTP/1.0 or HTTP/1.1; the parser would wait for more of some others."""
        method = _METHOD.match(line)
        self._method = method.group() if method else b""
        if not line.endswith((b" HTTP/1.1\r", b" HTTP/1.0\r")):
            raise self._refusal()

    def _parse(self, data: bytes) -> None:
        parser = cast("httptools.HttpRequestParser", self._parser)
        try:
            parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self.rest = data[upgrade.args[0] :]
        except httptools.HttpParserCallbackError:
            raise  # a fault of this class, not of the client: the loop logs it and ends the connection
        except httptools.HttpParserError:
            if not self.is_complete:
                raise self._refusal() from None
        if len(self.body) > self._limit:
            raise BadRequest(text_response(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The body is too large.\n"))

    def _refusal(self) -> BadRequest:
        """Build the refusal: 405 for a method that is not served; for any other error, close without a response."""
        return BadRequest(method_not_allowed() if self._method not in (b"", b"GET", b"HEAD") else None)


class HttpConnection(asyncio.Protocol):
    """A connection from its start until its request is answered. `handler` answers it."""

    __slots__ = ("_discarded", "_handler", "_reader", "_ticks", "address", "has_arrived", "peer",
                 "received", "transport")  # fmt: skip

    def __init__(self, handler: Handler) -> None:
        self.peer: str | None = None
        """The address of the other end, found once at the start; None for a Unix socket."""
        self.address: Address | None = None
        """The address that the connection is charged to. The handler sets it."""
        self.has_arrived = False
        """Whether the connection was charged. The handler sets it."""
        self.received = 0
        """The bytes that were received and not charged yet."""
        self._handler = handler
        self._reader: RequestReader | None = RequestReader(handler.body_limit)  # None after the response
        self.transport: asyncio.Transport
        """The transport, from the start of the connection on."""
        self._discarded = 0
        self._ticks = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for a request. Abort a connection that the other end has reset: nobody is known to be there."""
        self.transport = cast("asyncio.Transport", transport)
        try:
            self.peer = find_peer(self.transport)
        except ConnectionResetError:
            self._forget_reader()
            self.transport.abort()
        else:
            self._handler.opened(self)

    def connection_lost(self, _: Exception | None) -> None:
        """Forget the connection."""
        self._leave()

    def data_received(self, data: bytes) -> None:
        """Read the request and answer it. Discard the bytes after it."""
        reader = self._reader
        self.received += len(data)
        if reader is None:
            self._discard(len(data))
            return
        try:
            reader.feed(data)
        except BadRequest as bad:
            if bad.answer is not None:
                limited.info("request refused", {"status": bad.answer.status_code, "reason": bad.answer.reason_phrase})
            self._serve(None, partial(self._end, bad.answer))
            return
        if reader.is_complete and reader.request is not None:
            self._serve(reader.request, partial(self._answer, reader.request, reader))

    def held(self) -> int:
        """Return the bytes that are held for the client: an unfinished request, and what is not sent yet."""
        reader = self._reader
        unfinished = reader.size + len(reader.body) if reader is not None else 0
        return unfinished + self.transport.get_write_buffer_size()

    def abort(self) -> None:
        """Abort the connection at once."""
        self.transport.abort()

    def tick(self, most: int) -> None:
        """Count one tick. Abort a connection that takes `most` ticks for its request, or to close after it."""
        self._ticks += 1
        if self._ticks >= most:
            self.transport.abort()

    def give_way(self) -> None:
        """Abort the connection, so that another can be served."""
        self._leave()
        self.transport.abort()

    def close(self) -> None:
        """Close the connection after the written bytes were sent."""
        self.transport.close()

    def _serve(self, request: Request | None, answer: Callable[[], None]) -> None:
        """Answer a request, or what is none, when its sender may have the answer."""
        if delay := self._handler.delay(self, request):
            self.transport.pause_reading()
            asyncio.get_running_loop().call_later(delay, self._serve_late, answer)
        else:
            answer()

    def _serve_late(self, answer: Callable[[], None]) -> None:
        if self._reader is not None and not self.transport.is_closing():
            self.transport.resume_reading()
            answer()

    def _answer(self, request: Request, reader: RequestReader) -> None:
        answer = self._handler.answer(request, reader.body)
        if isinstance(answer, Response):
            self._respond(request, reader, answer)
        else:
            answer.add_done_callback(partial(self._respond_late, request, reader))

    def _respond_late(self, request: Request, reader: RequestReader, answer: "asyncio.Future[Response]") -> None:
        if self._reader is not None and not answer.cancelled():
            self._respond(request, reader, answer.result())

    def _respond(self, request: Request, reader: RequestReader, response: Response) -> None:
        if response.status_code != HTTPStatus.SWITCHING_PROTOCOLS:
            if request.method == "HEAD":
                response.body = b""
            self._end(response)
        elif reader.rest is None:
            self._end(None)  # the parser saw no upgrade, so the start of the frames is not known
        else:
            self.transport.write(response.serialize())
            self._forget_reader()
            self._handler.upgrade(self, request, self.transport, reader.rest)

    def _end(self, response: Response | None) -> None:
        """Write the response, if any, and the end of the stream. Then discard bytes until the client closes too."""
        self._forget_reader()
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
        self._handler.ended(self)

    def _forget_reader(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None


def text_response(status: HTTPStatus, text: str) -> Response:
    """Build a response with a text for people."""
    return response(status, "text/plain; charset=utf-8", text.encode())


def response(status: HTTPStatus, content_type: str, body: bytes) -> Response:
    """Build a response that ends its connection."""
    headers = Headers(
        {
            "Content-Type": content_type,
            "Content-Length": str(len(body)),
            "Cache-Control": "no-store",
            "Connection": "close",
        }
    )
    return Response(status.value, _PHRASES.get(status.value, status.phrase), headers, body)


def method_not_allowed() -> Response:
    """Build the response to a method that is not served (RFC 9110, section 15.5.6)."""
    refusal = text_response(HTTPStatus.METHOD_NOT_ALLOWED, "Only GET and HEAD are served.\n")
    refusal.headers["Allow"] = "GET, HEAD"
    return refusal


def _too_large(line: bool) -> Response:
    """Build the response to a line or a header that is too large (RFC 9110, section 15.5.15; RFC 6585, section 5)."""
    if line:
        return text_response(HTTPStatus.REQUEST_URI_TOO_LONG, "The request line is too long.\n")
    return text_response(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "The header is too large.\n")
