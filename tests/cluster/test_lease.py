"""When a node knows that it holds its lease, and that another one does not hold its own any more."""

import asyncio
from collections.abc import Mapping

from roomd.cluster.lease import LENGTH, MARGIN, Lease
from roomd.cluster.ports import Held, Node
from tests.support.cluster.database import FakeConnection, FakeDatabase
from tests.support.cluster.network import Network
from tests.support.cluster.stage import spin
from tests.support.fakes import FakeClock

STEP = 0.01


class SlowConnection(FakeConnection):
    """A database that answers a beat when the test says so."""

    def __init__(self, database: FakeDatabase) -> None:
        super().__init__(database)
        self.answers = asyncio.Event()
        self.answers.set()

    async def beat(self, node: Node, lease: float, *, is_leaving: bool = False) -> Mapping[Node, Held]:
        found = await super().beat(node, lease, is_leaving=is_leaving)
        await self.answers.wait()
        return found


class Two:
    """The leases of two nodes, whose beats are not at the same time."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        database, network = FakeDatabase(self.clock), Network()
        self.connections = {name: SlowConnection(database) for name in "ab"}
        self.leases = {name: Lease(one, network.bus(), self.clock, name) for name, one in self.connections.items()}

    async def open(self) -> None:
        for lease in self.leases.values():
            await lease.open()
            await self.pass_time(LENGTH / 6)

    async def pass_time(self, seconds: float) -> None:
        for _ in range(round(seconds / STEP)):
            self.clock.advance(STEP)
            await spin(5)

    async def close(self) -> None:
        for connection in self.connections.values():
            connection.answers.set()
        for lease in self.leases.values():
            await lease.close()


async def test_a_node_that_is_gone_is_known_at_once() -> None:
    """Its rooms may be claimed when its lease is over, so others look then, not only at their next beat."""
    two = Two()
    await two.open()
    await two.pass_time(2 * LENGTH)
    gone: list[float] = []
    two.leases["b"].on_gone = lambda node: gone.append(two.clock.seconds)
    over = two.leases["a"]._until
    two.connections["a"].is_cut = True
    await two.pass_time(LENGTH + 1)
    assert len(gone) == 1
    assert over <= gone[0] <= over + MARGIN + 3 * STEP
    await two.close()


async def test_an_answer_that_comes_late() -> None:
    """A beat that is answered after L renews nothing: who was cut off for so long claims nothing before another L."""
    two = Two()
    await two.open()
    await two.pass_time(2 * LENGTH)
    lease, connection = two.leases["a"], two.connections["a"]
    assert lease.can_claim
    connection.answers.clear()
    await two.pass_time(3 * LENGTH)
    assert not lease.is_held
    connection.answers.set()
    await spin(5)
    assert not lease.is_held
    assert not lease.can_claim
    await two.pass_time(LENGTH / 3 + STEP)
    assert lease.is_held
    assert not lease.can_claim
    await two.pass_time(LENGTH)
    assert lease.can_claim
    await two.close()
