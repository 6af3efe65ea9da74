"""A hub on a steerable store and clock, and people in front of it."""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from roomd.engine.hub import Hub
from roomd.gateway.outbox import text_frame
from roomd.protocol.errors import Refused
from roomd.protocol.objects import Room
from roomd.rooms import commands
from roomd.rooms.commands import Caller, Queued, Settings
from roomd.rooms.settings import Rules
from roomd.system.ids import Ids
from tests.support.fakes import FakeClock, FakeListener, FakeStore
from tests.support.processes import PATIENCE

HOLD = 30.0
HOST = Caller(user_id="alice")
"""Alice, from wherever."""
BOSS = Caller(user_id="root", admin=True)


class Stage:
    """A hub with one room of Alice's for three, on a steerable store and clock."""

    def __init__(self) -> None:
        self.store = FakeStore()
        self.clock = FakeClock()
        self.hub = Hub(self.store, Rules(HOLD, 100), self.clock, Ids())
        self.room: Room
        self.connections = 0
        self.messages = 0

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

    async def crowded(self, *names: str) -> list["Person"]:
        """Three people in the room, and behind them some who wait, with nothing left to read."""
        people = [*await self.seated("ann", "bob", "carol"), *map(self.guest, names)]
        for person in people[3:]:
            await person.join(wait=True)
        for person in people:
            person.said()
        return people

    def command(self, command: commands.Command) -> asyncio.Future[None]:
        """Put a command before the room that nobody listens to the answer of."""
        return self.hub.submit(self.room.code, command, lambda *_: None)

    async def ask(self, command: commands.Command) -> Any:
        """Put a command before the room and wait for the answer."""
        return await self.hub.ask(self.room.code, command)

    async def set(self, **settings: Any) -> None:
        """Have the host change the room."""
        await self.ask(commands.Update(HOST, Settings(**settings)))

    async def in_one_turn(self, *begin: Callable[[], Any]) -> None:
        """Have everything asked in this order and served by one turn: it begins when the loop next runs."""
        futures = [future for future in [one() for one in begin] if future is not None]
        await asyncio.wait_for(asyncio.gather(*futures), PATIENCE)
        await self.idle()

    async def while_it_commits(self, begin: Callable[[], Any], *then: Callable[[], Any], fails: bool = False) -> None:
        """Stop a turn at the store, have more asked, and let it go on, or fail."""
        self.store.hold()
        futures = [begin()]
        await self.held()
        futures += [one() for one in then]
        self.store.fails_once = fails
        self.store.let_go()
        await asyncio.wait_for(asyncio.gather(*(future for future in futures if future is not None)), PATIENCE)
        await self.idle()

    def queue(self) -> list[str]:
        """Who waits, in order."""
        room = self.hub._rooms[self.room.code].room
        return list(room.queue) if room is not None else []

    async def restart(self) -> "Stage":
        """Build another hub on the same store, as a new process does."""
        await self.hub.drain()
        again = Stage()
        again.store, again.clock, again.room, again.connections = self.store, self.clock, self.room, 50
        again.hub = Hub(again.store, Rules(HOLD, 100), again.clock, Ids())
        await again.hub.open()
        return again

    async def idle(self) -> None:
        """Wait until no turn is under way."""
        async with asyncio.timeout(PATIENCE):
            while self.hub._tasks:
                await asyncio.wait(self.hub._tasks)

    async def held(self) -> None:
        """Make the store hold, and wait until everything that can run has run."""
        await asyncio.wait_for(self.store.reached.wait(), PATIENCE)
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
            frame: dict[str, Any] = {"type": "reply"}
            if isinstance(answer, Refused):
                self.answers.append(answer.kind.code)
            elif isinstance(answer, Queued):
                self.answers.append("waiting")
                self.seat = answer.participant.id
                frame = {"type": "waiting", "position": answer.position, "reason": answer.reason}
            else:
                self.answers.append("ok")
                if listens:
                    self.seat = answer.id
            self.outbox.send(text_frame(msgspec.json.encode(frame)), state)

        return self.stage.hub.submit(self.stage.room.code, command, respond, self if listens else None)

    def join(self, *, wait: bool = False) -> asyncio.Future[None]:
        command = commands.Join(
            self.caller(), self.name, f"p{self.number:02}", f"hash-{self.number}", self.number, wait
        )
        return self.submit(command, listens=True)

    def resume(self, key: str, token: str) -> asyncio.Future[None]:
        return self.submit(commands.Resume(self.caller(), key, token, f"hash-{self.number}", self.number), listens=True)

    def say(self, text: str, to: str | None = None) -> asyncio.Future[None]:
        self.stage.messages += 1
        return self.submit(commands.Say(self.seat, self.number, f"m{self.stage.messages:03}", text, to))

    def present(self, **state: Any) -> asyncio.Future[None]:
        return self.submit(commands.Present(self.seat, self.number, state))

    def leave(self) -> asyncio.Future[None]:
        return self.submit(commands.Leave(self.seat, self.number))

    def drop(self) -> None:
        self.outbox.closed = True
        self.stage.hub.release(self.stage.room.code, commands.Drop(self.seat, self.number, self.stage.clock.now()))

    def said(self) -> list[Any]:
        """What was written to this client since the last look, one word a frame."""
        return [brief(frame) for frame in self.transport.frames()]


def brief(frame: dict[str, Any]) -> Any:
    """Write a frame as its type and what tells two of them apart."""
    match frame["type"]:
        case "room-state":
            return ("state", frame["seq"], [p["id"] for p in frame["participants"]])
        case "participants-changed":
            lists = {key: [p["id"] for p in frame[key]] for key in ("joined", "updated", "left") if frame[key]}
            return ("changed", frame["seq"], lists)
        case "waiting":
            return ("waiting", frame["position"], frame["reason"])
        case "waiting-changed":
            return ("queue", [entry["participantId"] for entry in frame["waiting"]])
        case "message":
            return ("message", frame["message"]["text"])
        case "removed":
            return ("removed", frame["reason"])
        case other:
            return (other, frame["seq"]) if "seq" in frame else other
