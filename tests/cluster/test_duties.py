"""Duties: one node at a time does what is for the whole database, and another one goes on when it is gone."""

import asyncio
from collections import defaultdict

from tests.support.cluster.stage import LEASE, Cluster, StagedNode, spin

DUTY = "something"


class Work:
    """The work of a duty at each node."""

    def __init__(self, three: Cluster, nodes: list[StagedNode] | None = None) -> None:
        self.running: list[str] = []
        """Who does it now."""
        self.begun: defaultdict[str, int] = defaultdict(int)
        self.lost: defaultdict[str, int] = defaultdict(int)
        self.most = 0
        """The most that did it at the same time."""
        self.tasks = {node.name: self.start(node) for node in nodes or three.nodes}

    def start(self, node: StagedNode) -> "asyncio.Task[None]":
        """Have a node do it whenever it may."""
        name = node.name

        async def work() -> None:
            self.running.append(name)
            self.begun[name] += 1
            self.most = max(self.most, len(self.running))
            try:
                await asyncio.Event().wait()
            finally:
                self.running.remove(name)

        def lost() -> None:
            self.lost[name] += 1

        return asyncio.create_task(node.node.duties.perform(DUTY, work, lost))

    async def end(self) -> None:
        for task in self.tasks.values():
            task.cancel()
        await asyncio.wait(self.tasks.values())


def named(three: Cluster, name: str) -> StagedNode:
    return next(node for node in three.nodes if node.name == name)


async def test_one_node_at_a_time(three: Cluster) -> None:
    """The first that may; it keeps the duty."""
    work = Work(three)
    await three.until(lambda: work.running)
    await three.pass_time(3 * LEASE)
    assert (len(work.running), work.most, sum(work.begun.values())) == (1, 1, 1)
    (name,) = work.running
    assert [node.name for node in three.nodes if node.node.duties.has(DUTY)] == [name]
    assert [node.name for node in (await three.nodes[0].database.duties()).values()] == [name]
    await work.end()
    assert work.running == []


async def test_the_node_is_killed(three: Cluster) -> None:
    """Another one begins when its lease is over, and not before."""
    work = Work(three)
    await three.until(lambda: work.running)
    (name,) = work.running
    began = three.clock.seconds
    named(three, name).kill()
    work.tasks.pop(name).cancel()
    await three.until(lambda: work.running)
    assert work.running != [name]
    assert LEASE / 3 < three.clock.seconds - began <= LEASE + LEASE / 3 + 1.0
    assert work.most == 1
    await work.end()


async def test_the_node_is_cut_off(three: Cluster) -> None:
    """It stops before another one begins, and does not begin again when it is back."""
    work = Work(three)
    await three.until(lambda: work.running)
    (name,) = work.running
    node = named(three, name)
    node.freeze()
    await three.until(lambda: work.running != [name])
    assert not node.node.duties.has(DUTY)
    await three.until(lambda: work.running)
    node.thaw()
    await three.pass_time(3 * LEASE)
    assert (work.running == [name], work.most, work.lost[name]) == (False, 1, 1)
    await work.end()


async def test_nobody_has_taken_it_meanwhile(three: Cluster) -> None:
    """The work begins again from its beginning."""
    node = three.nodes[0]
    work = Work(three, [node])
    await three.until(lambda: work.running)
    node.freeze()
    await three.until(lambda: not work.running)
    node.thaw()
    await three.until(lambda: work.running)
    assert (work.begun["a"], work.lost["a"]) == (2, 1)
    await work.end()


async def test_a_node_hands_its_duties_over(three: Cluster) -> None:
    """Another one begins with its next beat; the node does not take them again."""
    work = Work(three)
    await three.until(lambda: work.running)
    (name,) = work.running
    began = three.clock.seconds
    await named(three, name).node.hand_over()
    assert work.running == []
    await three.until(lambda: work.running)
    assert three.clock.seconds - began <= LEASE / 3 + 0.2
    await three.pass_time(2 * LEASE)
    assert (work.running == [name], work.most) == (False, 1)
    await work.end()


async def test_the_duty_is_kept_while_the_work_begins_anew(three: Cluster) -> None:
    """As when an endpoint changes; given up, another node has it."""
    work = Work(three)
    await three.until(lambda: work.running)
    (name,) = work.running
    node = named(three, name)
    work.tasks[name].cancel()
    await asyncio.wait([work.tasks[name]])
    await three.pass_time(2 * LEASE)
    assert work.running == []
    work.tasks[name] = work.start(node)
    await spin()
    assert (work.running, work.lost[name]) == ([name], 0)
    work.tasks[name].cancel()
    await asyncio.wait([work.tasks[name]])
    await node.node.duties.give_up(DUTY)
    assert not node.node.duties.has(DUTY)
    await three.until(lambda: work.running)
    assert work.running != [name]
    await work.end()


async def test_work_that_ends(three: Cluster) -> None:
    """What performs it ends, too; a fault in it is passed on."""

    async def fail() -> None:
        raise ValueError("a fault")

    async def nothing() -> None:
        pass

    duties = three.nodes[0].node.duties
    tasks = [asyncio.create_task(duties.perform(name, work)) for name, work in (("x", fail), ("y", nothing))]
    await three.until(lambda: all(task.done() for task in tasks))
    assert isinstance(tasks[0].exception(), ValueError)
    assert tasks[1].exception() is None
