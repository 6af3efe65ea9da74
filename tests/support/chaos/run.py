"""One run: people in a meeting, one fault after another, and what must hold after each."""

import asyncio
import contextlib
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from random import Random
from typing import NamedTuple

from roomd.storage.checking import check
from tests.support.chaos.faults import FAULTS, Stage
from tests.support.chaos.people import Person, lost, served
from tests.support.daemon import PATIENT, Daemon

SETTINGS = {
    **PATIENT,
    "ROOMD_DATABASE_BUSY_TIMEOUT": "0.2",
    "ROOMD_DATABASE_RESERVE": "0",
    "ROOMD_ROOMS_SEAT_HOLD": "10",
    "ROOMD_SERVER_PING_INTERVAL": "20",
}
"""Settings of the daemon: little patience with the database, and no rate limit that so few people reach."""
DISK = "64m"
"""The size of the file system that the database is on."""


class Plan(NamedTuple):
    """How long and how many."""

    seed: int
    people: int
    """Half of them are users, half are guests."""
    seconds: float
    """Of each fault, unless it is in `longer`."""
    longer: dict[str, float]
    """The seconds of single faults."""
    pause: float
    """Seconds between two deeds of a person, on average."""
    only: Sequence[str] = tuple(FAULTS)
    """The names of the faults."""


class Outcome(NamedTuple):
    """What came of one fault."""

    fault: str
    note: str
    """What the fault did, in words."""
    said: int
    """Messages that were acknowledged since the fault before."""
    refused: dict[str, int]
    """How often they were refused meanwhile, by the code of the error."""
    back: float
    """Seconds from the end of the fault until everybody was served."""
    wrong: list[str]
    """What must not be."""


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[bool]:
    """Mount a small file system, and return whether that was possible: only root may."""
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK},mode=0700", "tmpfs", str(folder)]
    is_mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    try:
        yield is_mounted
    finally:
        if is_mounted:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)


async def run(daemon: Daemon, plan: Plan, tell: Callable[[Outcome], None] = lambda _: None) -> list[Outcome]:
    """Run it on a steered daemon that was started with `SETTINGS`. Each outcome is told when it is known."""
    random = Random(plan.seed)
    code = (await daemon.room(maxParticipants=1000))["code"]
    people = [Person(daemon, code, n, Random(random.random()), plan.pause) for n in range(plan.people)]
    outcomes = []
    async with _living(people):
        await served(people)
        for name in plan.only:
            outcomes.append(await _suffer(daemon, code, people, name, plan, random))
            tell(outcomes[-1])
    return outcomes


async def _suffer(daemon: Daemon, code: str, people: list[Person], name: str, plan: Plan, random: Random) -> Outcome:
    """Run one fault, and check what must hold after it."""
    said, refused = _count(people)
    stage = Stage(daemon, code, plan.longer.get(name, plan.seconds), random, lambda: _count(people)[1]["unavailable"])
    note = await FAULTS[name](stage)
    ended = asyncio.get_running_loop().time()
    wrong = []
    try:
        await served(people)
        await visit(daemon)
    except AssertionError as missing:
        wrong.append(str(missing))
    back = asyncio.get_running_loop().time() - ended
    found = await asyncio.to_thread(check, daemon.database)
    wrong += [f"{problem.room}: {problem.problem}: {problem.ids}" for problem in (*found.problems, *found.notes)]
    wrong += await asyncio.to_thread(lost, daemon, people)
    wrong += [line for line in daemon.log.read_text().splitlines() if "raceback" in line or "internal_error" in line]
    said_now, refused_now = _count(people)
    return Outcome(name, note, said_now - said, dict(refused_now - refused), back, wrong)


def _count(people: list[Person]) -> tuple[int, Counter[str]]:
    """Return how many messages were acknowledged so far, and how many requests were refused, by code."""
    return sum(len(person.said) for person in people), Counter(code for person in people for code in person.refused)


async def visit(daemon: Daemon) -> None:
    """Make a room, join it as a guest, and leave it: a newcomer is served too."""
    room = await daemon.room()
    async with daemon.client() as guest:
        seat = await guest.join(room["code"], guestName="Newcomer")
        assert (await guest.ask("leave-room"))["participant"]["id"] == seat["participant"]["id"]


@contextlib.asynccontextmanager
async def _living(people: list[Person]) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(person.live()) for person in people]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
