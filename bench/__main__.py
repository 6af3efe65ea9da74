"""`python -m bench`: what roomd does on one core, beside a bare echo under the same load."""

import argparse
import gc
import os
import secrets
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import jwt
import uvloop

from bench import load, storm
from bench.processes import Server, Usage, pin_generator, raise_file_limit, serving

ECHO = [sys.executable, str(Path(__file__).with_name("echo.py").resolve()), "{port}"]
ROOMD = [sys.executable, "-m", "roomd", "serve", "--database", "roomd.db", "--port", "{port}"]

PARTS = ("echo", "cycle", "storm")
MICRO = 1e6


class Row(NamedTuple):
    """A line of the table."""

    title: str
    decimals: int
    of: Callable[[dict[str, float]], float]
    """The figure of one round."""
    needs: str
    """The parts it is made from, in one string."""
    target: str = ""


# Costs are per reply: a join is one, a leave is one.
ROWS = (
    Row("echo: frames/s", 0, lambda r: r["echo"], "echo"),
    Row("cycle: joins + leaves/s", 0, lambda r: r["cycle"], "cycle"),
    Row("cycle ÷ echo", 3, lambda r: r["cycle"] / r["echo"], "echo cycle", "≥ 0.25"),
    Row("cycle: µs per join or leave", 1, lambda r: MICRO / r["cycle"], "cycle"),
    Row("storm: s until all know all", 3, lambda r: r["storm"], "storm"),
    Row("storm: the same, first after start", 3, lambda r: r["first"], "storm"),
    Row("storm: µs per join", 1, lambda r: r["storm"] / storm.CROWD * MICRO, "storm"),
    Row("storm ÷ cycle, per join", 2, lambda r: r["storm"] / storm.CROWD * r["cycle"], "cycle storm", "≤ 4"),
    Row(
        "storm ÷ cycle, per join with its leave", 2, lambda r: r["storm"] / storm.CROWD * r["cycle"] / 2, "cycle storm"
    ),
)


class Bench:
    """Runs the parts and keeps what each round gave."""

    def __init__(self, cores: set[int], folder: Path, seconds: float) -> None:
        self.cores = cores
        self.folder = folder
        self.seconds = seconds
        self.secret = secrets.token_hex(32)
        self.rounds: list[dict[str, float]] = []
        self.usage: dict[str, list[Usage]] = defaultdict(list)

    def run_round(self, parts: Iterable[str]) -> None:
        """Measure each part once, against a server of its own, so that none inherits another's leftovers."""
        figures: dict[str, float] = {}
        for part in parts:
            gc.collect()
            with tempfile.TemporaryDirectory(prefix=f"{part}-", dir=self.folder) as name:
                command, environ = (ECHO, {}) if part == "echo" else (ROOMD, {"ROOMD_AUTH_SECRET": self.secret})
                with serving(command, self.cores, Path(name), environ) as server:
                    figures |= uvloop.run(self.measure(part, server))
            print(".", end="", file=sys.stderr, flush=True)
        self.rounds.append(figures)

    async def measure(self, part: str, server: Server) -> dict[str, float]:
        """Measure one part."""
        if part == "storm":
            rushes = await storm.storms(server, self.token())
            self.usage[part] += rushes
            return {"storm": statistics.median(rush.seconds for rush in rushes), "first": rushes[0].seconds}
        if part == "cycle":
            rate = await load.cycle(server, self.token(), self.seconds)
        else:
            rate = await load.echo(server, self.seconds)
        self.usage[part].append(rate.usage)
        return {part: rate.per_second}

    def token(self) -> str:
        """Mint a token for the user who opens the rooms."""
        return jwt.encode({"sub": "bench", "exp": int(time.time()) + 3600}, self.secret, algorithm="HS256")

    def report(self) -> Iterable[str]:
        """Write the table."""
        yield f"{'':40}{'median':>10}{'min – max':>22}   target"
        measured = set(self.rounds[0])
        for row in ROWS:
            if measured.issuperset(row.needs.split()):
                values = [row.of(figures) for figures in self.rounds]
                low, middle, high = (
                    f"{value:,.{row.decimals}f}" for value in (min(values), statistics.median(values), max(values))
                )
                yield f"{row.title:40}{middle:>10}{f'{low} – {high}':>22}   {row.target}".rstrip()
        yield f"\n{'share of its core, %':40}{'server':>10}{'generator':>22}"
        for part, usages in self.usage.items():
            server = statistics.median(usage.server for usage in usages)
            generator = statistics.median(usage.generator for usage in usages)
            yield f"{part:40}{server:>10.0%}{generator:>22.0%}"


def sync_milliseconds(folder: Path, times: int = 50) -> float:
    """Take the median time of writing one page and syncing it: what a commit waits for at least."""
    taken = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(times):
            file.write(bytes(4096))
            file.flush()
            start = time.perf_counter()
            os.fdatasync(file.fileno())
            taken.append(time.perf_counter() - start)
    return statistics.median(taken) * 1000


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="parts to run (default all)")
    parser.add_argument("--rounds", type=int, default=5, help="how often each part runs, in turn (default 5)")
    parser.add_argument("--seconds", type=float, default=3.0, help="length of a rate measurement (default 3)")
    parser.add_argument(
        "--folder", type=Path, default=Path("var"), help="where databases go: a real disk (default var)"
    )
    return parser.parse_args()


def main() -> None:
    """Run the rounds and print the table."""
    args = arguments()
    args.folder.mkdir(parents=True, exist_ok=True)
    raise_file_limit()
    cores = pin_generator()
    print(
        f"{args.rounds} rounds, {load.CLIENTS} clients ({storm.CROWD} in the storm), Python {sys.version.split()[0]}, "
        f"sync {sync_milliseconds(args.folder):.2f} ms, load average at the start {os.getloadavg()[0]:.1f}",
        file=sys.stderr,
    )
    gc.disable()  # a pause here would count as the server's
    bench = Bench(cores, args.folder.resolve(), args.seconds)
    for _ in range(args.rounds):
        bench.run_round(args.only)
    print(file=sys.stderr)
    print("\n".join(bench.report()))


if __name__ == "__main__":
    try:
        main()
    except RuntimeError as exc:  # a server that does not come up, a client that was refused: no figure, no table
        sys.exit(f"\nbench: {exc}")
