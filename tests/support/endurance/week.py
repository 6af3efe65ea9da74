"""`make week`: a million joins and leaves against one daemon, whose memory must not grow."""

import argparse
import asyncio
import contextlib
import math
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec
import uvloop

from roomd.load.guest import Counts, Guest
from tests.support.daemon import PATIENT, Daemon, memory, serving
from tests.support.processes import PATIENCE

PARTS = 10
"""The joins come in so many parts, each with new connections."""
GROWTH = 1.05
"""How much more memory the last part may leave than the first."""
STEP = 0.02
"""Seconds between two looks at how many joins there were."""
SETTLE = 30.0
"""Seconds in which the memory of those who have gone must be given back."""


class Week(msgspec.Struct):
    """What came of it."""

    joins: int
    leaves: int
    seconds: float
    memory: list[int]
    """KiB after each part."""
    pages: dict[str, int]
    """Bytes of the database by table and index; of what is free."""
    rows: dict[str, int]
    """The rows of each table."""
    errors: dict[str, int]
    """What guests were refused, and connections that were lost."""

    def faults(self) -> list[str]:
        """Return what is wrong with it."""
        first, last = self.memory[0], self.memory[-1]
        wrong = [f"{number} × {error}" for error, number in self.errors.items()]
        if last > first * GROWTH:
            wrong.append(f"memory is {last / first:.2f} times that after the first part")
        if self.rows["participants"] != self.joins:
            wrong.append(f"{self.rows['participants']} participants are stored for {self.joins} joins")
        return wrong


async def run(
    daemon: Daemon, joins: int, guests: int, rooms: int, settle: float, say: Callable[[str], object] = lambda _: None
) -> Week:
    """Let guests join and leave until there were as many joins, in parts; return what came of it."""
    counts, begun = Counts(), time.monotonic()
    sizes: list[int] = []
    done = left = 0
    codes = [(await daemon.room(maxParticipants=guests))["code"] for _ in range(rooms)]
    for part in range(PARTS):
        crowd = [Guest(codes[number % rooms], number, counts) for number in range(guests)]
        for guest in crowd:
            await guest.connect(daemon.url)
            guest.start()
        while counts.joins.total < joins // PARTS and not counts.errors:  # noqa: ASYNC110 - guests only count
            await asyncio.sleep(STEP)
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(*(guest.end() for guest in crowd))
        await asyncio.gather(*(guest.close() for guest in crowd))
        joined, has_left = counts.take()
        done, left = done + joined.total, left + has_left.total
        sizes.append(await settled(daemon, sizes[0] * GROWTH if sizes else math.inf, settle))
        say(f"part {part + 1}: {done} joins, {sizes[-1] / 1024:.1f} MiB")
    seconds = time.monotonic() - begun
    daemon.stop()
    pages, rows = await asyncio.to_thread(look, daemon.database)
    return Week(done, left, seconds, sizes, pages, rows, dict(counts.errors))


async def settled(daemon: Daemon, wanted: float, seconds: float) -> int:
    """Return the memory once it is as small as wanted, or after some seconds."""
    deadline = time.monotonic() + seconds
    while (size := memory(daemon)) > wanted and time.monotonic() < deadline:  # noqa: ASYNC110 - another process
        await asyncio.sleep(STEP)
    return size


def look(path: Path) -> tuple[dict[str, int], dict[str, int]]:
    """Return the bytes of a database by table and index, and the rows of each table."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        page = database.execute("PRAGMA page_size").fetchone()[0]
        free = database.execute("PRAGMA freelist_count").fetchone()[0] * page
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        rows = {name: database.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in tables}
        try:
            pages = dict(database.execute("SELECT name, sum(pgsize) FROM dbstat GROUP BY name"))
        except sqlite3.OperationalError:  # SQLite was built without it
            pages = {"all": path.stat().st_size - free}
    return {**pages, "free": free}, rows


def report(week: Week) -> str:
    """Return the figures as text."""
    size = sum(week.pages.values())
    parts = ", ".join(
        f"{name} {bytes_ / 2**20:.1f}" for name, bytes_ in sorted(week.pages.items(), key=lambda one: -one[1])[:6]
    )
    rows = ", ".join(f"{count} {name}" for name, count in week.rows.items() if count)
    return (
        f"{week.joins} joins and {week.leaves} leaves in {week.seconds:.0f} s, "
        f"{(week.joins + week.leaves) / week.seconds:.0f} a second\n"
        f"MiB of memory after each part: {', '.join(f'{size / 1024:.1f}' for size in week.memory)}\n"
        f"database {size / 2**20:.1f} MiB: {parts}\n"
        f"{size / week.joins:.0f} bytes a join; {rows}\n"
    )


def main() -> int:
    """Run it, and print the figures and what went wrong."""
    parser = argparse.ArgumentParser(prog="make week", description=__doc__)
    parser.add_argument("--joins", type=int, default=1_000_000)
    parser.add_argument("--guests", type=int, default=200)
    parser.add_argument("--rooms", type=int, default=50)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder), False, **PATIENT) as daemon:
        week = uvloop.run(run(daemon, given.joins, given.guests, given.rooms, SETTLE, partial(print, flush=True)))
    sys.stdout.write(report(week))
    for wrong in week.faults():
        sys.stdout.write(f"FAILED: {wrong}\n")
    return 1 if week.faults() else 0


if __name__ == "__main__":
    sys.exit(main())
