"""Attacks on the seats and the queue of a room."""

import asyncio
import contextlib
from typing import Any

from tests.support.attacks.attack import Attack
from tests.support.attacks.line import Frame, Line, Lost

EVENTS_A_SECOND = 4
"""How often hosts are told of the queue, at most (docs/protocol.md)."""


class SilentMembers(Attack):
    """100 guests in one room read nothing, while a member sends as much as a room may be told."""

    async def prepare(self) -> None:
        code = await self.room(maxParticipants=500)
        for number in range(self.target.count(100)):
            line = await self.joined(self.address(number), code)
            line.transport.pause_reading()
        self.talker = await self.joined("10.3.0.2", code, "trent")

    async def attack(self) -> str:
        sent = 0
        while self.is_running and self.talker.is_open:
            self.talker.send("send-message", text="x" * 2_000)
            sent += 1
            await asyncio.sleep(0.005)
        return f"{sent} messages were sent"


class JoinAndDrop(Attack):
    """Guests of one address join a room and drop, 100 times at once and then 50 a second. Others and the host join."""

    async def prepare(self) -> None:
        self.code = await self.room(maxParticipants=100)

    async def attack(self) -> str:
        self.taken = self.came = self.tried = 0
        await asyncio.gather(self.again(5, self.join_and_drop), self.again(1, self.honest), self.again(1, self.host))
        return f"{self.taken} joined and dropped, {self.came} of {self.tried} honest people joined"

    async def join_and_drop(self, number: int) -> None:
        line = await self.open(self.address(0))
        await line.ask("join-room", code=self.code, guestName="Guest")
        self.close(line)
        self.taken += 1
        if self.taken > 100:
            await asyncio.sleep(0.1)  # five do so at once: 50 a second

    async def honest(self, number: int) -> None:
        await self.come(f"10.8.0.{self.tried % 250 + 1}", None, 0.2)

    async def host(self, number: int) -> None:
        await self.come("10.3.0.1", "mallory", 0.5)

    async def come(self, where: str, user: str | None, stay: float) -> None:
        """Join, stay a while, and leave in order."""
        await asyncio.sleep(stay)
        self.tried += 1
        line = await self.open(where, user)
        reply = await line.ask("join-room", code=self.code, guestName="Honest")
        if reply["type"] == "error":
            self.faults.append(f"{user or 'a guest'}: {reply['code']}")
        else:
            self.came += 1
            await line.ask("leave-room")
        self.close(line)


class Knocks(Attack):
    """A guest knocks at a waiting room, is denied, and knocks again from a new connection: 200 times, or as it can."""

    async def prepare(self) -> None:
        self.code = await self.room(waitingRoom=True)
        self.events = 0
        self.host = await self.joined("10.3.0.1", self.code, "mallory", heard=self.hear)

    def hear(self, event: Frame) -> None:
        """Deny everybody who waits, at once."""
        if event["type"] == "waiting-changed":
            self.events += 1
            for one in event["waiting"]:
                self.host.send("deny-participant", participantId=one["participantId"])

    async def attack(self) -> str:
        self.answers: dict[str, int] = {}
        self.events = 0
        await asyncio.gather(self.again(4, self.knock), self.again(1, self.user))
        if self.events > EVENTS_A_SECOND * (self.target.seconds + 1):
            self.faults.append(f"the host was told {self.events} times")
        return f"answers {self.answers}, {self.events} events at the host"

    async def knock(self, number: int) -> None:
        if self.answers.get("waiting", 0) >= 200:
            await self.wait()
        line = await self.open(self.address(0))
        reply = await line.ask("join-room", code=self.code, guestName="Guest", wait=True)
        kind = reply.get("code") or reply["type"]
        self.answers[kind] = self.answers.get(kind, 0) + 1
        await asyncio.sleep(0.02)
        self.close(line)

    async def user(self, number: int) -> None:
        """Knock as a user, who is denied like everybody, but must get a place first."""
        await asyncio.sleep(0.3)
        self.users = getattr(self, "users", 0) + 1
        await knock_as_user(self, self.code, f"user-{self.users}")


class Queue(Attack):
    """Guests of 30 addresses try to take all 100 places of a queue; users with a token want one too."""

    async def prepare(self) -> None:
        self.code = await self.room(waitingRoom=True)

    async def attack(self) -> str:
        self.places = self.users = 0
        await asyncio.gather(self.each(240, self.wait_in_queue), self.again(1, self.user))
        return f"guests got {self.places} places, {self.users} users knocked"

    async def wait_in_queue(self, number: int) -> None:
        line = await self.open(self.address(number % 30))
        reply = await line.ask("join-room", code=self.code, guestName="Guest", wait=True)
        self.places += reply["type"] == "waiting"

    async def user(self, number: int) -> None:
        await asyncio.sleep(0.2)
        self.users += 1
        await knock_as_user(self, self.code, f"user-{self.users}")


async def knock_as_user(attack: Attack, code: str, user: str) -> None:
    """Knock as a user with a token, and note when there is no place."""
    line: Line | None = None
    with contextlib.suppress(Lost):
        line = await attack.open("10.8.0.1", user)
        reply: dict[str, Any] = await line.ask("join-room", code=code, wait=True)
        if reply["type"] != "waiting":
            attack.faults.append(f"a user with a token got {reply.get('code')}")
        await line.ask("leave-room")
        attack.close(line)
        return
    attack.faults.append("a user with a token was cut")
