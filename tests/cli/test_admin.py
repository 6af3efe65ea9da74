"""The commands of the admin interface against a real daemon: what an operator sees, and what happens to clients."""

import asyncio
import json
import os
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from roomd import __version__
from roomd.system.unix_sockets import connect_to, listen_on
from tests.support.commands import roomd
from tests.support.daemon import Daemon, serving
from tests.support.forking import completed
from tests.support.processes import PATIENCE

OK, REFUSED, MISUSED, UNREACHABLE = 0, 1, 2, 3
RETRY_LATER = 1


@pytest.fixture
def operated(tmp_path: Path) -> Any:
    """A daemon of its own: what an operator does concerns everybody."""
    with serving(tmp_path) as daemon:
        yield daemon


async def admin(daemon: Daemon, *arguments: str, exits: int = OK) -> str:
    """Run a command, beside clients on this loop; return what it says."""
    result = await asyncio.to_thread(roomd, *arguments, "--database", daemon.database)
    assert result.exit_code == exits, result.output
    return result.output


async def test_status(operated: Daemon) -> None:
    """Rooms, people, connections and addresses, for people and for programs."""
    code = (await operated.room())["code"]
    async with operated.client("alice") as alice, operated.client():
        await alice.join(code)
        found = json.loads(await admin(operated, "status", "--json"))
        assert found["pid"] == operated.process.pid
        assert [found[key] for key in ("rooms", "members", "connections", "strangers", "limit")] == [1, 1, 2, 1, 10_000]
        assert found["database"] == str(operated.database)
        assert found["addresses"] == [f"127.0.0.1:{operated.port}"]
        assert (found["isDraining"], found["logLevel"]) == (False, "info")
        text = await admin(operated, "status")
        assert f"serving, process {operated.process.pid}" in text
        assert "1 with 1 people" in text
        assert "2 of 10000, 1 without a seat and a token" in text


async def test_connections_and_kick(operated: Daemon) -> None:
    """Who is connected is listed, oldest first. One whose connection is closed comes back to the seat."""
    code = (await operated.room())["code"]
    async with operated.client("alice") as alice, operated.client() as jane:
        own = (await alice.join(code))["participant"]
        reply = await jane.join(code, guestName="Jane")
        found = json.loads(await admin(operated, "connections", "--json"))["connections"]
        assert [(each["userId"], each["seat"], each["waits"]) for each in found] == [
            ("alice", code, None),
            (None, code, None),
        ]
        assert [each["participantId"] for each in found] == [own["id"], reply["participant"]["id"]]
        assert all(each["unsent"] == 0 and not each["isFull"] and 0 <= each["seconds"] < PATIENCE for each in found)
        assert reply["participant"]["id"] in await admin(operated, "connections")

        await admin(operated, "kick", str(found[1]["number"]))
        assert await jane.closed() == 1012
        async with operated.client() as again:
            resumed = await again.ask("resume", code=code, resumeToken=reply["resumeToken"])
            assert resumed["participant"]["id"] == reply["participant"]["id"]
        said = await admin(operated, "kick", str(found[1]["number"]), exits=REFUSED)
        assert "there is no connection" in said


async def ready(daemon: Daemon) -> Any:
    """Ask whether new clients should come."""

    def ask() -> Any:
        request = urllib.request.Request(f"http://127.0.0.1:{daemon.port}/readyz")
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as unready:
            with unready:
                return json.load(unready)

    return await asyncio.to_thread(ask)


async def test_drain(operated: Daemon) -> None:
    """Newcomers get 503 and meetings go on: who was there talks, leaves and comes back."""
    code = (await operated.room())["code"]
    async with operated.client("alice") as alice, operated.client("ben") as ben:
        seat = await alice.join(code)
        await admin(operated, "drain")
        assert "draining" in await admin(operated, "status")
        assert await ready(operated) == {"status": "unavailable", "reasons": ["draining"], "version": __version__}
        for request in ({"type_": "join-room", "code": code}, {"type_": "create-room"}):
            refused = await ben.ask(**request)
            assert (refused["statusCode"], refused["code"]) == (503, "restarting")
            assert refused["retryAfter"] > 0
        assert (await alice.ask("send-message", text="Hello"))["type"] == "ok"
        async with operated.client("alice") as again:
            resumed = await again.ask("resume", code=code, resumeToken=seat["resumeToken"])
            assert resumed["participant"]["id"] == seat["participant"]["id"]
        await admin(operated, "drain", "--undo")
        assert (await ready(operated))["status"] == "ready"
        assert (await ben.ask("join-room", code=code))["type"] == "participant"


async def test_log_level(operated: Daemon) -> None:
    """It changes at once, and a level that there is not is refused."""
    await admin(operated, "log-level", "debug")
    assert json.loads(await admin(operated, "status", "--json"))["logLevel"] == "debug"
    async with operated.client() as client:
        await client.nothing_more()
    await asyncio.to_thread(operated.wait_for_log, '"event":"disconnected"')
    await admin(operated, "log-level", "loud", exits=MISUSED)


def raw(daemon: Daemon, request: bytes) -> bytes:
    """Send bytes to the admin socket and return what comes back."""
    with connect_to(daemon.database.with_suffix(".sock"), PATIENCE) as connected:
        connected.sendall(request)
        with connected.makefile("rb") as stream:
            return stream.read()


def test_bad_requests(operated: Daemon) -> None:
    """What is no operation, or no object that it takes, is refused with the reason."""
    for request, status, reason in (
        (b"GET /nothing HTTP/1.1\r\n\r\n", b"404", b"there is no such operation; there are: GET /status"),
        (b"DELETE /status HTTP/1.1\r\n\r\n", b"404", b"no such operation"),
        (b"POST /kick HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}", b"400", b"missing required field `number`"),
        (b"POST /kick HTTP/1.1\r\nContent-Length: 3\r\n\r\n{x}", b"400", b"malformed"),
        (b'POST /log-level HTTP/1.1\r\nContent-Length: 16\r\n\r\n{"level":"loud"}', b"400", b"allowed: debug, info"),
        (b"POST /kick HTTP/1.1\r\nContent-Length: 70000\r\n\r\n" + b"x" * 70_000, b"413", b"too large"),
    ):
        answer = raw(operated, request)
        assert answer.split()[1] == status, answer
        assert reason in answer


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be another user for a moment")
def test_other_users_are_not_served(operated: Daemon) -> None:
    """Neither by the file's mode, nor by their credentials where the mode would let them in."""
    path = operated.database.with_suffix(".sock")
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o666)
    path.parent.chmod(0o711)
    subprocess.run([sys.executable, "-c", AS_NOBODY, path.parent, path.name], timeout=PATIENCE, check=True)
    operated.wait_for_log('"event":"admin refused","uid":65534')


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 404 Not Found\r\n\r\nno JSON", b"nothing\r\n", b"HTTP/1.1 200 OK\r\n\r\n{}"]
)
def test_another_socket(tmp_path: Path, answer: bytes) -> None:
    """That of another program, or of a daemon of another version, is no fault: the message says what to do."""
    path = tmp_path / "other.sock"

    def answer_once(listening: socket.socket) -> None:
        connected, _ = listening.accept()
        with connected:
            connected.recv(4096)
            connected.sendall(answer)

    with listen_on(path, 0o600, 1).socket as listening:
        server = threading.Thread(target=answer_once, args=(listening,))
        server.start()
        result = roomd("status", "--socket", path)
        server.join()
    assert result.exit_code == UNREACHABLE
    assert "is not the admin socket of roomd, or that of another version" in result.output


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be another user for a moment")
@pytest.mark.parametrize("command", [("status",), ("backup", "{}/to.db")])
def test_a_folder_of_somebody_else(tmp_path: Path, command: tuple[str, ...]) -> None:
    """A command that may not look into a folder says so in one line."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    tmp_path.chmod(0o711)
    environ = {"ROOMD_DATABASE_PATH": str(closed / "roomd.db")}
    arguments = [part.format(closed) for part in command]
    os.seteuid(65_534)
    try:
        result = roomd(*arguments, environ=environ)
    finally:
        os.seteuid(0)
    assert result.exit_code in (REFUSED, MISUSED, UNREACHABLE)
    assert not isinstance(result.exception, OSError)
    assert str(closed) in result.output
    assert len(result.output.splitlines()) == 1


def test_no_daemon(tmp_path: Path) -> None:
    """A command that finds none says where it looked and what to do."""
    result = roomd("status", "--database", tmp_path / "roomd.db")
    assert result.exit_code == UNREACHABLE
    assert f"no daemon listens at {tmp_path / 'roomd.sock'}" in result.output
    assert "--socket" in result.output


AS_NOBODY = """
import os, socket, sys
os.chdir(sys.argv[1])  # still as root: those above are closed to others
os.setresuid(65534, 65534, 65534)
connected = socket.socket(socket.AF_UNIX)
connected.connect(sys.argv[2])
try:
    connected.sendall(b"GET /status HTTP/1.0\\r\\n\\r\\n")
    assert connected.recv(1) == b""
except ConnectionError:
    pass
"""


def test_files_in_the_way(tmp_path: Path) -> None:
    """The socket of a dead process is replaced, and one at a long path works. No other file is touched."""
    folder = tmp_path / ("long-" * 30)
    folder.mkdir()
    path = folder / "admin.sock"
    listen_on(path, 0o600, 1).socket.close()
    with listen_on(path, 0o600, 1).socket:
        assert path.stat().st_mode & 0o777 == 0o600
        with connect_to(path, PATIENCE), pytest.raises(FileExistsError, match="another process listens"):
            listen_on(path, 0o600, 1)
    path.unlink()
    path.write_text("precious")
    with pytest.raises(FileExistsError, match="no socket"):
        listen_on(path, 0o600, 1)
    assert path.read_text() == "precious"


def test_a_daemon_whose_socket_cannot_be(tmp_path: Path) -> None:
    """It does not start, and says what to do."""
    (tmp_path / "roomd.sock").write_text("precious")
    result = completed(["serve"], Daemon(tmp_path).environ)
    assert result.returncode == RETRY_LATER
    assert "admin.socket" in result.stderr
    assert "choose another path" in result.stderr


async def test_reload(tmp_path: Path) -> None:
    """What has changed is printed; a file that is wrong changes nothing, and the command says why."""
    file = tmp_path / "roomd.toml"
    file.write_text('[server]\nlog_level = "info"\n')
    with serving(tmp_path, ROOMD_CONFIG=str(file)) as daemon:
        assert await admin(daemon, "reload") == "nothing has changed\n"
        file.write_text('[server]\nlog_level = "debug"\n')
        assert await admin(daemon, "reload") == "server.log_level\n"
        assert json.loads(await admin(daemon, "status", "--json"))["logLevel"] == "debug"
        file.write_text('[server]\nlog_level = "loud"\n')
        assert "server.log_level" in await admin(daemon, "reload", exits=REFUSED)
        file.write_text('[server]\nlog_level = "info"\npath = "/other"\n')
        assert "server.path: cannot change while roomd runs" in await admin(daemon, "reload", exits=REFUSED)
        assert json.loads(await admin(daemon, "status", "--json"))["logLevel"] == "debug"
