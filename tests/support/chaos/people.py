"""The ordinary clients: they talk, drop and come back, leave and join, and keep what the daemon acknowledged."""

import asyncio
import contextlib
import sqlite3
from pathlib import Path
from random import Random

from tests.support.attacks.line import Frame, Line, Lost, dial, handshake
from tests.support.daemon import Daemon
from tests.support.processes import PATIENCE

UNANSWERED = 5.0
"""Seconds after which a client gives up a connection."""
AGAIN = 0.05
"""Seconds until a client connects again."""


class Person:
    """One client: a user, or a guest where `is_guest`."""

    def __init__(self, daemon: Daemon, code: str, number: int, random: Random, pause: float) -> None:
        self.name = f"person-{number}"
        self.said: list[str] = []
        """The texts that were acknowledged."""
        self.seats: list[str] = []
        """The participant ids that were acknowledged, without repetitions."""
        self.left: list[str] = []
        """Those of which the leave was acknowledged."""
        self.refused: list[str] = []
        """The codes of the errors that came."""
        self._daemon = daemon
        self._code = code
        self._token = daemon.token(self.name, ttl=86_400) if number % 2 else None
        self._address = f"10.1.{number // 250}.{number % 250 + 1}"
        self._random = random
        self._pause = pause
        self._resume_token = ""
        self._number = 0
        self._line: Line | None = None

    async def live(self) -> None:
        """Do as people do in a meeting, for ever."""
        try:
            while True:
                with contextlib.suppress(Lost, OSError, TimeoutError):
                    await self._come()
                    while True:
                        await asyncio.sleep(self._random.uniform(0.5, 1.5) * self._pause)
                        await self._act()
                self._cut()
                await asyncio.sleep(self._random.uniform(0.5, 1.5) * AGAIN)
        finally:
            self._cut()

    async def _come(self) -> None:
        """Connect, and take the seat back, or a new one."""
        async with asyncio.timeout(UNANSWERED):
            self._line = await dial(self._daemon.port, handshake(self._address, self._token))
            if not await self._line.upgraded():
                raise Lost(self._line.status)
        if self._resume_token:
            reply = await self._ask("resume", resumeToken=self._resume_token)
            if reply.get("statusCode") not in (409, 410):
                self._sit(reply)
                return
        await self._join()

    async def _join(self) -> None:
        self._sit(await self._ask("join-room", code=self._code, guestName=self.name))

    def _sit(self, reply: Frame) -> None:
        """Keep the seat of a reply. Raises `Lost` for an error."""
        if reply["type"] != "participant":
            raise Lost(reply["code"])
        self._resume_token = reply["resumeToken"]
        if reply["participant"]["id"] not in self.seats:
            self.seats.append(reply["participant"]["id"])

    async def _act(self) -> None:
        """Talk, mostly; sometimes drop, or leave and join."""
        chance = self._random.random()
        if chance < 0.8:
            self._number += 1
            text = f"{self.name} {self._number}"
            if (await self._ask("send-message", text=text, clientId=str(self._number)))["type"] == "ok":
                self.said.append(text)
        elif chance < 0.9:
            raise Lost("by itself")
        elif (reply := await self._ask("leave-room"))["type"] == "participant":
            self.left.append(reply["participant"]["id"])
            self._resume_token = ""
            await self._join()

    async def _ask(self, type_: str, **fields: str) -> Frame:
        assert self._line is not None
        async with asyncio.timeout(UNANSWERED):
            reply = await self._line.ask(type_, **fields)
        if reply["type"] == "error":
            self.refused.append(reply["code"])
            if reply["code"] == "not_in_room":
                raise Lost(reply["code"])
        return reply

    def _cut(self) -> None:
        if self._line is not None:
            self._line.cut()
            self._line = None


async def served(people: list[Person]) -> None:
    """Wait until something that everybody says from now on was acknowledged.

    Raises `AssertionError` that names who is not served.
    """
    before = {person.name: len(person.said) for person in people}
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while waiting := [person for person in people if len(person.said) <= before[person.name]]:
        names = ", ".join(f"{person.name} {person.refused[-3:]}" for person in waiting)
        assert asyncio.get_running_loop().time() < deadline, f"not served: {names}"
        await asyncio.sleep(0.02)


def lost(database: Path, people: list[Person]) -> list[str]:
    """Return what was acknowledged and is not in the database, a line each."""
    acknowledged = [(list(one.said), list(one.seats), list(one.left)) for one in people]
    with contextlib.closing(sqlite3.connect(database)) as db:
        texts = {text for (text,) in db.execute("SELECT text FROM messages")}
        ends = dict(db.execute("SELECT id, left_at FROM participants").fetchall())
    wrong = []
    for person, (said, seats, left) in zip(people, acknowledged, strict=True):
        missing = {
            "messages": [text for text in said if text not in texts],
            "seats": [key for key in seats if key not in ends],
            "leaves": [key for key in left if ends.get(key) is None],
        }
        wrong += [f"{person.name}: {what} that were lost: {found}" for what, found in missing.items() if found]
    return wrong
