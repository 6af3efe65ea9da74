"""How many messages a node sends another, and when."""

from roomd.cluster import wire
from roomd.cluster.lease import Lease
from roomd.cluster.links import GATHER, Links
from roomd.cluster.ports import Node
from roomd.counters import Counters
from tests.support.cluster.database import FakeDatabase
from tests.support.cluster.stage import spin
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


def links(clock: FakeClock) -> tuple[Links, Sent]:
    """The links of the node a."""
    bus, connection = Sent(), FakeDatabase(clock).connection()
    lease = Lease(connection, bus, clock, "a", counters=Counters())  # type: ignore[arg-type]  # nothing else is called
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
