"""A NATS server of the tests: Debian's program, on a port that the system chooses."""

import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes import PATIENCE, free_port, spawn


class NatsServer:
    """A server, which may be stopped and started again on the same port."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.port = free_port()
        self._folder = folder
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The URL of the server."""
        return f"nats://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start the server, and wait until it accepts connections."""
        program = shutil.which("nats-server") or "/usr/sbin/nats-server"
        if not Path(program).exists():
            pytest.fail("these tests need NATS: sudo apt-get install nats-server, or `make system`", pytrace=False)
        command = [program, "-a", "127.0.0.1", "-p", str(self.port), *self._options]
        with (self._folder / "nats.log").open("ab") as log:
            self._process = spawn(command, stdout=log, stderr=log, start_new_session=True)
        deadline = time.monotonic() + PATIENCE
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            assert self._process.poll() is None, (self._folder / "nats.log").read_text()
            assert time.monotonic() < deadline, "nats-server does not answer"
            time.sleep(0.02)

    def stop(self) -> None:
        """Stop the server. Stopping twice is fine."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait(PATIENCE)


def joined(folder: Path, count: int) -> list[NatsServer]:
    """Make servers that pass messages on to each other, each with a folder of its own in this one.

    They do not tell clients of each other, so a client knows those that it is told.
    """
    routes = [f"nats://127.0.0.1:{free_port()}" for _ in range(count)]
    servers = []
    for number, route in enumerate(routes):
        (own := folder / f"nats-{number}").mkdir()
        others = ",".join(one for one in routes if one != route)
        options = ["--cluster_name", "tests", "--cluster", route, "--routes", others, "--no_advertise"]
        servers.append(NatsServer(own, *options))
    return servers


@contextlib.contextmanager
def running(folder: Path, *options: str) -> Iterator[NatsServer]:
    """Run a server."""
    server = NatsServer(folder, *options)
    server.start()
    try:
        yield server
    finally:
        server.stop()
