"""Summarise samples: medians with their spread, and ratios beside their targets; as JSON and as Markdown."""

import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from bench.peers.servers import PEERS
from bench.processes import Usage
from bench.suite import SERVERS, Failure, Sample

GENERATOR_LIMIT = 0.85
"""Above that share of its core, the load generator and not the server may limit the figure."""

TITLES = {
    "a": "(a) joins + leaves per second, durable: 200 clients, four to a room",
    "b": "(b) joins + leaves per second, durable: 200 clients in one room",
    "c100": "(c) 100 clients storm one room: µs per join until each knows all",
    "c1000": "(c) 1,000 clients storm one room: µs per join until each knows all",
    "c3000": "(c) 3,000 clients storm one room: µs per join until each knows all",
    "d": "(d) cold connections with JWT and join per second",
    "e100": "(e) a 200-byte message to 100 members: deliveries per second",
    "e1000": "(e) a 200-byte message to 1,000 members: deliveries per second",
    "f": "(f) signals between pairs per second",
    "g50": "(g) join latency at half the peak rate of (a), p50, ms",
    "g99": "(g) join latency at half the peak rate of (a), p99, ms",
    "j-watch": "(j) events per second to a `watch` that is 100,000 behind",
    "j-watch-ratio": "(j) the same ÷ SQLite alone",
    "j-poll": "(j) events per second by long poll",
    "j-poll-ratio": "(j) the same ÷ SQLite alone",
    "j-stream": "(j) events per second by Server-Sent Events",
    "j-stream-ratio": "(j) the same ÷ SQLite alone",
    "k-socket": "(k) `get-room` on WebSockets, answers per second",
    "k-http": "(k) the same by `POST` on kept connections",
    "k-ratio": "(k) by `POST` ÷ on WebSockets",
}
"""The rows whose key is fixed; the others are named by `title`."""
HISTORIES = {
    "empty": "an empty database",
    "rooms10": "10,000 rooms",
    "rooms100": "100,000 rooms",
    "history1m": "a history of 1 million participants",
    "history10m": "a history of 10 million participants",
}
LESS_IS_BETTER = ("c", "g", "h", "i-start")


class Results(NamedTuple):
    """The results of a run."""

    machine: dict[str, Any]
    rounds: int
    took: float
    """Seconds of the whole run."""
    seconds: float
    """Length of a rate measurement."""
    samples: list[Sample]
    failures: list[Failure]

    def of(self, row: str, server: str) -> list[Sample]:
        """Find a server's samples of a row."""
        return [sample for sample in self.samples if (sample.row, sample.server) == (row, server)]

    def values(self, row: str, server: str) -> dict[int, float]:
        """Return the median of a server's values of a row in each round."""
        found: dict[int, list[float]] = {}
        for sample in self.of(row, server):
            found.setdefault(sample.round, []).append(sample.value)
        return {number: statistics.median(values) for number, values in found.items()}

    def rows(self) -> list[str]:
        """List the rows that have figures, in the order of the report."""
        found = {sample.row: None for sample in self.samples}
        order = list(TITLES)
        return sorted(found, key=lambda row: (row[0], order.index(row) if row in order else "start" in row))


class Spread(NamedTuple):
    """A median, the least and the greatest."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: list[float]) -> "Spread":
        """Summarise values."""
        return cls(statistics.median(values), min(values), max(values))


class Target(NamedTuple):
    """A ratio that is to be reached."""

    title: str
    rows: tuple[str, ...]
    """The rows it is made from."""
    of: Callable[["Best"], float | None]
    at_least: float | None = None
    at_most: float | None = None
    is_below: bool = False
    """The ratio must be less than `at_most`."""
    unit: str = ""


class Best:
    """The figures of one round, and the best peer's."""

    def __init__(self, results: Results, number: int) -> None:
        self._results = results
        self._number = number

    def value(self, row: str, server: str = "roomd") -> float | None:
        """Return a figure, None where there is none; what is measured once counts in every round."""
        values = self._results.values(row, server)
        return values.get(self._number, values.get(0))

    def peer(self, row: str) -> float | None:
        """Return the best peer's figure."""
        values = [value for name in PEERS if (value := self.value(row, name)) is not None]
        best = min if row.startswith(LESS_IS_BETTER) else max
        return best(values) if values else None

    def ratio(self, above: float | None, below: float | None) -> float | None:
        """Divide, if both figures are there."""
        return above / below if above is not None and below else None


def _to(row: str, server: str) -> Callable[[Best], float | None]:
    return lambda best: best.ratio(best.value(row), best.value(row, server))


def _to_peer(row: str) -> Callable[[Best], float | None]:
    return lambda best: best.ratio(best.value(row), best.peer(row))


def _growth(row: str) -> Callable[[Best], float | None]:
    def worst(best: Best) -> float | None:
        empty = best.value(f"{row}-empty")
        others = [best.value(f"{row}-{name}") for name in HISTORIES if name != "empty"]
        values = [value for value in others if value is not None]
        if empty is None or not values:
            return None
        return max(values) / empty if row.startswith(LESS_IS_BETTER) else empty / min(values)

    return worst


TARGETS = (
    Target("(a) joins + leaves ÷ the bare echo's frames", ("a",), _to("a", "echo"), at_least=0.4),
    Target("(a) joins + leaves ÷ the best peer's", ("a",), _to_peer("a"), at_least=4),
    Target("(c) the best peer's time for 1,000 ÷ roomd's", ("c1000",),
           lambda best: best.ratio(best.peer("c1000"), best.value("c1000")), at_least=10),
    Target("(c) cost per join, 3,000 ÷ 100", ("c3000",),
           lambda best: best.ratio(best.value("c3000"), best.value("c100")), at_most=2, is_below=True),
    Target("(d) cold connect + JWT + join ÷ bare connects", ("d",), _to("d", "echo"), at_least=0.65),
    Target("(d) the same ÷ the best peer's", ("d",), _to_peer("d"), at_least=1),
    Target("(e) deliveries to 100 ÷ pre-encoded writes", ("e100",), _to("e100", "frames"), at_least=0.9),
    Target("(e) deliveries to 1,000 ÷ pre-encoded writes", ("e1000",), _to("e1000", "frames"), at_least=0.9),
    Target("(e) deliveries to 100 ÷ the best peer's", ("e100",), _to_peer("e100"), at_least=1),
    Target("(e) deliveries to 1,000 ÷ the best peer's", ("e1000",), _to_peer("e1000"), at_least=1),
    Target("(g) p99 at half the peak, ms", ("g99",), lambda best: best.value("g99"), at_most=10, is_below=True),
    Target("(h) KiB per client at 10,000", ("h10000",), lambda best: best.value("h10000"), at_most=16),
    Target("(h) the same ÷ the least of a peer", ("h10000",), _to_peer("h10000"), at_most=1.1),
    Target("(i) cost of joining: the worst history ÷ empty", ("i",), _growth("i"), at_most=1.2),
    Target("(i) time to start: the worst history ÷ empty", ("i",), _growth("i-start"), at_most=1.2),
    Target("(j) events to a `watch` ÷ SQLite alone", ("j",), lambda best: best.value("j-watch-ratio"), at_least=0.5),
    Target("(j) events by long poll ÷ SQLite alone", ("j",), lambda best: best.value("j-poll-ratio"), at_least=0.5),
    Target("(j) events by SSE ÷ SQLite alone", ("j",), lambda best: best.value("j-stream-ratio"), at_least=0.5),
    Target("(k) `get-room` by `POST` ÷ on a WebSocket", ("k",), lambda best: best.value("k-ratio"), at_least=0.5),
)  # fmt: skip


class Ratio(NamedTuple):
    """A target and its result."""

    title: str
    spread: Spread
    wanted: str
    is_reached: bool


def ratios(results: Results) -> Iterator[Ratio]:
    """Compare with the targets: the median of the ratios that are taken within each round."""
    numbers = sorted({sample.round for sample in results.samples if sample.round} or {0})
    for target in TARGETS:
        values = [value for number in numbers if (value := target.of(Best(results, number))) is not None]
        if values:
            spread = Spread.of(values)
            if target.at_least is not None:
                yield Ratio(target.title, spread, f"≥ {target.at_least:g}", spread.median >= target.at_least)
            elif target.at_most is not None:
                is_reached = spread.median < target.at_most or (not target.is_below and spread.median == target.at_most)
                yield Ratio(target.title, spread, f"{'<' if target.is_below else '≤'} {target.at_most:g}", is_reached)


def title(row: str) -> str:
    """Name a row."""
    if row in TITLES:
        return TITLES[row]
    if row.startswith("h"):
        return f"(h) memory per idle joined client at {int(row[1:]):,}, KiB"
    history = row.rpartition("-")[2]
    return f"(i) {'ms to start' if 'start' in row else 'joins + leaves per second'} with {HISTORIES[history]}"


def number(value: float) -> str:
    """Format a figure with three significant digits, or as a whole number from 100 on."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def markdown(results: Results) -> str:
    """Format the report."""
    machine = results.machine
    lines = [
        "# Results", "",
        f"{results.rounds} rounds in {results.took / 60:.1f} minutes on {place(machine)} Python {machine['python']}, "
        f"websockets {machine['websockets']}, uvloop {machine['uvloop']}.", "",
        "The server had one core with all its processes, the load generator the other. Medians (least – greatest).", "",
    ]  # fmt: skip
    if found := list(ratios(results)):
        lines += ["| ratio, taken within each round | median | | target | reached |", "|---|---:|---|---|---|"]
        lines += [
            f"| {ratio.title} | **{number(ratio.spread.median)}** | {_range(ratio.spread)} | {ratio.wanted} "
            f"| {'yes' if ratio.is_reached else '**no**'} |"
            for ratio in found
        ]
    lines += ["", "| work | server | median | | server's core | generator's core |", "|---|---|---:|---|---:|---:|"]
    for row in results.rows():
        lines += [_line(results, row, server) for server in SERVERS if results.of(row, server)]
    if results.failures:
        lines += ["", "Not measured:", ""]
        lines += [f"- {one.what}, {one.server}: {one.reason}" for one in results.failures]
    return "\n".join(lines) + "\n"


def _line(results: Results, row: str, server: str) -> str:
    samples = results.of(row, server)
    spread = Spread.of([sample.value for sample in samples])
    usages = [sample.usage for sample in samples if sample.usage]
    return f"| {title(row)} | {server} | {number(spread.median)} | {_range(spread)} {shares(usages)}"


def shares(usages: list[Usage]) -> str:
    """Format two cells: how busy the server's core was, and the generator's, with ⚠ where it may limit the figure."""
    if not usages:
        return "| | |"
    generator = statistics.median(usage.generator for usage in usages)
    flag = " ⚠" if generator > GENERATOR_LIMIT else ""
    return f"| {statistics.median(usage.server for usage in usages):.0%} | {generator:.0%}{flag} |"


def place(machine: dict[str, Any]) -> str:
    """Format where and when it was measured, as one sentence after "on"."""
    return (
        f"{machine['date']}: {machine['processor']}, {machine['cores']} cores, {machine['system']}. "
        f"One fdatasync of 4 KiB takes {machine['sync_ms']} ms; load average before the start {machine['load']}."
    )


def _range(spread: Spread) -> str:
    return f"({number(spread.low)} – {number(spread.high)})"


def write(results: Results, folder: Path) -> None:
    """Write latest.json and latest.md."""
    folder.mkdir(parents=True, exist_ok=True)
    data = {
        "machine": results.machine,
        "rounds": results.rounds,
        "took": round(results.took, 1),
        "ratios": [
            {"title": title, "median": spread.median, "low": spread.low, "high": spread.high, "target": wanted,
             "reached": is_reached}
            for title, spread, wanted, is_reached in ratios(results)
        ],
        "samples": [
            {"round": number, "row": row, "server": server, "value": value,
             "server_share": usage and usage.server, "generator_share": usage and usage.generator}
            for number, row, server, value, usage in results.samples
        ],
        "failures": [failure._asdict() for failure in results.failures],
    }  # fmt: skip
    (folder / "latest.json").write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    (folder / "latest.md").write_text(markdown(results), encoding="utf-8")


def machine(folder: Path) -> dict[str, Any]:
    """Describe the machine and the day."""
    names = [line.partition(":")[2].strip() for line in _cpuinfo() if line.startswith("model name")]
    return {
        "date": time.strftime("%Y-%m-%d"),
        "processor": names[0] if names else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "python": sys.version.split()[0],
        **{name: version(name) for name in ("websockets", "uvloop", "picows", "msgspec")},
        "load": round(os.getloadavg()[0], 1),
        "sync_ms": round(sync_milliseconds(folder), 2),
    }


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def sync_milliseconds(folder: Path, times: int = 50) -> float:
    """Measure the median time of writing and syncing one page: the least that a commit waits for."""
    taken = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(times):
            file.write(bytes(4096))
            file.flush()
            start = time.perf_counter()
            os.fdatasync(file.fileno())
            taken.append(time.perf_counter() - start)
    return statistics.median(taken) * 1000
