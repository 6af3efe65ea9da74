"""Two processes of `make attack` that take orders: a line of JSON in, a line of JSON out."""

import asyncio
import contextlib
import json
import os
import resource
import select
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

from tests.support.processes import spawned

TICK = 0.05
"""Seconds between two looks at the daemon while an order is carried out."""


def serve(commands: Mapping[str, Callable[..., Awaitable[Any]]]) -> None:
    """Carry out the orders of the standard input, one after another, until it ends."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    asyncio.run(_serve(commands))


async def _serve(commands: Mapping[str, Callable[..., Awaitable[Any]]]) -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        name, fields = json.loads(line)
        answer = await commands[name](**fields)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


class Worker:
    """The other end: a process that carries out orders."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process

    def order(self, name: str, during: Callable[[], object] = lambda: None, /, **fields: Any) -> Any:
        """Give an order and return its answer; call `during` again and again until it comes."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([name, fields]).encode() + b"\n")
        self._process.stdin.flush()
        while not select.select([self._process.stdout], [], [], TICK)[0]:
            during()
        line = self._process.stdout.readline()
        assert line, f"the process that should {name} has ended"
        return json.loads(line)


@contextlib.contextmanager
def worker(module: str, nice: int = 0) -> Iterator[Worker]:
    """Start a process that runs a module of this package; `nice` is how far it stands back for others."""
    command = [sys.executable, "-m", f"{__package__}.{module}"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with spawned(command, **pipes) as process:
        os.setpriority(os.PRIO_PROCESS, process.pid, os.getpriority(os.PRIO_PROCESS, process.pid) + nice)
        yield Worker(process)
