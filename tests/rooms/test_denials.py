"""How long somebody who was denied a seat waits before the next knock."""

import math

import pytest

from roomd.protocol import errors
from roomd.protocol.errors import Refused
from roomd.rooms import commands
from roomd.rooms.changes import KnockDenied
from roomd.rooms.denials import Denial, next_denial
from roomd.rooms.model import Caller, PersonKey
from roomd.rooms.room import MOST_DENIALS, Room
from roomd.rooms.settings import Settings
from tests.support.rooms import ADMIN, BOB, HOST, act, do, full, join, lobby, new_room, queue, refused, told

ADDRESS, USER = PersonKey("address", "a"), PersonKey("user", "bob")


def knock(a_room: Room, who: Caller, clock: float, key: str = "k") -> float:
    """Knock; return 0 for somebody who waits now, else the seconds after which the next knock is allowed."""
    try:
        do(a_room, join(who, key), clock)
    except Refused as why:
        refusal = why
    else:
        return 0.0
    said = "The host declined; wait before you knock again"
    assert (refusal.kind, refusal.message) == (errors.RATE_LIMITED, said)
    return refusal.retry_after or 0.0


def deny(a_room: Room, clock: float, key: str = "k") -> None:
    assert told(act(a_room, commands.Deny(HOST, key), clock)) == {key: errors.DENIED}


def waits(who: PersonKey) -> list[float]:
    """The waiting times of seven denials, each as soon as the last waiting time is over."""
    denial, clock, found = None, 0.0, []
    for _ in range(7):
        denial = next_denial(who, denial, clock)
        found.append(denial.until - clock)
        clock = denial.until
    return found


def test_the_waiting_times_double() -> None:
    """Section 8: from 30 seconds to ten minutes; an address waits from the third denial on."""
    assert waits(USER) == [30, 60, 120, 240, 480, 600, 600]
    assert waits(PersonKey("connection", "1")) == waits(USER)
    assert waits(ADDRESS) == [0, 0, 30, 60, 120, 240, 480]
    assert next_denial(USER, Denial(10**9, 0, 0), 1).until == 601, "however many there were"


def test_a_denial_is_forgotten_after_ten_quiet_minutes() -> None:
    """Section 8: the next one is the first again."""
    first = next_denial(USER, None, 0)
    assert next_denial(USER, first, 30 + 599).in_a_row == 2
    assert next_denial(USER, first, 30 + 600) == Denial(1, 630, 660)


DENIED = [Caller(None, 7, connection=7), Caller(None, 7, "eve"), Caller(None, 7, "eve", connection=7)]


@pytest.mark.parametrize("who", DENIED)
def test_who_was_denied_waits_before_the_next_knock(who: Caller) -> None:
    """Section 8: 429 with the time that is left, for a guest on the connection, and for a user on any."""
    a_room = lobby()
    assert knock(a_room, who, 10) == 0
    deny(a_room, 11)
    assert knock(a_room, who, 11) == 30
    assert knock(a_room, who, 40.9995) == pytest.approx(0.001), "never zero, and a knock too early does not count"
    assert knock(a_room, who, 41) == 0
    deny(a_room, 42)
    assert knock(a_room, who, 43) == 59


def test_others_do_not_wait() -> None:
    """Section 8: another connection of another guest, another user, other rooms, and hosts."""
    a_room = lobby()
    knock(a_room, Caller(None, 7, connection=7, address_key="a"), 10)
    deny(a_room, 11)
    assert knock(a_room, Caller(None, 8, connection=8, address_key="a"), 12, "k2") == 0
    assert knock(a_room, Caller(None, 9, "eve", address_key="a"), 12, "k3") == 0
    assert knock(lobby(), Caller(None, 7, connection=7, address_key="a"), 12) == 0


def test_an_address_waits_after_three_denials() -> None:
    """Section 8: guests only; who waits already and who sits is not touched, and users come as before."""
    a_room = lobby(max_participants=9)
    sits = Caller(None, 70, connection=70, address_key="a")
    do(a_room, join(sits, "sits"))
    do(a_room, commands.Admit(HOST, "sits"))
    waiting = Caller(None, 71, connection=71, address_key="a")
    do(a_room, join(waiting, "waits"))
    for number in range(3):
        assert knock(a_room, Caller(None, number + 80, connection=number + 80, address_key="a"), 10 + number) == 0
        deny(a_room, 10 + number)
    newcomer = Caller(None, 90, connection=90, address_key="a")
    assert knock(a_room, newcomer, 13) == 29
    assert knock(a_room, Caller(None, 91, connection=91, address_key="b"), 13, "other") == 0
    assert knock(a_room, Caller(None, 92, "eve", connection=92, address_key="a"), 13, "eve") == 0
    again = Caller("sits", 70, connection=70, address_key="a")
    assert do(a_room, join(again, "x"), 13).participant.id == "sits"
    assert do(a_room, join(Caller("waits", 71, connection=71, address_key="a"), "x"), 13).participant.id == "waits"
    assert knock(a_room, newcomer, 42, "late") == 0


def test_the_lock_is_checked_first_and_space_afterwards() -> None:
    """Section 4: the order of the checks, which `get-room` shows too."""
    a_room, who = full(), Caller(None, 7, connection=7)
    do(a_room, join(who, "k", wait=True), 10)
    deny(a_room, 11)
    assert refused(a_room, join(who, "k"), 12) == errors.RATE_LIMITED, "not 400 `room_full`"
    assert do(a_room, commands.GetRoom(who), 12).admission.code == "rate_limited"
    act(a_room, commands.UpdateRoom(HOST, Settings(is_locked=True)), 12)
    assert refused(a_room, join(who, "k"), 13) == errors.ROOM_LOCKED


def test_hosts_do_not_wait() -> None:
    """Section 4: an admin may deny the host a seat of a full room, and the host knocks again at once."""
    a_room = new_room(max_participants=2)
    for number in (7, 8):
        do(a_room, join(Caller(None, number), f"p{number}"))
    do(a_room, join(HOST, "k", wait=True))
    act(a_room, commands.Deny(ADMIN, "k"), 10)
    assert do(a_room, join(HOST, "k2", wait=True), 11).waits_for == "room_full"


def test_a_removal_from_the_queue_is_a_denial() -> None:
    """Section 8: also with a ban that is lifted again."""
    a_room = lobby()
    act(a_room, commands.RemoveParticipant(HOST, "p2", ban=True, reason=None), 10)
    act(a_room, commands.Unban(HOST, "bob"), 11)
    assert (knock(a_room, BOB, 12), list(queue(a_room))) == (28, ["p3", "p4"])


def test_what_a_room_remembers_of_denials_has_a_bound() -> None:
    """Those that are over are forgotten, and of more than a thousand the oldest."""
    a_room = new_room()
    for number in range(MOST_DENIALS + 5):
        a_room.apply(KnockDenied(PersonKey("user", str(number)), Denial(1, number / 100, 30 + number / 100)))
    assert len(a_room.denials) == MOST_DENIALS
    assert next(iter(a_room.denials)) == PersonKey("user", "5")
    a_room.apply(KnockDenied(USER, Denial(1, 10_000, 10_030)))
    assert list(a_room.denials) == [USER]
    before = a_room.checkpoint()
    a_room.apply(KnockDenied(ADDRESS, Denial(1, 10_001, math.inf)))
    a_room.restore(before)
    assert list(a_room.denials) == [USER]
