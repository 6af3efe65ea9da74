"""The ceiling of storage: how many rows per second one thread commits to SQLite, in WAL mode with synchronous=FULL.

A join writes a row and its leave writes it again, as roomd does, in transactions of as many rows as roomd's have when
200 clients join and leave. Nothing else is done; the time of fsync counts.
"""

import sqlite3
import time
from contextlib import closing
from pathlib import Path

from bench.rig import SCHEMA

BATCH = 100
"""Rows of a transaction: the requests of one half of 200 clients, while the other half's are committed."""

UPSERT = (
    "INSERT INTO participants (room_id, id, user_id, guest_name, display_name, is_active, is_host, joined_at, left_at, "
    "resume_hash) VALUES (?, ?, NULL, ?, ?, ?, 0, ?, ?, ?) "
    "ON CONFLICT (room_id, id) DO UPDATE SET is_active = excluded.is_active, left_at = excluded.left_at"
)
JOINED, LEFT = "2026-03-03T10:36:00.000Z", "2026-03-03T10:37:00.000Z"
ROOM = (
    "INSERT INTO rooms (id, code, name, host_id, is_active, is_locked, max_participants, allow_guest_access, "
    "waiting_room, created_at) VALUES (?, ?, 'Room', 'bench', 1, 0, 4, 1, 0, ?)"
)
ROOMS = 50


def rows_per_second(folder: Path, seconds: float) -> float:
    """Write for `seconds` to a new database in `folder`; return how many rows per second were durable."""
    with closing(sqlite3.connect(folder / "rows.db", isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.executescript(SCHEMA.read_text(encoding="utf-8"))
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


def _seat(room: str, number: int, is_active: int, left_at: str | None) -> tuple[object, ...]:
    name = f"Guest {number % 10_000:04}"
    return (room, f"{number:026}", name, name, is_active, JOINED, left_at, "h" * 43)
