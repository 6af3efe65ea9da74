"""What the Containerfile promises, without building it; tests/systemd/test_image.py builds and runs the image."""

import json
import os
import subprocess
import sys

from tests.support.containerfile import stages
from tests.support.daemon import Daemon
from tests.support.processes import PATIENCE, free_port


def test_it_runs_as_a_user_of_its_own() -> None:
    """Not as root; it writes to one volume only, which belongs to that user, and SIGTERM stops it in order."""
    final = stages()[-1].last
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
    _, _, command = stages()[-1].last["HEALTHCHECK"].partition(" CMD ")
    python, *arguments = json.loads(command)
    assert python == "python"

    def check(port: int) -> int:
        environ = {**os.environ, "ROOMD_SERVER_PORT": str(port)}
        run = subprocess.run([sys.executable, *arguments], env=environ, capture_output=True, timeout=PATIENCE)
        return run.returncode

    assert check(daemon.port) == 0
    assert check(free_port()) == 1
