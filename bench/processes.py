"""Start a server on a core of its own, stop it, and read what it and this process cost."""

import ctypes
import os
import resource
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

START_TIMEOUT = 60.0
"""Seconds for a server to answer its first request."""
STOP_TIMEOUT = 15.0
"""Seconds for a server to end before it is killed."""
LOG_TAIL = 4000
"""Characters of a log that an error shows."""


class StartFailed(RuntimeError):  # noqa: N818 - named for what happened
    """A server did not start; the text says why, and shows what it wrote to stdout and stderr."""


class Usage(NamedTuple):
    """The processor time that a measurement cost."""

    seconds: float
    """Wall clock time."""
    server: float
    """Share of one core, 0 to 1."""
    generator: float
    """Share of one core, 0 to 1."""


class Server(NamedTuple):
    """A running server."""

    name: str
    """As in `bench.suite.SERVERS`."""
    host: str
    """Address and port."""
    pid: int
    """The server's own process."""
    pids: Callable[[], list[int]]
    """Lists all processes that do its work, on the server's core: for the Socket.IO peer PostgreSQL's too."""
    database: Path
    """A file of SQLite, or the folder of PostgreSQL's socket."""
    seconds_to_start: float = 0.0
    """From the start of the process to its first answer."""

    def clock(self) -> "Clock":
        """Read the wall clock and both processors' clocks."""
        return Clock(time.perf_counter(), sum(map(cpu_seconds, self.pids())), time.process_time())

    def memory(self) -> int:
        """Add up what is resident, in bytes; pages that processes share count once (PSS)."""
        return sum(_proportional_bytes(pid) for pid in self.pids())

    @contextmanager
    def core(self) -> Iterator[None]:
        """Have this process work on the server's core until the block ends: for what is compared with the server."""
        own = os.sched_getaffinity(0)
        os.sched_setaffinity(0, os.sched_getaffinity(self.pid))
        try:
            yield
        finally:
            os.sched_setaffinity(0, own)

    def pause(self) -> None:
        """Stop its processes while another server is measured, so that it takes no processor time."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Continue its processes."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        for pid in self.pids():
            with suppress(ProcessLookupError):  # the next request to a dead server fails, and reports it
                os.kill(pid, number)


class Clock(NamedTuple):
    """A moment, in seconds on three clocks."""

    wall: float
    server: float
    generator: float

    def until(self, end: "Clock") -> Usage:
        """Return what the time from this moment to `end` cost."""
        wall = end.wall - self.wall
        return Usage(wall, (end.server - self.server) / wall, (end.generator - self.generator) / wall)


def raise_file_limit() -> None:
    """Allow this process and its children as many sockets as the system lets them have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def pin_generator() -> set[int]:
    """Move this process to the second core and return the first, for the servers."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        print("warning: only one core: generator and server share it, so every rate is too low", file=sys.stderr)
        return set(cores)
    os.sched_setaffinity(0, {cores[1]})
    return {cores[0]}


@contextmanager
def serving(
    name: str, command: Sequence[str], cores: set[int], folder: Path, environ: Mapping[str, str], database: Path
) -> Iterator[Server]:
    """Run `command` (`{port}` stands for its port) in `folder` until the block ends.

    Its stdout and stderr go to a log there. Raises `StartFailed` with the end of that log when the server does not
    come up.
    """
    port = _free_port()
    log = folder / f"{name}.log"
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("ROOMD_", "COVERAGE_"))}
    start = time.perf_counter()
    with log.open("ab") as output:
        try:
            process = subprocess.Popen(
                [part.format(port=port) for part in command],
                cwd=folder, env={**clean, **environ}, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            )  # fmt: skip
        except OSError as exc:
            raise StartFailed(f"{name} could not be started: {exc}") from None
    try:
        with suppress(ProcessLookupError):  # it has ended already: the wait below reports why
            # Before the interpreter is up there is one thread; those it starts later inherit the core.
            os.sched_setaffinity(process.pid, cores)
        _wait_until_up(name, process, port, log)
        up = time.perf_counter() - start
        yield Server(name, f"127.0.0.1:{port}", process.pid, lambda: [process.pid], database, up)
    finally:
        process.send_signal(signal.SIGCONT)
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_up(name: str, process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=1).close()
        except urllib.error.HTTPError:
            return  # the echo has no /healthz, and its 404 shows that it is up
        except OSError:
            time.sleep(0.005)
        else:
            return
    ended = process.poll()
    what = f"did not answer within {START_TIMEOUT:.0f} s" if ended is None else f"ended with status {ended}"
    raise StartFailed(f"{name} {what}; {log_tail(log)}")


def log_tail(log: Path) -> str:
    """Return the end of what a process wrote to stdout and stderr, with a heading."""
    text = log.read_text(encoding="utf-8", errors="replace")[-LOG_TAIL:].strip()
    return f"its stdout and stderr end with:\n{text}" if text else "it wrote nothing to stdout and stderr"


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def _proportional_bytes(pid: int) -> int:
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return next(int(line.split()[1]) * 1024 for line in rollup.splitlines() if line.startswith("Pss:"))


def cpu_seconds(pid: int) -> float:
    """Return the processor time that a process has used."""
    # All threads of another process, to the nanosecond: clock_getcpuclockid(3), which Python does not wrap. Linux
    # builds the clock's number as MAKE_PROCESS_CPUCLOCK(pid, CPUCLOCK_SCHED), include/linux/posix-timers.h.
    return time.clock_gettime(~pid << 3 | 2)


def keep_memory(size: int) -> None:
    """Allocate `size` bytes, and have the allocator keep them: page faults of large buffers would be measured too."""
    try:
        mallopt = ctypes.CDLL(None).mallopt  # of glibc: mallopt(3)
    except AttributeError:
        return
    m_trim_threshold, m_mmap_max = -1, -4
    mallopt(m_mmap_max, 0)
    mallopt(m_trim_threshold, -1)  # never
    _ = b"x" * size


def available_memory() -> int:
    """Return how many bytes the system could give (proc(5))."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
