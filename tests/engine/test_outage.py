"""Members are sent away while no room can be served for a long time, and their seats wait for them."""

import asyncio

from roomd.engine.outage import PATIENCE, OutageWatch
from tests.support.fakes import FakeClock
from tests.support.stage import HOLD, Stage


class Source:
    """Why rooms cannot be served, and what becomes of it."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.reason: str | None = None
        self.noted: list[str | None] = []
        self.sent_away: list[str] = []
        watch = OutageWatch(self.why, self.noted.append, self.sent_away.append, self.clock)
        self.task = asyncio.create_task(watch.run())

    async def why(self) -> str | None:
        return self.reason

    async def pass_time(self, seconds: int) -> None:
        """Let so many seconds pass, and everything run that comes due."""
        for _ in range(seconds):
            self.clock.advance(1.0)
            for _ in range(10):
                await asyncio.sleep(0)


async def test_a_long_outage() -> None:
    """Members are sent away after it has lasted, and those who come meanwhile; then no more."""
    source = Source()
    await source.pass_time(3)
    assert set(source.noted) == {None}
    source.reason = "away"
    await source.pass_time(int(PATIENCE))
    assert (source.noted[-1], source.sent_away) == ("away", [])
    await source.pass_time(2)
    assert source.sent_away == ["away"] * 2
    source.reason = None
    await source.pass_time(10)
    assert (source.noted[-1], source.sent_away) == (None, ["away"] * 2)
    source.task.cancel()


async def test_short_outages() -> None:
    """However many there are, nobody is sent away."""
    source = Source()
    for _ in range(5):
        source.reason = "away"
        await source.pass_time(int(PATIENCE) - 1)
        source.reason = None
        await source.pass_time(1)
    assert source.sent_away == []
    source.task.cancel()


async def test_a_seat_is_held_from_when_that_is_stored() -> None:
    """Who was sent away could not come back before; who left by themselves was away for all of the time."""
    stage = await Stage().open()
    jane, joe = await stage.seated("jane", "joe")
    stage.stay()
    stage.store.failing = True
    stage.hub.drop(stage.room.code, jane.seat, jane.claim, is_late=True)
    stage.hub.drop(stage.room.code, joe.seat, joe.claim)
    for _ in range(5):
        stage.clock.advance(HOLD)
        await stage.idle()
    stage.store.failing = False
    stage.clock.advance(1.0)
    await stage.idle()
    held = [(seat.participant.display_name, seat.participant.is_active) for seat in stage.hub.places(stage.room.code)]
    assert held == [("jane", False)]
    stage.clock.advance(HOLD - 0.1)
    await stage.idle()
    assert len(stage.hub.places(stage.room.code)) == 1
    stage.clock.advance(0.1)
    await stage.idle()
    assert stage.hub.places(stage.room.code) == []
    await stage.close()
