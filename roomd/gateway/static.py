"""The files that are served over HTTP: the meeting page with its files, and the documents for programs.

The files of the page are in the folder `page` of the package. All of them are read once, at the start.
"""

import hashlib
import html
from collections.abc import Iterator, Mapping
from functools import lru_cache
from http import HTTPStatus
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import PurePath

import msgspec
from websockets.http11 import Response

from roomd.config import ServerConfig
from roomd.gateway.http.request import Fields
from roomd.gateway.http.responses import JSON, response
from roomd.protocol import asyncapi, openapi

PAGE = "index.html"
"""The file of the page, which is served at `/`."""
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
"""The content types of the page's files, by suffix. Files with other suffixes are not served."""
PATH_MARK = '<meta name="roomd-path" content="/ws">'
"""The element that contains the path of the WebSocket. It is no inline script, because the policy forbids those."""
ROOM_QUERY = "?room="
"""What the page completes with the code of the room. The daemon does not look at it."""

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",  # allows the WebSocket too: 'self' includes ws: and wss: (CSP 3, section 6.7.2.8)
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",  # browsers that support it never parse a string as markup or script
        "trusted-types 'none'",
    )
)
"""The policy of the page: it loads nothing but its own files, and cannot be put into a frame."""
HEADERS = {
    "Cache-Control": "no-cache",  # a browser stores a copy, and checks each time whether it is current
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
"""The header fields of every file."""
PAGE_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Permissions-Policy": "camera=(self), microphone=(self), display-capture=(self)",
    "Vary": "Accept",
}
"""The further header fields of the page itself."""


class StaticFiles:
    """The files that are served by this configuration, by path: content type, body and entity tag."""

    def __init__(self, config: ServerConfig, *, is_balanced: bool = False) -> None:
        """`is_balanced` has the page add the code of the room to the address of the WebSocket, for a balancer."""
        self._files: dict[str, tuple[str, bytes, str]] = {}
        for path, body in documents(config.path).items():
            self._add(path, JSON, body)
        if config.demo:
            for name, body in page_files():
                if name == PAGE:
                    self._add("/", TYPES[".html"], _with_path(body, config.path + ROOM_QUERY * is_balanced))
                else:
                    self._add(f"/{name}", TYPES[PurePath(name).suffix], body)

    def answer(self, path: str, headers: Fields) -> Response | None:
        """Return the response for a file; None without one, and for the page if the client is not a browser."""
        if path not in self._files or (path == "/" and not _is_browser(headers)):
            return None
        content_type, body, tag = self._files[path]
        known = headers.joined("if-none-match")
        if tag in known:  # a weak tag matches too (RFC 9110, section 13.1.2)
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


@lru_cache(maxsize=8)
def documents(path: str) -> Mapping[str, bytes]:
    """Describe a roomd whose WebSocket is at `path`: the documents for programs, as JSON, by their paths.

    To make them takes 30 ms, so the daemons of one process (`roomd.testing`) share them.
    """
    return {
        "/asyncapi.json": msgspec.json.encode(asyncapi.document(path)),
        "/openapi.json": msgspec.json.encode(openapi.document()),
    }


def page_files() -> Iterator[tuple[str, bytes]]:
    """Read the page's files: the path of each file below the page's folder, and its content.

    The folder `client` has the modules of the JavaScript client; in a checkout it is a link to clients/js/src.
    """
    return _walk(resources.files("roomd") / "page", "")


def _walk(folder: Traversable, prefix: str) -> Iterator[tuple[str, bytes]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _walk(entry, f"{prefix}{entry.name}/")
        elif entry.is_file() and PurePath(entry.name).suffix in TYPES:
            yield prefix + entry.name, entry.read_bytes()


def _is_browser(headers: Fields) -> bool:
    """Return whether the request accepts HTML by name, as browsers do. Programs like curl accept any type."""
    return "text/html" in headers.joined("accept").lower()


def _with_path(page: bytes, path: str) -> bytes:
    mark = PATH_MARK.replace('"/ws"', f'"{html.escape(path)}"')
    return page.replace(PATH_MARK.encode(), mark.encode())
