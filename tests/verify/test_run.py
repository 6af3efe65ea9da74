"""A run of `roomd verify` against a daemon in this process."""

import asyncio

import pytest

from roomd.testing import Daemon
from roomd.verify.audit import audit
from roomd.verify.driver.run import Plan, run
from roomd.verify.report import RULES


@pytest.mark.parametrize("shown", ["all", "users"])
async def test_a_daemon_keeps_every_rule(shown: str) -> None:
    """Every rule is checked many times and holds, everybody is served in the end, and the rooms are deleted."""
    async with Daemon(rooms={"show_user_ids": shown}) as daemon:

        async def user_token(user: str) -> str:
            return daemon.token(user)

        plan = Plan(
            nodes=[daemon.url], host_token=lambda: daemon.token("root", admin=True), user_token=user_token,
            seconds=4, rooms=3, clients=24, pause=0.02,
        )  # fmt: skip
        lines: list[str] = []
        outcome = await run(plan, "test", lines.append, asyncio.Event())
        report = audit(outcome.history)
        assert report.broken() == [], {rule: report.rules[rule].evidence[:2] for rule in report.broken()}
        assert outcome.is_settled, outcome.history.unsettled
        assert outcome.notes == []
        assert {rule for rule in RULES if report.rules[rule].checked} == set(RULES)
        assert lines
