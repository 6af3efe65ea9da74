"""What holds when nodes, the bus or the database fail: the limit, what was acknowledged, and what everybody sees."""

import msgspec
import pytest

from roomd.cluster import wire
from roomd.protocol.errors import Refused
from roomd.rooms import commands
from tests.support.cluster.stage import LEASE, Cluster, Viewer, away, cluster, names, spin
from tests.support.stage import HOLD, HOST

# Owners that are gone.


async def test_the_owner_dies(three: Cluster) -> None:
    """Its lease runs out and another node takes the room: members elsewhere keep their connections and get an unasked
    state of a new epoch; the seat of the owner's own client is held."""
    people = await three.seated("ann", "bob", "carol")
    owner = three.owner()
    rest = away(three, people)
    dead = next(person for person in people if person not in rest)
    owner.kill()
    began = three.clock.seconds
    asked = rest[0].say("hello", client_id="c1")
    await three.done(asked)
    assert rest[0].answers[-1] == "ok"
    assert three.clock.seconds - began <= LEASE + 1.0, "owner loss to first answer"
    await three.pass_time(1)
    for person in rest:
        seen = dict(person.people())
        assert seen == {str(one.name): one is not dead for one in people}
        assert ("room-state" in person.heard[2:], person.is_open) == (True, True)
        assert person.texts == ["hello"]
    back = three.nodes[0].guest(str(dead.name))
    await three.done(back.resume(dead))
    assert back.seat == dead.seat


async def test_holds_run_out_though_nobody_asks(three: Cluster) -> None:
    """When every node with a client in the room is gone, another one takes the room and gives the seats up."""
    people = await three.seated("ann", "bob", "carol")
    bystander = await three.start("d")
    await three.pass_time(2 * LEASE)
    for person in people:
        person.stage.kill()
    await three.pass_time(3 * LEASE)
    assert bystander.owns()
    await three.pass_time(HOLD)
    listed = await three.ask(commands.ListParticipants(HOST, history=False))
    assert listed.participants == []


async def test_a_seat_that_is_given_when_unattached_ones_are_given_up(three: Cluster) -> None:
    """A hold after an owner has taken a room, it gives up the seats that no edge has attached: not one that is new."""
    await three.seated("ann", "bob")
    three.owner().kill()
    await three.pass_time(HOLD)
    owner = three.owner()
    owner.database.hold()
    newcomer = owner.guest("newcomer")
    joined = newcomer.join()
    await three.pass_time(2 * LEASE)
    owner.database.let_go()
    await three.done(joined)
    await three.pass_time(1)
    assert newcomer.place is not None
    listed = await three.ask(commands.ListParticipants(HOST, history=False))
    assert [one.is_active for one in listed.participants if one.id == newcomer.seat] == [True]


async def test_a_node_that_starts_again_is_another(three: Cluster) -> None:
    """The seats of its clients are held as soon as its earlier run has no lease, and its answers are not mixed up."""
    people = await three.seated("ann", "bob", "carol")
    await three.pass_time(HOLD)
    node = away(three, people)[0].stage
    lost = next(person for person in people if person.stage is node)
    node.kill()
    again = await three.start(node.name)
    await three.pass_time(2 * LEASE)
    other = next(person for person in people if person is not lost)
    assert (str(lost.name), False) in other.people()
    back = again.guest(str(lost.name))
    await three.done(back.resume(lost))
    assert (str(lost.name), True) in other.people()


async def test_a_join_comes_again_with_the_confirmation_of_its_answer(three: Cluster) -> None:
    """It was sent again just before its answer came, in one message with the confirmation: there is no second seat."""
    sent: list[tuple[str, bytes]] = []

    def keep(_: str, to: str, data: bytes) -> bool:
        sent.append((to, data))
        return False

    three.network.loses = keep
    await three.seated("ann", "bob")
    owner = three.owner()
    (message, ask) = next(
        (message, item)
        for message in (wire.decode(data) for to, data in sent if to == owner.name)
        for item in message.items
        if isinstance(item, wire.Ask)
    )
    again = wire.Message(message.sender, message.generation, message.to, ask.number, [ask])
    owner.node.received(wire.encode(again))
    await three.pass_time(1)
    listed = await three.ask(commands.ListParticipants(HOST, history=False))
    assert [one.guest_name for one in listed.participants] == ["ann", "bob"]


# Zombies, and the fence.


async def storm_past_the_lease(three: Cluster) -> tuple[list[Viewer], list[Viewer]]:
    """Freeze the owner while joins wait at its database, fill the room elsewhere, and thaw the owner."""
    await three.seated("ann", "bob")
    owner = three.owner()
    owner.database.hold()
    late = owner.guest("late")
    joining = late.join()
    await owner.database.reached.wait()
    three.network.cut.add(owner.name)
    await three.pass_time(2 * LEASE)
    taker = next(node for node in three.nodes if node is not owner)
    quick = taker.guest("quick")
    await three.done(quick.join())
    assert quick.answers == ["ok"]
    owner.thaw()
    owner.database.let_go()
    await three.done(joining)
    await three.pass_time(1)
    return [late], [quick]


async def test_a_zombie_is_refused(three: Cluster) -> None:
    """What was on its way from a node that lost its lease is not stored, nobody hears of it, and it is routed again."""
    (late,), (quick,) = await storm_past_the_lease(three)
    assert three.database.refused >= 1
    assert three.database.most_seats[three.room.id] == 3
    assert late.answers == ["room_full"]
    assert "late" not in names(quick.people())


async def test_without_the_fence_the_limit_is_passed() -> None:
    """The control: the same run with leases alone."""
    async with cluster(is_fenced=False) as three:
        await storm_past_the_lease(three)
        assert three.database.most_seats[three.room.id] == 4


async def test_a_full_room_is_looked_at_again(three: Cluster) -> None:
    """A node that does not know yet that it lost the room tells nobody that it is full (rule 4)."""
    people = await three.seated("ann", "bob", "carol")
    owner = three.owner()
    inside = next(person for person in people if person.stage is owner)
    await three.done(inside.leave())
    stay = [person for person in people if person is not inside]
    filler = owner.guest("filler")
    await three.done(filler.join())
    version = three.database.owners[three.room.id].version
    # Another node takes the room, though the lease is not over: only the fence can tell the owner.
    taker = stay[0].stage
    three.database.owners[three.room.id] = three.database.owners[three.room.id]._replace(node=None, version=version + 1)
    taker.node.hub.submit(three.room.code, commands.Expire(), Ignored())
    await spin()
    assert owner.owns()
    assert taker.owns()
    taker.node.hub.submit(three.room.code, commands.Leave(stay[0].seat, stay[0].claim), Ignored())
    await spin()
    late = owner.guest("late")
    await three.done(late.join())
    assert late.answers == ["ok"]


class Ignored:
    def answered(self, answer: object) -> None: ...

    def refused(self, refused: Refused) -> None: ...


# The bus.


async def test_a_lost_event_is_made_good_by_the_state(three: Cluster) -> None:
    """The next news shows the gap; the edge asks for the state."""
    people = await three.seated("ann", "bob", "carol")
    owner = three.owner()
    three.network.loses = lambda sender, to, data: sender == owner.name
    inside = next(person for person in people if person.stage is owner)
    await three.done(inside.present(muted=True))
    three.network.loses = lambda sender, to, data: False
    await three.done(inside.present(camera=True))
    await spin()
    for person in people:
        person.read()
        assert person.view.participants[inside.seat].state == {"muted": True, "camera": True}
        assert person.is_open
    assert sum(node.node.counters.resyncs for node in three.nodes) == 2


async def test_a_lost_last_message_shows_by_the_beacon(three: Cluster) -> None:
    """Nothing follows it, but the owner says what was the last."""
    people = await three.seated("ann", "bob", "carol")
    owner = three.owner()
    inside = next(person for person in people if person.stage is owner)
    three.network.loses = lambda sender, to, data: sender == owner.name
    await three.done(inside.present(muted=True))
    three.network.loses = lambda sender, to, data: False
    await three.pass_time(LEASE)
    for person in people:
        person.read()
        assert person.view.participants[inside.seat].state == {"muted": True}


@pytest.mark.parametrize("is_answer", [False, True])
async def test_a_command_is_served_once(three: Cluster, is_answer: bool) -> None:
    """Whether it was lost, or its answer: it is sent again, and the owner knows its number (rule 14)."""
    people = await three.seated("ann", "bob", "carol")
    owner = three.owner()
    sender = away(three, people)[0]
    lost: list[str] = []

    def loses(source: str, to: str, data: bytes) -> bool:
        is_it = (source == owner.name) is is_answer and sender.stage.name in (source, to) and not lost
        if is_it:
            lost.append(source)
        return is_it

    three.network.loses = loses
    await three.done(sender.say("once"))
    assert (len(lost), sender.answers[-1]) == (1, "ok")
    await three.pass_time(LEASE)
    said = three.database.store.said[three.room.id]
    assert [one.message.text for one in said] == ["once"]


@pytest.mark.parametrize("is_answer", [False, True])
async def test_a_join_is_served_once(three: Cluster, is_answer: bool) -> None:
    """Its client gets its seat, and the state as it is when the answer arrives."""
    people = await three.seated("ann", "bob")
    owner = three.owner()
    edge = next(node for node in three.nodes if node is not owner)
    lost: list[str] = []

    def loses(source: str, to: str, data: bytes) -> bool:
        is_it = (source == owner.name) is is_answer and edge.name in (source, to) and not lost
        if is_it:
            lost.append(source)
        return is_it

    three.network.loses = loses
    carol = edge.guest("carol")
    joining = carol.join()
    await spin()
    inside = next(person for person in people if person.stage is not edge)
    await three.done(inside.present(muted=True))
    await three.done(joining)
    assert carol.answers == ["ok"]
    await three.pass_time(LEASE)
    assert names(carol.people()) == ["ann", "bob", "carol"]
    assert carol.view.participants[inside.seat].state == {"muted": True}
    assert len(three.database.seats(three.room.id)) == 3


async def test_messages_for_an_earlier_run_are_not_for_this_one(three: Cluster) -> None:
    """An answer to a number of the earlier run would answer another question."""
    people = await three.seated("ann", "bob", "carol")
    owner = three.owner()
    node = away(three, people)[0].stage
    message = wire.Message(owner.name, owner.node.lease.node.generation, 999, 0, [])
    news = wire.News(three.room.code, 10**6, 1, 3, [], [])
    node.node.received(wire.encode(message))
    node.node.received(wire.encode(msgspec.structs.replace(message, items=[news])))
    assert node.routed().term < 10**6
    node.node.received(b"\xc1 not MessagePack")
    await three.done(people[0].say("still well"))
    assert people[0].answers[-1] == "ok"


# Half of the connections.


@pytest.mark.parametrize("half", ["bus", "database"])
async def test_a_half_cut_node_lets_go(three: Cluster, half: str) -> None:
    """A node that reaches only the bus, or only the database, has no lease any more, and others take its rooms; its own
    client is disconnected to come back elsewhere, or is there again when the node is."""
    people = await three.seated("ann", "bob", "carol")
    owner = three.owner()
    rest = away(three, people)
    if half == "bus":
        three.network.cut.add(owner.name)
    else:
        owner.database.is_cut = True
    await three.pass_time(2 * LEASE)
    assert not owner.owns()
    assert not owner.node.lease.is_held
    assert owner.hub.problems()
    await three.done(rest[0].say("we go on", client_id="c"))
    assert rest[0].answers[-1] == "ok"
    assert three.owner() is not owner
    owner.thaw()
    await three.pass_time(3 * LEASE)
    assert owner.hub.problems() == []
    inside = next(person for person in people if person.stage is owner)
    assert inside.closes == [1013], "its seat is held: it resumes"
    back = owner.guest("back")
    await three.done(back.resume(inside))
    assert names(back.people()) == ["ann", "bob", "carol"]


async def test_nobody_claims_who_was_connected_a_moment_ago(three: Cluster) -> None:
    """A node that was cut off, or has just started, takes no room for the time of a lease (rule 6)."""
    for node in list(three.nodes):
        node.kill()
    await three.pass_time(2 * LEASE)
    late = await three.start("d")
    asked = late.hub.submit(three.room.code, commands.GetRoom(HOST), Ignored())
    await three.pass_time(LEASE - 0.5)
    assert not asked.done()
    await three.pass_time(LEASE)
    assert asked.done()


# Commits in doubt.


@pytest.mark.parametrize("is_stored", [False, True])
async def test_a_join_in_doubt(three: Cluster, is_stored: bool) -> None:
    """The room is loaded again under a higher version, and the join is answered by what is found: one seat (rule 7)."""
    await three.seated("ann", "bob")
    owner = three.owner()
    for node, name in ((owner, "carol"), (next(node for node in three.nodes if node is not owner), "dave")):
        owner.database.doubts = is_stored
        newcomer = node.guest(name)
        await three.done(newcomer.join())
        assert newcomer.answers == ["ok"]
        await three.pass_time(1)
        assert len(three.database.seats(three.room.id)) == 3
        await three.done(newcomer.leave())


async def test_a_message_in_doubt(three: Cluster) -> None:
    """With a client id it is stored once; without one it may have been stored, so the client is not told 503 as if
    nothing was changed."""
    people = await three.seated("ann", "bob", "carol")
    owner = three.owner()
    sender = people[0]
    for is_stored in (True, False):
        owner.database.doubts = is_stored
        await three.done(sender.say(f"stored: {is_stored}", client_id=f"c{is_stored}"))
        assert sender.answers[-1] == "ok"
    await three.pass_time(1)
    texts = [one.message.text for one in three.database.store.said[three.room.id]]
    assert texts == ["stored: True", "stored: False"]
    owner.database.doubts = True
    await three.done(sender.say("who knows"))
    sender.read()
    assert sender.answers[-1] == "unavailable"


async def test_without_the_database(three: Cluster) -> None:
    """What cannot be stored is refused, and nothing is told; when the database is back, so is the room."""
    people = await three.seated("ann", "bob", "carol")
    for node in three.nodes:
        node.database.is_cut = True
    await three.done(people[0].say("lost"), people[1].say("lost, too"))
    assert [person.answers[-1] for person in people[:2]] == ["unavailable"] * 2
    for node in three.nodes:
        node.database.is_cut = False
    await three.pass_time(3 * LEASE)
    again = three.nodes[0].guest("again")
    await three.done(again.join())
    for person in people:
        person.read()
        assert "message" not in person.heard
