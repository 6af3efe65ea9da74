"""Connections by HTTP that are kept: time, order, bodies that are asked for, streams, and long polls."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Coroutine
from typing import Any

import pytest

from roomd.gateway.http.connection import AHEAD_LIMIT, BODY_TIMES, IDLE_TIMES, UNREAD_TIMES, HttpConnection
from roomd.gateway.http.request import Request
from roomd.gateway.http.responses import Answer, Content, Stream
from tests.support.sockets import SocketTransport, turns

GET = b"GET /%b HTTP/1.1\r\n\r\n"


class Handler:
    """Answers as the path says: `/now`, `/later` by a future, and `/stream` with the parts that the test gives."""

    def __init__(self) -> None:
        self.served: list[str] = []
        self.polls: list[asyncio.Future[Content]] = []
        self.parts: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.asked = 0
        self.is_closed = False
        self.tasks: set[asyncio.Task[None]] = set()
        self.transport = SocketTransport()
        self.connection = HttpConnection(self)
        self.transport.set_protocol(self.connection)
        self.connection.connection_made(self.transport.as_transport())

    def opened(self, connection: HttpConnection) -> None:
        pass

    def ended(self, connection: HttpConnection) -> None:
        pass

    def body_limit(self, request: Request) -> int:
        return 100 if request.method == "POST" else 0

    def delay(self, connection: HttpConnection, request: Request | None) -> float:
        return 0.0

    def answer(self, connection: HttpConnection, request: Request, body: bytes) -> Content | asyncio.Future[Content]:
        self.served.append(request.path)
        if request.path == "/later":
            self.polls.append(asyncio.get_running_loop().create_future())
            return self.polls[-1]
        if request.path == "/stream":
            return Stream(self._parts(), "text/event-stream")
        return Answer(200, request.path.encode() + body)

    async def _parts(self) -> AsyncGenerator[bytes, None]:
        try:
            while (part := await self._next()) is not None:
                yield part
        finally:
            self.is_closed = True

    async def _next(self) -> bytes | None:
        self.asked += 1
        part = await self.parts.get()
        if part == b"fail":
            raise ZeroDivisionError
        return part

    def spawn(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    def upgrade(self, connection: HttpConnection, request: Request, transport: asyncio.Transport, rest: bytes) -> None:
        raise AssertionError("no request here asks for a WebSocket")

    async def talk(self, *data: bytes) -> bytes:
        """Send bytes, and return what was written."""
        for one in data:
            self.transport.receive(one)
        await turns()
        return self.transport.written()

    def tick(self, count: int) -> None:
        for _ in range(count):
            self.connection.tick(1)


async def test_requests_are_answered_in_their_order() -> None:
    """What is sent ahead waits for the answer to what came before it."""
    handler = Handler()
    assert await handler.talk(GET % b"later" + GET % b"a", GET % b"b") == b""
    assert handler.served == ["/later"]
    handler.polls[0].set_result(Answer(200, b"first"))
    written = await handler.talk()
    assert handler.served == ["/later", "/a", "/b"]
    assert written.index(b"first") < written.index(b"/a") < written.index(b"/b")


async def test_what_is_sent_ahead_is_bounded() -> None:
    """Behind a request that is not answered no more is read than a header may have."""
    handler = Handler()
    await handler.talk(GET % b"later", b"x" * AHEAD_LIMIT)
    assert handler.transport.is_reading
    await handler.talk(b"x")
    assert not handler.transport.is_reading
    assert handler.connection.held() > AHEAD_LIMIT
    handler.polls[0].set_result(Answer(200, b""))
    await turns()
    assert handler.transport.is_reading


async def test_a_client_that_reads_no_answers() -> None:
    """No further request is served while the client does not take the answers, and it is cut off in the end."""
    handler = Handler()
    handler.transport.fill(100_000)
    await handler.talk(GET % b"a" + GET % b"b")
    assert handler.served == ["/a"]
    handler.transport.drain()
    await turns()
    assert handler.served == ["/a", "/b"]
    handler.transport.fill(100_000)
    await handler.talk(GET % b"c")
    handler.tick(UNREAD_TIMES)
    assert handler.transport.is_aborted


async def test_a_body_that_is_asked_for() -> None:
    """`Expect: 100-continue` is answered once, and not when the body is there already or too large."""
    head = b"POST /x HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n"
    handler = Handler()
    assert await handler.talk(head % 2) == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert b"100 Continue" not in await handler.talk(b"{", b"}")
    assert (await handler.talk(head % 2 + b"{}")).startswith(b"HTTP/1.1 200 ")
    assert (await handler.talk(head % 101)).startswith(b"HTTP/1.1 413 ")
    assert handler.transport.has_ended


async def test_time_is_bounded() -> None:
    """A head, a body and the time between two requests have bounds; an answer under way has none here."""
    idle, head, body, poll = Handler(), Handler(), Handler(), Handler()
    for handler in (idle, head, body, poll):
        await handler.talk(GET % b"a")
        handler.tick(IDLE_TIMES - 1)
    await head.talk(b"G")
    await body.talk(b"POST /x HTTP/1.1\r\nContent-Length: 5\r\n\r\n")
    await poll.talk(GET % b"later")
    poll.tick(1000)
    body.tick(BODY_TIMES - 1)
    assert not any(handler.transport.is_aborted for handler in (idle, head, body, poll))
    for handler in (idle, head, body):
        handler.tick(1)
        assert handler.transport.is_aborted


async def test_a_long_poll_ends_with_its_client() -> None:
    """A future is cancelled when the client is gone, and its answer goes nowhere."""
    handler = Handler()
    await handler.talk(GET % b"later")
    handler.transport.lose()
    assert handler.polls[0].cancelled()


async def test_a_stream() -> None:
    """The parts come in the chunked coding as they are made, and the connection is kept after the last."""
    handler = Handler()
    head = await handler.talk(GET % b"stream")
    assert b"\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n" in head
    handler.parts.put_nowait(b"data: 1\n\n")
    assert await handler.talk() == b"9\r\ndata: 1\n\n\r\n"
    handler.parts.put_nowait(b"")
    handler.parts.put_nowait(b"x" * 16)
    handler.parts.put_nowait(None)
    assert await handler.talk() == b"10\r\n" + b"x" * 16 + b"\r\n0\r\n\r\n"
    assert handler.is_closed
    assert (await handler.talk(GET % b"a")).endswith(b"/a")


async def test_a_stream_to_a_slow_client() -> None:
    """No part is asked for while the client does not take those before; who takes none is cut off."""
    handler = Handler()
    await handler.talk(GET % b"stream")
    handler.transport.fill(100_000)
    for _ in range(3):
        handler.parts.put_nowait(b"x")
    await turns()
    assert handler.asked == 1, "the part that was asked for before is written, and no other is asked for"
    handler.tick(UNREAD_TIMES - 1)
    handler.transport.drain()
    await turns()
    assert handler.asked == 4
    handler.transport.fill(100_000)
    handler.tick(UNREAD_TIMES)
    assert handler.transport.is_aborted
    await turns()
    assert handler.is_closed


@pytest.mark.parametrize("end", ["lost", "stop"])
async def test_a_stream_whose_client_goes_or_whose_server_stops(end: str) -> None:
    """Its generator is closed, and no task is left."""
    handler = Handler()
    await handler.talk(GET % b"stream")
    if end == "lost":
        handler.transport.lose()
    else:
        handler.connection.finish()
    await turns()
    assert handler.is_closed
    assert handler.tasks == set()
    assert handler.transport.is_closing()


async def test_a_stream_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    """The connection is cut off, so that the client does not take the body for complete; the log says why."""
    caplog.set_level(logging.ERROR)
    handler = Handler()
    await handler.talk(GET % b"stream")
    handler.parts.put_nowait(b"fail")
    assert await handler.talk() == b""
    assert handler.transport.is_aborted
    assert [record.message for record in caplog.records] == ["stream failed"]


async def test_a_stream_by_http_1_0() -> None:
    """Without chunks the end of the connection ends the body."""
    handler = Handler()
    head = await handler.talk(b"GET /stream HTTP/1.0\r\n\r\n")
    assert b"Transfer-Encoding" not in head
    handler.parts.put_nowait(b"x")
    handler.parts.put_nowait(None)
    assert await handler.talk() == b"x"
    assert handler.transport.has_ended


async def test_the_head_alone() -> None:
    """HEAD gets the header of an answer or a stream, and the connection is kept."""
    handler = Handler()
    for path in (b"stream", b"a"):
        assert (await handler.talk(b"HEAD /%b HTTP/1.1\r\n\r\n" % path)).endswith(b"\r\n\r\n")
    assert handler.asked == 0
    assert not handler.transport.has_ended
