"""WebSockets of a running daemon: floods, frames in any pieces, and how connections end."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from tests.support.daemon import Daemon, serving
from tests.support.raw_sockets import UPGRADE, close_code, frame, next_frame, next_payload, opened, pieces, tcp

MakeDaemon = Callable[..., Daemon]
PINGS = frame(b"", 9) * 10_000


async def test_pings_past_the_rate_limit(daemon: Daemon) -> None:
    """Pings count like requests: a client that keeps sending them is closed with 4429, and others are served."""
    async with opened(daemon) as (reader, writer), daemon.client() as other:
        writer.write(PINGS * 5)
        await other.nothing_more()
        assert await close_code(reader) == 4429


async def test_a_flood_does_not_delay_the_stop(make_daemon: MakeDaemon) -> None:
    """The daemon stops in order after SIGTERM, however much clients send."""
    daemon = make_daemon(ROOMD_LIMITS_REQUEST_RATE="1e9", ROOMD_LIMITS_REQUEST_BURST="1000000000")

    async def flood() -> None:
        with contextlib.suppress(ConnectionError):
            async with opened(daemon) as (reader, writer):
                reading = asyncio.ensure_future(_read_all(reader))
                try:
                    while not writer.transport.is_closing():
                        writer.write(PINGS)
                        await writer.drain()
                finally:
                    reading.cancel()
                    await asyncio.gather(reading, return_exceptions=True)

    floods = [asyncio.create_task(flood()) for _ in range(2)]
    async with daemon.client() as other:
        await other.nothing_more()
    assert await asyncio.to_thread(daemon.stop) == 0
    for task in floods:
        task.cancel()
    await asyncio.gather(*floods, return_exceptions=True)


async def _read_all(reader: asyncio.StreamReader) -> None:
    while await reader.read(65_536):
        pass


async def test_large_heads_do_not_delay_others(daemon: Daemon) -> None:
    """28 clients that send a head of 0.97 MB each are refused, and a client with a seat is served at the same time."""
    head = UPGRADE + b"".join(b"A: %s\r\n" % (b"a" * 8_180) for _ in range(118)) + b"\r\n"
    room = await daemon.room()

    async def send() -> bytes:
        async with tcp(daemon) as (reader, writer):
            with contextlib.suppress(ConnectionError):  # the daemon need not read all of it
                writer.write(head)
                await writer.drain()
            return await reader.readline()

    async with daemon.client() as seated:
        await seated.join(room["code"], guestName="Jane")
        sending = [asyncio.create_task(send()) for _ in range(28)]
        pending = set(sending)
        while pending:  # not as fast as it can: it would meet the limit of requests
            await seated.nothing_more()
            _, pending = await asyncio.wait(pending, timeout=0.01)
        assert {task.result() for task in sending} == {b"HTTP/1.1 431 Request Header Fields Too Large\r\n"}
        await seated.nothing_more()


async def test_a_header_sent_twice(daemon: Daemon) -> None:
    """A handshake with a header twice is refused as a bad request, not as an error of the server."""
    async with tcp(daemon) as (reader, writer):
        writer.write(UPGRADE + b"Upgrade: websocket\r\n\r\n")
        assert (await reader.readline()).startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 426 "))
    assert "Traceback" not in daemon.log.read_text()


async def test_too_many_fragments_during_a_takeover(make_daemon: MakeDaemon) -> None:
    """A message in too many fragments ends its connection; another connection may take the seat at the same time."""
    daemon = make_daemon()
    room = await daemon.room()

    async def pieces() -> AsyncIterator[str]:
        for _ in range(6000):
            yield " "

    async with daemon.client("bob") as first, daemon.client("bob") as second:
        seat = (await first.join(room["code"]))["participant"]
        with contextlib.suppress(Exception):  # the connection may end before all is sent
            await first.websocket.send(pieces())
        assert (await second.join(room["code"]))["participant"] == seat
        assert await first.closed() in (1009, 4409)
    await asyncio.to_thread(daemon.stop)
    assert "Traceback" not in daemon.log.read_text()


async def test_a_refused_origin_is_logged(make_daemon: MakeDaemon) -> None:
    """A handshake from an origin that is not allowed is logged, like any refusal."""
    daemon = make_daemon(measured=True, ROOMD_SERVER_ALLOWED_ORIGINS="https://meet.example")
    async with tcp(daemon) as (reader, writer):
        writer.write(UPGRADE + b"Origin: https://other.example\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 403 ")
    await asyncio.to_thread(daemon.stop)
    refused = [line for line in map(json.loads, daemon.log.read_text().splitlines()) if line["event"] == "refused"]
    assert [line["code"] for line in refused] == ["origin"]


async def test_ping_interval(make_daemon: MakeDaemon) -> None:
    """`server.ping_interval`: a silent client is pinged, and dropped after as long again unless it sends a pong."""
    daemon = make_daemon(measured=True, ROOMD_SERVER_PING_INTERVAL="1")
    room = await daemon.room()
    async with daemon.client() as there, opened(daemon) as (reader, writer):
        join = {"type": "join-room", "code": room["code"], "guestName": "Jane"}
        writer.write(frame(json.dumps(join).encode()))
        assert [(await next_frame(reader))[0] for _ in range(2)] == [1, 1]
        await there.join(room["code"], guestName="Joe")
        assert (await next_frame(reader))[0] == 1
        assert (await next_frame(reader))[0] == 9, "a ping"
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while (await next_frame(reader))[0] == 9:
                pass
        (gone,) = (await there.receive())["updated"]
        assert gone["isActive"] is False
        await there.nothing_more()


def ping(number: int, size: int = 0) -> bytes:
    """Make a ping request with the id `number`, of `size` bytes at least."""
    return json.dumps({"type": "ping", "id": number}).ljust(size).encode()


def masked(payload: bytes) -> bytes:
    """Make a text frame whose mask changes its bytes."""
    key = b"\x01\xa0\x7f\xff"
    plain = frame(payload)
    head = len(plain) - len(payload) - len(key)
    return plain[:head] + key + bytes(byte ^ key[i % 4] for i, byte in enumerate(payload))


def half_a_frame(payload: bytes) -> bytes:
    """Make the first 132 bytes of a frame of 208; read as a whole frame of 126 bytes, they would hold `payload`."""
    head = bytes([0x81, 0x80 | 126, 0, 200])
    key = head[2:] + b"\0\0"  # the frame's length, and two bytes of its mask
    return head + b"\0\0" + bytes(byte ^ key[i % 4] for i, byte in enumerate(payload))


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon that takes frames of a kilobyte at most."""
    with serving(tmp_path_factory.mktemp("narrow"), ROOMD_LIMITS_FRAME="1024") as daemon:
        yield daemon


ONE, TWO = frame(ping(1)), frame(ping(2))
BETWEEN = [1, 2, 3]


@pytest.mark.parametrize(
    ("chunks", "answers"),
    [
        pytest.param([masked(ping(1)), masked(ping(2, 300))], [1, 2], id="masked"),
        pytest.param([ONE[i : i + 1] for i in range(len(ONE))] + [TWO], [1, 2], id="byte by byte"),
        pytest.param([ONE + TWO, frame(ping(3))], BETWEEN, id="two at once"),
        pytest.param([ONE + TWO[:1], TWO[1:] + frame(ping(3))[:5], frame(ping(3))[5:]], BETWEEN, id="across frames"),
        *(pytest.param([frame(ping(1, size)), TWO], [1, 2], id=f"{size} bytes") for size in (125, 126, 127, 1024)),
        pytest.param([frame(b"{" + ONE)[:7], ONE], [1007], id="a frame as the rest of another"),
        pytest.param([pieces(ping(1), 5)[:9], pieces(ping(1), 5)[9:], TWO], [1, 2], id="fragments"),
        pytest.param(
            [frame(ping(1)[:5], fin=False), frame(b"", 9), frame(ping(1)[5:], 0), TWO], [1, 2], id="ping amid"
        ),
        pytest.param([frame(b"", 10), ONE, frame(b"x", 9), TWO], [1, 2], id="pings and pongs"),
        pytest.param([frame(b"{}"), frame(b"\xff" * 2)], [400, 1007], id="not UTF-8"),
        pytest.param([ONE, frame(b"{", fin=False), TWO], [1, 1002], id="a message in another's fragments"),
        pytest.param([ONE, frame(ping(2), masked=False)], [1, 1002], id="unmasked"),
        pytest.param([ONE, frame(ping(2), reserved=4)], [1, 1002], id="reserved bit"),
        pytest.param([ONE, frame(ping(2, 1025))], [1, 1009], id="too large"),
        pytest.param([half_a_frame(ping(1, 126)), bytes(76)], [1007], id="half a frame that looks whole"),
        pytest.param([frame(ping(1)) + frame(ping(2, 90)) + frame(ping(3))], BETWEEN, id="three at once"),
        pytest.param([ONE, frame(ping(2), 2)], [1, 1003], id="binary"),
        pytest.param([ONE, frame(b"\x03\xe8", 8), TWO], [1, 1000], id="closed"),
    ],
)
async def test_frames_in_any_pieces(narrow: Daemon, chunks: list[bytes], answers: list[int]) -> None:
    """Frames are read the same in whatever pieces they arrive; a frame that breaks RFC 6455 ends the connection."""
    room = await narrow.room()
    join = {"type": "join-room", "code": room["code"], "guestName": "Jane"}
    async with opened(narrow) as (reader, writer), narrow.client() as other:
        writer.write(frame(json.dumps(join).encode()))
        for expected in ("participant", "room-state"):
            assert json.loads(await next_payload(reader))["type"] == expected
        for chunk in chunks:
            writer.write(chunk)
            await other.nothing_more()  # the daemon has read the chunk by now
        assert [await answer(reader) for _ in answers] == answers


ENDS = {
    "closed": frame(b"\x03\xe8", 8),
    "an unknown opcode": frame(b"", 11),
    "not UTF-8": frame(b"\xff"),
    "too large": frame(b"")[:1] + b"\xff" + bytes([1] * 8),
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS.keys())
async def test_frames_after_the_close_are_not_served(daemon: Daemon, end: bytes) -> None:
    """After a close by either side, later frames are not served (RFC 6455, sections 5.5.1 and 7.1.7)."""
    room = await daemon.room()
    join = {"type": "join-room", "code": room["code"], "guestName": "Jane"}
    async with opened(daemon) as (_, writer), daemon.client() as other:
        await other.join(room["code"], guestName="Joe")
        writer.write(frame(json.dumps(join).encode()))
        (jane,) = (await other.receive())["joined"]
        for last in (end, frame(b'{"type": "send-message", "text": "and another thing"}')):
            writer.write(last)
            async with daemon.client() as barrier:
                await barrier.nothing_more()  # the daemon has read it by now
        writer.transport.abort()
        assert (await other.receive())["updated"] == [{**jane, "isActive": False}]
        await other.nothing_more()


async def test_a_close_frame_without_the_end_of_the_connection(daemon: Daemon) -> None:
    """A client that sends a close frame and then keeps the TCP connection open loses it, and its seat is held."""
    room = await daemon.room()
    join = frame(json.dumps({"type": "join-room", "code": room["code"], "guestName": "Jane"}).encode())
    async with opened(daemon) as (reader, writer), daemon.client() as other:
        await other.join(room["code"], guestName="Joe")
        writer.write(join)
        (jane,) = (await other.receive())["joined"]
        for expected in ("participant", "room-state"):
            assert json.loads(await next_payload(reader))["type"] == expected
        writer.write(frame(b"\x03\xe8", 8))
        assert await close_code(reader) == 1000
        writer.write(b"\0")
        assert (await other.receive())["updated"] == [{**jane, "isActive": False}]


async def test_half_a_message_is_not_a_request(make_daemon: MakeDaemon) -> None:
    """Before its first join a client must send a whole request within `limits.join_timeout`; after it, it need not."""
    daemon = make_daemon(ROOMD_LIMITS_JOIN_TIMEOUT="0.3")
    room = await daemon.room()
    join = frame(json.dumps({"type": "join-room", "code": room["code"], "guestName": "Jane"}).encode())
    async with opened(daemon) as (reader, writer), opened(daemon) as (other, others):
        writer.write(join + frame(ping(1)[:9], fin=False))
        others.write(frame(b"{", fin=False))
        assert await close_code(other) == 4408
        writer.write(frame(ping(1)[9:], 0))
        for expected in ("participant", "room-state", "pong"):
            assert json.loads(await next_payload(reader))["type"] == expected


async def answer(reader: asyncio.StreamReader) -> int:
    """Read the next frame; return a reply's id, an error's status, or a close frame's code."""
    opcode, payload = await next_frame(reader)
    while opcode == 10:
        opcode, payload = await next_frame(reader)
    if opcode == 8:
        return int.from_bytes(payload[:2])
    reply = json.loads(payload)
    return int(reply.get("statusCode") or reply["id"])
