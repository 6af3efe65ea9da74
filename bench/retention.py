"""`python -m bench.retention [WORK …]`: measure roomd while it deletes old messages, and while its file gets smaller.

Both are compared in one run with the same daemon that does not: first one that has a million messages to delete with
one that keeps them, then one whose file has the space of a million messages to give back with one whose file has none.
(g) has the p50 and p99 of joins.
"""

import argparse
import shutil
import sqlite3
import sys
from collections.abc import Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import NamedTuple

from bench import options
from bench.pair import AFTER, BEFORE, Pair, letter, measure
from bench.processes import StartFailed
from bench.rig import HERE, SCHEMA, Rig, running
from bench.suite import LARGEST_ROOM, Plan, paused, temporary

MESSAGES = 1_000_000
ROOMS = 100
OLD = "2026-01-01T00:00:00.000Z"
DELETES = {"ROOMD_RETENTION_MESSAGES": "1d"}
_INSERT_ROOMS = f"""
    WITH RECURSIVE c (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM c LIMIT {ROOMS})
    INSERT INTO rooms (id, code, name, host_id, is_active, is_locked, max_participants, allow_guest_access,
    waiting_room, created_at)
    SELECT printf('%024x', n), 'old-' || n, 'Room ' || n, 'bench', 1, 0, 4, 1, 0, '{OLD}' FROM c
"""
_INSERT_MESSAGES = f"""
    WITH RECURSIVE c (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM c LIMIT ?)
    INSERT INTO messages (room_id, id, participant_id, user_id, display_name, text, sent_at)
    SELECT printf('%024x', n % {ROOMS}), printf('%024x', n), printf('%024x', n % 1000), 'user' || n % 1000,
    'User ' || n % 1000, printf('%0100d', n), '{OLD}' FROM c
"""


class Side(NamedTuple):
    """One of the two daemons that are compared."""

    database: Path
    """The database, of which each daemon gets a copy."""
    settings: Mapping[str, str]
    """What is set for the daemon."""


class Retention(Pair):
    """Measures this checkout twice, as two sides, which take short turns: what else uses the disk meets both."""

    turns = 6

    def __init__(self, plan: Plan, sides: Mapping[str, Side], cores: set[int], folder: Path) -> None:
        super().__init__(plan, HERE, HERE, cores, folder)
        self._sides = sides

    def _start(self, stack: ExitStack, side: str, folder: Path) -> Rig:
        own = folder / side
        own.mkdir()
        database, settings = self._sides[side]
        shutil.copyfile(database, own / "roomd.db")
        (own / "roomd.db").chmod(0o600)
        rig = running("roomd", self._cores, own, self._secret, {**LARGEST_ROOM, **settings}, checkout=HERE)
        return paused(stack, stack.enter_context(rig))


def prepare(file: Path, messages: int, *, is_freed: bool = False) -> Path:
    """Make a database with so many old messages; with `is_freed` they are deleted, and their space is in the file."""
    with closing(sqlite3.connect(file, isolation_level=None)) as db:
        db.executescript("PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF")
        db.executescript(f"{SCHEMA.read_text(encoding='utf-8')} BEGIN; {_INSERT_ROOMS};")
        db.execute(_INSERT_MESSAGES, (messages,))
        if is_freed:
            db.execute("DELETE FROM messages")
        db.execute("COMMIT")
    return file


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = options.parser("bench.retention", __doc__, rounds=3, seconds=1.0)
    parser.add_argument("work", nargs="*", type=letter, default=("g",), help="a to h (default g)")
    parser.add_argument("--messages", type=int, default=MESSAGES, help=f"how many are old (default {MESSAGES:,})")
    return parser.parse_args()


def main() -> int:
    """Measure, and print two reports as Markdown; return 1 when anything failed."""
    args = arguments()
    machine, cores = options.make_ready(args.folder)
    plan = Plan(tuple(args.work), ("roomd",), args.seconds, is_quick=False, has_largest=False)
    count = f"{args.messages:,}"
    failures = 0
    with temporary(args.folder.resolve()) as folder:
        full = prepare(folder / "full.db", args.messages)
        freed = prepare(folder / "freed.db", args.messages, is_freed=True)
        empty = prepare(folder / "empty.db", 0)
        for before, after, sides in (
            (f"{count} old messages are kept", f"{count} old messages are deleted",
             {BEFORE: Side(full, {}), AFTER: Side(full, DELETES)}),
            ("a file without free space", f"a file with the space of {count} messages gets smaller",
             {BEFORE: Side(empty, {}), AFTER: Side(freed, {})}),
        ):  # fmt: skip
            pair = Retention(plan, sides, cores, folder)
            try:
                measure(pair, args.rounds, machine, before, after)
            except StartFailed as exc:
                print(exc, file=sys.stderr)
                return 1
            failures += len(pair.failures)
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main())
