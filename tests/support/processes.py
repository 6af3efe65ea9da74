"""Child processes that never outlive the tests, and ports that nobody else gets meanwhile."""

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

PATIENCE = 60.0
"""Seconds after which something awaited counts as not happening. Generous: a busy machine is no failure."""

LEASH = [setpriv, "--pdeathsig", "KILL"] if (setpriv := shutil.which("setpriv")) else []
"""Put before a command, has the system kill it when the thread that started it ends (prctl(2), PR_SET_PDEATHSIG)."""

_COVERAGE = "COVERAGE_PROCESS_CONFIG"

IS_NIGHTLY = "TEST_ROOMD_NIGHTLY" in os.environ
"""Whether `make nightly` or `make coverage` runs the tests: all of them, and at full length."""

_measured = os.environ.pop(_COVERAGE, "") if "PYTEST_XDIST_WORKER" in os.environ else ""
MEASURED = {_COVERAGE: _measured} if _measured and IS_NIGHTLY else {}
"""Settings of a child that counts as covered, in `make coverage`. The others do not: they start sooner, and run as fast
as they can."""


class Process(Protocol):
    """What most tests use of a process."""

    @property
    def pid(self) -> int: ...
    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def send_signal(self, sig: int) -> None: ...
    def kill(self) -> None: ...


_starter = ThreadPoolExecutor(1)
"""Starts processes. This thread ends with the test process and no sooner, unlike one that a test runs a call in."""


def spawn(command: Sequence[str], **options: Any) -> "subprocess.Popen[Any]":
    """Start a process that is killed when the test process ends, in whatever way. `options` are those of `Popen`."""
    return _starter.submit(lambda: subprocess.Popen([*LEASH, *command], **options)).result()


def end(process: Process) -> None:
    """Kill a process, unless it has ended, and wait until it is gone."""
    process.kill()
    process.wait(PATIENCE)


@contextlib.contextmanager
def spawned(command: Sequence[str], **options: Any) -> Iterator["subprocess.Popen[Any]"]:
    """Start a process, and kill it in the end if it still runs; its pipes are closed."""
    with spawn(command, **options) as process:
        try:
            yield process
        finally:
            end(process)


@contextlib.asynccontextmanager
async def child(*command: str, **options: Any) -> AsyncIterator[asyncio.subprocess.Process]:
    """Start a process on the running loop, and kill it in the end if it still runs."""
    process = await asyncio.create_subprocess_exec(*LEASH, *command, **options)
    try:
        yield process
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        await process.communicate()


@contextlib.contextmanager
def at_most(seconds: float, process: "subprocess.Popen[Any]") -> Iterator[None]:
    """Kill a process unless the block ends in time, so that nothing waits for its output without end."""
    timer = threading.Timer(seconds, process.kill)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()


def free_port() -> int:
    """Reserve a TCP port on loopback for a process that will listen on it; kept until the test process ends.

    A socket that is bound to a port and does not listen keeps it from whoever lets the system choose one, and, as both
    set SO_REUSEADDR, not from the process that is told to use it.
    """
    reserved = socket.socket()
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reserved.bind(("127.0.0.1", 0))
    port: int = reserved.getsockname()[1]
    reserved.detach()
    return port
