"""The pushers on steerable fakes: when they try again, how far they are, and how seldom that is stored."""

import asyncio
import base64
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from roomd.counters import Counters
from roomd.engine.duties import AllDuties
from roomd.engine.ports import RETRY_AFTER, LoggedEvents, StorageFailed
from roomd.engine.progress import Progress
from roomd.eventlog.feed import Feed
from roomd.eventlog.webhooks.endpoints import Endpoint
from roomd.eventlog.webhooks.service import Webhooks
from roomd.protocol.log_events import LoggedParticipantJoined
from roomd.rooms.event_log import reference
from tests.support.fake_log import FakeLog
from tests.support.fake_progress import FakeProgress
from tests.support.fakes import FakeClock
from tests.support.processes import PATIENCE
from tests.support.receiver import ANSWERS, SIGNING, Receiver
from tests.support.stored import JANE, LATER, ROOM


class Pushed:
    """A log, an endpoint, and what pushes the one to the other. `chance` is what the jitter is drawn from."""

    def __init__(self, receiver: Receiver) -> None:
        self.receiver = receiver
        self.log, self.store, self.clock, self.counters = FakeLog(), FakeProgress(), FakeClock(), Counters()
        self.feed = Feed(self.log)
        self.log.on_events = self.feed.committed
        self.chance = 0.5
        self.webhooks = self.make()

    def make(self) -> Webhooks:
        """Return what a start of the daemon makes."""
        return Webhooks(
            self.feed, self.store, self.clock, self.counters, lambda _: "t1", lambda: self.chance, AllDuties()
        )

    def endpoint(self, **changes: Any) -> Endpoint:
        """Return the endpoint."""
        values: dict[str, Any] = {
            "name": "backend", "url": self.receiver.url, "secrets": (raw_secret(SIGNING),), "types": (),
            "is_private": True, "timeout": PATIENCE, "retry_first": 1.0, "retry_longest": 300.0,
        }  # fmt: skip
        return Endpoint(**{**values, **changes})

    async def open(self) -> None:
        """Start."""
        await self.feed.open()
        await self.webhooks.open([self.endpoint()])

    def write(self, count: int = 1) -> None:
        """Commit events."""
        self.log.add(ROOM.id, [LoggedParticipantJoined(LATER, reference(ROOM), JANE)] * count)

    async def wait_of_the_next(self) -> float:
        """Return the seconds until the next attempt, once one has failed, and let them pass."""
        await until(lambda: bool(self.clock.timers))
        (timer,) = self.clock.timers
        seconds = timer.due - self.clock.monotonic()
        self.clock.advance(seconds)
        return seconds

    def numbers(self) -> list[int]:
        """Return the numbers of the events that the endpoint took."""
        return [_number(event) for event in self.receiver.events]


def _number(event: dict[str, Any]) -> int:
    return int(event["position"][12:], 16)


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(PATIENCE):
        while True:
            if condition():
                return
            await asyncio.sleep(0)


def raw_secret(secret: str) -> bytes:
    """Return the bytes of a secret."""
    return base64.b64decode(secret.removeprefix("whsec_"))


@pytest.fixture
async def pushed() -> AsyncIterator[Pushed]:
    """A log with two events from before the endpoint was there."""
    async with Receiver(is_checking=False) as receiver:
        pushed = Pushed(receiver)
        pushed.write(2)
        await pushed.open()
        yield pushed
        await pushed.webhooks.close()


async def test_attempts_come_less_and_less_often(pushed: Pushed) -> None:
    """1, 2, 4 … seconds, at most `retry_longest`; a success begins anew; a quarter is left to chance."""
    pushed.receiver.plan.extend(["500"] * 10)
    pushed.write()
    assert [await pushed.wait_of_the_next() for _ in range(10)] == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300]
    await pushed.receiver.until(lambda: pushed.numbers() == [3])
    for number, (pushed.chance, seconds) in enumerate(((0.0, 0.75), (1.0, 1.25)), 4):
        pushed.receiver.plan.append("500")
        pushed.write()
        assert await pushed.wait_of_the_next() == seconds
        await pushed.receiver.until(lambda last=number: pushed.numbers()[-1] == last)  # type: ignore[misc]
    assert pushed.numbers() == [3, 4, 5]


async def test_what_an_endpoint_asks_for_is_waited(pushed: Pushed, monkeypatch: pytest.MonkeyPatch) -> None:
    """`Retry-After`, where it is longer than the back-off."""
    monkeypatch.setitem(ANSWERS, "busy", ANSWERS["503"].replace("Retry-After: 0", "Retry-After: 90"))
    pushed.receiver.plan.extend(["busy", "503"])
    pushed.write()
    assert [await pushed.wait_of_the_next() for _ in range(2)] == [90, 2]
    await pushed.receiver.until(lambda: pushed.numbers() == [3])


async def test_the_progress_is_stored_seldom(pushed: Pushed) -> None:
    """Once when it begins, at most once a second after that, and at the end."""
    assert pushed.store.rows == {"backend": Progress(pushed.log.name, 2)}
    began = time.monotonic()
    pushed.write(100)
    await pushed.receiver.until(lambda: len(pushed.numbers()) == 100)
    assert pushed.store.writes <= 4 + (time.monotonic() - began)
    await pushed.webhooks.close()
    assert pushed.store.rows["backend"].number == 102
    assert pushed.receiver.connections == 1


async def test_a_database_that_fails_loses_nothing(pushed: Pushed) -> None:
    """What cannot be read is read later, and what cannot be stored is stored later."""
    pushed.store.failing = pushed.log.failing = True
    pushed.write(3)
    for _ in range(3):
        assert await pushed.wait_of_the_next() == RETRY_AFTER
    assert pushed.numbers() == []
    pushed.log.failing = False
    await pushed.receiver.until(lambda: pushed.numbers() == [3, 4, 5])
    await pushed.store.asked.wait()
    pushed.store.failing = False
    await pushed.webhooks.close()
    assert pushed.store.rows["backend"].number == 5


async def test_a_fault_does_not_end_it(
    pushed: Pushed, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What no part expects is logged, and tried again."""

    async def fail(*_: Any) -> LoggedEvents:
        monkeypatch.undo()
        raise ValueError("a fault")

    monkeypatch.setattr(pushed.feed, "read", fail)
    pushed.write()
    assert await pushed.wait_of_the_next() == 300
    pushed.write()
    await pushed.receiver.until(lambda: pushed.numbers() == [3, 4])
    assert [record.message for record in caplog.records] == ["webhook failed"]


async def test_another_log(pushed: Pushed, caplog: pytest.LogCaptureFixture) -> None:
    """After a backup was restored the endpoint goes on with the log that is there, and that is said."""
    pushed.write(3)
    await pushed.receiver.until(lambda: len(pushed.numbers()) == 3)
    await pushed.webhooks.close()
    await pushed.log.renew_log_id()
    del pushed.log.rows[3:]
    pushed.log._last = 3
    pushed.webhooks = pushed.make()
    await pushed.open()
    pushed.write()
    await pushed.receiver.until(lambda: len(pushed.receiver.requests) == 4)
    assert [record.message for record in caplog.records] == ["webhook log is another one"]
    assert pushed.store.rows["backend"][:2] == (pushed.log.name, 3)


async def test_an_endpoint_that_is_taken_out_and_put_back(pushed: Pushed) -> None:
    """It goes on where it was; one that is new begins at the end."""
    pushed.write()
    await until(lambda: pushed.counters.webhooks == {("backend", "delivered"): 1})
    pushed.webhooks.use([])
    pushed.write()
    pushed.webhooks.use([pushed.endpoint(), pushed.endpoint(name="new")])
    await until(lambda: pushed.counters.webhooks == {("backend", "delivered"): 2})
    assert [one.name for one in await pushed.webhooks.status()] == ["backend", "new"]
    assert [_number(request.event) for request in pushed.receiver.requests] == [3, 4]


async def test_a_start_without_storage(pushed: Pushed) -> None:
    """It fails as a whole, as the daemon's start does."""
    pushed.store.failing = True
    with pytest.raises(StorageFailed):
        await pushed.make().open([])
