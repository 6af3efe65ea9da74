"""What clients and operators see while PostgreSQL, or the bus of a cluster, is away for long."""

import asyncio
import json
import signal
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from tests.support.cluster.daemons import trio, wait_ready
from tests.support.daemon import Daemon, serving
from tests.support.forking import start
from tests.support.postgresql import Server, running
from tests.support.processes import PATIENCE


def health(daemon: Daemon, path: str) -> tuple[int, list[str]]:
    """Return the status of a health check, and the reasons in it."""
    try:
        with urlopen(f"http://127.0.0.1:{daemon.port}{path}", timeout=PATIENCE) as answer:
            return answer.status, []
    except HTTPError as error:
        with error:
            return error.code, json.load(error)["reasons"]


async def until_not_ready(daemon: Daemon, reason: str) -> None:
    """Wait until a daemon says that it is not ready for this reason."""
    async with asyncio.timeout(PATIENCE):
        while reason not in (await asyncio.to_thread(health, daemon, "/readyz"))[1]:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_postgresql_is_away(tmp_path: Path) -> None:
    """The daemon alone: it is not ready, and lives; members are sent away, and are back in their seats after it."""
    with running() as server:
        settings = {"ROOMD_DATABASE_URL": server.create(), "ROOMD_ROOMS_SEAT_HOLD": "30"}
        with serving(tmp_path, **settings) as daemon:
            room = await daemon.room()
            async with daemon.client() as jane, daemon.client("bob") as nobody:
                seat = await jane.join(room["code"], guestName="Jane")
                await asyncio.to_thread(server.stop, signal.SIGQUIT)
                await until_not_ready(daemon, "the database does not answer")
                assert await jane.closed() == 1013
                assert jane.websocket.close_reason == "the database does not answer"
                assert (await asyncio.to_thread(health, daemon, "/healthz"))[0] == 200
                await nobody.nothing_more()  # who has no seat stays
                await asyncio.to_thread(server.start)
                await asyncio.to_thread(wait_ready, daemon)
            async with asyncio.timeout(PATIENCE), daemon.client() as back:
                while (reply := await back.ask("resume", resumeToken=seat["resumeToken"]))["type"] == "error":
                    assert reply["code"] == "unavailable"
                assert reply["participant"]["id"] == seat["participant"]["id"]


@pytest.mark.long
async def test_the_bus_is_away(tmp_path: Path, postgresql: Server) -> None:
    """The nodes are not ready, and live; members are sent away, and are back in their seats after it."""
    with trio(tmp_path, postgresql) as three:
        a, b, _ = three.daemons.values()
        room = await a.room()
        async with b.client() as jane:
            seat = await jane.join(room["code"], guestName="Jane")
            three.nats.stop()
            await until_not_ready(a, "the bus does not answer")
            await until_not_ready(a, "the lease of this node is over")
            assert await jane.closed() == 1013
            assert jane.websocket.close_reason == "the bus does not answer"
            assert (await asyncio.to_thread(health, b, "/healthz"))[0] == 200
            three.nats.start()
            for daemon in three.daemons.values():
                await asyncio.to_thread(wait_ready, daemon)
        async with a.client() as back:
            reply = await back.ask("resume", resumeToken=seat["resumeToken"])
            assert reply["participant"]["id"] == seat["participant"]["id"]


async def test_another_process_has_the_name_of_a_node(tmp_path: Path, postgresql: Server) -> None:
    """The one before ends with an error that says what to do."""
    with trio(tmp_path, postgresql) as three:
        b, a = three.daemons["b"], three.daemons["a"]
        await asyncio.to_thread(b.stop)
        b.environ["ROOMD_CLUSTER_NODE"] = "a"
        b.start()
        assert await asyncio.to_thread(a.process.wait, PATIENCE) == 2
        assert "another process has begun to serve as a; give each node a name of its own" in a.log.read_text()


@pytest.mark.parametrize(
    ("other", "told"),
    [({}, "another process listens there"), ({"ROOMD_ADMIN_SOCKET": "a.sock"}, "cannot listen on 127.0.0.1")],
    ids=["the same files", "the same port"],
)
async def test_a_node_is_started_twice(tmp_path: Path, postgresql: Server, other: dict[str, str], told: str) -> None:
    """The second process of a machine ends, and says what is taken. The first one keeps its name, and serves."""
    with trio(tmp_path, postgresql) as three:
        a = three.daemons["a"]
        before = three.sql("SELECT generation FROM nodes WHERE name = 'a'")
        more = {name: str(tmp_path / value) for name, value in other.items()}
        with (log := tmp_path / "second.log").open("wb") as opened:
            second = start(["-m", "roomd", "serve"], {**a.environ, **more}, opened.fileno(), [])
        assert await asyncio.to_thread(second.wait, PATIENCE) == 1
        assert told in log.read_text()
        assert three.sql("SELECT generation FROM nodes WHERE name = 'a'") == before
        assert a.process.poll() is None
        await asyncio.to_thread(wait_ready, a)
