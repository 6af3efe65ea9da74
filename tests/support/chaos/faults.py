"""The faults: each is something that the machine, or a peer, does to a daemon for some seconds.

I/O errors come from a limit on the size of files that is lowered while the daemon runs (RLIMIT_FSIZE, EFBIG): what it
writes beyond its limit fails as on a bad disk (SQLITE_IOERR_WRITE). A device that fails would need the device mapper,
which many machines and all containers lack, and a file system in user space would need one more dependency.
"""

import asyncio
import contextlib
import os
import resource
import signal
import socket
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from random import Random

from tests.support.attacks.line import Line, dial, handshake, text
from tests.support.daemon import Daemon, memory
from tests.support.outages import outage
from tests.support.processes import PATIENCE
from tests.support.raw_sockets import UPGRADE, frame

SILENT_PEERS = 5
"""The peers that never read."""
GARBAGE_PEERS = 10
"""The peers that send garbage at the same time."""
STEPS = (3_600.0, -3_600.0, 90_000.0, 0.0)
"""How far the clock is ahead, one after another, in seconds."""


class Stage:
    """The daemon, its room, how long a fault lasts, a source of random choices, and who was told."""

    def __init__(self, daemon: Daemon, code: str, seconds: float, random: Random, told: Callable[[], int]) -> None:
        self.daemon = daemon
        self.code = code
        self.seconds = seconds
        self.random = random
        self.ends = asyncio.get_running_loop().time() + seconds
        self._told = told

    @property
    def is_running(self) -> bool:
        """Whether the fault goes on."""
        return asyncio.get_running_loop().time() < self.ends

    async def wait(self) -> None:
        """Wait until the fault ends."""
        await asyncio.sleep(max(0.0, self.ends - asyncio.get_running_loop().time()))

    async def wait_until_told(self) -> None:
        """Wait until the fault ends, and in any case until a client was told of it: a busy machine is slow."""
        before, deadline = self._told(), asyncio.get_running_loop().time() + PATIENCE
        await self.wait()
        while self._told() == before:
            assert asyncio.get_running_loop().time() < deadline, "no client was told of the fault"
            await asyncio.sleep(0.01)


async def kill(stage: Stage) -> str:
    """End the daemon by kill -9 at random, and start it again."""
    count = 0
    while stage.is_running:
        await asyncio.sleep(stage.random.uniform(0, min(2.0, stage.seconds)))
        await asyncio.to_thread(stage.daemon.kill)
        await asyncio.to_thread(stage.daemon.start)
        count += 1
    return f"killed {count} times"


async def full_disk(stage: Stage) -> str:
    """Fill the file system of the database to the last byte."""
    filler = stage.daemon.database.with_name("filler")
    with filler.open("wb", buffering=0) as file:
        size = 1 << 20
        while size:
            try:
                file.write(bytes(size))
            except OSError:
                size //= 2
        await stage.wait_until_told()
        free = os.statvfs(filler).f_bavail
    filler.unlink()
    return f"{free} blocks were free"


async def locked(stage: Stage) -> str:
    """Have another process lock the database."""
    with outage(stage.daemon):
        await stage.wait_until_told()
    return ""


async def io_errors(stage: Stage) -> str:
    """Make every write fail that would make a file larger, and those beyond the limit."""
    pid = stage.daemon.process.pid
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (8_192, before[1]))
    try:
        await stage.wait_until_told()
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)
    return ""


async def clock_steps(stage: Stage) -> str:
    """Set the machine's clock an hour ahead, an hour back, a day ahead, and right again."""
    for step in STEPS:
        await asyncio.to_thread(stage.daemon.set_clock, step)
        await asyncio.sleep(stage.seconds / len(STEPS))
    return ""


async def stopped(stage: Stage) -> str:
    """Stop the process by SIGSTOP, and let it go on."""
    stage.daemon.process.send_signal(signal.SIGSTOP)
    try:
        await stage.wait()
    finally:
        stage.daemon.process.send_signal(signal.SIGCONT)
    return ""


async def silent_peers(stage: Stage) -> str:
    """Have peers sit in the room that ask for messages again and again, and never read."""
    lines: list[Line] = []
    before, asked = memory(stage.daemon), 0
    try:
        for number in range(SILENT_PEERS):
            line = await dial(stage.daemon.port, handshake(f"10.2.0.{number + 1}"))
            lines.append(line)
            line.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            await line.upgraded()
            line.write(text("join-room", code=stage.code, guestName=f"Silent {number}"))
            line.transport.pause_reading()
        while stage.is_running:
            for line in lines:
                line.write(text("list-messages", code=stage.code, limit=200))
                asked += 1
            await asyncio.sleep(0.01)
        more = memory(stage.daemon) - before
    finally:
        for line in lines:
            line.cut()
    return f"{asked} pages were asked for, and {more / 1024:.1f} MiB more memory used"


async def no_descriptors(stage: Stage) -> str:
    """Leave the process no descriptor, while peers connect."""
    pid = stage.daemon.process.pid
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    used = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (used, before[1]))
    lines: list[Line] = []
    try:
        for _ in range(50):
            with contextlib.suppress(OSError):
                lines.append(await dial(stage.daemon.port, UPGRADE))
        await stage.wait()
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
        for line in lines:
            line.cut()
    return f"{len(lines)} connected"


async def garbage(stage: Stage) -> str:
    """Send garbage: in place of a request, of a frame, and of a message."""
    count = 0

    async def send(number: int) -> None:
        nonlocal count
        while stage.is_running:
            with contextlib.suppress(OSError, TimeoutError):
                kind = stage.random.randrange(3)
                first = handshake(f"10.3.0.{number + 1}") if kind else b""
                line = await dial(stage.daemon.port, first)
                try:
                    async with asyncio.timeout(1):
                        if kind and not await line.upgraded():
                            continue
                        data = stage.random.randbytes(stage.random.randrange(1, 5_000))
                        line.write(frame(data) if kind == 2 else data)
                        count += 1
                        await line.lost.wait()
                finally:
                    line.cut()
            await asyncio.sleep(0.001)

    await asyncio.gather(*(send(number) for number in range(GARBAGE_PEERS)))
    return f"{count} times"


FAULTS: Mapping[str, Callable[[Stage], Awaitable[str]]] = {
    "kill -9": kill,
    "full disk": full_disk,
    "locked database": locked,
    "I/O errors": io_errors,
    "clock steps": clock_steps,
    "stopped process": stopped,
    "peers that never read": silent_peers,
    "no descriptors": no_descriptors,
    "garbage": garbage,
}
