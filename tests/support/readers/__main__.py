"""`make readers`: 2,000 actions over 20 rooms, under kills of the daemon and of every reader."""

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

from tests.support.daemon import serving
from tests.support.readers.run import Plan, Readers, run

MOST_LINES = 50
"""So many lines are printed of what is wrong."""


def main() -> int:
    """Run it, and print the figures and what is wrong."""
    parser = argparse.ArgumentParser(prog="make readers", description=__doc__)
    parser.add_argument("--actions", type=int, default=2_000)
    parser.add_argument("--down", type=float, default=60, help="seconds for which one endpoint is down")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    given = parser.parse_args()
    plan = Plan(given.seed, given.actions, people=30, pause=3, hold=2.5, kill=50, kill_reader=20, down=given.down)
    sys.stdout.write(f"seed {plan.seed}\n")
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        readers = Readers(Path(name), plan)
        with serving(Path(name), False, **readers.settings) as daemon:
            outcome = asyncio.run(run(daemon, readers, plan))
    for figure, value in outcome.figures.items():
        sys.stdout.write(f"{figure}: {value}\n")
    sys.stdout.write(f"{time.monotonic() - began:.0f} seconds\n")
    for wrong in outcome.wrong[:MOST_LINES]:
        sys.stdout.write(f"FAILED: {wrong}\n")
    if len(outcome.wrong) > MOST_LINES:
        sys.stdout.write(f"FAILED: {len(outcome.wrong) - MOST_LINES} more\n")
    return 1 if outcome.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
