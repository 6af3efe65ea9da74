"""Broken requests in random reads: whatever comes, the answer is one HTTP response or the end, within bounds.

A failure prints its seed; `TEST_ROOMD_FUZZ_SEED=<seed> pytest tests/gateway/test_http_fuzz.py` plays it alone.
`TEST_ROOMD_FUZZ=<number>` sets how many examples there are: a fourth of it, since they are one small part.
"""

import asyncio
import os
import re
from collections.abc import Coroutine
from http import HTTPStatus
from typing import Any

import pytest
from websockets.http11 import Request as LibraryRequest
from websockets.http11 import Response
from websockets.server import ServerProtocol

from roomd.config import ServerConfig
from roomd.gateway.http.connection import HttpConnection
from roomd.gateway.http.reading import FIELD_LIMIT, HEAD_LIMIT
from roomd.gateway.http.request import Request
from roomd.gateway.routes import Routes
from tests.support.fuzz_heads import cut, make_request
from tests.support.sockets import SocketTransport

EXAMPLES = int(os.environ.get("TEST_ROOMD_FUZZ", "500")) // 4
"""Requests that are played; `make nightly` plays 25,000."""
SEED = os.environ.get("TEST_ROOMD_FUZZ_SEED")
PARTS = 2
TICKS = 4
STATUSES = {101, 200, 304, 400, 403, 404, 405, 413, 414, 426, 431, 505}
ROUTES = Routes(ServerConfig(), lambda: False, list)


class Behind(asyncio.Protocol):
    """What comes behind a handshake."""

    def __init__(self, rest: bytes) -> None:
        self.data = rest

    def data_received(self, data: bytes) -> None:
        self.data += data


class Port:
    """The HTTP of the daemon, without a network."""

    def __init__(self) -> None:
        self.http_connections: set[HttpConnection] = set()
        self.behind: Behind | None = None
        self.transport = SocketTransport()
        self.connection = HttpConnection(self)
        self.transport.set_protocol(self.connection)
        self.connection.connection_made(self.transport.as_transport())

    def body_limit(self, request: Request) -> int:
        return 0

    def opened(self, connection: HttpConnection) -> None:
        self.http_connections.add(connection)

    def ended(self, connection: HttpConnection) -> None:
        self.http_connections.discard(connection)

    def delay(self, connection: HttpConnection, request: Request | None) -> float:
        return 0.0

    def answer(self, connection: HttpConnection, request: Request, body: bytes) -> Response:
        return ROUTES.answer(request)

    def spawn(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        return asyncio.create_task(work)

    def upgrade(self, connection: HttpConnection, request: Request, transport: asyncio.Transport, rest: bytes) -> None:
        self.http_connections.discard(connection)
        self.behind = Behind(rest)
        transport.set_protocol(self.behind)

    def play(self, reads: list[bytes]) -> tuple[int, int, bytes | None]:
        """Receive a request; return the status, 0 without, the size of its body, and what came behind a handshake."""
        received, written = 0, b""
        for read in reads:
            received += len(read)
            self.transport.receive(read)
            written += self.transport.written()
            is_waiting = not (written or self.transport.has_ended)
            assert not is_waiting or received < HEAD_LIMIT, "no more than 16 KiB of a head are read"
        if not self.behind:
            for _ in range(TICKS):
                self.connection.tick(TICKS)
            assert self.transport.is_aborted, "nobody waits for ever"
        self.transport.lose()
        assert not self.http_connections
        status, size = parse_response(written, reads)
        assert self.behind is not None or self.transport.has_ended or not status, "an answer ends the connection"
        assert (status == HTTPStatus.SWITCHING_PROTOCOLS) == (self.behind is not None)
        return status, size, self.behind.data if self.behind is not None else None


def parse_response(data: bytes, reads: list[bytes]) -> tuple[int, int]:
    """Parse one whole response, or none."""
    if not data:
        return 0, 0
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    found = re.fullmatch(rb"HTTP/1\.1 (\d{3}) [A-Z][A-Za-z- ]+", lines[0])
    assert found is not None
    status = int(found[1])
    assert status in STATUSES
    assert all(re.fullmatch(rb"[A-Za-z-]+: [\x20-\x7e]*", line) for line in lines[1:])
    length = next((int(line[16:]) for line in lines if line.startswith(b"Content-Length: ")), 0)
    assert len(body) == length or (body == b"" and b"".join(reads).lstrip().startswith(b"HEAD"))
    return status, len(body)


def is_refused_by_the_library_alone(request: bytes) -> bool:
    """Say whether the request has what httptools takes and the library's own HTTP parser does not.

    That is more than one space in the request line, and a header field of more than 8190 bytes.
    """
    lines = request.split(b"\r\n")
    return len(lines[0].split(b" ")) != 3 or any(len(line) > 8_190 for line in lines)


def has_two_faults(request: bytes, *statuses: int) -> bool:
    """Say whether a request with too many fields was refused for these or for another fault of its head.

    Fields are counted after each read, so how it is cut decides which fault is found first.
    """
    return request.count(b"\n") > FIELD_LIMIT and set(statuses) <= {0, 405, 431}


def library_accepts(request: bytes) -> bool:
    """Say whether the library's own server would accept a handshake."""
    library = ServerProtocol()
    library.receive_data(request)
    asked = next(iter(library.events_received()), None)
    return isinstance(asked, LibraryRequest) and library.accept(asked).status_code == HTTPStatus.SWITCHING_PROTOCOLS


@pytest.mark.parametrize("part", range(PARTS))
async def test_whatever_is_asked(part: int) -> None:
    """A request gets one whole response of ours or the end of its connection, the same however it is cut."""
    for seed in [int(SEED)] if SEED else range(part, EXAMPLES, PARTS):
        request = make_request(seed)
        try:
            whole = Port().play([request] if request else [])
            in_reads = Port().play(cut(request, seed))
            assert in_reads == whole or has_two_faults(request, in_reads[0], whole[0]), "segmentation changes nothing"
            if whole[0] == HTTPStatus.SWITCHING_PROTOCOLS and not is_refused_by_the_library_alone(request):
                assert library_accepts(request), "no handshake succeeds that fails at the library's own server"
        except Exception as exc:
            exc.add_note(f"TEST_ROOMD_FUZZ_SEED={seed}\n{request[:2_000]!r}")
            raise
        if seed % 500 == 0:
            await asyncio.sleep(0)  # for the transports that were aborted
