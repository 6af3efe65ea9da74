"""What every attack has: a target, connections that are closed in the end, and loops that end in time."""

import asyncio
import contextlib
import resource
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from tests.support.attacks.line import Frame, L, Line, Lost, connect, handshake, token_for

SPARE = 1_000
"""Descriptors that an attack leaves to the ordinary clients, in the attacker's process and in the daemon's."""
AT_ONCE = 50
"""Connections that are opened at the same time."""


class Target(msgspec.Struct, frozen=True):
    """The daemon, and how hard it is attacked."""

    port: int
    secret: str
    database: str
    """Path of the database, which one attack fills beforehand."""
    hooks: tuple[int, int]
    """The port where the attacker takes webhooks, and the one that the daemon must not connect to."""
    seconds: float
    """How long an attack lasts."""
    network: int
    """The attacker's addresses are in 10.`network`.0.0/16, which no other attack has."""
    scale: float
    """The part of the whole number of connections, messages and so on; 1 for all."""

    def count(self, whole: int, most: int | None = None) -> int:
        """Return how many of `whole` there are in this run, and no more than descriptors allow, or `most`."""
        allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[1] - SPARE
        return max(1, min(int(whole * self.scale), allowed, most or allowed))


class Attack(ABC):
    """One attack. The docstring of each subclass says what it does."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.lines: set[Line] = set()
        """The open connections."""
        self.faults: list[str] = []
        """What the daemon must not do, seen by the attack itself."""
        self.ends = 0.0
        """The time of the loop when the attack ends."""

    @property
    def is_running(self) -> bool:
        """Whether the attack has not ended yet."""
        return asyncio.get_running_loop().time() < self.ends

    async def prepare(self) -> None:  # noqa: B027 - most attacks need nothing
        """Do beforehand what is not measured."""

    @abstractmethod
    async def attack(self) -> str:
        """Attack until `ends`, and return in words what came of it."""

    async def dial(self, first: bytes = b"", heard: Callable[[Frame], None] | None = None) -> Line:
        """Connect and send bytes.

        Raises `OSError`.
        """
        return await self.connect(Line(heard), first)

    async def connect(self, line: L, first: bytes = b"") -> L:
        """Connect a line of some kind, and send bytes.

        Raises `OSError`.
        """
        await connect(self.target.port, line, first)
        self.lines.add(line)
        return line

    async def open(self, address: str, user: str | None = None, heard: Callable[[Frame], None] | None = None) -> Line:
        """Open a WebSocket from an address, as a user or a guest.

        Raises `Lost` where the daemon refuses, and `OSError`.
        """
        token = token_for(user, self.target.secret) if user is not None else None
        line = await self.dial(handshake(address, token), heard)
        if not await line.upgraded():
            self.close(line)
            raise Lost(line.status)
        return line

    def close(self, line: Line) -> None:
        """Cut a connection."""
        line.cut()
        self.lines.discard(line)

    async def room(self, **settings: Any) -> str:
        """Make a room whose host is `mallory`; return its code."""
        line = await self.open("10.3.0.1", "mallory")
        reply = await line.ask("create-room", **settings)
        self.close(line)
        code: str = reply["room"]["code"]
        return code

    async def joined(self, address: str, code: str, user: str | None = None, **options: Any) -> Line:
        """Open a WebSocket and take a seat; a refusal that names a time is waited for.

        Raises `Lost` where the daemon refuses, and `OSError`.
        """
        line = await self.open(address, user, **options)
        while (reply := await line.ask("join-room", code=code, guestName="Guest"))["type"] == "error":
            if "retryAfter" not in reply:
                self.close(line)
                raise Lost(reply["code"])
            await asyncio.sleep(reply["retryAfter"])
        return line

    async def each(self, count: int, work: Callable[[int], Awaitable[object]]) -> None:
        """Do something `count` times, some at once, until the attack ends. What the daemon ends is skipped."""
        numbers = iter(range(count))

        async def some() -> None:
            for number in numbers:
                with contextlib.suppress(Lost, OSError):
                    await work(number)

        await self._until_the_end([some() for _ in range(AT_ONCE)])

    async def again(self, count: int, work: Callable[[int], Awaitable[object]]) -> None:
        """Do something again and again, `count` at once, until the attack ends."""

        async def one(number: int) -> None:
            while self.is_running:
                with contextlib.suppress(Lost, OSError):
                    await work(number)
                await asyncio.sleep(0)

        await self._until_the_end([one(number) for number in range(count)])

    def address(self, number: int) -> str:
        """Return one of the attacker's addresses."""
        return f"10.{self.target.network}.{number // 250 % 250}.{number % 250 + 1}"

    async def wait(self) -> None:
        """Wait until the attack ends."""
        await asyncio.sleep(max(0.0, self.ends - asyncio.get_running_loop().time()))

    async def _until_the_end(self, works: list[Any]) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(self.ends):
                await asyncio.gather(*works)
