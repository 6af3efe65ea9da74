"""The faults: each is something that happens to the nodes, the database, the bus or the network for some seconds.

Each returns what it did, in words. What it did is over when it returns, and everything is there again.
"""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from random import Random

from tests.support.cluster.faults.drain import HandOver, drain, hand_over, sitting, stop
from tests.support.cluster.faults.probe import first_answer
from tests.support.cluster.faults.rig import LEASE, NODES, Rig
from tests.support.cluster.faults.wires import Wire
from tests.support.cluster.waiting import until
from tests.support.processes import PATIENCE

DROPPED = 0.05
"""The share of the messages on the bus that is lost."""


class Stage:
    """The cluster, how long a fault lasts, a source of random choices, and what was noticed meanwhile."""

    def __init__(self, rig: Rig, seconds: float, rooms: int, hold: float, random: Random) -> None:
        self.rig = rig
        self.hold = hold
        """The seconds for which the daemons hold a seat."""
        self.rooms = rooms
        """The rooms that are handed over."""
        self.random = random
        self.losses: list[float] = []
        """Seconds from the loss of an owner to the first answer about its room at another node."""
        self.waits: list[tuple[float, float]] = []
        """Times of the monotonic clock between which no commit could be carried out."""
        self.hand_overs: list[HandOver] = []
        """What it took to drain nodes, and to stop them in order."""
        self._ends = time.monotonic() + seconds

    @property
    def goes_on(self) -> bool:
        """Whether the fault goes on."""
        return time.monotonic() < self._ends

    async def rest(self, longest: float) -> None:
        """Let people do what they do, until the fault is to end or for a random time of at most so many seconds."""
        await asyncio.sleep(max(0.0, min(self._ends - time.monotonic(), self.random.uniform(0.2, 1) * longest)))

    async def owner(self) -> tuple[str, str]:
        """Wait until an open room has an owner; return the owner's name, and the code of the room."""
        name, code = await until(self.rig.owned)
        return name, code

    async def taken_from(self, name: str, code: str) -> None:
        """Wait until another node has the room, and note how long its clients waited since now."""
        other = self.random.choice([one for one in NODES if one != name])
        self.losses.append(await first_answer(self.rig.daemons[other], code))

        async def is_taken() -> bool:
            return await self.rig.owner(code) not in ("", name)

        await until(is_taken)


async def kill(stage: Stage) -> str:
    """End the owner by kill -9, and start it again when another node has the room."""
    count = 0
    while not count or stage.goes_on:
        name, code = await stage.owner()
        await asyncio.to_thread(stage.rig.daemons[name].kill)
        await stage.taken_from(name, code)
        await stage.rig.start(name)
        await stage.rest(3)
        count += 1
    return f"{count} times"


async def freeze(stage: Stage) -> str:
    """Stop the owner (SIGSTOP) until another node has the room, and let it go on."""
    count = 0
    while not count or stage.goes_on:
        name, code = await stage.owner()
        stage.rig.signal(name, signal.SIGSTOP)
        try:
            await stage.taken_from(name, code)
            await stage.rest(2 * LEASE)
        finally:
            stage.rig.signal(name, signal.SIGCONT)
        await stage.rig.ready()
        await stage.rest(3)
        count += 1
    return f"{count} times"


async def _hold(stage: Stage, wires: Callable[[str], Sequence[Wire]]) -> str:
    count = 0
    while not count or stage.goes_on:
        name, code = await stage.owner()
        for wire in wires(name):
            wire.hold()
        try:
            await stage.taken_from(name, code)
            await stage.rest(stage.random.choice((LEASE, 8 * LEASE)))
        finally:
            for wire in wires(name):
                wire.let_go()
        await stage.rig.ready()
        await stage.rest(3)
        count += 1
    return f"{count} times"


async def hold_engine(stage: Stage) -> str:
    """Hold what the owner and the database send each other until another node has the room, and let it pass then."""
    return await _hold(stage, lambda name: stage.rig.wires[name].engine)


async def hold_bus(stage: Stage) -> str:
    """Hold what the owner and the bus send each other until another node has the room, and let it pass then."""
    return await _hold(stage, lambda name: stage.rig.wires[name].bus)


async def hold_both(stage: Stage) -> str:
    """Do both."""
    return await _hold(stage, lambda name: stage.rig.wires[name].all)


async def promote(stage: Stage) -> str:
    """Let the primary crash, and make the standby the primary; what has crashed becomes the standby."""
    rig, count = stage.rig, 0
    while not count or stage.goes_on:
        await asyncio.to_thread(rig.engine.crash)
        is_silent = stage.random.random() < 0.5  # as when the whole machine is gone
        gone = [own.engine[rig.engine.servers.index(rig.engine.primary)] for own in rig.wires.values()]
        if is_silent:
            for wire in gone:
                wire.hold()
        try:
            await asyncio.to_thread(rig.engine.promote)
            await rig.ready()
            await stage.rest(3)
        finally:
            for wire in gone:
                wire.let_go()
        await asyncio.to_thread(rig.engine.add_standby)
        await stage.rest(3)
        count += 1
    return f"{count} times"


async def stop_standby(stage: Stage) -> str:
    """Stop the standby: nobody is told anything, until it is back or need not be waited for any more."""
    engine, count = stage.rig.engine, 0
    while not count or stage.goes_on:
        await asyncio.to_thread(engine.stop_standby)

        async def waits() -> int:
            return await asyncio.to_thread(engine.waiting)

        began = time.monotonic()
        await until(waits)
        await stage.rest(2 * LEASE)
        stage.waits.append((began, time.monotonic()))
        if count % 2:
            await asyncio.to_thread(engine.wait_for_standby, is_required=False)
            await stage.rig.ready()
            await stage.rest(3)
        await asyncio.to_thread(engine.start_standby)
        await asyncio.to_thread(engine.wait_for_standby, is_required=True)
        await stage.rig.ready()
        await stage.rest(3)
        count += 1
    return f"{count} times"


async def kill_bus(stage: Stage) -> str:
    """End the servers of the bus, one after another, each when the one before is back."""
    count = 0
    while count < len(stage.rig.bus) or stage.goes_on:
        server = stage.rig.bus[count % len(stage.rig.bus)]
        await asyncio.to_thread(server.stop)
        await stage.rest(2)
        await asyncio.to_thread(server.start)
        await stage.rig.ready()
        count += 1
    return f"{count} servers"


async def lose_messages(stage: Stage) -> str:
    """Lose some of the messages that nodes send each other."""
    wires = [wire for own in stage.rig.wires.values() for wire in own.bus]
    before = sum(wire.lost for wire in wires)

    async def lost_since() -> int:
        return sum(wire.lost for wire in wires) - before

    try:
        for wire in wires:
            wire.share = DROPPED
        while stage.goes_on:
            await stage.rest(PATIENCE)
        lost = await until(lost_since)  # in a short run few are sent
    finally:
        for wire in wires:
            wire.share = 0.0
    return f"{lost} messages"


async def drain_and_stop(stage: Stage) -> str:
    """Drain one node after another and have it take rooms again; then stop one after another in order, and start it
    again: with many rooms that people stay in."""
    rig = stage.rig
    async with sitting(rig, stage.rooms, stage.hold, stage.random):
        for name in NODES:
            stage.hand_overs.append(await hand_over(rig, name, drain))
            await asyncio.to_thread(drain, rig, name, "--undo")
        for name in NODES:
            stage.hand_overs.append(await hand_over(rig, name, stop))
            await rig.start(name)
        while stage.goes_on:
            await stage.rest(PATIENCE)
    return f"{stage.rooms} rooms"


async def end_connections(stage: Stage) -> str:
    """End connections to the database at random, by `pg_terminate_backend`."""
    count = 0
    while not count or stage.goes_on:
        count += await asyncio.to_thread(stage.rig.engine.end_connections, 0.3)
        await stage.rest(0.7)
    await stage.rig.ready()
    return f"{count} connections"


DEEDS: Mapping[str, Callable[[Stage], Awaitable[str]]] = {
    "owner killed": kill,
    "owner frozen": freeze,
    "owner without database": hold_engine,
    "owner without bus": hold_bus,
    "owner without both": hold_both,
    "primary crashed": promote,
    "standby stopped": stop_standby,
    "bus servers killed": kill_bus,
    "bus messages lost": lose_messages,
    "connections ended": end_connections,
    "nodes drained and stopped": drain_and_stop,
}
"""The faults, by their names."""
