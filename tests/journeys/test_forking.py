"""Daemons that tests fork (tests/support/forking.py) are like those that an operator starts."""

import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.daemon import Daemon
from tests.support.forking import completed
from tests.support.processes import IS_NIGHTLY, PATIENCE, Process, end, spawn

SAMPLES, MOMENT = 10, 0.05
"""How often the descriptors are looked at, and the seconds before each look."""


class Executed(Daemon):
    """A daemon that is always started by its command."""

    def _started(self, command: object, log: int, fds: object) -> Process:
        return spawn([sys.executable, "-m", "roomd", "serve"], env=self.environ, stdout=log, stderr=log)


def descriptors(folder: Path) -> list[int]:
    """Return the descriptors of a process after a moment: it has some for a moment only."""
    time.sleep(MOMENT)
    return sorted(int(file.name) for file in (folder / "fd").iterdir())


def traits(daemon: Daemon) -> dict[str, object]:
    """Return what a process has beside its program: descriptors, limits, signals, threads, working directory."""
    folder = Path(f"/proc/{daemon.process.pid}")
    status = dict(line.split(":\t", 1) for line in (folder / "status").read_text().splitlines())
    return {
        "descriptors": min((descriptors(folder) for _ in range(SAMPLES)), key=len),
        "limits": (folder / "limits").read_text(),
        "working directory": (folder / "cwd").readlink(),
        **{name: status[name] for name in ("Umask", "Uid", "SigBlk", "SigIgn", "SigCgt", "Threads")},
    }


def test_a_forked_daemon_is_like_an_executed_one(tmp_path: Path) -> None:
    """It has the same descriptors, limits and signals, writes the same log, and ends in the same ways."""
    found = []
    for kind in (Daemon, Executed):
        folder = tmp_path / kind.__name__
        folder.mkdir()
        daemon = kind(folder)
        daemon.start()
        try:
            found.append(traits(daemon))
        finally:
            assert daemon.stop() == 0
        assert daemon.log.read_text().count("\n") == 3
        daemon.start()
        assert daemon.stop(signal.SIGKILL) == -signal.SIGKILL
    assert found[0] == found[1]


@pytest.mark.skipif(IS_NIGHTLY, reason="forks nothing")
def test_forked_daemons_end_with_their_test(tmp_path: Path) -> None:
    """However the test's process ends, no daemon outlives it."""
    program = (
        "import os, pathlib, sys; from tests.support.daemon import Daemon;"
        "daemon = Daemon(pathlib.Path(sys.argv[1])); daemon.start(); print(daemon.process.pid, flush=True);"
        "sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", program, tmp_path], stdin=-1, stdout=-1, text=True) as process:
        assert process.stdout is not None
        pidfd = os.pidfd_open(int(process.stdout.readline()))
        end(process)
    try:
        ended = select.poll()
        ended.register(pidfd, select.POLLIN)
        assert ended.poll(1000 * PATIENCE)
    finally:
        os.close(pidfd)


def test_a_forked_command(tmp_path: Path) -> None:
    """Its outputs and its exit code are told apart."""
    done = completed(["--version"], os.environ, tmp_path)
    assert (done.returncode, done.stdout[:6], done.stderr) == (0, "roomd ", "")
    done = completed(["nothing"], os.environ, tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "No such command 'nothing'" in done.stderr
