"""Nodes on a steerable bus, database and clock, and people in front of each of them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import msgspec

from roomd.client.connection import decode
from roomd.client.view import View
from roomd.cluster.claims import NodeIds
from roomd.cluster.node import ClusterNode
from roomd.cluster.routes import Route
from roomd.engine.askers import KeptAnswer
from roomd.engine.ports import Rooms
from roomd.protocol.events import Event
from roomd.protocol.objects import Room
from roomd.protocol.text import SHORTEST_CODE
from roomd.rooms.room import Command
from roomd.rooms.settings import Rules, Settings
from tests.support.cluster.database import FakeConnection, FakeDatabase
from tests.support.cluster.network import Network
from tests.support.fakes import FakeClock
from tests.support.members import FakeAsker, FakeClient, FakeMember, encode_line
from tests.support.processes import PATIENCE
from tests.support.stage import HOLD, Person, Stage

A = TypeVar("A")

LEASE = 3.0
TURNS = 60
"""The turns of the event loop in which everything that can run has run."""


async def spin(turns: int = TURNS) -> None:
    """Let everything run that can run now."""
    for _ in range(turns):
        await asyncio.sleep(0)


class StagedNode(Stage):
    """One node: its rooms are those of the whole cluster."""

    def __init__(self, cluster: "Cluster", name: str) -> None:
        self.cluster = cluster
        self.name = name
        self.clock = cluster.clock
        self.members: list[FakeMember] = []
        self.database: FakeConnection = cluster.database.connection()
        self.bus = cluster.network.bus()
        self.ids = NodeIds(SHORTEST_CODE)
        self.node = ClusterNode(
            self.database, self.database, self.bus, cluster.clock, self.ids,
            Rules(HOLD, 100, log_events=True), encode_line, name=name, length=LEASE,
            gather=cluster.gather,
        )  # fmt: skip
        self.hub = self.node.rooms  # type: ignore[assignment]  # the same port: the rooms of all nodes
        self.claims = iter(self.ids.new_claim, None)

    def guest(self, name: str = "guest") -> "Viewer":
        return Viewer(self, None, name)

    def user(self, user_id: str) -> "Viewer":
        return Viewer(self, user_id, None)

    def owns(self, room: Room | None = None) -> bool:
        """Whether this node has the room in memory."""
        return self.node.hub.has((room or self.room).code)

    def route(self, code: str) -> Route | None:
        """What the edge knows of a room."""
        return self.node._router.routes.find(code)

    def routed(self) -> Route:
        """What the edge knows of the room."""
        route = self.route(self.room.code)
        assert route is not None
        return route

    def kill(self) -> None:
        """End the process, as `kill -9` does: it sends and hears nothing more."""
        self.database.is_cut = self.bus.is_dead = True
        self.cluster.network.remove(self.name)
        self.cluster.nodes.remove(self)

    def freeze(self) -> None:
        """Cut the node off from the bus and from the database."""
        self.cut_database()
        self.cut_bus()

    def cut_database(self) -> None:
        """Cut the node off from the database alone."""
        self.database.is_cut = True

    def cut_bus(self) -> None:
        """Cut the node off from the bus alone."""
        self.cluster.network.cut.add(self.name)

    def thaw(self) -> None:
        """Connect the node again."""
        self.database.is_cut = False
        self.cluster.network.reconnect(self.name)


class Viewer(Person):
    """A client that knows its room by the library's view of what it was sent."""

    stage: StagedNode

    def __init__(self, stage: StagedNode, user_id: str | None, name: str | None) -> None:
        super().__init__(stage, user_id, name)
        self.view = View()
        self.heard: list[str] = []
        """The types of all frames, in their order."""
        self.texts: list[str] = []
        """The messages of the last state, and those that followed it."""

    def read(self) -> None:
        """Read what was sent."""
        for line in self.take():
            raw = msgspec.json.decode(line)
            self.heard.append(raw["type"])
            if raw["type"] == "room-state":
                self.texts = [message["text"] for message in raw["messages"]]
            elif raw["type"] == "message":
                self.texts.append(raw["message"]["text"])
            frame = decode(line)
            assert frame is not None
            self.view.apply(frame)

    def people(self) -> list[tuple[str, bool]]:
        """The names of the people that it sees in the room, and whether their connections are there."""
        self.read()
        return [(person.display_name, person.is_active) for person in self.view.participants.values()]


def away(three: "Cluster", people: list[Viewer]) -> list[Viewer]:
    """Those whose node does not have the room."""
    return [person for person in people if not person.stage.owns(three.room)]


def names(people: list[tuple[str, bool]]) -> list[str]:
    """The names of people."""
    return [name for name, _ in people]


class Cluster:
    """Three nodes with one room of Alice's for three."""

    def __init__(self, *, is_fenced: bool = True, gather: float = 0.0) -> None:
        self.clock = FakeClock()
        self.gather = gather
        """The least seconds between two messages to the same node; at 0 messages arrive while no time passes."""
        self.network = Network()
        self.database = FakeDatabase(self.clock, is_fenced=is_fenced)
        self.nodes: list[StagedNode] = []
        self.room: Room

    async def open(self, **settings: Any) -> "Cluster":
        for name in "abc":
            await self.start(name)
        await self.pass_time(2 * LEASE)
        self.room = await self.nodes[0].hub.create(Settings(**{"max_participants": 3, **settings}), "alice")
        for node in self.nodes:
            node.room = self.room
        return self

    async def start(self, name: str) -> StagedNode:
        """Start a node."""
        node = StagedNode(self, name)
        self.nodes.append(node)
        await node.node.open()
        if hasattr(self, "room"):
            node.room = self.room
        return node

    async def pass_time(self, seconds: float) -> None:
        """Let time pass, a beat at a time, and everything run that comes due."""
        await spin()
        while seconds > 1e-9:
            step = min(seconds, LEASE / 6)
            seconds -= step
            self.clock.advance(step)
            await spin()

    async def until(self, condition: Callable[[], object]) -> None:
        """Let time pass until a condition holds."""
        async with asyncio.timeout(PATIENCE):
            await spin()
            until = self.clock.seconds + 20 * LEASE
            while not condition():
                assert self.clock.seconds < until, "this takes too long"
                await self.pass_time(0.1)

    async def done(self, *futures: asyncio.Future[None]) -> None:
        """Let time pass until everything asked is answered."""
        await self.until(lambda: all(future.done() for future in futures))
        await spin()

    async def seated(self, *names: str) -> list[Viewer]:
        """People who joined one after another, each at the next node, who have read everything."""
        people = [self.nodes[number % len(self.nodes)].guest(name) for number, name in enumerate(names)]
        for person in people:
            await self.done(person.join())
        for person in people:
            person.read()
        return people

    async def ask(self, command: Command[A], at: int = 0, code: str | None = None) -> A:
        """Put a command before the room at one node, and return the answer. Raises `Refused`."""
        asker: KeptAnswer[A] = KeptAnswer()
        await self.done(self.nodes[at].hub.submit(code or self.room.code, command, asker))
        return asker.get()

    async def relay(self, node: StagedNode, key: str, event: Event) -> str:
        """Relay an event at a node; return `ok`, or the code of the refusal."""
        client = FakeClient()
        rooms: Rooms = node.hub
        relayed = rooms.relay(self.room.code, key, event, FakeAsker(client))
        if relayed is not None:
            await self.done(relayed)
        return client.answers[0]

    def owner(self) -> StagedNode:
        """The node that has the room."""
        (node,) = [node for node in self.nodes if node.owns()]
        return node

    async def close(self) -> None:
        self.network.let_go()
        for node in self.nodes:
            node.database.let_go()
            node.database.is_cut = False
        for node in self.nodes:
            await node.node.close()
            for member in node.members:
                member.check()


@asynccontextmanager
async def cluster(*, is_fenced: bool = True, gather: float = 0.0, **settings: Any) -> AsyncIterator[Cluster]:
    """Three nodes; in the end every member must have been told things in their order."""
    made = await Cluster(is_fenced=is_fenced, gather=gather).open(**settings)
    yield made
    await made.close()
