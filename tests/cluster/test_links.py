"""How many messages a node sends others, and when."""

import pytest

from roomd.cluster import wire
from roomd.cluster.lease import Lease
from roomd.cluster.links import BUSY, FEW, GATHER, MOST_BYTES, Links
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
    return Links(bus, lease, clock, GATHER, lambda _: 0), bus  # type: ignore[arg-type]


def part(number: int, size: int = 0) -> wire.Report:
    return wire.Report(number, 200, bytes(size))


async def test_at_idle_nothing_waits() -> None:
    """All of one turn of the event loop is one message for each node, however little time has passed."""
    clock = FakeClock()
    parts, bus = links(clock)
    for number in range(3):
        parts.awaits(FEW)
        parts.post(B, part(number))
        parts.post(C, part(number))
        await spin(2)
        assert bus.messages == [("b", [number]), ("c", [number])]
        bus.messages.clear()
    for number in range(3):
        parts.post(B, part(number), can_wait=True)
    clock.advance(GATHER)
    await spin(2)
    assert bus.messages == [("b", [0, 1, 2])]


async def test_under_load_a_node_is_sent_a_message_each_gather_at_most() -> None:
    """Ten thousand parts a second are fifty messages at most, and each part is there in its order."""
    clock = FakeClock()
    parts, bus = links(clock)
    for number in range(1000):
        parts.awaits(FEW + 1)
        parts.post(B, part(number))
        await spin(2)
        clock.advance(0.0001)
    clock.advance(GATHER)
    assert len(bus.messages) <= 1000 * 0.0001 / GATHER + 2
    assert [number for _, numbers in bus.messages for number in numbers] == list(range(1000))


async def test_the_load_is_over_a_moment_after_few_answers_are_awaited() -> None:
    """So a load that varies is not one of many messages now and then."""
    clock = FakeClock()
    parts, bus = links(clock)
    parts.awaits(FEW + 1)
    parts.post(B, part(1))
    await spin(2)
    for number in range(2, 5):
        parts.post(B, part(number))
        await spin(2)
        assert bus.messages[-1] == ("b", [number - 1])
        clock.advance(GATHER)
        await spin(2)
        assert bus.messages[-1] == ("b", [number])
    clock.advance(BUSY)
    for number in (5, 6):
        parts.post(B, part(number))
        await spin(2)
        assert bus.messages[-1] == ("b", [number])


async def test_what_waits_goes_with_what_cannot_wait() -> None:
    """For other nodes too: so one timer serves all of them."""
    clock = FakeClock()
    parts, bus = links(clock)
    parts.post(B, part(1), can_wait=True)
    await spin(2)
    parts.post(C, part(2), can_wait=True)
    parts.post(B, part(3), can_wait=True)
    await spin(2)
    assert bus.messages == [("b", [1])]
    parts.post(B, part(4))
    parts.post(B, part(5), can_wait=True)
    await spin(2)
    assert bus.messages == [("b", [1]), ("c", [2]), ("b", [3, 4, 5])]
    clock.advance(GATHER)
    await spin(2)
    assert len(bus.messages) == 3


async def test_what_nobody_waits_for_waits_for_the_next_message() -> None:
    """But not for long; and when nothing was sent lately, it does not wait."""
    clock = FakeClock()
    parts, bus = links(clock)
    parts.post(B, part(1), can_wait=True)
    await spin(2)
    assert bus.messages == [("b", [1])]
    parts.post(B, part(2), can_wait=True)
    clock.advance(GATHER * 0.9)
    await spin(2)
    assert bus.messages == [("b", [1])]
    clock.advance(GATHER * 0.1)
    assert bus.messages == [("b", [1]), ("b", [2])]


async def test_what_waits_is_sent_at_the_end() -> None:
    """And only once."""
    clock = FakeClock()
    parts, bus = links(clock)
    for number in (1, 2):
        parts.post(B, part(number), can_wait=True)
        await spin(2)
    assert bus.messages == [("b", [1])]
    parts.flush()
    clock.advance(GATHER)
    await spin(2)
    assert bus.messages == [("b", [1]), ("b", [2])]
    parts.flush()
    assert len(bus.messages) == 2


async def test_a_part_for_all_takes_no_message_of_its_own() -> None:
    """It goes with what each of the other nodes is sent meanwhile, in the same turn too; what is sent is not later."""
    clock = FakeClock()
    parts, bus = links(clock)
    parts.post_all(part(1))
    await spin(2)
    assert bus.messages == []
    parts.post(B, part(2))
    await spin(2)
    assert bus.messages == [("b", [1, 2]), ("c", [1])]
    parts.post_all(part(3))
    clock.advance(GATHER)
    assert bus.messages[2:] == [("b", [3]), ("c", [3])]


async def test_parts_that_are_too_large_for_one_message() -> None:
    """They are several messages, in their order; one part is never two."""
    parts, bus = links(FakeClock())
    sizes = [MOST_BYTES // 2, MOST_BYTES // 3, MOST_BYTES // 3, 2 * MOST_BYTES, 1]
    for number, size in enumerate(sizes):
        parts.post(B, part(number, size))
    await spin(2)
    assert bus.messages == [("b", [0, 1]), ("b", [2]), ("b", [3]), ("b", [4])]


async def test_a_part_that_has_no_encoding() -> None:
    """Its node is not sent the message, as if the bus had lost it. The others are sent theirs."""
    parts, bus = links(FakeClock())
    parts.post(B, wire.Report(1, object(), b""))  # type: ignore[arg-type]  # as a mistake in the code would make it
    parts.post(C, part(2))
    await spin(2)
    parts.post(B, part(3))
    await spin(2)
    assert bus.messages == [("c", [2]), ("b", [3])]


@pytest.mark.parametrize("is_asked", [False, True])
async def test_an_event_goes_with_the_next_answer(is_asked: bool) -> None:
    """A message of others is one that nobody waits for; a client that is answered has it before the answer."""
    async with cluster(gather=GATHER) as three:
        people = await three.seated("ann", "bob", "carol")
        (speaker,) = [person for person in people if person.stage.owns(three.room)]
        listener = away(three, people)[0]
        await three.pass_time(2 * BUSY)
        for text in ("at once", "soon"):
            speaker.say(text)
            await spin()
        listener.read()
        assert listener.texts == ["at once"]
        if is_asked:
            listener.say("mine")
        else:
            three.clock.advance(GATHER)
        await spin()
        listener.read()
        assert listener.texts == ["at once", "soon", "mine"][: 3 if is_asked else 2]


@pytest.mark.parametrize("count", [FEW, FEW + 3])
async def test_commands_wait_for_each_other_when_they_are_many(count: int) -> None:
    """Those of few clients are answered without any time; of more, all are with the next messages."""
    async with cluster(gather=GATHER) as three:
        people = await three.seated("ann", "bob", "carol")
        speaker = away(three, people)[0]
        await three.pass_time(2 * BUSY)
        speaker.answers.clear()
        for number in range(count):
            speaker.say(f"text {number}")
            await spin(1)
        await spin()
        assert speaker.answers == ["ok"] * min(count, FEW)
        for _ in range(2):  # to the owner, and back
            three.clock.advance(GATHER)
            await spin()
        assert speaker.answers == ["ok"] * count


async def test_answers_wait_for_each_other_when_they_are_many() -> None:
    """A node that has asked much is told nothing more right after its owner has sent something."""
    async with cluster(gather=GATHER) as three:
        people = await three.seated("ann", "bob", "carol")
        (inside,) = [person for person in people if person.stage.owns(three.room)]
        speaker = away(three, people)[0]
        await three.pass_time(2 * BUSY)
        speaker.answers.clear()
        await three.done(inside.say("hello"))
        for number in range(FEW + 3):
            speaker.say(f"text {number}")
        await spin()
        assert speaker.answers == []
        three.clock.advance(GATHER)
        await spin()
        assert speaker.answers == ["ok"] * (FEW + 3)
