"""Read requests with httptools, one after another, within limits of size.

Only whole heads and bodies are given to the parser, never bytes of the request after them. So it is known where each
request ends, and the next one is not looked at before this one is answered.
"""

import re
from collections.abc import Callable
from http import HTTPStatus
from typing import cast

import httptools
from websockets.http11 import Response

from roomd.gateway.http.request import Fields, Request
from roomd.gateway.http.responses import body_too_large, head_too_large, method_not_allowed, text_response

HEAD_LIMIT = 16_384
"""The bytes that a request line and its header fields may have: room for a token of 12 KiB and what browsers and
proxies add. A longer token comes with `authenticate`."""
FRAMING_LIMIT = HEAD_LIMIT
"""The bytes that a chunked body may have beside its data: sizes, extensions and the trailer (RFC 9112, section 7.1).
The parser keeps a field of the trailer, however long it is. No more than that is parsed at once."""
FIELD_LIMIT = 128
"""The number of header fields that a request may have."""

_METHOD = re.compile(rb"[A-Z]+(?= )")
_ABSOLUTE = re.compile(rb"https?://[^/?#]*/?", re.IGNORECASE)
_END = b"\r\n\r\n"
"""The end of a head, and of a chunked body (RFC 9112, sections 2.1 and 7.1). The parser takes no other line ends."""


class BadRequest(Exception):  # noqa: N818 - the name of the status
    """The bytes are no request that can be served. `answer` is the response; None to close without a response."""

    def __init__(self, answer: Response | None) -> None:
        super().__init__()
        self.answer = answer


class RequestReader:
    """Read requests: the line, the header fields and, if the handler wants it, the body of each.

    `body_limit` is the method of the handler. httptools calls the methods that begin with `on_`.
    """

    __slots__ = ("_body_limit", "_coded_size", "_fields", "_left", "_limit", "_line", "_method", "_parser", "_parts",
                 "_path", "_skips_line", "_tail", "body_size", "is_complete", "is_first",
                 "is_upgrade", "is_whole", "keeps", "request", "rest", "size")  # fmt: skip

    def __init__(self, body_limit: Callable[[Request], int]) -> None:
        self._body_limit = body_limit
        self._parser: httptools.HttpRequestParser | None = httptools.HttpRequestParser(self)
        self._fields: list[tuple[bytes, bytes]] = []
        self._skips_line = False  # whether an empty line may come first
        self.rest = b""
        """The bytes received after the request."""
        self.is_first = True
        """Whether this is the first request of its connection."""
        self._begin()

    def _begin(self) -> None:
        self.request: Request | None = None
        """The request; None until its header is complete."""
        self.is_complete = False
        """Whether the request can be answered."""
        self.is_whole = False
        """Whether all of the request was read."""
        self.is_upgrade = False
        """Whether it asks for another protocol. Then the bytes after its header belong to that."""
        self.keeps = False
        """Whether the connection can be kept after the request, which must be of HTTP/1.1."""
        self.size = 0
        """The bytes of the request line and the header fields that were received."""
        self.body_size = 0
        """The bytes of the body that were received, if the handler wants it."""
        self._coded_size = 0  # the same in the chunked coding
        self._limit = 0
        self._left: int | None = 0  # the bytes of the body that are not received yet; None for a chunked one
        self._parts: list[bytes] = []
        self._line: bytes | None = b""  # the request line, until it is complete
        self._tail = b""  # the last bytes of the head that were received, in which its end may begin
        self._method = b""
        self._path = b""

    @property
    def body(self) -> bytes:
        """The body, as far as it was received."""
        return self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)

    @property
    def has_begun(self) -> bool:
        """Whether a byte of the request was received."""
        return self.size > 0 or bool(self._line)

    @property
    def held(self) -> int:
        """The bytes that are kept."""
        return self.size + self.body_size + len(self.rest)

    def feed(self, data: bytes) -> None:
        """Parse bytes that were received. Those after a complete request are kept in `rest`.

        Raises `BadRequest` when they are no request that can be served.
        """
        if self.request is None:
            data = self._feed_head(data)
        if self.is_complete:
            self.rest += data
        elif data:
            self._feed_body(data)

    def go_on(self) -> bytes:
        """Begin to read the next request. Return what was received after this one."""
        rest, self.rest, self._skips_line = self.rest, b"", True
        self.is_first = False
        self._begin()
        return rest

    def close(self) -> None:
        """Release the parser, which refers to this reader, so that no cycle of references is left."""
        self._parser = None

    def on_url(self, url: bytes) -> None:
        """Add a part of the request's target."""
        self._path += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Add a header field. Those after a chunked body are ignored."""
        if self.request is None:
            self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        """Build the request, and ask the handler how much of the body it wants."""
        parser = self._parser
        if parser is None or len(self._fields) > FIELD_LIMIT:
            return
        headers = Fields(self._fields)
        self._fields.clear()
        version = parser.get_http_version()
        path = self._path if self._path.startswith(b"/") else _origin_form(self._path)
        method, protocol = parser.get_method().decode("ascii"), f"HTTP/{version}"
        self.request = Request(method, path.decode("ascii", "surrogateescape"), headers, protocol)
        self._limit = self._body_limit(self.request)
        if self._limit == 0:
            self.is_complete = True
        else:
            self._expect_body(headers)
        self.keeps = version == "1.1" and parser.should_keep_alive()

    def on_body(self, body: bytes) -> None:
        """Add a part of the body."""
        if not self.is_complete:
            self.body_size += len(body)
            self._parts.append(body)

    def on_message_complete(self) -> None:
        """Mark the request as complete."""
        if self.request is not None:
            self.is_complete = self.is_whole = True

    def _feed_head(self, data: bytes) -> bytes:
        """Parse the part of the head that is in `data`. Return what is behind it."""
        if self._skips_line:
            data = self._without_empty_line(data)
            if not data:
                return b""
        tail = self._tail
        end = (tail + data if tail else data).find(_END) - len(tail) + len(_END)
        is_found = end >= len(_END) - len(tail)
        space = HEAD_LIMIT - self.size
        head = data[: min(end, space) if is_found else space]
        self.size += len(head)
        self._parse_head(head)
        if self.request is None:
            if self.size == HEAD_LIMIT:
                raise BadRequest(head_too_large(self._line is not None))
            self._tail = (tail + head)[-3:]
        return data[len(head) :]

    def _without_empty_line(self, data: bytes) -> bytes:
        """Return what is behind an empty line, which may stand before a request (RFC 9112, section 2.2)."""
        if self._line in (b"", b"\r") and (start := self._line + data).startswith(b"\r\n"):
            self._line, self._tail, self.size, self._skips_line = b"", b"", 0, False
            return start[2:]
        return data

    def _parse_head(self, data: bytes) -> None:
        if self._line is not None:
            data = self._line = self._line + data
            if not data[:1].isupper():
                if data == b"\r" and self._skips_line:
                    return
                raise BadRequest(None)  # no HTTP method: for example TLS
            if b"\n" not in data:
                return
            self._check_line(data[: data.index(b"\n")])
            self._line = None
        self._parse(data)
        if len(self._fields) > FIELD_LIMIT:
            raise BadRequest(head_too_large(line=False))

    def _check_line(self, line: bytes) -> None:
        """Refuse any line but that of HTTP/1.0 or HTTP/1.1; the parser would wait for more of some others."""
        method = _METHOD.match(line)
        self._method = method.group() if method else b""
        if not line.endswith((b" HTTP/1.1\r", b" HTTP/1.0\r")):
            raise self._refusal()

    def _expect_body(self, headers: Fields) -> None:
        """Note how long the body is. The parser has refused two lengths, and a length beside a coding."""
        if "transfer-encoding" in headers.by_name:
            self._left = None
        else:
            self._left = int(headers.joined("content-length") or "0")

    def _check_body(self) -> None:
        """Refuse a body that is not wanted, before it is read (RFC 9112, section 6.3)."""
        request = cast("Request", self.request)
        if self._left is not None:
            if self._left > self._limit:
                raise BadRequest(body_too_large(self._limit))
        elif request.protocol == "HTTP/1.0":  # such a client knows no chunks (RFC 9112, section 6.1)
            raise self._refusal()
        elif [coding.lower() for coding in request.headers.get_all("transfer-encoding")] != ["chunked"]:
            raise BadRequest(text_response(HTTPStatus.NOT_IMPLEMENTED, "Send the body as it is, or chunked.\n"))

    def _feed_body(self, data: bytes) -> None:
        """Parse the part of the body that is in `data`."""
        if self._left is not None:
            body, self.rest = data[: self._left], data[self._left :]
            self._left -= len(body)
            self._parse(body)
            return
        start = 0
        while start < len(data) and not self.is_complete:
            end = min(self._chunks_end(data, start), start + FRAMING_LIMIT)
            self._parse(data[start:end])
            self._coded_size += end - start
            if self._coded_size - self.body_size > FRAMING_LIMIT:
                raise BadRequest(text_response(HTTPStatus.BAD_REQUEST, "The chunks have too much beside their data.\n"))
            start = end
        self._tail = data[-3:] if len(data) >= 3 else (self._tail + data)[-3:]
        self.rest = data[start:]

    def _chunks_end(self, data: bytes, start: int) -> int:
        """Return where the body may end at the earliest: after the next `_END`, which may have begun before `data`."""
        if start == 0 and self._tail:
            over = (self._tail + data[:3]).find(_END)
            if over >= 0:
                return over + len(_END) - len(self._tail)
        found = data.find(_END, max(start - 3, 0))
        return found + len(_END) if found >= 0 else len(data)

    def _parse(self, data: bytes) -> None:
        had_request, parser = self.request is not None, self._parser
        if parser is None:
            return  # closed
        try:
            parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            if self._limit:
                raise BadRequest(text_response(HTTPStatus.BAD_REQUEST, "A request to upgrade has no body.\n")) from None
            self.is_upgrade = self.is_complete = True
        except httptools.HttpParserCallbackError:
            raise  # a fault of this class, not of the client: the loop logs it and ends the connection
        except httptools.HttpParserError:
            if not self.is_complete:
                raise self._refusal() from None
        if not had_request and self.request is not None:
            self._tail = b""
            if not self.is_complete:
                self._check_body()
        if self.body_size > self._limit:
            raise BadRequest(body_too_large(self._limit))

    def _refusal(self) -> BadRequest:
        """Build the refusal: 405 for a method that is never served, 400 for one with a body, else only the end."""
        if self._method in (b"", b"GET", b"HEAD"):
            return BadRequest(None)
        if self._method == b"POST":
            return BadRequest(text_response(HTTPStatus.BAD_REQUEST, "This is no valid request of HTTP/1.1.\n"))
        return BadRequest(method_not_allowed())


def _origin_form(target: bytes) -> bytes:
    """Return an absolute target without its scheme and host (RFC 9112, section 3.2.2); any other as it is."""
    absolute = _ABSOLUTE.match(target)
    return b"/" + target[absolute.end() :] if absolute else target
