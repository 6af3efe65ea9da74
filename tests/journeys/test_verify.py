"""`roomd verify` against three daemons, one of which is killed and started again."""

import asyncio
from pathlib import Path

import pytest

from roomd.verify.audit import audit
from roomd.verify.driver.faults import Fault, Faults
from roomd.verify.driver.run import Plan, run
from roomd.verify.report import RULES
from tests.support.cluster.daemons import trio, wait_ready
from tests.support.postgresql import Server


@pytest.mark.long
async def test_a_node_is_killed(tmp_path: Path, postgresql: Server) -> None:
    """Requests are left without an answer, and every rule holds: at each node, and in each event log."""
    with trio(tmp_path, postgresql, ROOMD_ROOMS_SEAT_HOLD="3") as three:
        first, broken = three.daemons["a"], three.daemons["b"]
        kills: list[int] = []

        async def kill() -> None:
            kills.append(broken.process.pid)
            await asyncio.to_thread(broken.kill)

        async def start() -> None:
            await asyncio.to_thread(broken.start)
            await asyncio.to_thread(wait_ready, broken)

        async def user_token(user: str) -> str:
            return first.token(user)

        plan = Plan(
            nodes=[daemon.url for daemon in three.daemons.values()],
            host_token=first.token("root", roomd={"admin": True}), user_token=user_token,
            seconds=6, rooms=3, clients=21, pause=0.05, faults=Faults([Fault("kill -9", kill, start)], 1.5, 0.5),
        )  # fmt: skip
        outcome = await run(plan, "killed", lambda _: None, asyncio.Event())
        report = audit(outcome.history)
        assert report.broken() == [], {rule: report.rules[rule].evidence[:2] for rule in report.broken()}
        assert outcome.is_settled
        assert outcome.notes == []
        assert outcome.faults == len(kills) > 0
        assert {rule for rule in RULES if report.rules[rule].checked} == set(RULES)
        assert len(outcome.history.logs) == len(three.daemons)
