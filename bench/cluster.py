"""`python -m bench.cluster`: processor time of nodes on PostgreSQL and NATS beside one daemon on SQLite, in one run.

Four things take turns: a daemon on SQLite, one on PostgreSQL, three of these that share nothing, and three nodes on
PostgreSQL and NATS behind a relay that gives each client the next node, so that two of three requests are forwarded.
`roomd bench` has guests join and leave, as often as the daemons can. What counts is the processor time of the daemons,
of which other programs take nothing; that of PostgreSQL and NATS is not in it. Three nodes are compared with the three
daemons: where few cores are shared by more processes, each of them takes more processor time.

Then the same for one daemon and three nodes at a fixed rate for each of them, with a PostgreSQL whose answers take as
long as where commits are synced (`paced.py`): there the batches of both are equal. Both are measured at the same time,
so that other programs, and the cores that both share, delay both alike. At last one guest at a time joins at the owner
of a room and at another node, in turns with requests from one client of NATS to another: the round trips of the bus.
"""

import argparse
import asyncio
import json
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import jwt
from nats.aio.client import Client as Nats
from nats.aio.msg import Msg
from websockets.asyncio.client import ClientConnection, connect

from bench import far_database, paced, report
from bench.processes import Server, cpu_seconds, raise_file_limit, serving
from bench.rig import HERE
from tests.support import nats, postgresql

CLIENTS, ROOM_SIZE = 100, 4
"""The guests of each daemon, and those of a room."""
RATE, FAR = 400.0, 0.003
"""The joins and leaves a second of each node at a fixed rate, and the seconds that answers of PostgreSQL take then."""
NODES = "abc"
ALONE, SINGLE = "one daemon, SQLite", "one daemon, PostgreSQL"
APART, THREE = "three daemons, PostgreSQL, at the same time", "three nodes, PostgreSQL and NATS"
SINGLE_PACED, THREE_PACED = "one daemon at a fixed rate", "three nodes at that rate each"
STARTING = 5.0
"""The seconds after which a node may claim rooms, and more."""


class Work(NamedTuple):
    """What some daemons have done."""

    operations: int
    """Joins and leaves."""
    seconds: float
    """Their processor time."""

    @property
    def microseconds(self) -> float:
        """The processor time of one join or leave."""
        return 1e6 * self.seconds / self.operations


class Latencies(NamedTuple):
    """Medians in milliseconds."""

    near: float
    """A join at the owner of the room."""
    far: float
    """A join at another node."""
    bus: float
    """A request from one client of NATS to another, and its answer."""

    @property
    def added(self) -> float:
        """What a forwarded join takes more, in round trips of the bus."""
        return (self.far - self.near) / self.bus


class Relay:
    """Gives each connection to the next of some ports."""

    def __init__(self, ports: list[int]) -> None:
        self._ports = ports
        self._count = 0
        self._carried: set[asyncio.Task[None]] = set()
        self.port = 0

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Listen until the block ends, and then until all connections have ended."""
        async with await asyncio.start_server(self._accepted, "127.0.0.1", 0) as server:
            self.port = server.sockets[0].getsockname()[1]
            yield
            await asyncio.gather(*self._carried)

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._carried.add(asyncio.get_running_loop().create_task(self._carry(reader, writer)))

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._count += 1
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._ports[self._count % len(self._ports)])
        await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


class Cluster(NamedTuple):
    """All daemons, by what is compared."""

    servers: Mapping[str, list[Server]]
    secret: str
    bus: str
    """The URL of NATS."""

    def token(self, **claims: Any) -> str:
        """Make a token of an admin."""
        claims = {"sub": "bench", "exp": time.time() + 36_000, "roomd": {"admin": True}, **claims}
        return jwt.encode(claims, self.secret, algorithm="HS256")


@contextmanager
def running(folder: Path) -> Iterator[Cluster]:
    """Start PostgreSQL, which syncs nothing, NATS and the daemons."""
    secret = secrets.token_hex(32)
    with ExitStack() as stack:
        database = stack.enter_context(postgresql.running())
        bus = stack.enter_context(nats.running(folder))

        (far := database.folder / "far").mkdir()
        near, socket = database.folder / postgresql.SOCKET, far / postgresql.SOCKET
        stack.enter_context(far_database.running(socket, near, FAR))

        def start(name: str, **settings: str) -> Server:
            own = folder / name
            own.mkdir()
            environ = {
                "ROOMD_AUTH_SECRET": secret,
                "ROOMD_DATABASE_SYNCHRONOUS": "NORMAL",
                "ROOMD_METRICS_LISTEN": f"unix:{own / paced.METRICS}",
                **settings,
            }
            command = HERE.command(own / "roomd.db")
            return stack.enter_context(serving(name, command, _cores(), own, environ, own / "roomd.db"))

        def start_nodes(subject: str, url: str) -> list[Server]:
            settings = {"ROOMD_DATABASE_URL": url, "ROOMD_CLUSTER_NATS": bus.url, "ROOMD_CLUSTER_SUBJECT": subject}
            return [start(f"{subject}-{name}", ROOMD_CLUSTER_NODE=name, **settings) for name in NODES]

        def create_far() -> str:
            return database.create().replace(str(database.folder), str(far))

        servers = {
            ALONE: [start("alone")],
            SINGLE: [start("single", ROOMD_DATABASE_URL=database.create())],
            APART: [start(f"apart-{name}", ROOMD_DATABASE_URL=database.create()) for name in NODES],
            THREE: start_nodes("three", database.create()),
            SINGLE_PACED: [start("single-paced", ROOMD_DATABASE_URL=create_far())],
            THREE_PACED: start_nodes("paced", create_far()),
        }
        time.sleep(STARTING)
        yield Cluster(servers, secret, bus.url)


def _cores() -> set[int]:
    return os.sched_getaffinity(0)


async def measure(cluster: Cluster, side: str, seconds: float) -> Work:
    """Have guests join and leave for some seconds."""
    servers = cluster.servers[side]
    groups = [[server] for server in servers] if side == APART else [servers]
    works = await asyncio.gather(*(_measure_behind_relay(cluster, group, seconds) for group in groups))
    return Work(sum(work.operations for work in works), sum(work.seconds for work in works))


async def _measure_behind_relay(cluster: Cluster, servers: Sequence[Server], seconds: float) -> Work:
    relay = Relay([int(server.host.rpartition(":")[2]) for server in servers])
    async with relay.listening():
        return await _measure(cluster, servers, relay.port, seconds)


async def _measure(cluster: Cluster, servers: Sequence[Server], port: int, seconds: float) -> Work:
    before = [cpu_seconds(server.pid) for server in servers]
    url, clients = f"http://127.0.0.1:{port}/", CLIENTS * len(servers)
    command = [
        sys.executable, "-m", "roomd", "bench", "--json", "--clients", str(clients), "--seconds", str(seconds),
        "--room-size", str(ROOM_SIZE), "--url", url, "--token", cluster.token(),
    ]  # fmt: skip
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    output, errors = await process.communicate()
    if process.returncode:
        raise RuntimeError(errors.decode())
    found = json.loads(output)
    used = sum(cpu_seconds(server.pid) for server in servers) - sum(before)
    if found["errors"]:
        raise RuntimeError(found["errors"])
    return Work(found["joins"]["count"] + found["leaves"]["count"], used)


async def measure_paced(cluster: Cluster, side: str, seconds: float) -> paced.Paced:
    """Have guests join and leave at the fixed rate for some seconds, in rooms that all nodes have created alike."""
    codes = []
    for server in cluster.servers[side]:
        headers = {"Authorization": f"Bearer {cluster.token()}"}
        async with connect(f"ws://{server.host}/ws", additional_headers=headers) as host:
            settings = {"maxParticipants": ROOM_SIZE, "allowGuestAccess": True}
            made = [await ask(host, "create-room", name="bench", **settings) for _ in range(CLIENTS // ROOM_SIZE)]
            codes += [reply["room"]["code"] for reply in made]
    return await paced.measure(cluster.servers[side], codes, CLIENTS, RATE, seconds)


async def latencies(cluster: Cluster, count: int) -> Latencies:
    """Have one guest at a time join at the owner of a room and at another node."""
    near, far = cluster.servers[THREE][:2]
    headers = {"Authorization": f"Bearer {cluster.token()}"}
    asker, answerer = Nats(), Nats()
    for client in (asker, answerer):
        await client.connect(cluster.bus)

    async def echo(message: Msg) -> None:
        await message.respond(message.data)

    await answerer.subscribe("bench", cb=echo)
    async with connect(f"ws://{near.host}/ws", additional_headers=headers) as host:
        code = (await ask(host, "create-room"))["room"]["code"]
        async with connect(f"ws://{near.host}/ws") as at_owner, connect(f"ws://{far.host}/ws") as elsewhere:
            times: dict[str, list[float]] = {"near": [], "far": [], "bus": []}
            for _ in range(count):
                for name, guest in (("near", at_owner), ("far", elsewhere)):
                    began = time.perf_counter()
                    await ask(guest, "join-room", code=code, guestName="Jane")
                    times[name].append(time.perf_counter() - began)
                    await ask(guest, "leave-room")
                    await asyncio.sleep(0.002)
                began = time.perf_counter()
                await asker.request("bench", bytes(600), timeout=10)
                times["bus"].append(time.perf_counter() - began)
    for client in (asker, answerer):
        await client.close()
    return Latencies(*(1000 * statistics.median(times[name]) for name in ("near", "far", "bus")))


async def ask(client: ClientConnection, kind: str, **fields: Any) -> dict[str, Any]:
    """Send a request, and return its reply."""
    await client.send(json.dumps({"type": kind, "id": 1, **fields}))
    while True:
        frame: dict[str, Any] = json.loads(await client.recv())
        if frame.get("id") == 1:
            if frame["type"] == "error":
                raise RuntimeError(frame)
            return frame


async def run(cluster: Cluster, rounds: int, seconds: float, count: int) -> str:
    """Measure, and return the report as Markdown."""
    found: dict[str, list[Work]] = {side: [] for side in (ALONE, SINGLE, APART, THREE)}
    at_rate: dict[str, list[paced.Paced]] = {SINGLE_PACED: [], THREE_PACED: []}
    for number in range(rounds):
        sides = list(found)
        for side in sides[number % 4 :] + sides[: number % 4]:
            found[side].append(await measure(cluster, side, seconds))
    for _ in range(rounds):
        together = await asyncio.gather(*(measure_paced(cluster, side, seconds) for side in at_rate))
        for one, some in zip(together, at_rate.values(), strict=True):
            some.append(one)
    waits = [await latencies(cluster, count) for _ in range(rounds)]
    medians = {side: statistics.median(work.microseconds for work in works) for side, works in found.items()}
    lines = ["| | µs of processor time a join or leave: median (least to greatest) |", "|---|---|"]
    for side, works in found.items():
        each = [work.microseconds for work in works]
        lines.append(f"| {side} | {medians[side]:.0f} ({min(each):.0f} to {max(each):.0f}) |")
    lines += [
        "",
        f"| {RATE:.0f} joins and leaves a second and node, answers of PostgreSQL after {1000 * FAR:.0f} ms "
        "| a second | rows a statement | p50 of a join, ms | µs each |",
        "|---|---|---|---|---|",
    ]
    for side, some in at_rate.items():
        per_second = statistics.median(one.operations / one.wall for one in some)
        rows = statistics.median(one.rows / one.commits for one in some)
        join, each = statistics.median(one.join for one in some), [one.microseconds for one in some]
        spread = f"{statistics.median(each):.0f} ({min(each):.0f} to {max(each):.0f})"
        lines.append(f"| {side} | {per_second:.0f} | {rows:.1f} | {join:.1f} | {spread} |")
    at_once = [three.microseconds / one.microseconds for one, three in zip(*at_rate.values(), strict=True)]
    added = [one.added for one in waits]
    faster, dearer = medians[ALONE] / medians[SINGLE], medians[THREE] / medians[APART]
    middle = sorted(waits, key=lambda one: one.added)[len(waits) // 2]
    lines += [
        "",
        "| | wanted | found |",
        "|---|---|---|",
        f"| joins and leaves per processor-second, PostgreSQL ÷ SQLite | ≥ 1.0 | {faster:.2f} |",
        f"| processor time a join, three nodes ÷ three daemons, as often as they can | ≤ 1.3 | {dearer:.2f} |",
        "| processor time a join, three nodes ÷ one daemon, at a fixed rate | ≤ 1.3 "
        f"| {statistics.median(at_once):.2f} ({min(at_once):.2f} to {max(at_once):.2f}) |",
        f"| round trips of the bus that a forwarded join adds, p50 | ≤ 3 | {statistics.median(added):.1f} "
        f"({min(added):.1f} to {max(added):.1f}) |",
        "",
        f"p50 of a join at the owner {middle.near:.2f} ms, elsewhere {middle.far:.2f} ms; of a round trip of the bus "
        f"{middle.bus:.2f} ms.",
    ]
    return "\n".join(lines)


def main() -> int:
    """Measure, and print the report as Markdown."""
    parser = argparse.ArgumentParser(prog="python -m bench.cluster", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="how often to measure (default 5)")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of a measurement (default 5)")
    parser.add_argument("--joins", type=int, default=200, help="joins of a latency (default 200)")
    parser.add_argument("--folder", type=Path, default=Path("var"), help="where databases go (default var)")
    args = parser.parse_args()
    raise_file_limit()
    args.folder.mkdir(parents=True, exist_ok=True)
    machine = report.machine(args.folder)
    with tempfile.TemporaryDirectory(dir=args.folder) as folder, running(Path(folder).resolve()) as cluster:
        print(asyncio.run(run(cluster, args.rounds, args.seconds, args.joins)))
    print(f"\n{', '.join(f'{name} {value}' for name, value in machine.items())}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
