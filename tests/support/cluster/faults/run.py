"""Lets the clients of `roomd verify` storm the cluster while faults happen to it, and audits what they saw."""

import asyncio
from collections.abc import Callable, Sequence
from random import Random
from typing import NamedTuple

from roomd.verify.audit import audit
from roomd.verify.driver.faults import Fault, Faults
from roomd.verify.driver.run import Plan
from roomd.verify.driver.run import run as drive
from roomd.verify.records import History
from roomd.verify.report import Report
from tests.support.cluster.faults.deeds import DEEDS, Stage
from tests.support.cluster.faults.drain import HandOver
from tests.support.cluster.faults.rig import LEASE, Rig

HOLD = 6.0
"""Seconds for which a seat is held: longer than it takes until a room has a new owner."""
LEAST_HOLD = 3.0
"""Seconds for which the seat of a guest who has just come is held (docs/protocol.md, section 4)."""
SETTINGS = {"ROOMD_ROOMS_SEAT_HOLD": str(HOLD)}
"""Settings of the daemons."""
CLIENTS, ROOMS, SEATS = 24, 4, 5
PAUSE = 0.15
"""Seconds between two requests of a client, on average."""


class Result(NamedTuple):
    """What came of one storm."""

    requests: int
    """The requests of the clients."""
    answered: int
    """Those that were carried out."""
    report: Report
    """What the audit found."""
    losses: list[float]
    """Seconds from the loss of an owner to the first answer about its room at another node."""
    hand_overs: list[HandOver]
    """What it took to drain nodes, and to stop them in order."""

    @property
    def slowest(self) -> float:
        """The most of `losses`; 0 without any."""
        return max(self.losses, default=0.0)


async def suffer(
    rig: Rig, names: Sequence[str], seconds: float, rooms: int, seed: int, tell: Callable[[str], None]
) -> Result:
    """Run the faults of these names, one after another, each for some seconds, in one storm.

    `rooms` is the number of those that are handed over, besides the rooms of the storm. `tell` gets what was done.
    Raises what a fault raises, `TimeoutError` where something does not come true.
    """
    random = Random(seed)
    stop, stages = asyncio.Event(), list[Stage]()

    async def break_things() -> None:
        for name in names:
            stages.append(stage := Stage(rig, seconds, rooms, HOLD, Random(random.random())))
            tell(f"{name}: {await DEEDS[name](stage)}")
        stop.set()

    faults = Faults([Fault("all", break_things)], interval=1, down=0)
    outcome = await drive(_plan(rig, seed, faults), f"{seed}", _ignore, stop)
    report = audit(outcome.history)
    for stage in stages:
        for begin, end in stage.waits:
            report.check_each("kept", _told_too_early(outcome.history, begin, end))
    done = sum(one.is_done for one in outcome.history.operations)
    hand_overs = [one for stage in stages for one in stage.hand_overs]
    losses = [one for stage in stages for one in stage.losses]
    return Result(len(outcome.history.operations), done, report, losses, hand_overs)


def _plan(rig: Rig, seed: int, faults: Faults) -> Plan:
    daemon = rig.daemons["a"]

    async def token(user: str) -> str:
        return daemon.token(user)

    return Plan(
        nodes=[one.url for one in rig.daemons.values()],
        host_token=daemon.token("backend", ttl=86_400, roomd={"admin": True}),
        user_token=token,
        seconds=86_400,
        rooms=ROOMS,
        clients=CLIENTS,
        seats=SEATS,
        pause=PAUSE,
        hold=LEAST_HOLD,
        patience=LEASE + 12,
        seed=seed,
        faults=faults,
    )


def _ignore(_: str) -> None:
    """Do nothing."""


def _told_too_early(history: History, begin: float, end: float) -> list[str]:
    """Return what was sent after a time and carried out before another one, between which no commit could be."""
    return [
        f"{one.room}: {one.kind} of {one.person} was answered while the standby was away"
        for one in history.operations
        if one.sent > begin and one.until < end and one.is_done
    ]
