"""Responses by HTTP: whole ones that end their connection, whole ones that leave it open, and streams."""

from collections.abc import AsyncGenerator
from http import HTTPStatus
from typing import NamedTuple

from websockets.datastructures import Headers
from websockets.http11 import Response

_PHRASES = {413: "Content Too Large", 414: "URI Too Long"}
"""The names of RFC 9110, sections 15.5.14 and 15.5.15, which Python has had since 3.13."""
_LINES = {
    status.value: f"HTTP/1.1 {status.value} {_PHRASES.get(status.value, status.phrase)}\r\n" for status in HTTPStatus
}
"""The status lines, by status."""
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
"""The interim response that lets a client send its body (RFC 9110, section 10.1.1)."""
JSON = "application/json"


class Answer(NamedTuple):
    """A whole response after which the connection is kept, if the request allows it."""

    status: int
    """The status, one of `HTTPStatus`."""
    body: bytes
    """The body."""
    headers: str = ""
    """Further header fields, each a line with its end."""
    content_type: str = JSON
    """The type of the body."""
    must_close: bool = False
    """Whether the connection ends with it, whatever the request allows."""

    def head(self, keeps: bool) -> bytes:
        """Return the bytes of the header. `keeps` is whether the connection is kept after it."""
        head = (
            f"{_LINES[self.status]}Content-Type: {self.content_type}\r\nContent-Length: {len(self.body)}\r\n"
            f"Cache-Control: no-store\r\n{self.headers}{'' if keeps else _CLOSE}\r\n"
        )
        return head.encode("latin-1")


class Stream(NamedTuple):
    """A response whose body is made while it is sent, such as Server-Sent Events.

    `parts` is asked for the next part when the client has taken enough of those before. When the client is gone, or the
    server stops, the generator is closed: what it awaits is cancelled. When `parts` raises, the
    connection is cut off, so that the client does not take the body for complete.
    """

    parts: AsyncGenerator[bytes, None]
    """The parts of the body. An empty one writes nothing."""
    content_type: str
    """The type of the body."""
    status: int = 200
    """The status, one of `HTTPStatus`."""
    headers: str = ""
    """Further header fields, each a line with its end."""

    def head(self, keeps: bool, chunked: bool) -> bytes:
        """Return the bytes of the header. `keeps` is whether the connection is kept, `chunked` how the body is sent."""
        coding = "Transfer-Encoding: chunked\r\n" if chunked else ""
        head = (
            f"{_LINES[self.status]}Content-Type: {self.content_type}\r\n{coding}"
            f"Cache-Control: no-store\r\n{self.headers}{'' if keeps else _CLOSE}\r\n"
        )
        return head.encode("latin-1")


_CLOSE = "Connection: close\r\n"

Content = Response | Answer | Stream
"""What answers a request. A `Response` ends its connection, but for 101."""


LAST_CHUNK = b"0\r\n\r\n"
"""The end of a body in the chunked coding."""


def chunk(part: bytes) -> tuple[bytes, bytes, bytes]:
    """Return a part of a body in the chunked coding (RFC 9112, section 7.1), as bytes that follow each other."""
    return b"%x\r\n" % len(part), part, b"\r\n"


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


def method_not_allowed(*allowed: str) -> Response:
    """Build the response to a method that is not served (RFC 9110, section 15.5.6). GET and HEAD are by default."""
    served = allowed or ("GET", "HEAD")
    verb = "is" if len(served) == 1 else "are"
    refusal = text_response(HTTPStatus.METHOD_NOT_ALLOWED, f"Only {' and '.join(served)} {verb} served.\n")
    refusal.headers["Allow"] = ", ".join(served)
    return refusal


def head_too_large(line: bool) -> Response:
    """Build the response to a line or a header that is too large (RFC 9110, section 15.5.15; RFC 6585, section 5)."""
    if line:
        return text_response(HTTPStatus.REQUEST_URI_TOO_LONG, "The request line is too long.\n")
    return text_response(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "The header is too large.\n")


def body_too_large(limit: int) -> Response:
    """Build the response to a body of more than `limit` bytes."""
    return text_response(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"The body is too large. It may have {limit} bytes.\n")
