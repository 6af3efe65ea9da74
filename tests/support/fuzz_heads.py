"""Requests over HTTP made of a seed: mostly sound, with a few faults, and how they are cut into reads."""

import itertools
import random

from tests.support.fuzz_frames import HANDSHAKE

METHODS = (
    b"GET",
    b"GET",
    b"GET",
    b"HEAD",
    b"POST",
    b"PUT",
    b"OPTIONS",
    b"CONNECT",
    b"TRACE",
    b"get",
    b"G",
    b"GETT",
    b"",
)
TARGETS = (
    b"/", b"/ws", b"/ws?a=b", b"/healthz", b"/asyncapi.json", b"/nothing", b"/../../etc/passwd", b"/%2e%2e/", b"/%",
    b"*", b"", b"//ws", b"http://x/ws", b"x:443", b"/\xc3\xa9", b"/\xff", b"/a b", b"/#ws", b"/" + b"a" * 9_000,
)  # fmt: skip
VERSIONS = (b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.0", b"HTTP/0.9", b"HTTP/2.0", b"HTTP/1.2", b"http/1.1", b"")
FIELDS = (
    b"Host: x", b"Host: y", b"Content-Length: 0", b"Content-Length: 5", b"Content-Length: -1", b"Content-Length: 5, 5",
    b"Content-Length: 99999999999999999999999", b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip, chunked",
    b"Transfer-Encoding: xchunked", b"Expect: 100-continue", b"Connection: close", b"Connection: keep-alive",
    b"Connection: upgrade", b"Upgrade: h2c", b"Upgrade: WebSocket", b"Sec-WebSocket-Key: short",
    b"Sec-WebSocket-Version: 8", b"Sec-WebSocket-Protocol: roomd.v1, bearer.x", b"Sec-WebSocket-Protocol: ,",
    b"Sec-WebSocket-Extensions: permessage-deflate; x", b"Origin: null", b"Origin: https://a",
    b"Authorization: Bearer x", b"If-None-Match: *", b"Range: bytes=0-", b" folded: x", b"\tfolded", b"no colon",
    b": no name", b"Space : x",
    b"Bad\x00name: x", b"Name: nul\x00", b"Name: \xff\xfe", b"Name: a\rb", b"", b"A: " + b"a" * 4_000,
)  # fmt: skip
BODIES = (b"", b"", b"hello", b"5\r\nhello\r\n0\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"\x81\x80abcd", b"\x00" * 50)
NOISE = (
    b"\x16\x03\x01\x02\x00",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\r\n",
    b"\n",
    b"\r",
    b"\x00",
    b"HTTP/1.1 200 OK\r\n",
)


def make_request(seed: int) -> bytes:
    """Make what one client sends, a request or not, of the seed."""
    chance = random.Random(f"head {seed}")
    if chance.random() < 0.15:
        head = HANDSHAKE.replace(b"GET / ", b"GET /ws ")
        lines = head[:-4].split(b"\r\n")
        for field in chance.choices(FIELDS, k=chance.choice((0, 0, 1, 2))):
            lines.insert(chance.randint(1, len(lines)), field)
        request = b"\r\n".join(lines) + b"\r\n\r\n"
    else:
        line = b" ".join((chance.choice(METHODS), chance.choice(TARGETS), chance.choice(VERSIONS)))
        fields = chance.choices(FIELDS, k=chance.choice((0, 1, 3, 6)))
        if chance.random() < 0.05:
            fields += [b"A: b"] * chance.choice((120, 128, 129, 140))
        end = chance.choice((b"\r\n", b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r"))
        request = end.join((line, *fields)) + end * 2
    request += chance.choice(BODIES)
    if chance.random() < 0.1:
        request = chance.choice(NOISE) + chance.choice((b"", request))
    if chance.random() < 0.3:
        request = _damage(request, chance)
    if chance.random() < 0.05:
        request += b"x" * 20_000
    return request


def cut(request: bytes, seed: int) -> list[bytes]:
    """Cut a request into reads: a few, or bytes where it is short."""
    chance = random.Random(f"reads {seed}")
    if len(request) < 1_000 and chance.random() < 0.5:
        return [bytes([byte]) for byte in request]
    cuts = sorted(chance.choices(range(len(request) + 1), k=chance.choice((1, 3, 20))))
    return [request[a:b] for a, b in itertools.pairwise([0, *cuts, len(request)]) if a < b]


def _damage(request: bytes, chance: random.Random) -> bytes:
    data = bytearray(request)
    for _ in range(chance.choice((1, 1, 3))):
        i = chance.randrange(min(len(data), 400) or 1)
        match chance.randrange(5):
            case 0:
                data[i : i + 1] = bytes([data[i] ^ 1 << chance.randrange(8)]) if data else b""
            case 1:
                del data[i : i + chance.choice((1, 2, 10))]
            case 2:
                data[i:i] = chance.choice((b"\r", b"\n", b"\x00", b" ", b":", b"\xff", b"\r\n", b"\r\n\r\n"))
            case 3:
                data[i:i] = b"a" * chance.choice((100, 8_000, 16_384))
            case _:
                del data[i:]
    return bytes(data)
