"""`make chaos`: every fault for 20 seconds, and a minute of a stopped process and of garbage."""

import argparse
import asyncio
import contextlib
import sys
import tempfile
import time
from pathlib import Path

from tests.support.chaos.faults import FAULTS
from tests.support.chaos.run import SETTINGS, Outcome, Plan, run, small_disk
from tests.support.daemon import serving


def tell(outcome: Outcome) -> None:
    """Print what came of a fault."""
    note = f" ({outcome.note})" if outcome.note else ""
    refused = ", ".join(f"{count} times {code}" for code, count in sorted(outcome.refused.items())) or "nothing"
    sys.stdout.write(
        f"{outcome.fault}{note}: {outcome.said} messages acknowledged, {refused} refused, "
        f"everybody served {outcome.back:.1f} s after the end\n"
    )
    for wrong in outcome.wrong:
        sys.stdout.write(f"  FAILED: {wrong}\n")
    sys.stdout.flush()


def main() -> int:
    """Run it, and print what came of each fault."""
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=FAULTS, default=list(FAULTS), help="some of the faults")
    parser.add_argument("--seconds", type=float, default=20, help="how long each lasts")
    parser.add_argument("--minute", type=float, default=60, help="how long a stopped process and garbage last")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    given = parser.parse_args()
    sys.stdout.write(f"seed {given.seed}\n")
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        only = list(given.only)
        if not stack.enter_context(small_disk(folder)) and "full disk" in only:
            only.remove("full disk")
            sys.stdout.write("full disk: left out, because only root mounts a small file system\n")
        daemon = stack.enter_context(serving(folder, True, **SETTINGS))
        longer = {"stopped process": given.minute, "garbage": given.minute}
        outcomes = asyncio.run(run(daemon, Plan(given.seed, 40, given.seconds, longer, 0.5, only), tell))
    return 1 if any(outcome.wrong for outcome in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
