"""One run: people act while the daemon and the readers are killed; then each record is compared with the table."""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import NamedTuple

from tests.support.daemon import PATIENT, Daemon, faults
from tests.support.processes import PATIENCE, free_port
from tests.support.readers import endpoint, follow
from tests.support.readers.check import find_faults
from tests.support.readers.people import Person, World
from tests.support.readers.processes import ReaderProcess
from tests.support.readers.truth import Restart, Truth, find_lost, read_truth
from tests.support.receiver import OK, endpoints, setting

DOWN = "webhook-is-down"
"""The endpoint that is down for a while."""
TROUBLES = {"webhook-500": ("500", 0.1), "webhook-hangs": ("hang", 0.01), "webhook-late": ("late", 0.01)}
"""How endpoints do badly: in the words of `tests.support.receiver`, and for how many of the requests."""
SERVED = 0.01
"""Seconds in which a daemon has served a request that is about to be sent, more or less."""
LOOK = 0.1
"""Seconds between two looks at the records."""


class Plan(NamedTuple):
    """How much, how long, how often."""

    seed: int
    actions: int
    people: int
    pause: float
    """Seconds between two actions of a person, on average."""
    hold: float
    """Seconds for which a seat is held, at most 3: then a guest's is held for as long."""
    kill: int
    """Actions between two ends of the daemon, on average."""
    kill_reader: int
    """Actions between two ends of a reader, on average."""
    down: float
    """Seconds for which one endpoint is down."""
    rooms: int = 20


class Outcome(NamedTuple):
    """What came of it."""

    figures: dict[str, object]
    wrong: list[str]
    """What must not be."""


class Readers:
    """All readers of a daemon, whose records are in a folder."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        self._folder = folder
        served = {"webhook": (OK, 0.0), DOWN: (OK, 0.0), **TROUBLES}
        ports = {name: free_port() for name in served}
        urls = {name: f"http://127.0.0.1:{port}/" for name, port in ports.items()}
        self.settings = {
            **PATIENT,
            **setting(endpoints(folder, **urls)),
            "ROOMD_ROOMS_SEAT_HOLD": str(plan.hold),
            "ROOMD_WEBHOOKS_TIMEOUT": "1",
            "ROOMD_WEBHOOKS_RETRY_FIRST": "0.05",
            "ROOMD_WEBHOOKS_RETRY_LONGEST": "1",
        }
        """What the daemon must be started with."""
        self.all = [
            self._reader(name, endpoint.__name__, str(ports[name]), how, str(odds))
            for name, (how, odds) in served.items()
        ]

    def start(self, daemon: Daemon) -> None:
        """Start them."""
        token = daemon.token("backend", ttl=86_400, roomd={"admin": True})
        self.all += [self._reader(kind, follow.__name__, kind, str(daemon.port), token) for kind in follow.KINDS]
        for reader in self.all:
            reader.start()

    async def be_killed(self, world: World, plan: Plan, random: Random) -> None:
        """Kill all, one after another and in random order, again and again; start each again at once."""
        while not world.has_ended:
            for reader in random.sample(self.all, len(self.all)):
                await world.passes(random.uniform(0.2, 1.8) * plan.kill_reader)
                if reader.is_running:
                    reader.kill()
                    reader.start()

    async def be_down(self, plan: Plan) -> None:
        """Have one endpoint be down for a while."""
        (reader,) = (reader for reader in self.all if reader.name == DOWN)
        await asyncio.sleep(plan.down / 4)
        reader.kill()
        await asyncio.sleep(plan.down)
        reader.start()

    async def have(self, key: str) -> None:
        """Wait until all have kept the event with this id, as long as any record grows."""
        missing, size, deadline = list(self.all), -1, 0.0
        while missing:
            missing = [reader for reader in missing if not reader.has(key)]
            now = asyncio.get_running_loop().time()
            if (grown := sum(reader.size() for reader in missing)) != size:
                size, deadline = grown, now + PATIENCE
            elif now > deadline:
                return
            await asyncio.sleep(LOOK)

    def close(self) -> None:
        """End them. Closing twice is fine."""
        for reader in self.all:
            reader.close()

    def _reader(self, name: str, module: str, *arguments: str) -> ReaderProcess:
        command = ["-m", module, *arguments]
        return ReaderProcess(name, self._folder, command, may_repeat=module == endpoint.__name__)


async def run(daemon: Daemon, readers: Readers, plan: Plan) -> Outcome:
    """Run it on a daemon that was started with `Readers.settings`."""
    random = Random(plan.seed)
    world = World(daemon, plan.actions, random)
    people: list[Person] = []
    try:
        readers.start(daemon)
        await world.open(plan.rooms)
        people += [Person(world, number, plan.pause) for number in range(plan.people)]
        async with asyncio.TaskGroup() as group:
            for person in people:
                group.create_task(person.live())
            group.create_task(_kill(world, plan, Random(random.random())))
            group.create_task(readers.be_killed(world, plan, Random(random.random())))
            group.create_task(readers.be_down(plan))
        truth = await asyncio.to_thread(read_truth, daemon, world.notes, plan.hold)
        await readers.have(list(truth.log)[-1])
    finally:
        readers.close()
        world.close()
        for person in people:
            person.cut()
    wrong = [*find_lost(world.notes, truth), *faults(daemon)]
    figures = _figures(world, truth)
    for reader in readers.all:
        figures[reader.name], found = await asyncio.to_thread(_look, reader, truth)
        wrong += found
    return Outcome(figures, wrong)


async def _kill(world: World, plan: Plan, random: Random) -> None:
    """End the daemon by kill -9 again and again, each time while it serves a request, and start it again."""
    restarts = world.notes.restarts
    while await world.passes(random.uniform(0.5, 1.5) * plan.kill):
        await asyncio.sleep(random.uniform(0, SERVED))
        killed_at = time.time()
        world.daemon.process.kill()
        await asyncio.to_thread(world.daemon.kill)
        await asyncio.to_thread(world.daemon.start)
        restarts.append(Restart(killed_at, time.time()))


def _look(reader: ReaderProcess, truth: Truth) -> tuple[str, list[str]]:
    """Check a record; return its figures as text, and what is wrong."""
    given = reader.given()
    kept = [one.event for one in given if one.is_kept]
    wrong = find_faults(kept, truth, may_repeat=reader.may_repeat)
    served = Counter(one.how for one in given if one.how != OK)
    again = len(kept) - len({event["id"] for event in kept})
    parts = [f"{len(kept) - again} events", f"{again} again", f"killed {reader.kills} times"]
    parts += [f"{count} times {how}" for how, count in served.items()]
    return ", ".join(parts), [*reader.wrong, *(f"{reader.name}: {line}" for line in wrong)]


def _figures(world: World, truth: Truth) -> dict[str, object]:
    """Return what was done, and what came of it."""
    actions, types = world.done, Counter(truth.log.values())
    reasons = Counter(" or ".join(sorted(one or "there" for one in found)) for found in truth.reasons.values())
    return {
        "actions": f"{actions.total()}: {_counted(actions)}",
        "returns after a kill": world.returns,
        "events": f"{types.total()}: {_counted(types)}",
        "stays": f"{len(truth.stays)}: {_counted(reasons)}",
        "rooms ended": len(truth.ends),
        "kills of the daemon": len(world.notes.restarts),
    }


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items(), key=lambda one: -one[1]))
