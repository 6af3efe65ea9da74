"""Start a peer: its command, its database, and the processes to pin and to measure."""

import json
import os
import platform
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from bench.peers import postgres
from bench.processes import Server, StartFailed, serving

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
"""This checkout."""
MACHINES = {"x86_64": "x64", "aarch64": "arm64"}
NODE = HERE / f"node_modules/node-linux-{MACHINES.get(platform.machine(), 'unknown')}/bin/node"

NODE_PEERS = ("ws", "socketio", "colyseus")
PEERS = (*NODE_PEERS, "python_socketio")


def missing(name: str) -> str | None:
    """Name what the peer `name` needs and is not installed; None if all is."""
    if name in NODE_PEERS and not (NODE.exists() and (HERE / "node_modules/.package-lock.json").exists()):
        return "the packages of npm"
    if name == "socketio" and postgres.programs() is None:
        return "PostgreSQL"
    if name == "python_socketio" and not all(map(find_spec, ("socketio", "uvicorn", "uvloop", "httptools"))):
        return "the dependency group bench"
    return None


@contextmanager
def running(name: str, cores: set[int], folder: Path, secret: str) -> Iterator[Server]:
    """Run a peer on `cores` with its database in `folder` until the block ends; it accepts JWTs made with `secret`.

    Raises `StartFailed` with the end of its log when it does not come up.
    """
    if lacking := missing(name):
        raise StartFailed(f"{name} needs {lacking}: python -m bench.peers.install")
    if name == "socketio":
        with postgres.cluster(folder, cores) as cluster, _serving(name, cores, folder, secret, cluster.socket) as peer:
            yield peer._replace(pids=lambda: [peer.pid, *cluster.pids()])
    else:
        with _serving(name, cores, folder, secret, folder / f"{name}.db") as peer:
            yield peer


@contextmanager
def _serving(name: str, cores: set[int], folder: Path, secret: str, database: Path) -> Iterator[Server]:
    environ = {"DATABASE": str(database), "JWT_SECRET": secret, "NODE_ENV": "production"}
    if name in NODE_PEERS:
        command = [str(NODE), str(HERE / name / "server.js"), "{port}"]
    else:
        command = [sys.executable, "-m", f"bench.peers.{name}.server", "{port}"]
        environ |= python_path(ROOT)
    with serving(name, command, cores, folder, environ, database) as server:
        yield server


def python_path(root: Path) -> dict[str, str]:
    """Return the environment in which Python, run in any folder, finds the packages of the checkout at `root`."""
    return {"PYTHONPATH": os.pathsep.join(filter(None, (str(root), os.environ.get("PYTHONPATH"))))}


def create_rooms(host: str, count: int, seats: int, *, locked: bool = False, ended: bool = False) -> list[str]:
    """Open rooms on a peer and return their codes."""
    query = f"count={count}&max={seats}&locked={locked:d}&ended={ended:d}"
    request = urllib.request.Request(f"http://{host}/rooms?{query}", method="POST")
    with urllib.request.urlopen(request, timeout=60) as response:
        codes: list[str] = json.load(response)
    return codes
