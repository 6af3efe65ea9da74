"""A daemon that gets its listening sockets as systemd passes them: descriptors from 3 on, and LISTEN_PID."""

import fcntl
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.support.daemon import Daemon
from tests.support.processes import Process, spawn

_HIGH = 100
"""Descriptors from here on do not collide with those that the process gets."""


def spawn_with(sockets: Sequence[socket.socket], command: Sequence[str], **options: Any) -> "subprocess.Popen[Any]":
    """Start a command with sockets from descriptor 3 on."""
    high = [fcntl.fcntl(one, fcntl.F_DUPFD_CLOEXEC, _HIGH) for one in sockets]
    passing = " ".join(f"{3 + number}<&{one}" for number, one in enumerate(high))
    script = f'export LISTEN_PID=$$ LISTEN_FDS={len(high)}; exec "$@" {passing}'
    try:
        return spawn(["bash", "-c", script, "bash", *command], pass_fds=high, **options)
    finally:
        for one in high:
            os.close(one)


class ActivatedDaemon(Daemon):
    """A daemon on two sockets that stay open when it stops: one of TCP, and the Unix socket `path`."""

    def __init__(self, folder: Path, /, **settings: str) -> None:
        super().__init__(folder, **settings)
        self.path = folder / "http.sock"
        unix = socket.socket(socket.AF_UNIX)
        unix.bind(str(self.path))
        unix.listen()
        self.sockets = [socket.create_server(("127.0.0.1", self.port)), unix]
        self.environ["ROOMD_SERVER_PORT"] = "1"  # which is not used

    def _started(self, command: Sequence[str], log: int, fds: Sequence[int]) -> Process:
        return spawn_with(self.sockets, [sys.executable, *command], env=self.environ, stdout=log, stderr=log)

    def close(self) -> None:
        super().close()
        for one in self.sockets:
            one.close()
