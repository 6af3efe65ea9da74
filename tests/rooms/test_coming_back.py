"""What a seat proves and carries, in one room without a loop: docs/protocol.md, section 5."""

from collections.abc import Callable
from typing import Any

import pytest

from roomd.protocol import errors
from roomd.rooms import commands
from roomd.rooms.changes import SeatChanged
from roomd.rooms.model import Caller, StoredRoom
from roomd.rooms.room import Command, Room
from roomd.rooms.settings import Rules, Settings
from tests.support.rooms import (
    ADMIN,
    BOB,
    CAROL,
    DAY,
    HOST,
    act,
    at,
    do,
    full,
    join,
    lobby,
    meeting,
    new_room,
    queue,
    refused,
    resume,
    standing,
    take_over,
)

GRACE = 100.0


def strict(**settings: Any) -> Room:
    """Alice's room with a short grace; her token expires at 10:00:50, and she sits in `p1` without one."""
    a_room = Room(StoredRoom(new_room(**settings).settings), Rules(30.0, 1000, GRACE))
    do(a_room, join(Caller(None, 1, "alice", "Alice", token_exp=DAY + 50), "p1"))
    do(a_room, resume("p1", "t-p1", 2))
    return a_room


ALICE = Caller("p1", 2)
"""Alice's connection without a token."""


@pytest.mark.parametrize(
    "command",
    [
        commands.UpdateRoom(ALICE, Settings(name="x")),
        commands.EndRoom(ALICE),
        commands.ListBans(ALICE),
        commands.Admit(ALICE, None),
        commands.RemoveParticipant(ALICE, "p1", ban=False, reason=None),
        commands.ListParticipants(ALICE, history=True),
    ],
    ids=lambda command: type(command).__name__,
)
def test_a_seat_carries_host_rights_until_the_grace_is_over(command: Command[object]) -> None:
    """They end `auth.grace` after the token's `exp`, and are those of a host until then."""
    if isinstance(command, commands.RemoveParticipant):
        assert refused(strict(), command, 149.9) == errors.WRONG_USER, "nobody removes themselves"
    else:
        strict().decide(command, at(149.9))
    assert refused(strict(), command, 150) == errors.TOKEN_EXPIRED
    stranger = strict()
    do(stranger, join(Caller(None, 7), "p2"))
    assert refused(stranger, commands.ListBans(Caller("p2", 7)), 150) == errors.NOT_HOST


def test_a_new_token_renews_the_rights_of_the_seat() -> None:
    """The last token that was presented counts, whether it gives more or less; the same again changes nothing."""
    a_room = strict()
    fresh = Caller("p1", 2, "alice", "Alice", is_admin=True, token_exp=DAY + 500)
    assert len(act(a_room, commands.Renew(fresh), 200)) == 1
    assert act(a_room, commands.Renew(fresh), 200) == []
    do(a_room, resume("p1", "next", 3, then="x"), 200)
    assert do(a_room, commands.ListBans(Caller("p1", 3)), 599) == []
    assert (a_room.seats["p1"].is_admin, a_room.seats["p1"].token_exp) == (True, DAY + 500)
    do(a_room, take_over("alice", 4))
    assert not a_room.seats["p1"].is_admin, "a token without the grant"
    assert act(a_room, commands.Renew(Caller("p9", 9, "zoe"))) == [], "nobody's seat"


def test_a_resumed_user_is_that_user_in_the_room() -> None:
    """Also where guests are not allowed, for private messages of before, and for the own ban."""
    a_room = strict(allow_guest_access=False)
    assert do(a_room, commands.ListMessages(ALICE)).user_id == "alice"
    assert refused(a_room, commands.Unban(ALICE, "alice")) == errors.WRONG_USER
    again = commands.Join(caller=ALICE, guest_name=None, resume_hash="again", claim=5)
    assert do(a_room, again).participant.id == "p1"
    do(a_room, commands.Leave("p1", 5))
    assert refused(a_room, commands.Join(caller=ALICE, guest_name=None, resume_hash="h", claim=6)) == (
        errors.GUESTS_NOT_ALLOWED
    )


def test_a_user_who_lost_the_seat_is_no_guest_without_a_name() -> None:
    """The connection was told of a seat that is gone by now, and has no token."""
    a_room = strict()
    do(a_room, commands.Leave("p1", 2))
    assert refused(a_room, commands.Join(caller=ALICE, guest_name=None, resume_hash="h", claim=6)) == (
        errors.UNAUTHENTICATED
    )


# Tokens: current and previous.


def tokens(a_room: Room, key: str = "p2") -> tuple[str, str | None]:
    seat = a_room.place_of(key)
    assert seat is not None
    return seat.resume_hash, seat.previous_hash


@pytest.mark.parametrize("make", [meeting, lobby], ids=["a seat", "a place in a queue"])
def test_the_two_tokens(make: Callable[[], Room]) -> None:
    """By the table in `roomd/rooms/seats.py`."""
    a_room = make()
    assert tokens(a_room) == ("t-p2", None)
    do(a_room, resume("p2", "t-p2", 11, then="a"))
    assert tokens(a_room) == ("a", "t-p2")
    do(a_room, resume("p2", "t-p2", 12, then="b"))
    assert tokens(a_room) == ("b", "t-p2"), "the reply with `a` was lost"
    assert refused(a_room, resume("p2", "a", 13)) == errors.TAKEN_OVER
    do(a_room, resume("p2", "b", 13, then="c"))
    assert tokens(a_room) == ("c", "b")
    do(a_room, commands.Confirm("p2", 12))
    assert tokens(a_room) == ("c", "b"), "an earlier sitting's"
    do(a_room, commands.Confirm("p2", 13))
    assert tokens(a_room) == ("c", None)
    assert act(a_room, commands.Confirm("p2", 13)) == []
    assert act(a_room, commands.Confirm("p9", 13)) == []


def test_the_tokens_after_a_join() -> None:
    """From another connection it voids both; on the same one a token that the client may have stays valid."""
    a_room = meeting()
    here = Caller("p2", 3, "bob", "Bob")
    do(a_room, commands.Join(caller=here, guest_name=None, resume_hash="a", claim=11))
    assert tokens(a_room) == ("a", "t-p2")
    here = Caller("p2", 11, "bob", "Bob")
    do(a_room, commands.Join(caller=here, guest_name=None, resume_hash="b", claim=12))
    assert tokens(a_room) == ("b", "t-p2"), "neither reply may have arrived"
    do(a_room, take_over("bob", 13, "c"))
    assert tokens(a_room) == ("c", None)
    do(a_room, resume("p2", "c", 14, then="d"))
    do(a_room, commands.Drop("p2", 14, 0))
    do(a_room, take_over("bob", 15, "e"))
    assert tokens(a_room) == ("e", None), "a held seat, too"


@pytest.mark.parametrize(("make", "key"), [(meeting, "p2"), (full, "p2")], ids=["a seat", "a place in a queue"])
def test_a_timer_does_not_take_over(make: Callable[[], Room], key: str) -> None:
    """`takeOver: false` leaves a connected seat, and a place, with the connection that has it."""
    a_room = make()

    def ask(claim: int | None, new: int) -> commands.Join:
        caller = Caller(key if claim else None, claim, "bob", "Bob")
        return commands.Join(caller=caller, guest_name=None, resume_hash="h", claim=new, take_over=False)

    assert refused(a_room, ask(None, 8)) == errors.TAKEN_OVER
    assert do(a_room, ask(3, 9)).claim == 9
    do(a_room, commands.Drop(key, 9, 0))
    assert do(a_room, ask(None, 10)).claim == 10


# A connection that was taken for lost.


@pytest.mark.parametrize("make", [meeting, full], ids=["a seat", "a place in a queue"])
def test_a_join_that_is_submitted_again(make: Callable[[], Room]) -> None:
    """It finds what it got before, also when that is held by now; its token and the one before stay."""
    a_room = make()
    join_ = commands.Join(caller=Caller("p2", 3, "bob", "Bob"), guest_name=None, resume_hash="a", claim=11)
    do(a_room, join_)
    assert act(a_room, join_.repeated()) == []
    do(a_room, commands.Drop("p2", 11, 0))
    assert do(a_room, join_.repeated()).claim == 11
    assert tokens(a_room) == ("a", "t-p2")


def test_a_connection_that_missed_events() -> None:
    """It gets the events of its seat; not those of a seat that another connection has, or that was given up."""
    a_room = meeting()
    assert do(a_room, commands.Attach("p2", 3)).participant.id == "p2"
    assert refused(a_room, commands.Attach("p2", 2)) == errors.TAKEN_OVER
    do(a_room, commands.Leave("p2", 3))
    assert refused(a_room, commands.Attach("p2", 3)) == errors.SEAT_EXPIRED


def test_a_guest_whose_seat_is_held() -> None:
    """Their own connection, which is there after all, takes it back by a join, and their token stays valid."""
    a_room = meeting()
    assert standing(a_room, "p3") == "held"
    join_ = commands.Join(caller=Caller("p3", 4), guest_name="Dora", resume_hash="a", claim=11)
    found = do(a_room, join_, 6)
    assert (found.participant.id, found.claim, found.previous_hash) == ("p3", 11, "t-p3")
    assert found.participant.guest_name == "guest p3"


def test_a_seat_that_nobody_was_told_of() -> None:
    """It is held by its claim alone."""
    a_room = meeting()
    do(a_room, commands.Drop("", 4, 0))
    assert standing(a_room, "p2") == "connected"
    do(a_room, commands.Drop("", 3, 0))
    assert standing(a_room, "p2") == "held"


# A full room.


def crowded(*, host_waits: bool = False) -> Room:
    """Bob and two guests, who have dropped, in all three seats; Carol waits, and behind her Alice."""
    a_room = new_room()
    do(a_room, join(BOB, "p2"))
    for clock, key in ((2, "p3"), (3, "p4")):
        do(a_room, join(Caller(None, int(key[1])), key), clock)
    do(a_room, join(CAROL, "p5", wait=True), 4)
    if host_waits:
        do(a_room, join(HOST, "p6", wait=True), 4)
        assert queue(a_room) == {"p5": "room_full", "p6": "room_full"}
    for key in ("p3", "p4"):
        do(a_room, commands.Drop(key, int(key[1]), 0), 5)
    return a_room


def test_the_host_takes_the_place_of_the_newest_held_guest() -> None:
    """Ahead of the queue; the limit holds; with nobody else who has dropped the room is full for the host as well."""
    a_room = crowded()
    do(a_room, join(HOST, "p1"), 6)
    assert (list(a_room.seats), queue(a_room)) == (["p2", "p3", "p1"], {"p5": "room_full"})
    assert refused(a_room, resume("p4", "t-p4", 9)) == errors.SEAT_EXPIRED
    assert refused(a_room, join(ADMIN, "p7")) == errors.ROOM_FULL
    do(a_room, resume("p3", "t-p3", 9))
    do(a_room, commands.Leave("p1", 1))
    assert list(a_room.seats) == ["p2", "p3", "p5"]
    assert refused(a_room, join(HOST, "p1")) == errors.ROOM_FULL


def test_a_host_who_waits_takes_it_too() -> None:
    """As soon as a guest drops, ahead of those who came before; one guest gives way, not two."""
    a_room = crowded(host_waits=True)
    assert (list(a_room.seats), queue(a_room)) == (["p2", "p4", "p6"], {"p5": "room_full"})


def test_a_host_who_waits_takes_a_seat_that_becomes_a_held_one() -> None:
    """A guest who waits and has dropped gets the free seat, and gives way to the host at once."""
    a_room = new_room(max_participants=2)
    do(a_room, join(BOB, "p2"), 1)
    for number in (3, 4):
        do(a_room, join(Caller(None, number), f"p{number}", wait=True), number)
    do(a_room, commands.Drop("p4", 4, 0), 5)
    do(a_room, join(HOST, "p1", wait=True), 6)
    do(a_room, commands.Leave("p2", 3), 7)
    assert (list(a_room.seats), queue(a_room)) == (["p3", "p1"], {})


def test_a_user_who_has_dropped_keeps_the_seat() -> None:
    """Only guests give way, also where a user who has dropped came later."""
    a_room = new_room(max_participants=2)
    do(a_room, join(Caller(None, 3), "p3"), 1)
    do(a_room, join(BOB, "p2"), 2)
    do(a_room, commands.Drop("p2", 3, 0), 3)
    assert refused(a_room, join(HOST, "p1")) == errors.ROOM_FULL


def test_a_place_in_the_queue_carries_the_rights_as_well() -> None:
    """A host who waits reads the messages, until the grace is over."""
    a_room = Room(StoredRoom(new_room(max_participants=2).settings), Rules(30.0, 1000, GRACE))
    do(a_room, join(BOB, "p2"))
    do(a_room, join(CAROL, "p3"))
    do(a_room, join(Caller(None, 1, "alice", "Alice", token_exp=DAY + 50), "p1", wait=True))
    do(a_room, resume("p1", "t-p1", 2))
    assert do(a_room, commands.ListMessages(ALICE), 149).participant_id is None
    assert refused(a_room, commands.ListMessages(ALICE), 150) == errors.TOKEN_EXPIRED


def test_no_guest_gives_way_in_a_room_past_its_limit() -> None:
    """Lowering `maxParticipants` removes nobody, and lets nobody in."""
    a_room = crowded()
    do(a_room, commands.UpdateRoom(HOST, Settings(max_participants=2)))
    assert refused(a_room, join(HOST, "p1")) == errors.ROOM_FULL


def test_hosts_wait_in_a_locked_room_and_for_nobody_to_admit_them() -> None:
    """A host who waits for a seat is not sent away by the lock; a new grant lets one out of the waiting room."""
    a_room = full()
    do(a_room, join(ADMIN, "p5", wait=True))
    do(a_room, commands.UpdateRoom(HOST, Settings(is_locked=True)))
    assert queue(a_room) == {"p5": "room_full"}
    do(a_room, commands.Leave("p9", 9))
    assert standing(a_room, "p5") == "connected"
    a_room = lobby()
    do(a_room, commands.Renew(Caller("p2", 3, "bob", "Bob", is_admin=True, token_exp=DAY)))
    assert (standing(a_room, "p2"), queue(a_room)) == ("connected", {"p3": "waiting_room", "p4": "waiting_room"})


# The hold of a connection.


@pytest.mark.parametrize(("hold", "until"), [(5, 10), (30, 35), (100, 35)])
def test_a_hold_is_at_most_that_of_the_rules(hold: float, until: float) -> None:
    """`update-connection` shortens the hold; it never makes it longer."""
    a_room = meeting()
    do(a_room, commands.Drop("p2", 3, 0, hold), 5)
    assert (standing(a_room, "p2"), a_room.seats["p2"].held_until) == ("held", until)


@pytest.mark.parametrize(("age", "hold"), [(0, 0), (6, 5), (40, 30)], ids=["no hold", "late", "very late"])
def test_a_drop_whose_hold_is_over_is_a_leave(age: float, hold: float) -> None:
    """`leftAt` is when the connection was last there; the place in a queue is given up likewise."""
    a_room = meeting()
    match act(a_room, commands.Drop("p2", 3, age, hold), 50):
        case [SeatChanged(seat=seat)]:
            assert (standing(a_room, "p2"), seat.participant.left_at) == ("gone", at(50 - age).stamp)
        case other:
            pytest.fail(f"{other}")
    a_room = lobby()
    act(a_room, commands.Drop("p2", 3, age, hold), 50)
    assert "p2" not in queue(a_room)
