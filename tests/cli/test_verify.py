"""`roomd verify` against a real daemon: what it prints, what it leaves behind, and how it ends."""

import asyncio
import json
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.daemon import Daemon, serving
from tests.support.forking import completed

FINE, BROKEN, MISUSED, UNREACHABLE = 0, 1, 2, 3
SMALL = ("--seconds", "1.5", "--clients", "8", "--rooms", "2", "--room-size", "3", "--pause", "0.02")
RULES = ("limit", "kept", "versions", "state", "full", "messages", "order", "doubles", "ends", "log", "settled")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A running daemon."""
    with serving(tmp_path_factory.mktemp("verify")) as daemon:
        yield daemon


def verify(daemon: Daemon, *arguments: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    """Run the command."""
    return completed(["verify", *SMALL, *arguments], {**daemon.environ, **environ})


def parsed(done: "subprocess.CompletedProcess[str]") -> dict[str, Any]:
    """Return the report that was printed with --json."""
    assert done.stderr == ""
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def codes(daemon: Daemon) -> list[str]:
    """Return the codes of all rooms of the daemon."""

    async def listed() -> list[str]:
        async with daemon.client(token=daemon.token("root", roomd={"admin": True})) as client:
            return [room["code"] for room in (await client.ask("list-rooms", limit=200))["rooms"]]

    return asyncio.run(listed())


def test_a_good_daemon(served: Daemon) -> None:
    """Each rule is printed with how often it was checked, and held; the rooms are deleted; the exit code is 0."""
    done = verify(served)
    assert (done.returncode, done.stderr) == (FINE, "")
    lines = done.stdout.splitlines()
    for rule in RULES:
        (line,) = [line for line in lines if line.startswith(f"{rule} ")]
        assert line.split()[1] == "held"
        assert int(line.split()[2].replace(",", "")) > 0
    assert lines[-1] == "every rule held"
    assert codes(served) == []


def test_as_json(served: Daemon) -> None:
    """--json prints one document; a seed is kept; users and guests were there."""
    report = parsed(verify(served, "--json", "--seed", "7"))
    assert (report["seed"], report["isFine"], report["isSettled"], report["notes"]) == (7, True, True, [])
    assert tuple(report["rules"]) == RULES
    assert all(checks["checked"] and not checks["broken"] for checks in report["rules"].values())
    assert report["requests"]["join ok"] > 0


def test_rooms_are_kept(served: Daemon) -> None:
    """--keep leaves the rooms, which have ended, for a look at them."""
    report = parsed(verify(served, "--json", "--keep"))
    assert set(codes(served)) == set(report["rooms"])
    for code in report["rooms"]:
        assert completed(["room", "delete", code], served.environ).returncode == 0


def test_faults(served: Daemon, tmp_path: Path) -> None:
    """The commands of --fault and --start are run in turn, and repaired in the end."""
    record = tmp_path / "record"
    broken, repaired = (f"echo {word} >> {shlex.quote(str(record))}" for word in ("broken", "repaired"))
    report = parsed(
        verify(served, "--json", "--fault", broken, "--start", repaired, "--interval", "0.2", "--down", "0.1")
    )
    assert report["faults"] >= 2
    assert record.read_text().split() == ["broken", "repaired"] * report["faults"]


def test_a_fault_whose_command_fails(served: Daemon) -> None:
    """The run ends, the rooms are deleted, and the exit code says that nothing was checked."""
    done = verify(served, "--fault", "exit 7", "--interval", "0.1")
    assert done.returncode == MISUSED
    assert done.stderr == "roomd: exit status 7 of: exit 7\n"
    assert codes(served) == []


def test_only_a_token(served: Daemon, tmp_path: Path) -> None:
    """With an admin's token and no secret everybody is a guest; the event log is read."""
    token = served.token("root", roomd={"admin": True})
    elsewhere = {"ROOMD_AUTH_SECRET": "", "ROOMD_DATABASE_PATH": str(tmp_path / "none.db"), "ROOMD_TOKEN": token}
    report = parsed(verify(served, "--json", served.url, **elsewhere))
    assert (report["isFine"], report["notes"]) == (True, [])
    assert report["rules"]["log"]["checked"] > 0


def test_a_token_command(served: Daemon, tmp_path: Path) -> None:
    """The command gets the user id in the place of {user}; one that fails ends the run."""
    mint = tmp_path / "mint.py"
    mint.write_text(
        "import sys, time, jwt\n"
        f"print(jwt.encode({{'sub': sys.argv[1], 'exp': int(time.time()) + 600}}, {served.secret!r}, 'HS256'))\n"
    )
    command = f"{shlex.quote(sys.executable)} {shlex.quote(str(mint))} {{user}}"
    report = parsed(verify(served, "--json", "--clients", "3", "--token-command", command))
    assert report["isFine"]
    failed = verify(served, "--token-command", "exit 3; # {user}")
    assert failed.returncode == MISUSED
    assert "--token-command ended with 3" in failed.stderr


def test_without_the_right_to_read_the_log(served: Daemon) -> None:
    """A user who is no admin makes the rooms; the report says that the event log was not read."""
    done = verify(served, "--as", "alice")
    assert done.returncode == FINE
    assert "the event log cannot be read: not_host" in done.stdout
    assert any(line.startswith("log ") and "not checked" in line for line in done.stdout.splitlines())
    assert codes(served) == []


def test_wrong_usage(served: Daemon) -> None:
    """Two faults and three repairs do not belong together."""
    done = verify(served, *("--fault", "true") * 2, *("--start", "true") * 3)
    assert done.returncode == MISUSED
    assert "one --start for each --fault" in done.stderr


def test_nobody_there(nowhere: dict[str, str]) -> None:
    """Without a daemon the exit code is that of every command."""
    done = completed(["verify", *SMALL], nowhere)
    assert done.returncode == UNREACHABLE
