"""Run a cluster on this machine: `python -m tests.support.cluster FOLDER`, with PostgreSQL, NATS and three daemons.

The data of PostgreSQL stay in FOLDER/postgresql. It prints how to reach each node, and stops all when it gets a signal.
"""

import contextlib
import os
import secrets
import signal
import subprocess
import sys
from pathlib import Path

from tests.support.nats import NatsServer
from tests.support.postgresql import Missing, Server, prepare

NODES = {"a": 8765, "b": 8766, "c": 8767}


def main(folder: Path) -> int:
    """Run the cluster until a signal comes, or a daemon ends. Return the exit code."""
    data = folder / "postgresql"
    with contextlib.ExitStack() as stack:
        try:
            prepare(data)
            server = Server(data.absolute(), {})
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
        secret = os.environ.get("ROOMD_AUTH_SECRET") or secrets.token_urlsafe(32)
        daemons = []
        for name, port in NODES.items():
            (folder / name).mkdir(exist_ok=True)
            environ = {
                **os.environ,
                "ROOMD_AUTH_SECRET": secret,
                "ROOMD_DATABASE_URL": server.url("roomd"),
                "ROOMD_DATABASE_PATH": str(folder / name / "roomd.db"),
                "ROOMD_CLUSTER_NATS": nats.url,
                "ROOMD_CLUSTER_NODE": name,
                "ROOMD_CLUSTER_ADVERTISE": f"http://127.0.0.1:{port}",
                "ROOMD_SERVER_PORT": str(port),
            }
            demo = ["--demo"] if name == "a" else []
            daemons.append(subprocess.Popen([sys.executable, "-m", "roomd", "serve", *demo], env=environ))
        print(f"PostgreSQL: {server.url('roomd')}\nNATS: {nats.url}", flush=True)
        for name, port in NODES.items():
            print(f"node {name}: http://127.0.0.1:{port}/", flush=True)
        print("The demo room of node a is at every node: change the port in its address.", flush=True)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGCHLD})
        signal.sigwait({signal.SIGINT, signal.SIGTERM, signal.SIGCHLD})
        for daemon in daemons:
            daemon.terminate()
        return max(abs(daemon.wait()) for daemon in daemons)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
