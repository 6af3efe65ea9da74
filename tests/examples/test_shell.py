"""The shell programs of docs/how-to."""

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path

from roomd.client import join
from roomd.testing import Daemon
from tests.support.programs import EXAMPLES, PAGES, code_of_room, program


def run(daemon: Daemon, *arguments: str, token: str) -> subprocess.CompletedProcess[str]:
    """Run weekly.sh as cron does: with no terminal, and its variables from the table."""
    environ = {"PATH": os.environ["PATH"], "ROOMD": daemon.http_url, "ROOMD_TOKEN": token}
    command = ["bash", str(EXAMPLES / "weekly.sh"), *arguments]
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=120, check=False)


def test_a_job_of_cron(daemon: Daemon) -> None:
    """cron.md: the room of a week is made once, however often the job runs, and its link is printed."""
    token = daemon.token("cron", admin=True)
    first, again = (run(daemon, "2026-03-03", token=token) for _ in range(2))
    assert (first.returncode, first.stderr) == (0, "")
    assert first.stdout == again.stdout
    address, _, code = first.stdout.strip().partition("/#code=")
    assert address == daemon.http_url
    roomd = program("service_account").Roomd(daemon.http_url, lambda: token)
    room = roomd.ask("get-room", code=code)["room"]
    assert (room["name"], room["hostId"], room["externalId"]) == ("Weekly 2026-W10", "alice", "weekly-2026-W10")


def test_a_job_that_fails(daemon: Daemon) -> None:
    """cron mails what a job prints: the error of roomd, and nothing that looks like a link."""
    done = run(daemon, token=daemon.token("bob"))
    assert done.returncode != 0
    assert "Only an admin can set externalId" in done.stdout + done.stderr
    assert "#code=" not in done.stdout


async def test_moderation_from_the_shell(daemon: Daemon) -> None:
    """moderation.md: each command does what it says, as it stands there; all but the room and the one who is meant."""
    shown = re.findall(r"^    (roomd room .*)$", (PAGES / "moderation.md").read_text(), re.MULTILINE)
    assert len(shown) == 7
    code = code_of_room(daemon)
    async with join(daemon.url, code, token=daemon.token("bob")) as bob:
        assert bob.me is not None
        text = "\n".join(shown).replace("abc-def-ghi", code).replace("PARTICIPANT", bob.me.id)
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        access = {"ROOMD_URL": daemon.url, "ROOMD_TOKEN": daemon.token("operator", admin=True)}
        environ = {**os.environ, **access, "PATH": path}
        command = ["bash", "-euc", text]
        done = await asyncio.to_thread(
            subprocess.run, command, env=environ, capture_output=True, text=True, timeout=120, check=False
        )
    assert (done.returncode, done.stderr) == (0, "")
    assert bob.over is not None
    assert bob.over.code == "removed"
    assert "bob" in done.stdout
