"""A daemon that systemd starts: the sockets it gets, what it says, and how a start fails that clients wait for."""

import asyncio
import json
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from websockets.asyncio.client import unix_connect

from tests.support.activation import ActivatedDaemon, spawn_with
from tests.support.daemon import Client, Daemon
from tests.support.processes import MEASURED, PATIENCE

JANE = {"guestName": "Jane"}
SERVE = [sys.executable, "-m", "roomd", "serve"]


@pytest.fixture
def activated(tmp_path: Path) -> Iterator[ActivatedDaemon]:
    daemon = ActivatedDaemon(tmp_path, **MEASURED)
    yield daemon
    daemon.close()


async def test_a_restart_refuses_nobody(activated: ActivatedDaemon) -> None:
    """Inherited sockets replace those of the configuration; who comes during a restart waits, and is served."""
    await asyncio.to_thread(activated.start)
    code = (await activated.room())["code"]
    async with activated.client() as guest, unix_connect(str(activated.path), "ws://localhost/ws") as websocket:
        seat = await guest.join(code, **JANE)
        await Client(websocket).join(code, guestName="Joan")
        await guest.events()
        stopping = asyncio.create_task(asyncio.to_thread(activated.stop))
        hint = await guest.receive()
        assert (hint["type"], 0 <= hint["retryAfter"] <= 1) == ("server-restarting", True)
        assert await guest.closed() == 1012
        assert await stopping == 0
    assert activated.path.is_socket()

    async def come_back() -> str:
        async with activated.client() as client:
            resumed = await client.ask("resume", resumeToken=seat["resumeToken"])
            return str(resumed["participant"]["id"])

    async def come_by_unix() -> None:
        async with unix_connect(str(activated.path), "ws://localhost/ws", open_timeout=PATIENCE) as websocket:
            await Client(websocket).nothing_more()

    coming = [asyncio.create_task(come_back()), asyncio.create_task(come_by_unix())]
    await asyncio.to_thread(activated.start)
    assert (await asyncio.gather(*coming))[0] == seat["participant"]["id"]
    lines = [json.loads(line) for line in activated.log.read_text().splitlines()]
    listening = [line for line in lines if line["event"] == "listening"][-2:]
    assert [(line.get("port"), line.get("socket")) for line in listening] == [
        (activated.port, None), (None, str(activated.path))
    ]  # fmt: skip


async def test_what_systemd_is_told(activated: ActivatedDaemon, tmp_path: Path) -> None:
    """READY when it serves, the rooms and connections, the watchdog, and STOPPING."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.settimeout(PATIENCE)
        systemd.bind(str(tmp_path / "notify"))

        def read() -> str:
            return systemd.recv(4096).decode()

        activated.environ |= {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "100000"}
        await asyncio.to_thread(activated.start)
        assert await asyncio.to_thread(read) == "READY=1"
        assert await asyncio.to_thread(read) == "WATCHDOG=1\nSTATUS=0 rooms, 0 connected"
        async with activated.client() as guest:
            await guest.join((await activated.room())["code"], **JANE)
            while "STATUS=1 rooms, 1 connected" not in await asyncio.to_thread(read):
                pass
        stopping = asyncio.create_task(asyncio.to_thread(activated.stop))
        while await asyncio.to_thread(read) != "STOPPING=1":
            pass
        assert await stopping == 0


NO_FILE = "/proc/none/roomd.db"


@pytest.mark.parametrize(
    ("wrong", "code", "message"),
    [
        pytest.param({"ROOMD_SERVER_PING_INTERVAL": "x"}, 2, "ROOMD_SERVER_PING_INTERVAL", id="configuration"),
        pytest.param(
            {"ROOMD_DATABASE_PATH": NO_FILE}, 2, f"{NO_FILE}: cannot be opened", id="database", marks=pytest.mark.sqlite
        ),
    ],
)
def test_clients_do_not_wait_for_a_start_that_fails(
    activated: ActivatedDaemon, wrong: dict[str, str], code: int, message: str
) -> None:
    """Each is answered 503, by every socket; who comes later waits for the next start."""
    clients = [socket.create_connection(("127.0.0.1", activated.port), PATIENCE) for _ in range(3)]
    clients.append(socket.socket(socket.AF_UNIX))
    clients[-1].settimeout(PATIENCE)
    clients[-1].connect(str(activated.path))
    for client in clients[1:]:  # the first has sent nothing yet
        client.sendall(b"GET /ws HTTP/1.1\r\nHost: x\r\n\r\n")
    failed = serve(activated.sockets, {**activated.environ, **wrong})
    assert (failed.returncode, message in failed.stderr, "Traceback" in failed.stderr) == (code, True, False)
    for client in clients:
        with client, client.makefile("rb") as answer:
            assert answer.read().startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    with socket.create_connection(("127.0.0.1", activated.port), PATIENCE) as late:
        late.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        activated.start()
        assert late.recv(100).startswith(b"HTTP/1.1 200 OK\r\n")


def serve(sockets: Sequence[socket.socket], environ: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    """Start a daemon that fails, and return what it said."""
    with spawn_with(sockets, SERVE, env=environ, stderr=subprocess.PIPE, text=True) as process:
        _, problems = process.communicate(timeout=PATIENCE)
    return subprocess.CompletedProcess(SERVE, process.returncode, stderr=problems)


def test_a_socket_that_cannot_be_served(activated: ActivatedDaemon) -> None:
    """One of datagrams is refused with what to change in the unit."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as wrong:
        failed = serve([activated.sockets[0], wrong], activated.environ)
    assert (failed.returncode, failed.stderr) == (
        2,
        "roomd: descriptor 4 of LISTEN_FDS is no listening socket of TCP or for streams of Unix; in the socket unit "
        "use ListenStream= and Accept=no\n",
    )


WRONG_VARIABLES = {
    "no number": ({"LISTEN_FDS": "many"}, "LISTEN_FDS is 'many', and must be a number"),
    "no socket there": ({"LISTEN_FDS": "1"}, "descriptor 3 of LISTEN_FDS cannot be used: Bad file descriptor"),
}


@pytest.mark.parametrize(("wrong", "message"), WRONG_VARIABLES.values(), ids=WRONG_VARIABLES.keys())
def test_wrong_variables(activated: ActivatedDaemon, wrong: dict[str, str], message: str) -> None:
    """They are refused with a clear line."""
    script = 'export LISTEN_PID=$$; exec "$@"'
    command = ["bash", "-c", script, "bash", *SERVE]
    failed = subprocess.run(command, env=activated.environ | wrong, capture_output=True, text=True, timeout=PATIENCE)
    assert (failed.returncode, failed.stderr) == (2, f"roomd: {message}\n")


def test_sockets_of_another_process(tmp_path: Path) -> None:
    """Variables that are meant for a parent are ignored: the daemon listens where its configuration says."""
    daemon = Daemon(tmp_path, LISTEN_PID="1", LISTEN_FDS="1")
    daemon.start()
    daemon.close()
