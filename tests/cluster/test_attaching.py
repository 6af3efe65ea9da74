"""What holds when the node of a client attaches its seat to the owner of the room again.

The client may join again on the same connection meanwhile. Then the owner gets both, and may serve either first.
"""

from roomd.protocol.errors import Close
from tests.support.cluster.stage import LEASE, Cluster, away, spin
from tests.support.stage import Person


def claim_of(three: Cluster, person: Person) -> int | None:
    """The claim with which somebody's seat is stored."""
    (claim,) = [seat.claim for seat in three.database.seats(three.room.id) if seat.participant.id == person.seat]
    return claim


async def test_a_join_while_the_owner_is_lost(three: Cluster) -> None:
    """Who joins again keeps seat and connection: nobody else has taken the seat over."""
    people = await three.seated("ann", "bob", "carol")
    rest = away(three, people)
    seats = [person.seat for person in rest]
    three.owner().kill()
    await three.done(*(person.join() for person in rest))
    await three.pass_time(1)
    assert [(person.answers, person.closes, person.seat) for person in rest] == [
        (["ok", "ok"], [], seat) for seat in seats
    ]
    await three.done(rest[0].say("hello"))
    for person in rest:
        assert (len(person.people()), person.texts) == (3, ["hello"])


async def test_a_join_whose_answer_was_lost_with_the_owner(three: Cluster) -> None:
    """The join is stored already when the earlier sitting is attached to the next owner: it was this connection."""
    people = await three.seated("ann", "bob", "carol")
    (person, _), owner = away(three, people), three.owner()
    before, edge = person.claim, person.stage.name
    three.network.loses = lambda sender, to, data: (sender, to) == (owner.name, edge)
    person.join()
    await three.until(lambda: claim_of(three, person) != before)
    owner.kill()
    three.network.loses = lambda sender, to, data: False
    await three.until(lambda: len(person.answers) == 2)
    await three.pass_time(1)
    assert (person.answers, person.closes, claim_of(three, person)) == (["ok", "ok"], [], person.claim)


async def test_a_join_that_never_comes_and_another_connection(three: Cluster) -> None:
    """If another connection has taken the seat over meanwhile, the first one is ended when its own join is answered."""
    await three.seated("ann", "bob")
    owner, edge = three.owner(), three.nodes[2]
    assert owner is not edge
    first, second = edge.user("dora"), owner.user("dora")
    await three.done(first.join())
    three.network.loses = lambda sender, to, data: (sender, to) == (edge.name, owner.name)
    first.join()
    await three.done(second.join())
    await three.until(lambda: len(first.answers) == 2)
    three.network.loses = lambda sender, to, data: False
    await three.pass_time(1)
    assert (first.answers, first.closes) == (["ok", "unavailable"], [Close.TAKEN_OVER])
    assert (second.closes, claim_of(three, second)) == ([], second.claim)


async def test_an_attachment_that_the_bus_repeats(three: Cluster) -> None:
    """If it is refused the second time, because the database does not answer, the client keeps its seat."""
    people = await three.seated("ann", "bob", "carol")
    (person, _), owner = away(three, people), three.owner()
    inside = next(one for one in people if one.stage is owner)
    three.network.loses = lambda sender, to, data: sender == owner.name
    await three.done(inside.present(muted=True))
    sent: list[bytes] = []

    def keep(sender: str, to: str, data: bytes) -> bool:
        sent.extend([data] if (sender, to) == (person.stage.name, owner.name) else [])
        return False

    three.network.loses = keep
    await three.until(lambda: sent)
    await spin()
    person.read()
    assert person.view.participants[inside.seat].state == {"muted": True}
    owner.database.is_cut = True
    for data in sent:
        owner.node.received(data)
    await spin()
    owner.database.is_cut = False
    await three.pass_time(LEASE)
    await three.done(inside.say("hello"))
    await three.pass_time(1)
    person.read()
    assert (person.answers, person.closes, person.texts) == (["ok"], [], ["hello"])
