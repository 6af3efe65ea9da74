"""`make attack`: every attack beside 50 ordinary clients, with a line of figures each."""

import argparse
import sys
import tempfile
from pathlib import Path

from tests.support.attacks.attacker import ATTACKS
from tests.support.attacks.result import judge
from tests.support.attacks.stage import Plan, settings, staged
from tests.support.daemon import serving

SLOWEST = 0.25
"""The p99, in seconds, that nobody minds."""


def main() -> int:
    """Run them, and print the figures and what went wrong."""
    parser = argparse.ArgumentParser(prog="make attack", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=ATTACKS, default=list(ATTACKS), help="some of the attacks")
    parser.add_argument("--seconds", type=float, default=10, help="how long each lasts")
    parser.add_argument("--scale", type=float, default=1, help="the part of the connections, messages and so on")
    given = parser.parse_args()
    plan = Plan(quiet=10, seconds=given.seconds, scale=given.scale, recovery=30)
    results = []
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(Path(folder), False, **settings(given.scale, Path(folder))) as daemon,
        staged(daemon, plan) as stage,
    ):
        for name in given.only:
            result = stage.attack(name)
            results.append(result)
            for line in (result.line(), *(f"  FAILED: {wrong}" for wrong in result.found(SLOWEST))):
                sys.stdout.write(f"{line}\n")
            sys.stdout.flush()
    return 1 if judge(results, SLOWEST) else 0


if __name__ == "__main__":
    sys.exit(main())
