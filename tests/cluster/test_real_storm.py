"""The storm of `test_storms.py` on PostgreSQL and NATS: their connections are cut at random, and messages are lost.

The nodes are in this process, so that it knows what each client was told.
"""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from roomd.cluster.claims import NodeIds
from roomd.cluster.nats import NatsBus, NatsSettings
from roomd.cluster.node import ClusterNode
from roomd.config import DatabaseConfig
from roomd.engine.ports import Rooms
from roomd.protocol.objects import Room
from roomd.protocol.text import SHORTEST_CODE
from roomd.rooms.settings import Rules, Settings
from roomd.storage.postgresql.node_opening import NodeStorage, open_node_storage
from roomd.system.clock import Clock
from tests.support.cluster.stage import StagedNode, Viewer
from tests.support.members import FakeMember, encode_line
from tests.support.nats import NatsServer, running
from tests.support.postgresql import Server
from tests.support.processes import PATIENCE

LEASE = 1.0
HOLD = 2.0
LIMIT = 4
SECONDS = 12.0
_CUT = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
_SEATED = """
    SELECT guest_name, is_active FROM participants WHERE left_at IS NULL AND waits_for IS NULL ORDER BY id
"""


class LossyBus(NatsBus):
    """NATS, on which a share of the messages is lost."""

    share = 0.0

    def send(self, to: str, data: bytes) -> None:
        if random.random() >= self.share:
            super().send(to, data)


class RealNode(StagedNode):
    """One node on a real database and bus, with the machine's clock."""

    def __init__(self, name: str, storage: NodeStorage, nats: NatsServer) -> None:
        self.name = name
        self.members: list[FakeMember] = []
        self.storage = storage
        self.lossy = LossyBus(NatsSettings([nats.url]))
        self.ids = NodeIds(SHORTEST_CODE)
        self.node = ClusterNode(
            storage.rooms, storage.owners, self.lossy, Clock(), self.ids,
            Rules(HOLD, 100, log_events=True), encode_line, name=name, length=LEASE,
        )  # fmt: skip
        self.hub = self.node.rooms  # type: ignore[assignment]  # the same port: the rooms of all nodes
        self.claims = iter(self.ids.new_claim, None)


@contextlib.asynccontextmanager
async def opened(url: str, nats: NatsServer) -> AsyncIterator[list[RealNode]]:
    """Run three nodes with one room."""
    nodes = [RealNode(name, await open_node_storage(DatabaseConfig(url=url)), nats) for name in "abc"]
    try:
        for node in nodes:
            await node.node.open()
        rooms: Rooms = nodes[0].hub
        room: Room = await rooms.create(Settings(max_participants=LIMIT), "alice")
        for node in nodes:
            node.room = room
        yield nodes
    finally:
        for node in nodes:
            await node.node.close()
            await node.storage.close()


async def visit(node: RealNode, number: int, people: list[Viewer], acknowledged: set[str]) -> None:
    """Come, say something and leave, again and again, as long as the connection is there."""
    rng = random.Random(number)
    person = node.guest(f"guest {number}")
    people.append(person)
    await person.join()
    for turn in range(rng.randrange(1, 8)):
        if person.place is None or not person.is_open:
            break
        text = f"{number} {turn}"
        before = len(person.answers)
        await person.say(text, client_id=text)
        if person.answers[before:] == ["ok"]:
            acknowledged.add(text)
        await asyncio.sleep(rng.random() / 20)
    if person.place is not None and person.is_open and rng.random() < 0.8:
        people.remove(person)
        await person.leave()


@pytest.mark.long
async def test_a_storm(tmp_path: Path, postgresql: Server) -> None:
    """The limit holds at every moment, what was acknowledged is stored once, and everybody sees the same in the end."""
    url = postgresql.create()
    with running(tmp_path) as nats:
        async with opened(url, nats) as nodes, asyncio.timeout(2 * PATIENCE):
            people: list[Viewer] = []
            acknowledged: set[str] = set()
            loop = asyncio.get_running_loop()
            end, number, visits = loop.time() + SECONDS, 0, set[asyncio.Task[None]]()
            while loop.time() < end:
                number += 1
                visits.add(asyncio.create_task(visit(nodes[number % 3], number, people, acknowledged)))
                visits = {one for one in visits if not one.done()}
                await asyncio.sleep(0.02)
                seats = int(postgresql.run_sql("SELECT count(*) FROM participants WHERE left_at IS NULL", url))
                assert seats <= LIMIT
                if number % 40 == 0:
                    postgresql.run_sql(_CUT, url)
                for node in nodes:
                    node.lossy.share = 0.05
            for node in nodes:
                node.lossy.share = 0.0
            await asyncio.gather(*visits)
            stored = postgresql.run_sql("SELECT text FROM messages ORDER BY id", url).splitlines()
            assert len(stored) == len(set(stored))
            assert acknowledged <= set(stored)
            assert len(acknowledged) > 20
            assert sum(node.node.counters.resyncs for node in nodes) > 0, "messages were lost"
            await calm(postgresql, url, people)


async def calm(postgresql: Server, url: str, people: list[Viewer]) -> None:
    """Wait until every client that is there sees the room as it is stored."""
    while True:
        rows = [row.split("|") for row in postgresql.run_sql(_SEATED, url).splitlines()]
        expected = [(name, is_active == "t") for name, is_active in rows]
        here = [person for person in people if person.place is not None and person.is_open]
        if all(person.people() == expected for person in here) and all(
            (str(one.name), True) in expected for one in here
        ):
            return
        await asyncio.sleep(0.2)
