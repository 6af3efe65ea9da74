"""What rides along with a room, which rooms end next, and how deleted ones go: the stores keep one contract."""

import asyncio
from typing import Any

import msgspec
import pytest

from roomd.counters import Counters
from roomd.engine.ports import ExternalIdTaken
from roomd.protocol.objects import Room
from roomd.rooms.changes import Change, RoomChanged, RoomDeleted, RoomEmptied
from roomd.rooms.lifetime import ends_at
from roomd.storage.kinds import open_storage
from tests.support.stored import BOB, JANE, LATER, OTHER, ROOM, InRoom, append, kept, lived_in, seat
from tests.support.stores import REAL, AnyStore, RealStore, new_database

NOON = "2026-03-03T12:00:00.000Z"


def room(number: int, **changes: Any) -> Room:
    return msgspec.structs.replace(ROOM, id=f"r{number}", code=f"code-{number}", **changes)


async def test_fields_are_kept(store: AnyStore) -> None:
    """Every field, in a room that is loaded and in a list; and they go again."""
    fields: dict[str, Any] = {
        "external_id": "Termin 😀", "metadata": {"a": [1, {"b": None}], "ü": 1.5}, "expires_at": NOON,
        "end_when_empty": 60,
    }  # fmt: skip
    full = msgspec.structs.replace(ROOM, **fields)
    await append(store, [RoomChanged(full), InRoom("r1", RoomEmptied(LATER))])
    stored = await kept(store)
    assert (stored.view, stored.empty_since) == (full, LATER)
    assert await store.rooms_of(None, None, None, 10) == ([full], None)
    await append(store, [RoomChanged(full), InRoom("r1", RoomEmptied(None))])
    stored = await kept(store)
    assert (stored.view, stored.empty_since) == (full, None), "a change of the room leaves it as it is"
    await append(store, [RoomChanged(ROOM)])
    assert (await kept(store)).view == ROOM


async def test_emptiness_is_loaded_at_a_start(store: AnyStore) -> None:
    """Also that of a room with seats."""
    await append(store, [RoomChanged(ROOM), seat(JANE), InRoom("r1", RoomEmptied(LATER))])
    (stored,) = await store.hold_seats(LATER)
    assert stored.empty_since == LATER


async def test_an_external_id_names_one_room(store: AnyStore) -> None:
    """Among all rooms, also those that have ended. A refused room is not there; a room keeps its own."""
    first = room(1, external_id="x", host_id="alice", is_active=False, ended_at=LATER)
    await append(store, [RoomChanged(first)])
    with pytest.raises(ExternalIdTaken):
        await append(store, [RoomChanged(room(2, external_id="x"))])
    assert await store.load("code-2") is None
    await append(store, [RoomChanged(msgspec.structs.replace(first, name="again"))])
    await append(store, [RoomChanged(room(3, external_id="X")), RoomChanged(room(4)), RoomChanged(room(5))])
    found = {key: (await store.rooms_of(None, None, None, 10, key))[0] for key in ("x", "X", "y")}
    assert {key: [one.id for one in rooms] for key, rooms in found.items()} == {"x": ["r1"], "X": ["r3"], "y": []}
    assert await store.rooms_of("bob", None, None, 10, "x") == ([], None)
    assert await store.rooms_of("alice", True, None, 10, "x") == ([], None)


@pytest.mark.parametrize("kind", REAL)
async def test_of_many_at_once_one_gets_the_external_id(kind: str, request: pytest.FixtureRequest) -> None:
    """Whether they share a transaction or not; nothing counts as a failure of storage, and others are stored."""
    counters = Counters()
    real = (await open_storage(new_database(kind, request), counters)).store
    asked = [real.append(f"r{n}", [RoomChanged(room(n, external_id="x"))]) for n in range(20)]
    asked.append(real.append("r99", [RoomChanged(room(99, external_id="y"))]))
    results = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(one) for one in results].count(ExternalIdTaken) == 19
    assert results[-1] is None
    assert len((await real.rooms_of(None, None, None, 100))[0]) == 2
    await real.close()
    assert not sum(counters.storage_failures.values())


# What a room has, since when it is empty.
ENDING: dict[str, tuple[dict[str, Any], str | None]] = {
    "nothing": ({}, None),
    "an expiry": ({"expires_at": NOON}, None),
    "an expiry, and ended": ({"expires_at": NOON, "is_active": False, "ended_at": LATER}, None),
    "empty": ({"end_when_empty": 7}, "2026-03-03T10:59:59.999Z"),
    "empty for longer": ({"end_when_empty": 7}, "2026-03-03T10:00:00.001Z"),
    "not empty": ({"end_when_empty": 7}, None),
    "both": ({"end_when_empty": 31_536_000, "expires_at": LATER}, "2026-03-03T10:00:00.000Z"),
    "both, empty first": ({"end_when_empty": 1, "expires_at": LATER}, "2026-03-03T10:00:00.000Z"),
    "a year": ({"end_when_empty": 31_536_000}, "2027-12-31T23:59:59.999Z"),
}


async def test_which_rooms_end_next(store: AnyStore) -> None:
    """The earliest first, by the same rule as in memory."""
    expected = []
    for number, (fields, since) in enumerate(ENDING.values()):
        one = room(number, **fields)
        await append(store, [RoomChanged(one), InRoom(one.id, RoomEmptied(since))])
        if (due := ends_at(one, since)) is not None:
            expected.append((due, one.code))
    assert await store.next_ends(100) == sorted(expected)
    assert await store.next_ends(2) == sorted(expected)[:2]
    assert len(expected) == 6


async def test_sums_in_the_database_are_exact(real: RealStore) -> None:
    """Of every millisecond the same as in memory: else a room would be found due, and not be ended."""
    changes: list[Change | InRoom] = []
    rooms = [room(1000 + number, end_when_empty=86_399) for number in range(1000)]
    for number, one in enumerate(rooms):
        changes += [RoomChanged(one), InRoom(one.id, RoomEmptied(f"2028-02-28T23:59:59.{number:03}Z"))]
    await append(real, changes)
    found = await real.next_ends(2000)
    assert found == [(ends_at(one, f"2028-02-28T23:59:59.{number:03}Z"), one.code) for number, one in enumerate(rooms)]


async def test_a_deleted_room_is_gone(store: AnyStore) -> None:
    """For everyone, as soon as it is stored; its external id and its code are free, and other rooms stay."""
    others: list[Change | InRoom] = [RoomChanged(OTHER), InRoom("r2", seat(msgspec.structs.replace(BOB, room_id="r2")))]
    await append(store, [*lived_in(3), *others, InRoom("r1", RoomEmptied(LATER))])
    await append(store, [InRoom("r1", RoomDeleted((await kept(store)).view)), InRoom("r1", RoomEmptied(None))])
    assert await store.load(ROOM.code) is None
    assert await store.past_stay(ROOM.code, "p0001") is None
    assert await store.rooms_of(None, None, None, 10) == ([OTHER], None)
    assert await store.rooms_of(None, None, None, 10, "x") == ([], None)
    assert await store.next_ends(10) == []
    new = msgspec.structs.replace(ROOM, id="r9", external_id="x")
    await append(store, [RoomChanged(new)])
    assert (await kept(store)).view == new
    assert [one.view for one in await store.hold_seats(LATER)] == [OTHER]
