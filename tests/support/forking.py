"""Daemons that start at once: forked from a process that has imported roomd, which takes 0.4 s of a processor.

`make test` starts several hundred daemons. Each is a process of its own that runs `roomd serve` from its first line,
with the environment and the descriptors of its test; only the interpreter's start and the imports are spared. `make
nightly` starts each as its users do, and so do tests of the start itself, by `tests.support.processes`.

`python -m tests.support.forking DESCRIPTOR` is the process to fork from. A datagram on the socket DESCRIPTOR is an
`Order` as JSON, with descriptors: the socket to answer on, standard output and error, and those that the process gets.
The answer is the pid, beside a pidfd, and when the process has ended its exit code, negative for a signal.
"""

import atexit
import contextlib
import ctypes
import fcntl
import gc
import importlib
import json
import logging
import os
import resource
import runpy
import select
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TypedDict

from roomd.config import ServerConfig
from tests.support.processes import IS_NIGHTLY, PATIENCE, Process, spawn

_LONGEST = 1 << 18
_MOST = 8
_HIGH = 1000
"""Descriptors from here on do not collide with those that a process gets."""
_PR_SET_PDEATHSIG = 1
_LIMITS = [name for name in dir(resource) if name.startswith("RLIMIT_")]
_LATE = (
    "prometheus_client",
    "roomd.eventlog.webhooks.pusher",
    "roomd.eventlog.webhooks.sending",
    "roomd.node",
    *(f"roomd.storage.{name}" for name in ("event_log", "forgetting", "opening", "upkeep", "webhooks")),
    *(f"roomd.storage.postgresql.{name}" for name in ("events", "forgetting", "node_opening", "upkeep", "webhooks")),
)
"""What a daemon imports when its configuration wants it: with PostgreSQL and other nodes 70 ms of a processor."""


class Order(TypedDict):
    """A process to start."""

    command: list[str]
    """The arguments of an interpreter: `-m` and a module, or a file, and what follows."""
    environ: dict[str, str]
    numbers: list[int]
    """Its descriptors are to have these numbers."""
    folder: str
    """Its working directory."""
    limits: dict[str, tuple[int, int]]
    """Its resource limits, soft and hard."""


class ForkedProcess:
    """A process that was forked. Its methods are those of `subprocess.Popen`, and may be called in any thread."""

    def __init__(self, answers: socket.socket) -> None:
        self._answers = answers
        self._lock = threading.Lock()
        self._returncode: int | None = None
        text, descriptors, _, _ = socket.recv_fds(answers, 64, 1, socket.MSG_CMSG_CLOEXEC)
        assert text, "the process that daemons are forked from has ended"
        self.pid = int(text)
        self._pidfd = descriptors[0]

    def __del__(self) -> None:
        os.close(self._pidfd)

    def poll(self) -> int | None:
        """Return the exit code, negative for a signal, or None while the process runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.wait(0)
        return None

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end and return the exit code. Raises `subprocess.TimeoutExpired` after `timeout` seconds."""
        ended = select.poll()
        ended.register(self._pidfd, select.POLLIN)
        if not ended.poll(None if timeout is None else 1000 * timeout):
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
        with self._lock:
            if self._returncode is None:
                self._returncode = int(self._answers.recv(64))
                self._answers.close()
        return self._returncode

    def send_signal(self, sig: int) -> None:
        """Send a signal, unless the process has ended."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, sig)

    def kill(self) -> None:
        """End the process at once."""
        self.send_signal(signal.SIGKILL)


def start(command: Sequence[str], environ: Mapping[str, str], output: int, passed: Sequence[int] = ()) -> Process:
    """Start an interpreter with these arguments: forked, unless it is to start as its users start it.

    `output` is the descriptor of its standard output and error. What is forked has imported roomd with the environment
    of this process, so the two may differ in variables of roomd only.
    """
    if IS_NIGHTLY or _without_ours(os.environ) != _without_ours(environ):
        return spawn([sys.executable, *command], env=environ, stdout=output, stderr=output, pass_fds=passed)
    return fork(command, environ, (output, output), passed)


def _without_ours(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environ.items() if not name.startswith("ROOMD_")}


def fork(
    command: Sequence[str],
    environ: Mapping[str, str],
    outputs: tuple[int, int],
    passed: Sequence[int] = (),
    folder: Path | None = None,
) -> ForkedProcess:
    """Start a process that does what an interpreter with these arguments would; it ends with the test process.

    `outputs` are the descriptors of its standard output and error. Its working directory is `folder`, or else this one.
    """
    order = Order(
        command=list(command),
        environ=dict(environ),
        numbers=list(passed),
        folder=str(folder or Path.cwd()),
        limits={name: resource.getrlimit(getattr(resource, name)) for name in _LIMITS},
    )
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        socket.send_fds(_origin(), [json.dumps(order).encode()], [theirs.fileno(), *outputs, *passed])
    return ForkedProcess(ours)


def completed(
    arguments: Sequence[str], environ: Mapping[str, str], folder: Path | None = None
) -> "subprocess.CompletedProcess[str]":
    """Run `roomd` with these arguments in a folder, or else in this one, and return its exit code and outputs.

    Raises `subprocess.TimeoutExpired` after `PATIENCE` seconds.
    """
    command = ["-m", "roomd", *arguments]
    if IS_NIGHTLY:
        return subprocess.run(
            [sys.executable, *command], env=environ, cwd=folder, capture_output=True, text=True, timeout=PATIENCE
        )
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        process = fork(command, environ, (output.fileno(), errors.fileno()), folder=folder)
        try:
            code = process.wait(PATIENCE)
        finally:
            process.kill()
            process.wait()
        texts = [os.pread(file.fileno(), _LONGEST, 0).decode() for file in (output, errors)]
    return subprocess.CompletedProcess(command, code, *texts)


@cache
def _origin() -> socket.socket:
    """Start the process to fork from, once in each test process; return the socket to order from it."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        process = spawn([sys.executable, "-m", __name__, str(theirs.fileno())], pass_fds=[theirs.fileno()])

    def stop() -> None:
        ours.close()
        process.wait(PATIENCE)

    atexit.register(stop)
    return ours


def _wait_for_order(orders: socket.socket) -> tuple[Order, list[int]]:
    """Fork at each order, and answer when processes have ended. Returns in the new processes only."""
    with selectors.DefaultSelector() as selector:
        selector.register(orders, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is not orders:
                    pid, answers = key.data
                    selector.unregister(key.fileobj)
                    os.close(key.fd)
                    with answers, contextlib.suppress(BrokenPipeError):
                        answers.send(b"%d" % os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
                    continue
                text, descriptors, _, _ = socket.recv_fds(orders, _LONGEST, _MOST)
                if not text:
                    sys.exit()
                order: Order = json.loads(text)
                pid = os.fork()
                if not pid:
                    return order, descriptors
                for descriptor in descriptors[1:]:
                    os.close(descriptor)
                answers = socket.socket(fileno=descriptors[0])
                pidfd = os.pidfd_open(pid)
                socket.send_fds(answers, [b"%d" % pid], [pidfd])
                selector.register(pidfd, selectors.EVENT_READ, (pid, answers))


def _become(order: Order, descriptors: Sequence[int], origin: int) -> None:
    """Make a forked process one as `order` says, and run its program."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != origin:
        return
    for number in (1, 2):
        os.dup2(descriptors[number], number)
    passed = [fcntl.fcntl(one, fcntl.F_DUPFD, _HIGH) for one in descriptors[3:]]
    os.closerange(3, _HIGH)
    for one, number in zip(passed, order["numbers"], strict=True):
        os.dup2(one, number)
        os.close(one)
    for name, (soft, hard) in order["limits"].items():
        resource.setrlimit(getattr(resource, name), (soft, hard))
    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["environ"])
    is_module = order["command"][0] == "-m"
    sys.argv = order["command"][is_module:]
    if is_module:
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(sys.argv[0], run_name="__main__")


def _main() -> None:
    """Import and make what a daemon has, in the order of roomd/__main__.py; start processes until the socket closes."""
    importlib.import_module("roomd.cli.app").command_line()
    logging.setLoggerClass(importlib.import_module("roomd.system.logging").EventLogger)
    importlib.import_module("roomd.daemon")
    for name in _LATE:
        importlib.import_module(name)
    importlib.import_module("roomd.gateway.static").documents(ServerConfig().path)  # each daemon has them
    origin = os.getpid()
    gc.collect()
    gc.freeze()  # else each process that is forked looks for garbage among all of this, and copies it so
    orders = socket.socket(fileno=int(sys.argv[1]))
    _become(*_wait_for_order(orders), origin)


if __name__ == "__main__":
    _main()
