"""How many messages a node sends another, and when."""

import pytest

from roomd.cluster import wire
from roomd.cluster.lease import Lease
from roomd.cluster.links import GATHER, LEISURE, Links
from roomd.cluster.ports import Node
from roomd.counters import Counters
from tests.support.cluster.database import FakeDatabase
from tests.support.cluster.stage import away, cluster, spin
from tests.support.fakes import FakeClock

B, C = Node("b", 2), Node("c", 3)


class Sent:
    """A bus that only notes what it is given. It implements what `Links` needs of `cluster.ports.Bus`."""

    lost = 0

    def __init__(self) -> None:
        self.messages: list[tuple[str, list[int]]] = []
        """The names of the receivers, and the numbers of the parts."""

    def send(self, to: str, data: bytes) -> None:
        self.messages.append((to, [part.number for part in wire.decode(data).items if isinstance(part, wire.Report)]))


def links(clock: FakeClock, others: tuple[Node, ...] = (B, C)) -> tuple[Links, Sent]:
    """The links of the node a to nodes that are there."""
    bus, connection = Sent(), FakeDatabase(clock).connection()
    lease = Lease(connection, bus, clock, "a", counters=Counters())  # type: ignore[arg-type]  # nothing else is called
    lease.nodes = {node.generation: node for node in others}
    return Links(bus, lease, clock, GATHER, lambda: 0), bus  # type: ignore[arg-type]


def part(number: int) -> wire.Report:
    return wire.Report(number, 200, b"")


async def test_a_part_is_sent_at_once_to_a_node_that_was_sent_nothing_lately() -> None:
    """At idle nothing waits; and all of one turn of the event loop is one message for each node."""
    clock = FakeClock()
    parts, bus = links(clock)
    for number in range(3):
        parts.post(B, part(number))
        parts.post(C, part(number))
        await spin(2)
        assert bus.messages == [("b", [number]), ("c", [number])]
        bus.messages.clear()
        clock.advance(GATHER)
    for number in range(3):
        parts.post(B, part(number))
    await spin(2)
    assert bus.messages == [("b", [0, 1, 2])]


async def test_under_load_a_node_is_sent_a_message_each_gather_at_most() -> None:
    """Ten thousand parts a second are five hundred messages at most, and each part is there in its order."""
    clock = FakeClock()
    parts, bus = links(clock)
    for number in range(1000):
        parts.post(B, part(number))
        await spin(2)
        clock.advance(0.0001)
    clock.advance(GATHER)
    assert len(bus.messages) <= 1000 * 0.0001 / GATHER + 2
    assert [number for _, numbers in bus.messages for number in numbers] == list(range(1000))


async def test_another_node_does_not_wait_for_it() -> None:
    """A node that was sent a message a moment ago delays nothing for others."""
    clock = FakeClock()
    parts, bus = links(clock)
    parts.post(B, part(1))
    await spin(2)
    parts.post(B, part(2))
    parts.post(C, part(3))
    await spin(2)
    assert bus.messages == [("b", [1]), ("c", [3])]


async def test_what_waits_is_sent_at_the_end() -> None:
    """And only once."""
    clock = FakeClock()
    parts, bus = links(clock)
    for number in (1, 2):
        parts.post(B, part(number))
        await spin(2)
    assert bus.messages == [("b", [1])]
    parts.flush()
    clock.advance(GATHER)
    assert bus.messages == [("b", [1]), ("b", [2])]


async def test_what_nobody_waits_for_waits_longer() -> None:
    """At idle it does not wait. Else it waits for the next message, which takes it along, but not for long."""
    clock = FakeClock()
    parts, bus = links(clock)
    parts.post(B, part(1), at_leisure=True)
    await spin(2)
    assert bus.messages == [("b", [1])]
    parts.post(B, part(2), at_leisure=True)
    clock.advance(GATHER * 2)
    await spin(2)
    assert bus.messages == [("b", [1])]
    parts.post(B, part(3))
    parts.post(B, part(4), at_leisure=True)
    await spin(2)
    assert bus.messages == [("b", [1]), ("b", [2, 3, 4])]
    parts.post(B, part(5), at_leisure=True)
    clock.advance(GATHER * LEISURE)
    assert bus.messages[2:] == [("b", [5])]


async def test_a_part_that_is_waited_for_brings_the_message_forward() -> None:
    """What waits at leisure is sent with it, and not once more later."""
    clock = FakeClock()
    parts, bus = links(clock)
    parts.post(B, part(1))
    await spin(2)
    parts.post(B, part(2), at_leisure=True)
    parts.post(B, part(3))
    clock.advance(GATHER)
    clock.advance(GATHER * LEISURE)
    assert bus.messages == [("b", [1]), ("b", [2, 3])]


async def test_a_part_for_all_takes_no_message_of_its_own() -> None:
    """It goes with what each of the other nodes is sent anyway."""
    clock = FakeClock()
    parts, bus = links(clock)
    parts.post(B, part(1))
    parts.post(C, part(2))
    await spin(2)
    parts.post_all(part(3))
    parts.post(B, part(4))
    clock.advance(GATHER)
    assert bus.messages == [("b", [1]), ("c", [2]), ("b", [3, 4])]
    clock.advance(GATHER * LEISURE)
    assert bus.messages[3:] == [("c", [3])]


async def test_a_node_that_is_gone() -> None:
    """It is sent what waits, in case that it is back, and what it was sent before delays nothing."""
    clock = FakeClock()
    parts, bus = links(clock)
    for number in (1, 2):
        parts.post(B, part(number))
        await spin(2)
    parts.gone(B)
    parts.post(B, part(3))
    await spin(2)
    clock.advance(GATHER)
    assert bus.messages == [("b", [1]), ("b", [2]), ("b", [3])]


async def test_what_is_sent_to_a_node_that_is_gone() -> None:
    """It may be back later, so it is sent; but nothing is remembered of it, which nobody would remove."""
    parts, bus = links(FakeClock(), others=(C,))
    for number in (1, 2):
        parts.post(B, part(number))
        parts.post(C, part(number))
        await spin(2)
    assert bus.messages == [("b", [1]), ("c", [1]), ("b", [2])]


@pytest.mark.parametrize("is_asked", [False, True])
async def test_an_event_goes_with_the_next_answer(is_asked: bool) -> None:
    """A message of others is one that nobody waits for; a client that is answered has it before the answer."""
    async with cluster(gather=GATHER) as three:
        people = await three.seated("ann", "bob", "carol")
        (speaker,) = [person for person in people if person.stage.owns(three.room)]
        listener = away(three, people)[0]
        for _ in range(2):
            three.clock.advance(GATHER * LEISURE)
            await spin()
        for text in ("at once", "soon"):
            speaker.say(text)
            await spin()
        three.clock.advance(GATHER * 2)
        await spin()
        listener.read()
        assert listener.texts == ["at once"]
        if is_asked:
            listener.say("mine")
            await spin()
            three.clock.advance(GATHER)
            await spin()
            three.clock.advance(GATHER)
        else:
            three.clock.advance(GATHER * LEISURE)
        await spin()
        listener.read()
        assert listener.texts == ["at once", "soon", "mine"][: 3 if is_asked else 2]
