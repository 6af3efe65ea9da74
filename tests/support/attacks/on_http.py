"""Attacks on the server API and the event log by HTTP."""

import asyncio
import contextlib
from collections import Counter
from itertools import cycle

import jwt

from tests.support.attacks.attack import Attack
from tests.support.attacks.http_line import HttpLine, post
from tests.support.attacks.line import Line, Lost, gone, token_for
from tests.support.smuggling import CASES, Case, fill

CHUNKED = "Transfer-Encoding: chunked"
BLOCK = b"x" * 65_536
"""What is sent at once by who sends as much as the daemon takes."""
MALFORMED = (b"{", b"[" * 30_000, b'{"code": 1}', b"1e999")
"""Bodies that are no request."""
READERS = 200
"""The connections by which one user may read the event log."""


class HttpAttack(Attack):
    """An attack by HTTP. The statuses of all responses are counted in `answers`."""

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]  # those of `Attack`
        self.answers: Counter[int] = Counter()
        self.users = {number: token_for(f"poster-{number}", self.target.secret) for number in range(10)}
        """Tokens of users who are nobody's host."""

    async def http(self, first: bytes = b"") -> HttpLine:
        """Connect and send bytes.

        Raises `OSError`.
        """
        line = HttpLine()
        line.answers = self.answers
        return await self.connect(line, first)

    def told(self, *allowed: int) -> str:
        """Return how often each status came. Others than the `allowed` ones are faults."""
        if others := self.answers.keys() - set(allowed):
            self.faults.append(f"answered with {sorted(others)}")
        return ", ".join(f"{count} times {status}" for status, count in sorted(self.answers.items())) or "no answer"


class BadTokens(HttpAttack):
    """60 connections from 6 addresses ask with tokens that are not valid, and connect again when they are closed."""

    async def attack(self) -> str:
        own = {"sub": "alice", "exp": 4_000_000_000}
        self.tokens = cycle([
            jwt.encode(own, "another secret, of the attacker's own", algorithm="HS256"),
            jwt.encode(own, "", algorithm="none"),
            jwt.encode({"sub": "alice", "exp": 1}, self.target.secret, algorithm="HS256"),
            token_for("alice", self.target.secret)[:-3] + "AAA",
            "x" * 12_000,
        ])  # fmt: skip
        await self.again(self.target.count(60, most=60), self.ask)
        return self.told(401, 429)

    async def ask(self, number: int) -> None:
        line = await self.http(post("list-rooms", self.address(number % 6), next(self.tokens)))
        await gone(line, 10)
        self.close(line)


class Posts(HttpAttack):
    """10 users on 40 connections send requests as fast as they can, eight at a time; some are long, some malformed."""

    async def attack(self) -> str:
        await self.again(self.target.count(40, most=40), self.ask)
        return self.told(200, 400, 404, 429)

    async def ask(self, number: int) -> None:
        address, token = self.address(number), self.users[number % 10]
        bodies = {
            "list-rooms": b"{}",
            "get-room": b'{"code": "abc-def-ghi"}',
            "create-room": b'{"metadata": {"x": "%b"}}' % (b"x" * 2_000),
            "list-messages": b'{"code": "abc-def-ghi"}',
        }
        asked = [post(kind, address, token, body=body) for kind, body in bodies.items()]
        asked += [post("get-room", address, token, body=body) for body in MALFORMED]
        line = await self.http()
        answered = 0
        while line.is_open and self.is_running:
            line.write(b"".join(asked))
            answered += len(asked)
            await line.answered(answered)
        self.close(line)


class LargeBodies(HttpAttack):
    """50 connections send bodies of a gigabyte, with that length or in large chunks, as fast as they are taken."""

    async def attack(self) -> str:
        self.sent = 0
        await self.again(self.target.count(50, most=50), self.send)
        return f"{self.sent / 1e6:.0f} MB sent, {self.told(413, 429)}"

    async def send(self, number: int) -> None:
        sized = number % 2
        size = "Content-Length: 1000000000" if sized else CHUNKED
        line = await self.http(post("list-rooms", self.address(number % 6), None, size))
        part = BLOCK if sized else b"10000\r\n" + BLOCK + b"\r\n"
        self.sent += await pour(line, part, 10)
        self.close(line)


class SlowBodies(HttpAttack):
    """500 connections send a byte of a body each 0.1 s, with a length or in chunks of one byte."""

    async def attack(self) -> str:
        self.begun = 0
        await self.again(self.target.count(500), self.send)
        return f"{self.begun} were begun, {self.told(401, 429)}"

    async def send(self, number: int) -> None:
        size = "Content-Length: 60000" if number % 2 else CHUNKED
        self.begun += 1
        line = await self.http(post("list-rooms", self.address(number % 20), self.users[number % 10], size))
        while line.is_open:
            line.write(b" " if number % 2 else b"1\r\n \r\n")
            await asyncio.sleep(0.1)
        self.close(line)


ENDLESS = {
    "chunks of one byte": (b"", b"1\r\n \r\n" * 10_000),
    "an extension": (b"1;", BLOCK),
    "short extensions": (b"", b"1;a\r\n \r\n" * 8_000),
    "a trailer": (b"0\r\nA: ", BLOCK),
    "a name in the trailer": (b"0\r\n", BLOCK),
    "many trailers": (b"0\r\n", b"A:\r\n" * 16_000),
}
"""Chunked bodies without an end: how each begins, and what follows again and again."""


class EndlessChunks(HttpAttack):
    """60 connections from 6 addresses send chunked bodies without an end: tiny chunks, extensions, trailers."""

    async def attack(self) -> str:
        self.sent = 0
        await self.again(self.target.count(60, most=60), self.send)
        return f"{self.sent / 1e6:.0f} MB sent, {self.told(400, 413)}"

    async def send(self, number: int) -> None:
        first, part = list(ENDLESS.values())[number % len(ENDLESS)]
        line = await self.http(post("list-rooms", self.address(number % 6), None, CHUNKED) + first)
        self.sent += await pour(line, part, 10)
        self.close(line)


class IdleHttp(HttpAttack):
    """5,000 connections of users ask once and are kept; then they do nothing."""

    async def attack(self) -> str:
        await self.each(self.target.count(5_000), self.begin)
        await self.wait()
        return f"{self.told(200)}, {sum(line.is_open for line in self.lines)} are left"

    async def begin(self, number: int) -> None:
        line = await self.http(post("list-rooms", self.address(number % 100), self.users[number % 10], body=b"{}"))
        await line.answered()


class LogReaders(HttpAttack):
    """Three hosts read the log of a room by 200 streams each, and read none of it, while a guest joins and leaves."""

    async def prepare(self) -> None:
        self.streams: list[Line] = []
        self.hosts = {}
        for number in range(3):
            user = f"reader-{number}"
            host = await self.open(f"10.3.0.{number + 10}", user)
            self.hosts[user] = (await host.ask("create-room", metadata={"x": "y" * 4_000}))["room"]["code"]
            self.close(host)

    async def attack(self) -> str:
        self.events = 0
        await asyncio.gather(
            self.each(self.target.count(3 * READERS, most=3 * READERS), self.read), self.again(3, self.stir)
        )
        left = sum(line.is_open for line in self.streams)
        return f"{self.events} events for {len(self.streams)} streams that read nothing, {left} are left"

    async def read(self, number: int) -> None:
        user = f"reader-{number % 3}"
        ask = post(
            f"events?room={self.hosts[user]}", f"10.3.0.{number % 3 + 10}", token_for(user, self.target.secret),
            "Accept: text/event-stream", method="GET",
        )  # fmt: skip
        line = await self.http(ask)
        line.transport.pause_reading()
        self.streams.append(line)

    async def stir(self, number: int) -> None:
        """Make events."""
        line = await self.open(f"10.3.0.{number + 10}", f"reader-{number}")
        while line.is_open:
            await line.ask("update-room", code=self.hosts[f"reader-{number}"], name=f"Room {self.events}")
            self.events += 1


class LogPages(HttpAttack):
    """Ten hosts read the whole log for a room of theirs, again and again, by 40 connections."""

    async def prepare(self) -> None:
        self.codes = []
        for number in range(10):
            host = await self.open(self.address(number), f"poster-{number}")
            self.codes.append((await host.ask("create-room"))["room"]["code"])
            self.close(host)

    async def attack(self) -> str:
        await self.again(self.target.count(40, most=40), self.read)
        return self.told(200, 429)

    async def read(self, number: int) -> None:
        ask = post(
            f"events?room={self.codes[number % 10]}&limit=1000", self.address(number % 10), self.users[number % 10],
            method="GET",
        )  # fmt: skip
        line = await self.http()
        while line.is_open and self.is_running:
            await line.respond(ask)
        self.close(line)


class Smuggling(HttpAttack):
    """20 connections at once send each case of the corpus of request smuggling, as proxies pass requests on."""

    async def attack(self) -> str:
        self.tried = 0
        self.cases = cycle(CASES.items())
        await self.again(self.target.count(20, most=20), self.send)
        return f"{self.tried} requests were sent"

    async def send(self, number: int) -> None:
        name, case = next(self.cases)
        line = await self.http(fill(case.data, self.users[number % 10]))
        with contextlib.suppress(Lost):
            await line.answered(len(case.statuses) + (not case.is_kept))
        self.judge(name, case, line)
        self.tried += 1
        self.close(line)

    def judge(self, name: str, case: Case, line: HttpLine) -> None:
        """Note a case that was answered otherwise. A user who is over the limit is told so."""
        if line.in_order != case.statuses and 429 not in line.in_order:
            self.faults.append(f"{name}: {line.in_order}")


async def pour(line: HttpLine, part: bytes, seconds: float) -> int:
    """Send again and again what the daemon takes, until it ends the connection or the time is over.

    Returns how much that was.
    """
    sent = 0
    ends = asyncio.get_running_loop().time() + seconds
    while not line.lost.is_set() and not line.transport.is_closing() and asyncio.get_running_loop().time() < ends:
        if line.transport.get_write_buffer_size() < len(part):
            line.transport.write(part)
            sent += len(part)
        await asyncio.sleep(0.005)
    return sent
