"""Three daemons, a primary with its standby, three servers of the bus, and a wire for each connection between them."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from random import Random

from tests.support.cluster.daemons import wait_ready
from tests.support.cluster.faults import engine, unfenced
from tests.support.cluster.faults.engine import DATABASE, Engine
from tests.support.cluster.faults.wires import BusWire, Wire
from tests.support.daemon import PATIENT, Daemon
from tests.support.nats import NatsServer, joined
from tests.support.processes import Process

NODES = "abc"
LEASE = 3.0
"""L, in seconds: `roomd.cluster.lease.LENGTH`."""
_OWNER = """
    SELECT nodes.name FROM rooms JOIN owners ON owners.room_id = rooms.id
    JOIN nodes ON nodes.generation = owners.generation AND nodes.lease_until > clock_timestamp() WHERE rooms.code = '{}'
"""
_OWNED = """
    SELECT nodes.name, rooms.code FROM rooms JOIN owners ON owners.room_id = rooms.id
    JOIN nodes ON nodes.generation = owners.generation AND nodes.lease_until > clock_timestamp()
    WHERE rooms.is_active AND NOT rooms.is_deleted ORDER BY random() LIMIT 1
"""


class UnfencedDaemon(Daemon):
    """A daemon whose appends are stored whatever the fence says."""

    def _started(self, command: Sequence[str], log: int, fds: Sequence[int]) -> Process:
        return super()._started([unfenced.__file__], log, fds)


class NodeWires:
    """The wires of one node."""

    def __init__(self, engine: Engine, bus: Sequence[NatsServer], random: Random) -> None:
        self.engine = [Wire(socket) for socket in engine.sockets]
        self.bus = [BusWire(server.port, random) for server in bus]

    @property
    def all(self) -> list[Wire]:
        """Those to the database and those to the bus."""
        return [*self.engine, *self.bus]


class Rig:
    """Everything, while it runs. What blocks is called in a thread, as the wires are served by the running loop."""

    def __init__(self, engine: Engine, bus: list[NatsServer], wires: dict[str, NodeWires], daemons: dict[str, Daemon]):
        self.engine = engine
        self.bus = bus
        self.wires = wires
        """By the names of nodes."""
        self.daemons = daemons
        """By the names of nodes."""

    async def owner(self, code: str) -> str:
        """Return the name of the node that has a room; empty for none."""
        return await asyncio.to_thread(self.engine.run_sql, _OWNER.format(code))

    async def owned(self) -> list[str]:
        """Return the name of a node that has an open room, and the code of this room; nothing without one."""
        found = await asyncio.to_thread(self.engine.run_sql, _OWNED)
        return found.split("|") if found else []

    async def start(self, name: str) -> None:
        """Start a daemon, and wait until it is ready."""
        await asyncio.to_thread(self.daemons[name].start)
        await self.ready(name)

    async def ready(self, *names: str) -> None:
        """Wait until daemons are ready, or all of them."""
        for name in names or NODES:
            await asyncio.to_thread(wait_ready, self.daemons[name])

    def signal(self, name: str, number: int) -> None:
        """Send a daemon a signal."""
        self.daemons[name].process.send_signal(number)


def _close(daemon: Daemon) -> None:
    if daemon.is_started:
        daemon.process.send_signal(signal.SIGCONT)
        daemon.kill()


@contextlib.contextmanager
def _bus(folder: Path) -> Iterator[list[NatsServer]]:
    servers = joined(folder, 3)
    try:
        for server in servers:
            server.start()
        yield servers
    finally:
        for server in servers:
            server.stop()


@contextlib.asynccontextmanager
async def rig(
    folder: Path, random: Random, settings: Mapping[str, str], *, is_fenced: bool = True
) -> AsyncIterator[Rig]:
    """Run everything in a folder, and stop it in the end. `settings` are further ones of the daemons."""
    async with contextlib.AsyncExitStack() as stack:
        database = stack.enter_context(engine.running())
        bus = stack.enter_context(_bus(folder))
        wires = {name: NodeWires(database, bus, random) for name in NODES}
        daemons = {}
        for name, own in wires.items():
            for wire in own.all:
                await stack.enter_async_context(wire.serve())
                stack.callback(wire.let_go)
            (folder / name).mkdir()
            hosts = ",".join(f"127.0.0.1:{wire.port}" for wire in own.engine)
            daemons[name] = (Daemon if is_fenced else UnfencedDaemon)(
                folder / name,
                **{
                    **PATIENT,
                    "ROOMD_DATABASE_URL": f"postgresql://{database.primary.user}@{hosts}/{DATABASE}?sslmode=disable",
                    "ROOMD_CLUSTER_NATS": ",".join(f"nats://127.0.0.1:{wire.port}" for wire in own.bus),
                    "ROOMD_CLUSTER_NODE": name,
                    **settings,
                },
            )
            stack.callback(_close, daemons[name])
        made = Rig(database, bus, wires, daemons)
        await asyncio.gather(*(asyncio.to_thread(daemon.start) for daemon in daemons.values()))
        await made.ready()
        yield made
