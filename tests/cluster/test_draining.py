"""`roomd cluster drain`: a node gives its rooms up, and stays an edge; what operators ask of other nodes."""

import asyncio

import msgspec
import pytest

from roomd.admin.cluster import ClusterOperations
from roomd.admin.server import run_operation
from roomd.engine.peers import Answer, NoAnswer, NobodyElse
from roomd.protocol import admin
from roomd.rooms.commands import GetRoom
from roomd.rooms.settings import Settings
from tests.support.cluster.stage import LEASE, Cluster, StagedNode, spin
from tests.support.stage import HOST


async def test_rooms_come_to_other_nodes_and_not_back(three: Cluster) -> None:
    """Nobody is disconnected; people of the drained node are in their rooms, too."""
    people = await three.seated("ann", "bob", "carol")
    owner = three.owner()
    assert await owner.node.peers.hand_over() == 1
    await three.pass_time(LEASE)
    assert owner.hub.problems() == ["drained: other nodes have its rooms"]
    for person in people:
        await three.done(person.say("hello"))
        assert (person.is_open, person.answers[-1]) == (True, "ok")
    assert three.owner() is not owner
    await three.pass_time(2 * LEASE)
    assert three.owner() is not owner


async def test_who_asks_next_is_told(three: Cluster) -> None:
    """That a node is drained, or takes rooms again, is stored when the operator has the answer."""
    node = three.nodes[0].node
    await node.peers.hand_over()
    assert [peer.is_drained for peer in await three.nodes[1].node.peers.all()] == [True, False, False]
    await node.peers.take_rooms()
    assert not any(peer.is_drained for peer in await three.nodes[1].node.peers.all())


async def test_a_room_is_made_at_a_drained_node(three: Cluster) -> None:
    """Another node has it as soon as somebody comes, wherever they come."""
    node = three.nodes[0]
    await node.node.peers.hand_over()
    await three.pass_time(LEASE)
    for at in range(3):
        room = await node.hub.create(Settings(), "alice")
        found = await three.ask(GetRoom(HOST), at=at, code=room.code)
        assert found.room is not None
        assert found.room.code == room.code
        assert not node.owns(room)


async def test_rooms_that_are_not_in_memory(three: Cluster) -> None:
    """They are given up, too."""
    room = await three.nodes[0].hub.create(Settings(), "alice")
    assert three.database.owner_of(room.id) == three.nodes[0].node.lease.node
    await three.nodes[0].node.hand_over()
    assert three.database.owner_of(room.id) is None


async def test_many_rooms(three: Cluster) -> None:
    """Each of them rests for a moment, and not for as long as all of them take."""
    node = three.nodes[0]
    rooms = [await node.hub.create(Settings(), "alice") for _ in range(120)]
    for room in rooms:
        await three.ask(GetRoom(HOST), code=room.code)
    await three.pass_time(1)
    appends = sum(one.database.appends for one in three.nodes)
    assert await node.node.peers.hand_over() >= 120
    for room in rooms:
        await three.ask(GetRoom(HOST), at=1, code=room.code)
    assert sum(one.database.appends for one in three.nodes) - appends <= 10 * len(rooms)


async def test_nobody_else_takes_rooms(three: Cluster) -> None:
    """The last node is not drained; one that is told to takes rooms again."""
    first, second, third = three.nodes
    for node in (first, second):
        await node.node.peers.hand_over()
        await three.pass_time(LEASE)
    with pytest.raises(NobodyElse):
        await third.node.peers.hand_over()
    await three.ask(GetRoom(HOST))
    assert three.owner() is third
    await first.node.peers.take_rooms()
    await three.pass_time(LEASE)
    await third.node.peers.hand_over()
    await three.ask(GetRoom(HOST), at=1)
    assert three.owner() is first
    assert first.hub.problems() == []


async def test_all_others_are_gone(three: Cluster) -> None:
    """A drained node takes rooms as long as nobody else is there."""
    first = three.nodes[0]
    await first.node.peers.hand_over()
    for node in three.nodes[1:]:
        node.kill()
    await three.pass_time(2 * LEASE)
    await three.ask(GetRoom(HOST))
    assert first.owns()


def operations_of(node: StagedNode) -> ClusterOperations:
    """The operations of a node, with a status of its own."""
    name = node.name

    def status(_: bytes) -> admin.Status:
        return admin.Status(
            version=f"1.{name}", pid=1, started_at="", is_draining=False, rooms=1, members=2, connections=3,
            strangers=0, limit=9, memory=0, database="", addresses=[], log_level="info",
        )  # fmt: skip

    def skip(body: bytes) -> admin.Done:
        node.skipped.append(msgspec.json.decode(body, type=admin.WebhookMove).name)  # type: ignore[attr-defined]
        return admin.Done()

    node.skipped = []  # type: ignore[attr-defined]
    local = {"GET /status": status, "POST /webhooks/skip": skip}
    made = ClusterOperations(local, node.node.peers, list)
    node.node.orders.serve = made.serve
    return made


async def run(three: Cluster, operations: ClusterOperations, operation: str, order: object = None) -> Answer:
    """Run an operation, and let time pass meanwhile."""
    body = msgspec.json.encode(order) if order is not None else b""
    task = asyncio.create_task(run_operation(operations.operations[operation], body))
    await three.until(task.done)
    return Answer(task.result().status_code, bytes(task.result().body))


async def status(three: Cluster, operations: ClusterOperations) -> dict[str, admin.NodeStatus]:
    """The nodes in `roomd status`."""
    answer = await run(three, operations, "GET /status")
    return {node.name: node for node in msgspec.json.decode(answer.body, type=admin.Status).nodes}


async def test_the_status_of_all_nodes(three: Cluster) -> None:
    """From any of them; one that does not answer is said to, and one that is lost."""
    operations = [operations_of(node) for node in three.nodes]
    for one in operations:
        found = await status(three, one)
        assert {name: (node.state, node.version, node.connections) for name, node in found.items()} == {
            name: ("serving", f"1.{name}", 3) for name in "abc"
        }
        assert all(node.lease_age <= LEASE for node in found.values())
    assert sum(node.owned for node in found.values()) == 1
    await three.nodes[1].node.peers.hand_over()
    await three.pass_time(LEASE)
    assert (await status(three, operations[0]))["b"].state == "drained"
    three.network.loses = lambda sender, to, data: sender == "c" and to == "a"
    found = await status(three, operations[0])
    assert (found["c"].state, found["c"].version) == ("no answer", None)
    three.network.loses = lambda sender, to, data: False
    three.nodes[2].kill()
    await three.pass_time(2 * LEASE)
    assert (await status(three, operations[0]))["c"].state == "lost"


async def test_the_database_is_away(three: Cluster) -> None:
    """The nodes are those of the last beat."""
    operations = [operations_of(node) for node in three.nodes]
    three.nodes[0].cut_database()
    found = await status(three, operations[0])
    assert {name: node.state for name, node in found.items()} == dict.fromkeys("abc", "serving")


async def test_an_order_for_another_node(three: Cluster) -> None:
    """Any node drains any other, or says why not."""
    operations = [operations_of(node) for node in three.nodes]
    answer = await run(three, operations[0], "POST /cluster/drain", admin.DrainNode(node="c"))
    assert (answer.status, three.nodes[2].node.lease.is_leaving) == (200, True)
    answer = await run(three, operations[1], "POST /cluster/drain", admin.DrainNode(node="c", is_drained=False))
    assert (answer, three.nodes[2].node.lease.is_leaving) == ((200, b'{"rooms":0}'), False)
    answer = await run(three, operations[0], "POST /cluster/drain", admin.DrainNode(node="x"))
    assert (answer.status, b"the nodes are: a, b, c" in answer.body) == (400, True)
    for name in "ab":
        await run(three, operations[2], "POST /cluster/drain", admin.DrainNode(node=name))
        await three.pass_time(LEASE)
    answer = await run(three, operations[0], "POST /cluster/drain", admin.DrainNode(node="c"))
    assert (answer.status, b"c: there is no other node" in answer.body) == (400, True)


async def test_only_some_operations_are_for_other_nodes(three: Cluster) -> None:
    """Not the configuration, nor a connection."""
    for node in three.nodes:
        operations_of(node)
    task = asyncio.create_task(three.nodes[0].node.peers.ask("b", "POST /reload"))
    await three.until(task.done)
    assert task.result().status == 404


async def test_the_node_that_pushes_moves_an_endpoint(three: Cluster) -> None:
    """Whichever node is asked."""
    operations = [operations_of(node) for node in three.nodes]
    await three.nodes[1].database.take_duties(["webhook backend"], three.nodes[1].node.lease.node)
    order = admin.WebhookMove(name="backend", position="latest")
    assert (await run(three, operations[0], "POST /webhooks/skip", order)).status == 200
    assert [node.skipped for node in three.nodes] == [[], ["backend"], []]  # type: ignore[attr-defined]


async def test_a_node_ends_while_it_is_asked(three: Cluster) -> None:
    """Who asks is told that there is no answer, at once."""
    three.network.loses = lambda sender, to, data: True
    began = three.clock.seconds
    asked = [asyncio.create_task(three.nodes[0].node.peers.ask("b", "GET /status")) for _ in range(2)]
    await spin()
    three.nodes[0].node.absent("b")
    await three.until(lambda: all(task.done() for task in asked))
    assert three.clock.seconds == began
    for task in asked:
        assert isinstance(task.exception(), NoAnswer)
