"""A PostgreSQL of our own: a cluster in a folder, on a Unix socket, gone with the block."""

import os
import pwd
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PATIENCE = 30.0

# What an engineer sets on a machine of this size, and no more. Durability stands at its defaults, written out.
SETTINGS = {
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "listen_addresses": "",
    "max_connections": "20",
    "shared_buffers": "256MB",
    "wal_level": "minimal",  # nobody replicates from here
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
        self.socket = socket
        """The folder of its Unix socket: what a client gives as host."""

    def pids(self) -> list[int]:
        """List the postmaster and its processes as they are now, the one of each connection included."""
        children = Path(f"/proc/{self.postmaster}/task/{self.postmaster}/children").read_text()
        return [self.postmaster, *map(int, children.split())]


def programs() -> Path | None:
    """Find the folder with the newest `initdb` and `postgres`: Debian keeps them off the path."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None


@contextmanager
def cluster(folder: Path, cores: set[int]) -> Iterator[Cluster]:
    """Run a new PostgreSQL on `cores` with its data in `folder`, a real disk, until the block ends.

    As root it runs as the user postgres (PostgreSQL refuses root), who must be able to reach `folder`; the folder
    itself is opened for that. Raises `RuntimeError` with the end of its log when it does not come up.
    """
    binaries = programs()
    if binaries is None:
        raise RuntimeError("PostgreSQL is not installed: python -m bench.peers.install")
    owner = pwd.getpwnam("postgres") if os.geteuid() == 0 else None
    user: dict[str, Any] = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []} if owner else {}
    data = folder / "postgres"
    data.mkdir(mode=0o700)
    # A socket's path has at most 107 bytes, which folders of measurements exceed.
    with tempfile.TemporaryDirectory(prefix="roomd-pg-") as socket, (folder / "postgres.log").open("wb") as log:
        if owner:
            folder.chmod(0o711)
            for path in (data, socket):
                os.chown(path, owner.pw_uid, owner.pw_gid)
        initdb = subprocess.run(
            [binaries / "initdb", "--pgdata", data, "--username=postgres", "--auth=trust", "--encoding=UTF8",
             "--locale=C", "--no-sync"],
            check=False, cwd=socket, stdout=log, stderr=log, **user,
        )  # fmt: skip
        if initdb.returncode != 0:
            raise RuntimeError(f"initdb failed; the end of its log:\n{_tail(folder)}")
        settings = {**SETTINGS, "unix_socket_directories": socket}
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        process = subprocess.Popen(
            [binaries / "postgres", "-D", data, *options],
            cwd=socket, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **user,
        )  # fmt: skip
        try:
            os.sched_setaffinity(process.pid, cores)  # what it starts later inherits them
            _wait_until_up(process, folder)
            for pid in (running := Cluster(process.pid, Path(socket))).pids():
                os.sched_setaffinity(pid, cores)
            yield running
        finally:
            process.send_signal(2)  # "fast": connections are closed, not waited for
            process.wait()


def _wait_until_up(process: "subprocess.Popen[bytes]", folder: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    status = folder / "postgres/postmaster.pid"  # its eighth line is the state
    while time.monotonic() < deadline and process.poll() is None:
        if status.exists() and status.read_text().splitlines()[7:8] == ["ready   "]:
            return
        time.sleep(0.02)
    raise RuntimeError(f"PostgreSQL did not come up; the end of its log:\n{_tail(folder)}")


def _tail(folder: Path) -> str:
    return (folder / "postgres.log").read_text(encoding="utf-8", errors="replace")[-2000:]
