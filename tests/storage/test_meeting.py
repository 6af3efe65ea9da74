"""What storage keeps of a meeting: messages, bans, presence and the queue; the fake keeps the same contract."""

import asyncio

import msgspec
import pytest

from roomd.engine.ports import StorageFailed
from roomd.protocol.objects import Ban, Message, Participant, State
from roomd.rooms.answers import Reader
from roomd.rooms.changes import Banned, Change, RoomChanged, SeatChanged, Unbanned
from roomd.rooms.model import PastStay, PersonKey, Seat, StoredRoom
from roomd.rooms.room import MESSAGES_SHOWN
from roomd.storage.sqlite import SqliteStore
from tests.support.stored import BOB, JANE, LATER, OTHER, ROOM, TALK, InRoom, append, kept, queued, said, seat
from tests.support.stores import AnyStore, RealStore

EVE = Banned(PersonKey("user", "eve"), Ban(
    id="b-eve", user_id="eve", display_name="Eve 😀", reason="spam\u0000", banned_at=LATER, expires_at=None,
))  # fmt: skip
ANN = Banned(PersonKey("address", "a1"), Ban(
    id="b-ann", user_id=None, display_name="Ann", reason=None, banned_at=LATER, expires_at="2026-03-03T13:00:00.000Z",
))  # fmt: skip
NOT_EVE, NOT_ANN = (Unbanned(one.who, one.ban.id) for one in (EVE, ANN))


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


TEXTS = [
    "Hello",
    "😀" * 2000,
    "\u0000",
    "a\u0000b",
    "\x1b",
    "a\x1b0\x1b1b",
    "\\u0000",
    "\u202eolleH",
    "<script>'\"; --",
    " \r\n\t ",
    "e\u0301",
    "\uffff",
]


async def test_messages_are_read_back(store: AnyStore) -> None:
    """Field by field and code point by code point, public and private ones, in the order of their ids."""
    public = [said(2 * n, text, by=("p2", "bob")) for n, text in enumerate(TEXTS)]
    private = [said(2 * n + 1, text, to=("p2", "bob")) for n, text in enumerate(TEXTS)]
    both = [event for pair in zip(public, private, strict=True) for event in pair]
    await append(store, both[:3])
    for event in both[3:]:
        await append(store, [event])
    assert (await store.messages(Reader("r1", "p2", "bob"), None, 100))[:2] == ([event.message for event in both], None)
    assert (await kept(store)).messages == [event.message for event in public]
    assert (await kept(store, OTHER.code)).messages == []


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 100])
async def test_pages_of_messages(store: AnyStore, size: int) -> None:
    """Oldest first; the cursor leads through all of it once, whatever lies between that is not the reader's."""
    events = [said(n, to=(None, None) if n % 3 == 0 else ("p8", "carol")) for n in range(15)]
    await append(store, events)
    found: list[Message] = []
    cursor = None
    while True:
        page, cursor, _ = await store.messages(Reader("r1", "p9", None), cursor, size)
        found += page
        assert len(page) == size if cursor else len(page) <= size
        if cursor is None:
            break
        assert cursor == page[-1].id, "a message's id serves as cursor for what came after it"
    assert found == [event.message for event in events[::3]]
    assert (await store.messages(Reader("r1", "p9", None), "m000006", 9))[:2] == (found[3:], None)
    assert (await store.messages(Reader("r1", "p9", None), "m999999", 9))[:2] == ([], None)


READERS = [
    ("the guest who sent", Reader("r1", "p1", None), [0, 1, 2]),
    ("the guest it is for", Reader("r1", "p2", None), [0, 1, 3]),
    ("the user as they were", Reader("r1", "p3", "bob"), [0, 2, 3]),
    ("the user come back", Reader("r1", "p9", "bob"), [0, 2, 3]),
    ("a user without a seat", Reader("r1", None, "bob"), [0, 2, 3]),
    ("another user come back", Reader("r1", "p9", "dave"), [0, 4]),
    ("nobody it concerns", Reader("r1", "p9", "eve"), [0]),
    ("a guest it does not concern", Reader("r1", "p9", None), [0]),
    ("neither seat nor user", Reader("r1", None, None), [0]),
    ("the same one, elsewhere", Reader("r2", "p3", "bob"), [5]),
    ("a room without words", Reader("r3", "p3", "bob"), []),
]


@pytest.mark.parametrize(("reader", "numbers"), [r[1:] for r in READERS], ids=[r[0] for r in READERS])
async def test_who_reads_what(store: AnyStore, reader: Reader, numbers: list[int]) -> None:
    """Public messages, and private ones from or to the reader or an earlier participant of the same user."""
    await append(store, TALK)
    assert (await store.messages(reader, None, 100))[:2] == ([TALK[number].message for number in numbers], None)


async def test_a_user_called_as_a_participant_reads_nothing_of_theirs(real: RealStore) -> None:
    """User ids are the issuer's and may be anything, another's participant id too."""
    await append(real, TALK)
    assert (await real.messages(Reader("r1", "p9", "p1"), None, 100))[:2] == ([TALK[0].message], None)
    assert (await real.messages(Reader("r1", "bob", None), None, 100))[:2] == ([TALK[0].message], None)


async def test_the_last_public_messages(store: AnyStore) -> None:
    """A room is loaded with its last 50 public ones, oldest first, thousands of private ones between and after."""
    events = [said(n, to=(None, None) if n % 50 == 0 else ("p2", None)) for n in range(4000)]
    await append(store, [*events, said(4000, room="r2")])
    public = [event.message for event in events if event.message.to is None]
    assert MESSAGES_SHOWN == 50 < len(public)
    assert (await kept(store)).messages == public[-50:]
    await append(store, [seat(JANE)])
    ((_, _, _, messages, _, *_),) = await store.hold_seats(LATER)
    assert messages == public[-50:]


def pairs(*banned: Banned) -> list[tuple[PersonKey, Ban]]:
    return [(one.who, one.ban) for one in banned]


async def test_bans(store: AnyStore) -> None:
    """Set, replaced by a later one, lifted, set anew; each room has its own, and is loaded with them."""
    later = msgspec.structs.replace(EVE.ban, reason=None, banned_at="2026-03-03T12:00:00.000Z", display_name="E")
    again = Banned(EVE.who, later)
    await append(store, [EVE, ANN, InRoom("r2", again)])
    assert (await kept(store)).bans == pairs(ANN, EVE)
    assert (await kept(store, OTHER.code)).bans == pairs(again)
    await append(store, [again])
    assert (await kept(store)).bans == pairs(ANN, again)
    await append(store, [NOT_EVE])
    assert (await kept(store)).bans == pairs(ANN)
    assert (await kept(store, OTHER.code)).bans == pairs(again)
    await append(store, [EVE, NOT_ANN, NOT_EVE])
    assert (await kept(store)).bans == []
    await append(store, [EVE, NOT_EVE, again, seat(JANE)])
    ((_, _, bans, _, _, *_),) = await store.hold_seats(LATER)
    assert bans == pairs(again)


async def test_addresses_are_stored_of_guests_only(store: AnyStore) -> None:
    """A past stay has the key of a guest's address, also after a restart; who never had a seat has no stay."""
    at_home = [
        SeatChanged(msgspec.structs.replace(change.seat, address_key="home"))
        for change in (seat(JANE), seat(BOB), queued(7, "waiting_room"))
    ]
    await append(store, at_home)
    assert await store.past_stay(ROOM.code, "p1") == PastStay(JANE, "home")
    assert await store.past_stay(ROOM.code, "p2") == PastStay(BOB, None)
    for code, key in ((ROOM.code, "p007"), (ROOM.code, "p9"), (OTHER.code, "p1"), ("nnn-nnn-nnn", "p1")):
        assert await store.past_stay(code, key) is None
    ((_, seats, *_),) = await store.hold_seats(LATER)
    assert {one.participant.id: one.address_key for one in seats} == {"p1": "home", "p2": None, "p007": "home"}
    left = msgspec.structs.replace(JANE, is_active=False, left_at=LATER)
    await append(store, [SeatChanged(msgspec.structs.replace(at_home[0].seat, participant=left, claim=None))])
    assert await store.past_stay(ROOM.code, "p1") == PastStay(left, "home")


STATES: list[State] = [
    {},
    {"muted": True, "handRaised": False},
    {"level": 0, "most": 2**53 - 1, "least": -(2**53) + 1},
    {"half": 0.5, "whole": 1.0, "tiny": 5e-324, "huge": 1.7976931348623157e308, "minus": -0.0},
    {"": "", "läuft 😀": "hört 😀", "\u0000": "a\u0000b\"'\\", "__proto__": "null"},
]


@pytest.mark.parametrize("state", STATES, ids=["empty", "flags", "integers", "fractions", "texts"])
async def test_presence_is_read_back(store: AnyStore, state: State) -> None:
    """Every scalar as the type it was, keys in any script and in their order, after a restart and in history."""
    person = msgspec.structs.replace(BOB, state=state)
    await append(store, [seat(msgspec.structs.replace(BOB, state={"before": 1}))])
    await append(store, [seat(person)])
    ((_, seats, _, _, _, *_),) = await store.hold_seats(LATER)
    (found,), _ = await store.history("r1", None, 10)
    for participant in (seats[0].participant, found):
        assert participant == msgspec.structs.replace(person, is_active=False)
        assert repr(participant.state) == repr(state), "1, 1.0 and true are equal, and not the same"


async def test_the_queue_outlives_a_restart(store: AnyStore) -> None:
    """Queue and seats in the order they were taken; a drop keeps its time, and who was there drops at the start."""
    earlier = "2026-03-03T10:30:00.000Z"
    queue = [queued(1, "waiting_room"), queued(2, "room_full", dropped_at=earlier), queued(3, "room_full")]
    await append(store, [queued(5, "waiting_room"), *queue, queued(4, None), queued(6, "waiting_room", left=True)])
    await append(store, [queued(5, "room_full")])  # admitted to a full room: the same place
    ((room, seats, _, _, last_id, *_),) = await store.hold_seats(LATER)
    assert room == ROOM
    assert [(one.participant.id, one.waits_for, one.dropped_at, one.resume_hash) for one in seats] == [
        ("p001", "waiting_room", LATER, "hash-1"),
        ("p002", "room_full", earlier, "hash-2"),
        ("p003", "room_full", LATER, "hash-3"),
        ("p005", "room_full", LATER, "hash-5"),
        ("p004", None, LATER, "hash-4"),
    ]
    assert not any(one.claim or one.participant.is_active for one in seats)
    again = await store.hold_seats("2026-03-03T12:00:00.000Z")
    assert again == [StoredRoom(ROOM, seats, [], [], last_id, [])], "another restart counts from the first drop"


async def test_who_only_waited_is_no_history(store: AnyStore) -> None:
    """History has those who had a seat: not who waits or gave up, and who got a seat with the time they got it."""
    await append(store, [queued(n, "waiting_room") for n in range(6)])
    await append(store, [queued(1, "waiting_room", left=True), queued(4, "room_full", left=True)])
    await append(store, [queued(2, "room_full")])
    assert await store.history("r1", None, 10) == ([], None)
    in_time = msgspec.structs.replace(queued(3, None).seat.participant, joined_at="2026-03-03T10:20:00.000Z")
    await append(store, [seat(in_time), queued(0, None), queued(5, None, left=True)])
    people = [queued(0, None).seat.participant, in_time, queued(5, None, left=True).seat.participant]
    assert await store.history("r1", None, 2) == (people[:2], "p003")
    assert await store.history("r1", "p003", 2) == (people[2:], None)


def bob(number: int) -> Participant:
    return msgspec.structs.replace(BOB, id=f"p{number}")


async def test_a_user_has_one_seat_or_place(real: RealStore) -> None:
    """One in each room, on a seat or in the queue; once it is left, there may be another, in the same append even."""
    waiting = Seat(bob(1), "hash", 1, waits_for="waiting_room")
    await append(real, [SeatChanged(waiting), seat(msgspec.structs.replace(bob(1), room_id="r2"))])
    for second in (seat(bob(2)), SeatChanged(msgspec.structs.replace(waiting, participant=bob(2)))):
        with pytest.raises(StorageFailed):
            await append(real, [second])
    await append(real, [SeatChanged(waiting), seat(bob(1)), seat(msgspec.structs.replace(bob(1), is_active=False))])
    left = msgspec.structs.replace(bob(1), is_active=False, left_at=LATER)
    guests = [msgspec.structs.replace(JANE, id="p3"), msgspec.structs.replace(JANE, id="p4")]
    await append(real, [seat(left), seat(bob(2)), *map(seat, guests)])
    assert (await real.history("r1", None, 10))[0] == [left, bob(2), *guests]


async def test_who_gives_up_the_queue_may_come_again_at_once(real: RealStore) -> None:
    """Also in the same transaction: their place is gone before the next one is taken."""
    waiting = Seat(bob(1), "hash", 1, waits_for="waiting_room")
    await append(real, [SeatChanged(waiting)])
    gone = msgspec.structs.replace(
        waiting, participant=msgspec.structs.replace(bob(1), is_active=False, left_at=LATER), claim=None
    )
    await real.append("r1", [SeatChanged(gone), seat(bob(2)), said(1).change])
    ((_, seats, *_),) = await real.hold_seats(LATER)
    assert [one.participant.id for one in seats] == ["p2"]


async def test_a_second_seat_fails_only_the_append_that_takes_it(real: RealStore) -> None:
    """Its neighbours in the transaction are kept."""
    results = await asyncio.gather(
        append(real, [said(0)]),  # a transaction of its own
        append(real, [seat(bob(1)), said(1)]),
        append(real, [said(2), EVE, seat(bob(2))]),
        append(real, [ANN, said(3)]),
        return_exceptions=True,
    )
    assert [result is None for result in results] == [True, True, False, True]
    assert isinstance(results[2], StorageFailed)
    room = await kept(real)
    assert [message.id for message in room.messages] == ["m000000", "m000001", "m000003"]
    assert room.bans == pairs(ANN)
    assert (await real.history("r1", None, 10))[0] == [bob(1)]


BREAKS: list[tuple[str, str, Change]] = [
    ("a second seat", "r1", seat(bob(8))),
    ("neither guest nor user", "r1", seat(msgspec.structs.replace(JANE, id="p9", guest_name=None))),
    ("another's code", "r1", RoomChanged(msgspec.structs.replace(OTHER, code=ROOM.code))),
]


ORPHANS: list[tuple[str, str, Change]] = [
    ("a seat in no room", "r1", seat(msgspec.structs.replace(JANE, room_id="r9"))),
    ("a message in no room", "r9", said(9).change),
    ("a ban in no room", "r9", ANN),
]


@pytest.mark.parametrize(("room_id", "breaks"), [b[1:] for b in BREAKS], ids=[b[0] for b in BREAKS])
@pytest.mark.parametrize("first", [True, False])
async def test_an_append_is_kept_whole_or_not_at_all(
    real: RealStore, room_id: str, breaks: Change, first: bool
) -> None:
    """Room, seat, message, ban and its lifting are one transaction, whichever of them breaks."""
    await check_whole(real, room_id, breaks, first)


@pytest.mark.parametrize(("room_id", "breaks"), [o[1:] for o in ORPHANS], ids=[o[0] for o in ORPHANS])
@pytest.mark.parametrize("first", [True, False])
async def test_a_row_in_no_room_is_refused(sqlite: SqliteStore, room_id: str, breaks: Change, first: bool) -> None:
    """SQLite refuses it, PostgreSQL has no foreign keys: `roomd check` finds it."""
    await append(sqlite, [RoomChanged(ROOM), RoomChanged(OTHER)])
    await check_whole(sqlite, room_id, breaks, first)


async def check_whole(store: RealStore, room_id: str, breaks: Change, first: bool) -> None:
    """Append good changes with one that breaks: nothing is kept. Append them without it: they are."""
    await append(store, [seat(bob(7)), ANN])
    locked = msgspec.structs.replace(ROOM, is_locked=True)
    good: list[Change] = [RoomChanged(locked), seat(JANE), said(1).change, EVE, NOT_ANN]
    before = await kept(store), await store.history("r1", None, 10)
    with pytest.raises(StorageFailed):
        await store.append(room_id, [breaks, *good] if first else [*good, breaks])
    assert (await kept(store), await store.history("r1", None, 10)) == before
    await append(store, good)
    assert await kept(store) == StoredRoom(locked, (), pairs(EVE), [said(1).message], "p7")
    assert (await store.history("r1", None, 10))[0] == [JANE, bob(7)]
