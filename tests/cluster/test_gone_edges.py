"""What holds when an edge is taken for gone, or gives up, while its clients ask: one person has one seat, or none."""

from roomd.rooms import commands
from roomd.rooms.model import Seat
from tests.support.cluster.network import Loses
from tests.support.cluster.stage import LEASE, Cluster, StagedNode, Viewer, names, spin
from tests.support.members import FakeAsker
from tests.support.stage import HOLD

CONNECTED, HELD = True, False


def places(three: Cluster) -> list[Seat]:
    """The seats of the room, as they are stored."""
    return three.database.seats(three.room.id)


def people(three: Cluster) -> list[tuple[str, bool]]:
    """The names of those who have a seat, and whether their connections are there."""
    return [(str(seat.participant.guest_name), seat.participant.is_active) for seat in places(three)]


def loses_all(source: StagedNode, to: StagedNode) -> Loses:
    """Lose what one node sends to another one."""
    return lambda sender, receiver, data: (sender, receiver) == (source.name, to.name)


def loses_nothing(sender: str, to: str, data: bytes) -> bool:
    return False


async def joining_without_answer(three: Cluster) -> tuple[StagedNode, Viewer]:
    """Ann and Bob have seats. Carol has asked for one at another node than the owner's, and has got it, and nobody was
    told of that. Return the owner and Carol."""
    await three.seated("ann", "bob")
    owner, edge = three.owner(), three.nodes[2]
    assert edge is not owner
    three.network.loses = loses_all(owner, edge)
    carol = edge.guest("carol")
    carol.join()
    await spin()
    assert (people(three)[2:], carol.answers) == ([("carol", CONNECTED)], [])
    return owner, carol


async def taken_for_gone(three: Cluster, edge: StagedNode) -> None:
    """Cut an edge off until the owner of the room holds the seat of the last one who came."""
    edge.freeze()
    await three.until(lambda: places(three)[-1].claim is None)


async def test_a_join_is_served_once_though_its_edge_was_taken_for_gone(three: Cluster) -> None:
    """The owner holds the seats of the edge, and forgets what it was told. When the edge is there again, it sends its
    join again: Carol gets the seat that she has."""
    _, carol = await joining_without_answer(three)
    (seat,) = places(three)[2:]
    await taken_for_gone(three, carol.stage)
    three.network.loses = loses_nothing
    carol.stage.thaw()
    await three.until(lambda: carol.answers)
    assert (carol.answers, carol.seat) == (["ok"], seat.participant.id)
    await three.pass_time(1)
    assert people(three) == [("ann", CONNECTED), ("bob", CONNECTED), ("carol", CONNECTED)]
    assert names(carol.people()) == ["ann", "bob", "carol"]


async def test_a_refusal_is_the_last_word_though_the_edge_was_taken_for_gone(three: Cluster) -> None:
    """Who was told that the room is full has no seat after it, though the join comes once more, from a network that
    had kept it, and there is a free seat by then."""
    inside = await three.seated("ann", "bob", "carol")
    owner, edge = three.owner(), three.nodes[2]
    sent: list[bytes] = []

    def keep(_: str, to: str, data: bytes) -> bool:
        sent.extend([data] if to == owner.name else [])
        return False

    three.network.loses = keep
    late = edge.guest("late")
    await three.done(late.join())
    assert late.answers == ["room_full"]
    joining = list(sent)
    await taken_for_gone(three, edge)
    three.network.loses = loses_all(edge, owner)  # nothing that it sends after that
    edge.thaw()
    await three.pass_time(LEASE)
    await three.done(next(person for person in inside if person.stage is owner).leave())
    for data in joining:
        owner.node.received(data)
    await three.pass_time(1)
    assert "late" not in names(people(three))


async def test_a_join_in_doubt_whose_seat_is_held(three: Cluster) -> None:
    """The owner that has served a join is killed. The next one holds the seat, because the lease of the edge is over,
    too: the join that is sent there finds the seat nevertheless."""
    owner, carol = await joining_without_answer(three)
    (seat,) = places(three)[2:]
    owner.kill()
    carol.stage.freeze()
    await three.done(three.nodes[0].hub.submit(three.room.code, commands.Expire(), FakeAsker()))
    assert people(three)[2:] == [("carol", HELD)]
    carol.stage.thaw()
    await three.until(lambda: carol.answers)
    assert (carol.answers, carol.seat) == (["ok"], seat.participant.id)
    assert people(three)[2:] == [("carol", CONNECTED)]


async def test_a_guest_joins_again_whose_seat_is_held(three: Cluster) -> None:
    """A guest asks again for the room where they sit, at the moment at which their node is there again, whose rooms
    another one has taken: they get their own seat, and no second one."""
    (ann,) = await three.seated("ann")
    owner = ann.stage
    assert owner is three.owner()
    (seat,) = places(three)
    owner.freeze()
    await three.done(three.nodes[1].hub.submit(three.room.code, commands.Expire(), FakeAsker()))
    assert people(three) == [("ann", HELD)]
    again = ann.join()
    owner.thaw()
    await three.done(again)
    assert (ann.answers, ann.seat) == (["ok", "ok"], seat.participant.id)
    await three.pass_time(1)
    assert people(three) == [("ann", CONNECTED)]


async def test_a_seat_that_nobody_was_told_of_is_held(three: Cluster) -> None:
    """An edge gives up a join whose answer never came. The seat that came of it is held, and then given up."""
    _, carol = await joining_without_answer(three)
    await three.until(lambda: carol.answers)
    assert carol.answers == ["unavailable"]
    assert people(three)[2:] == [("carol", HELD)]
    three.network.loses = loses_nothing
    await three.pass_time(HOLD)
    assert people(three) == [("ann", CONNECTED), ("bob", CONNECTED)]


async def test_an_edge_that_dies_while_its_join_waits(three: Cluster) -> None:
    """The owner takes the edge for gone while the join waits for its batch: the seat that comes of it is held."""
    ann, *_ = await three.seated("ann", "bob")
    owner, edge = three.owner(), three.nodes[2]
    assert ann.stage is owner
    owner.database.hold()
    ann.present(muted=True)
    await owner.database.reached.wait()
    edge.guest("carol").join()
    await spin()
    edge.kill()
    await three.pass_time(2 * LEASE)
    owner.database.let_go()
    await spin()
    assert people(three)[2:] == [("carol", HELD)]


async def test_a_seat_that_is_given_and_held_in_one_moment(three: Cluster) -> None:
    """Who is given it by a node that is taken for gone is shown with it, and told then that it is lost."""
    ann, *_ = await three.seated("ann", "bob")
    owner, edge = three.owner(), three.nodes[2]
    owner.database.hold()
    ann.present(muted=True)
    await owner.database.reached.wait()
    carol = edge.guest("carol")
    joining = carol.join()
    await spin()
    edge.cut_database()
    await three.pass_time(2 * LEASE)
    owner.database.let_go()
    await three.done(joining)
    await three.until(lambda: carol.closes)
    assert (carol.answers, carol.closes) == (["ok"], [1013])
    assert people(three)[2:] == [("carol", HELD)]
    assert ("carol", CONNECTED) in carol.people()


async def test_a_message_of_a_dead_edge_comes_late(three: Cluster) -> None:
    """Nothing is done for an edge that has no lease: nobody would hold the seat when it is lost."""
    await three.seated("ann", "bob")
    owner, edge = three.owner(), three.nodes[2]
    sent: list[bytes] = []

    def keep(_: str, to: str, data: bytes) -> bool:
        sent.extend([data] if to == owner.name else [])
        return to == owner.name

    three.network.loses = keep
    edge.guest("carol").join()
    await spin()
    edge.kill()
    three.network.loses = loses_nothing
    await three.pass_time(2 * LEASE)
    for data in sent:
        owner.node.received(data)
    await three.pass_time(1)
    assert names(people(three)) == ["ann", "bob"]
