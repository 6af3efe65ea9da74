"""Attacks of strangers on sockets: handshakes, frames and codes."""

import asyncio
import random
import string

from roomd.config import LimitsConfig
from tests.support.attacks.attack import Attack
from tests.support.attacks.line import CUT, Line, gone, handshake, text
from tests.support.raw_sockets import UPGRADE, frame, pieces

PROTOCOLS = b"".join(b"Sec-WebSocket-Protocol: " + b"a," * 4_080 + b"a\r\n" for _ in range(119))
"""119 header fields, 0.97 MB in all."""
PIECES = pieces(b"", 1, 4_000)
"""A message of 4,000 empty fragments."""


class Subprotocols(Attack):
    """28 sockets send a handshake with 119 lines `Sec-WebSocket-Protocol` (0.97 MB), and its last CRLF in the end."""

    async def attack(self) -> str:
        self.refused = self.served = 0
        await self.again(28, self.try_once)
        return f"{self.refused} refused, {self.served} answered otherwise"

    async def try_once(self, number: int) -> None:
        line = await self.dial(UPGRADE + PROTOCOLS)
        await asyncio.sleep(0.05)
        line.write(b"\r\n")
        await gone(line, 5)
        self.refused += line.status in (CUT, 431)
        self.served += line.status not in (CUT, 431)
        self.close(line)


class EmptyFragments(Attack):
    """Anonymous connections, 60 from 6 addresses, send messages of 4,000 empty fragments at 4 MB/s."""

    async def attack(self) -> str:
        self.sent = 0
        await self.again(self.target.count(60, most=60), self.flood)
        return f"{self.sent / 1e6:.1f} MB sent"

    async def flood(self, number: int) -> None:
        line = await self.open(self.address(number % 6))
        while line.is_open:
            if line.transport.get_write_buffer_size() < len(PIECES):
                line.write(PIECES)
                self.sent += len(PIECES)
            await asyncio.sleep(0.1)
        self.close(line)


class UnfinishedMessages(Attack):
    """10,000 WebSockets, or as many as there are descriptors for, send 60 kB of a message that they never end."""

    async def attack(self) -> str:
        self.held = 0
        await self.each(self.target.count(10_000), self.begin)
        await self.wait()
        return f"{self.held} were begun, {sum(line.is_open for line in self.lines)} are left"

    async def begin(self, number: int) -> None:
        line = await self.open(self.address(number % 100))
        line.write(frame(b" " * 60_000, fin=False))
        self.held += 1


class UnfinishedHandshakes(Attack):
    """300 connections send handshakes of 0.95 MB that they never end, again and again."""

    async def attack(self) -> str:
        self.begun = self.refused = 0
        await self.again(self.target.count(300), self.begin)
        return f"{self.begun} were begun, {self.refused} refused"

    async def begin(self, number: int) -> None:
        self.begun += 1
        line = await self.dial(UPGRADE + b"X: " + b"a" * 950_000)
        await line.upgraded()
        self.refused += line.status == 431
        self.close(line)


class IdleSockets(Attack):
    """10,050 WebSockets of one address ask `ping` every 40 s, so that they count as neither silent nor busy."""

    async def attack(self) -> str:
        self.opened = 0
        await self.each(self.target.count(10_050), self.begin)
        await self.wait()
        return f"{self.opened} were opened, {sum(line.is_open for line in self.lines)} are left"

    async def begin(self, number: int) -> None:
        line = await self.open(self.address(0))
        line.send("ping")
        self.opened += 1


class IdleBesideMembers(Attack):
    """Users take 55 % of the connections. One address fills the rest with idle WebSockets, again and again."""

    async def prepare(self) -> None:
        for number in range(self.target.count(10_000) * 55 // 100):
            await self.open(self.address(number + 1), f"idle-{number}")

    async def attack(self) -> str:
        self.opened = 0
        await self.each(self.target.count(10_000) * 60 // 100, self.begin)
        await self.again(5, self.begin)
        left = sum(line.is_open for line in self.lines)
        return f"{self.opened} were opened beside the users, {left} of all are left"

    async def begin(self, number: int) -> None:
        await self.open(self.address(0))
        self.opened += 1
        await asyncio.sleep(0.01)


class UnknownCodes(Attack):
    """Four addresses ask for rooms by random codes, as fast as they can, and reconnect when they are closed."""

    async def attack(self) -> str:
        self.asked = self.answered = 0
        await self.again(self.target.count(16, most=16), self.guess)
        if self.answered > most_answers(LimitsConfig(), self.target.seconds):
            self.faults.append(f"{self.answered} unknown codes were answered")
        return f"{self.asked} asked, {self.answered} answered with 404"

    async def guess(self, number: int) -> None:
        line = await self.open(self.address(number % 4), heard=self.count)
        while line.is_open:
            codes = ["".join(random.choices(string.ascii_lowercase, k=9)) for _ in range(20)]
            line.write(b"".join(text("get-room", code=f"{code[:3]}-{code[3:6]}-{code[6:]}") for code in codes))
            self.asked += len(codes)
            await asyncio.sleep(0.05)
        self.close(line)

    def count(self, reply: dict[str, object]) -> None:
        """Count an answer that says whether there is a room."""
        self.answered += reply.get("statusCode") == 404


class BytesBehind(Attack):
    """50 connections at once send `GET /healthz` with two bytes behind it, again and again."""

    async def attack(self) -> str:
        self.asked = self.answered = 0
        await self.again(self.target.count(50, most=50), self.ask)
        if not self.answered:
            self.faults.append("no request with bytes behind it was answered")
        return f"{self.answered} of {self.asked} answered"

    async def ask(self, number: int) -> None:
        self.asked += 1
        line = await self.dial(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nxx")
        await gone(line, 5)
        self.answered += line.status == 200
        self.close(line)


class HalfOpen(Attack):
    """5,000 connections send nothing, or half of a request."""

    async def attack(self) -> str:
        self.opened = 0
        await self.each(self.target.count(5_000), self.begin)
        await self.wait()
        return f"{self.opened} were opened, {sum(not line.lost.is_set() for line in self.lines)} are left"

    async def begin(self, number: int) -> None:
        await self.dial(b"" if number % 2 else UPGRADE)
        self.opened += 1


class ByteByByte(Attack):
    """200 connections send a handshake byte by byte: one as fast as it can, the others a byte each 0.1 s."""

    async def attack(self) -> str:
        self.ended = self.opened = 0
        await self.again(self.target.count(200), self.drip)
        return f"{self.opened} handshakes were completed, {self.ended} connections ended by the daemon"

    async def drip(self, number: int) -> None:
        line: Line = await self.dial()
        for byte in handshake(self.address(number % 20)):
            if not line.is_open:
                break
            line.write(bytes([byte]))
            await asyncio.sleep(0.1 if number else 0)
        if line.is_open and await line.upgraded():
            self.opened += 1
        self.ended += line.lost.is_set()
        self.close(line)


def most_answers(limits: LimitsConfig, seconds: float) -> float:
    """Return how many requests the daemon may answer that four strange addresses send in some seconds."""
    pool = limits.stranger_request_burst + seconds * limits.stranger_request_rate
    failures = 4 * (limits.failure_burst + seconds * limits.failure_rate)
    slowed = 4 * (limits.request_burst / 2 + seconds * limits.request_rate / 10)
    return min(pool, failures) + slowed
