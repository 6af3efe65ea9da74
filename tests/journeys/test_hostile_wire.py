"""Hostile bytes: invalid WebSocket frames, garbage instead of HTTP, floods, silent clients and slow ones.

The daemon never sends a 500, never logs a traceback or an error, and serves the next client.
"""

import asyncio
import contextlib
import json
import struct
import time
from collections.abc import Callable

import pytest

from tests.support.daemon import PATIENT, Client, Daemon, faults, memory
from tests.support.hostile import HTTP, VIOLATIONS
from tests.support.raw_sockets import (
    UPGRADE,
    answer_to,
    close_code,
    frame,
    next_frame,
    next_payload,
    opened,
    pieces,
    tcp,
)

pytestmark = pytest.mark.usefixtures("unharmed", "untraced")


@pytest.mark.parametrize(("raw", "expected"), VIOLATIONS.values(), ids=VIOLATIONS.keys())
async def test_invalid_frames(target: Daemon, raw: bytes, expected: int) -> None:
    """A frame that breaks RFC 6455 or a limit gets the close code for it, and the connection ends."""
    async with opened(target) as (reader, writer):
        writer.write(raw)
        assert await close_code(reader) == expected
        writer.write(frame(struct.pack("!H", expected), 8))
        writer.write_eof()
        assert await reader.read() == b""


@pytest.mark.parametrize(("raw", "expected"), HTTP.values(), ids=HTTP.keys())
async def test_bytes_that_are_not_a_handshake(target: Daemon, raw: bytes, expected: set[int | None]) -> None:
    """Bytes that are not a handshake get a status below 500, or the connection ends."""
    assert await answer_to(target, raw) in expected


PING = b'{"type": "ping", "id": 1}'


@pytest.mark.parametrize(
    "raw",
    [
        frame(PING.ljust(65_536)),
        pieces(PING.ljust(3_000), 1),
        pieces(PING.ljust(65_536), 65_536, empty=2_000),
        frame(b"", 10) * 1_000 + frame(PING),
        frame(PING[:9], fin=False) + frame(b"hello", 9) + frame(PING[9:], 0),
    ],
    ids=["64 KiB", "thousands of fragments", "empty fragments", "pongs unasked", "a ping between fragments"],
)
async def test_unusual_frames_are_served(target: Daemon, raw: bytes) -> None:
    """A frame of exactly 64 KiB, thousands of fragments, and control frames between fragments are served."""
    async with opened(target) as (reader, writer):
        writer.write(raw)
        while (got := await next_frame(reader))[0] != 1:
            assert got == (10, b"hello")
        assert json.loads(got[1]) == {"type": "pong", "id": 1}


async def test_many_pings(target: Daemon) -> None:
    """Each of 8000 WebSocket pings is answered, and then a request."""
    async with opened(target) as (reader, writer):
        writer.write(frame(b"x" * 125, 9) * 8_000 + frame(PING))
        for _ in range(8_000):
            assert await next_payload(reader, 10) == b"x" * 125
        assert json.loads(await next_payload(reader)) == {"type": "pong", "id": 1}


FLOODS = {"WebSocket pings": frame(b"x" * 125, 9), "requests": frame(b'{"type": "x", "id": "' + b"x" * 64 + b'"}')}


@pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS.keys())
async def test_client_that_never_reads(make_daemon: Callable[..., Daemon], flood: bytes) -> None:
    """A client that sends and never reads is read no more, so the output that waits for it is bounded.

    At most twice `limits.outbox`, 4 MiB, may wait; small frames take several times their size. Without a bound, 70 MiB
    and more would wait. When it reads, every frame that it sent is answered.
    """
    daemon = make_daemon(**PATIENT)
    before = memory(daemon)
    async with opened(daemon) as (reader, writer), daemon.client() as other:
        transport, sent = writer.transport, 0
        transport.pause_reading()  # type: ignore[attr-defined]  # a socket's transport reads
        while not await is_left_unread(transport, other):
            writer.write(flood * (65_536 // len(flood)))
            sent += 65_536 // len(flood)
            assert sent * len(flood) < 64 << 20, "the daemon reads whatever waits for the client"
        assert memory(daemon) - before < 32 * 1024
        transport.resume_reading()  # type: ignore[attr-defined]
        for _ in range(sent):
            assert (await next_frame(reader))[0] in (1, 10)
    assert faults(daemon) == []


async def is_left_unread(transport: asyncio.WriteTransport, other: Client) -> bool:
    """Return whether the daemon reads nothing more that waits in a transport, while it answers another client."""
    for _ in range(1000):
        unread = transport.get_write_buffer_size()
        if not unread:
            return False
        await other.nothing_more()
        if transport.get_write_buffer_size() != unread:
            return False
    return True


async def check_connection_ends(daemon: Daemon, raw: bytes, again: bytes) -> None:
    """Send bytes, then `again` every 0.2 s, until the server ends the connection."""
    async with tcp(daemon) as (reader, writer):
        writer.write(raw)
        with contextlib.suppress(ConnectionError):
            while True:
                try:
                    assert await asyncio.wait_for(reader.read(), 0.2) == b""
                    return
                except TimeoutError:
                    writer.write(again)


async def test_handshake_that_never_ends(target: Daemon) -> None:
    """A connection that never finishes its handshake is ended, whether or not it keeps sending bytes."""
    slow = [(b"", b""), (b"G", b""), (b"POST", b""), (UPGRADE, b""), (b"GET /", b"a"), (UPGRADE, b"A")]
    await asyncio.gather(*(check_connection_ends(target, raw, again) for raw, again in slow))


SILENCES = {
    "nothing": b"",
    "half a frame": frame(PING)[:9],
    "half a message": frame(PING[:9], fin=False),
    "a WebSocket ping": frame(b"", 9),
}


async def test_silent_before_its_first_join(make_daemon: Callable[..., Daemon]) -> None:
    """A client that opened a WebSocket and then sends no request is closed with 4408."""
    daemon = make_daemon(ROOMD_LIMITS_JOIN_TIMEOUT="0.5")

    async def check(raw: bytes) -> None:
        async with opened(daemon) as streams:
            streams[1].write(raw)
            assert await close_code(streams[0]) == 4408

    await asyncio.gather(*map(check, SILENCES.values()))
    assert faults(daemon) == []


async def test_requests_past_the_rate_limit(make_daemon: Callable[..., Daemon]) -> None:
    """Thousands of requests of unknown types get 400, then 429 with `retryAfter`, then the close code 4429.

    Each request gets one reply, and other clients are served.
    """
    daemon = make_daemon()
    async with opened(daemon) as (reader, writer):
        writer.write(b"".join(frame(f'{{"type": "type-{i}", "id": {i}}}'.encode()) for i in range(5_000)))
        codes: list[str] = []
        start = time.monotonic()
        while (got := await next_frame(reader))[0] == 1:
            reply = json.loads(got[1])
            assert reply["id"] == len(codes)
            codes.append(reply["code"])
            assert ("retryAfter" in reply) == (reply["code"] == "rate_limited")
        assert got == (8, struct.pack("!H", 4429) + got[1][2:])
    limited = codes.index("rate_limited")
    assert set(codes) == {"unknown_type", "rate_limited"}
    assert limited >= 1_000
    assert len(codes) < 2_500 + 500 * (time.monotonic() - start), "500 are paid off in a second"
    async with daemon.client() as client:
        await client.nothing_more()
    assert faults(daemon) == []
    daemon.kill()  # a stop in order would wait for the client it just closed
