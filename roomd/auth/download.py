"""Download a small document by HTTP, with bounds on its bytes and on the time that it takes in all."""

import contextlib
import functools
import socket
import threading
from email.message import Message
from http.client import HTTPConnection, HTTPResponse, HTTPSConnection
from typing import IO, Any, Self
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPHandler, HTTPRedirectHandler, HTTPSHandler, Request, build_opener

from roomd import __version__

LARGEST_DOCUMENT = 1 << 20
"""The bytes that a document may have."""
PIECE = 65_536
"""The bytes that are read at once."""
HEADERS = {"User-Agent": f"roomd/{__version__}", "Accept": "application/json"}
"""The header fields of a request. Some filters in front of issuers refuse the library's own user agent."""


class _Redirects(HTTPRedirectHandler):
    """Follow redirects, but never read the body of one, and only to HTTPS or to the same scheme."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> Request | None:
        fp.close()
        if urlsplit(newurl).scheme not in ("https", urlsplit(req.full_url).scheme):
            raise ValueError("it redirects to a scheme that is less safe")
        return super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]  # typeshed


class _Deadline:
    """The end of a download: it shuts its sockets down, which ends every read, also of a header byte by byte."""

    def __init__(self, timeout: float) -> None:
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._timer = threading.Timer(timeout, self._end)
        self._timer.daemon = True
        self.is_over = False

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def watch(self, connected: socket.socket) -> None:
        """Shut this socket down at the end. Raises `TimeoutError` after it."""
        with self._lock:
            if self.is_over:
                raise TimeoutError
            self._sockets.append(connected)

    def _end(self) -> None:
        with self._lock:
            self.is_over = True
            for connected in self._sockets:
                with contextlib.suppress(OSError):  # closed by now
                    connected.shutdown(socket.SHUT_RDWR)


class _Connection(HTTPConnection):
    """A connection that ends at a deadline."""

    def __init__(self, deadline: _Deadline, host: str, **options: Any) -> None:
        super().__init__(host, **options)
        self._deadline = deadline

    def connect(self) -> None:
        super().connect()
        self._deadline.watch(self.sock)


class _SecureConnection(_Connection, HTTPSConnection):
    """A connection with TLS that ends at a deadline. The handshake has the timeout of the socket, as a whole."""


class _Http(HTTPHandler):
    """Open `http://` on connections that end at a deadline."""

    def __init__(self, deadline: _Deadline) -> None:
        super().__init__()
        self._connect = functools.partial(_Connection, deadline)

    def http_open(self, req: Request) -> HTTPResponse:
        return self.do_open(self._connect, req)


class _Https(HTTPSHandler):
    """Open `https://` on connections that end at a deadline."""

    def __init__(self, deadline: _Deadline) -> None:
        super().__init__()
        self._connect = functools.partial(_SecureConnection, deadline)

    def https_open(self, req: Request) -> HTTPResponse:
        return self.do_open(self._connect, req)


def download(url: str, timeout: float) -> bytes:
    """Return the document at an HTTP URL. It blocks, so it runs in a thread.

    `timeout` is in seconds: for the document and its header fields as a whole, and before that for each attempt to
    connect. Raises `OSError`, `HTTPException`, and `ValueError` when the document is too large.
    """
    with _Deadline(timeout) as deadline:
        try:
            content = _read(url, timeout, deadline)
        except Exception as exc:
            if deadline.is_over:
                raise TimeoutError(f"it takes more than {timeout:g} seconds") from exc
            raise
        if deadline.is_over:  # a socket that was shut down looks like the end of the document
            raise TimeoutError(f"it takes more than {timeout:g} seconds")
        return content


def _read(url: str, timeout: float, deadline: _Deadline) -> bytes:
    content = bytearray()
    try:
        opener = build_opener(_Redirects, _Http(deadline), _Https(deadline))
        response = opener.open(Request(url, headers=HEADERS), timeout=timeout)  # noqa: S310 - the URL of the settings
    except HTTPError as refusal:
        refusal.close()
        raise
    with response:
        while piece := response.read1(PIECE):
            content += piece
            if len(content) > LARGEST_DOCUMENT:
                raise ValueError(f"it has more than {LARGEST_DOCUMENT} bytes")
    return bytes(content)
