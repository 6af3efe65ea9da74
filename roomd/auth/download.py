"""Download a small document by HTTP, with bounds on its bytes and on the time that it takes in all."""

import time
from collections.abc import Callable
from email.message import Message
from typing import IO
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

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


def download(url: str, timeout: float, clock: Callable[[], float] = time.monotonic) -> bytes:
    """Return the document at an HTTP URL. It blocks, so it runs in a thread.

    `timeout` is in seconds, for all of the document; its header fields may take longer when they come byte by byte.
    Raises `OSError`, `HTTPException`, and `ValueError` when the document is too large.
    """
    deadline = clock() + timeout
    content = bytearray()
    try:
        response = build_opener(_Redirects).open(Request(url, headers=HEADERS), timeout=timeout)  # noqa: S310 - the URL of the settings
    except HTTPError as refusal:
        refusal.close()
        raise
    with response:
        while piece := response.read1(PIECE):
            content += piece
            if len(content) > LARGEST_DOCUMENT:
                raise ValueError(f"it has more than {LARGEST_DOCUMENT} bytes")
            if clock() > deadline:
                raise TimeoutError(f"it takes more than {timeout:g} seconds")
    return bytes(content)
