"""`make cluster-faults`: every fault for a minute under a storm of clients, and the control without the fence."""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random

from roomd.verify.report import report_text
from tests.support.cluster.faults.deeds import DEEDS
from tests.support.cluster.faults.late import late_join
from tests.support.cluster.faults.rig import LEASE, rig
from tests.support.cluster.faults.run import LEAST_HOLD, SETTINGS, Result, suffer

SLACK = 1.0
"""Seconds beyond a lease within which a room answers whose owner was lost."""
MOST_COMMITS = 10
"""The commits of a room, on average, while it is handed over in order."""


def tell(text: str) -> None:
    """Print lines."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


async def attack(names: Sequence[str], seconds: float, rooms: int, seed: int) -> bool:
    """Have each fault happen in a storm of its own to a cluster; return whether nothing was broken."""
    is_fine = True
    with tempfile.TemporaryDirectory() as folder:
        async with rig(Path(folder), Random(seed), SETTINGS) as cluster:
            report = await late_join(cluster, LEAST_HOLD)
            tell(f"an append that arrives late: {'held' if report.is_fine else report_text(report)}")
            is_fine = report.is_fine
            for name in names:
                result = await suffer(cluster, [name], seconds, rooms, seed, tell)
                is_fine = _tell_result(result) and is_fine
    return is_fine


def _tell_result(result: Result) -> bool:
    tell(f"  {result.requests:,} requests, {result.answered:,} carried out")
    faults = [] if result.report.is_fine else [report_text(result.report)]
    if result.losses:
        tell(f"  owner lost to first answer: {', '.join(f'{one:.2f}' for one in result.losses)} s (L is {LEASE:g})")
        if max(result.losses) > LEASE + SLACK:
            faults.append(f"longer than {LEASE + SLACK:g} s")
    for one in result.hand_overs:
        tell(
            f"  {one.rooms} rooms handed over: {one.commits:.1f} commits a room, most {one.most}; given up after "
            f"{one.giving_up:.2f} s, all rooms answered after {one.answered:.2f} s"
        )
        if one.commits > MOST_COMMITS:
            faults.append(f"more than {MOST_COMMITS} commits a room")
    for fault in faults:
        tell(f"  FAILED: {fault}")
    return not faults


async def control(seconds: float, seed: int) -> bool:
    """Do the same without the fence, and return whether the audit reports it, as it must."""
    with tempfile.TemporaryDirectory() as folder:
        async with rig(Path(folder), Random(seed), SETTINGS, is_fenced=False) as cluster:
            late = await late_join(cluster, LEAST_HOLD)
            tell(f"without the fence, an append that arrives late: broken are {', '.join(late.broken())}")
            result = await suffer(cluster, ["owner frozen"], seconds, 0, seed, tell)
            tell(f"without the fence, in a storm: broken are {', '.join(result.report.broken())}")
    if late.is_fine or result.report.is_fine:
        tell("  FAILED: the audit does not see that the fence is missing")
    return not late.is_fine and not result.report.is_fine


def main() -> int:
    """Run it, and print what came of each fault."""
    parser = argparse.ArgumentParser(prog="make cluster-faults", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=DEEDS, default=list(DEEDS), help="some of the faults")
    parser.add_argument("--seconds", type=float, default=60, help="how long each lasts at least")
    parser.add_argument("--rooms", type=int, default=1000, help="rooms that are handed over")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    parser.add_argument("--no-control", action="store_true", help="leave the control without the fence out")
    given = parser.parse_args()
    tell(f"seed {given.seed}")
    is_fine = asyncio.run(attack(given.only, given.seconds, given.rooms, given.seed))
    if not given.no_control:
        is_fine = asyncio.run(control(given.seconds, given.seed)) and is_fine
    return 0 if is_fine else 1


if __name__ == "__main__":
    sys.exit(main())
