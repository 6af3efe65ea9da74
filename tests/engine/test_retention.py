"""What is too old is deleted, a little at a time, and rooms in memory know it."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from roomd.counters import Counters, Histogram
from roomd.engine import retention as module
from roomd.engine.ports import StorageFailed
from roomd.engine.retention import Keep, OldMessages, Retention
from roomd.protocol.errors import Refused
from roomd.protocol.log_events import LoggedParticipantJoined
from roomd.protocol.logged import type_of
from roomd.rooms import commands
from roomd.rooms.event_log import reference
from tests.support.fakes import FakeClock
from tests.support.processes import PATIENCE
from tests.support.stage import HOST, Stage
from tests.support.stored import JANE, ROOM

DAY = 86_400.0


class Rows:
    """The rows of the stage's store, as far as they may be old; and how often the rest was called."""

    def __init__(self, stage: Stage) -> None:
        self.store = stage.store
        self.purged = 0
        self.stays: list[tuple[str, tuple[Any, ...] | None]] = []
        self.gone = ""
        """The code of a room that is found, and was deleted meanwhile."""
        self.failing = False
        self.optimized: list[bool] = []
        self.checkpoints = 0
        self.looked = asyncio.Event()

    async def old_rooms(self, before: str, limit: int) -> list[str]:
        gone, self.gone = self.gone, ""
        rooms = self.store.rooms.values()
        return [*([gone] if gone else []), *(r.code for r in rooms if r.ended_at and r.ended_at < before)][:limit]

    async def old_messages(self, before: str, cursor: str | None) -> tuple[OldMessages | None, str | None]:
        for room_id, messages in self.store.said.items():
            if messages and messages[0].message.sent_at < before:
                code = self.store.rooms[room_id].code
                return OldMessages(code, messages[0].message.id, messages[0].total_bytes), "again"
        return None, "on" if cursor is None else None

    async def delete_stays(self, before: str, cursor: tuple[Any, ...] | None) -> tuple[Any, ...] | None:
        self.stays.append((before, cursor))
        return ("r", "p") if cursor is None else None

    async def purge(self) -> bool:
        self.looked.set()
        if self.failing:
            raise StorageFailed
        self.purged += 1
        return self.purged % 2 == 1

    async def purged_again(self, times: int, clock: FakeClock | None = None) -> None:
        """Wait until it was purged so often, while the clock goes on."""
        while self.purged < times:
            await asyncio.sleep(0)
            if clock is not None:
                clock.advance(1)

    async def optimize(self, *, is_first: bool) -> None:
        self.optimized.append(is_first)

    async def shrink(self) -> bool:
        return False

    async def checkpoint(self) -> None:
        self.checkpoints += 1


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSE", 0.0)


@pytest.fixture
async def rows(stage: Stage) -> Rows:
    return Rows(stage)


def retention(stage: Stage, rows: Rows, keep: Callable[[], Keep], counters: Counters | None = None) -> Retention:
    return Retention(rows, stage.store.log, stage.hub, stage.clock, keep, counters or Counters())


async def test_events(stage: Stage, rows: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    """At most so many at once, until none is too old; the rest stays. A reload changes the age."""
    monkeypatch.setattr(module, "MOST_ROWS", 2)
    log, joined = stage.store.log, reference(ROOM)
    log.rows.clear()
    log.add(ROOM.id, [LoggedParticipantJoined(stage.clock.stamp(), joined, JANE)] * 5)
    stage.clock.advance(101)
    log.add(ROOM.id, [LoggedParticipantJoined(stage.clock.stamp(), joined, JANE)])
    keep = [200.0]
    deleting = retention(stage, rows, lambda: Keep(keep[0]))
    await deleting.delete_old()
    assert len(log.rows) == 6
    keep[0] = 100.0
    await deleting.delete_old()
    assert len(log.rows) == 1
    assert rows.checkpoints == 3, "what each step deleted is written into the file, so that no join has to"
    keep[0] = 1e15  # longer than there is time
    await deleting.delete_old()
    assert (len(log.rows), rows.stays) == (1, [])


async def test_ended_rooms(stage: Stage, rows: Rows) -> None:
    """The room is deleted for everyone, in memory and in the log; one that goes on stays, however old."""
    await stage.hub.ask(stage.room.code, commands.EndRoom(HOST))
    stage.clock.advance(DAY + 1)
    rows.gone = "was-not-the-re"
    await retention(stage, rows, lambda: Keep(DAY, rooms=2 * DAY)).delete_old()
    assert stage.room.id in stage.store.rooms
    await retention(stage, rows, lambda: Keep(DAY, rooms=DAY)).delete_old()
    assert stage.room.id not in stage.store.rooms
    assert type_of(stage.store.log.rows[-1][0]) == "room-deleted"
    with pytest.raises(Refused, match="room_not_found"):
        await stage.hub.ask(stage.room.code, commands.GetRoom(HOST))


async def test_a_room_that_is_active_is_not_deleted(stage: Stage) -> None:
    """Nor one that ended later than the one who asks believes."""
    await stage.hub.ask(stage.room.code, commands.DeleteOld("2099"))
    await stage.hub.ask(stage.room.code, commands.EndRoom(HOST))
    await stage.hub.ask(stage.room.code, commands.DeleteOld(stage.clock.stamp()))
    assert stage.room.id in stage.store.rooms


async def test_messages(stage: Stage, rows: Rows) -> None:
    """They are gone for those who come now, also while the room is in memory; later ones stay."""
    await stage.set(name="old")
    (ann,) = await stage.seated("ann")
    host = commands.SendMessage("", 0, "old", None, service=HOST)
    await stage.hub.ask(stage.room.code, host)
    stage.clock.advance(DAY + 1)
    await stage.hub.ask(stage.room.code, commands.SendMessage("", 0, "new", None, service=HOST))
    ann.take()
    await retention(stage, rows, lambda: Keep(DAY, messages=DAY)).delete_old()
    assert ann.frames() == []
    room = stage.hub._rooms[stage.room.code].room
    assert room is not None
    assert [message.text for message in room.messages] == ["new"]
    assert [one.message.text for one in stage.store.said[stage.room.id]] == ["new"]


async def test_a_reload_stops_it(stage: Stage, rows: Rows) -> None:
    """Who has set an age too short by mistake saves what is left."""
    keep = [Keep(DAY, stays=DAY)]
    deleting = retention(stage, rows, lambda: keep[0])
    begun = asyncio.create_task(deleting.delete_old())
    async with asyncio.timeout(PATIENCE):
        while not rows.stays:  # noqa: ASYNC110 - the task is to be caught between two steps
            await asyncio.sleep(0)
        keep[0] = Keep(DAY)
        await begun
    assert len(rows.stays) == 1


async def test_stays(stage: Stage, rows: Rows) -> None:
    """The store is asked until its end, with the time before which they are old."""
    await retention(stage, rows, lambda: Keep(DAY, stays=0.0)).delete_old()
    assert rows.stays == [(stage.clock.stamp(), None), (stage.clock.stamp(), ("r", "p"))]


async def test_the_loop_goes_on_after_a_failure(stage: Stage, rows: Rows) -> None:
    """Storage that fails keeps what is old for a while, not for good; a room that is deleted is purged at once."""
    rows.failing = True
    keep = [Keep(DAY)]
    deleting = retention(stage, rows, lambda: keep[0])
    running = asyncio.create_task(deleting.run())
    async with asyncio.timeout(PATIENCE):
        await rows.looked.wait()
        rows.failing = False
        await rows.purged_again(2, stage.clock)
        stage.hub.when_deleted(deleting.wake)
        await stage.hub.ask(stage.room.code, commands.DeleteRoom(HOST))
        await rows.purged_again(4)
        await rows.purged_again(6, stage.clock)
        keep[0] = Keep(DAY, stays=DAY)  # a reload
        deleting.wake()
        await rows.purged_again(8)
        assert len(rows.stays) == 2
        assert rows.optimized == [True]
        stage.clock.advance(DAY)
        await rows.purged_again(10)
        assert rows.optimized == [True, False]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


class Busy(Histogram):
    """The seconds of transactions, of which one follows the other for as long as `is_busy`."""

    is_busy = True
    looks = 0

    @property
    def total(self) -> float:
        self.looks += 1
        return asyncio.get_running_loop().time() if self.is_busy else 0.0

    @total.setter
    def total(self, value: float) -> None:
        """Do nothing."""


@pytest.mark.parametrize("longest", [0.0, 1e9])
async def test_it_waits_until_nobody_stores(
    stage: Stage, rows: Rows, longest: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What others store comes first, but not for ever: the work goes on after the longest pause."""
    monkeypatch.setattr(module, "LONGEST_PAUSE", longest)
    counters = Counters()
    counters.commits = busy = Busy(())
    deleting = asyncio.create_task(retention(stage, rows, lambda: Keep(DAY), counters).tidy())
    async with asyncio.timeout(PATIENCE):
        await rows.looked.wait()
        if longest:
            while busy.looks < 10:  # noqa: ASYNC110 - it looks again and again
                await asyncio.sleep(0)
            assert rows.purged == 1
            busy.is_busy = False
        await deleting
    assert rows.purged == 2
