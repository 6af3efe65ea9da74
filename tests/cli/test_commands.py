"""The command line as users and scripts see it: usage, configuration, errors and exit codes."""

import asyncio
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from roomd import __version__
from tests.support.commands import (
    DAEMON_STOPPED,
    MISUSED,
    OK,
    REFUSED,
    UNREACHABLE,
    Served,
    as_json,
    roomd,
)
from tests.support.daemon import SECRET, Daemon
from tests.support.processes import PATIENCE

COMMANDS = [
    "serve", "install-service", "join", "token", "check-config", "default-config", "backup", "restore", "check",
    "room create", "room list", "room show", "room update", "room lock", "room unlock", "room end", "room participants",
    "room messages", "room bans", "room ban", "room unban",
]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example(command: str) -> None:
    """The help of every command has its usage and an example."""
    result = roomd(*command.split(), "--help")
    assert result.exit_code == OK
    assert f"Usage: roomd {command} " in result.stdout
    example = result.stdout.partition("Example:\n")[2]
    assert f"roomd {command}" in example
    assert "\b" not in result.stdout


def test_top_level_help_has_the_exit_codes() -> None:
    """The help of `roomd` has the exit codes."""
    result = roomd("--help")
    assert "Exit codes:\n    0  done\n" in result.stdout
    assert roomd("-h").stdout == result.stdout


def test_version() -> None:
    """The first line is the version of roomd; the others are those of what decides how it behaves."""
    first, *others = roomd("--version").stdout.splitlines()
    assert first == f"roomd {__version__}"
    assert [line.split()[0] for line in others] == ["Python", "websockets", "SQLite"]
    assert others[2] == f"SQLite {sqlite3.sqlite_version}"


@pytest.mark.parametrize(("shell", "start"), [("bash", "_roomd_completion"), ("zsh", "#compdef"), ("fish", "complete")])
def test_completion_of_each_shell(shell: str, start: str) -> None:
    """Each shell gets a script of its own."""
    assert roomd(environ={"_ROOMD_COMPLETE": f"source_{shell}"}).stdout.lstrip().startswith(start)


def test_completion(tmp_path: Path) -> None:
    """`--show-completion` prints the script of the shell it runs in, `--install-completion` has that shell load it."""
    environ = {**os.environ, "HOME": str(tmp_path), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}

    def run(option: str) -> str:
        # The command that follows keeps the shell from becoming the program itself.
        command = ["bash", "-c", f"roomd {option}; true"]
        return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=PATIENCE).stdout

    script = run("--show-completion")
    assert "complete -o default -F _roomd_completion roomd" in script
    assert "bash completion installed in" in run("--install-completion")
    (installed,) = (file for file in tmp_path.rglob("*.sh"))
    assert installed.read_text().strip() == script.strip()
    assert str(installed) in (tmp_path / ".bashrc").read_text()


@pytest.mark.parametrize(
    "arguments", [(), ("nonsense",), ("room",), ("room", "show"), ("token",), ("token", "--user", "")]
)
def test_wrong_usage(arguments: tuple[str, ...], nowhere: dict[str, str]) -> None:
    """Wrong usage exits with 2 and prints the usage."""
    result = roomd(*arguments, environ=nowhere | {"ROOMD_AUTH_SECRET": SECRET})
    assert result.exit_code == MISUSED
    assert "Usage: roomd" in result.stderr + result.stdout


def test_serve_passes_its_settings_to_the_daemon(tmp_path: Path) -> None:
    """Flags override the environment, which overrides the file; `serve` exits with the daemon's exit code."""
    file = tmp_path / "roomd.toml"
    file.write_text("[server]\nport = 1\nhost = '0.0.0.0'\n[rooms]\nseat_hold = 5\n")
    served: Served = []
    flags = ("--port", 3, "--database", "x.db", "--log-level", "debug", "--demo")
    environ = {"ROOMD_CONFIG": str(file), "ROOMD_SERVER_HOST": "::1", "ROOMD_SERVER_PORT": "2"}
    assert roomd("serve", *flags, environ=environ, served=served).exit_code == DAEMON_STOPPED
    [(config, demo)] = served
    assert (config.server.port, config.server.host, config.rooms.seat_hold) == (3, "::1", 5.0)
    assert (config.database.path, config.server.log_level) == ("x.db", "debug")
    assert demo == ["--config", str(file), "--database", "x.db"]


@pytest.mark.parametrize("command", [("serve",), ("check-config",), ("token", "--user", "a"), ("room", "list")])
def test_bad_configuration(command: tuple[str, ...], tmp_path: Path) -> None:
    """With an invalid setting every command prints the file, the key and what is allowed, and exits."""
    file = tmp_path / "roomd.toml"
    file.write_text("[server]\nprot = 1\n")
    result = roomd(*command, "--config", file)
    assert (result.exit_code, result.stdout) == (MISUSED, "")
    assert result.stderr.startswith(f"roomd: {file}: server: ")
    assert "prot" in result.stderr
    assert "allowed: host, port" in result.stderr


def test_check_config(tmp_path: Path) -> None:
    """A valid configuration is accepted, a key file that it names must exist, and no file is created."""
    database = tmp_path / "new" / "roomd.db"
    result = roomd("check-config", "--database", database)
    assert result.exit_code == OK
    assert "fine" in result.stdout
    assert not database.parent.exists()
    everywhere = roomd("check-config", environ={"ROOMD_SERVER_HOST": "::"})
    assert "would listen on [::]:8765 (all addresses, IPv6 and IPv4), and" in everywhere.stdout
    several = roomd("check-config", environ={"ROOMD_SERVER_LISTEN": "localhost:1,unix:/run/x.sock"})
    assert "would listen on localhost:1, unix:/run/x.sock, and keep" in several.stdout
    missing = roomd("check-config", environ={"ROOMD_AUTH_PUBLIC_KEY_FILE": str(tmp_path / "none.pem")})
    assert missing.exit_code == MISUSED
    assert "auth.public_key_file" in missing.stderr


def test_check_config_reads_the_turn_secret(tmp_path: Path) -> None:
    """A TURN secret that `roomd serve` would not accept is found: missing, too short, or readable by others."""
    file = tmp_path / "turn.secret"
    environ = {"ROOMD_ICE_TURN": "turn:turn.example", "ROOMD_ICE_TURN_SECRET_FILE": str(file)}
    results = [roomd("check-config", environ=environ)]
    for content, mode in (("short", 0o600), (SECRET, 0o644), (SECRET, 0o600)):
        file.write_text(content)
        file.chmod(mode)
        results.append(roomd("check-config", environ=environ))
    assert [result.exit_code for result in results] == [MISUSED, MISUSED, MISUSED, OK]
    texts = ("cannot be read", "must be at least 20 bytes", "others can read it")
    for result, text in zip(results, texts, strict=False):
        assert f"ice.turn_secret_file: {file}: {text}" in result.stderr


def test_default_config_is_valid(tmp_path: Path) -> None:
    """The output of default-config is a valid configuration."""
    file = tmp_path / "roomd.toml"
    file.write_text(roomd("default-config").stdout)
    assert roomd("check-config", "--config", file).exit_code == OK


@pytest.mark.parametrize(
    "command", [("room", "list"), ("room", "show", "abc-def-ghi"), ("join", "abcdefghi", "--guest", "J")]
)
def test_unreachable(command: tuple[str, ...], nowhere: dict[str, str]) -> None:
    """Without a daemon, a command prints the address that it tried and how to start a daemon."""
    result = roomd(*command, environ=nowhere)
    assert (result.exit_code, result.stdout) == (UNREACHABLE, "")
    url = f"ws://127.0.0.1:{nowhere['ROOMD_SERVER_PORT']}/ws"
    assert f"cannot reach the daemon at {url}: Connection refused" in result.stderr
    assert "roomd serve" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("room", "show", "abc"), "'abc' is no room code"),
        (("room", "list", "--url", "ftp://x"), "must be like ws://127.0.0.1:8765/ws"),
        (("room", "list", "--url", "ws://x:y"), "must be like ws://127.0.0.1:8765/ws"),
        (("room", "list", "--token", "two words"), "must be a JSON Web Token"),
        (("room", "list", "--token", "t", "--as", "alice"), "not both"),
        (("room", "list", "--as", "alice"), "there is no secret"),
        (("room", "create", "--max", "1"), "'--max'"),
        (("join", "abcdefghi", "--guest", "J", "--as", "alice"), "give --guest, or"),
        (("join", "abcdefghi"), "give --guest or --token"),
    ],
)
def test_wrong_values(arguments: tuple[str, ...], text: str, nowhere: dict[str, str]) -> None:
    """An invalid value is refused before the command connects."""
    result = roomd(*arguments, environ=nowhere)
    assert (result.exit_code, result.stdout) == (MISUSED, "")
    assert text in result.stderr


def test_port_0_needs_a_url() -> None:
    """With port 0 a command cannot know the port, and asks for --url."""
    result = roomd("room", "list", environ={"ROOMD_SERVER_PORT": "0"})
    assert result.exit_code == MISUSED
    assert "give --url" in result.stderr


def test_imports_of_the_command_line() -> None:
    """The command line imports no library of the daemon's, and the client's only when a command uses them."""
    program = (
        "import sys; from roomd.cli.app import command_line; command_line();"
        "print(*{'uvloop', 'aiosqlite', 'asyncpg', 'jwt', 'cryptography', 'rich', 'websockets.asyncio.client'} "
        "& set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert done.stdout == "\n"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("show", "aaa-bbb-ccc"), "room_not_found: Room not found\n"),
        (("lock", "CODE", "--as", "mallory"), "not_host: Only the host can do this\n"),
        (("create", "--max", "100000"), "invalid_settings: maxParticipants must be 2 to 1000\n"),
    ],
)
def test_refused(daemon: Daemon, arguments: tuple[str, ...], error: str) -> None:
    """A refusal exits with 1, prints the code and the message to standard error, and nothing to standard output."""
    code = roomd("room", "create", environ=daemon.environ).stdout.strip()
    result = roomd("room", *(code if word == "CODE" else word for word in arguments), environ=daemon.environ)
    assert (result.exit_code, result.stdout, result.stderr) == (REFUSED, "", error)


def test_refused_without_a_valid_token(daemon: Daemon, nowhere: dict[str, str]) -> None:
    """Without a secret a command connects as a guest, and the error says how to change that; no error has the token."""
    guest = roomd("room", "list", "--url", daemon.url, environ=nowhere)
    assert (guest.exit_code, guest.stderr.splitlines()[0]) == (REFUSED, "unauthenticated: Authentication required")
    assert "--database" in guest.stderr
    bad = roomd("room", "list", "--url", daemon.url, "--token", "a.b.c", environ=nowhere)
    assert (bad.exit_code, bad.stderr.splitlines()[0]) == (REFUSED, "invalid_token: Token is not valid")
    assert "a.b.c" not in bad.stderr


def test_given_token_and_url(daemon: Daemon) -> None:
    """A command needs only a URL, in any of its forms, and a token."""
    environ = {"ROOMD_URL": f"http://127.0.0.1:{daemon.port}", "ROOMD_TOKEN": daemon.token("erin")}
    made = as_json(roomd("room", "create", "--json", environ=environ))
    assert made["room"]["hostId"] == "erin"


async def test_closed_without_a_reply(make_daemon: Callable[..., Daemon]) -> None:
    """A daemon at its connection limit counts as unreachable, and the error has the close code."""
    daemon = make_daemon(ROOMD_LIMITS_CONNECTIONS="1")
    code = (await daemon.room())["code"]
    async with daemon.client() as other:
        await other.join(code, guestName="Jane")
        result = await asyncio.to_thread(roomd, "room", "show", "aaa-aaa-aaa", environ=daemon.environ)
    assert (result.exit_code, result.stdout) == (UNREACHABLE, "")
    assert result.stderr.startswith("roomd: the daemon closed the connection (1013")


def test_as_a_program(daemon: Daemon) -> None:
    """As a process of its own, roomd has the same standard output, standard error and exit codes."""
    command = [sys.executable, "-m", "roomd", "room"]
    made = subprocess.run(
        [*command, "create"], env=daemon.environ, capture_output=True, text=True, timeout=PATIENCE, check=True
    )
    code = made.stdout.strip()
    assert (len(code), made.stderr) == (11, "")
    shown = subprocess.run(
        [*command, "show", "aaabbbccc"], env=daemon.environ, capture_output=True, text=True, timeout=PATIENCE
    )
    assert (shown.returncode, shown.stdout, shown.stderr) == (REFUSED, "", "room_not_found: Room not found\n")
