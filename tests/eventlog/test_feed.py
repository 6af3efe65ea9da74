"""The feed: whoever reads gets each event once, from memory or from the log, and is told when something is missing."""

import asyncio
from collections.abc import Callable

import pytest

from roomd.engine.ports import LoggedEvents, StorageFailed
from roomd.eventlog import feed as module
from roomd.eventlog.feed import Feed
from roomd.protocol.errors import Refused
from roomd.protocol.log_events import LoggedParticipantJoined
from roomd.protocol.logged import number_of
from roomd.rooms.event_log import reference
from tests.support.fake_log import FakeLog
from tests.support.processes import PATIENCE
from tests.support.stored import JANE, LATER, OTHER, ROOM

EARLIER = "2026-03-03T09:00:00.000Z"


class Source:
    """A log, and its feed."""

    def __init__(self) -> None:
        self.log = FakeLog()
        self.feed = Feed(self.log)

    def write(self, count: int = 1, room: str = ROOM.id, at: str = LATER) -> None:
        """Commit events."""
        view = ROOM if room == ROOM.id else OTHER
        self.log.add(room, [LoggedParticipantJoined(at, reference(view), JANE) for _ in range(count)])

    async def all_after(self, after: int, limit: int = 10) -> list[int]:
        """Read to the end."""
        found: list[int] = []
        while True:
            part = await self.feed.read(after, limit)
            found += numbers(part)
            assert part.last >= after
            after = part.last
            if part.is_end:
                return found


def numbers(part: LoggedEvents) -> list[int]:
    """Return the numbers of the events."""
    return [number_of(event) for event in part.events]


async def woken(source: Source, after: int) -> LoggedEvents:
    """Wait at the end of the log, and look once into it while waiting."""
    waiting = asyncio.create_task(source.feed.read(after, 10, PATIENCE))
    while not source.feed._waiting:  # noqa: ASYNC110 - it is polled
        await asyncio.sleep(0)
    await source.feed.look()
    return await waiting


@pytest.fixture
async def source() -> Source:
    """A log with three events from before the start, and the feed of the daemon."""
    source = Source()
    source.write(3)
    await source.feed.open()
    source.log.on_events = source.feed.committed
    return source


async def test_a_reader_gets_everything_once(source: Source) -> None:
    """From before the start, and what comes later."""
    assert await source.all_after(0) == [1, 2, 3]
    source.write(2)
    assert await source.all_after(0) == [1, 2, 3, 4, 5]
    assert await source.all_after(3, limit=1) == [4, 5]
    assert await source.all_after(5) == []


async def test_many_followers_read_the_log_once(source: Source) -> None:
    """A commit is read from the database once, however many wait for it."""
    source.log.reads = 0
    followers = [asyncio.create_task(source.feed.read(3, 10, PATIENCE)) for _ in range(20)]
    await asyncio.sleep(0)
    source.write(2)
    parts = await asyncio.gather(*followers)
    assert [numbers(part) for part in parts] == [[4, 5]] * 20
    assert source.log.reads == 1


async def test_a_reader_that_comes_while_another_one_reads_for_all(source: Source) -> None:
    """It gets what that one finds, though nobody tells of these events again."""
    source.log.may_answer.clear()
    source.write(1)
    first = asyncio.create_task(source.feed.read(3, 10, PATIENCE))
    while source.log.reads == 0:  # noqa: ASYNC110 - it is polled
        await asyncio.sleep(0)
    second = asyncio.create_task(source.feed.read(3, 10, PATIENCE))
    await asyncio.sleep(0)
    source.log.may_answer.set()
    parts = await asyncio.gather(first, second)
    assert [numbers(part) for part in parts] == [[4], [4]]
    assert source.log.reads == 1


async def test_a_reader_waits_for_its_room(source: Source) -> None:
    """Events of others wake it, and it waits on."""
    waiting = asyncio.create_task(source.feed.read(3, 10, PATIENCE, {OTHER.id}))
    await asyncio.sleep(0)
    source.write(1)
    source.write(1, OTHER.id)
    part = await waiting
    assert (numbers(part), part.last) == ([5], 5)


async def test_a_wait_ends(source: Source) -> None:
    """With nothing, after its time, and at once when the daemon stops."""
    part = await source.feed.read(3, 10, 0.01)
    assert (part.events, part.last, part.is_end) == ([], 3, True)
    waiting = asyncio.create_task(source.feed.read(3, 10, 10 * PATIENCE))
    await asyncio.sleep(0)
    source.feed.stop()
    assert (await waiting).events == []


async def test_the_tail_is_bounded(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is forgotten in memory is read from the log."""
    monkeypatch.setattr(module, "TAIL_BYTES", 1)
    for count in range(1, 4):
        source.write(count)
        assert await source.all_after(3) == list(range(4, 4 + count * (count + 1) // 2))


async def test_a_part_is_bounded(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    """A part of the tail has a bound of bytes, and at least one event."""
    monkeypatch.setattr(module, "PART_BYTES", 1)
    source.write(3)
    assert numbers(await source.feed.read(3, 10)) == [4]
    assert await source.all_after(3) == [4, 5, 6]


async def test_a_tail_that_nobody_followed_begins_anew(source: Source) -> None:
    """A reader that comes from the log is not served twice what the tail has."""
    source.write(5)
    part = await source.feed.read(0, 6)  # from the log, beyond the end of the tail
    source.write(1)
    assert await source.all_after(part.last) == [7, 8, 9]
    source.write(1)
    assert await source.all_after(0, limit=4) == list(range(1, 11))


async def test_a_reader_of_the_log_may_be_ahead_of_the_tail(source: Source) -> None:
    """A commit can be read before it is noted; it is not read again when it is."""
    source.log.on_events = lambda: None
    source.write(2)
    assert numbers(await source.feed.read(0, 10)) == [1, 2, 3, 4, 5]
    assert await source.all_after(5) == []
    source.feed.committed()
    assert await source.all_after(5) == []
    assert await source.all_after(2) == [3, 4, 5]


async def test_a_failure_is_told_and_passes(source: Source) -> None:
    """Storage fails for one reader; the next one reads what was committed."""
    source.write(1)
    source.log.failing = True
    with pytest.raises(StorageFailed):
        await source.feed.read(3, 10)
    source.log.failing = False
    assert await source.all_after(3) == [4]


STARTS: dict[str, tuple[Callable[[Source], str | None], int]] = {
    "oldest": (lambda _: None, 0),
    "latest": (lambda _: "latest", 3),
    "a position": (lambda source: source.feed.position(2), 2),
    "the first": (lambda source: source.feed.position(0), 0),
}


@pytest.mark.parametrize(("after", "number"), STARTS.values(), ids=STARTS)
async def test_where_a_reader_begins(source: Source, after: Callable[[Source], str | None], number: int) -> None:
    """Section 10: a position, `latest`, or nothing."""
    assert await source.feed.start(after(source)) == number


@pytest.mark.parametrize("after", ["", "x", "LATEST", "0123456789ab", "0123456789AB000000000001", "42"])
async def test_what_is_no_position(source: Source, after: str) -> None:
    """400 `bad_frame`, which says what it should be."""
    with pytest.raises(Refused, match="bad_frame") as refused:
        await source.feed.start(after)
    assert refused.value.message == ("Malformed frame: after must be the position of an event, or a next, or latest")


async def test_a_position_that_has_expired(source: Source) -> None:
    """Events were deleted; another log; more than there is. The error says where to read on."""
    await source.log.delete_events("2027", 2)
    source.write(1)
    expired = [source.feed.position(1), source.feed.position(99), "ffffffffffff000000000003"]
    for after in expired:
        with pytest.raises(Refused, match="position_expired") as refused:
            await source.feed.start(after)
        oldest = refused.value.oldest
        assert oldest == source.feed.position(2)
        assert await source.all_after(await source.feed.start(oldest)) == [3, 4]
    assert await source.feed.start(None) == 2


async def test_a_position_that_is_read_next(source: Source) -> None:
    """One that has expired is refused by the read, with the same error; others that are none as before."""
    await source.log.delete_events("2027", 2)
    assert await source.feed.start(source.feed.position(1), is_read_next=True) == 1
    with pytest.raises(Refused, match="position_expired") as refused:
        await source.feed.read(1, 10)
    assert refused.value.oldest == source.feed.position(2)
    for after in (source.feed.position(99), "ffffffffffff000000000003"):
        with pytest.raises(Refused, match="position_expired"):
            await source.feed.start(after, is_read_next=True)


async def test_a_reader_that_is_overtaken_by_the_deletion(source: Source) -> None:
    """Who reads more slowly than events are deleted is told, too."""
    await source.feed.read(0, 1)
    await source.log.delete_events("2027", 2)
    with pytest.raises(Refused, match="position_expired") as refused:
        await source.feed.read(1, 1)
    assert refused.value.oldest == source.feed.position(2)


async def test_a_server_without_a_log() -> None:
    """404 `events_off`."""
    feed = Feed(None)
    await feed.open()
    with pytest.raises(Refused, match="events_off"):
        await feed.start(None)
    with pytest.raises(Refused, match="events_off"):
        await feed.read(0, 1)


@pytest.mark.parametrize("later", [0, 2], ids=["all of them", "some of them"])
async def test_events_that_nobody_read_before_they_were_deleted(source: Source, later: int) -> None:
    """Nobody reads for longer than events are kept: who comes back from the end of the tail is told what is missing."""
    await source.feed.read(3, 10)
    source.write(2)
    await source.log.delete_events("2027", 5)
    source.write(later)
    with pytest.raises(Refused, match="position_expired") as refused:
        await source.feed.read(3, 10)
    assert refused.value.oldest == source.feed.position(5)
    assert await source.all_after(5) == list(range(6, 6 + later))
    source.write(1)
    assert await source.all_after(5) == list(range(6, 7 + later))


async def test_events_that_nobody_told_of(source: Source) -> None:
    """Another process has committed them: a look finds them, and only while somebody waits."""
    source.log.on_events = lambda: None
    source.write()
    await source.feed.look()
    assert (await source.feed.read(3, 10)).events == []
    assert numbers(await woken(source, 3)) == [4]
    source.log.on_events = source.feed.committed
    waiting = asyncio.create_task(source.feed.read(4, 10, 0.1))
    while not source.feed._waiting:  # noqa: ASYNC110 - it is polled
        await asyncio.sleep(0)
    reads = source.log.reads
    await source.feed.look()
    assert (await waiting).events == []
    assert source.log.reads == reads


async def test_a_position_that_another_process_has_given(source: Source) -> None:
    """A reader comes with it from there, before this process was told: nothing is missing, and nothing refused."""
    source.log.on_events = lambda: None
    source.write(4)
    number = await source.feed.start(source.feed.position(5))
    assert numbers(await source.feed.read(number, 10)) == [6, 7]
    with pytest.raises(Refused):
        await source.feed.start(source.feed.position(8))
