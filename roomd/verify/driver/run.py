"""One run: clients act for some time, faults or not; then everybody must be served, and the records are complete."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Sequence
from random import Random

import msgspec

from roomd.client.connection import Closed, Unreachable, connect
from roomd.client.tokens import Token
from roomd.protocol.errors import Refused
from roomd.verify.driver.clients import Client, UserToken, World
from roomd.verify.driver.faults import Faults, inflict, is_set_within
from roomd.verify.driver.host import Host
from roomd.verify.driver.lines import clock
from roomd.verify.driver.log_readers import LogReader, reading
from roomd.verify.driver.settling import Settling
from roomd.verify.records import History

ENDS_EVERY = 5.0
"""Seconds between two ends of a room, each of which is replaced."""
PROGRESS_EVERY = 5.0
"""Seconds between two lines of progress."""
FAILURES = (Refused, Closed, Unreachable)
"""How a request of the host can fail for good."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How a run is to be."""

    nodes: Sequence[str]
    """The URLs of the WebSockets."""
    host_token: Token
    """The token of whoever makes the rooms: an admin, where the event log is to be read."""
    user_token: UserToken | None = None
    """Gives tokens to clients; without it all are guests."""
    seconds: float = 30.0
    rooms: int = 4
    clients: int = 40
    seats: int = 5
    """The seats of each room."""
    pause: float = 0.1
    """Seconds between two requests of a client, on average."""
    hold: float = 3.0
    """Seconds for which the server holds a user's seat at least."""
    patience: float = 10.0
    """Seconds to wait for an answer."""
    seed: int = 0
    faults: Faults = Faults()
    is_kept: bool = False
    """Whether the rooms are left on the server."""


class Outcome(msgspec.Struct):
    """What came of a run."""

    history: History
    rooms: list[str]
    """The codes of the rooms."""
    notes: list[str]
    """What could not be checked, and why, for people."""
    faults: int = 0
    """How often something was broken."""
    is_settled: bool = False
    """Whether all that must come true in the end did. If not, not everything was checked."""

    @property
    def counts(self) -> Counter[str]:
        """The number of requests by kind and outcome; `-` for those without an answer."""
        return Counter(f"{one.kind} {one.outcome or '-'}" for one in self.history.operations)


async def run(plan: Plan, name: str, tell: Callable[[str], None], stop: asyncio.Event) -> Outcome:
    """Drive the servers, and return the records. `name` is that of this run; `stop` ends the clients' part early.

    Raises `Refused`, `Closed` and `Unreachable` when a node does not answer at first or makes no rooms, and what faults
    and tokens raise.
    """
    history = History(plan.seats, plan.hold)
    host = Host(history, plan.nodes, plan.host_token, name, plan.patience)
    outcome = Outcome(history, host.codes, [])
    for node in plan.nodes:
        async with connect(node, patience=plan.patience):
            pass
    try:
        await _drive(plan, name, host, outcome, tell, stop)
        for code in host.codes:
            history.finals[code] = await host.final(code)
    except FAILURES as exc:
        if not history.operations:
            raise
        outcome.is_settled = False
        outcome.notes.append(f"the servers could not be asked in the end: {exc}")
    finally:
        if not plan.is_kept:
            await _delete(host)
    return outcome


async def _delete(host: Host) -> None:
    """Delete all rooms, as far as there is somebody who does it. Those left end by themselves (`host.LEFT_OVER`)."""
    with contextlib.suppress(*FAILURES):
        for code in host.codes:
            await host.delete(code)


async def _drive(
    plan: Plan, name: str, host: Host, outcome: Outcome, tell: Callable[[str], None], stop: asyncio.Event
) -> None:
    """Let the clients act, and then settle."""
    history = outcome.history
    world = World(history, plan.nodes, [], plan.user_token, plan.patience, plan.pause, name)
    random = Random(plan.seed)  # noqa: S311 - the choices of clients
    clients = [Client(world, number, _own_random(random)) for number in range(plan.clients)]
    readers = [LogReader(node, plan.host_token, name) for node in plan.nodes]
    try:
        async with reading(readers):
            for _ in range(plan.rooms):
                world.rooms.append(await host.make())
            outcome.faults = await _act(plan, world, clients, host, random, tell, stop)
            tell("settling")
            await Settling(host, world, clients, readers, 6 * plan.patience).settle()
            outcome.is_settled = not history.unsettled
            history.logs = [reader.record for reader in readers if reader.ended >= set(host.codes)]
            for reader in readers:
                if reader.refusal is not None:
                    outcome.notes.append(f"{reader.record.node}: the event log cannot be read: {reader.refusal}")
    finally:
        await asyncio.gather(*(client.close() for client in clients))


def _own_random(random: Random) -> Random:
    """Return the source of one client's choices."""
    return Random(random.random())  # noqa: S311 - the choices of a client


async def _act(
    plan: Plan, world: World, clients: Sequence[Client], host: Host, random: Random, tell: Callable[[str], None],
    stop: asyncio.Event,
) -> int:  # fmt: skip
    """Let the clients act, and return how often something was broken. Raises what ends one of the tasks."""
    breaking = asyncio.create_task(inflict(plan.faults, random, stop, tell))
    ending = asyncio.create_task(_end_rooms(world, host, random, stop))
    tasks = [breaking, ending, *(asyncio.create_task(client.live()) for client in clients)]
    for task in tasks:
        task.add_done_callback(lambda _: stop.set())
    try:
        await _progress(plan.seconds, world, tell, stop)
    finally:
        stop.set()
        world.is_over = True
        ends = await asyncio.gather(*tasks, return_exceptions=True)
    for end in ends:
        if isinstance(end, Exception):
            raise end
    return breaking.result()


async def _progress(seconds: float, world: World, tell: Callable[[str], None], stop: asyncio.Event) -> None:
    """Tell how far the run is, until its time is over or `stop` is set; set it then."""
    begin = clock()
    while (left := begin + seconds - clock()) > 0 and not await is_set_within(min(left, PROGRESS_EVERY), stop):
        done = world.history.operations
        unanswered = sum(one.answered is None for one in done)
        tell(f"{clock() - begin:.0f} s: {len(done):,} requests, {unanswered:,} without an answer")
    stop.set()


async def _end_rooms(world: World, host: Host, random: Random, stop: asyncio.Event) -> None:
    """End a room now and then, and make another one in its place."""
    while not await is_set_within(random.uniform(0.5, 1.5) * ENDS_EVERY, stop):
        code = random.choice(world.rooms)
        await host.end(code)
        world.rooms.remove(code)
        world.rooms.append(await host.make())
