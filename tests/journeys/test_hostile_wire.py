"""Hostile bytes below the text frames: broken WebSocket, garbage instead of HTTP, floods, silence and slowness.

Never a 500, never a traceback or an error in the log, and the next client is served as ever. The words that
test_hostile.py shares stand here.
"""

import asyncio
import contextlib
import json
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from roomd.protocol import errors
from tests.support.daemon import Daemon, faults
from tests.support.processes import PATIENCE

pytestmark = pytest.mark.usefixtures("unharmed", "untraced")

Frame = dict[str, Any]

KINDS = {kind.code: kind.status_code for kind in vars(errors).values() if isinstance(kind, errors.ErrorKind)}
REPLIES = {
    *("pong", "authenticated", "room", "rooms", "participant", "participants", "error"),
    *("ok", "waiting", "messages", "bans", "ice-servers"),
}


def check_reply(reply: Frame) -> None:
    """Check that a frame is one of the protocol's replies, and no internal error."""
    assert reply["type"] in REPLIES, reply
    if reply["type"] == "error":
        assert reply.keys() - {"id", "retryAfter"} == {"type", "statusCode", "code", "message"}
        assert reply["statusCode"] == KINDS[reply["code"]]
        assert reply["code"] != "internal_error"
        assert len(reply["message"]) < 300


# Below text frames: RFC 6455, written by hand.


def frame(payload: bytes, opcode: int = 1, *, fin: bool = True, reserved: int = 0, masked: bool = True) -> bytes:
    """Make a frame as a client must, or must not."""
    head = bytes([fin << 7 | reserved << 4 | opcode])
    bit = masked << 7
    if len(payload) < 126:
        head += bytes([bit | len(payload)])
    else:
        head += struct.pack("!BH", bit | 126, len(payload)) if len(payload) < 65_536 else (
            struct.pack("!BQ", bit | 127, len(payload))
        )  # fmt: skip
    return head + (b"\0\0\0\0" if masked else b"") + payload


def pieces(payload: bytes, size: int, empty: int = 0) -> bytes:
    """Cut a text message into fragments, with so many empty ones before the last."""
    cuts = [payload[i : i + size] for i in range(0, len(payload), size)] + [b""] * empty + [b""]
    return b"".join(frame(cut, 0 if i else 1, fin=i == len(cuts) - 1) for i, cut in enumerate(cuts))


UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def tcp(daemon: Daemon) -> AsyncIterator[Streams]:
    """Connect, and go away without a word."""
    reader, writer = await asyncio.open_connection("127.0.0.1", daemon.port)
    try:
        async with asyncio.timeout(2 * PATIENCE):
            yield reader, writer
    finally:
        writer.transport.abort()


@asynccontextmanager
async def opened(daemon: Daemon, header: bytes = b"X: y") -> AsyncIterator[Streams]:
    """Shake hands."""
    async with tcp(daemon) as (reader, writer):
        writer.write(UPGRADE + header + b"\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        yield reader, writer


async def next_frame(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Read a frame of the server's: its opcode and payload."""
    first, size = await reader.readexactly(2)
    if size >= 126:
        size = int.from_bytes(await reader.readexactly(2 if size == 126 else 8), "big")
    return first & 15, await reader.readexactly(size)


async def next_payload(reader: asyncio.StreamReader, opcode: int = 1) -> bytes:
    """Read a frame that must be of a kind."""
    found, payload = await next_frame(reader)
    assert found == opcode, payload
    return payload


async def close_code(reader: asyncio.StreamReader) -> int:
    """Read up to the close frame, and return its code; 1005 for none in it."""
    while (got := await next_frame(reader))[0] != 8:
        if got[0] == 1:
            check_reply(json.loads(got[1]))
    return int.from_bytes(got[1][:2], "big") if got[1] else 1005


# Tables.

VIOLATIONS: dict[str, tuple[bytes, int]] = {
    "not masked": (frame(b"{}", masked=False), 1002),
    "compressed, which was not negotiated": (frame(b"\xaa\x56\x2a\x01\x00", reserved=4), 1002),
    "reserved bit 2": (frame(b"{}", reserved=2), 1002),
    "reserved bit 3": (frame(b"{}", reserved=1), 1002),
    **{f"opcode {opcode}": (frame(b"{}", opcode), 1002) for opcode in (3, 7, 11, 15)},
    "a ping in fragments": (frame(b"", 9, fin=False), 1002),
    "a long ping": (frame(b"x" * 126, 9), 1002),
    "a long close": (frame(b"\x03\xe8" + b"x" * 124, 8), 1002),
    "a continuation of nothing": (frame(b"{}", 0), 1002),
    "a message inside another": (frame(b"{", fin=False) + frame(b"{}"), 1002),
    "a close of one byte": (frame(b"\x03", 8), 1002),
    **{f"close {code}": (frame(struct.pack("!H", code), 8), 1002) for code in (0, 999, 1005, 1006, 1015, 2999, 5000)},
    **{f"close {code}": (frame(struct.pack("!H", code), 8), code) for code in (1000, 1001, 1011, 3000, 4401, 4999)},
    "close without a code": (frame(b"", 8), 1005),
    "close with a reason that is not UTF-8": (frame(b"\x03\xe8\xff\xfe", 8), 1007),
    "text that is not UTF-8": (frame(b"{\xff}"), 1007),
    "a raw surrogate": (frame(b'{"type": "\xed\xa0\x80"}'), 1007),
    "an overlong slash": (frame(b"\xc0\xaf"), 1007),
    "a character cut in half": (frame(b'{"type": "\xc3'), 1007),
    "binary": (frame(b'{"type": "ping"}', 2), 1003),
    "binary in fragments": (frame(b"x", 2, fin=False) + frame(b"y", 0), 1003),
    "one byte over the limit": (frame(b" " * 65_537), 1009),
    "over the limit in fragments": (pieces(b" " * 65_537, 1_000), 1009),
    "an announced exabyte": (b"\x81\xff" + struct.pack("!Q", 2**60) + b"\0\0\0\0", 1009),
    "a length with the highest bit": (b"\x81\xff" + b"\xff" * 8 + b"\0\0\0\0", 1009),
    "fragments without end": (frame(b"", fin=False) + frame(b"", 0, fin=False) * 20_000, 1009),
    "zeros": (b"\0" * 1_000, 1002),
    "ones": (b"\xff" * 1_000, 1002),
    "HTTP again": (b"GET / HTTP/1.1\r\n\r\n", 1002),
}
"""What breaks RFC 6455 or roomd's limits, and the close code it gets."""

HTTP: dict[str, tuple[bytes, set[int | None]]] = {
    "empty lines": (b"\r\n" * 20, {None}),
    "TLS": (bytes.fromhex("16030102000100 01fc0303") + bytes(range(256)) * 2, {None}),
    "SSH": (b"SSH-2.0-OpenSSH_9.6\r\n", {None}),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", {405}),
    "HTTP/0.9": (b"GET /\r\n\r\n", {None}),
    "HTTP/3.0": (b"GET / HTTP/3.0\r\n\r\n", {None, 505, 200}),
    "bytes": (bytes(range(255, -1, -1)) * 40 + b"\r\n\r\n", {None, 414}),
    "a long request line": (b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n", {414}),
    "no end of a request line": (b"GET /" + b"a" * 100_000, {414}),
    "a long header": (UPGRADE + b"Authorization: Bearer " + b"a" * 100_000 + b"\r\n\r\n", {431}),
    "a long subprotocol": (UPGRADE + b"Sec-WebSocket-Protocol: bearer." + b"a" * 100_000 + b"\r\n\r\n", {431}),
    "headers without end": (UPGRADE + b"A: b\r\n" * 20_000, {431}),
    "a header of control characters": (UPGRADE + b"A: \x00\x01\r\n\r\n", {None, 400}),
    "a header without a name": (UPGRADE + b": b\r\n\r\n", {None, 400}),
    "a folded header": (UPGRADE + b"A: b\r\n c\r\n\r\n", {None, 400}),
    "a path of control characters": (b"GET /\x00\x1b[31m HTTP/1.1\r\n\r\n", {None, 400, 404}),
    "a path above the root": (b"GET /../../etc/passwd HTTP/1.1\r\n\r\n", {404}),
    "a body": (b"GET / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", {None, 200}),
    "a length that is none": (b"GET / HTTP/1.1\r\nContent-Length: " + b"9" * 5_000 + b"\r\n\r\n", {None, 200}),
    "a chunked body": (b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello", {None, 200}),
    "POST": (b"POST /ws HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n{", {405}),
    "a method of its own": (b"JOIN /ws HTTP/1.1\r\n\r\n", {405}),
    "no key": (UPGRADE.replace(b"Sec-WebSocket-Key", b"X"), {400}),
    "a bad key": (UPGRADE.replace(b"dGhlIHNhbXBsZSBub25jZQ==", b"\xff"), {400}),
    "two keys": (UPGRADE + UPGRADE[UPGRADE.index(b"Sec-WebSocket-Key") :], {400}),
    "another version": (UPGRADE.replace(b": 13", b": 12"), {400, 426}),
    "no upgrade of the connection": (UPGRADE.replace(b"Connection: Upgrade", b"Connection: close"), {400, 426}),
    "another upgrade": (UPGRADE.replace(b"Upgrade: websocket", b"Upgrade: h2c"), {426}),
    "no upgrade": (b"GET /ws HTTP/1.1\r\n\r\n", {426}),
}
"""What is no handshake, and the statuses it may get; None for a connection that just ends."""
for name, (raw, statuses) in HTTP.items():
    if raw.startswith(b"GET /ws") and not raw.endswith(b"\r\n\r\n") and b"A: b" not in raw:
        HTTP[name] = (raw + b"\r\n", statuses)


async def answer_to(daemon: Daemon, raw: bytes) -> int | None:
    """Send bytes in place of a handshake and wait for the end; return the status of the answer, None without one."""
    async with tcp(daemon) as (reader, writer):
        writer.write(raw)
        answer = b""
        with contextlib.suppress(ConnectionError):  # it hung up on what it had not read
            while got := await reader.read(65_536):
                answer += got
    return int(answer.split(b" ", 2)[1]) if answer else None


@pytest.mark.parametrize(("raw", "expected"), VIOLATIONS.values(), ids=VIOLATIONS.keys())
async def test_violations(target: Daemon, raw: bytes, expected: int) -> None:
    """What breaks the rules of RFC 6455 or the limits is told so with a close code, and the connection ends."""
    async with opened(target) as (reader, writer):
        writer.write(raw)
        assert await close_code(reader) == expected
        writer.write(frame(struct.pack("!H", expected), 8))
        writer.write_eof()
        assert await reader.read() == b""


@pytest.mark.parametrize(("raw", "expected"), HTTP.values(), ids=HTTP.keys())
async def test_no_handshake(target: Daemon, raw: bytes, expected: set[int | None]) -> None:
    """What is no handshake gets a status below 500 or the end of the connection, at once."""
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
async def test_odd_but_fine(target: Daemon, raw: bytes) -> None:
    """Frames of exactly 64 KiB, thousands of fragments and control frames between them are served."""
    async with opened(target) as (reader, writer):
        writer.write(raw)
        while (got := await next_frame(reader))[0] != 1:
            assert got == (10, b"hello")
        assert json.loads(got[1]) == {"type": "pong", "id": 1}


async def test_pings(target: Daemon) -> None:
    """Every WebSocket ping of a flood is answered, and then a request."""
    async with opened(target) as (reader, writer):
        writer.write(frame(b"x" * 125, 9) * 8_000 + frame(PING))
        for _ in range(8_000):
            assert await next_payload(reader, 10) == b"x" * 125
        assert json.loads(await next_payload(reader)) == {"type": "pong", "id": 1}


def memory(daemon: Daemon) -> int:
    """Read how much memory the daemon has, in KiB."""
    status = Path(f"/proc/{daemon.process.pid}/status").read_text(encoding="ascii")
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS:")).split()[1])


FLOODS = {"WebSocket pings": frame(b"x" * 125, 9), "requests": frame(b'{"type": "x", "id": "' + b"x" * 64 + b'"}')}


@pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS.keys())
async def test_deaf(target: Daemon, flood: bytes) -> None:
    """A client that sends and never reads is closed as too slow; what waits for it is bounded.

    Twice `limits.outbox`, 4 MiB, may wait; small frames cost several times their size. Unbounded it is 70 MiB and more.
    """
    before = memory(target)
    async with opened(target) as (reader, writer):
        writer.transport.pause_reading()  # type: ignore[attr-defined]  # a socket's transport reads
        with contextlib.suppress(ConnectionError, TimeoutError):  # cut off, or nobody takes more
            for _ in range(48 * 16):
                writer.write(flood * (65_536 // len(flood)))
                await asyncio.wait_for(writer.drain(), PATIENCE)
        assert memory(target) - before < 32 * 1024
        writer.transport.resume_reading()  # type: ignore[attr-defined]
        with contextlib.suppress(ConnectionError, EOFError):
            assert await close_code(reader) == 4408


async def check_cut_off(daemon: Daemon, raw: bytes, again: bytes) -> None:
    """Send bytes, and more now and then, until the server ends the connection."""
    async with tcp(daemon) as (reader, writer):
        writer.write(raw)
        with contextlib.suppress(ConnectionError):
            while True:
                try:
                    assert await asyncio.wait_for(reader.read(), 0.2) == b""
                    return
                except TimeoutError:
                    writer.write(again)


async def test_half_open(target: Daemon) -> None:
    """A connection that never finishes its handshake is ended, a letter now and then or not."""
    slow = [(b"", b""), (b"G", b""), (b"POST", b""), (UPGRADE, b""), (b"GET /", b"a"), (UPGRADE, b"A")]
    await asyncio.gather(*(check_cut_off(target, raw, again) for raw, again in slow))


SILENCES = {
    "nothing": b"",
    "half a frame": frame(PING)[:9],
    "half a message": frame(PING[:9], fin=False),
    "a WebSocket ping": frame(b"", 9),
}


async def test_silent_before_its_first_join(make_daemon: Callable[..., Daemon]) -> None:
    """A client that shook hands and then sends no request is closed with 4408."""
    daemon = make_daemon(ROOMD_LIMITS_JOIN_TIMEOUT="0.5")

    async def check(raw: bytes) -> None:
        async with opened(daemon) as streams:
            streams[1].write(raw)
            assert await close_code(streams[0]) == 4408

    await asyncio.gather(*map(check, SILENCES.values()))
    assert faults(daemon) == []


async def test_past_the_rate_limit(make_daemon: Callable[..., Daemon]) -> None:
    """Thousands of unknown types get 400, then 429 with `retryAfter`, one reply each, then 4429; others are served."""
    daemon = make_daemon()
    async with opened(daemon) as (reader, writer):
        writer.write(b"".join(frame(f'{{"type": "type-{i}", "id": {i}}}'.encode()) for i in range(5_000)))
        codes: list[str] = []
        while (got := await next_frame(reader))[0] == 1:
            reply = json.loads(got[1])
            assert reply["id"] == len(codes)
            codes.append(reply["code"])
            assert ("retryAfter" in reply) == (reply["code"] == "rate_limited")
        assert got == (8, struct.pack("!H", 4429) + got[1][2:])
    limited = codes.index("rate_limited")
    assert set(codes) == {"unknown_type", "rate_limited"}
    assert limited >= 1_000
    assert len(codes) < 2_500
    async with daemon.client() as client:
        await client.nothing_more()
    assert faults(daemon) == []
    daemon.kill()  # in order, it would wait for the client it just closed
