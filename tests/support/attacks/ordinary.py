"""The ordinary clients, in a process of their own: 10 rooms with a host, two more users and two guests each.

They talk, drop and come back by `resume`, leave and join, and a newcomer visits now and then. Each keeps the time from
a request to its reply and from a message to its event, and what must not happen: a cut, a refusal, no answer.
"""

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import Coroutine, Iterator
from typing import Any

from tests.support.attacks.line import Frame, Line, Lost, dial, handshake, token_for
from tests.support.attacks.worker import serve

ROOMS = 10
EACH = 5
PAUSE = 0.5
"""Seconds between two actions of a client, on average."""
NEWCOMERS = 0.25
"""Seconds between two newcomers, on average."""
UNANSWERED = 20.0
"""Seconds after which a request counts as not answered."""


class Figures:
    """What was measured since the last `take`."""

    def __init__(self) -> None:
        self.times: list[float] = []
        """Seconds of every request to its reply, of every message to its event, and of every way back to a seat."""
        self.arrivals: list[float] = []
        """Seconds of a newcomer's way to a seat."""
        self.wrong: Counter[str] = Counter()
        """What must not happen, and how often it did."""
        self.tried = 0
        """Newcomers who got a seat or gave up."""
        self.joined = 0
        """Newcomers who got a seat."""
        self._pending: dict[object, float] = {}  # when what is not answered yet began

    @contextlib.contextmanager
    def timed(self) -> Iterator[None]:
        """Keep the time that the block takes."""
        key, began = object(), time.monotonic()
        self._pending[key] = began
        try:
            yield
        finally:
            del self._pending[key]
            self.times.append(time.monotonic() - began)

    def take(self) -> dict[str, Any]:
        """Return everything as JSON, and begin anew. What is not answered yet counts with its time so far."""
        now = time.monotonic()
        times = self.times + [now - began for began in self._pending.values()]
        found: dict[str, Any] = {"times": times, "wrong": dict(self.wrong), "arrivals": self.arrivals}
        found |= {"tried": self.tried, "joined": self.joined}
        self.times, self.arrivals, self.wrong, self.tried, self.joined = [], [], Counter(), 0, 0
        return found


class Ordinary:
    """One client: a user if it has a token, else a guest."""

    def __init__(self, port: int, figures: Figures, address: str, token: str | None, name: str) -> None:
        self.port, self.figures, self.address, self.token, self.name = port, figures, address, token, name
        self.code = ""
        self.resume_token = ""
        self.wait = 1.0
        """Seconds until a join may be tried again."""
        self.line: Line

    async def connect(self) -> None:
        """Connect; a handshake that is refused or cut counts, and is tried again."""
        while True:
            self.line = await dial(self.port, handshake(self.address, self.token), self.heard)
            async with asyncio.timeout(UNANSWERED):
                if await self.line.upgraded():
                    return
            self.figures.wrong[f"handshake {self.line.status}"] += 1
            self.line.cut()
            await asyncio.sleep(0.5)

    def heard(self, event: Frame) -> None:
        """Take an event. The text of a message is the time when it was sent."""
        if event["type"] == "message":
            try:
                sent = float(event["message"]["text"])
            except ValueError:
                return
            self.figures.times.append(time.monotonic() - sent)

    async def ask(self, type_: str, **fields: Any) -> Frame:
        """Send a request and return its reply, which is timed; an error is noted."""
        with self.figures.timed():
            async with asyncio.timeout(UNANSWERED):
                reply = await self.line.ask(type_, **fields)
        if reply["type"] == "error":
            self.figures.wrong[f"{type_} {reply['statusCode']} {reply['code']}"] += 1
            self.wait = reply.get("retryAfter", 1.0)
        return reply

    async def join(self) -> bool:
        """Take a seat; return whether there was one."""
        return self.take_seat(await self.ask("join-room", code=self.code, guestName=self.name))

    def take_seat(self, reply: Frame) -> bool:
        """Keep the resume token of a reply with a seat."""
        self.resume_token = reply.get("resumeToken", "")
        return bool(self.resume_token)

    async def live(self) -> None:
        """Do as people do in a meeting, for ever."""
        while True:
            try:
                await asyncio.sleep(random.expovariate(1 / PAUSE))
                await self.act()
            except Lost as lost:
                self.figures.wrong[f"closed {lost}"] += 1
                await self.come_back()
            except TimeoutError:
                self.figures.wrong["unanswered"] += 1
                self.line.cut()
                await self.come_back()

    async def act(self) -> None:
        """Talk, mostly; sometimes drop and come back, or leave and join."""
        chance = random.random()
        if not self.resume_token:
            await self.join()
        elif chance < 0.8:
            await self.ask("send-message", text=str(time.monotonic()))
        elif chance < 0.9:
            self.line.cut()
            await self.come_back()
        else:
            await self.ask("leave-room")
            self.resume_token = ""
            await self.join()

    async def come_back(self) -> None:
        """Take the seat back over a new connection, or join again where it is lost."""
        try:
            with self.figures.timed():
                await self.connect()
                if not self.resume_token or not self.take_seat(await self.ask("resume", resumeToken=self.resume_token)):
                    await self.join()
        except (Lost, TimeoutError, OSError) as wrong:
            self.figures.wrong[f"coming back: {type(wrong).__name__}"] += 1


async def visit(port: int, figures: Figures, code: str, number: int) -> None:
    """Come from a new address, take a seat, and leave. Where the daemon says when to try again, try then."""
    guest = Ordinary(port, Figures(), f"10.2.{number // 250 % 250}.{number % 250 + 1}", None, "Newcomer")
    guest.code = code
    began, took = time.monotonic(), None
    try:
        async with asyncio.timeout(UNANSWERED):
            await guest.connect()
            has_seat = await guest.join()
            while not has_seat:
                await asyncio.sleep(guest.wait)
                has_seat = await guest.join()
            took = time.monotonic() - began
            await guest.ask("leave-room")
    except (Lost, TimeoutError, OSError) as wrong:
        figures.wrong[f"newcomer: {wrong!r}, {dict(guest.figures.wrong)}"] += 1
    figures.tried += 1
    if took is not None:
        figures.joined += 1
        figures.arrivals.append(took)
    if hasattr(guest, "line"):
        guest.line.cut()


class Crowd:
    """Everybody, and the commands of the stage."""

    def __init__(self) -> None:
        self.figures = Figures()
        self.codes: list[str] = []
        self.tasks: set[asyncio.Task[None]] = set()

    async def begin(self, port: int, secret: str) -> None:
        """Make the rooms, have everybody join, and begin to talk."""
        for room in range(ROOMS):
            people = []
            for place in range(EACH):
                user = f"user-{room}-{place}"
                token = token_for(user, secret) if place < 3 else None
                one = Ordinary(port, self.figures, f"10.1.{room}.{place + 1}", token, user)
                await one.connect()
                people.append(one)
            code = (await people[0].ask("create-room", maxParticipants=100))["room"]["code"]
            self.codes.append(code)
            for one in people:
                one.code = code
                await one.join()
                self.keep(one.live())
        self.keep(self.receive_newcomers(port))

    def keep(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine and own its task."""
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def receive_newcomers(self, port: int) -> None:
        """Have newcomers visit the rooms, for ever."""
        number = 0
        while True:
            await asyncio.sleep(random.expovariate(1 / NEWCOMERS))
            self.keep(visit(port, self.figures, random.choice(self.codes), number))
            number += 1

    async def take(self) -> dict[str, Any]:
        """Return what was measured since the last call."""
        return self.figures.take()


if __name__ == "__main__":
    crowd = Crowd()
    serve({"begin": crowd.begin, "take": crowd.take})
