"""What operators see of several nodes, and do with them: status, top, drain, webhooks, whichever node they ask."""

import asyncio
import contextlib
import json
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from websockets import ConnectionClosed

from tests.support.cluster.daemons import Trio, trio, until
from tests.support.cluster.waiting import until as until_so
from tests.support.commands import roomd
from tests.support.daemon import Daemon
from tests.support.postgresql import Server
from tests.support.processes import PATIENCE
from tests.support.receiver import an_endpoint


@pytest.fixture
def three(tmp_path: Path, postgresql: Server) -> Iterator[Trio]:
    """Three daemons that are ready, with an endpoint that nobody listens at."""
    with trio(tmp_path, postgresql, **an_endpoint(tmp_path)) as made:
        yield made


async def command(daemon: Daemon, *arguments: object) -> str:
    """Run a command of the admin interface of a daemon, and return what it prints."""
    socket = daemon.database.with_name("roomd.sock")
    result = await asyncio.to_thread(roomd, *arguments, "--socket", socket)
    assert result.exit_code == 0, result.output
    return result.output


async def nodes(daemon: Daemon) -> dict[str, dict[str, Any]]:
    """Return the nodes of the cluster, as a daemon tells them."""
    return {node["name"]: node for node in json.loads(await command(daemon, "status", "--json"))["nodes"]}


async def nodes_are(daemon: Daemon, state_and_connections: list[tuple[str, int]]) -> dict[str, dict[str, Any]]:
    """Wait until a daemon tells this of the nodes, with one room at one of them; return what it tells.

    On a busy machine a node may answer late, or lose its lease for a moment.
    """

    async def look() -> dict[str, dict[str, Any]]:
        found = await nodes(daemon)
        told = [(node["state"], node["connections"]) for node in found.values()]
        is_so = told == state_and_connections and sum(node["rooms"] for node in found.values()) == 1
        return found if is_so else {}

    return await until_so(look)


@contextlib.asynccontextmanager
async def staying(daemon: Daemon, code: str) -> AsyncIterator[None]:
    """Have somebody in a room who joins again when the connection is ended, as by a node that has lost its lease."""

    async def stay() -> None:
        while True:
            with contextlib.suppress(ConnectionClosed):
                async with daemon.client("bob") as bob:
                    if (await bob.ask("join-room", code=code))["type"] == "participant":
                        await bob.websocket.wait_closed()

    task = asyncio.create_task(stay())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def top_shows(daemon: Daemon, *parts: str) -> None:
    """Wait until `roomd top` shows all of this."""

    async def look() -> bool:
        shown = await command(daemon, "top", "--interval", "0.1")
        return all(part in shown for part in parts)

    await until_so(look)


async def not_ready(daemon: Daemon) -> list[str]:
    """Return why a daemon is not ready; nothing when it is."""

    def ask() -> list[str]:
        try:
            with urlopen(f"http://127.0.0.1:{daemon.port}/readyz", timeout=PATIENCE):
                return []
        except HTTPError as error:
            with error:
                reasons: list[str] = json.load(error)["reasons"]
            return reasons

    return await asyncio.to_thread(ask)


async def test_a_node_is_drained(three: Trio) -> None:
    """From another one: its rooms go on elsewhere, nobody is disconnected, and it is not ready until that is undone."""
    async with AsyncExitStack() as stack:
        code = (await three.daemons["a"].room())["code"]
        clients = {name: await stack.enter_async_context(one.client()) for name, one in three.daemons.items()}
        for name, client in clients.items():
            await client.join(code, guestName=name)
        owner = three.owner(code)
        other = next(name for name in "abc" if name != owner)
        told = await command(three.daemons[other], "cluster", "drain", owner)
        assert f"{owner}: 1 rooms given up" in told
        for number, client in enumerate(clients.values()):
            await client.send("send-message", id="m", text=str(number), clientId=str(number))
            await until(client, "ok")
        for client in clients.values():
            await client.send("ping", id="still here")
            assert (await until(client, "pong"))["id"] == "still here"
        assert three.owner(code) not in ("", owner)
        assert await not_ready(three.daemons[owner]) == ["drained: other nodes have its rooms"]
        assert (await nodes(three.daemons[other]))[owner]["state"] != "serving"
        assert await command(three.daemons[other], "cluster", "drain", owner, "--undo") == (
            f"{owner}: takes rooms again\n"
        )
        assert (await nodes(three.daemons[other]))[owner]["state"] != "drained"
        assert await not_ready(three.daemons[owner]) == []
        socket = three.daemons["a"].database.with_name("roomd.sock")
        result = await asyncio.to_thread(roomd, "cluster", "drain", "x", "--socket", socket)
        assert result.exit_code == 1
        assert "x: does not answer, or is no node; the nodes are: a, b, c" in result.output


async def test_status_and_top(three: Trio) -> None:
    """They show all nodes, from any of them; who does not answer is named within a bounded time."""
    a, b, c = three.daemons.values()
    async with staying(b, (await a.room())["code"]):
        for daemon in (a, b, c):
            found = await nodes_are(daemon, [("serving", 0), ("serving", 1), ("serving", 0)])
            assert all(node["leaseAge"] >= 0 for node in found.values())
        assert "serving" in await command(c, "status")
        await top_shows(c, "1 with 1 people", "3 of 3 answer")
        a.process.send_signal(signal.SIGSTOP)
        async with asyncio.timeout(PATIENCE):
            assert (await nodes(b))["a"]["state"] in ("no answer", "lost")
            while (await nodes(b))["a"]["state"] != "lost":
                pass
        await top_shows(c, "lost")
        a.process.send_signal(signal.SIGCONT)


async def test_webhooks_from_any_node(three: Trio) -> None:
    """Whoever pushes, each node tells how far the endpoint is, and moves it."""
    a, b, c = three.daemons.values()
    async with asyncio.timeout(PATIENCE):
        while not (doer := await asyncio.to_thread(three.doer, "webhook backend")):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    await a.room()
    for daemon in (a, b, c):
        async with asyncio.timeout(PATIENCE):
            while (found := json.loads(await command(daemon, "webhooks", "--json")))["webhooks"][0]["behind"] != 1:
                pass
        assert (found["webhooks"][0]["node"], found["unknown"]) == (doer, [])
    other = next(one for name, one in three.daemons.items() if name != doer)
    await command(other, "webhooks", "skip", "backend")
    for daemon in (a, b, c):
        assert json.loads(await command(daemon, "webhooks", "--json"))["webhooks"][0]["behind"] == 0
