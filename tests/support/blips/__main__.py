"""`make blips`: two minutes on a network that fails."""

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

from tests.support.blips.run import SETTINGS, Plan, run
from tests.support.daemon import serving


def main() -> int:
    """Run it, and print the figures or what went wrong."""
    parser = argparse.ArgumentParser(prog="make blips", description=__doc__)
    parser.add_argument("--seconds", type=float, default=120, help="how long things fail")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    given = parser.parse_args()
    plan = Plan(given.seed, given.seconds, pause=0.5, longest=6, restart=17, talk=4, speed=1)
    sys.stdout.write(f"seed {plan.seed}\n")
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder), False, **SETTINGS) as daemon:
        try:
            figures = asyncio.run(run(daemon, plan))
        except AssertionError as missing:
            sys.stdout.write(f"FAILED with --seed {plan.seed}\n{missing}\n")
            return 1
    for name, figure in figures.items():
        sys.stdout.write(f"{name}: {figure}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
