"""A hub on a steerable store and clock, and people in front of it."""

import asyncio
import itertools
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from roomd.engine.askers import KeptAnswer
from roomd.engine.hub import Hub
from roomd.protocol.events import Event
from roomd.protocol.objects import Participant, Room
from roomd.protocol.replies import ParticipantReply
from roomd.rooms import commands
from roomd.rooms.commands import SeatCommand
from roomd.rooms.model import Caller
from roomd.rooms.room import Command
from roomd.rooms.settings import Rules, Settings
from roomd.system.ids import Ids
from tests.support.fakes import FakeClock, FakeStore
from tests.support.members import FakeAsker, FakeClient, FakeMember, encode_line
from tests.support.processes import PATIENCE

A = TypeVar("A")

HOLD = 30.0
HOST = Caller(user_id="alice")
"""Alice, from wherever."""
ADMIN = Caller(user_id="root", is_admin=True)


class Stage:
    """A hub with one room of Alice's for three, on a steerable store and clock."""

    def __init__(self, before: "Stage | None" = None) -> None:
        """`before` is one whose store and clock this one goes on with, as a new process does."""
        self.store: FakeStore = before.store if before is not None else FakeStore()
        self.clock: FakeClock = before.clock if before is not None else FakeClock()
        self.claims: Iterator[int] = before.claims if before is not None else itertools.count(1)
        self.members: list[FakeMember] = []
        self.hub = Hub(self.store, Rules(HOLD, 100, log_events=True), self.clock, Ids(), encode_line)
        self.room: Room

    async def open(self, **settings: Any) -> "Stage":
        self.room = await self.hub.create(Settings(**{"max_participants": 3, **settings}), "alice")
        self.store.appends = 0
        return self

    async def close(self) -> None:
        """Finish what was begun, and check what every member was told."""
        self.store.failing = False
        self.store.let_go()
        await self.hub.drain()
        for member in self.members:
            member.check()

    async def restart(self) -> "Stage":
        """Build another hub on the same store, as a new process does."""
        await self.close()
        again = Stage(self)
        again.room = self.room
        await again.hub.open()
        return again

    # People.

    def guest(self, name: str = "guest") -> "Person":
        return Person(self, None, name)

    def user(self, user_id: str) -> "Person":
        return Person(self, user_id, None)

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

    def stay(self) -> None:
        """Let everybody be there for so long that a dropped seat is held for the full time."""
        self.clock.advance(HOLD)

    # Asking.

    def command(self, command: Command[object]) -> asyncio.Future[None]:
        """Put a command before the room whose answer nobody looks at."""
        return self.hub.submit(self.room.code, command, FakeAsker())

    async def ask(self, command: Command[A]) -> A:
        """Put a command before the room and wait for the answer."""
        return await self.hub.ask(self.room.code, command)

    def relay(self, key: str, event: Event, code: str | None = None) -> None:
        """Relay an event to a participant. Raises `Refused`."""
        asker: KeptAnswer[None] = KeptAnswer()
        self.hub.relay(code or self.room.code, key, event, asker)
        asker.get()

    async def set(self, **settings: Any) -> None:
        """Have the host change the room."""
        await self.ask(commands.UpdateRoom(HOST, Settings(**settings)))

    async def in_one_batch(self, *begin: Callable[[], asyncio.Future[None] | None]) -> None:
        """Have everything asked in this order and served by one batch: it begins when the loop next runs."""
        await self._served([one() for one in begin])

    async def while_it_commits(
        self,
        begin: Callable[[], asyncio.Future[None] | None],
        *then: Callable[[], asyncio.Future[None] | None],
        fails: bool = False,
    ) -> None:
        """Stop a batch at the store, have more asked, and let it go on, or fail."""
        self.store.hold()
        futures = [begin()]
        await self.held()
        futures += [one() for one in then]
        self.store.fails_once = fails
        self.store.let_go()
        await self._served(futures)

    async def _served(self, futures: list[asyncio.Future[None] | None]) -> None:
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(*(future for future in futures if future is not None))
        await self.idle()

    async def idle(self) -> None:
        """Wait until no batch is under way."""
        async with asyncio.timeout(PATIENCE):
            while self.hub._tasks:
                await asyncio.wait(self.hub._tasks)

    async def held(self) -> None:
        """Wait until an append waits at the store, and everything that can run has run."""
        async with asyncio.timeout(PATIENCE):
            await self.store.reached.wait()
        for _ in range(20):
            await asyncio.sleep(0)

    def queue(self) -> list[str]:
        """Who waits, in order."""
        room = self.hub._rooms[self.room.code].room
        return list(room.queue) if room is not None else []


class Person(FakeClient):
    """A client in front of the hub, on one connection."""

    def __init__(self, stage: Stage, user_id: str | None, name: str | None) -> None:
        super().__init__()
        self.stage = stage
        self.user_id = user_id
        self.name = name

    @property
    def seat(self) -> str:
        """The participant id of the last place it had; empty before the first."""
        return self.last_place.participant.id if self.last_place is not None else ""

    @property
    def claim(self) -> int:
        """The claim of the last place it had."""
        return self.last_place.claim if self.last_place is not None else 0

    @property
    def token(self) -> str:
        """What takes the last place back."""
        return f"hash-{self.claim}"

    @property
    def sitting(self) -> FakeMember:
        """The member that the room tells of what happens."""
        assert self.place is not None
        return self.place

    def caller(self) -> Caller:
        return Caller(self.seat or None, self.claim or None, self.user_id, self.user_id or "")

    def submit(self, command: Command[A]) -> asyncio.Future[None]:
        return self.stage.hub.submit(self.stage.room.code, command, FakeAsker(self))

    def join(self, *, wait: bool = False) -> asyncio.Future[None]:
        claim = next(self.stage.claims)
        command = commands.Join(
            caller=self.caller(), guest_name=self.name, resume_hash=f"hash-{claim}", claim=claim, wait=wait
        )
        return self._take_seat(command)

    def resume(self, other: "Person") -> asyncio.Future[None]:
        """Take the last place of another client back with its token."""
        claim = next(self.stage.claims)
        command = commands.Resume(
            caller=self.caller(),
            participant_id=other.seat,
            token_hash=other.token,
            resume_hash=f"hash-{claim}",
            claim=claim,
        )
        return self._take_seat(command)

    def _take_seat(self, command: SeatCommand) -> asyncio.Future[None]:
        member = FakeMember(self, command.claim)
        self.stage.members.append(member)
        return self.stage.hub.take_seat(self.stage.room.code, command, member)

    def say(self, text: str, to: str | None = None, client_id: str | None = None) -> asyncio.Future[None]:
        return self.submit(commands.SendMessage(self.seat, self.claim, text, to, client_id=client_id))

    def present(self, **state: Any) -> asyncio.Future[None]:
        return self.submit(commands.UpdateState(self.seat, self.claim, state))

    def leave(self) -> asyncio.Future[None]:
        def reply(participant: Participant) -> ParticipantReply:
            self.place = None
            return ParticipantReply(participant=participant)

        command = commands.Leave(self.seat, self.claim)
        return self.stage.hub.submit(self.stage.room.code, command, FakeAsker(self, reply))

    def drop(self) -> None:
        """Lose the connection."""
        self.is_open = False
        self.stage.hub.drop(self.stage.room.code, self.seat, self.claim)

    def said(self) -> list[Any]:
        """What was written to this client since the last look, one word a frame."""
        return [brief(frame) for frame in self.frames()]


def brief(frame: dict[str, Any]) -> Any:
    """Write a frame as its type and what tells two of them apart."""
    match frame["type"]:
        case "participant" | "ok" | "error":
            return "reply"
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
