"""`python -m bench.webhooks [WORK …]`: measure roomd with endpoints that are dead beside roomd without any, in one run.

One endpoint refuses connections, the other takes them and never answers. A hundred thousand events wait for each of
them at the start, and all that is measured adds more. (a) has the joins a second, (g) their
p50 and p99 at half of that.
"""

import json
import socket
import sqlite3
import sys
from contextlib import ExitStack, closing
from pathlib import Path

from bench import options
from bench.pair import AFTER, Pair, letter, measure
from bench.processes import StartFailed
from bench.rig import HERE, SCHEMA, Rig, running
from bench.suite import LARGEST_ROOM, Plan, paused
from bench.work.catchup import write_events

BACKLOG = 100_000
"""The events that wait for each endpoint."""
SIGNING = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
EVENT: dict[str, object] = {
    "participant": {
        "id": "0" * 24,
        "displayName": "Jane Smith",
        "joinedAt": "2026-03-03T10:36:00.000Z",
        "more": "x" * 200,
    },
}


class Webhooks(Pair):
    """Measures this checkout twice: without endpoints, and with two that are dead."""

    def _start(self, stack: ExitStack, side: str, folder: Path) -> Rig:
        own = folder / side
        own.mkdir()
        settings = {**LARGEST_ROOM, "ROOMD_WEBHOOKS_RETRY_LONGEST": "5"}
        prepare(own / "roomd.db")
        if side == AFTER:
            silent = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            settings["ROOMD_WEBHOOKS_ENDPOINTS"] = json.dumps(endpoints(own, silent.getsockname()[1]))
        rig = running("roomd", self._cores, own, self._secret, settings, checkout=HERE)
        return paused(stack, stack.enter_context(rig))


def endpoints(folder: Path, port: int) -> dict[str, dict[str, object]]:
    """Return the setting of both endpoints. `port` takes connections and never answers."""
    secret = folder / "webhook.secret"
    secret.write_text(SIGNING)
    secret.chmod(0o600)
    urls = {"refuses": "http://127.0.0.1:9/", "silent": f"http://127.0.0.1:{port}/"}
    return {name: {"url": url, "secret_files": [str(secret)], "private": True} for name, url in urls.items()}


def prepare(database: Path) -> None:
    """Create a database with a log of `BACKLOG` events, of which neither endpoint has any."""
    with closing(sqlite3.connect(database)) as db:
        db.executescript(SCHEMA.read_text(encoding="utf-8"))
        write_events(db, BACKLOG, EVENT)
        for name in ("refuses", "silent"):
            db.execute("INSERT INTO webhooks SELECT ?, lower(hex(id)), 0, NULL, 0 FROM event_log", (name,))
        db.commit()
    database.chmod(0o600)


def main() -> int:
    """Measure, and print the report as Markdown; return 1 when anything failed."""
    parser = options.parser("bench.webhooks", __doc__, rounds=5, seconds=3.0)
    parser.add_argument("work", nargs="*", type=letter, default=("a", "g"), help="a to h (default a g)")
    args = parser.parse_args()
    machine, cores = options.make_ready(args.folder)
    plan = Plan(tuple(args.work), ("roomd",), args.seconds, is_quick=False, has_largest=False)
    pair = Webhooks(plan, HERE, HERE, cores, args.folder.resolve())
    try:
        measure(pair, args.rounds, machine, "no endpoints", f"two dead endpoints with {BACKLOG:,} events each")
    except StartFailed as exc:
        print(exc, file=sys.stderr)
        return 1
    return int(bool(pair.failures))


if __name__ == "__main__":
    sys.exit(main())
