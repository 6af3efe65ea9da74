"""What a node counts of its work with others."""

from roomd.counters import Histogram
from tests.support.cluster.stage import Cluster, away, spin


def count(histogram: Histogram) -> int:
    return sum(histogram.counts)


async def test_forwarded_commands_and_their_seconds(three: Cluster) -> None:
    """Each that another node has answered, from when it was asked; none that this one has answered."""
    people = await three.seated("ann", "bob", "carol")
    owner = three.owner()
    assert count(owner.node.counters.forwarded) == 0
    for person in away(three, people):
        counted = person.stage.node.counters.forwarded
        before, total = count(counted), counted.total
        assert before == 1  # the join
        three.network.hold()
        asked = person.say("hello")
        await spin()
        three.clock.advance(0.25)
        three.network.let_go()
        await three.done(asked)
        assert (count(counted), counted.total) == (before + 1, total + 0.25)


async def test_appends_that_are_refused(three: Cluster) -> None:
    """Those that the fence did not allow, and not those in doubt."""
    people = await three.seated("ann", "bob", "carol")
    owner = three.owner()
    owner.database.doubts = True
    await three.done(away(three, people)[0].say("hello", client_id="1"))
    assert owner.node.counters.fenced == 0
    owner = three.owner()
    row = three.database.owners[three.room.id]
    three.database.owners[three.room.id] = row._replace(version=row.version + 1)  # as if another node had it meanwhile
    await three.done(people[0].say("hello", client_id="2"))
    assert (owner.node.counters.fenced, three.database.refused) == (1, 1)


async def test_the_bus_is_timed_with_each_beat(three: Cluster) -> None:
    """While it answers."""
    node = three.nodes[0]
    before = count(node.node.counters.bus)
    await three.pass_time(3.0)
    assert count(node.node.counters.bus) == before + 3
    node.cut_bus()
    await three.pass_time(3.0)
    assert count(node.node.counters.bus) == before + 3
