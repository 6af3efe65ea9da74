"""What is served over plain HTTP beside the WebSocket: the meeting page with its files, and the AsyncAPI document.

The files are those of the package's folder `page`. All of them are read once, at the start.
"""

import hashlib
import html
from collections.abc import Iterator
from http import HTTPStatus
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import PurePath

import msgspec
from websockets.datastructures import Headers
from websockets.http11 import Response

from roomd.config import ServerConfig
from roomd.gateway.http import response
from roomd.protocol import asyncapi

PAGE = "index.html"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
"""What is served of the page's folder, by suffix; another file in it is not the page's."""
PATH_MARK = '<meta name="roomd-path" content="/ws">'
"""Tells the page the path of the WebSocket. An inline script could not: the policy forbids it."""

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",  # the WebSocket too: for it, 'self' has ws: and wss: (CSP 3, section 6.7.2.8)
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",  # no string becomes markup or script, in browsers that know this
        "trusted-types 'none'",
    )
)
HEADERS = {
    "Cache-Control": "no-cache",  # a browser keeps a copy, and asks each time whether it is current
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
PAGE_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Permissions-Policy": "camera=(self), microphone=(self), display-capture=(self)",
    "Vary": "Accept",
}


class Site:
    """The files that the configuration has served, by path: content type, body and entity tag."""

    def __init__(self, config: ServerConfig) -> None:
        self._files: dict[str, tuple[str, bytes, str]] = {}
        self._add("/asyncapi.json", "application/json", msgspec.json.encode(asyncapi.document(config.path)))
        if config.demo:
            for name, body in page_files():
                if name == PAGE:
                    self._add("/", TYPES[".html"], _with_path(body, config.path))
                else:
                    self._add(f"/{name}", TYPES[PurePath(name).suffix], body)

    def answer(self, path: str, headers: Headers) -> Response | None:
        """Answer a request for a file; None if there is none at this path, or if it is the page and no browser asks."""
        if path not in self._files or (path == "/" and not _is_browser(headers)):
            return None
        content_type, body, tag = self._files[path]
        known = ",".join(headers.get_all("If-None-Match"))
        if tag in known:  # a weak tag serves as well (RFC 9110, section 13.1.2)
            answer = response(HTTPStatus.NOT_MODIFIED, content_type, b"")
            del answer.headers["Content-Length"], answer.headers["Content-Type"]
        else:
            answer = response(HTTPStatus.OK, content_type, body)
        del answer.headers["Cache-Control"]
        answer.headers["ETag"] = tag
        answer.headers.update(HEADERS)
        if path == "/":
            answer.headers.update(PAGE_HEADERS)
        return answer

    def _add(self, path: str, content_type: str, body: bytes) -> None:
        self._files[path] = content_type, body, f'"{hashlib.sha256(body).hexdigest()[:32]}"'


def page_files() -> Iterator[tuple[str, bytes]]:
    """Read the page: the path of each file below the page's folder, and its content.

    Below `client/` are the modules of the JavaScript client; in a checkout that is a link to clients/js/src.
    """
    return _walk(resources.files("roomd") / "page", "")


def _walk(folder: Traversable, prefix: str) -> Iterator[tuple[str, bytes]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _walk(entry, f"{prefix}{entry.name}/")
        elif entry.is_file() and PurePath(entry.name).suffix in TYPES:
            yield prefix + entry.name, entry.read_bytes()


def _is_browser(headers: Headers) -> bool:
    """Tell whether the request names HTML, as browsers do; curl and the like accept anything."""
    return "text/html" in ",".join(headers.get_all("Accept")).lower()


def _with_path(page: bytes, path: str) -> bytes:
    mark = PATH_MARK.replace('"/ws"', f'"{html.escape(path)}"')
    return page.replace(PATH_MARK.encode(), mark.encode())
