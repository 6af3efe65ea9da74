"""Run a cluster here: `python -m tests.support.cluster FOLDER [PORT PORT PORT]`, with PostgreSQL, NATS, three daemons.

The data of PostgreSQL and the secret stay in FOLDER, and the configuration of each node is there. It prints what to
paste, and stops all when it gets a signal. A node that was killed stays away until somebody starts it again.
"""

import contextlib
import json
import shlex
import signal
import subprocess
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from urllib.request import urlopen

from tests.support.nats import NatsServer
from tests.support.postgresql import Missing, Server, made_secret, prepare, settings
from tests.support.processes import PATIENCE

PORTS = (8765, 8766, 8767)
ROOMD = str(Path(sys.executable).with_name("roomd"))
SIGNALS = {signal.SIGINT, signal.SIGTERM, signal.SIGCHLD}
LOOK_AGAIN = 0.2

_ROOM = "SELECT code FROM rooms WHERE host_id = 'demo-host' AND is_active ORDER BY id DESC LIMIT 1"

Daemons = Mapping[str, "subprocess.Popen[bytes]"]


def main(folder: Path, ports: Collection[int] = PORTS) -> int:
    """Run the cluster until a signal comes, or a daemon ends that nobody has killed. Return the exit code."""
    folder = folder.absolute()
    with contextlib.ExitStack() as stack:
        try:
            prepare(folder / "postgresql")
            server = Server(folder / "postgresql", {})
            server.start()
        except Missing as exc:
            print(f"roomd: {exc}", file=sys.stderr)
            return 2
        stack.callback(server.stop)
        if server.run_sql("SELECT count(*) FROM pg_database WHERE datname = 'roomd'") == "0":
            server.run_sql("CREATE DATABASE roomd TEMPLATE template0 ENCODING 'UTF8'")
        nats = NatsServer(folder)
        nats.start()
        stack.callback(nats.stop)
        print(f"PostgreSQL: {server.url('roomd')}\nNATS: {nats.url}", flush=True)
        nodes = dict(zip("abc", ports, strict=True))
        base = settings(server.url("roomd"), made_secret(folder / "auth"))
        for name, port in nodes.items():
            _config(folder, name).write_text(base + _of_node(folder, name, port, nats.url))
        daemons = {
            name: subprocess.Popen([*_serve(folder, name), *(["--demo"] if name == "a" else [])]) for name in nodes
        }
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        code = ""
        while not code and _goes_on(daemons, folder, signal.sigtimedwait(SIGNALS, LOOK_AGAIN)):
            if code := server.run_sql(_ROOM, "roomd") if all(map(_is_ready, ports)) else "":
                print(_to_paste(folder, nodes, code, daemons["b"].pid), flush=True)
        while code and _goes_on(daemons, folder, signal.sigwaitinfo(SIGNALS)):
            pass
        for daemon in daemons.values():
            daemon.terminate()
        return max(0, *(daemon.wait() for daemon in daemons.values()))


def _goes_on(daemons: Daemons, folder: Path, got: "signal.struct_siginfo | None") -> bool:
    """Return whether to go on after a signal; None is no signal. Say how to start a node again that was killed."""
    if got is None or got.si_signo != signal.SIGCHLD:
        return got is None
    for name, daemon in daemons.items():
        if daemon.returncode is None and (daemon.poll() or 0) < 0:
            print(
                f"\nNode {name} was killed. This starts it again:\n\n    {shlex.join(_serve(folder, name))}\n",
                flush=True,
            )
    codes = [daemon.returncode for daemon in daemons.values()]
    return None in codes and all(code is None or code < 0 for code in codes)


def _is_ready(port: int) -> bool:
    """Return whether a node is ready for clients."""
    with contextlib.suppress(OSError), urlopen(f"http://127.0.0.1:{port}/readyz", timeout=PATIENCE):
        return True
    return False


def _config(folder: Path, name: str) -> Path:
    """Return the file with the configuration of a node."""
    return folder / f"{name}.toml"


def _serve(folder: Path, name: str) -> list[str]:
    """Return the command that runs a node."""
    return [ROOMD, "serve", "--config", str(_config(folder, name))]


def _of_node(folder: Path, name: str, port: int, nats: str) -> str:
    """Return the part of the configuration that is not the same at all nodes."""
    return (
        f"\n[server]\nport = {port}\n\n[admin]\nsocket = {json.dumps(str(folder / f'{name}.sock'))}\n"
        f'\n[cluster]\nnats = ["{nats}"]\nnode = "{name}"\nadvertise = "http://127.0.0.1:{port}"\n'
    )


def _to_paste(folder: Path, nodes: Mapping[str, int], code: str, pid: int) -> str:
    """Return links to the demo room at each node, and commands for another terminal. `pid` is that of node b."""
    options = ["--config", str(_config(folder, "a"))]
    sockets = [f"ws://127.0.0.1:{port}/ws" for port in nodes.values()]
    commands = [
        [ROOMD, *command, *options]
        for command in (
            ["status"],
            ["top"],
            ["verify", *sockets],
            ["cluster", "drain", "b"],
            ["cluster", "drain", "b", "--undo"],
        )
    ]
    lines = [
        "",
        "The demo room as a guest, at each node:",
        "",
        *(f"    http://127.0.0.1:{port}/#{code}" for port in nodes.values()),
        "",
        "For another terminal:",
        "",
        *(f"    {shlex.join(command)}" for command in commands),
        f"    kill -9 {pid}  # node b; the others take its rooms",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), [int(port) for port in sys.argv[2:]] or PORTS))
