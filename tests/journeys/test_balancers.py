"""Three nodes behind HAProxy and nginx, as docs/how-to/reverse-proxy.md sets them up."""

import asyncio
import contextlib
import itertools
import json
import re
import shutil
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.support.cluster.daemons import Trio, trio
from tests.support.daemon import Client, Daemon
from tests.support.needs import SYSTEM_PATH, needs
from tests.support.nginx import configuration, listens
from tests.support.postgresql import Server
from tests.support.processes import PATIENCE, free_port, spawned

HOW_TO = (Path(__file__).parents[2] / "docs" / "how-to" / "reverse-proxy.md").read_text(encoding="utf-8")
ROOM = "abc-def-gh{}"
MOST = 30
"""The connections that a node takes."""


class Balanced:
    """Three nodes, a balancer in front of them, and where its configuration is."""

    def __init__(self, three: Trio, folder: Path) -> None:
        self.daemons = three.daemons
        self.port = free_port()
        self.file = folder / "balancer.conf"
        self.process: subprocess.Popen[bytes]
        self.checks_nodes = False
        """Whether the balancer asks whether nodes are ready."""
        self._sources = itertools.count(1)

    def with_nodes(self, text: str) -> str:
        """Put the addresses of the nodes into an example."""
        for number, daemon in enumerate(self.daemons.values(), 1):
            text = text.replace(f"10.0.0.{number}:8765", f"127.0.0.1:{daemon.port}")
        assert "10.0.0" not in text
        return text

    @contextlib.asynccontextmanager
    async def client(self, room: str, **headers: str) -> AsyncIterator["BalancedClient"]:
        """Connect as the page does for a room, from an address of this machine that no other client has."""
        url, source = f"ws://127.0.0.1:{self.port}/ws?room={room}", f"127.0.1.{next(self._sources)}"
        async with connect(
            url, open_timeout=PATIENCE, ping_interval=None, additional_headers=headers, local_addr=(source, 0)
        ) as websocket:
            client = BalancedClient(websocket)
            client.source = source
            await client.nothing_more()
            yield client

    async def node_of(self, source: str) -> str:
        """Return the node that has logged a client with this address."""
        async with asyncio.timeout(PATIENCE):
            while True:
                for name, daemon in self.daemons.items():
                    if source in connections(daemon):
                        return name
                await asyncio.sleep(0.05)


class BalancedClient(Client):
    """A client behind the balancer."""

    source: str
    """Its address."""


def connections(daemon: Daemon) -> list[str]:
    """Return the addresses of the clients that have connected, as they were logged."""
    lines = (json.loads(line) for line in daemon.log.read_text().splitlines() if '"event":"connected"' in line)
    return [line["address"] for line in lines]


def blocks(kind: str) -> list[str]:
    """Return the examples in a language."""
    found: list[str] = re.findall(rf"```{kind}\n(.*?)```", HOW_TO, re.DOTALL)
    return found


def haproxy(made: Balanced) -> list[str]:
    """Write the configuration; return the command."""
    (text,) = blocks("haproxy")
    bind = "bind :443 ssl crt /etc/haproxy/meet.example.pem"
    assert bind in text
    made.checks_nodes = True
    made.file.write_text(made.with_nodes(text).replace(bind, f"bind 127.0.0.1:{made.port}"))
    return ["haproxy", "-db", "-f", str(made.file)]


def nginx(made: Balanced) -> list[str]:
    """Write the configuration; return the command."""
    found = blocks("nginx")
    upgrade = next(
        part.group() for block in found if (part := re.search(r"^map \$http_upgrade.*?^\}", block, re.M | re.S))
    )
    nodes = made.with_nodes(next(block for block in found if "upstream nodes" in block))
    location = next(block for block in found if "http://nodes" in block)
    folder = made.file.parent
    made.file.write_text(configuration(folder, made.port, location, http=f"{upgrade}\n{nodes}", top="daemon off;"))
    return ["nginx", "-p", str(folder), "-e", str(folder / "log"), "-c", str(made.file)]


@pytest.fixture(
    params=[
        pytest.param(make, marks=needs(make.__name__, make.__name__), id=make.__name__) for make in (haproxy, nginx)
    ]
)
def balanced(request: pytest.FixtureRequest, tmp_path: Path, postgresql: Server) -> Iterator[Balanced]:
    """Three nodes behind each balancer."""
    with trio(tmp_path, postgresql, ROOMD_LIMITS_CONNECTIONS=str(MOST)) as three:
        made = Balanced(three, tmp_path)
        program, *rest = request.param(made)
        found = shutil.which(program, path=SYSTEM_PATH)
        assert found is not None
        with (tmp_path / "balancer.log").open("wb") as log, spawned([found, *rest], stdout=log, stderr=log) as process:
            made.process = process
            deadline = time.monotonic() + PATIENCE
            while not listens(made.port):
                assert process.poll() is None, (tmp_path / "balancer.log").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.02)
            yield made
            process.terminate()  # nginx ends its workers then
            process.wait(PATIENCE)


async def test_one_room_at_one_node(balanced: Balanced) -> None:
    """Clients of one room arrive at one node, and the rooms are spread. The address of each client arrives too, not
    what it says itself.
    """
    forged = {"X-Forwarded-For": "198.51.100.7", "Forwarded": "for=198.51.100.7"}
    sources: dict[int, list[str]] = {}
    async with AsyncExitStack() as stack:
        for number in range(9):
            clients = [await stack.enter_async_context(balanced.client(ROOM.format(number), **forged)) for _ in "123"]
            sources[number] = [client.source for client in clients]
    nodes = {number: {await balanced.node_of(source) for source in found} for number, found in sources.items()}
    assert all(len(found) == 1 for found in nodes.values()), nodes
    assert len(set.union(*nodes.values())) > 1


async def test_a_node_is_killed(balanced: Balanced) -> None:
    """Its rooms are served by the others, at once."""
    async with balanced.client(ROOM.format(1)) as client:
        node = await balanced.node_of(client.source)
    await asyncio.to_thread(balanced.daemons[node].kill)
    for _ in range(3):
        async with balanced.client(ROOM.format(1)) as client:
            assert await balanced.node_of(client.source) != node


async def test_a_node_is_taken_out(balanced: Balanced) -> None:
    """It gets no new connections and keeps its own: HAProxy a node that is not ready, nginx one that is `down`."""
    async with AsyncExitStack() as stack:
        user = {"Authorization": f"Bearer {balanced.daemons['a'].token('alice')}"}  # strangers give way to others
        first = await stack.enter_async_context(balanced.client(ROOM.format(1), **user))
        node = await balanced.node_of(first.source)
        daemon = balanced.daemons[node]
        if balanced.checks_nodes:
            for number in range(MOST - 1):  # full: it is not ready
                client = await stack.enter_async_context(daemon.client(f"user{number}", address=f"198.18.0.{number}"))
                await client.nothing_more()
        else:
            line = f"server 127.0.0.1:{daemon.port} max_fails=1 fail_timeout=5s"
            text = balanced.file.read_text()
            assert line in text
            balanced.file.write_text(text.replace(line, f"{line} down"))
            balanced.process.send_signal(signal.SIGHUP)
        await until_elsewhere(balanced, node)
        for _ in range(3):
            async with balanced.client(ROOM.format(1)) as client:
                assert await balanced.node_of(client.source) != node
        await first.nothing_more()


async def until_elsewhere(balanced: Balanced, node: str) -> None:
    """Connect until a client comes to another node; one that is full refuses it."""
    async with asyncio.timeout(PATIENCE):
        while True:
            with contextlib.suppress(ConnectionClosed):
                async with balanced.client(ROOM.format(1)) as client:
                    if await balanced.node_of(client.source) != node:
                        return
            await asyncio.sleep(0.05)
