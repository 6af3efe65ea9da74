"""The command line as its users and their scripts see it: output, standard error, exit codes."""

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
from typer.testing import CliRunner, Result

from roomd import __version__
from roomd.cli.app import build
from roomd.config import Config
from tests.support.daemon import SECRET, Daemon
from tests.support.processes import PATIENCE, free_port

OK, REFUSED, MISUSED, UNREACHABLE = 0, 1, 2, 3
DAEMON_STOPPED = 9

COMMANDS = [
    "serve", "join", "token", "check-config", "default-config",
    "room create", "room list", "room show", "room update", "room lock", "room unlock", "room end", "room participants",
    "room messages", "room bans", "room unban",
]  # fmt: skip

Served = list[tuple[Config, bool]]


def roomd(*arguments: object, environ: dict[str, str] | None = None, served: Served | None = None) -> Result:
    """Run a command in this process; `served` collects what the daemon would be started with."""

    def serve(config: Config, demo: bool) -> int:
        assert served is not None, "this command must not start a daemon"
        served.append((config, demo))
        return DAEMON_STOPPED

    inherited: dict[str, str | None] = {name: None for name in os.environ if name.startswith("ROOMD_")}
    runner = CliRunner(env={**inherited, **(environ or {})})
    return runner.invoke(
        build(serve), [str(argument) for argument in arguments], catch_exceptions=False, prog_name="roomd"
    )


def as_json(result: Result) -> Any:
    """Return the one JSON document a command printed."""
    assert (result.exit_code, result.stderr) == (OK, "")
    return json.loads(result.stdout)


@pytest.fixture
def nowhere(tmp_path: Path) -> dict[str, str]:
    """The environment of a daemon that was never started."""
    return {"ROOMD_SERVER_PORT": str(free_port()), "ROOMD_DATABASE_PATH": str(tmp_path / "roomd.db")}


@pytest.mark.parametrize("command", COMMANDS)
def test_help_is_worth_reading(command: str) -> None:
    """Every command says what it does and shows an example of itself."""
    result = roomd(*command.split(), "--help")
    assert result.exit_code == OK
    assert f"Usage: roomd {command} " in result.stdout
    example = result.stdout.partition("Example:\n")[2]
    assert f"roomd {command}" in example
    assert "\b" not in result.stdout


def test_top_level_help_has_the_exit_codes() -> None:
    """A script's author finds the exit codes without the README."""
    result = roomd("--help")
    assert "Exit codes:\n    0  done\n" in result.stdout
    assert roomd("--version").stdout == f"roomd {__version__}\n"


@pytest.mark.parametrize(
    "arguments", [(), ("nonsense",), ("room",), ("room", "show"), ("token",), ("token", "--user", "")]
)
def test_wrong_usage(arguments: tuple[str, ...], nowhere: dict[str, str]) -> None:
    """Wrong usage is exit code 2, and says how it is used."""
    result = roomd(*arguments, environ=nowhere | {"ROOMD_AUTH_SECRET": SECRET})
    assert result.exit_code == MISUSED
    assert "Usage: roomd" in result.stderr + result.stdout


def test_serve_gives_the_daemon_its_settings(tmp_path: Path) -> None:
    """Flags win over the environment, the environment over the file; the daemon's exit code is roomd's."""
    file = tmp_path / "roomd.toml"
    file.write_text("[server]\nport = 1\nhost = '0.0.0.0'\n[rooms]\nseat_hold = 5\n")
    served: Served = []
    flags = ("--port", 3, "--database", "x.db", "--log-level", "debug", "--demo")
    environ = {"ROOMD_CONFIG": str(file), "ROOMD_SERVER_HOST": "::1", "ROOMD_SERVER_PORT": "2"}
    assert roomd("serve", *flags, environ=environ, served=served).exit_code == DAEMON_STOPPED
    [(config, demo)] = served
    assert (config.server.port, config.server.host, config.rooms.seat_hold) == (3, "::1", 5.0)
    assert (config.database.path, config.server.log_level, demo) == ("x.db", "debug", True)


@pytest.mark.parametrize("command", [("serve",), ("check-config",), ("token", "--user", "a"), ("room", "list")])
def test_bad_configuration(command: tuple[str, ...], tmp_path: Path) -> None:
    """A wrong setting stops every command with the file, the key and what is allowed."""
    file = tmp_path / "roomd.toml"
    file.write_text("[server]\nprot = 1\n")
    result = roomd(*command, "--config", file)
    assert (result.exit_code, result.stdout) == (MISUSED, "")
    assert result.stderr.startswith(f"roomd: {file}: server: ")
    assert "prot" in result.stderr
    assert "allowed: host, port" in result.stderr


def test_check_config(tmp_path: Path) -> None:
    """A fine configuration is said to be fine; a key it names is looked at; nothing is made."""
    database = tmp_path / "new" / "roomd.db"
    result = roomd("check-config", "--database", database)
    assert result.exit_code == OK
    assert "fine" in result.stdout
    assert not database.parent.exists()
    missing = roomd("check-config", environ={"ROOMD_AUTH_PUBLIC_KEY_FILE": str(tmp_path / "none.pem")})
    assert missing.exit_code == MISUSED
    assert "auth.public_key_file" in missing.stderr


def test_check_config_looks_at_every_secret(tmp_path: Path) -> None:
    """What would stop `roomd serve` is found: a TURN secret that is not there, short, or open to others."""
    file = tmp_path / "turn.secret"
    environ = {"ROOMD_ICE_TURN": "turn:turn.example", "ROOMD_ICE_TURN_SECRET_FILE": str(file)}
    results = [roomd("check-config", environ=environ)]
    for content, mode in (("short", 0o600), (SECRET, 0o644), (SECRET, 0o600)):
        file.write_text(content)
        file.chmod(mode)
        results.append(roomd("check-config", environ=environ))
    assert [result.exit_code for result in results] == [MISUSED, MISUSED, MISUSED, OK]
    words = ("cannot be read", "must be at least 20 bytes", "others can read it")
    for result, said in zip(results, words, strict=False):
        assert f"ice.turn_secret_file: {file}: {said}" in result.stderr


def test_default_config_is_a_configuration(tmp_path: Path) -> None:
    """What default-config prints can be used as it is."""
    file = tmp_path / "roomd.toml"
    file.write_text(roomd("default-config").stdout)
    assert roomd("check-config", "--config", file).exit_code == OK


def claims(*arguments: str) -> dict[str, Any]:
    """Return what the token printed by `roomd token` says."""
    result = roomd("token", *arguments, environ={"ROOMD_AUTH_SECRET": SECRET})
    assert (result.exit_code, result.stderr) == (OK, "")
    said: dict[str, Any] = jwt.decode(result.stdout.removesuffix("\n"), SECRET, algorithms=["HS256"])
    return said


def test_token() -> None:
    """The bare token says who, for how long, and with which rights."""
    said = claims("--user", "alice", "--name", "Alice", "--admin", "--room", "ABC DEF GHI")
    assert (said["sub"], said["name"], said["roomd"]) == ("alice", "Alice", {"admin": True, "room": "abc-def-ghi"})
    assert "roomd" not in claims("--user", "alice")


@pytest.mark.parametrize(("ttl", "seconds"), [("90s", 90), ("15m", 900), ("1h", 3600), ("7d", 604_800)])
def test_token_lives(ttl: str, seconds: int) -> None:
    """A time to live is written as people write it."""
    said = claims("--user", "alice", "--ttl", ttl)
    assert said["exp"] - said["iat"] == pytest.approx(seconds, abs=1)


@pytest.mark.parametrize("ttl", ["", "5", "1w", "-1h", "0s", "1.5h"])
def test_token_lives_refused(ttl: str) -> None:
    """A time to live that is none is refused, with what is allowed."""
    result = roomd("token", "--user", "alice", f"--ttl={ttl}", environ={"ROOMD_AUTH_SECRET": SECRET})
    assert result.exit_code == MISUSED
    assert "90s, 15m, 1h or 7d" in result.stderr


def test_token_without_a_secret(nowhere: dict[str, str], tmp_path: Path) -> None:
    """Where there is no secret, roomd says where one would come from, and makes none."""
    result = roomd("token", "--user", "alice", environ=nowhere)
    assert (result.exit_code, result.stdout) == (MISUSED, "")
    assert "start `roomd serve` once" in result.stderr
    assert list(tmp_path.iterdir()) == []
    issuer = roomd("token", "--user", "alice", environ=nowhere | {"ROOMD_AUTH_JWKS_URL": "https://issuer.example/jwks"})
    assert issuer.exit_code == MISUSED
    assert "roomd cannot make them" in issuer.stderr


@pytest.mark.parametrize(
    "command", [("room", "list"), ("room", "show", "abc-def-ghi"), ("join", "abcdefghi", "--guest", "J")]
)
def test_unreachable(command: tuple[str, ...], nowhere: dict[str, str]) -> None:
    """Without a daemon, a client says which address it tried and how to start one."""
    result = roomd(*command, environ=nowhere)
    assert (result.exit_code, result.stdout) == (UNREACHABLE, "")
    url = f"ws://127.0.0.1:{nowhere['ROOMD_SERVER_PORT']}/ws"
    assert f"cannot reach the daemon at {url}: Connection refused" in result.stderr
    assert "roomd serve" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
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
def test_wrong_values(arguments: tuple[str, ...], words: str, nowhere: dict[str, str]) -> None:
    """A value that cannot be is refused before anything is connected."""
    result = roomd(*arguments, environ=nowhere)
    assert (result.exit_code, result.stdout) == (MISUSED, "")
    assert words in result.stderr


def test_a_port_only_the_daemon_knows() -> None:
    """With port 0 the client cannot guess."""
    result = roomd("room", "list", environ={"ROOMD_SERVER_PORT": "0"})
    assert result.exit_code == MISUSED
    assert "give --url" in result.stderr


def test_starts_without_what_only_the_daemon_needs() -> None:
    """The command line loads neither the daemon's libraries nor, before they are used, the client's."""
    program = (
        "import sys; from roomd.cli.app import build; build(lambda *_: 0);"
        "print(*{'uvloop', 'aiosqlite', 'jwt', 'cryptography', 'rich', 'websockets.asyncio.client'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert done.stdout == "\n"


def test_room_life(daemon: Daemon) -> None:
    """A room is made, shown, locked, opened and ended from the command line, its code typed anyhow."""
    code = roomd("room", "create", "--name", "Weekly", "--max", 3, environ=daemon.environ).stdout.strip()
    loose = code.replace("-", " ").upper()

    def sheet() -> dict[str, str]:
        lines = roomd("room", "show", loose, environ=daemon.environ).stdout.splitlines()
        return {line[:14].strip(): line[14:] for line in lines}

    shown = sheet()
    assert (shown["code"], shown["name"], shown["host"]) == (code, "Weekly", "operator")
    assert (shown["state"], shown["seats"], shown["guests"], shown["you may join"]) == (
        "open",
        "0 of 3",
        "allowed",
        "yes",
    )
    assert roomd("room", "lock", loose, environ=daemon.environ).stdout == f"{code} (Weekly) is locked\n"
    assert sheet()["state"] == "locked"
    assert sheet()["you may join"] == "no, room_locked: Room is locked"
    assert roomd("room", "unlock", loose, environ=daemon.environ).stdout == f"{code} (Weekly) is open\n"
    assert roomd("room", "end", loose, environ=daemon.environ).stdout == f"{code} (Weekly) has ended\n"
    assert (sheet()["state"], "ended" in sheet()) == ("ended", True)


def test_room_as_json(daemon: Daemon) -> None:
    """For scripts, every command prints one document, as the wire gives it."""
    made = as_json(roomd("room", "create", "--no-guests", "--as", "carol", "--json", environ=daemon.environ))
    code = made["room"]["code"]
    assert made["type"] == "room"
    assert "id" not in made
    assert (made["room"]["hostId"], made["room"]["allowGuestAccess"]) == ("carol", False)
    shown = as_json(roomd("room", "show", code, "--json", environ=daemon.environ))
    assert shown == {**made, "admission": {"allowed": True}}
    for command in ("lock", "unlock", "end"):
        changed = as_json(roomd("room", command, code, "--json", environ=daemon.environ))["room"]
        assert (changed["isLocked"], changed["isActive"]) == (command == "lock", command != "end")


def test_room_list(daemon: Daemon) -> None:
    """A user lists their own rooms, an admin every room; --active and --ended choose."""
    for _ in range(3):
        roomd("room", "create", "--as", "dora", environ=daemon.environ)
    mine = as_json(roomd("room", "list", "--as", "dora", "--json", environ=daemon.environ))
    assert len(mine["rooms"]) == 3
    code = mine["rooms"][0]["code"]
    roomd("room", "end", code, environ=daemon.environ)
    ended = roomd("room", "list", "--ended", "--as", "dora", environ=daemon.environ).stdout.splitlines()
    assert [line.split()[0] for line in ended] == ["CODE", code]
    active = as_json(roomd("room", "list", "--active", "--as", "dora", "--json", environ=daemon.environ))
    assert len(active["rooms"]) == 2
    assert code in roomd("room", "list", environ=daemon.environ).stdout


async def test_participants(daemon: Daemon) -> None:
    """Who is there, and with --history who was."""
    room = await daemon.room()
    command = ("room", "participants", room["code"])
    async with daemon.client() as jane, daemon.client("bob") as bob:
        await jane.join(room["code"], guestName="Jane")
        await bob.join(room["code"])
        await bob.ask("leave-room")
        here = await asyncio.to_thread(roomd, *command, environ=daemon.environ)
        ever = await asyncio.to_thread(roomd, *command, "--history", environ=daemon.environ)
    rows = [line.split()[:3] for line in here.stdout.splitlines()]
    assert rows == [["STATE", "NAME", "USER"], ["here", "Jane", "-"]]
    rows = [line.split()[:3] for line in ever.stdout.splitlines()]
    assert rows[1:] == [["here", "Jane", "-"], ["left", "bob", "bob"]]


def test_room_update(daemon: Daemon) -> None:
    """Settings change from the command line, those that are given and no others."""
    code = roomd("room", "create", "--name", "Weekly", "--waiting-room", environ=daemon.environ).stdout.strip()
    options = ("--name", "Daily", "--max", 7, "--no-guests", "--no-waiting-room")
    sheet = roomd("room", "update", code, *options, environ=daemon.environ).stdout
    for word, value in (("name", "Daily"), ("guests", "not allowed"), ("newcomers", "come in at once")):
        assert f"{word:<14}{value}\n" in sheet
    changed = as_json(roomd("room", "update", code, "--waiting-room", "--json", environ=daemon.environ))["room"]
    assert (changed["waitingRoom"], changed["name"], changed["maxParticipants"]) == (True, "Daily", 7)
    nothing = roomd("room", "update", code, environ=daemon.environ)
    assert (nothing.exit_code, "give a setting to change" in nothing.stderr) == (MISUSED, True)


async def test_messages_name_whom_they_are_to(daemon: Daemon) -> None:
    """A private message is shown with the name of whom it was for, also after they left; JSON has the id."""
    room = await daemon.room("alice")
    async with daemon.client("alice") as alice, daemon.client() as jane, daemon.client("bob") as bob:
        host = (await alice.join(room["code"]))["participant"]["id"]
        seat = await jane.join(room["code"], guestName="Jane Smith")
        await bob.join(room["code"])
        private = [(alice, "psst", seat["participant"]["id"]), (bob, "hey", host)]
        for client, text, to in [(alice, "hello", None), *private]:
            await client.send("send-message", id="said", text=text, to=to)
            while (await client.receive()).get("id") != "said":
                pass
        await jane.send("leave-room")
        while (await jane.receive())["type"] != "participant":
            pass

        async def run(*arguments: str) -> Result:
            return await asyncio.to_thread(roomd, "room", "messages", room["code"], *arguments, environ=daemon.environ)

        rows = [re.split("  +", line) for line in (await run("--as", "alice")).stdout.splitlines()]
        everyone = ["everyone", "hello"]
        assert [row[2:] for row in rows[1:]] == [everyone, ["Jane Smith", "psst"], ["alice", "hey"]]
        rows = [re.split("  +", line) for line in (await run("--as", "bob")).stdout.splitlines()]
        assert [row[2:] for row in rows[1:]] == [everyone, ["alice", "hey"]]
        said = as_json(await run("--as", "alice", "--json"))["messages"]
        assert [one["to"] for one in said] == [None, seat["participant"]["id"], host]


async def test_messages_and_bans(daemon: Daemon) -> None:
    """A host reads what was said and who is banned, and lets them come back, from outside the room."""
    room = await daemon.room("alice")
    async with daemon.client("alice") as alice, daemon.client("bob") as bob:
        await alice.join(room["code"])
        seat = await bob.join(room["code"])
        await bob.ask("send-message", text="Buy\x1b now")
        reason = {"ban": True, "reason": "spam"}
        await alice.send("remove-participant", id="x", participantId=seat["participant"]["id"], **reason)
        await bob.closed()
        host = ("--as", "alice")

        async def run(*arguments: str) -> Result:
            return await asyncio.to_thread(roomd, "room", *arguments, *host, environ=daemon.environ)

        said = await run("messages", room["code"])
        rows = [line.split("  ") for line in said.stdout.splitlines()]
        assert [row[-1] for row in rows] == ["TEXT", "Buy\\x1b now"]
        assert as_json(await run("messages", room["code"], "--json"))["messages"][0]["displayName"] == "bob"
        banned = (await run("bans", room["code"])).stdout.splitlines()
        assert [line.split()[0] for line in banned] == ["USER", "bob"]
        assert banned[1].endswith("spam")
        assert as_json(await run("bans", room["code"], "--json"))["bans"][0]["userId"] == "bob"
        assert (await run("unban", room["code"], "bob")).exit_code == OK
        assert as_json(await run("bans", room["code"], "--json"))["bans"] == []


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("show", "aaa-bbb-ccc"), "room_not_found: Room not found\n"),
        (("lock", "CODE", "--as", "mallory"), "not_host: Only the host can do this\n"),
        (("create", "--max", "100000"), "invalid_settings: maxParticipants must be 2 to 1000\n"),
    ],
)
def test_refused(daemon: Daemon, arguments: tuple[str, ...], error: str) -> None:
    """A refusal is exit code 1, the code and the message on standard error, and nothing on standard output."""
    code = roomd("room", "create", environ=daemon.environ).stdout.strip()
    result = roomd("room", *(code if word == "CODE" else word for word in arguments), environ=daemon.environ)
    assert (result.exit_code, result.stdout, result.stderr) == (REFUSED, "", error)


def test_refused_for_want_of_a_token(daemon: Daemon, nowhere: dict[str, str]) -> None:
    """Without a secret at hand a client is a guest; a bad token is said to be bad. Both hear what to do."""
    guest = roomd("room", "list", "--url", daemon.url, environ=nowhere)
    assert (guest.exit_code, guest.stderr.splitlines()[0]) == (REFUSED, "unauthenticated: Authentication required")
    assert "--database" in guest.stderr
    bad = roomd("room", "list", "--url", daemon.url, "--token", "a.b.c", environ=nowhere)
    assert (bad.exit_code, bad.stderr.splitlines()[0]) == (REFUSED, "invalid_token: Token is not valid")
    assert "a.b.c" not in bad.stderr


def test_given_token_and_url(daemon: Daemon) -> None:
    """A client far from the daemon needs nothing but a URL, typed anyhow, and a token."""
    environ = {"ROOMD_URL": f"http://127.0.0.1:{daemon.port}", "ROOMD_TOKEN": daemon.token("erin")}
    made = as_json(roomd("room", "create", "--json", environ=environ))
    assert made["room"]["hostId"] == "erin"


async def test_closed_without_an_answer(make_daemon: Callable[..., Daemon]) -> None:
    """A daemon at its connection limit cannot be reached just now, and the close says so."""
    daemon = make_daemon(ROOMD_LIMITS_CONNECTIONS="1")
    async with daemon.client() as other:
        await other.nothing_more()
        result = await asyncio.to_thread(roomd, "room", "show", "aaa-aaa-aaa", environ=daemon.environ)
    assert (result.exit_code, result.stdout) == (UNREACHABLE, "")
    assert result.stderr.startswith("roomd: the daemon closed the connection (1013")


def test_as_a_program(daemon: Daemon) -> None:
    """The same as a process of its own: standard output, standard error, exit code."""
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
