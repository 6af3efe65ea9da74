"""What storage does with messages that are sent again, and the order and the messages that it returns."""

import asyncio

import msgspec
import pytest

from roomd.engine.ports import AlreadySent, StorageFailed
from roomd.rooms.answers import Reader
from roomd.rooms.changes import Change, RoomChanged, SeatChanged
from roomd.rooms.model import Seat
from roomd.rooms.room import MOST_SENT
from tests.support.stored import JANE, LATER, OTHER, ROOM, TALK, InRoom, append, kept, queued, said, seat, with_id
from tests.support.stores import AnyStore, RealStore


@pytest.fixture
async def store(store: AnyStore) -> AnyStore:
    """A store with two rooms."""
    await append(store, [RoomChanged(ROOM), RoomChanged(OTHER)])
    return store


@pytest.fixture
async def real(real: RealStore) -> RealStore:
    """A real store with two rooms."""
    await append(real, [RoomChanged(ROOM), RoomChanged(OTHER)])
    return real


async def test_a_message_is_kept_once(store: AnyStore) -> None:
    """The same sender and client id in the same room: the append is not kept, and `AlreadySent` names each of them."""
    await append(store, [with_id(said(1), "c1"), with_id(said(2), "c2"), said(3)])
    again: list[Change | InRoom] = [
        said(4),
        with_id(said(5, "other"), "c2"),
        seat(JANE),
        with_id(said(6), "new"),
        with_id(said(7), "c1"),
    ]
    with pytest.raises(AlreadySent) as caught:
        await append(store, again)
    assert list(caught.value.sent) == [("p1", "c2"), ("p1", "c1")]
    assert [message.id for message in (await kept(store)).messages] == ["m000001", "m000002", "m000003"]
    await append(store, [again[0], again[2], again[3]])
    others = [with_id(said(8, by=("p2", None)), "c1"), with_id(said(9, room="r2"), "c1"), said(10), said(11)]
    await append(store, others)
    client_ids = [message.client_id for message in (await kept(store)).messages]
    assert client_ids == ["c1", "c2", None, None, "new", "c1", None, None]


async def test_a_message_of_the_service_is_kept_once(store: AnyStore) -> None:
    """It has no participant, and is read by its sender's user; one client id stands for all of them."""
    first, second = (
        msgspec.structs.replace(one.change, message=msgspec.structs.replace(one.message, participant_id=None))
        for one in (
            with_id(said(1, by=("", "alice"), to=("p2", "bob")), "c1"),
            with_id(said(2, by=("", "root")), "c1"),
        )
    )
    await append(store, [with_id(said(0), "c1"), first])
    with pytest.raises(AlreadySent) as caught:
        await append(store, [second])
    assert list(caught.value.sent) == [("", "c1")]
    for reader, found in (("alice", [first.message]), ("bob", [first.message]), ("root", [])):
        messages, *_ = await store.messages(Reader("r1", None, reader, "m000000"), None, 10)
        assert messages == found


async def test_only_the_append_with_it_fails(real: RealStore) -> None:
    """Its neighbours in the transaction are kept; one that breaks another constraint fails as before."""
    await append(real, [with_id(said(1), "c1")])
    results = await asyncio.gather(
        append(real, [said(2)]),  # a transaction of its own
        real.append("r1", [with_id(said(3), "c1").change]),
        real.append("r2", [said(4, room="r2").change]),
        real.append("r1", [seat(msgspec.structs.replace(JANE, id="p9", guest_name=None))]),
        return_exceptions=True,
    )
    assert [type(result) for result in results[:3]] == [type(None), AlreadySent, type(None)]
    assert isinstance(results[3], StorageFailed)
    assert [message.id for message in (await kept(real)).messages] == ["m000001", "m000002"]
    assert [message.id for message in (await kept(real, OTHER.code)).messages] == ["m000004"]


async def test_a_cancelled_append_with_it(real: RealStore) -> None:
    """Nobody waits for it any more, and the next append is stored."""
    await append(real, [with_id(said(1), "c1")])
    task = asyncio.create_task(real.append("r1", [with_id(said(2), "c1").change]))
    await asyncio.sleep(0)
    task.cancel()
    await append(real, [said(3)])
    assert task.cancelled()
    assert [message.id for message in (await kept(real)).messages] == ["m000001", "m000003"]


async def test_a_room_begins_with_the_last_client_ids(store: AnyStore) -> None:
    """After a restart, of the last messages, private ones too, oldest first; none in a room without seats."""
    await append(store, [with_id(said(n), f"c{n}" if n % 2 else None) for n in range(MOST_SENT)])
    await append(store, [with_id(said(MOST_SENT, to=("p2", "bob")), "private")])
    assert list((await kept(store)).sent) == []
    await append(store, [seat(JANE)])
    (stored,) = await store.hold_seats(LATER)
    assert list(stored.sent) == [*(("p1", f"c{n}") for n in range(1, MOST_SENT, 2)), ("p1", "private")]


# Order, and what a newcomer reads.


async def test_seats_are_held_in_the_order_they_were_taken(store: AnyStore) -> None:
    """Who had waited comes where the seat was given, whatever the clock said; those who wait are first."""
    seats = [("p001", "x3"), ("p002", None), ("p003", "x1"), ("x2", None)]
    await append(store, [
        SeatChanged(Seat(msgspec.structs.replace(JANE, id=key, joined_at=joined), "hash", 1, seated_id=seated_id))
        for (key, seated_id), joined in zip(seats, (LATER, JANE.joined_at, LATER, JANE.joined_at), strict=True)
    ])  # fmt: skip
    await append(store, [queued(9, "room_full"), queued(8, "room_full")])
    (stored,) = await store.hold_seats(LATER)
    assert [one.participant.id for one in stored.seats] == ["p008", "p009", "p002", "p003", "x2", "p001"]
    assert [one.seated_id for one in stored.seats] == [None, None, None, "x1", None, "x3"]


async def test_the_last_room(store: AnyStore) -> None:
    """The highest id of any room, ended or not."""
    assert await store.last_room_id() == "r2"


NEWCOMERS = [
    ("since the third message", Reader("r1", "p2", None, "m000002"), [3]),
    ("only their own since then", Reader("r1", "p3", "bob", "m000001", sees_public=False), [2, 3]),
    ("nothing yet", Reader("r1", "p9", "bob", "m000009", sees_public=False), []),
]


@pytest.mark.parametrize(("reader", "numbers"), [r[1:] for r in NEWCOMERS], ids=[r[0] for r in NEWCOMERS])
async def test_what_newcomers_read(store: AnyStore, reader: Reader, numbers: list[int]) -> None:
    """Messages after an id, with or without the public ones of others; an earlier cursor leads to no earlier one."""
    await append(store, TALK)
    for cursor in (None, "m000000", reader.after):
        assert (await store.messages(reader, cursor, 100))[:2] == ([TALK[number].message for number in numbers], None)
