"""Run a PostgreSQL of our own: a new cluster on a Unix socket, removed afterwards."""

import os
import pwd
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.peers.folders import VAR_TMP, can_use, folder_of
from bench.processes import StartFailed, log_tail

PATIENCE = 60.0
"""Seconds for `initdb`, and for the server to accept connections."""

# What an engineer sets on a machine of this size, and no more. Durability has its defaults, written out.
SETTINGS = {
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "listen_addresses": "",
    "max_connections": "20",
    "shared_buffers": "256MB",
    "wal_level": "minimal",  # there is no replica
    "max_wal_senders": "0",
    "max_wal_size": "4GB",  # no checkpoint within a measurement
    "checkpoint_timeout": "15min",
    "wal_compression": "on",
    "jit": "off",
}


class Cluster:
    """A running PostgreSQL."""

    def __init__(self, postmaster: int, socket: Path) -> None:
        self.postmaster = postmaster
        """The process id of the server."""
        self.socket = socket
        """The folder of its Unix socket: what a client gives as host."""

    def pids(self) -> list[int]:
        """List the postmaster and its processes as they are now, with the one of each connection."""
        children = Path(f"/proc/{self.postmaster}/task/{self.postmaster}/children").read_text()
        return [self.postmaster, *map(int, children.split())]


def programs() -> Path | None:
    """Find the folder with the newest `initdb` and `postgres`: Debian keeps them off the path."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None


@contextmanager
def cluster(folder: Path, cores: set[int], binaries: Path | None = None) -> Iterator[Cluster]:
    """Run a new PostgreSQL on `cores` until the block ends; its log goes to `folder`.

    `binaries` is the folder of its programs, by default those of the newest version. PostgreSQL refuses to run as root:
    then it runs as the user postgres. Its data lies in a folder made for it, below `folder` if that user can reach it
    there, and else in /var/tmp. Raises `StartFailed` with the end of the log when it does not come up.
    """
    binaries = binaries or programs()
    if binaries is None:
        raise StartFailed("PostgreSQL is not installed: python -m bench.peers.install")
    user = _user()
    if user is not None:
        folder.chmod(0o711)  # made for this run, and closed to others at first
        if not can_use(user, binaries, "-x"):
            raise StartFailed(f"the user postgres cannot enter {binaries}")
    log = folder / "postgres.log"
    sockets = (Path(tempfile.gettempdir()), VAR_TMP)  # a socket's path has at most 107 bytes: `folder` may be too long
    with folder_of(user, "roomd-pg-", (folder, VAR_TMP)) as data, folder_of(user, "roomd-pg-", sockets) as socket:
        if folder not in data.parents:
            note = "" if data.stat().st_dev == folder.stat().st_dev else ", which is another file system"
            print(f"PostgreSQL's data goes to {data.parent}{note}: it cannot reach {folder}", file=sys.stderr)
        _initialise(binaries, data, log, user)
        with _running(binaries, data, socket, log, user) as process:
            os.sched_setaffinity(process.pid, cores)  # processes that it starts later inherit them
            _wait_until_up(process, data, log)
            running = Cluster(process.pid, socket)
            for pid in running.pids():
                os.sched_setaffinity(pid, cores)
            yield running


def _user() -> pwd.struct_passwd | None:
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        raise StartFailed("PostgreSQL refuses to run as root, and there is no user postgres") from None


def _initialise(binaries: Path, data: Path, log: Path, user: pwd.struct_passwd | None) -> None:
    command = [
        str(binaries / "initdb"), "--pgdata", str(data), "--username=postgres", "--auth=trust",
        "--encoding=UTF8", "--locale=C", "--no-sync",
    ]  # fmt: skip
    with log.open("wb") as output:
        try:
            done = subprocess.run(
                command, check=False, cwd=data, stdout=output, stderr=output, timeout=PATIENCE, **_as(user)
            )
        except (OSError, subprocess.TimeoutExpired) as exc:
            raise StartFailed(f"initdb could not run: {exc}") from None
    if done.returncode != 0:
        raise StartFailed(f"initdb ended with status {done.returncode}; {log_tail(log)}")


@contextmanager
def _running(
    binaries: Path, data: Path, socket: Path, log: Path, user: pwd.struct_passwd | None
) -> Iterator["subprocess.Popen[bytes]"]:
    settings = {**SETTINGS, "unix_socket_directories": str(socket)}
    options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    command = [str(binaries / "postgres"), "-D", str(data), *options]
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, cwd=data, stdin=subprocess.DEVNULL, stdout=output, stderr=output, **_as(user)
        )  # fmt: skip
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)  # "fast" shutdown: connections are closed, not waited for
        process.wait()


def _as(user: pwd.struct_passwd | None) -> dict[str, Any]:
    """Return the arguments of `subprocess` that run a program as `user`."""
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {}


def _wait_until_up(process: "subprocess.Popen[bytes]", data: Path, log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    status = data / "postmaster.pid"  # its eighth line is the state
    while time.monotonic() < deadline and process.poll() is None:
        if status.exists() and status.read_text().splitlines()[7:8] == ["ready   "]:
            return
        time.sleep(0.02)
    ended = process.poll()
    what = f"was not ready within {PATIENCE:.0f} s" if ended is None else f"ended with status {ended}"
    raise StartFailed(f"PostgreSQL {what}; {log_tail(log)}")
