"""The short forms of `make week` and `make restarts`."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from tests.support.daemon import PATIENT, Daemon, faults
from tests.support.endurance import restarts, week


@pytest.mark.sqlite
async def test_a_week_of_joins(make_daemon: Callable[..., Daemon]) -> None:
    """Every join is stored, nobody is refused, and memory stays; here only that no part of it runs away."""
    daemon = make_daemon(**PATIENT)
    found = await week.run(daemon, joins=3_000, guests=30, rooms=6, settle=0)
    assert found.joins == found.leaves == found.rows["participants"] >= 3_000
    assert found.errors == {}
    assert found.memory[-1] < 1.3 * found.memory[0]
    assert "bytes a join" in week.report(found)
    assert faults(daemon) == []


async def test_restarts(make_daemon: Callable[..., Daemon]) -> None:
    """Everybody comes back to the own seat in full rooms, soon after the time that they were told."""
    daemon = make_daemon()
    outcome = await restarts.run(daemon, clients=30, rooms=3, restarts=1)
    assert len(outcome.late) == 30
    assert [fault for fault in outcome.faults if not fault.startswith("back ")] == []  # a busy machine may be late
    assert all(1 <= hint <= 5 for hint in outcome.hints)
    assert "30 clients came back 30 times" in outcome.line()
    assert faults(daemon) == []


def test_what_is_wrong_with_a_week_is_noticed() -> None:
    """Growth, a refusal, a join that is not stored."""
    good = week.Week(10, 10, 1.0, memory=[1000, 1040], pages={}, rows={"participants": 10}, errors={})

    def faults_of(**changes: Any) -> list[str]:
        return msgspec.structs.replace(good, **changes).faults()

    assert faults_of() == []
    assert faults_of(memory=[1000, 1060]) == ["memory is 1.06 times that after the first part"]
    assert faults_of(errors={"room_full": 2}) == ["2 × room_full"]
    assert faults_of(rows={"participants": 9}) == ["9 participants are stored for 10 joins"]
