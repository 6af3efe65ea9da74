"""One run: clients act for some time, faults or not; then everybody must be served, and the records are complete."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from random import Random

import msgspec

from roomd.client.connection import Unreachable
from roomd.client.tokens import Token
from roomd.protocol.errors import Refused
from roomd.protocol.replies import RoomReply
from roomd.protocol.requests import GetRoom
from roomd.verify.driver.clients import Client, UserToken, World
from roomd.verify.driver.faults import Faults, inflict
from roomd.verify.driver.host import Host
from roomd.verify.driver.lines import Lost, clock
from roomd.verify.driver.log_readers import LogReader, reading
from roomd.verify.records import Ended, Gone, History, Listing, State

ENDS_EVERY = 5.0
"""Seconds between two ends of a room, each of which is replaced."""
PROGRESS_EVERY = 5.0
"""Seconds between two lines of progress."""
CHECK_EVERY = 0.05
"""Seconds between two looks at whether something has come true."""


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
    """Seconds for which the server holds a seat at least."""
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
    is_settled: bool = True
    """Whether the server served everybody in the end. If not, not everything was checked."""

    @property
    def counts(self) -> Counter[str]:
        """The number of requests by kind and outcome; `-` for those without an answer."""
        return Counter(f"{one.kind} {one.outcome or '-'}" for one in self.history.operations)


async def run(plan: Plan, name: str, tell: Callable[[str], None], stop: asyncio.Event) -> Outcome:
    """Drive the servers, and return the records. `name` is that of this run; `stop` ends the clients' part early.

    Raises `Refused` and `Unreachable` when the rooms cannot be made, and `CommandFailed`.
    """
    history = History(plan.seats, plan.hold)
    host = Host(history, plan.nodes, plan.host_token, name, plan.patience)
    readers = [LogReader(node, plan.host_token, name) for node in plan.nodes]
    outcome = Outcome(history, host.codes, [])
    # Every node answers before anything is broken.
    for node in plan.nodes:
        await _reach(host, node)
    try:
        async with reading(readers):
            for reader in readers:
                if reader.refusal is not None:
                    outcome.notes.append(f"{reader.record.node}: the event log cannot be read: {reader.refusal}")
            rooms = [await host.make() for _ in range(plan.rooms)]
            world = World(history, plan.nodes, rooms, plan.user_token, plan.patience, plan.pause, name)
            random = Random(plan.seed)  # noqa: S311 - the choices of clients
            clients = [Client(world, number, _own_random(random)) for number in range(plan.clients)]
            try:
                outcome.faults = await _act(plan, world, clients, host, random, tell, stop)
                settling = Settling(
                    host, world, clients, [one for one in readers if one.refusal is None], 6 * plan.patience
                )
                await settling.settle()
            finally:
                for client in clients:
                    await client.close()
        if all(reader.refusal is None for reader in readers):
            history.logs = [reader.record for reader in readers]
        for code in host.codes:
            history.finals[code] = await host.final(code)
    except (Refused, Unreachable) as exc:
        if not host.codes:
            raise
        outcome.is_settled = False
        outcome.notes.append(f"not everything could be read in the end: {exc}")
    finally:
        if not plan.is_kept:
            with contextlib.suppress(Unreachable, Refused):
                for code in host.codes:
                    await host.delete(code)
    outcome.is_settled = outcome.is_settled and not history.unsettled
    return outcome


def _own_random(random: Random) -> Random:
    """Return the source of one client's choices."""
    return Random(random.random())  # noqa: S311 - the choices of a client


async def _reach(host: Host, node: str) -> None:
    """Have a node answer. Raises `Unreachable`."""
    with contextlib.suppress(Refused):
        await host.request(GetRoom(code="aaa-aaa-aaa"), RoomReply, node)


async def _act(
    plan: Plan, world: World, clients: Sequence[Client], host: Host, random: Random, tell: Callable[[str], None],
    stop: asyncio.Event,
) -> int:  # fmt: skip
    """Let the clients act, and return how often something was broken."""
    timer = asyncio.create_task(_progress(plan.seconds, world, tell, stop))
    async with asyncio.TaskGroup() as group:
        ends = group.create_task(_end_rooms(world, host, random))
        lives = [group.create_task(client.live()) for client in clients]
        try:
            count = await inflict(plan.faults, random, stop, tell)
            await timer
        finally:
            timer.cancel()
            stop.set()
            world.is_over = True
        await asyncio.wait(lives)
        ends.cancel()
    return count


async def _progress(seconds: float, world: World, tell: Callable[[str], None], stop: asyncio.Event) -> None:
    """Tell how far the run is, until its time is over or `stop` is set; set it then."""
    begin = clock()
    while not stop.is_set() and (left := begin + seconds - clock()) > 0:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(left, PROGRESS_EVERY)):
                await stop.wait()
        done = world.history.operations
        unanswered = sum(one.answered is None for one in done)
        tell(f"{clock() - begin:.0f} s: {len(done):,} requests, {unanswered:,} without an answer")
    stop.set()


async def _end_rooms(world: World, host: Host, random: Random) -> None:
    """End a room now and then, and make another one in its place."""
    while True:
        await asyncio.sleep(random.uniform(0.5, 1.5) * ENDS_EVERY)
        code = random.choice(world.rooms)
        await host.end(code)
        world.rooms.remove(code)
        world.rooms.append(await host.make())


class Settling:
    """After the last fault: everybody has a seat or knows that there is none, and the server says the same to all."""

    def __init__(
        self, host: Host, world: World, clients: Sequence[Client], readers: Sequence[LogReader], patience: float
    ) -> None:
        """`patience` is the number of seconds within which each step must come true."""
        self._host = host
        self._world = world
        self._clients = clients
        self._readers = readers
        self._patience = patience
        self._history = world.history

    async def settle(self) -> None:
        """Wait until everything is as it must be. What is not is added to `History.unsettled`."""
        for node in self._world.nodes:
            await _reach(self._host, node)
        await asyncio.gather(*(self._return(client) for client in self._clients if client.seat is not None))
        for code in self._world.rooms:
            here = [one for one in self._clients if one.room == code and one.seat is not None]
            if here:
                await self._until(f"{code}: the list of participants", partial(self._list, code, here[0]))
        for code in self._world.rooms:
            await self._host.end(code)
        for client in self._clients:
            if client.seat is not None:
                await self._until(f"the end of {client.room} for a client", partial(self._has_ended, client))
        for reader in self._readers:
            await self._until(
                f"the ends of all rooms in the event log of {reader.record.node}",
                partial(self._has_read, reader),
            )

    async def _until(self, what: str, condition: Callable[[], Awaitable[bool]]) -> None:
        end = clock() + self._patience
        while not await condition():
            if clock() > end:
                self._history.unsettled.append(f"within {self._patience:g} s there was not {what}")
                return
            await asyncio.sleep(CHECK_EVERY)

    async def _return(self, client: Client) -> None:
        """Have a client that believes to have a seat see its room anew."""

        async def is_back() -> bool:
            try:
                if client.line is not None and client.line.is_open:
                    await client.join_again()
                else:
                    await client.come()
            except Lost:
                await client.close()
                return False
            return True

        if client.room in self._world.rooms:
            await self._until("a seat, or a refusal, for a client", is_back)
        else:
            client.seat = None

    async def _list(self, code: str, client: Client) -> bool:
        """List a room between two equal states of a client, and return whether that worked."""
        if client.line is None or client.seat is None:
            return True
        try:
            await client.join_again()
            before = await self._state(client)
            people = await self._host.people(code)
            await client.join_again()
            after = await self._state(client)
        except Lost:
            await self._return(client)
            return False
        if before is None or after is None or (before.epoch, before.seq) != (after.epoch, after.seq):
            return False
        self._history.listings.setdefault(code, []).append(Listing(after.epoch, after.seq, people))
        return True

    async def _state(self, client: Client) -> State | None:
        """Return the state that a client was sent last, once it has come."""
        for _ in range(100):
            if client.line is not None and client.line.track.entries:
                last = client.line.track.entries[-1]
                if isinstance(last, State):
                    return last
            await asyncio.sleep(CHECK_EVERY)
        return None

    async def _has_ended(self, client: Client) -> bool:
        line = client.line
        return line is None or any(isinstance(one, Ended | Gone) for one in line.track.entries[-20:])

    async def _has_read(self, reader: LogReader) -> bool:
        return reader.ended >= set(self._history.finals)
