"""Plain HTTP on the WebSocket's port: what is asked as it is, and status, headers and body of the answer."""

import asyncio
import contextlib
import re

from tests.support.recording.scene import PATIENCE
from tests.support.recording.transcript import Transcript
from tests.support.recording.wire import KEY

_UPGRADE = {
    "Host": "roomd.example",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": KEY,
}


def _upgrade(**changes: str | None) -> str:
    """Write an upgrade request with some headers changed (`_` for `-`), added or, for None, left out."""
    given = {name.replace("_", "-"): value for name, value in changes.items()}
    lines = [f"{name}: {value}\r\n" for name, value in {**_UPGRADE, **given}.items() if value is not None]
    return f"GET /ws HTTP/1.1\r\n{''.join(lines)}\r\n"


def _get(path: str, *headers: str, method: str = "GET") -> str:
    lines = "".join(f"{header}\r\n" for header in ("Host: roomd.example", *headers))
    return f"{method} {path} HTTP/1.1\r\n{lines}\r\n"


PATHS = (
    "/",
    "/healthz",
    "/healthz?verbose=1",
    "/healthz/",
    "/readyz",
    "/asyncapi.json",
    "/ws",
    "/ws/",
    "/nowhere",
    "/../etc",
)
FILES = ("/page.js", "/page.css", "/icon.svg", "/client/roomd.js", "/index.html", "/package.json", "/schema.sql")
METHODS = ("POST", "PUT", "DELETE", "OPTIONS", "PATCH", "CONNECT", "TRACE", "JOIN")

HANDSHAKES: dict[str, str] = {
    "a handshake": _upgrade(),
    "a handshake with roomd.v1": _upgrade(Sec_WebSocket_Protocol="other, roomd.v1"),
    "a handshake with another subprotocol": _upgrade(Sec_WebSocket_Protocol="other"),
    "a handshake that offers compression": _upgrade(Sec_WebSocket_Extensions="permessage-deflate"),
    "an origin that is allowed": _upgrade(Origin="https://meet.example"),
    "an origin that is not": _upgrade(Origin="https://other.example"),
    "an origin of null": _upgrade(Origin="null"),
    "no key": _upgrade(Sec_WebSocket_Key=None),
    "a bad key": _upgrade(Sec_WebSocket_Key="nonsense"),
    "no version": _upgrade(Sec_WebSocket_Version=None),
    "another version": _upgrade(Sec_WebSocket_Version="12"),
    "no upgrade of the connection": _upgrade(Connection="close"),
    "another upgrade": _upgrade(Upgrade="h2c"),
    "no upgrade": _upgrade(Upgrade=None),
    "HTTP/1.0": _upgrade().replace("HTTP/1.1", "HTTP/1.0"),
    "two keys": _upgrade().replace("\r\n\r\n", f"\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"),
    "upgrade said twice": _upgrade().replace("\r\n\r\n", "\r\nUpgrade: websocket\r\n\r\n"),
    "words": "hello there\r\n\r\n",
    "no headers": "GET\r\n\r\n",
    "a health check of HTTP/1.0": "GET /healthz HTTP/1.0\r\n\r\n",
    "a body": "GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
    "a long header": _get("/healthz", f"X: {'a' * 20_000}"),
    "a long path": _get("/" + "a" * 20_000),
}


async def http(port: int, answers: Transcript) -> None:
    """Ask for everything that is served, and in every way that is refused."""
    answers.heading("Paths")
    for path in PATHS:
        await _ask(port, answers, f"GET {path}", _get(path, "Accept: */*"))
        await _ask(port, answers, f"HEAD {path}", _get(path, "Accept: */*", method="HEAD"))
    answers.heading("The page")
    tag = await _ask(port, answers, "GET / by a browser", _get("/", "Accept: text/html,*/*;q=0.8"))
    await _ask(port, answers, "GET / by a browser that has it", _get("/", "Accept: text/html", f"If-None-Match: {tag}"))
    for path in FILES:
        await _ask(port, answers, f"GET {path}", _get(path))
    answers.heading("Methods")
    for method in METHODS:
        await _ask(port, answers, f"{method} /healthz", _get("/healthz", "Content-Length: 0", method=method))
    await _ask(port, answers, "POST /ws with a body", _get("/ws", "Content-Length: 2", method="POST") + "{}")
    answers.heading("Handshakes")
    for note, request in HANDSHAKES.items():
        await _ask(port, answers, note, request)


async def _ask(port: int, answers: Transcript, note: str, request: str) -> str:
    """Send a request on a connection of its own and record the answer; returns its ETag."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    async with asyncio.timeout(PATIENCE):
        writer.write(request.encode())
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            switched = head.startswith("HTTP/1.1 101 ")
            body = b"" if switched else await reader.read()
        except (asyncio.IncompleteReadError, ConnectionError):
            head, body = "nothing, and the connection ends\r\n", b""
    writer.transport.abort()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
    answers.lines.append(f"{note}:")
    lines = [line for line in head.splitlines() if line and not line.lower().startswith("date:")]
    served = _file_of(lines)
    answers.lines += [f"    {served.get(line, answers.clean(line))}" for line in lines]
    if served and body:
        answers.lines.append("    the file")
    elif body:
        text = re.sub(r"read \d+ bytes", "read <some> bytes", body.decode())  # as the network cut them
        answers.lines.append(f"    {text!r}")
    return next((line.partition(": ")[2] for line in lines if line.lower().startswith("etag:")), "")


def _file_of(lines: list[str]) -> dict[str, str]:
    """Name what changes with every edit of a file that is served, in the header of an answer that has an ETag."""
    if not any(line.startswith("ETag:") for line in lines):
        return {}
    return {
        line: f"{line.partition(':')[0]}: <the file's>"
        for line in lines
        if line.startswith(("ETag:", "Content-Length:"))
    }
