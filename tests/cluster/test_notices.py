"""What every node is told of the database, at the same time as it happens."""

from collections import Counter
from collections.abc import Callable

from roomd.cluster.notices import DELETED, GATHER, LOGGED, REWRITTEN
from roomd.rooms.commands import DeleteRoom
from tests.support.cluster.stage import Cluster, StagedNode, spin
from tests.support.stage import HOST

Heard = Counter[tuple[str, str]]


def heard(three: Cluster) -> Heard:
    """Count what each node is told from now on."""
    counted: Heard = Counter()

    def counts(node: StagedNode, what: str) -> Callable[[], None]:
        return lambda: counted.update([(node.name, what)])

    for node in three.nodes:
        for what in (LOGGED, REWRITTEN):
            node.node.notices.on(what, counts(node, what))
        node.hub.when_deleted(counts(node, DELETED))
    return counted


async def test_events_are_told_to_the_other_nodes(three: Cluster) -> None:
    """With the next message; what is committed a moment later is told together."""
    await three.pass_time(1.0)
    counted = heard(three)
    people = [node.guest(node.name) for node in three.nodes]
    await three.done(people[0].join())
    others = {(node.name, LOGGED) for node in three.nodes if node is not three.owner()}
    assert counted == dict.fromkeys(others, 1)
    for person in people[1:]:
        person.join()
        await spin()
    assert counted == dict.fromkeys(others, 1)
    three.clock.advance(GATHER)
    await spin()
    assert counted == dict.fromkeys(others, 2)


async def test_a_deleted_room_is_told_of(three: Cluster) -> None:
    """So that the node which deletes its rows begins, wherever it is."""
    counted = heard(three)
    await three.ask(DeleteRoom(HOST))
    three.clock.advance(GATHER)
    await spin()
    assert {key for key in counted if key[1] == DELETED} == {(node.name, DELETED) for node in three.nodes}


async def test_what_only_a_newer_node_knows(three: Cluster) -> None:
    """It is left out."""
    counted = heard(three)
    three.nodes[0].node.notices.tell("something else")
    three.nodes[0].node.notices.tell(REWRITTEN)
    three.clock.advance(GATHER)
    await spin()
    assert counted == {("b", REWRITTEN): 1, ("c", REWRITTEN): 1}
