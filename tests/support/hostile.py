"""Hostile input: frames that break RFC 6455, bytes that are not a handshake, and JSON values of every kind."""

import struct

from tests.support.raw_sockets import UPGRADE, frame, pieces

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
"""Frames that break RFC 6455 or roomd's limits, and the close code that each gets."""

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
"""Bytes that are not a handshake, and the HTTP statuses that each may get; None if the connection ends without one."""
for name, (raw, statuses) in HTTP.items():  # end the upgrade requests with their empty line
    if raw.startswith(b"GET /ws") and not raw.endswith(b"\r\n\r\n") and b"A: b" not in raw:
        HTTP[name] = (raw + b"\r\n", statuses)

VALUES = [
    "null", "true", "false", "0", "1", "-1", "1.5", "1e400", "-0", str(2**31), str(2**63), str(2**64), "9" * 5_000,
    '""', '" "', '"x"', '"\\u0000"', '"\\ud800"', '"\\u202e"', '"\\u2028"', '"\\r\\nX: y"', f'"{"x" * 60_000}"',
    '"%s%n"', '"' + "\\u0301" * 10_000 + '"', '"\U0001f4a9"', "\"'; DROP TABLE rooms; --\"",
    '"../../etc/passwd"', "[]", "[1]", "{}", '{"type": "ping"}', "[" * 900 + "]" * 900,
    "[" * 20_000 + "]" * 20_000, '"a.b.c"', '"..."',
    '"aaa-aaa-aaa.x.y"',
]  # fmt: skip
"""JSON texts to put into every field of every request."""
