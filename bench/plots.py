"""Draw the results: all kinds of work, and how the cost of a storm grows with the crowd."""

from pathlib import Path
from typing import Any

from bench.peers.servers import PEERS
from bench.report import Results, Spread, number
from bench.suite import CEILINGS, SERVERS

ROOMD, CEILING, PEER = "#c2410c", "#d4d4d4", "#57728f"
NAMES = {
    "echo": "bare echo", "frames": "pre-encoded", "sqlite": "SQLite alone", "ws": "ws + better-sqlite3",
    "socketio": "Socket.IO + PostgreSQL", "colyseus": "Colyseus", "python_socketio": "python-socketio",
}  # fmt: skip
PANELS = (
    ("a", "Joins + leaves /s, small rooms", "more is better"),
    ("b", "Joins + leaves /s, one room of 200", "more is better"),
    ("c1000", "1,000 storm a room: µs per join", "less is better"),
    ("d", "Cold connect + JWT + join /s", "more is better"),
    ("e1000", "Deliveries /s to 1,000 members", "more is better"),
    ("f", "Signals /s between pairs", "more is better"),
    ("g99", "Join latency at half the peak, p99 ms", "less is better"),
    ("h10000", "Memory per idle client, KiB", "less is better"),
)


def draw(results: Results, folder: Path) -> None:
    """Write work.png and storm.png; what was not measured is left out."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    plt.rcParams |= {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "svg.hashsalt": "roomd"}
    panels = [panel for panel in PANELS if results.of(panel[0], "roomd")]
    if panels:
        columns = min(2, len(panels))
        lines = -(-len(panels) // columns)
        figure, axes = plt.subplots(lines, columns, figsize=(5 * columns, 2.1 * lines), squeeze=False)
        for axis in axes.flat[len(panels) :]:
            axis.remove()
        for axis, (row, title, hint) in zip(axes.flat, panels, strict=False):
            _bars(axis, results, row, f"{title} ({hint})")
        _save(figure, folder / "work.png")
        plt.close(figure)
    if results.of("c1000", "roomd"):
        figure, axis = plt.subplots(figsize=(6, 3.6))
        _storms(axis, results)
        _save(figure, folder / "storm.png")
        plt.close(figure)


def _bars(axis: Any, results: Results, row: str, title: str) -> None:
    servers = [server for server in SERVERS if results.of(row, server)][::-1]
    spreads = [Spread.of([sample.value for sample in results.of(row, server)]) for server in servers]
    colours = [ROOMD if server == "roomd" else CEILING if server in CEILINGS else PEER for server in servers]
    middles = [spread.median for spread in spreads]
    errors = [[spread.median - spread.low for spread in spreads], [spread.high - spread.median for spread in spreads]]
    axis.barh([NAMES.get(server, server) for server in servers], middles, xerr=errors, color=colours, ecolor="#222")
    for place, spread in enumerate(spreads):
        axis.annotate(
            number(spread.median), (spread.high, place), (4, 0), textcoords="offset points", va="center", fontsize=8
        )
    axis.set_title(title, fontsize=9, loc="left")
    axis.margins(x=0.18)
    axis.set_xlim(left=0)
    axis.xaxis.set_visible(False)
    axis.spines["bottom"].set_visible(False)


def _storms(axis: Any, results: Results) -> None:
    for server in ("roomd", *PEERS):
        sizes = [size for size in (100, 1000, 3000) if results.of(f"c{size}", server)]
        costs = [Spread.of([sample.value for sample in results.of(f"c{size}", server)]).median for size in sizes]
        style = {"color": ROOMD, "linewidth": 2.5} if server == "roomd" else {"linewidth": 1.2}
        if sizes:
            axis.plot(sizes, costs, marker="o", label=NAMES.get(server, server), **style)
    axis.set(xscale="log", yscale="log", xlabel="clients that join one room at once")
    axis.set_xticks([100, 1000, 3000], ["100", "1,000", "3,000"])
    axis.set_title("µs per join until all know all (less is better)", fontsize=9, loc="left")
    axis.legend(frameon=False, fontsize=8)


def _save(figure: Any, file: Path) -> None:
    figure.tight_layout()
    figure.savefig(file, dpi=110, metadata={"Software": None})
