"""(i): (a) and the time to start with a large database: many rooms, or a history of millions of participants.

Such a database is made once, in bulk by SQL with the project's schema, and kept under var/, which git ignores. It is
used in place, so it grows a little with every run.
"""

import hashlib
import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from bench.rig import SCHEMA, Figure, Rig
from bench.work import cycle

HISTORY_ROOMS = 100_000
CODES = cycle.CLIENTS // cycle.SEATS
"""Rooms that (a) needs."""


class History(NamedTuple):
    """The content of a database."""

    name: str
    """Its key in `bench.report.HISTORIES`."""
    rooms: int
    participants: int
    """They have all left, and are spread evenly over the rooms."""


EMPTY = History("empty", 0, 0)
ROOMS_ONLY = (History("rooms10", 10_000, 0), History("rooms100", 100_000, 0))
MILLION = History("history1m", HISTORY_ROOMS, 1_000_000)
TEN_MILLION = History("history10m", HISTORY_ROOMS, 10_000_000)

_LETTER = "char(97 + n / {} % 26)"
CODE = " || ".join(
    "'-'" if power is None else _LETTER.format(26**power) for power in (5, 4, 3, None, 2, 1, 0, None, 0, 1, 2)
)
COUNT = "WITH RECURSIVE c (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM c LIMIT {})"
INSERT_ROOMS = f"""
    {COUNT} INSERT INTO rooms (id, code, name, host_id, is_active, is_locked, max_participants, allow_guest_access,
    waiting_room, created_at)
    SELECT printf('%024x', n), {CODE}, 'Room ' || n, 'bench', 1, 0, 4, 1, 0, '2025-03-03T10:00:00.000Z' FROM c
"""
INSERT_PARTICIPANTS = f"""
    {COUNT} INSERT INTO participants (room_id, id, guest_name, display_name, is_active, is_host, joined_at, left_at,
    resume_hash)
    SELECT printf('%024x', n / {{}}), printf('%024x', n), 'Guest ' || n % 10000, 'Guest ' || n % 10000, 0, 0,
    '2025-03-03T10:36:00.000Z', '2025-03-03T11:36:00.000Z', 'hhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhh' FROM c
"""


def prepare(history: History, folder: Path) -> Path:
    """Return the database with this history in `folder`; make it if it is not there."""
    schema = SCHEMA.read_text(encoding="utf-8")
    made_by = schema + INSERT_ROOMS + INSERT_PARTICIPANTS
    mark = hashlib.sha256(made_by.encode()).hexdigest()[:8]  # what would be made otherwise has a file of its own
    file = folder / f"bench-{history.name}-{mark}.db"
    if file.exists():
        return file
    print(f"making {file} …", end="", file=sys.stderr, flush=True)
    start = time.perf_counter()
    making = file.with_suffix(".making")
    making.unlink(missing_ok=True)
    with closing(sqlite3.connect(making, isolation_level=None)) as db:
        db.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -200000;")
        db.executescript(f"{schema} BEGIN; {INSERT_ROOMS.format(history.rooms)};")
        if history.participants:
            db.execute(INSERT_PARTICIPANTS.format(history.participants, history.participants // history.rooms))
        db.execute("COMMIT")
    making.replace(file)
    print(f" {time.perf_counter() - start:.0f} s, {file.stat().st_size / 1e6:,.0f} MB", file=sys.stderr)
    return file


def some_codes(database: Path, rooms: int) -> list[str]:
    """Return the codes of some of its rooms, spread evenly over the database."""
    step = rooms // CODES
    with closing(sqlite3.connect(database)) as db:
        ids = [f"{number * step:024x}" for number in range(CODES)]
        return [code for one in ids for (code,) in db.execute("SELECT code FROM rooms WHERE id = ?", (one,))]


async def start(rig: Rig, history: History) -> list[Figure]:
    """Return how many milliseconds the start took, until the server answered."""
    return [Figure(f"i-start-{history.name}", rig.server.seconds_to_start * 1000)]


async def measure(rig: Rig, history: History, seconds: float) -> list[Figure]:
    """Measure (a) in rooms of the database, if it has any, and the time that the start took."""
    codes = some_codes(rig.server.database, history.rooms) if history.rooms else None
    [(_, rate, usage)] = await cycle.small_rooms(rig, seconds, codes)
    return [Figure(f"i-{history.name}", rate, usage), *await start(rig, history)]
