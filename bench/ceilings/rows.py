"""The ceiling of keeping: how many seats a second one thread brings to SQLite, in WAL with synchronous=FULL.

A join writes a row and its leave writes it again, as roomd's do, in transactions of as many rows as roomd's have when
200 clients join and leave. Nothing else is done; the time of fsync counts.
"""

import sqlite3
import time
from pathlib import Path

from roomd.storage.migrations import schema
from roomd.storage.rows import PARTICIPANT_COLUMNS

BATCH = 100
"""Rows in a transaction: what half of 200 clients ask for while the other half's transaction runs."""

UPSERT = (
    f"INSERT INTO participants ({PARTICIPANT_COLUMNS}) VALUES (?, ?, NULL, ?, ?, ?, 0, ?, ?, NULL, ?, '{{}}', NULL) "
    "ON CONFLICT (room_id, id) DO UPDATE SET is_active = excluded.is_active, left_at = excluded.left_at"
)
JOINED, LEFT = "2026-03-03T10:36:00.000Z", "2026-03-03T10:37:00.000Z"
ROOM = "INSERT INTO rooms VALUES (?, ?, 'Room', 'bench', 1, 0, 4, 1, 0, ?, NULL)"
ROOMS = 50


def rows_per_second(folder: Path, seconds: float) -> float:
    """Write for some seconds to a new database in `folder`; say how many rows a second were durable."""
    db = sqlite3.connect(folder / "rows.db", isolation_level=None)
    try:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.executescript(schema())
        rooms = [f"room{number:022}" for number in range(ROOMS)]
        db.executemany(ROOM, [(room, room, JOINED) for room in rooms])
        start, rows = time.perf_counter(), 0
        while (taken := time.perf_counter() - start) < seconds:
            seats = range(rows, rows + BATCH)
            for is_active, left_at in ((1, None), (0, LEFT)):
                db.execute("BEGIN IMMEDIATE")
                db.executemany(UPSERT, [_seat(rooms[n % ROOMS], n, is_active, left_at) for n in seats])
                db.execute("COMMIT")
            rows += 2 * BATCH
        return rows / taken
    finally:
        db.close()


def _seat(room: str, number: int, is_active: int, left_at: str | None) -> tuple[object, ...]:
    name = f"Guest {number % 10_000:04}"
    return (room, f"{number:026}", name, name, is_active, JOINED, left_at, "h" * 43)
