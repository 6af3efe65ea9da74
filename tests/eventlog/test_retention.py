"""What is older than `events.keep` is deleted, a little at a time."""

import asyncio

import pytest

from roomd.eventlog import retention as module
from roomd.eventlog.retention import Retention
from roomd.protocol.log_events import LoggedParticipantJoined
from roomd.rooms.event_log import reference
from tests.support.fake_log import FakeLog
from tests.support.fakes import FakeClock
from tests.support.processes import PATIENCE
from tests.support.stored import JANE, ROOM


async def test_old_events_are_deleted_in_small_transactions(monkeypatch: pytest.MonkeyPatch) -> None:
    """At most so many at once, until none is too old; the rest stays."""
    monkeypatch.setattr(module, "MOST_ROWS", 2)
    log, clock = FakeLog(), FakeClock()
    joined = reference(ROOM)
    log.add(ROOM.id, [LoggedParticipantJoined(clock.stamp(), joined, JANE)] * 5)
    clock.advance(101)
    log.add(ROOM.id, [LoggedParticipantJoined(clock.stamp(), joined, JANE)])
    keep = [200.0]
    retention = Retention(log, clock, lambda: keep[0])
    assert await retention.delete() == 0
    keep[0] = 100.0  # a reload
    assert [await retention.delete() for _ in range(4)] == [2, 2, 1, 0]
    assert len(log.rows) == 1


async def test_the_loop_goes_on_after_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Storage that fails keeps the events for a while, not for good."""
    monkeypatch.setattr(module, "INTERVAL", 0.001)
    log, clock = FakeLog(), FakeClock()
    log.add(ROOM.id, [LoggedParticipantJoined(clock.stamp(), reference(ROOM), JANE)] * 3)
    clock.advance(10)
    log.failing = True
    running = asyncio.create_task(Retention(log, clock, lambda: 1.0).run())
    async with asyncio.timeout(PATIENCE):
        await log.asked_to_delete.wait()
        assert len(log.rows) == 3
        log.failing = False
        while log.rows:
            log.asked_to_delete.clear()
            await log.asked_to_delete.wait()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


def test_keep_may_be_longer_than_the_age_of_the_world() -> None:
    """Then nothing is ever too old."""
    log, clock = FakeLog(), FakeClock()
    assert asyncio.run(Retention(log, clock, lambda: 1e15).delete()) == 0
