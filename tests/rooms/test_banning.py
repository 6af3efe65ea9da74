"""Bans of users, and of guests by the address that they came from."""

import pytest

from roomd.protocol import errors
from roomd.protocol.errors import ErrorKind, Refused
from roomd.protocol.objects import Ban
from roomd.rooms import commands
from roomd.rooms.changes import Banned, Change, SeatChanged, Unbanned
from roomd.rooms.commands.banning import MOST_BANS
from roomd.rooms.model import Caller, PastStay, PersonKey
from roomd.rooms.room import Room
from tests.support.rooms import (
    ADMIN,
    BOB,
    HOST,
    act,
    at,
    bob,
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

HOUR = 3600.0
HOME, SCHOOL = PersonKey("address", "home"), PersonKey("address", "school")


def guest(number: int, address: str | None = "school", seat: str | None = None) -> Caller:
    """A guest on a connection, who may have a seat."""
    return Caller(seat, number, connection=number, address_key=address)


def talk() -> Room:
    """Alice sits in `p1`; guests of a school in `p2` and `p3`; Bob, of the same address, in `p4`."""
    a_room = new_room(max_participants=9)
    do(a_room, join(HOST, "p1"))
    do(a_room, join(guest(2), "p2", "Jane"))
    do(a_room, join(guest(3), "p3"))
    do(a_room, join(Caller(None, 4, "bob", "Bob", address_key="school"), "p4"))
    return a_room


def bans(changes: list[Change]) -> list[Change]:
    return [change for change in changes if not isinstance(change, SeatChanged)]


BY_HOST = {
    "removed": commands.RemoveParticipant(HOST, "p2", ban=True, reason="spam"),
    "banned": commands.BanPerson(HOST, None, "p2", None, "spam"),
}


@pytest.mark.parametrize("command", BY_HOST.values(), ids=BY_HOST.keys())
def test_a_guests_ban_bars_the_address(command: commands.BanPerson | commands.RemoveParticipant) -> None:
    """Section 8: for `rooms.address_ban` no guest of the address comes in; users do, and who sits is not touched."""
    a_room = talk()
    changes = act(a_room, command, 20)
    ban = Ban(
        id="ban", user_id=None, display_name="Jane", reason="spam", banned_at=at(20).stamp,
        expires_at=at(20 + HOUR).stamp,
    )  # fmt: skip
    assert (bans(changes), standing(a_room, "p2")) == ([Banned(SCHOOL, ban)], "gone")
    assert do(a_room, commands.ListBans(HOST), 21) == [ban]
    for who in (guest(5), guest(2)):
        assert refused(a_room, join(who, "p5"), 20 + HOUR - 1) == errors.BANNED
    assert refused(a_room, resume("p2", "t-p2", 9, guest(5)), 21) == errors.SEAT_EXPIRED
    assert standing(a_room, "p3") == standing(a_room, "p4") == "connected"
    do(a_room, commands.Drop("p3", 3, 0), 22)
    assert do(a_room, resume("p3", "t-p3", 8, guest(8)), 23).participant.id == "p3", "a seat is proved by its token"
    assert do(a_room, join(guest(8, seat="p3"), "x"), 24).participant.id == "p3", "who sits may join again"
    eve = Caller(None, 9, "eve", address_key="school")
    for key, who in (("p6", guest(6, "home")), ("p7", guest(7, None)), ("p8", eve)):
        assert do(a_room, join(who, key), 25).participant.id == key
    do(a_room, commands.Leave("p6", 6), 26)
    assert do(a_room, commands.ListBans(HOST), 20 + HOUR) == []
    assert do(a_room, join(guest(5), "p5"), 20 + HOUR).participant.id == "p5"


def test_a_guest_without_a_known_address_is_not_banned_in_silence() -> None:
    """Section 8: 400 `address_unknown` says what to do, and nobody is removed."""
    a_room = new_room()
    do(a_room, join(guest(2, None), "p2"))
    for command in BY_HOST.values():
        assert refused(a_room, command) == errors.ADDRESS_UNKNOWN
    assert "lock the room" in errors.ADDRESS_UNKNOWN.message
    assert standing(a_room, "p2") == "connected"


NAMED: dict[str, tuple[commands.BanPerson, PersonKey | ErrorKind, str]] = {
    "a user who sits": (commands.BanPerson(HOST, "bob", None, None, None), PersonKey("user", "bob"), "Bob"),
    "a user by the seat": (commands.BanPerson(HOST, None, "p4", None, None), PersonKey("user", "bob"), "Bob"),
    "a user who was never there": (commands.BanPerson(ADMIN, "zoe", None, None, None), PersonKey("user", "zoe"), "zoe"),
    "a user who left": (
        commands.BanPerson(HOST, None, "p0", PastStay(bob("p0"), None), None), PersonKey("user", "bob"), "Bob",
    ),
    "a guest who left": (
        commands.BanPerson(HOST, None, "p0", PastStay(someone("p0"), "home"), None), HOME, "p0",
    ),
    "a guest who left without an address": (
        commands.BanPerson(HOST, None, "p0", PastStay(someone("p0"), None), None), errors.ADDRESS_UNKNOWN, "",
    ),
    "nobody": (commands.BanPerson(HOST, None, "p0", None, None), errors.PARTICIPANT_NOT_FOUND, ""),
    "oneself": (commands.BanPerson(HOST, "alice", None, None, None), errors.WRONG_USER, ""),
    "one's own seat": (commands.BanPerson(HOST, None, "p1", None, None), errors.WRONG_USER, ""),
    "by a user": (commands.BanPerson(BOB, "zoe", None, None, None), errors.NOT_HOST, ""),
    "by a guest": (commands.BanPerson(guest(2, seat="p2"), "zoe", None, None, None), errors.NOT_HOST, ""),
}  # fmt: skip


@pytest.mark.parametrize(("command", "who", "name"), NAMED.values(), ids=NAMED.keys())
def test_a_ban_of_somebody_present_or_not(command: commands.BanPerson, who: PersonKey | ErrorKind, name: str) -> None:
    """Section 8: by user id or participant id; a user who is there, also on a later stay, loses the seat."""
    a_room = talk()
    if isinstance(who, ErrorKind):
        assert refused(a_room, command) == who
        return
    act(a_room, command)
    ban = a_room.bans[who]
    assert (ban.display_name, ban.user_id) == (name, who.value if who.kind == "user" else None)
    assert standing(a_room, "p4") == ("gone" if who.value == "bob" else "connected")
    if who.kind == "user":
        assert refused(a_room, join(Caller(user_id=who.value), "x")) == errors.BANNED
        assert ban.expires_at is None


def test_an_admin_without_a_token_of_their_own_seat_bans_no_seat_of_theirs() -> None:
    """Section 5: the rights are those of the seat, and nobody bans their own seat."""
    a_room = talk()
    seat = Caller("p1", 1)
    assert refused(a_room, commands.BanPerson(seat, None, "p1", None, None)) == errors.WRONG_USER
    act(a_room, commands.BanPerson(seat, None, "p3", None, None))
    assert SCHOOL in a_room.bans


def test_who_waits_is_denied_by_a_ban() -> None:
    """Section 8: the waiter is told `denied`, and cannot come again."""
    a_room = lobby()
    assert told(act(a_room, commands.BanPerson(HOST, "bob", None, None, None))) == {"p2": errors.DENIED}
    assert (refused(a_room, join(BOB, "x")), list(queue(a_room))) == (errors.BANNED, ["p3", "p4"])


def test_a_ban_again_replaces_the_first_and_keeps_its_id() -> None:
    """Section 8: one ban for one user or address; those that are over are forgotten then."""
    a_room = talk()
    act(a_room, commands.BanPerson(HOST, None, "p2", None, "one"), 20)
    act(a_room, commands.BanPerson(HOST, None, "p0", PastStay(someone("p0"), "home"), None), 20)
    changes = act(a_room, commands.BanPerson(HOST, None, "p3", None, "two"), 30 + HOUR)
    assert bans(changes)[0] == Unbanned(HOME, "ban")
    [ban] = do(a_room, commands.ListBans(HOST), 31 + HOUR)
    assert (ban.id, ban.reason, ban.expires_at) == ("ban", "two", at(30 + 2 * HOUR).stamp)


def crowd_of_banned(number: int) -> Room:
    """Alice's room with the guest of `p2` in it, and so many banned users."""
    a_room = new_room(banned=[f"user {one}" for one in range(number)])
    do(a_room, join(HOST, "p1"))
    do(a_room, join(guest(2), "p2"))
    return a_room


@pytest.mark.parametrize(
    "command", [*BY_HOST.values(), commands.BanPerson(HOST, "bob", None, None, None)], ids=[*BY_HOST, "a user"]
)
def test_a_room_has_a_thousand_bans(command: commands.BanPerson | commands.RemoveParticipant) -> None:
    """Section 8: one more is 507 with its own text, and nobody is removed; a ban that is lifted makes space."""
    a_room = crowd_of_banned(MOST_BANS)
    with pytest.raises(Refused) as caught:
        a_room.decide(command, at(10, "ban"))
    assert (caught.value.kind, caught.value.message) == (
        errors.STORAGE_LOW, "The room can store no more bans; lift one first",
    )  # fmt: skip
    assert standing(a_room, "p2") == "connected"
    act(a_room, commands.Unban(HOST, "user 7"), 11)
    act(a_room, command, 12)
    assert len(a_room.bans) == MOST_BANS


def test_a_full_list_of_bans_still_takes_those_it_has() -> None:
    """Section 8: the ban of somebody who is banned already is replaced."""
    a_room = crowd_of_banned(MOST_BANS)
    act(a_room, commands.BanPerson(HOST, "user 7", None, None, "again"), 10)
    assert (len(a_room.bans), a_room.bans[PersonKey("user", "user 7")].reason) == (MOST_BANS, "again")


def test_bans_that_are_over_count_no_more() -> None:
    """Section 8: the next ban removes them first."""
    a_room = crowd_of_banned(MOST_BANS - 1)
    act(a_room, commands.BanPerson(HOST, None, "p0", PastStay(someone("p0"), "home"), None), 20)
    zoe = commands.BanPerson(HOST, "zoe", None, None, None)
    assert refused(a_room, zoe, 20 + HOUR - 1) == errors.STORAGE_LOW
    assert bans(act(a_room, zoe, 20 + HOUR))[0] == Unbanned(HOME, "ban")
    assert len(a_room.bans) == MOST_BANS


def test_unban_by_id() -> None:
    """Section 8: `unban` lifts any ban by its id; what is over, or was never there, is 404."""
    a_room = talk()
    act(a_room, BY_HOST["banned"], 20)
    assert refused(a_room, commands.Unban(HOST, None, "other"), 21) == errors.PARTICIPANT_NOT_FOUND
    assert refused(a_room, commands.Unban(BOB, None, "ban"), 21) == errors.NOT_HOST
    assert refused(a_room, commands.Unban(HOST, None, "ban"), 20 + HOUR) == errors.PARTICIPANT_NOT_FOUND
    assert act(a_room, commands.Unban(HOST, None, "ban"), 21) == [Unbanned(SCHOOL, "ban")]
    assert do(a_room, join(guest(5), "p5"), 22).participant.id == "p5"
    with pytest.raises(Refused) as caught:
        a_room.decide(commands.Unban(HOST, None, "ban"), at(23))
    assert caught.value.message == "There is no such ban"


def test_nobody_lifts_their_own_ban_by_its_id() -> None:
    """Section 8: the host who was banned by an admin cannot, whichever way they name the ban."""
    a_room = talk()
    act(a_room, commands.BanPerson(ADMIN, "alice", None, None, None))
    for command in (commands.Unban(HOST, "alice"), commands.Unban(HOST, None, "ban")):
        assert refused(a_room, command) == errors.WRONG_USER


def test_bans_are_listed_by_user_id_or_else_by_id() -> None:
    """Section 8: a page is cut anywhere in this order."""
    a_room = new_room(banned=["carol", "anna"])
    act(a_room, commands.BanPerson(HOST, None, "p0", PastStay(someone("p0"), "home"), None))
    listed = [ban.user_id or ban.id for ban in do(a_room, commands.ListBans(HOST))]
    assert listed == ["anna", "ban", "carol"]


SHOWN: list[tuple[Caller, dict[str, bool], bool, ErrorKind | None]] = [
    (BOB, {}, False, errors.BANNED),
    (guest(5), {}, False, errors.BANNED),
    (guest(5, "home"), {}, True, None),
    (guest(5, "home"), {"allow_guest_access": False}, False, errors.GUESTS_NOT_ALLOWED),
    (guest(5, "home"), {"allow_guest_access": False, "is_active": False}, False, errors.ROOM_INACTIVE),
    (Caller(user_id="carol"), {"allow_guest_access": False}, True, None),
    (Caller(user_id="carol"), {"is_locked": True}, True, errors.ROOM_LOCKED),
    (HOST, {}, True, None),
]


@pytest.mark.parametrize(("who", "changes", "shown", "why"), SHOWN)
def test_who_may_never_enter_is_not_shown_the_room(
    who: Caller, changes: dict[str, bool], shown: bool, why: ErrorKind | None
) -> None:
    """Section 7: `room` is null for the banned, and for guests where none are allowed; `admission` says why."""
    a_room = new_room(banned=["bob"], **changes)
    act(a_room, commands.BanPerson(HOST, None, "p0", PastStay(someone("p0"), "school"), None))
    answer = do(a_room, commands.GetRoom(who))
    assert answer.room == (a_room.view() if shown else None)
    assert answer.admission.code == (why.code if why is not None else None)
