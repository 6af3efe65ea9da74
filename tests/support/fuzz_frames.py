"""Streams of client frames made of a seed: mostly valid, with at most a few faults, and how they are cut into reads."""

import itertools
import random
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace

from roomd.gateway.framing import SHORT

TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA
HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
"""What comes before the frames."""
LIMITS = (SHORT, 1_500, 65_536, 70_000)
"""Bytes of a message, the most; the first is the least that `limits.frame` may be."""
SIZES = (
    0, 1, 2, 3, 40, 124, 125, 126, 127, 128, 700, 1_009, 1_010, 1_015, 1_016, 1_017, 1_023, 1_024, 1_025, 5_000, 8_178,
    8_184, 8_186, 8_192, 65_535, 65_536, 65_537,
)  # fmt: skip
"""Around the forms of a length, and around SHORT and SLICE of `roomd.gateway.websocket`, with and without a head."""
WORDS = ("a", "{}", '"', " ", "é", "ß", "€", "\uffff", "😀", "\U0010ffff", "\x00", "\ufeff")
NOT_UTF8 = (
    b"\x80", b"\xbf", b"\xff", b"\xfe", b"\xc3", b"\xe2\x82", b"\xf0\x9f\x98", b"\xc0\xaf", b"\xc1\xbf",
    b"\xe0\x80\xaf",
    b"\xf0\x80\x80\xaf", b"\xed\xa0\x80", b"\xed\xbf\xbf", b"\xed\xa0\xbd\xed\xb8\x80", b"\xf4\x90\x80\x80",
    b"\xf8\x88\x80\x80\x80",
)  # fmt: skip
"""Lone, cut, overlong, surrogates, beyond U+10FFFF."""
GOOD_CODES = (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4408, 4999)
BAD_CODES = (0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535)


def make_frame(
    payload: bytes,
    opcode: int = TEXT,
    *,
    fin: bool = True,
    rsv: int = 0,
    mask: bytes | None = b"\x01\xa0\x7f\xff",
    size: int | None = None,
    form: int | None = None,
) -> bytes:
    """Make a frame, valid or not.

    `rsv` has the three reserved bits, `mask` is None for a frame without one, `size` is the length that its head says,
    and `form` (7, 16 or 64 bits) the length's form, by default the shortest.
    """
    size = len(payload) if size is None else size
    form = form or (7 if size < 126 else 16 if size < 65_536 else 64)
    bit = 0 if mask is None else 0x80
    head = bytes([fin << 7 | rsv << 4 | opcode])
    if form == 7:
        head += bytes([bit | size])
    else:
        head += struct.pack("!BH", bit | 126, size) if form == 16 else struct.pack("!BQ", bit | 127, size)
    if mask is None:
        return head + payload
    keys = (mask * (len(payload) // 4 + 1))[: len(payload)]
    return head + mask + (int.from_bytes(payload) ^ int.from_bytes(keys)).to_bytes(len(payload))


@dataclass(frozen=True)
class Piece:
    """A frame, or what stands in for one."""

    name: str
    """What it is, for whoever reads a failure."""
    data: bytes


@dataclass(frozen=True)
class Script:
    """What one client sends before it hangs up."""

    seed: int
    limit: int
    """Bytes of a message, the most."""
    pieces: tuple[Piece, ...]
    is_skewed: bool
    """Pieces need not be frames, since a head lies or bytes are noise."""

    def units(self) -> list[bytes]:
        """Cut into frames, or into bytes where it is not known what is a frame."""
        if self.is_skewed:
            return [bytes([byte]) for piece in self.pieces for byte in piece.data]
        return [piece.data for piece in self.pieces]

    def reads(self) -> list[bytes]:
        """Cut, handshake included, into what the server reads at a time."""
        chance = random.Random(f"reads {self.seed}")
        pieces = [HANDSHAKE, *(piece.data for piece in self.pieces)]
        stream = b"".join(pieces)
        borders = list(itertools.accumulate(map(len, pieces)))
        match chance.randrange(6):
            case 0:
                cuts = []
            case 1:
                cuts = borders
            case 2 if len(stream) < 1_000:
                cuts = list(range(len(stream)))
            case 3:  # within heads
                cuts = [border + chance.randint(-6, 15) for border in borders for _ in range(2)]
            case 4:
                cuts = [len(HANDSHAKE), *chance.choices(range(len(stream)), k=40)]
            case _:
                cuts = chance.choices(range(len(stream)), k=4)
        cuts = sorted({cut for cut in cuts if 0 < cut < len(stream)})
        return [stream[a:b] for a, b in itertools.pairwise([0, *cuts, len(stream)])]

    def describe(self) -> str:
        """Name its pieces, one a line."""
        lines = [f"limit {self.limit}, reads of {', '.join(str(len(read)) for read in self.reads()[:40])} …"]
        for piece in self.pieces:
            more = f" … {len(piece.data)} bytes" if len(piece.data) > 24 else ""
            lines.append(f"  {piece.name}: {piece.data[:24].hex(' ')}{more}")
        return "\n".join(lines)


def make_script(seed: int) -> Script:
    """Make the script of a seed."""
    return _Writer(seed).write()


def shrink(script: Script, fails: Callable[[Script], bool]) -> Script:
    """Leave out pieces as long as it still fails."""
    done = False
    while not done:
        done = True
        for i in range(len(script.pieces)):
            shorter = replace(script, pieces=script.pieces[:i] + script.pieces[i + 1 :])
            if fails(shorter):
                script, done = shorter, False
                break
    return script


class _Writer:
    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.chance = random.Random(seed)
        self.limit = self.chance.choice(LIMITS)
        self.pieces: list[Piece] = []
        self.is_skewed = False
        self.faults: tuple[Callable[[], None], ...] = (
            self.reserved_opcode, self.reserved_bits, self.no_mask, self.too_large, self.too_large_together,
            self.top_bit, self.not_utf8, self.stray_continuation, self.interrupted, self.long_control,
            self.fragmented_control, self.bad_close, self.close_inside,
        )  # fmt: skip

    def write(self) -> Script:
        chance = self.chance
        for _ in range(chance.randint(0, 5)):
            self.something_valid()
        if chance.random() < 0.7:
            chance.choice(self.faults)()
        elif chance.random() < 0.3:
            self.binary()
        for _ in range(chance.choice((0, 0, 1, 3))):  # nothing of it counts after a fault or a close
            chance.choice((self.something_valid, self.something_valid, self.close, self.binary, *self.faults))()
        self.damage()
        return Script(self.seed, self.limit, tuple(self.pieces), self.is_skewed)

    # What is valid.

    def something_valid(self) -> None:
        chance = self.chance
        kind = chance.random()
        if kind < 0.35:
            self.add("text", self.text())
        elif kind < 0.75:
            self.fragments("text", self.text(), TEXT)
        elif kind < 0.97:
            self.control()
        else:
            self.close()

    def binary(self) -> None:
        payload = self.chance.randbytes(self.chance.choice((0, 1, 130)))
        if self.chance.random() < 0.5:
            self.add("binary", payload, BINARY)
        else:
            self.fragments("binary", payload, BINARY)

    def control(self) -> None:
        payload = self.chance.randbytes(self.chance.choice((0, 1, 4, 124, 125)))
        opcode = self.chance.choice((PING, PING, PONG))
        self.add("ping" if opcode == PING else "pong", payload, opcode)

    def close(self) -> None:
        payload = b""
        if self.chance.random() < 0.8:
            reason = self.text(self.chance.choice((0, 3, 123)))
            payload = self.chance.choice(GOOD_CODES).to_bytes(2) + reason
        self.add("close", payload, CLOSE)

    def fragments(self, name: str, payload: bytes, opcode: int, *, is_ended: bool = True) -> None:
        """Add a message in fragments, some of them empty, with control frames between them."""
        for i, (part, is_last) in enumerate(self.parts(payload)):
            self.add(f"{name}, part {i + 1}", part, 0 if i else opcode, fin=is_last and is_ended)
            while not is_last and self.chance.random() < 0.2:
                self.control()

    def parts(self, payload: bytes) -> list[tuple[bytes, bool]]:
        count = self.chance.choice((1, 1, 2, 5))
        cuts = sorted(self.chance.choices(range(len(payload) + 1), k=count))
        if self.chance.random() < 0.3:
            cuts[0] = min(self.chance.choice((0, 1, 2)), cuts[0])
        parts = [payload[a:b] for a, b in itertools.pairwise([0, *cuts, len(payload)])]
        return [(part, i == count) for i, part in enumerate(parts)]

    def text(self, size: int | None = None) -> bytes:
        """Make UTF-8 of so many bytes, or of a size that the limit allows."""
        if size is None:
            sizes = [size for size in (*SIZES, self.limit - 1, self.limit) if size <= self.limit]
            size = self.chance.choice(sizes)
            if size > 2_000 and self.chance.random() < 0.7:  # large ones cost time
                size = self.chance.randrange(200)
        word = "".join(self.chance.choices(WORDS, k=min(size, 30)))
        data = (word.encode() * (size // max(1, len(word.encode())) + 1))[:size]
        return data.decode(errors="ignore").encode().ljust(size, b"~")

    # What is not.

    def reserved_opcode(self) -> None:
        opcode = self.chance.choice((*range(3, 8), *range(11, 16)))
        self.add("reserved opcode", self.text(self.chance.choice((0, 5, 130))), opcode)

    def reserved_bits(self) -> None:
        rsv = self.chance.choice((1, 2, 4, 4, 7))
        if self.chance.random() < 0.3:
            self.add("control with reserved bits", b"x", self.chance.choice((PING, PONG, CLOSE)), rsv=rsv)
        elif self.chance.random() < 0.6:
            self.add("text with reserved bits", self.text(self.chance.choice((0, 5, 130))), rsv=rsv)
        else:
            self.add("text, part 1", b"x", fin=False)
            self.add("continuation with reserved bits", b"y", 0, rsv=rsv)

    def no_mask(self) -> None:
        opcode = self.chance.choice((TEXT, TEXT, PING, CLOSE, BINARY))
        payload = b"\x03\xe8" if opcode == CLOSE else self.text(self.chance.choice((0, 5, 125, 130)))[:125]
        self.pieces.append(Piece("frame without a mask", make_frame(payload, opcode, mask=None)))

    def too_large(self) -> None:
        size = self.limit + self.chance.choice((1, 1, 1, 1000, 1 << 20, 1 << 40))
        payload = b"" if size > 2_000 or self.chance.random() < 0.3 else self.text(size)
        fin = self.chance.random() < 0.7
        self.add("frame past the limit", payload, self.chance.choice((TEXT, BINARY)), fin=fin, size=size)

    def too_large_together(self) -> None:
        self.add("text, part 1", self.text(self.limit - 100), fin=False)
        if self.chance.random() < 0.5:
            self.control()
        over = self.chance.choice((0, 1, 25))
        self.add("part past the limit" if over else "part up to the limit", self.text(100 + over), 0)

    def top_bit(self) -> None:
        size = self.chance.choice((1 << 63, (1 << 63) + 5, (1 << 64) - 1))
        self.add("length with its top bit", b"hello", self.chance.choice((TEXT, PING)), size=size)

    def not_utf8(self) -> None:
        payload = self.text(self.chance.choice((0, 3, 200))) + self.chance.choice(NOT_UTF8)
        payload += self.text(self.chance.choice((0, 0, 90)))
        if self.chance.random() < 0.4:
            self.add("text that is not UTF-8", payload)
        else:
            self.fragments("text that is not UTF-8", payload, TEXT)

    def stray_continuation(self) -> None:
        self.add("stray continuation", self.text(9), 0, fin=self.chance.random() < 0.5)

    def interrupted(self) -> None:
        self.fragments("interrupted text", self.text(30), TEXT, is_ended=False)
        self.add("message inside another", b"x", self.chance.choice((TEXT, BINARY)), fin=self.chance.random() < 0.5)

    def long_control(self) -> None:
        payload = self.text(self.chance.choice((126, 127, 200)))
        payload = b"\x03\xe8" + payload[2:] if self.chance.random() < 0.3 else payload
        self.add("long control frame", payload, self.chance.choice((PING, PONG, CLOSE)))

    def fragmented_control(self) -> None:
        self.add("fragmented control frame", b"\x03\xe8", self.chance.choice((PING, PONG, CLOSE)), fin=False)

    def bad_close(self) -> None:
        match self.chance.randrange(4):
            case 0:
                self.add("close of one byte", self.chance.randbytes(1), CLOSE)
            case 1:
                self.add("close with a reason that is not UTF-8", b"\x03\xe8x" + self.chance.choice(NOT_UTF8), CLOSE)
            case _:
                code = self.chance.choice(BAD_CODES)
                self.add(f"close with {code}", code.to_bytes(2) + self.text(self.chance.choice((0, 5))), CLOSE)

    def close_inside(self) -> None:
        self.fragments("text that is not ended", self.text(20), TEXT, is_ended=False)
        self.close()

    def damage(self) -> None:
        """Break off in a frame, flip a bit of a head, or add noise: seldom, and the last two for short scripts."""
        chance = self.chance
        kind = chance.random()
        if self.pieces and kind < 0.15:
            last = self.pieces.pop()
            self.pieces.append(Piece(f"a part of: {last.name}", last.data[: chance.randrange(len(last.data))]))
        elif self.pieces and kind < 0.3 and sum(len(piece.data) for piece in self.pieces) < 1_000:
            i = chance.randrange(len(self.pieces))
            data = bytearray(self.pieces[i].data)
            data[chance.randrange(min(len(data), 10))] ^= 1 << chance.randrange(8)
            self.pieces[i] = Piece(f"bit flipped in: {self.pieces[i].name}", bytes(data))
            self.is_skewed = True
        elif kind < 0.35 and sum(len(piece.data) for piece in self.pieces) < 1_000:
            self.pieces.insert(
                chance.randint(0, len(self.pieces)), Piece("noise", chance.randbytes(chance.randint(1, 30)))
            )
            self.is_skewed = True

    def add(
        self,
        name: str,
        payload: bytes,
        opcode: int = TEXT,
        *,
        fin: bool = True,
        rsv: int = 0,
        size: int | None = None,
    ) -> None:
        chance = self.chance
        form = None
        if chance.random() < 0.15:  # longer than needed
            form = 64 if max(len(payload), size or 0) >= 65_536 else chance.choice((16, 64))
        mask = bytes(4) if chance.random() < 0.1 else chance.randbytes(4)
        data = make_frame(payload, opcode, fin=fin, rsv=rsv, mask=mask, size=size, form=form)
        self.pieces.append(Piece(name, data))
