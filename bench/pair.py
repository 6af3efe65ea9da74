"""`python -m bench.pair --before CHECKOUT [WORK …]`: measure this checkout of roomd beside another one, in one run.

Each daemon is started by its command line with the Python of its own checkout, set by ROOMD_… variables and reached by
its socket: nothing of the other checkout is imported. Both run on the same core, one after the other, and the clients
of both are this checkout's.
"""

import argparse
import secrets
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from threading import Event, Thread
from typing import Any

from bench import options, report
from bench.processes import StartFailed
from bench.report import Results, Spread
from bench.rig import HERE, Checkout, Figure, Rig, running
from bench.suite import LARGEST_ROOM, Plan, Record, Step, paused, steps, temporary
from bench.work import cycle, latency, memory

WORK = ("a", "b", "c", "d", "e", "f", "g", "h")
"""All but (i) and (j), whose databases have the schema of one checkout, and (k)."""
BEFORE, AFTER = "before", "after"


class Pair(Record):
    """Measures two checkouts in turn."""

    turns = 1
    """How often each work is done in a round."""

    def __init__(
        self, plan: Plan, before: Checkout, after: Checkout, cores: set[int], folder: Path, *, has_metrics: bool = False
    ) -> None:
        """`has_metrics` is whether the daemon of `after` serves metrics, which are fetched each second."""
        super().__init__()
        self._has_metrics = has_metrics
        self.plan = plan
        self._checkouts = {BEFORE: before, AFTER: after}
        self._cores = cores
        self._folder = folder
        self._secret = secrets.token_hex(32)
        self._round = 0
        self._peak = 0.0

    def run_round(self) -> None:
        """Measure all that is repeated once: each work with one checkout, and at once with the other.

        Which is first changes every round, so that a machine that becomes slower or faster affects both alike. Raises
        `StartFailed` when a daemon does not start.
        """
        self._round += 1
        sides = (BEFORE, AFTER) if self._round % 2 else (AFTER, BEFORE)
        with temporary(self._folder) as folder, ExitStack() as stack:
            rigs = {side: self._start(stack, side, folder) for side in sides}
            if self.plan.has("g", "roomd") and not self._peak:
                self.measure(self._round, Step("g peak", BEFORE, self._probe), rigs[BEFORE])
            for turn in range(self.turns):
                for step in steps(self.plan, self._latency):
                    for side in sides if turn % 2 == 0 else reversed(sides):
                        self.measure(self._round, step._replace(server=side), rigs[side])

    def run_once(self) -> None:
        """Measure memory, with daemons of its own."""
        if self.plan.has("h", "roomd"):
            sizes = [memory.FEW] if self.plan.is_quick else [memory.FEW, memory.MANY]
            for side in (BEFORE, AFTER):
                with temporary(self._folder) as folder, ExitStack() as stack:
                    rig = self._start(stack, side, folder)
                    self.measure(0, Step("h", side, lambda rig: memory.measure(rig, sizes)), rig)

    def _start(self, stack: ExitStack, side: str, folder: Path) -> Rig:
        own = folder / side
        own.mkdir()
        path = own / "metrics.sock"
        is_watched = self._has_metrics and side == AFTER
        settings = {**LARGEST_ROOM, **({"ROOMD_METRICS_LISTEN": f"unix:{path}"} if is_watched else {})}
        rig = stack.enter_context(
            running("roomd", self._cores, own, self._secret, settings, checkout=self._checkouts[side])
        )
        if is_watched:
            stack.enter_context(fetched(path))
        return paused(stack, rig)

    async def _probe(self, rig: Rig) -> list[Figure]:
        """Measure the peak of (a): both daemons get half of it in every round, so that latencies can be compared."""
        [figure] = await cycle.small_rooms(rig, self.plan.seconds)
        self._peak = figure.value
        return []

    async def _latency(self, rig: Rig) -> list[Figure]:
        if not self._peak:
            raise RuntimeError("the peak could not be measured")
        return await latency.measure(rig, self.plan.seconds, self._peak)


@contextmanager
def fetched(path: Path) -> Iterator[None]:
    """Fetch the metrics at a Unix socket each second, as Prometheus does by TCP, in a thread."""
    ended = Event()

    def fetch() -> None:
        while not ended.wait(1):
            with suppress(OSError), socket.socket(socket.AF_UNIX) as client:
                client.settimeout(5)  # a daemon is stopped while the other one is measured
                client.connect(str(path))
                client.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
                while client.recv(65_536):
                    pass

    thread = Thread(target=fetch, daemon=True)
    thread.start()
    yield
    ended.set()
    thread.join()


def markdown(results: Results, before: str, after: str) -> str:
    """Format the report; `before` and `after` describe the checkouts."""
    rounds = f"{results.rounds} round{'s' if results.rounds > 1 else ''}"
    lines = [
        "# Before and after",
        "",
        f"- before: {before}",
        f"- after: {after}",
        f"- {rounds} of {results.seconds:g} s for each rate, on {report.place(results.machine)}",
        "",
        "Medians of the figures; medians (least – greatest) of the ratios, each taken within a round. A spread that "
        "includes 1 shows no difference.",
        "",
        "| work | better | before | after | after ÷ before | | server's core | generator's core |",
        "|---|---|---:|---:|---:|---|---:|---:|",
        *(_line(results, row) for row in results.rows()),
    ]
    if results.failures:
        lines += ["", "Not measured:", ""]
        lines += [f"- round {one.round}: {one.what}, {one.server}: {one.reason}" for one in results.failures]
    return "\n".join(lines) + "\n"


def ratios(results: Results, row: str) -> list[float]:
    """Divide the figures of the two checkouts in each round that has both."""
    before, after = results.values(row, BEFORE), results.values(row, AFTER)
    return [after[number] / before[number] for number in before.keys() & after.keys() if before[number]]


def _line(results: Results, row: str) -> str:
    medians = [
        report.number(statistics.median(values)) if (values := results.values(row, side).values()) else "–"
        for side in (BEFORE, AFTER)
    ]
    spread = Spread.of(found) if (found := ratios(results, row)) else None
    ratio = f"**{spread.median:.2f}** | ({spread.low:.2f} – {spread.high:.2f})" if spread else "– |"
    usages = [sample.usage for sample in results.samples if sample.row == row and sample.usage]
    better = "less" if row.startswith(report.LESS_IS_BETTER) else "more"
    return f"| {report.title(row)} | {better} | {' | '.join(medians)} | {ratio} {report.shares(usages)}"


def find_checkout(root: Path, python: Path | None) -> Checkout:
    """Return the checkout at `root` with its Python, the one of its .venv by default.

    Raises `ValueError` where roomd or the Python is missing.
    """
    root = root.absolute()
    python = (python or root / ".venv/bin/python").absolute()  # not resolved: a venv is found by the link in it
    if not (root / "roomd/__main__.py").is_file():
        raise ValueError(f"{root} is no checkout of roomd")
    if not python.is_file():
        raise ValueError(f"there is no {python}: run `make install` there, or give --python")
    return Checkout(root, python)


VERSIONS = """
import sys
from importlib.metadata import version
print("Python", sys.version.split()[0], *(f", {name} {version(name)}" for name in ("websockets", "uvloop")), sep=" ")
"""


def describe(checkout: Checkout) -> str:
    """Return the commit of a checkout and the versions it runs with."""
    git = ["git", "-C", str(checkout.root), "describe", "--always", "--dirty"]
    try:
        found = subprocess.run(git, check=False, capture_output=True, text=True).stdout.strip()
    except OSError:
        found = ""
    versions = subprocess.run([checkout.python, "-c", VERSIONS], check=False, capture_output=True, text=True)
    return f"{found or 'no commit'}, {versions.stdout.strip().replace(' ,', ',') or 'unknown versions'}"


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = options.parser("bench.pair", __doc__, rounds=5, seconds=1.5)
    parser.add_argument("work", nargs="*", type=letter, default=WORK, help="a to h (default all)")
    parser.add_argument("--before", type=Path, required=True, metavar="CHECKOUT", help="the checkout to compare with")
    parser.add_argument("--python", type=Path, help="its Python (default CHECKOUT/.venv/bin/python)")
    parser.add_argument(
        "--metrics", action="store_true", help="this checkout serves metrics, which are fetched each second"
    )
    parser.add_argument("--quick", action="store_true", help="one round of 0.3 s, and (h) with 1,000 clients only")
    args = parser.parse_args()
    try:
        args.before = find_checkout(args.before, args.python)
    except ValueError as exc:
        parser.error(str(exc))
    return args


def letter(word: str) -> str:
    """Check a letter of the command line."""
    if word not in WORK:
        raise argparse.ArgumentTypeError(f"{word!r} is none of {' '.join(WORK)}")
    return word


def measure(pair: Pair, rounds: int, machine: dict[str, Any], before: str, after: str) -> None:
    """Measure, and print the report as Markdown. `before` and `after` describe the sides.

    Raises `StartFailed` when a daemon does not start.
    """
    start = time.monotonic()
    for _ in range(rounds):
        pair.run_round()
    pair.run_once()
    taken = time.monotonic() - start
    print(markdown(Results(machine, rounds, taken, pair.plan.seconds, pair.samples, pair.failures), before, after))


def main() -> int:
    """Measure, and print the report as Markdown; return 1 when anything failed."""
    args = arguments()
    machine, cores = options.make_ready(args.folder)
    rounds, seconds = (1, 0.3) if args.quick else (args.rounds, args.seconds)
    plan = Plan(tuple(args.work), ("roomd",), seconds, args.quick, has_largest=False)
    pair = Pair(plan, args.before, HERE, cores, args.folder.resolve(), has_metrics=args.metrics)
    try:
        measure(pair, rounds, machine, describe(args.before), describe(HERE))
    except StartFailed as exc:
        print(exc, file=sys.stderr)
        return 1
    return int(bool(pair.failures))


if __name__ == "__main__":
    sys.exit(main())
