"""The Containerfile: what the image promises, as far as it can be tried without an engine."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from tests.support.daemon import Daemon
from tests.support.processes import PATIENCE, free_port

CONTAINERFILE = Path(__file__).parents[1] / "Containerfile"


def instructions(stage: int) -> dict[str, str]:
    """Return the instructions of a stage; of several with one name, the last."""
    text = CONTAINERFILE.read_text(encoding="utf-8").replace("\\\n", " ")
    lines = re.split(r"^FROM ", text, flags=re.MULTILINE)[stage + 1].splitlines()[1:]
    return dict(line.split(" ", 1) for line in lines if line)


def test_it_runs_as_a_user_of_its_own() -> None:
    """Not as root; it writes to one volume only, which belongs to that user, and SIGTERM stops it in order."""
    final = instructions(1)
    assert f"useradd --uid {final['USER']} " in final["RUN"]
    assert f"--owner=roomd --group=roomd --mode=0700 {final['VOLUME']}" in final["RUN"]
    assert f"ROOMD_DATABASE_PATH={final['VOLUME']}/roomd.db" in final["ENV"]
    assert (final["STOPSIGNAL"], json.loads(final["ENTRYPOINT"]), json.loads(final["CMD"])) == (
        "SIGTERM",
        ["roomd"],
        ["serve"],
    )


def test_its_health_check(daemon: Daemon) -> None:
    """It succeeds while the daemon answers, and fails while none does."""
    _, _, command = instructions(1)["HEALTHCHECK"].partition(" CMD ")
    python, *arguments = json.loads(command)
    assert python == "python"

    def check(port: int) -> int:
        environ = {**os.environ, "ROOMD_SERVER_PORT": str(port)}
        run = subprocess.run([sys.executable, *arguments], env=environ, capture_output=True, timeout=PATIENCE)
        return run.returncode

    assert check(daemon.port) == 0
    assert check(free_port()) == 1
