"""(i): (a) and the time to start, with much in the database: rooms, or the history of millions of participants.

Such a database is made once and kept under var/, which git ignores: rows in bulk, by SQL, with the project's schema. It
is used in place, so it grows a little with every run.
"""

import contextlib
import hashlib
import sqlite3
import sys
import time
from pathlib import Path
from typing import NamedTuple

from bench.rig import Figure, Rig
from bench.work import cycle
from roomd.storage.migrations import schema

HISTORY_ROOMS = 100_000
CODES = cycle.CLIENTS // cycle.SEATS


class Past(NamedTuple):
    """What a database has seen."""

    name: str
    rooms: int
    participants: int
    """All of them left; they are spread over the rooms."""


EMPTY = Past("empty", 0, 0)
PASTS = (EMPTY, Past("rooms10", 10_000, 0), Past("rooms100", 100_000, 0))
MILLION = Past("history1m", HISTORY_ROOMS, 1_000_000)
TEN_MILLION = Past("history10m", HISTORY_ROOMS, 10_000_000)

_LETTER = "char(97 + n / {} % 26)"
CODE = " || ".join(
    "'-'" if power is None else _LETTER.format(26**power) for power in (5, 4, 3, None, 2, 1, 0, None, 0, 1, 2)
)
COUNT = "WITH RECURSIVE c (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM c LIMIT {})"
ROOMS = f"""
    {COUNT} INSERT INTO rooms SELECT printf('0room%019d', n), {CODE}, 'Room ' || n, 'bench', 1, 0, 4, 1, 0,
    '2025-03-03T10:00:00.000Z', NULL FROM c
"""
PARTICIPANTS = f"""
    {COUNT} INSERT INTO participants
    SELECT printf('0room%019d', n / {{}}), printf('0past%019d', n), NULL, 'Guest ' || n % 10000, 'Guest ' || n % 10000, 0,
    0, '2025-03-03T10:36:00.000Z', '2025-03-03T11:36:00.000Z', NULL, 'hhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhh', '{{{{}}}}', NULL
    FROM c
"""  # noqa: E501 - one row


def prepare(past: Past, folder: Path) -> Path:
    """Return the database with that past, made if it is not there."""
    mark = hashlib.sha256(schema().encode()).hexdigest()[:8]  # another schema, another file
    file = folder / f"bench-{past.name}-{mark}.db"
    if file.exists():
        return file
    print(f"making {file} …", end="", file=sys.stderr, flush=True)
    start = time.perf_counter()
    making = file.with_suffix(".making")
    making.unlink(missing_ok=True)
    db = sqlite3.connect(making, isolation_level=None)
    try:
        db.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -200000;")
        db.executescript(f"{schema()} BEGIN; {ROOMS.format(past.rooms)};")
        if past.participants:
            db.execute(PARTICIPANTS.format(past.participants, past.participants // past.rooms))
        db.execute("COMMIT")
    finally:
        db.close()
    making.replace(file)
    print(f" {time.perf_counter() - start:.0f} s, {file.stat().st_size / 1e6:,.0f} MB", file=sys.stderr)
    return file


def some_codes(database: Path, rooms: int) -> list[str]:
    """Pick some of its rooms, from all over the database."""
    step = rooms // CODES
    with contextlib.closing(sqlite3.connect(database)) as db:
        ids = [f"0room{number * step:019}" for number in range(CODES)]
        return [code for one in ids for (code,) in db.execute("SELECT code FROM rooms WHERE id = ?", (one,))]


async def start(rig: Rig, past: Past) -> list[Figure]:
    """Say how many milliseconds the start took, until the server answered."""
    return [Figure(f"i-start-{past.name}", rig.server.seconds_to_start * 1000)]


async def measure(rig: Rig, past: Past, seconds: float) -> list[Figure]:
    """Measure (a) in rooms that have a past, where there are any, and the time that the start took."""
    codes = some_codes(rig.server.database, past.rooms) if past.rooms else None
    [(_, rate, usage)] = await cycle.small_rooms(rig, seconds, codes)
    return [Figure(f"i-{past.name}", rate, usage), *await start(rig, past)]
