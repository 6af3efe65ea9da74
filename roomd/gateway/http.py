"""HTTP/1.1 on the port of the WebSocket: a request is parsed by httptools, bounded in size and time, and answered.

Every answer ends its connection, but for the one that turns it into a WebSocket.
"""

import asyncio
import re
from collections.abc import Callable
from http import HTTPStatus
from typing import Protocol, cast

import httptools
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

HEAD_LIMIT = 16_384
"""Bytes of a request line and its header fields."""
FIELD_LIMIT = 128
"""Header fields of a request."""
DISCARD_LIMIT = 8_388_608
"""Bytes that are read and discarded after an answer. Closing before a client has sent its body would reset the
connection, and the answer would be lost (RFC 9112, section 9.6)."""

_METHOD = re.compile(rb"[A-Z]+(?= )")


class BadRequest(Exception):  # noqa: N818 - the name of the status
    """What was received is no request that can be served; `answer` is None where the connection just ends."""

    def __init__(self, answer: Response | None) -> None:
        super().__init__()
        self.answer = answer


class Handler(Protocol):
    """What answers the requests of a connection."""

    arriving: "set[HttpConnection]"
    """Connections that are not WebSockets, or not yet; they enter and leave by themselves."""

    def body_limit(self, request: Request) -> int:
        """Count the bytes of body that are read before the request is answered; 0 to answer it at its head."""
        ...

    def answer(self, request: Request, body: bytes) -> Response:
        """Answer a request; 101 turns its connection into a WebSocket."""
        ...

    def upgrade(self, request: Request, transport: asyncio.Transport, rest: bytes) -> None:
        """Take the connection over after a 101; `rest` was received behind the request."""


class RequestReader:
    """Read one request: its line, its header and, where it is wanted, its body.

    `body_limit` is the handler's. The methods that begin with `on_` are called by httptools.
    """

    __slots__ = ("_body_limit", "_fields", "_limit", "_line", "_method", "_parser", "_path", "_size", "body",
                 "is_complete", "request", "rest")  # fmt: skip

    def __init__(self, body_limit: Callable[[Request], int]) -> None:
        self.request: Request | None = None
        """The request, once its head is complete."""
        self.body = b""
        """As much of the body as was wanted and has been received."""
        self.is_complete = False
        """The request can be answered."""
        self.rest: bytes | None = None
        """What was received behind a request to upgrade; None after any other."""
        self._body_limit = body_limit
        self._limit = 0
        self._parser: httptools.HttpRequestParser | None = httptools.HttpRequestParser(self)
        self._line: bytes | None = b""  # the request line, until it is complete
        self._method = b""
        self._path = b""
        self._fields: list[tuple[bytes, bytes]] = []
        self._size = 0

    def feed(self, data: bytes) -> None:
        """Parse what was received.

        Raises `BadRequest`.
        """
        if self.request is not None:
            self._parse(data)
            return
        room = HEAD_LIMIT - self._size
        head, behind = data[:room], data[room:]
        self._size += len(head)
        self._feed_head(head)
        if self.request is not None:
            if self.rest is not None:
                self.rest += behind
            elif behind and not self.is_complete:
                self._parse(behind)
        elif self._size == HEAD_LIMIT:
            raise BadRequest(_too_large(self._line is not None))

    def close(self) -> None:
        """Let go of the parser, which refers to this reader."""
        self._parser = None

    def on_url(self, url: bytes) -> None:
        """Take a part of the request's target."""
        if self.request is None:
            self._path += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header field."""
        if self.request is None:
            self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        """Make the request of its head, and ask whether its body is wanted."""
        if self.request is not None or len(self._fields) > FIELD_LIMIT:
            return
        parser = cast("httptools.HttpRequestParser", self._parser)
        headers = Headers()
        for name, value in self._fields:
            headers[name.decode("latin-1")] = value.decode("latin-1")
        self._fields.clear()
        version = f"HTTP/{parser.get_http_version()}"
        self.request = Request(self._path.decode("ascii"), headers, parser.get_method().decode("ascii"), version)
        self._limit = self._body_limit(self.request)
        self.is_complete = self._limit == 0

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        if not self.is_complete and len(self.body) <= self._limit:
            self.body += body

    def on_message_complete(self) -> None:
        """Let the request be answered."""
        self.is_complete = self.request is not None

    def _feed_head(self, data: bytes) -> None:
        if self._line is not None:
            data = self._line = self._line + data
            if b"\n" not in data:
                if data[:1].isupper():
                    return
                raise BadRequest(None)  # TLS, for one, need not go on to the limit
            self._check_line(data[: data.index(b"\n")])
            self._line = None
        self._parse(data)
        if len(self._fields) > FIELD_LIMIT:
            raise BadRequest(_too_large(line=False))

    def _check_line(self, line: bytes) -> None:
        """Refuse what the parser would wait for more of, HTTP/0.9, and what it does not know."""
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
        except httptools.HttpParserError:
            if not self.is_complete:
                raise self._refusal() from None
        if len(self.body) > self._limit:
            raise BadRequest(text_response(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The body is too large.\n"))

    def _refusal(self) -> BadRequest:
        """Name the methods that are served to whoever used another; what else is wrong just ends the connection."""
        return BadRequest(method_not_allowed() if self._method not in (b"", b"GET", b"HEAD") else None)


class HttpConnection(asyncio.Protocol):
    """A connection from its start to the end of its request, which the handler answers."""

    __slots__ = ("_discarded", "_handler", "_reader", "_ticks", "_transport")

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._reader: RequestReader | None = RequestReader(handler.body_limit)  # until the answer
        self._transport: asyncio.Transport
        self._discarded = 0
        self._ticks = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for a request."""
        self._transport = cast("asyncio.Transport", transport)
        self._handler.arriving.add(self)

    def connection_lost(self, _: Exception | None) -> None:
        """Forget the connection."""
        self._leave()

    def data_received(self, data: bytes) -> None:
        """Read a request and answer it; discard what follows it."""
        reader = self._reader
        if reader is None:
            self._discard(len(data))
            return
        try:
            reader.feed(data)
        except BadRequest as bad:
            self._end(bad.answer)
            return
        if reader.is_complete and reader.request is not None:
            self._answer(reader.request, reader)

    def tick(self, most: int) -> None:
        """Count a period of waiting; end a connection that has taken so many for its request, or to end."""
        self._ticks += 1
        if self._ticks >= most:
            self._transport.abort()

    def close(self) -> None:
        """End the connection when what was written has been sent."""
        self._transport.close()

    def _answer(self, request: Request, reader: RequestReader) -> None:
        response = self._handler.answer(request, reader.body)
        if response.status_code != HTTPStatus.SWITCHING_PROTOCOLS:
            if request.method == "HEAD":
                response.body = b""
            self._end(response)
        elif reader.rest is None:
            self._end(None)  # the parser saw no upgrade in it, so nobody knows where the frames begin
        else:
            self._transport.write(response.serialize())
            self._leave()
            self._handler.upgrade(request, self._transport, reader.rest)

    def _end(self, response: Response | None) -> None:
        """Write the last there is, and discard what comes until the client hangs up too."""
        self._forget_reader()
        self._ticks = 0
        if self._transport.is_closing():
            return
        if response is not None:
            self._transport.write(response.serialize())
        self._transport.write_eof()

    def _discard(self, size: int) -> None:
        self._discarded += size
        if self._discarded > DISCARD_LIMIT:
            self._transport.abort()

    def _leave(self) -> None:
        self._forget_reader()
        self._handler.arriving.discard(self)

    def _forget_reader(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None


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


def method_not_allowed() -> Response:
    """Answer a method that is not served (RFC 9110, section 15.5.6)."""
    refusal = text_response(HTTPStatus.METHOD_NOT_ALLOWED, "Only GET and HEAD are served.\n")
    refusal.headers["Allow"] = "GET, HEAD"
    return refusal


def _too_large(line: bool) -> Response:
    """Answer a head past its limit (RFC 9110, section 15.5.15, and RFC 6585, section 5)."""
    if line:
        return text_response(HTTPStatus.REQUEST_URI_TOO_LONG, "The request line is too long.\n")
    return text_response(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "The header is too large.\n")
