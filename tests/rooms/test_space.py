"""Which seats a full room can give out, how long a guest's seat is held, and how many may wait."""

import math

import msgspec
import pytest

from roomd.protocol import errors
from roomd.protocol.errors import Refused
from roomd.rooms import commands
from roomd.rooms.changes import SeatChanged
from roomd.rooms.model import Caller, Seat, StoredRoom
from roomd.rooms.room import Command, Room
from roomd.rooms.seats import apply_changes, longest_hold
from roomd.rooms.settings import Rules, Settings
from roomd.rooms.space import Space
from tests.support.rooms import (
    ADMIN,
    BOB,
    HOST,
    RULES,
    act,
    at,
    do,
    join,
    lobby,
    new_room,
    queue,
    refused,
    resume,
    someone,
    standing,
    told,
)


def guest(number: int, address: str | None = None) -> Caller:
    return Caller(None, number, connection=number, address_key=address)


def user(number: int, address: str | None = None) -> Caller:
    return Caller(None, number, f"u{number}", f"u{number}", connection=number, address_key=address)


def crowd(seats: int, held: dict[str | None, list[int]], people: int = 0) -> Room:
    """A room for `seats`: of each address the guests who dropped in this order, and `people` who are connected."""
    a_room = new_room(max_participants=seats)
    for address, numbers in held.items():
        for number in sorted(numbers):
            do(a_room, join(guest(number, address), f"g{number}"))
    for number in range(people):
        do(a_room, join(user(100 + number), f"u{number}"))
    clock = 10.0
    for numbers in held.values():
        for number in numbers:
            clock += 1
            do(a_room, commands.Drop(f"g{number}", number, 0), clock)
    return a_room


# Holds.

HOLDS = [
    # there, hold of a guest, hold of a user
    (0, 3, 30),
    (2.9, 3, 30),
    (3, 3, 30),
    (12, 12, 30),
    (30, 30, 30),
    (10_000, 30, 30),
]


@pytest.mark.parametrize(("there", "of_guest", "of_user"), HOLDS)
def test_a_guests_seat_is_held_for_the_time_there(there: float, of_guest: float, of_user: float) -> None:
    """Section 5: at least 3 seconds and at most `rooms.seat_hold`; users keep the full window."""
    rules = Rules(seat_hold=30.0, max_participants=9)
    for who, hold in ((guest(4), of_guest), (user(5), of_user)):
        a_room = Room(StoredRoom(new_room().view()), rules)
        do(a_room, join(who, "p1"), 1)
        do(a_room, commands.Drop("p1", who.claim or 0, 0), 1 + there)
        assert a_room.deadline() == 1 + there + hold


def test_the_time_there_ends_with_the_connection() -> None:
    """A drop that is decided late counts from when the connection was lost; a shorter hold is asked for as before."""
    rules = Rules(seat_hold=30.0, max_participants=9)
    for age, hold, until in ((4, math.inf, 6 + 5), (0, 2, 10 + 2), (0, math.inf, 10 + 9)):
        a_room = Room(StoredRoom(new_room().view()), rules)
        do(a_room, join(guest(4), "p1"), 1)
        do(a_room, commands.Drop("p1", 4, age, hold), 10)
        assert a_room.deadline() == until


def test_a_blip_does_not_begin_the_time_anew() -> None:
    """A resumed seat is the same seat; and `rooms.seat_hold` may be below three seconds."""
    rules = Rules(seat_hold=30.0, max_participants=9)
    a_room = Room(StoredRoom(new_room().view()), rules)
    do(a_room, join(guest(4), "p1"), 0)
    do(a_room, commands.Drop("p1", 4, 0), 20)
    seat = do(a_room, commands.Resume(
        caller=guest(5), participant_id="p1", token_hash="t-p1", resume_hash="next", claim=5,
    ), 22)  # fmt: skip
    assert longest_hold(seat, rules, 23) == 23
    assert longest_hold(seat, Rules(seat_hold=1.0, max_participants=9), 23) == 1
    assert longest_hold(msgspec.structs.replace(seat, here_since=-math.inf), rules, 1) == 30, "after a restart"


# Seats of a full room.


def test_a_newcomer_takes_the_oldest_held_seat_of_an_address_with_many() -> None:
    """Section 4: more than a quarter of the seats, held by guests; the one who dropped first goes."""
    a_room = crowd(8, {"a": [3, 1, 2], "b": [4, 5]}, people=3)
    assert a_room.free_seats == 0
    changes = act(a_room, join(guest(9, "c"), "new"), 20)
    assert [change.seat.participant.id for change in changes if isinstance(change, SeatChanged)] == ["g3", "new"]
    assert (standing(a_room, "g3"), standing(a_room, "new"), a_room.free_seats) == ("gone", "connected", 0)
    assert told(changes) == {}, "the others see `left`"
    assert refused(a_room, join(guest(10, "c"), "late"), 21) == errors.ROOM_FULL, "two of eight are a quarter"


FULL = {
    "a quarter": crowd(8, {"a": [1, 2], "b": [3, 4]}, people=4),
    "the addresses are not known": crowd(8, {None: [1, 2, 3, 4]}, people=4),
    "a single one, in a small room": crowd(3, {"a": [1]}, people=2),
    "connected guests": crowd(4, {"a": []}, people=4),
}


@pytest.mark.parametrize("a_room", FULL.values(), ids=FULL.keys())
def test_a_full_room_is_full(a_room: Room) -> None:
    """Section 4: for a newcomer, and for an admin, whoever else dropped."""
    for who in (guest(9, "c"), user(9), ADMIN):
        assert refused(a_room, join(who, "new")) == errors.ROOM_FULL
    assert do(a_room, commands.GetRoom(ADMIN)).admission.code == "room_full"


def test_users_and_holds_of_a_restart_do_not_count() -> None:
    """Section 4: only seats of guests who dropped."""
    a_room = new_room(max_participants=4)
    for number in range(4):
        do(a_room, join(user(number, "a"), f"u{number}"))
        do(a_room, commands.Drop(f"u{number}", number, 0))
    assert refused(a_room, join(guest(9, "c"), "new")) == errors.ROOM_FULL
    a_room = crowd(4, {"a": [1, 2, 3]}, people=1)
    for seat in list(a_room.seats.values()):
        a_room.apply(SeatChanged(msgspec.structs.replace(seat, is_held_since_start=seat.claim is None)))
    assert refused(a_room, join(guest(9, "c"), "new")) == errors.ROOM_FULL
    assert refused(a_room, join(HOST, "new")) == errors.ROOM_FULL


def test_the_host_still_takes_the_newest() -> None:
    """Section 4: the host takes the place of the held guest who joined last, from whatever address."""
    a_room = crowd(8, {"a": [3, 1, 2], "b": [4, 5]}, people=3)
    act(a_room, join(HOST, "host"), 20)
    assert standing(a_room, "g5") == "gone"


def test_a_room_with_too_many_stays_full() -> None:
    """Section 4: the limit holds."""
    a_room = crowd(8, {"a": [3, 1, 2], "b": [4, 5]}, people=3)
    act(a_room, commands.UpdateRoom(HOST, Settings(max_participants=7)))
    for who in (guest(9, "c"), HOST):
        assert refused(a_room, join(who, "new")) == errors.ROOM_FULL


def test_who_waits_for_a_seat_is_served_before_newcomers() -> None:
    """Section 8: as soon as an address holds more than a quarter; who is away himself is passed over."""
    a_room = crowd(4, {"a": [1], "b": []}, people=2)
    do(a_room, join(guest(2, "a"), "g2"))
    for number, key in ((7, "w7"), (8, "w8"), (9, "w9")):
        do(a_room, join(guest(number, "c"), key, wait=True))
    do(a_room, commands.Drop("w7", 7, 0), 12)
    assert queue(a_room) == dict.fromkeys(("w7", "w8", "w9"), "room_full")
    act(a_room, commands.Drop("g2", 2, 0), 13)
    assert (standing(a_room, "g1"), standing(a_room, "g2"), standing(a_room, "w8")) == ("gone", "held", "connected")
    assert list(queue(a_room)) == ["w7", "w9"]


class CountingRoom(Room):
    """A room that counts how often its held seats are looked through."""

    looks = 0

    @property
    def held(self) -> list[Seat]:
        self.looks += 1
        return super().held


def test_held_seats_are_looked_through_once_for_all_who_wait() -> None:
    """After a change that may let the queue move, however many wait; after others not at all."""
    a_room = CountingRoom(StoredRoom(new_room(max_participants=40).view()), RULES)
    do(a_room, join(HOST, "p1"))
    do(a_room, join(user(6), "p6"))
    for number in range(10, 48):
        do(a_room, join(guest(number, f"a{number}"), f"g{number}"))
    for number in range(50, 80):
        do(a_room, join(guest(number, f"b{number}"), f"w{number}", wait=True))
    quiet: list[Command[object]] = [
        commands.SendMessage("p1", 1, "hello", None),
        commands.UpdateState("p1", 1, {"muted": True}),
        commands.Renew(user(6)),
        commands.Confirm("p6", 6),
        commands.BanPerson(HOST, "zoe", None, None, None),
    ]
    for command in quiet:
        a_room.looks = 0
        apply_changes(a_room, a_room.decide(command, at(10, "z")).changes, at(10))
        assert a_room.looks == 0
    for number in range(10, 48):
        a_room.looks = 0
        drop = commands.Drop(f"g{number}", number, 0)
        apply_changes(a_room, a_room.decide(drop, at(11)).changes, at(11))
        assert a_room.looks == 1
    assert (len(a_room.held), len(a_room.queue)) == (38, 30)


def test_what_is_found_is_found_anew() -> None:
    """After a seat was given up, and after one was taken that can be given up."""
    a_room = crowd(8, {"a": [5, 3, 4], "b": [1, 2]}, people=3)
    space = Space(a_room)
    assert [space.take(None), space.take(None)] == [[a_room.seats["g5"]], None], "two of eight are a quarter"
    space.add(msgspec.structs.replace(a_room.seats["g1"], participant=someone("new"), address_key="b"))
    assert space.take(None) == [a_room.seats["g1"]]
    assert space.take("alice") == [a_room.seats["g4"]], "the newest that is left"


def test_who_waits_moves_by_their_own_doing() -> None:
    """Section 8: by a token of an admin, and in a full room by coming back."""
    a_room = lobby()
    do(a_room, commands.Renew(msgspec.structs.replace(BOB, is_admin=True)))
    assert standing(a_room, "p2") == "connected"
    a_room = crowd(4, {"a": []}, people=2)
    for number in (1, 2):
        do(a_room, join(guest(number, "a"), f"g{number}"))
    do(a_room, join(guest(7), "w7", wait=True))
    for key, number in (("w7", 7), ("g1", 1), ("g2", 2)):
        do(a_room, commands.Drop(key, number, 0), 10 + number / 10)
    assert standing(a_room, "w7") == "waiting, dropped"
    do(a_room, resume("w7", "t-w7", 8), 12)
    assert (standing(a_room, "w7"), standing(a_room, "g1")) == ("connected", "gone")


def test_somebody_who_is_admitted_takes_one_too() -> None:
    """Section 8: the host admits into a full, locked room of which an address holds more than a quarter."""
    a_room = crowd(4, {"a": []}, people=1)
    for number in (1, 2, 3):
        do(a_room, join(guest(number, "a"), f"g{number}"))
    act(a_room, commands.UpdateRoom(HOST, Settings(waiting_room=True)))
    do(a_room, join(user(8), "w8", wait=True))
    do(a_room, join(user(9), "w9", wait=True))
    act(a_room, commands.UpdateRoom(HOST, Settings(is_locked=True)))
    for number in (1, 2):
        do(a_room, commands.Drop(f"g{number}", number, 0), 10 + number)
    act(a_room, commands.Admit(HOST, "w8"), 20)
    assert (standing(a_room, "g1"), standing(a_room, "w8")) == ("gone", "connected")
    assert refused(a_room, commands.Admit(HOST, "w9"), 21) == errors.ROOM_FULL


# Places of the queue.


def lobby_of(*people: Caller) -> Room:
    """A waiting room in which these people wait."""
    a_room = new_room(waiting_room=True, max_participants=200)
    for number, who in enumerate(people):
        do(a_room, join(who, f"w{number:03}"))
    return a_room


def knock(a_room: Room, who: Caller) -> str:
    """Knock; return the text of the refusal, empty for a place in the queue."""
    with pytest.raises(Refused) as caught:
        a_room.decide(join(who, "x", wait=True), at(1, "x"))
    assert caught.value.kind == errors.ROOM_FULL
    return caught.value.message


def test_an_address_has_five_places_of_a_queue() -> None:
    """Section 8: its guests; its users and other addresses come as before."""
    a_room = lobby_of(*(guest(number, "a") for number in range(5)))
    assert knock(a_room, guest(5, "a")) == "5 guests of your network address wait already"
    for who in (user(6, "a"), guest(7, "b"), guest(8)):
        assert do(a_room, join(who, f"x{who.claim}")).waits_for == "waiting_room"
    do(a_room, commands.Leave("w000", 0))
    assert do(a_room, join(guest(5, "a"), "x5")).waits_for == "waiting_room"


def test_an_address_that_has_a_seat_has_twenty_places() -> None:
    """Section 8: where people with seats come from the same address, such as a class with its teacher."""
    a_room = lobby_of()
    do(a_room, join(msgspec.structs.replace(HOST, address_key="a"), "p1"))
    for number in range(10, 30):
        do(a_room, join(guest(number, "a"), f"w{number}"))
    assert knock(a_room, guest(31, "a")) == "20 guests of your network address wait already"


def test_guests_leave_the_last_twenty_places_to_users() -> None:
    """Section 8: a hundred wait at most, of them guests until there are eighty."""
    a_room = lobby_of(*(guest(number) for number in range(80)))
    assert knock(a_room, guest(80, "z")) == knock(a_room, guest(80)) == "80 people wait already"
    for number in range(80, 100):
        do(a_room, join(user(number), f"w{number:03}"))
    assert knock(a_room, user(100)) == "100 people wait already"
    assert RULES.max_participants == 1000
