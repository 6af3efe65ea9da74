"""The ordinary clients: they talk, drop and come back, leave and join, and keep what the daemon acknowledged."""

import asyncio
import contextlib
from random import Random

from tests.support.attacks.line import Frame, Lost
from tests.support.daemon import Daemon
from tests.support.databases import reading
from tests.support.processes import PATIENCE
from tests.support.seat_client import AGAIN, SeatClient


class Person(SeatClient):
    """One client, in one room."""

    def __init__(self, daemon: Daemon, code: str, number: int, random: Random, pause: float) -> None:
        super().__init__(daemon, code, number, random)
        self.said: list[str] = []
        """The texts that were acknowledged."""
        self.seats: list[str] = []
        """The participant ids that were acknowledged, without repetitions."""
        self.left: list[str] = []
        """Those of which the leave was acknowledged."""
        self._pause = pause
        self._number = 0

    async def live(self) -> None:
        """Do as people do in a meeting, for ever."""
        try:
            while True:
                with contextlib.suppress(Lost, OSError, TimeoutError):
                    await self.come()
                    while True:
                        await asyncio.sleep(self.random.uniform(0.5, 1.5) * self._pause)
                        await self._act()
                self.cut()
                await asyncio.sleep(self.random.uniform(0.5, 1.5) * AGAIN)
        finally:
            self.cut()

    def sit(self, reply: Frame) -> None:
        """Keep the seat of a reply, also for the comparison."""
        super().sit(reply)
        if self.seat not in self.seats:
            self.seats.append(self.seat)

    async def _act(self) -> None:
        """Talk, mostly; sometimes drop, or leave and join."""
        chance = self.random.random()
        if chance < 0.8:
            self._number += 1
            text = f"{self.name} {self._number}"
            if (await self.ask("send-message", text=text, clientId=str(self._number)))["type"] == "ok":
                self.said.append(text)
        elif chance < 0.9:
            raise Lost("by itself")
        elif (reply := await self.ask("leave-room"))["type"] == "participant":
            self.left.append(reply["participant"]["id"])
            self.seat = ""
            await self.join()


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


def lost(daemon: Daemon, people: list[Person]) -> list[str]:
    """Return what was acknowledged and is not in the database, a line each."""
    acknowledged = [(list(one.said), list(one.seats), list(one.left)) for one in people]
    with reading(daemon) as db:
        texts = {text for (text,) in db.execute("SELECT text FROM messages")}
        ends = {row["id"]: row["left_at"] for row in db.execute("SELECT id, left_at FROM participants")}
    wrong = []
    for person, (said, seats, left) in zip(people, acknowledged, strict=True):
        missing = {
            "messages": [text for text in said if text not in texts],
            "seats": [key for key in seats if key not in ends],
            "leaves": [key for key in left if ends.get(key) is None],
        }
        wrong += [f"{person.name}: {what} that were lost: {found}" for what, found in missing.items() if found]
    return wrong
