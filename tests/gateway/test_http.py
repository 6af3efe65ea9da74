"""HTTP requests without a network: bounds in size and number, bodies, and what becomes of nonsense."""

import asyncio
import socket
from collections.abc import Coroutine
from http import HTTPStatus
from types import SimpleNamespace
from typing import Any

import pytest
from httptools import HttpParserCallbackError
from websockets.datastructures import Headers
from websockets.http11 import Response

from roomd.gateway.http.connection import DISCARD_LIMIT, HttpConnection
from roomd.gateway.http.reading import FIELD_LIMIT, HEAD_LIMIT, RequestReader
from roomd.gateway.http.request import Request
from roomd.gateway.http.responses import response
from tests.support.sockets import SocketTransport, turns


class Handler:
    """Answers every request with what it was, and takes bodies under /upload."""

    def __init__(self, transport: SocketTransport | None = None) -> None:
        self.http_connections: set[HttpConnection] = set()
        self.upgraded: list[bytes] = []
        self.delay_of: dict[str, float] = {}
        self.transport = transport or SocketTransport()
        self.connection = HttpConnection(self)
        self.transport.set_protocol(self.connection)
        self.connection.connection_made(self.transport.as_transport())

    def body_limit(self, request: Request) -> int:
        return 100 if request.path == "/upload" else 0

    def opened(self, connection: HttpConnection) -> None:
        self.http_connections.add(connection)

    def ended(self, connection: HttpConnection) -> None:
        self.http_connections.discard(connection)

    def delay(self, connection: HttpConnection, request: Request | None) -> float:
        return self.delay_of.get(request.path if request is not None else "", 0.0)

    def answer(self, connection: HttpConnection, request: Request, body: bytes) -> Response:
        if "upgrade" in request.headers:
            return Response(101, "Switching Protocols", Headers({"Upgrade": request.headers.joined("upgrade")}))
        return response(HTTPStatus.OK, "text/plain", f"{request.method} {request.path} {body.decode()}".encode())

    def spawn(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        return asyncio.create_task(work)

    def upgrade(self, connection: HttpConnection, request: Request, transport: asyncio.Transport, rest: bytes) -> None:
        self.http_connections.discard(connection)
        self.upgraded.append(rest)

    def talk(self, *data: bytes) -> str:
        """Send bytes, each argument by itself; return what was answered."""
        for one in data:
            self.transport.receive(one)
        return self.transport.written().decode()


def head(size: int) -> bytes:
    """Make the head of a request that has so many bytes."""
    start = b"GET / HTTP/1.1\r\nA: "
    return start + b"a" * (size - len(start) - 4) + b"\r\n\r\n"


@pytest.mark.parametrize("piece", [HEAD_LIMIT, 1_000, 1])
async def test_a_head_is_bounded(piece: int, caplog: pytest.LogCaptureFixture) -> None:
    """A head of 16 KiB is read, a byte more is not, however it comes. The log has a line about it."""
    caplog.set_level("INFO")
    for size, status in ((HEAD_LIMIT, "200"), (HEAD_LIMIT + 1, "431")):
        data = head(size)
        answer = Handler().talk(*(data[i : i + piece] for i in range(0, size, piece)))
        assert answer.startswith(f"HTTP/1.1 {status} ")
    assert [(record.message, record.args) for record in caplog.records] == [
        ("request refused", {"status": 431, "reason": "Request Header Fields Too Large"})
    ]


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET /" + b"a" * 1_000_000, "414"),
        (head(970_000), "431"),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 200_000, "431"),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * (FIELD_LIMIT + 1) + b"\r\n", "431"),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * FIELD_LIMIT + b"\r\n", "200"),
    ],
    ids=["line", "field", "fields", "one field too many", "as many as may be"],
)
async def test_much_at_once(data: bytes, status: str) -> None:
    """Of a large head no more is parsed than may be; the answer comes, and the rest is discarded."""
    handler = Handler()
    assert handler.talk(data).startswith(f"HTTP/1.1 {status} ")
    assert handler.transport.has_ended
    assert handler.talk(data, data) == ""
    assert not handler.transport.is_aborted


async def test_what_is_discarded_is_bounded() -> None:
    """A client that sends on and on behind the answer is cut off."""
    handler = Handler()
    handler.talk(b"POST / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n")
    handler.talk(bytes(DISCARD_LIMIT))
    assert not handler.transport.is_aborted
    handler.talk(b"x")
    assert handler.transport.is_aborted


@pytest.mark.parametrize("cut", [0, 3, 30, 44, 47])
@pytest.mark.parametrize(
    ("header", "body"),
    [(b"Content-Length: 5", b"hello"), (b"Transfer-Encoding: chunked", b"5\r\nhello\r\n0\r\n\r\n")],
    ids=["length", "chunked"],
)
async def test_a_body_that_is_wanted(header: bytes, body: bytes, cut: int) -> None:
    """A request is answered when the body is there that its handler wants; what follows is not served."""
    data = b"POST /upload HTTP/1.1\r\n" + header + b"\r\n\r\n" + body
    handler = Handler()
    assert handler.talk(data[:cut], data[cut:-1]) == ""
    answer = handler.talk(data[-1:] + data)
    assert answer.startswith("HTTP/1.1 200 ")
    assert answer.endswith("POST /upload hello")


@pytest.mark.parametrize(
    "data",
    [
        b"POST /upload HTTP/1.1\r\nContent-Length: 101\r\n\r\n" + b"x" * 101,
        b"POST /upload HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 101,
    ],
)
async def test_a_body_too_large(data: bytes) -> None:
    """A body past the handler's limit is answered 413."""
    assert Handler().talk(data[:60], data[60:]).startswith("HTTP/1.1 413 ")


async def test_a_body_that_is_not_wanted() -> None:
    """A request whose body nobody wants is answered at its head."""
    handler = Handler()
    assert handler.talk(b"PUT / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhe").endswith("PUT / ")
    assert handler.talk(b"llo") == ""


@pytest.mark.parametrize("cut", [0, 1, 40])
async def test_an_upgrade(cut: int) -> None:
    """The handler takes the connection over, with what came behind the request."""
    data = b"GET /ws HTTP/1.1\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\nabc"
    handler = Handler()
    assert handler.talk(data[:cut], data[cut:]).startswith("HTTP/1.1 101 ")
    assert handler.upgraded == [b"abc"]
    assert handler.http_connections == set()


@pytest.mark.parametrize(
    "data",
    [b"\x16\x03\x01", b"\r\n", b"\rGET / HTTP/1.1\r\n\r\n", b"get / HTTP/1.1\r\n", b"GET /\r\n", b"GET / HTTP/2.0\r\n"],
)
async def test_nonsense(data: bytes) -> None:
    """What is no request of HTTP/1 ends its connection at once, without an answer."""
    handler = Handler()
    assert handler.talk(data) == ""
    assert handler.transport.has_ended


async def test_time_is_bounded() -> None:
    """A connection gets so many ticks for its request, and as many to end behind the answer."""
    handler = Handler()
    handler.talk(b"GET / HTTP/1.1\r\n")
    for _ in range(3):
        handler.connection.tick(4)
    assert "200" in handler.talk(b"\r\n")
    for _ in range(3):
        handler.connection.tick(4)
    assert not handler.transport.is_aborted
    handler.connection.tick(4)
    assert handler.transport.is_aborted
    await turns()
    assert handler.http_connections == set()


async def test_a_fault_of_the_handler_is_not_taken_for_the_client_s() -> None:
    """It goes to the loop, which logs it and ends the connection: the client asked for nothing wrong."""

    def fail(_: Request) -> int:
        raise ZeroDivisionError

    reader = RequestReader(fail)
    with pytest.raises(HttpParserCallbackError):
        reader.feed(b"GET / HTTP/1.1\r\n\r\n")


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
async def test_a_connection_without_a_peer(family: socket.AddressFamily) -> None:
    """One that the other end has reset already is aborted, and what it sent is not served."""
    transport = SocketTransport()
    transport.extra = {"socket": SimpleNamespace(family=family)}
    handler = Handler(transport)
    assert handler.talk(b"GET / HTTP/1.1\r\n\r\n") == ""
    assert transport.is_aborted
    await turns()
    assert handler.http_connections == set()


@pytest.mark.parametrize(("name", "peer"), [(("192.0.2.1", 80), "192.0.2.1"), (("::1", 80, 0, 0), "::1")])
async def test_the_peer(name: tuple[object, ...], peer: str) -> None:
    """It is the host of the peer's name, and None for a Unix socket."""
    transport = SocketTransport()
    transport.extra = {"socket": SimpleNamespace(family=socket.AF_INET), "peername": name}
    assert Handler(transport).connection.peer == peer
    assert Handler().connection.peer is None


async def test_what_is_held() -> None:
    """The bytes of a request that is not complete count, with its body, and those of an answer that is not sent."""
    handler = Handler()
    start = b"POST /upload HTTP/1.1\r\nContent-Length: 9\r\n\r\n"
    handler.talk(start[:20], start[20:] + b"12345")
    assert handler.connection.held() >= len(start) + 5
    handler.talk(b"6789")
    assert handler.connection.held() == 0
    handler.transport.unread = 100
    assert handler.connection.held() == 100
