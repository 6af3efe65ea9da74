"""Nodes that give their rooms up: on purpose, because another process has their name, and what becomes of seats."""

import asyncio

import pytest

from roomd.cluster import wire
from roomd.cluster.links import FEW, GATHER
from roomd.rooms.commands import GetRoom
from roomd.rooms.settings import Settings
from tests.support.cluster.stage import LEASE, Cluster, away, cluster, names, spin
from tests.support.processes import PATIENCE
from tests.support.stage import HOLD, HOST


async def test_a_node_hands_its_rooms_over(three: Cluster) -> None:
    """Without waiting for a lease; its own clients keep their connections, and their seats (rule 15)."""
    people = await three.seated("ann", "bob", "carol")
    owner = three.owner()
    appends = sum(node.database.appends for node in three.nodes)
    began = three.clock.seconds
    await owner.node.hand_over()
    await three.done(*(person.say("hello", client_id=str(person.name)) for person in people))
    assert three.clock.seconds - began < 1.0
    assert three.owner() is not owner
    assert sum(node.database.appends for node in three.nodes) - appends <= 10
    for person in people:
        person.read()
        assert (person.answers[-1], person.is_open) == ("ok", True)
        assert dict(person.people()) == {"ann": True, "bob": True, "carol": True}
        assert len(person.texts) == 3


async def test_a_node_stops(three: Cluster) -> None:
    """Others have its rooms at once, and hold the seats of its clients."""
    people = await three.seated("ann", "bob", "carol")
    owner = three.owner()
    rest = away(three, people)
    await owner.hub.drain()
    await owner.node.close()
    three.nodes.remove(owner)
    began = three.clock.seconds
    await three.done(rest[0].say("hello", client_id="c"))
    assert (rest[0].answers[-1], three.clock.seconds - began <= 1.0) == ("ok", True)
    await three.pass_time(LEASE)
    assert [is_active for _, is_active in rest[0].people()].count(False) == 1


async def test_another_process_takes_the_name(three: Cluster) -> None:
    """The one before serves nothing more."""
    people = await three.seated("ann", "bob", "carol")
    owner = three.owner()
    rest = away(three, people)
    await three.database.connection().register(owner.name, "", LEASE)
    await three.pass_time(LEASE)
    assert not owner.node.lease.is_held
    assert not owner.owns()
    await three.done(rest[0].say("hello", client_id="c"))
    assert rest[0].answers[-1] == "ok"


async def test_seats_that_nobody_attaches(three: Cluster) -> None:
    """The seats of a live edge stay connected, and are given up when it has not attached them for as long as a seat is
    held (rule 11)."""
    people = await three.seated("ann", "bob", "carol")
    owner = three.owner()
    rest = away(three, people)
    lost = rest[0]
    lost.stage.node._router.forget(three.room.code, lost.claim)  # as if its connection ended unseen
    owner.kill()
    await three.pass_time(3 * LEASE)
    assert (str(lost.name), True) in rest[1].people()
    await three.pass_time(HOLD)
    assert str(lost.name) not in names(rest[1].people())
    assert str(rest[1].name) in names(rest[1].people())


async def test_rooms_are_given_up_while_others_are(three: Cluster) -> None:
    """As when the lease is over while the node is drained. Each room is released in the database first, and then the
    edges are told, so that the next node has it without waiting for a lease."""
    people = await three.seated("ann", "bob", "carol")
    owner = three.owner()
    other = await owner.hub.create(Settings(), "alice")
    await three.ask(GetRoom(HOST), at=three.nodes.index(owner), code=other.code)
    assert owner.owns(other)
    told: list[tuple[str, bool]] = []

    def listen(_: str, to: str, data: bytes) -> bool:
        released = [item.code for item in wire.decode(data).items if isinstance(item, wire.Released)]
        told.extend((code, three.database.owner_of(three.room.id) is None) for code in released)
        return False

    three.network.loses = listen
    owner.database.hold()
    people[0].say("hello", client_id="c")
    await spin()
    first = asyncio.create_task(owner.node._owner.give_up([three.room.code]))
    await spin()
    again = asyncio.create_task(owner.node._owner.give_up([three.room.code]))
    async with asyncio.timeout(PATIENCE):
        await owner.node._owner.give_up([other.code])
    assert (three.database.owner_of(other.id), told) == (None, [])
    owner.database.let_go()
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(first, again)
    await spin()
    assert told == [(three.room.code, True)] * 2
    await three.done(*(person.say("hello", client_id=f"d-{person.name}") for person in people))
    assert [person.answers[-1] for person in people] == ["ok"] * 3


async def test_what_an_owner_keeps_of_runs_that_are_over(three: Cluster) -> None:
    """One number for each name of an edge, and not for each of its runs."""
    await three.seated("ann", "bob", "carol")
    owner = three.owner()
    edge = next(node for node in three.nodes if node is not owner)
    for number in range(3):
        edge.kill()
        edge = await three.start(edge.name)
        await three.pass_time(2 * LEASE + HOLD)
        guest = edge.guest(f"guest {number}")
        await three.done(guest.join())
        assert guest.answers == ["ok"]
        await three.done(guest.leave())
        await three.pass_time(LEASE)
    assert three.owner() is owner
    assert len(owner.node._owner._forgotten) == len(three.nodes) - 1
    (chain,) = owner.node._owner._chains.values()
    assert len(chain) == len({run.name for run in chain})


async def test_a_node_that_is_gone_is_sent_nothing(three: Cluster) -> None:
    """Where its clients were, the beats of the owner tell it nothing more."""
    people = await three.seated("ann", "bob", "carol")
    gone = away(three, people)[0].stage
    gone.kill()
    await three.pass_time(3 * LEASE)
    sent: list[str] = []

    def keep(_: str, to: str, data: bytes) -> bool:
        sent.append(to)
        return False

    three.network.loses = keep
    await three.pass_time(2 * LEASE)
    assert sent
    assert gone.name not in sent


@pytest.mark.parametrize("is_planned", [True, False])
async def test_under_load(is_planned: bool) -> None:
    """What waits for others holds up neither a hand-over, within ten commits, nor the next owner of a dead one."""
    async with cluster(gather=GATHER) as three:
        people = await three.seated("ann", "bob", "carol")
        owner, rest = three.owner(), away(three, people)
        appends, began = sum(node.database.appends for node in three.nodes), three.clock.seconds
        asked = [person.say("hello", client_id=str(person.name)) for person in rest]
        handing = asyncio.create_task(owner.node.hand_over()) if is_planned else None
        if not is_planned:
            owner.kill()
        while not all(future.done() for future in asked):
            for node in three.nodes:
                node.node._links.awaits(FEW + 1)
            await three.pass_time(GATHER)
            assert three.clock.seconds - began < (0.5 if is_planned else LEASE + 1)
        assert [person.answers[-1] for person in rest] == ["ok"] * 2
        assert three.owner() is not owner
        if handing is not None:
            assert await handing == 1
            assert sum(node.database.appends for node in three.nodes) - appends <= 10
