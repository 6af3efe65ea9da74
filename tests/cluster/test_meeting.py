"""A meeting on three nodes: what people ask at one node is served by the owner, and everybody hears the same."""

import math

import msgspec
import pytest

from roomd.protocol.errors import Refused
from roomd.protocol.events import SignalEvent
from roomd.rooms import commands
from roomd.rooms.model import Caller
from roomd.rooms.settings import Settings
from tests.support.cluster.stage import Cluster, spin
from tests.support.stage import HOLD, HOST

SIGNAL = SignalEvent(sender="somebody", data=msgspec.Raw(b"{}"))


async def test_people_at_three_nodes_see_each_other(three: Cluster) -> None:
    """One node has the room; the others forward what is asked, and get the events."""
    people = await three.seated("ann", "bob", "carol")
    assert [node.owns() for node in three.nodes].count(True) == 1
    for person in people:
        assert person.people() == [("ann", True), ("bob", True), ("carol", True)]
    late = three.nodes[1].guest("dave")
    await three.done(late.join())
    assert late.answers == ["room_full"]
    await three.done(people[2].say("hello"))
    for person in people:
        person.read()
        assert [message.text for message in person.view.messages] == ["hello"]


async def test_who_leaves_is_told_of(three: Cluster) -> None:
    """The one who leaves gets the answer and nothing more; a drop holds the seat, and its hold runs out."""
    ann, bob, carol = await three.seated("ann", "bob", "carol")
    await three.pass_time(HOLD)
    await three.done(carol.leave())
    bob.drop()
    await three.pass_time(1)
    assert ann.people() == [("ann", True), ("bob", False)]
    assert carol.heard[-1] != "participants-changed"
    await three.pass_time(HOLD)
    assert ann.people() == [("ann", True)]


async def test_nothing_is_kept_of_who_has_left(three: Cluster) -> None:
    """A node forgets the seat, and at the owner's node there is nothing more to know of the room."""
    for person in await three.seated("ann", "bob", "carol"):
        await three.done(person.leave())
        route = person.stage.route(three.room.code)
        assert (route is None) == person.stage.owns()
        assert route is None or not route.seats


async def test_a_resume_at_another_node(three: Cluster) -> None:
    """A token is good everywhere; the connection that had the seat is told that it is taken over."""
    ann, bob, _ = await three.seated("ann", "bob", "carol")
    back = three.nodes[2].guest("bob")
    await three.done(back.resume(bob))
    assert (bob.closes, back.seat) == ([4409], bob.seat)
    assert ("bob", True) in ann.people()
    assert not three.nodes[1].routed().seats, "the edge has forgotten the seat"


async def test_a_queue_across_nodes(three: Cluster) -> None:
    """Who waits is told the place, and later the seat or the refusal, wherever the host is."""
    await three.ask(commands.UpdateRoom(HOST, Settings(waiting_room=True)))
    ann, bob = three.nodes[1].guest("ann"), three.nodes[2].guest("bob")
    for person in (ann, bob):
        await three.done(person.join())
    assert bob.said() == [("waiting", 2, "waiting_room")]
    await three.ask(commands.Admit(HOST, ann.seat), at=0)
    assert ann.people() == [("ann", True)]
    assert bob.said() == [("waiting", 1, "waiting_room")]
    await three.ask(commands.Deny(HOST, bob.seat), at=0)
    assert bob.answers[-1] == "denied"
    assert bob.place is None


async def test_the_end_of_a_room(three: Cluster) -> None:
    """Everybody hears it, and whoever comes then is told so; a deleted room is unknown everywhere."""
    ann, bob, carol = await three.seated("ann", "bob", "carol")
    await three.ask(commands.EndRoom(HOST), at=1)
    for person in (ann, bob, carol):
        assert person.said()[-1] == ("room-ended", 4), person.name
    late = three.nodes[2].guest("dave")
    await three.done(late.join())
    assert late.answers == ["room_inactive"]
    await three.ask(commands.DeleteRoom(HOST), at=2)
    for node in three.nodes:
        late = node.guest("dave")
        await three.done(late.join())
        assert late.answers == ["room_not_found"]


async def test_a_code_without_a_room(three: Cluster) -> None:
    """It is answered at once, and nothing is remembered of it."""
    for node in three.nodes:
        with pytest.raises(Refused) as caught:
            await three.ask(commands.GetRoom(HOST), at=three.nodes.index(node), code="zzz-zzz-zzz")
        assert caught.value.kind.code == "room_not_found"
        assert node.route("zzz-zzz-zzz") is None


async def test_signals_between_nodes(three: Cluster) -> None:
    """They reach the one participant; for one who is not there the sender is told 404."""
    ann, bob, carol = await three.seated("ann", "bob", "carol")
    for node in three.nodes:
        assert await three.relay(node, bob.seat, SIGNAL) == "ok"
        assert await three.relay(node, "nobody", SIGNAL) == "participant_not_found"
    assert (ann.said(), bob.said(), carol.said()) == ([], ["signal"] * 3, [])


async def test_who_reads_slowly_gets_the_state(three: Cluster) -> None:
    """Events that were left out at the edge are replaced by a state, which its owner sends."""
    people = await three.seated("ann", "bob", "carol")
    for slow in people:
        other = next(person for person in people if person is not slow)
        slow.is_full = True
        await three.done(other.say("left out"))
        slow.is_full = False
        slow.stage.hub.refresh(three.room.code, slow.seat, slow.sitting)
        await spin()
        (state,) = slow.frames()
        assert state["messages"][-1]["text"] == "left out"
        for person in people:
            person.read()


async def test_a_second_seat_of_a_connection(three: Cluster) -> None:
    """The gateway unsubscribes the first and gives it up; the edge sends nothing more for it."""
    _, bob, carol = await three.seated("ann", "bob", "carol")
    bob.stage.hub.unsubscribe(three.room.code, bob.seat, bob.sitting)
    await three.done(carol.say("not for bob"))
    assert bob.said() == []
    bob.stage.hub.leave(three.room.code, bob.seat, bob.claim, "took-another-room")
    await three.pass_time(1)
    assert [name for name, _ in carol.people()] == ["ann", "carol"]


async def test_one_message_for_each_edge_and_batch(three: Cluster) -> None:
    """Forty people at one node hear of a message by one message on the bus."""
    await three.ask(commands.UpdateRoom(HOST, Settings(max_participants=50)))
    owner = three.owner()
    edge = next(node for node in three.nodes if node is not owner)
    people = [edge.guest(f"guest {number}") for number in range(40)]
    await three.done(*(person.join() for person in people))
    here = owner.guest("ann")
    await three.done(here.join())
    before = three.network.delivered
    await three.done(here.say("hello"))
    assert three.network.delivered == before + 1
    for person in people:
        assert ("message", "hello") in person.said()
    before = three.network.delivered
    await three.done(*(person.say("all at once") for person in people))
    assert three.network.delivered == before + 2, "one message there, and one back"


async def test_numbers_of_more_than_64_bits(three: Cluster) -> None:
    """Metadata may have them. At other nodes than the owner's they are floats, as in every client in JavaScript."""
    large = {"id": 2**70, "ids": [-(2**70), 10**400, 1], "mine": True}
    floats = {"id": 2.0**70, "ids": [-(2.0**70), math.inf, 1], "mine": True}
    await three.ask(commands.GetRoom(HOST))
    owner = three.owner()
    named, other = (owner.guest(name) for name in ("ann", "bob"))
    named.caller = lambda: Caller(None, None, None, "", metadata=large)  # type: ignore[method-assign]
    await three.done(named.join(), other.join())
    await three.ask(commands.UpdateRoom(HOST, Settings(metadata=large)), at=three.nodes.index(owner))
    await owner.node.hand_over()
    await three.pass_time(1)
    assert not owner.owns()
    await three.done(other.say("still here"))
    other.read()
    assert other.texts == ["still here"]
    assert [one.metadata for one in other.view.participants.values()] == [large, msgspec.UNSET]
    elsewhere = three.nodes.index(owner)
    found = await three.ask(commands.GetRoom(HOST), at=elsewhere)
    changed = await three.ask(commands.UpdateRoom(HOST, Settings(metadata=large)), at=elsewhere)
    assert found.room is not None
    assert (found.room.metadata, changed.metadata) == (floats, floats)
