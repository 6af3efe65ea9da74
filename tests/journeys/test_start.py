"""How roomd starts, and how it says that it cannot: exit code 2 and a message that names the thing and the way out."""

import asyncio
import os
import signal
import socket
import sqlite3
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import jwt
import pytest

from tests.support.daemon import SECRET, Daemon, serving
from tests.support.forking import completed
from tests.support.processes import free_port

SCHEMA = (Path(__file__).parents[2] / "schema.sql").read_text(encoding="utf-8")

Prepare = Callable[[Path], dict[str, str]]
"""Puts a folder into a state and returns environment variables."""


def run(folder: Path, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run `roomd` as a user would, in a folder of their own; a command that should end but serves fails the test."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("ROOMD_")}
    own = {
        "ROOMD_DATABASE_PATH": str(folder / "roomd.db"),
        "ROOMD_SERVER_PORT": str(free_port()),
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    return completed(words, {**clean, **own, **environ}, folder)


def write(file: Path, content: str | bytes, mode: int = 0o600) -> str:
    """Write a file with a mode."""
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    file.chmod(mode)
    return str(file)


def database(folder: Path, script: str) -> dict[str, str]:
    """Make a database where roomd will look for its own."""
    db = sqlite3.connect(folder / "roomd.db")
    db.executescript(script)
    db.close()
    return {}


def corrupt(folder: Path) -> dict[str, str]:
    write(folder / "roomd.db", b"SQLite format 3\x00" + bytes(range(256)) * 64)
    return {}


def torn(folder: Path) -> dict[str, str]:
    """Overwrite the pages after the first of a database that roomd made."""
    database(folder, SCHEMA)
    with (folder / "roomd.db").open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 4096 * 8)
    return {}


def text(folder: Path) -> dict[str, str]:
    write(folder / "roomd.db", "Dear diary, this is no database, and it is long enough to be taken for one.\n" * 99)
    return {}


def a_folder(folder: Path) -> dict[str, str]:
    (folder / "roomd.db").mkdir()
    return {}


FAILURES: dict[str, tuple[Prepare, list[str]]] = {
    "a corrupt database": (corrupt, ["roomd.db: cannot be opened", "not a database"]),
    "a torn database": (torn, ["roomd.db: cannot be", "malformed"]),
    "a text file as database": (text, ["roomd.db: cannot be opened", "not a database"]),
    "a folder as database": (a_folder, ["roomd.db: cannot be opened"]),
    "a file where its folder should be": (
        lambda folder: {"ROOMD_DATABASE_PATH": write(folder / "file", "") + "/roomd.db", "ROOMD_AUTH_SECRET": SECRET},
        ["file/roomd.db: cannot be opened"],
    ),
    "another program's database": (
        lambda folder: database(folder, "CREATE TABLE diary (entry TEXT)"),
        ["roomd.db: is a database of another program", "choose another file"],
    ),
    "another program's database with a version": (
        lambda folder: database(folder, "CREATE TABLE diary (entry TEXT); PRAGMA user_version = 1"),
        ["roomd.db: is a database of another program", "choose another file"],
    ),
    "a newer database": (
        lambda folder: database(folder, f"{SCHEMA}; PRAGMA user_version = 99"),
        ["roomd.db: made by a newer roomd", "schema 99", "install that version or restore a backup"],
    ),
    "an unknown variable": (
        lambda _: {"ROOMD_SERVER_PROT": "1"},
        ["ROOMD_SERVER_PROT: unknown setting", "ROOMD_SERVER_PORT"],
    ),
    "a bad variable": (lambda _: {"ROOMD_SERVER_PORT": "http"}, ["ROOMD_SERVER_PORT: ", "int", "TCP port"]),
    "a variable out of bounds": (lambda _: {"ROOMD_SERVER_PORT": "65536"}, ["ROOMD_SERVER_PORT: ", "<= 65535"]),
    "a bad choice": (
        lambda _: {"ROOMD_DATABASE_SYNCHRONOUS": "OFF"},
        ["ROOMD_DATABASE_SYNCHRONOUS: ", "One of: FULL, NORMAL"],
    ),
    "a short secret": (
        lambda _: {"ROOMD_AUTH_SECRET": "hunter2"},
        ["auth.secret: must be at least 32 bytes", "openssl rand -hex 32"],
    ),
    "a secret file others can read": (
        lambda folder: {"ROOMD_AUTH_SECRET_FILE": write(folder / "key", SECRET, 0o644)},
        ["auth.secret_file: ", "key: others can read it (mode 0644)", "chmod 600"],
    ),
    "a missing secret file": (
        lambda folder: {"ROOMD_AUTH_SECRET_FILE": str(folder / "key")},
        ["auth.secret_file: ", "key: cannot be read: No such file"],
    ),
    "a missing TURN secret file": (
        lambda folder: {"ROOMD_ICE_TURN": "turn:a.example", "ROOMD_ICE_TURN_SECRET_FILE": str(folder / "turn.secret")},
        ["ice.turn_secret_file: ", "turn.secret: cannot be read: No such file"],
    ),
    "two secrets": (
        lambda folder: {"ROOMD_AUTH_SECRET": SECRET, "ROOMD_AUTH_SECRET_FILE": write(folder / "key", SECRET)},
        ["auth.secret", "auth.secret_file", "at most one"],
    ),
    "an address that is not ours": (
        lambda _: {"ROOMD_SERVER_HOST": "192.0.2.1"},
        ["server: cannot listen on 192.0.2.1:", "--host"],
    ),
}


def check_failure(result: subprocess.CompletedProcess[str], expected: list[str]) -> None:
    """Check that a start ended with a message for people that holds all of `expected`, and with 2.

    Or with 1 for what may pass: an address or a database in use.
    """
    may_pass = any(words in result.stderr for words in ("cannot listen", "another roomd is serving"))
    assert result.returncode == (1 if may_pass else 2)
    assert result.stdout == ""
    assert result.stderr.splitlines()[-1].startswith("roomd: ")
    for words in expected:
        assert words in result.stderr
    assert "Traceback" not in result.stderr
    assert "hunter2" not in result.stderr
    assert SECRET not in result.stderr


@pytest.mark.parametrize(("prepare", "expected"), FAILURES.values(), ids=FAILURES.keys())
def test_cannot_start(tmp_path: Path, prepare: Prepare, expected: list[str]) -> None:
    """What is wrong stops the start with 2; the message names the thing and what to do, and there is no traceback."""
    check_failure(run(tmp_path, "serve", **prepare(tmp_path)), expected)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("[server]\nprot = 1\n", ["roomd.toml: server: ", "prot", "allowed: host, port"]),
        ("[sever]\n", ["roomd.toml: top level: ", "sever", "allowed: server, auth"]),
        ("[rooms]\nseat_hold = -1\n", ["roomd.toml: rooms.seat_hold: ", ">= 0"]),
        ("[rooms\n", ["roomd.toml: not valid TOML"]),
    ],
)
def test_bad_file(tmp_path: Path, content: str, expected: list[str]) -> None:
    """An unknown key or a bad value in the file stops the start; the message names file, key and what is allowed."""
    file = write(tmp_path / "roomd.toml", content)
    check_failure(run(tmp_path, "serve", "--config", file), expected)


@pytest.mark.parametrize("key", ["ROOMD_AUTH_SECRET_FILE", "ROOMD_AUTH_PUBLIC_KEY_FILE", "ROOMD_ICE_TURN_SECRET_FILE"])
def test_a_wrong_configuration_leaves_nothing_behind(tmp_path: Path, key: str) -> None:
    """A start that a wrong setting stops has made neither a database nor a secret."""
    environ = {key: str(tmp_path / "none"), "ROOMD_ICE_TURN": "turn:a.example", "ROOMD_ICE_TURN_SECRET": SECRET}
    if "ICE" in key:
        del environ["ROOMD_ICE_TURN_SECRET"]
    check_failure(run(tmp_path, "serve", **environ), ["none: cannot be read"])
    assert list(tmp_path.iterdir()) == []


def test_a_secret_that_others_can_read_stops_a_start_beside_an_issuer(tmp_path: Path) -> None:
    """The secret that roomd made before an issuer was configured is checked before the database is created."""
    write(tmp_path / "roomd.secret", SECRET, 0o644)
    for command in ("check-config", "serve"):
        done = run(tmp_path, command, ROOMD_AUTH_JWKS_URL="http://127.0.0.1:9/keys")
        check_failure(done, ["roomd.secret: others can read it (mode 0644)"])
    assert [file.name for file in tmp_path.iterdir()] == ["roomd.secret"]


@pytest.mark.parametrize("version", [0, 1, 99])
def test_a_foreign_database_is_left_alone(tmp_path: Path, version: int) -> None:
    """A database that roomd refuses is not written to."""
    database(tmp_path, f"CREATE TABLE diary (entry TEXT); PRAGMA user_version = {version}")
    before = (tmp_path / "roomd.db").read_bytes()
    assert run(tmp_path, "serve").returncode == 2
    assert (tmp_path / "roomd.db").read_bytes() == before


@pytest.mark.both_stores
async def test_a_folder_that_is_missing(tmp_path: Path) -> None:
    """The folder of the file is created, also where the rooms are in PostgreSQL: the admin socket is there."""
    database = tmp_path / "srv" / "roomd" / "roomd.db"
    with serving(tmp_path, ROOMD_DATABASE_PATH=str(database)) as daemon:
        assert (await daemon.room())["isActive"]
        assert stat.S_ISSOCK(database.with_suffix(".sock").stat().st_mode)
        assert stat.S_IMODE(database.parent.stat().st_mode) == 0o700


def test_port_taken(tmp_path: Path) -> None:
    """A port that another program listens on stops the start."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        result = run(tmp_path, "serve", ROOMD_SERVER_PORT=str(port))
    check_failure(result, [f"server: cannot listen on 127.0.0.1:{port}", "in use", "--port"])


@pytest.mark.sqlite
async def test_second_daemon(daemon: Daemon, tmp_path: Path) -> None:
    """A second daemon on the same database is refused, and the first goes on serving; links and dots do not hide it."""
    (tmp_path / "link").symlink_to(daemon.database.parent)
    for path in (daemon.database, daemon.database.parent / "." / daemon.database.name, tmp_path / "link" / "roomd.db"):
        result = run(tmp_path, "serve", ROOMD_DATABASE_PATH=str(path))
        check_failure(result, ["roomd.db: another roomd is serving this database", "stop it or choose another file"])
    room = await daemon.room()
    async with daemon.client() as client:
        await client.join(room["code"], guestName="Jane")


@pytest.mark.sqlite
def test_second_daemon_through_a_linked_file(daemon: Daemon, tmp_path: Path) -> None:
    """A symbolic link to the database is the same database."""
    (tmp_path / "other.db").symlink_to(daemon.database)
    result = run(tmp_path, "serve", ROOMD_DATABASE_PATH=str(tmp_path / "other.db"), ROOMD_AUTH_SECRET=SECRET)
    check_failure(result, ["another roomd is serving this database"])


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Daemon]:
    """A daemon that was never started, without a key of its own, its folder not there yet."""
    daemon = Daemon(tmp_path)
    del daemon.environ["ROOMD_AUTH_SECRET"]
    daemon.database = tmp_path / "var" / "lib" / "roomd.db"
    daemon.environ["ROOMD_DATABASE_PATH"] = str(daemon.database)
    yield daemon
    daemon.close()


def minted(daemon: Daemon, *words: str) -> str:
    """Have `roomd token` print a token."""
    result = run(daemon.log.parent, "token", *words, ROOMD_DATABASE_PATH=str(daemon.database))
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout.removesuffix("\n")


@pytest.mark.sqlite
async def test_first_start(fresh: Daemon) -> None:
    """The first start makes the secret, readable by its owner only, and `roomd token` works at once and after the next.

    What the daemon keeps is nobody else's to read.
    """
    await asyncio.to_thread(fresh.start)
    secret = fresh.database.with_suffix(".secret")
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert len(secret.read_bytes()) >= 32
    for file in fresh.database.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) & 0o077 == 0, f"{file} can be read by others"
    token = await asyncio.to_thread(minted, fresh, "--user", "alice", "--name", "Alice", "--ttl", "5m")
    claims = jwt.decode(token, secret.read_bytes(), algorithms=["HS256"])
    assert (claims["sub"], claims["name"]) == ("alice", "Alice")
    async with fresh.client(token=token) as client:
        room = (await client.ask("create-room"))["room"]
        assert (await client.join(room["code"]))["participant"]["displayName"] == "Alice"
    fresh.stop()
    fresh.start()
    async with fresh.client(token=token) as client:
        assert (await client.join(room["code"]))["participant"]["isHost"]
    assert secret.read_text() not in fresh.log.read_text()
    assert token not in fresh.log.read_text()


@pytest.mark.sqlite
def test_no_core_dump(fresh: Daemon) -> None:
    """What is in the memory is never written to disk: neither the process nor the unit allows it."""
    fresh.start()
    limits = Path(f"/proc/{fresh.process.pid}/limits").read_text()
    core = next(line for line in limits.splitlines() if line.startswith("Max core file size"))
    assert core.split()[4:6] == ["0", "0"]
    unit = Path(__file__).parents[2] / "systemd" / "roomd.service"
    assert "LimitCORE=0" in unit.read_text().splitlines()


@pytest.mark.sqlite
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stop(fresh: Daemon, number: int) -> None:
    """A signal ends the daemon with 0, without a traceback, and the port is free again."""
    fresh.start()
    assert fresh.stop(number) == 0
    assert "Traceback" not in fresh.log.read_text()
    socket.create_server(("127.0.0.1", fresh.port)).close()
