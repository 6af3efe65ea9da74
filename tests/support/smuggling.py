"""The corpus of requests that a proxy and a server may take for different ones (RFC 9112, section 11.2)."""

from typing import NamedTuple


class Case(NamedTuple):
    """What is sent and what comes of it."""

    data: bytes
    """The bytes. AUTH stands for the field with a good token, TYPE for that of JSON."""
    statuses: list[int]
    """The statuses of the responses, in order."""
    is_kept: bool
    """Whether the connection serves a further request."""


HEAD = b"POST /api/v1/list-rooms HTTP/1.1\r\nHost: x\r\nAUTHTYPE"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
GET = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"

CASES: dict[str, Case] = {
    # Sound requests.
    "a length": Case(HEAD + b"Content-Length: 2\r\n\r\n{}", [200], True),
    "no body": Case(HEAD + b"\r\n", [200], True),
    "chunks": Case(CHUNKED + b"1\r\n{\r\n1\r\n}\r\n0\r\n\r\n", [200], True),
    "chunks of hexadecimal sizes": Case(CHUNKED + b"00000C\r\n{          }\r\n000\r\n\r\n", [200], True),
    "a chunk with an extension": Case(CHUNKED + b'2;a=b;c="d"\r\n{}\r\n0;e\r\n\r\n', [200], True),
    "a trailer": Case(CHUNKED + b"2\r\n{}\r\n0\r\nA: b\r\nHost: y\r\n\r\n", [200], True),
    "an end of chunks in a chunk": Case(CHUNKED + b"6\r\n{\r\n\r\n}\r\n0\r\n\r\n", [200], True),
    "two requests": Case((HEAD + b"Content-Length: 2\r\n\r\n{}") * 2, [200, 200], True),
    "two in chunks": Case((CHUNKED + b"2\r\n{}\r\n0\r\n\r\n") * 2, [200, 200], True),
    "an empty line between two": Case(HEAD + b"\r\n\r\n" + HEAD + b"\r\n", [200, 200], True),
    "a length with spaces around": Case(HEAD + b"Content-Length:  2 \r\n\r\n{}", [200], True),
    "an absolute target": Case(HEAD.replace(b"/api", b"http://x/api") + b"\r\n", [200], True),
    "an absolute target of another host": Case(HEAD.replace(b"/api", b"HTTP://y:80/api") + b"\r\n", [200], True),
    "the end asked for": Case(HEAD + b"Connection: close\r\n\r\n" + GET, [200], False),
    "the end among others": Case(HEAD + b"Connection: keep-alive, Close\r\n\r\n" + GET, [200], False),
    "a page behind a request": Case(HEAD + b"\r\n" + GET + GET, [200, 200], False),
    # HTTP/1.0.
    "1.0": Case(HEAD.replace(b"1.1", b"1.0") + b"\r\n" + GET, [200], False),
    "1.0 that would be kept": Case(
        HEAD.replace(b"1.1", b"1.0") + b"Connection: keep-alive\r\n\r\n" + GET, [200], False
    ),
    "1.0 in chunks": Case(CHUNKED.replace(b"1.1", b"1.0") + b"0\r\n\r\n" + GET, [400], False),
    # The length of the body.
    "a length and a coding": Case(
        HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + GET, [400], False
    ),
    "a coding and a length": Case(
        HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" + GET, [400], False
    ),
    "the coding twice": Case(
        HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + GET, [400], False
    ),
    "two codings": Case(
        HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" + GET, [400], False
    ),
    "a coding before": Case(HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" + GET, [501], False),
    "a coding that is none": Case(HEAD + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + GET, [400], False),
    "a coding in other letters": Case(HEAD + b"Transfer-Encoding: Chunked\r\n\r\n0\r\n\r\n", [200], True),
    "a space before the colon": Case(HEAD + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + GET, [400], False),
    "a vertical tab": Case(HEAD + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n" + GET, [400], False),
    "a length with a plus": Case(HEAD + b"Content-Length: +2\r\n\r\n{}" + GET, [400], False),
    "a negative length": Case(HEAD + b"Content-Length: -1\r\n\r\n" + GET, [400], False),
    "a length with a space": Case(HEAD + b"Content-Length: 2 2\r\n\r\n{}" + GET, [400], False),
    "a list of lengths": Case(HEAD + b"Content-Length: 2, 2\r\n\r\n{}" + GET, [400], False),
    "the length twice": Case(HEAD + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}" + GET, [400], False),
    "two lengths": Case(HEAD + b"Content-Length: 2\r\nContent-Length: 0\r\n\r\n{}" + GET, [400], False),
    "a hexadecimal length": Case(HEAD + b"Content-Length: 0x2\r\n\r\n{}" + GET, [400], False),
    "an empty length": Case(HEAD + b"Content-Length:\r\n\r\n" + GET, [400], False),
    "a huge length": Case(HEAD + b"Content-Length: 99999999999999999999999\r\n\r\n{}" + GET, [400], False),
    "a large length": Case(HEAD + b"Content-Length: 65537\r\n\r\n{}" + GET, [413], False),
    # Chunks.
    "a size that is none": Case(CHUNKED + b"x\r\n{}\r\n0\r\n\r\n" + GET, [400], False),
    "a size with 0x": Case(CHUNKED + b"0x2\r\n{}\r\n0\r\n\r\n" + GET, [400], False),
    "a size with a space": Case(CHUNKED + b"2 \r\n{}\r\n0\r\n\r\n" + GET, [400], False),
    "a negative size": Case(CHUNKED + b"-2\r\n{}\r\n0\r\n\r\n" + GET, [400], False),
    "a size that overflows": Case(CHUNKED + b"FFFFFFFFFFFFFFFFF2\r\n{}\r\n0\r\n\r\n" + GET, [400], False),
    "a large size": Case(CHUNKED + b"10001\r\n" + b" " * 65_537 + b"\r\n0\r\n\r\n" + GET, [413], False),
    "more in a chunk than its size": Case(CHUNKED + b"2\r\n{}{}\r\n0\r\n\r\n" + GET, [400], False),
    "a line feed behind the size": Case(CHUNKED + b"2\n{}\r\n0\r\n\r\n" + GET, [400], False),
    "a line feed in an extension": Case(CHUNKED + b"2;a\nb\r\n{}\r\n0\r\n\r\n" + GET, [400], False),
    "a line feed behind the data": Case(CHUNKED + b"2\r\n{}\n0\r\n\r\n" + GET, [400], False),
    "a line feed at the end": Case(CHUNKED + b"2\r\n{}\r\n0\r\n\n" + GET, [400], False),
    "tiny chunks": Case(CHUNKED + b"1\r\n \r\n" * 4_000, [400], False),
    "a long extension": Case(CHUNKED + b"2;a=" + b"b" * 16_384 + b"\r\n{}\r\n0\r\n\r\n" + GET, [400], False),
    "extensions": Case(CHUNKED + b"1;a=b\r\n \r\n" * 2_000, [400], False),
    "a long trailer": Case(CHUNKED + b"2\r\n{}\r\n0\r\nA: " + b"b" * 16_384 + b"\r\n\r\n" + GET, [400], False),
    "a trailer without end": Case(CHUNKED + b"2\r\n{}\r\n0\r\n" + b"A: b\r\n" * 3_000, [400], False),
    "a length in the trailer": Case(CHUNKED + b"2\r\n{}\r\n0\r\nContent-Length: 5\r\n\r\n" + GET, [400], False),
    # The head.
    "a folded line": Case(HEAD + b"A: b\r\n folded\r\n\r\n" + GET, [400], False),
    "a line feed alone": Case(HEAD + b"A: b\n\r\n" + GET, [400], False),
    "a return alone": Case(HEAD + b"A: b\rContent-Length: 5\r\n\r\n" + GET, [400], False),
    "a NUL in a value": Case(HEAD + b"A: b\x00\r\n\r\n" + GET, [400], False),
    "a NUL in a name": Case(HEAD + b"A\x00: b\r\n\r\n" + GET, [400], False),
    "a NUL in the target": Case(HEAD.replace(b"rooms", b"rooms\x00") + b"\r\n" + GET, [400], False),
    "a name without a colon": Case(HEAD + b"Content-Length\r\n\r\n" + GET, [400], False),
    "no name": Case(HEAD + b": 5\r\n\r\n" + GET, [400], False),
    "no host": Case(HEAD.replace(b"Host: x\r\n", b"") + b"\r\n" + GET, [400], False),
    "the host twice": Case(HEAD + b"Host: x\r\n\r\n" + GET, [400], False),
    "a method in other letters": Case(HEAD.replace(b"POST", b"Post") + b"\r\n" + GET, [], False),
    "a method with a tail": Case(HEAD.replace(b"POST", b"POSTS") + b"\r\n" + GET, [405], False),
    "another version": Case(HEAD.replace(b"1.1", b"1.2") + b"\r\n" + GET, [400], False),
    "a version in other letters": Case(HEAD.replace(b"HTTP/1.1", b"http/1.1") + b"\r\n" + GET, [400], False),
    "an empty line before the first": Case(b"\r\n" + HEAD + b"\r\n", [], False),
    # What is behind a request.
    "bytes behind the body": Case(HEAD + b"Content-Length: 2\r\n\r\n{}x", [200], False),
    "bytes behind chunks": Case(CHUNKED + b"0\r\n\r\n\x00", [200], False),
    "two empty lines between two": Case(HEAD + b"\r\n\r\n\r\n" + HEAD + b"\r\n", [200], False),
    "a body that nobody wants": Case(
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 34\r\n\r\n" + GET + GET, [200], False
    ),
    "an upgrade with a body": Case(
        HEAD + b"Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 2\r\n\r\n{}" + GET, [400], False
    ),
    "an upgrade that is not known": Case(HEAD + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n" + GET, [400], False),
    "an upgrade behind a request": Case(
        HEAD + b"\r\nGET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", [200, 101], False,
    ),
}  # fmt: skip


def fill(data: bytes, token: str) -> bytes:
    """Put a token and the content type in."""
    bearer = f"Authorization: Bearer {token}\r\n".encode()
    return data.replace(b"AUTH", bearer).replace(b"TYPE", b"Content-Type: application/json\r\n")
