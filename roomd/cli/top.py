"""`roomd top`: show live what a daemon does."""

import os
import select
import signal
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from types import FrameType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from roomd.cli import top_nodes
from roomd.cli.output import plain
from roomd.protocol.admin import Activity, Distribution

QUIT = b"qQ"
"""The keys that end it."""
FIRST = 0.5
"""The seconds after which the first rates are shown, if the interval is longer."""
LINES_AROUND = 12
"""The lines of the screen that are not rows of the table of rooms: totals, headings, and empty lines."""
LEAST_ROOMS = 5
"""The rooms that are shown on the smallest screen."""
BUSY_ROOMS = 20
"""The rooms that are printed where there is no screen."""
SHOWN_SLOW = 5
"""The slow clients that are shown."""

Ask = Callable[[], Activity]
"""Asks the daemon for its activity."""


def show(ask: Ask, interval: float) -> None:
    """Show the activity until q or Ctrl-C, every `interval` seconds; once, where there is no terminal."""
    console = Console(highlight=False)
    before = ask()
    if not (console.is_terminal and sys.stdin.isatty()):
        time.sleep(interval)
        console.print(render(before, ask(), BUSY_ROOMS))
        return
    try:
        with (
            _interrupting(),
            _keys(sys.stdin.fileno()) as quits,
            Live(console=console, screen=True, auto_refresh=False) as live,
        ):
            wait = min(FIRST, interval)
            while not quits(wait):
                after = ask()
                taken = LINES_AROUND + min(after.slow, SHOWN_SLOW) + len(after.nodes)
                rows = max(LEAST_ROOMS, console.height - taken)
                live.update(render(before, after, rows), refresh=True)
                before, wait = after, interval
    except KeyboardInterrupt:
        pass


@contextmanager
def _interrupting() -> Iterator[None]:
    """Let Ctrl-C end what runs. With Python's own handler, `asyncio.run` would only cancel who may have the answer."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _keys(descriptor: int) -> Iterator[Callable[[float], bool]]:
    """Read single keys from a terminal. Gives a function that waits some seconds and returns whether to end."""
    before = termios.tcgetattr(descriptor)
    tty.setcbreak(descriptor)

    def quits(seconds: float) -> bool:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if select.select([descriptor], [], [], left)[0]:
                typed = os.read(descriptor, 64)
                if not typed or any(key in QUIT for key in typed):
                    return True
        return False

    try:
        yield quits
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def render(before: Activity, after: Activity, rows: int) -> RenderableType:
    """Return what is shown of two looks at the activity, with at most so many rooms."""
    nodes = top_nodes.rows(before, after, size)
    if nodes:
        before, after = top_nodes.together(before, after)
    parts: list[RenderableType] = [_totals(before, after), Text()]
    if nodes:
        header = ("NODE", "STATE", "ROOMS", "PEOPLE", "CONNECTIONS", "REQUESTS/S", "MEMORY")
        parts += [_table(header, nodes), Text()]
    if after.busiest:
        parts.append(
            _table(
                ("ROOM", "PEOPLE", "HELD", "WAITING", "COMMANDS/S"),
                [
                    (room.code, str(room.members), str(room.held), str(room.waiting), f"{room.rate:.1f}")
                    for room in after.busiest[:rows]
                ],
            )
        )
    if after.slowest:
        slow = [
            (str(one.number), plain(one.user_id or "-"), one.seat or "-", size(one.unsent))
            for one in after.slowest[:SHOWN_SLOW]
        ]
        parts += [Text(), _table(("SLOW CLIENT", "USER", "ROOM", "UNSENT"), slow)]
    return Group(*parts)


def _totals(before: Activity, after: Activity) -> RenderableType:
    if before.pid != after.pid or after.uptime < before.uptime:  # another process: its totals have begun at 0
        before = after
    seconds = after.uptime - before.uptime

    def rate(then: float, now: float) -> float:
        return (now - then) / seconds if seconds > 0 else 0.0

    commits, lag = difference(before.commits, after.commits), difference(before.lag, after.lag)
    totals = (
        ("requests", before.requests, after.requests),
        ("joins", before.joins, after.joins),
        ("resumes", before.resumes, after.resumes),
        ("refusals", before.refusals, after.refusals),
    )
    answered = sum(node.activity is not None for node in after.nodes)
    nodes = {"nodes": f"{answered} of {len(after.nodes)} answer; these are their sums"} if after.nodes else {}
    received, sent = rate(before.received, after.received), rate(before.sent, after.sent)
    lines = {
        "roomd": f"{after.version}, {'draining' if after.is_draining else 'serving'}, process {after.pid}, "
        f"for {duration(after.uptime)}",
        **nodes,
        "rooms": f"{after.rooms} with {after.members} people; {after.held} seats held, {after.waiting} people wait",
        "connections": f"{after.connections} of {after.limit}, {after.strangers} without a seat and a token, "
        f"{after.slow} slow",
        "a second": ", ".join(f"{rate(then, now):.1f} {name}" for name, then, now in totals),
        "bytes": f"{size(received)}/s received, {size(sent)}/s sent",
        "storage": f"{rate(0, sum(commits.counts)):.1f} transactions/s{times(commits)}",
        "late by": times(lag).removeprefix(", ") or "-",
        "memory": size(after.memory),
    }
    grid = Table.grid(padding=(0, 2))
    for name, line in lines.items():
        grid.add_row(Text(f"{name}:", style="bold"), Text(line))
    return grid


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for number, name in enumerate(header):
        table.add_column(
            name, justify="left" if number == 0 or name in ("USER", "ROOM", "STATE") else "right", no_wrap=True
        )
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def difference(before: Distribution, after: Distribution) -> Distribution:
    """Return the values that were added between two looks."""
    counts = [now - then for now, then in zip(after.counts, before.counts, strict=True)]
    return Distribution(bounds=after.bounds, counts=counts, total=after.total - before.total)


def times(values: Distribution) -> str:
    """Return the mean of times, and the bound below which 99 of 100 are; nothing without one."""
    count = sum(values.counts)
    if not count:
        return ""
    place = next(place for place, below in enumerate(accumulate(values.counts)) if below >= 0.99 * count)
    is_bounded = place < len(values.bounds)
    word, bound = ("below", values.bounds[place]) if is_bounded else ("above", values.bounds[-1])
    return f", {1000 * values.total / count:.1f} ms on average, 99 % {word} {1000 * bound:g} ms"


def size(count: float) -> str:
    """Return a number of bytes for people."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


def duration(seconds: float) -> str:
    """Return a time for people: the two largest units of it."""
    whole = int(seconds)
    parts = [(whole // 86_400, "d"), (whole // 3600 % 24, "h"), (whole // 60 % 60, "min"), (whole % 60, "s")]
    first = next((number for number, (count, _) in enumerate(parts) if count), len(parts) - 1)
    return " ".join(f"{count} {unit}" for count, unit in parts[first : first + 2])
