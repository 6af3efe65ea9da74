"""What a client is answered at once where the other nodes have little to do, whatever was before."""

import asyncio
from collections.abc import Callable
from functools import partial

from roomd.cluster.links import BUSY, FEW, GATHER
from roomd.engine.askers import IgnoringAsker
from roomd.rooms import commands
from roomd.rooms.settings import Settings
from tests.support.cluster.stage import Cluster, StagedNode, Viewer, away, cluster, spin
from tests.support.stage import HOST

SEVERAL = 2 * FEW


async def answered(*asks: Callable[[], asyncio.Future[None]]) -> bool:
    """Whether each of them is answered without any time, one after another."""
    for ask in asks:
        future = ask()
        await spin()
        if not future.done():
            return False
    return True


def says(person: Viewer) -> list[Callable[[], asyncio.Future[None]]]:
    """Several messages of one person."""
    return [partial(person.say, "hello")] * SEVERAL


async def seated(three: Cluster, stage: StagedNode, name: str) -> Viewer:
    """Somebody else at a node."""
    person = stage.guest(name)
    await three.done(person.join())
    return person


async def test_a_client_that_comes_and_goes() -> None:
    """Its answers are never more than few, though the node confirms each with the next request only."""
    async with cluster(gather=GATHER, max_participants=9) as three:
        people = await three.seated("ann", "bob", "carol")
        stage = away(three, people)[0].stage
        await three.pass_time(2 * BUSY)
        for number in range(SEVERAL):
            guest = stage.guest(f"guest {number}")
            assert await answered(guest.join)
            stage.hub.confirm(three.room.code, guest.seat, guest.claim)
            assert await answered(partial(guest.say, "hello"), guest.leave)


async def test_a_client_that_is_gone_before_its_node_has_the_state_for_it() -> None:
    """Nobody waits for the state any more, so it makes nobody else wait."""
    async with cluster(gather=GATHER, max_participants=9) as three:
        people = await three.seated("ann", "bob", "carol")
        person = away(three, people)[0]
        other = await seated(three, person.stage, "dan")
        await three.pass_time(2 * BUSY)
        person.stage.hub.refresh(three.room.code, person.seat, person.sitting)
        person.drop()
        await three.pass_time(2 * BUSY)
        assert await answered(*says(other))


async def test_a_node_that_asks_nothing_more() -> None:
    """It has not confirmed the answers that it got last, but nobody waits for them."""
    async with cluster(gather=GATHER, max_participants=9) as three:
        people = await three.seated("ann", "bob", "carol")
        crowd, quiet = away(three, people)
        await three.done(*(ask() for ask in says(crowd)))
        await three.pass_time(2 * BUSY)
        remove = commands.RemoveParticipant(HOST, crowd.seat, ban=False, reason=None)
        await three.ask(remove, at=three.nodes.index(three.owner()))
        assert await answered(lambda: quiet.say("hello"))


async def test_an_owner_that_does_not_answer() -> None:
    """As long as few wait for it, others answer at once."""
    async with cluster(gather=GATHER, max_participants=9) as three:
        people = await three.seated("ann", "bob", "carol")
        person = away(three, people)[0]
        third = away(three, people)[1].stage
        far = await third.hub.create(Settings(), "alice")
        assert await three.ask(commands.GetRoom(HOST), at=three.nodes.index(third), code=far.code)
        stage = person.stage
        assert await three.ask(commands.GetRoom(HOST), at=three.nodes.index(stage), code=far.code)
        await three.pass_time(2 * BUSY)
        three.network.loses = lambda sender, to, data: third.name in (sender, to)
        hanging = stage.hub.submit(far.code, commands.GetRoom(HOST), IgnoringAsker())
        await spin()
        assert await answered(*says(person))
        assert not hanging.done()
        three.network.loses = lambda sender, to, data: False
        await three.done(hanging)
