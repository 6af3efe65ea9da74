"""The rules of a room that are checked in memory and in the database; tests/storage/test_checking.py breaks each."""

import msgspec

from roomd.protocol.objects import Participant
from roomd.rooms.invariants import broken_rules, is_over_full
from roomd.rooms.model import Seat, StoredRoom, WaitsFor
from roomd.rooms.room import Room
from roomd.rooms.settings import Rules
from tests.support.stored import BOB, JANE, ROOM


def room(*people: tuple[Participant, WaitsFor | None], **settings: object) -> Room:
    """A room of three seats in which people sit or wait."""
    seats = [Seat(person, "hash", None, waits_for=waits_for) for person, waits_for in people]
    return Room(StoredRoom(msgspec.structs.replace(ROOM, **settings), seats), Rules(30, 100))


USER = msgspec.structs.replace(BOB, is_host=False, role="member")
GUEST = msgspec.structs.replace(USER, user_id=None, guest_name="Bob")


def test_a_room_that_is_right() -> None:
    """No rule is broken while people sit, and wait for the host."""
    assert list(broken_rules(room((JANE, None), (USER, "waiting_room"), waiting_room=True))) == []


def test_each_broken_rule_names_everyone() -> None:
    """What does not hold is told once for each rule, with all of whom it does not hold."""
    found = list(broken_rules(room((JANE, None), (GUEST, None), is_active=False)))
    assert found == [("has a place in a room that has ended", ["p1", "p2"])]
    found = list(broken_rules(room((USER, None), (msgspec.structs.replace(USER, id="p3"), None))))
    assert found == [("has the place of a user who has another one", ["p2"])]


def test_roles_and_hidden_places() -> None:
    """A role is that of the rights; only admins are hidden."""
    cohost = msgspec.structs.replace(JANE, role="cohost")
    assert list(broken_rules(room((cohost, None)))) == [("is shown with a role that is not theirs", ["p1"])]
    hidden = room((msgspec.structs.replace(USER, is_hidden=True), None))
    assert (list(hidden.hidden), hidden.participants()) == (["p2"], [])
    assert list(broken_rules(hidden)) == [("is hidden, and is no admin", ["p2"])]


def test_more_seats_than_allowed() -> None:
    """That is right after a host has lowered the limit, and so no broken rule."""
    full = [(msgspec.structs.replace(JANE, id=f"p{number}"), None) for number in range(4)]
    assert is_over_full(room(*full))
    assert list(broken_rules(room(*full))) == []
    assert not is_over_full(room(*full[:3]))
