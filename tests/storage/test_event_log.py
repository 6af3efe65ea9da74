"""The stored event log: its contract, which the fake keeps as well, and what only a real file can show."""

import contextlib
import json
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from roomd.config import DatabaseConfig
from roomd.engine.ports import EventLog, LogBounds, LoggedEvents, StorageFailed, Store
from roomd.protocol.log_events import LogEvent, LoggedParticipantJoined
from roomd.protocol.logged import LOG_ID, id_of, number_of, room_id_of, type_of
from roomd.protocol.objects import Room
from roomd.rooms.changes import Change, RoomChanged
from roomd.rooms.event_log import created, reference
from roomd.storage import events
from roomd.storage.kinds import Storage
from roomd.storage.postgresql import events as events_in_postgresql
from roomd.storage.restore import restore
from tests.support.fakes import FakeStore
from tests.support.stored import BOB, JANE, LATER, OTHER, ROOM, numbers, queued, seat
from tests.support.stores import ALL, RealStore, new_database
from tests.support.stores import opened as opened_storage

EARLIER = "2026-03-03T09:00:00.000Z"


class Opened(NamedTuple):
    """A store and its event log."""

    store: Store
    log: EventLog


@pytest.fixture(params=ALL)
async def opened(request: pytest.FixtureRequest) -> AsyncIterator[Opened]:
    if request.param == "fake":
        fake = FakeStore()
        yield Opened(fake, fake.log)
        return
    async with opened_storage(new_database(request.param, request)) as storage:
        yield Opened(storage.store, storage.events)


async def write(store: Store, count: int, room: Room = ROOM, at: str = LATER) -> None:
    """Add events of a room, in one append."""
    rows: list[LogEvent] = [LoggedParticipantJoined(at, reference(room), JANE) for _ in range(count)]
    changes: list[Change] = [RoomChanged(room)]
    await store.append(room.id, changes, rows)


async def test_events_are_read_back_as_they_go_out(opened: Opened) -> None:
    """Section 10: an event is whole, with its id and its position, and each has a number of its own."""
    store, log = opened
    joined = LoggedParticipantJoined(LATER, reference(ROOM), JANE)
    await store.append(ROOM.id, [RoomChanged(ROOM)], [created(ROOM)])
    await store.append(ROOM.id, [seat(JANE)], [joined])
    part = await log.read_events(0, 10)
    assert (numbers(part), part.last, part.is_end, part.read) == ([1, 2], 2, True, 2)
    assert [(room_id_of(event), type_of(event)) for event in part.events] == [
        ("r1", "room-created"),
        ("r1", "participant-joined"),
    ]
    name = await log.log_id()
    for event, stored in zip(part.events, (created(ROOM), joined), strict=True):
        extra = {"id": id_of(event), "position": f"{name}{number_of(event):012x}"}
        assert json.loads(event) == {**extra, **msgspec.to_builtins(stored)}
    assert len({id_of(event) for event in part.events}) == 2
    assert await log.bounds() == LogBounds(0, 2)


async def test_a_read_begins_anywhere_and_ends_at_the_limit(opened: Opened) -> None:
    """Pages lead through the log once; at the end there is nothing."""
    await write(opened.store, 5)
    found, after, is_end = [], 0, False
    while not is_end:
        part = await opened.log.read_events(after, 2)
        found.append(numbers(part))
        after, is_end = part.last, part.is_end
    assert found == [[1, 2], [3, 4], [5]]
    part = await opened.log.read_events(5, 2)
    assert (part.events, part.last, part.is_end) == ([], 5, True)


async def test_events_of_some_rooms(opened: Opened) -> None:
    """Those of other rooms are passed over, and `last` is behind them."""
    await write(opened.store, 2)
    await write(opened.store, 2, OTHER)
    await write(opened.store, 1)
    part = await opened.log.read_events(0, 10, {ROOM.id})
    assert (numbers(part), part.last, part.read) == ([1, 2, 5], 5, 5)
    part = await opened.log.read_events(1, 10, {OTHER.id})
    assert (numbers(part), part.last, part.is_end) == ([3, 4], 5, True)
    assert numbers(await opened.log.read_events(0, 10, {OTHER.id, ROOM.id})) == [1, 2, 3, 4, 5]


async def test_an_empty_log(opened: Opened) -> None:
    """It begins and ends at 0."""
    assert await opened.log.bounds() == LogBounds(0, 0)
    assert await opened.log.read_events(0, 10) == LoggedEvents([], 0, True, 0, 0)
    assert await opened.log.delete_events(LATER, 10) == 0


async def test_old_events_are_deleted_and_numbers_are_not_used_again(opened: Opened) -> None:
    """`events.keep`: from the oldest, some at a time, up to the first that is young enough."""
    store, log = opened
    await write(store, 3, at=EARLIER)
    await write(store, 1, at=LATER)
    await write(store, 1, at=EARLIER)  # the clock was set back
    assert [await log.delete_events(LATER, 2) for _ in range(3)] == [2, 1, 0]
    assert numbers(await log.read_events(0, 10)) == [4, 5]
    assert await log.bounds() == LogBounds(3, 5)
    assert await log.delete_events("2027", 10) == 2
    assert await log.bounds() == LogBounds(5, 5)
    await write(store, 1)
    assert numbers(await log.read_events(5, 10)) == [6]


async def test_after_a_start_whoever_was_connected_has_dropped(opened: Opened) -> None:
    """Section 10: also when the daemon was killed; who was held or waited has no event."""
    store, log = opened
    held = msgspec.structs.replace(BOB, is_active=False)
    away = seat(held, claim=None, dropped_at=EARLIER)
    waits = queued(7, "waiting_room")
    await store.append(ROOM.id, [RoomChanged(ROOM), seat(JANE), away, waits])
    await store.hold_seats(LATER, log_events=True)
    (event,) = (await log.read_events(0, 10)).events
    dropped = json.loads(event)
    assert (type_of(event), dropped["at"], dropped["participant"]["id"]) == ("participant-dropped", LATER, JANE.id)
    assert dropped["participant"]["isActive"] is False
    await store.hold_seats(LATER, log_events=True)
    assert len((await log.read_events(0, 10)).events) == 1, "once"


async def test_without_the_log_a_start_writes_nothing(opened: Opened) -> None:
    """`events.enabled`."""
    await opened.store.append(ROOM.id, [RoomChanged(ROOM), seat(JANE)])
    await opened.store.hold_seats(LATER)
    assert (await opened.log.read_events(0, 10)).events == []


async def test_a_new_log_id(opened: Opened) -> None:
    """Positions of before have another one."""
    before = await opened.log.log_id()
    assert len(before) == 12
    await opened.log.renew_log_id()
    assert await opened.log.log_id() != before


async def test_an_append_that_fails_writes_no_event(storage: Storage) -> None:
    """Changes and events are one transaction."""
    await write(storage.store, 1)
    same_code = msgspec.structs.replace(ROOM, id="r9")
    with pytest.raises(StorageFailed):
        await write(storage.store, 3, same_code)
    await write(storage.store, 1)
    assert [room_id_of(event) for event in (await storage.events.read_events(0, 10)).events] == [ROOM.id] * 2


async def test_readers_are_told_after_the_commit(real: RealStore) -> None:
    """Once for each commit that has events, and not for others."""
    calls = []
    real.on_events = lambda: calls.append(1)
    await real.append(ROOM.id, [RoomChanged(ROOM)])
    assert calls == []
    await write(real, 300)
    assert calls == [1]


async def test_a_read_is_bounded(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A part has so many bytes, and one read of a room looks at so many events of others."""
    log = storage.events
    for module in (events, events_in_postgresql):
        monkeypatch.setattr(module, "PART_BYTES", 1000)
        monkeypatch.setattr(module, "MOST_SCANNED", 3)
    await write(storage.store, 5)
    part = await log.read_events(0, 10)
    assert 0 < len(part.events) < 5
    assert (part.last, part.is_end) == (len(part.events), False)
    part = await log.read_events(0, 10, {OTHER.id})
    assert (part.events, part.last, part.is_end, part.read) == ([], 3, False, 3)
    part = await log.read_events(3, 10, {OTHER.id})
    assert (part.events, part.last, part.is_end) == ([], 5, True)
    monkeypatch.setattr(events, "PART_BYTES", 1)
    assert numbers(await log.read_events(0, 10)) == [1], "a part has at least one"


async def test_a_restored_backup_has_another_log_id(tmp_path: Path) -> None:
    """After it, events that were read may be missing: positions of before are refused. The ids stay."""
    config = DatabaseConfig(path=str(tmp_path / "roomd.db"))
    async with opened_storage(config) as (store, log, *_):
        await write(store, 2)
        before, name = await log.read_events(0, 10), await log.log_id()
        backup = tmp_path / "backup.db"
        with contextlib.closing(sqlite3.connect(config.path)) as db:
            db.execute("VACUUM INTO ?", (str(backup),))
    restore(backup, Path(config.path), None)
    async with opened_storage(config) as (store, log, *_):
        renewed = await log.log_id()
        assert renewed != name
        await write(store, 1)
        part = await log.read_events(0, 10)
        assert [event[LOG_ID].decode() for event in part.events] == [renewed] * 3
        assert [(number_of(event), id_of(event)) for event in part.events[:2]] == [
            (number_of(event), id_of(event)) for event in before.events
        ]
        assert (await log.read_events(2, 10)).events == part.events[2:]
