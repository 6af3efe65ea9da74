"""The port in this process, on a loop whose clock can be moved: silence, deadlines, limits and the end."""

import asyncio
import contextlib

import pytest

from roomd.gateway.listener import HANDSHAKE_TIMEOUT, LONGEST_DELAY, closing_limit
from roomd.gateway.websocket import CLOSE_TIMEOUT
from tests.support.port import PING, PONG, UPGRADE, opened, run
from tests.support.sockets import client_frame


async def is_over(reader: asyncio.StreamReader) -> bool:
    """Say whether the connection has ended, whatever else was to be read first."""
    with contextlib.suppress(ConnectionError):
        while await reader.read(1000):
            pass
    return reader.at_eof()


def test_a_silence_of_the_daemon_s_own() -> None:
    """While the loop is held up nobody is silent: what was sent meanwhile is read before anyone is dropped."""

    async def scene() -> None:
        async with opened(join_timeout=1e4) as port:
            reader, writer = await port.connect()
            for _ in range(30):
                writer.write(PONG)
                await port.hold_up(100.0)
            assert not reader.at_eof()
            for _ in range(32):  # ticks of 1.25 s; a tick counts as no more, however late it is
                await port.hold_up(100.0)
            assert not reader.at_eof()
            assert await reader.readexactly(2) == PING
            await port.hold_up(2.0)
            assert await is_over(reader)

    run(scene())


def test_a_handshake_that_the_daemon_holds_up() -> None:
    """The deadline of a handshake counts what the client took, not what the loop was held up."""

    async def scene() -> None:
        async with opened() as port:
            reader, writer = await port.connect(UPGRADE[:-2])
            await port.hold_up(100.0)
            writer.write(UPGRADE[-2:])
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
            slow, _ = await port.connect(UPGRADE[:-2])
            for _ in range(4):
                await port.hold_up(HANDSHAKE_TIMEOUT / 4)
            assert await is_over(slow)

    run(scene())


def test_a_first_join_that_the_daemon_holds_up() -> None:
    """`limits.join_timeout` counts in the same way."""

    async def scene() -> None:
        async with opened(join_timeout=60.0) as port:
            reader, writer = await port.connect()
            for _ in range(40):
                writer.write(client_frame(b'{"type": "ping"}'))
                await port.hold_up(1000.0)
                assert (await reader.readexactly(2))[0] == 0x81
                await reader.readexactly(15)
            for _ in range(49):
                writer.write(PONG)
                await port.hold_up(2.0)
            assert await reader.readexactly(4) == b"\x88\x1e" + (4408).to_bytes(2)

    run(scene())


def test_a_close_that_is_not_answered() -> None:
    """A client that does not answer the close at the connection limit is cut off; there is room for the next then."""

    async def scene() -> None:
        async with opened(connections=1) as port:
            first = await port.member()
            reader, _ = await port.connect()
            assert await reader.readexactly(4) == b"\x88\x19" + (1013).to_bytes(2)
            await port.hold_up(3.9)
            await reader.readexactly(23)
            assert not reader.at_eof()
            await port.hold_up(0.2)
            assert await is_over(reader)
            first.transport.abort()
            await port.hold_up(0)
            await port.connect()

    run(scene())


def test_who_closes_is_bounded() -> None:
    """Of many that do not answer the close, the oldest is cut off for a new connection."""

    async def scene() -> None:
        async with opened(connections=1) as port:
            await port.member()
            refused = [await port.connect() for _ in range(closing_limit(1) + 1)]
            for reader, _ in refused:
                assert await reader.readexactly(4) == b"\x88\x19" + (1013).to_bytes(2)
            assert not refused[0][0].at_eof()
            await port.connect()
            assert await is_over(refused[0][0])
            assert not any(reader.at_eof() for reader, _ in refused[1:])

    run(scene())


WITHOUT_A_SEAT = {
    "a request": b"GET / HTTP/1.1\r\n\r\n",
    "a health check": b"GET /healthz HTTP/1.1\r\n\r\n",
    "a large header": b"GET / HTTP/1.1\r\nA: " + b"a" * 20_000,
    "no HTTP": b"\x16\x03\x01",
    "half a request": b"GET / HTTP/1.1\r\n",
    "nothing": b"",
}


@pytest.mark.parametrize("first", WITHOUT_A_SEAT.values(), ids=WITHOUT_A_SEAT.keys())
def test_every_connection_is_an_arrival(first: bytes) -> None:
    """Whatever a connection was for, the next answers to its address wait when there were too many; no health check."""

    async def scene() -> None:
        async with opened(arrival_rate=0.01, arrival_burst=3.0) as port:
            is_whole = first[-4:] == b"\r\n\r\n"
            for _ in range(30 if is_whole else 3):  # a page is made of many plain requests
                reader, writer = await port.connect(first)
                if is_whole:
                    assert await is_over(reader)
                await port.hold_up(0)
                writer.transport.abort()
            await port.until(lambda: not port.listener._http_connections)
            for request, status in ((WITHOUT_A_SEAT["a request"], b"200"), (WITHOUT_A_SEAT["a large header"], b"431")):
                await port.until(lambda: not port.listener._http_connections)
                late, _ = await port.connect(request)
                answer = asyncio.create_task(late.readline())
                await port.until(lambda: any(one.has_arrived for one in port.listener._http_connections))
                for path in (b"/healthz", b"/readyz"):
                    healthy, _ = await port.connect(b"GET %b HTTP/1.1\r\n\r\n" % path)
                    assert (await healthy.readline()).startswith(b"HTTP/1.1 200 ")
                    assert not answer.done(), "the request that came before it waits"
                await port.hold_up(LONGEST_DELAY - 0.5)
                assert not answer.done()
                await port.hold_up(0.6)
                assert (await answer)[9:12] == status
                for writer in port.writers[-3:]:
                    writer.transport.abort()

    run(scene())


def test_bytes_of_requests_are_charged() -> None:
    """What a connection sends before and after its answer counts as received from its address."""

    async def scene() -> None:
        async with opened(received_rate=1000.0, received_burst=100_000.0) as port:
            body = bytes(150_000)
            reader, writer = await port.connect(b"POST / HTTP/1.1\r\nContent-Length: 150000\r\n\r\n" + body)
            assert (await reader.readline()).startswith(b"HTTP/1.1 405 ")
            await writer.drain()
            writer.close()
            assert await is_over(reader)
            await port.until(lambda: not port.listener._http_connections)
            late, _ = await port.connect(WITHOUT_A_SEAT["a request"])
            answer = asyncio.create_task(late.readline())
            await port.hold_up(LONGEST_DELAY - 0.5)
            assert not answer.done()
            while not answer.done():
                await port.hold_up(0.1)

    run(scene())


@pytest.mark.parametrize(
    ("peer", "header", "lines"),
    [
        ("10.0.0.5", b"", 1),
        ("10.0.0.5", b"X-Forwarded-For: 192.0.2.1\r\n", 0),
        ("10.0.0.5", b"Forwarded: for=192.0.2.1\r\n", 0),
        ("192.0.2.1", b"", 0),
        ("127.0.0.1", b"", 0),
    ],
)
def test_a_proxy_that_names_no_client(peer: str, header: bytes, lines: int, caplog: pytest.LogCaptureFixture) -> None:
    """One warning for a page's handshake through a trusted proxy on another machine without a forwarding header."""

    async def scene() -> None:
        async with opened(trusted_proxies=["10.0.0.0/8", "127.0.0.0/8"]) as port:
            for _ in range(2):
                reader, writer = await port.connect(UPGRADE[:-2])
                await port.until(lambda: bool(port.listener._http_connections))
                for connection in port.listener._http_connections:
                    connection.peer = peer
                writer.write(b"Origin: https://meet.example\r\n" + header + b"\r\n")
                assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")

    run(scene())
    found = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert found == ["a trusted proxy names no client"] * lines


def test_a_goodbye_that_is_not_the_end() -> None:
    """A client that says goodbye and keeps its connection is cut off after `CLOSE_TIMEOUT`."""

    async def scene() -> None:
        async with opened() as port:
            reader, writer = await port.connect()
            writer.write(client_frame(b"\x03\xe8", 8))
            assert await reader.readexactly(4) == b"\x88\x02\x03\xe8"
            assert await reader.read() == b"", "the end of the stream"
            writer.write(b"still here")
            await port.hold_up(CLOSE_TIMEOUT - 0.1)
            assert not writer.transport.is_closing()
            await port.hold_up(0.2)
            with contextlib.suppress(ConnectionError):
                while not writer.transport.is_closing():
                    writer.write(b"?")
                    await writer.drain()

    run(scene())


@pytest.mark.parametrize("first", [UPGRADE, b"", b"GET /healthz HTTP/1.1\r\n\r\n"], ids=["client", "none", "http"])
def test_the_end(first: bytes) -> None:
    """The port closes with every connection on it told or ended, and no task is left."""

    async def scene() -> None:
        before = asyncio.all_tasks()
        async with opened() as port:
            reader, writer = await port.connect(first)
            await port.hold_up(0)
            closing = asyncio.create_task(port.listener.close())
            if first is UPGRADE:
                got = await reader.readuntil(b"\x88\x15" + (1012).to_bytes(2))
                assert b"server-restarting" in got
                writer.write(client_frame((1012).to_bytes(2), 8))
            assert await is_over(reader)
            writer.close()
            await closing
            await port.listener.close()
        assert asyncio.all_tasks() == before

    run(scene())


def test_a_client_that_reads_nothing() -> None:
    """4408 after 30 s in which the system took nothing of what waits for a client, however long the loop is held up."""

    async def scene() -> None:
        boundless = {"request_burst": 1e12, "received_burst": 1e12, "stranger_request_burst": 1e12}
        async with opened(outbox=65_536, stranger_received_burst=1e12, **boundless) as port:
            reader, writer = await port.connect()
            writer.transport.pause_reading()  # type: ignore[attr-defined]  # a socket's transport reads
            (connection,) = port.listener.connections
            while not connection.socket._is_overfull:
                writer.write(client_frame(b'{"type": "x", "id": "' + b"x" * 64 + b'"}') * 500)
                await port.hold_up(0)
            for _ in range(23):  # ticks of 1.25 s
                await port.hold_up(100.0)
            assert connection.socket.is_open
            for _ in range(2):
                await port.hold_up(2.0)
            assert not connection.socket.is_open
            writer.transport.resume_reading()
            heard = b""
            while not heard.endswith(b"\x88\x12" + (4408).to_bytes(2) + b"too slow to read"):
                heard = heard[-100:] + await reader.read(65_536)
                assert heard

    run(scene())
