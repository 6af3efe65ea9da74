"""A hub on a steerable store and clock, and people in front of it."""

import asyncio
from typing import Any

from roomd import commands
from roomd.commands import Caller, Settings
from roomd.errors import Refused
from roomd.frames import Room
from roomd.hub import Hub
from roomd.ids import Ids
from roomd.outbox import text_frame
from roomd.room import Rules
from tests.fakes import FakeClock, FakeListener, FakeStore

HOLD = 30.0


class Stage:
    """A hub with one room of Alice's for three, on a steerable store and clock."""

    def __init__(self) -> None:
        self.store = FakeStore()
        self.clock = FakeClock()
        self.hub = Hub(self.store, Rules(HOLD, 100), self.clock, Ids())
        self.room: Room
        self.connections = 0

    async def open(self, **settings: Any) -> "Stage":
        self.room = await self.hub.create(Settings(**{"max_participants": 3, **settings}), "alice")
        self.store.appends = 0
        return self

    def guest(self, name: str = "guest") -> "Person":
        self.connections += 1
        return Person(self, self.connections, None, name)

    def user(self, user_id: str) -> "Person":
        self.connections += 1
        return Person(self, self.connections, user_id, None)

    async def seated(self, *names: str) -> list["Person"]:
        """People who joined one after another, with nothing left to read."""
        people = [self.guest(name) for name in names]
        for person in people:
            await person.join()
        for person in people:
            person.said()
        return people

    async def idle(self) -> None:
        """Wait until no turn is under way."""
        while self.hub._tasks:
            await asyncio.wait(self.hub._tasks, timeout=5)

    async def held(self) -> None:
        """Make the store hold, and wait until everything that can run has run."""
        await asyncio.wait_for(self.store.reached.wait(), 5)
        for _ in range(20):
            await asyncio.sleep(0)


class Person(FakeListener):
    """A connection as the hub sees it, writing its replies as `connection` does."""

    def __init__(self, stage: Stage, number: int, user_id: str | None, name: str | None) -> None:
        super().__init__()
        self.stage = stage
        self.number = number
        self.user_id = user_id
        self.name = name
        self.seat = ""
        self.answers: list[str] = []

    def caller(self) -> Caller:
        return Caller(self.seat or None, self.number, self.user_id, self.user_id or "")

    def submit(self, command: commands.Command, listens: bool = False) -> asyncio.Future[None]:
        def respond(answer: Any, state: bytes) -> None:
            if isinstance(answer, Refused):
                self.answers.append(answer.kind.code)
            else:
                self.answers.append("ok")
                if listens:
                    self.seat = answer.id
            self.outbox.send(text_frame(b'{"type":"reply"}'), state)

        return self.stage.hub.submit(self.stage.room.code, command, respond, self if listens else None)

    def join(self) -> asyncio.Future[None]:
        command = commands.Join(self.caller(), self.name, f"p{self.number:02}", f"hash-{self.number}", self.number)
        return self.submit(command, listens=True)

    def resume(self, key: str, token: str) -> asyncio.Future[None]:
        return self.submit(commands.Resume(self.caller(), key, token, f"hash-{self.number}", self.number), listens=True)

    def leave(self) -> asyncio.Future[None]:
        return self.submit(commands.Leave(self.seat, self.number))

    def drop(self) -> None:
        self.stage.hub.release(self.stage.room.code, commands.Drop(self.seat, self.number, self.stage.clock.now()))

    def said(self) -> list[Any]:
        """What was written to this client since the last look, one word a frame."""
        return [brief(frame) for frame in self.transport.frames()]


def brief(frame: dict[str, Any]) -> Any:
    """Write a frame as its type and what tells two of them apart."""
    if frame["type"] == "room-state":
        return ("state", frame["seq"], [p["id"] for p in frame["participants"]])
    if frame["type"] == "participants-changed":
        lists = {key: [p["id"] for p in frame[key]] for key in ("joined", "updated", "left") if frame[key]}
        return ("changed", frame["seq"], lists)
    return (frame["type"], frame["seq"]) if "seq" in frame else frame["type"]
