"""What `make run-cluster` and `make run-postgres` print can be pasted, and does what it says."""

import contextlib
import json
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

import pytest

from tests.support.processes import PATIENCE, at_most, free_port, spawned

LINK = re.compile(r" {4}(http://127\.0\.0\.1:(\d+)/)#([a-z]{3}(?:-[a-z]{3}){2})")
NEW_LINK = re.compile(r"\((.*) makes a new link\)")


class Shown:
    """What a process prints, line by line."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout is not None
        self._process = process
        self._output: IO[str] = process.stdout

    def until(self, text: str) -> list[str]:
        """Read until a line has this text, and return the lines."""
        lines: list[str] = []
        with at_most(PATIENCE, self._process):
            while not lines or text not in lines[-1]:
                line = self._output.readline()
                assert line, "the process ended"
                lines.append(line.rstrip("\n"))
        return lines


@contextlib.contextmanager
def running(module: str, *arguments: str) -> Iterator[tuple["subprocess.Popen[str]", Shown]]:
    """Run what a target of the Makefile runs."""
    command = [sys.executable, "-m", module, *arguments]
    with spawned(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            yield process, Shown(process)
        finally:
            process.terminate()
            process.wait(PATIENCE)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short name, as paths of sockets must be, which PostgreSQL reaches also as another user."""
    made = Path(tempfile.mkdtemp(prefix="roomd-run-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made, ignore_errors=True)


def paste(line: str) -> str:
    """Do what somebody does with a line: run it in a shell. Return what is printed."""
    done = subprocess.run(
        line, shell=True, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def pasted(lines: Sequence[str], words: str) -> str:
    """Run the line that has these words, and return what is printed."""
    [line] = [line for line in lines if line.startswith("    ") and words in line]
    return paste(line.strip())


def states(output: str) -> dict[str, str]:
    """Return the states of the nodes in the output of `roomd status --json`."""
    return {node["name"]: node["state"] for node in json.loads(output)["nodes"]}


@pytest.mark.long
def test_a_cluster(folder: Path) -> None:
    """Links to each node, commands that find the cluster, a node that is killed and started again, and the end."""
    ports = [str(free_port()) for _ in range(3)]
    with running("tests.support.cluster", str(folder), *ports) as (process, shown):
        lines = shown.until("kill -9 ")
        links = [found for line in lines if (found := LINK.fullmatch(line))]
        assert [link[2] for link in links] == [ports[0], *ports]
        [code] = {link[3] for link in links}
        [new_link] = NEW_LINK.findall("\n".join(lines))
        assert paste(new_link).startswith(f"http://127.0.0.1:{ports[0]}/#code={code}&ticket=")
        [status] = [line.strip() for line in lines if " status " in line]
        assert states(paste(f"{status} --json")) == dict.fromkeys("abc", "serving")
        [join] = [line.strip() for line in lines if f"join {code}" in line and "--guest" in line]
        for port in ports:
            assert "Jane Smith" in paste(join.replace(f":{ports[0]}/", f":{port}/"))
        assert "takes none" in pasted(lines, "drain b --config")
        assert "takes rooms again" in pasted(lines, "drain b --undo")
        [verify] = [line.strip() for line in lines if " verify " in line]
        assert paste(f"{verify} --seconds 1 --clients 6 --rooms 1").endswith("every rule held\n")
        pasted(lines, "kill -9 ")
        again = shown.until("serve --config")[-1]
        with spawned(shlex.split(again), stderr=subprocess.PIPE, text=True) as b:
            assert b.stderr is not None
            with at_most(PATIENCE, b):
                while "listening" not in b.stderr.readline():
                    assert b.poll() is None
            with at_most(PATIENCE, b):
                while states(paste(f"{status} --json"))["b"] != "serving":
                    assert b.poll() is None
            b.terminate()
            assert b.wait(PATIENCE) == 0
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 0


def test_a_daemon_with_postgresql(folder: Path) -> None:
    """The command for a new link of the host finds the secret."""
    command = [str(Path(sys.executable).with_name("roomd")), "serve", "--demo", "--port", str(port := free_port())]
    with running("tests.support.postgresql", str(folder / "postgresql"), *command) as (process, shown):
        [new_link] = NEW_LINK.findall("\n".join(shown.until("makes a new link")))
        assert paste(new_link).startswith(f"http://127.0.0.1:{port}/#code=")
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 0
