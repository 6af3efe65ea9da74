"""Who one client is and where it sits or waits, with the time passed in."""

from typing import Any

import msgspec
import pytest

from roomd.auth.tokens import Identity
from roomd.gateway.session import Session
from roomd.protocol import errors
from roomd.protocol.errors import ErrorKind, Refused
from roomd.protocol.objects import Participant
from roomd.rooms.model import Caller

ALICE = Identity("alice", "Alice", 1000.0, None)
BOB = Identity("bob", "Bob", 1000.0, None)
SCOPED = Identity("alice", "Alice", 1000.0, "abc-def-ghi")
NOW, LATE = 1000.0, 1010.0


class Spot(msgspec.Struct, frozen=True):
    """A place in a room."""

    code: str
    participant: Participant
    claim: int


def seat(user_id: str | None, key: str = "p1", code: str = "abc-def-ghi", claim: int = 7) -> Spot:
    name = None if user_id else "Jane"
    person = Participant(
        id=key, room_id="r", user_id=user_id, guest_name=name, is_active=True, is_host=False, joined_at="",
        left_at=None, display_name="",
    )  # fmt: skip
    return Spot(code, person, claim)


OTHER = "zzz-zzz-zzz"


def session(identity: Identity | None = None, place: Spot | None = None, waiting: Spot | None = None) -> Session[Spot]:
    made: Session[Spot] = Session(leeway=10.0)
    if identity is not None:
        made.authenticate(identity)
    if place is not None:
        made.sit(place)
    if waiting is not None:
        made.wait(waiting)
    return made


def refusal(function: Any, *args: Any) -> ErrorKind:
    with pytest.raises(Refused) as caught:
        function(*args)
    return caught.value.kind


AUTHENTICATIONS = [
    ("a guest becomes a user", session(), ALICE, None),
    ("a renewal", session(ALICE), ALICE, None),
    ("another user", session(ALICE), BOB, errors.WRONG_USER),
    ("in a room as a guest", session(None, seat(None)), ALICE, errors.WRONG_USER),
    ("in the user's own seat, resumed without a token", session(None, seat("alice")), ALICE, None),
    ("in somebody else's", session(None, seat("bob")), ALICE, errors.WRONG_USER),
    ("waiting as a guest", session(None, None, seat(None)), ALICE, errors.WRONG_USER),
    ("at the user's own place in a queue", session(None, None, seat("alice")), ALICE, None),
    ("at somebody else's", session(None, None, seat("bob")), ALICE, errors.WRONG_USER),
    ("in the own seat, waiting as a guest", session(None, seat("alice"), seat(None, "p2", OTHER)), ALICE,
     errors.WRONG_USER),
    ("in a room as a guest, at the user's own place", session(None, seat(None), seat("alice", "p2", OTHER)), ALICE,
     errors.WRONG_USER),
    ("a renewal while it waits", session(ALICE, None, seat("alice")), ALICE, None),
]  # fmt: skip


@pytest.mark.parametrize(
    ("made", "identity", "kind"), [a[1:] for a in AUTHENTICATIONS], ids=[a[0] for a in AUTHENTICATIONS]
)
def test_a_connection_stays_the_same_person(made: Session[Spot], identity: Identity, kind: ErrorKind | None) -> None:
    """Section 2: a renewal is fine, another person is refused with `wrong_user`."""
    if kind is None:
        made.authenticate(identity)
        assert made.user(0.0) == identity
    else:
        assert refusal(made.authenticate, identity) == kind


def test_users_only() -> None:
    """Section 7: 401 without a token and once it has expired; a token for one room serves no request without a room."""
    assert refusal(session().user, NOW) == errors.UNAUTHENTICATED
    assert session(ALICE).user(NOW) == ALICE
    assert session(ALICE).user(LATE - 0.1) == ALICE
    assert refusal(session(ALICE).user, LATE) == errors.UNAUTHENTICATED
    assert refusal(session(SCOPED).user, NOW) == errors.WRONG_ROOM


def test_codes() -> None:
    """Sections 1 and 2: codes may be typed loosely; 404 for what is not a code; 403 where the token is for another."""
    assert session().room_code("ABC DEF GHI") == "abc-def-ghi"
    assert refusal(session().room_code, "abc") == errors.ROOM_NOT_FOUND
    assert session(SCOPED).room_code("abcdefghi") == "abc-def-ghi"
    assert refusal(session(SCOPED).room_code, "zzz-zzz-zzz") == errors.WRONG_ROOM


def test_callers() -> None:
    """A seat counts only in its room; an expired token serves only there, and a resume token needs no other."""
    alice = Caller(None, None, "alice", "Alice", is_admin=False, token_exp=1000.0)
    assert session().caller("abc-def-ghi", NOW) == Caller()
    assert session(ALICE).caller("abc-def-ghi", NOW) == alice
    assert refusal(session(ALICE).caller, "abc-def-ghi", LATE) == errors.UNAUTHENTICATED
    assert session(ALICE).caller_by_seat("abc-def-ghi") == alice
    seated = session(ALICE, seat("alice"))
    assert seated.caller("abc-def-ghi", LATE) == Caller("p1", 7), "the seat says what it may do"
    assert session(None, seat("alice")).caller("abc-def-ghi", NOW) == Caller("p1", 7), "resumed without a token"
    assert seated.caller("zzz-zzz-zzz", NOW) == alice
    assert refusal(seated.caller, "zzz-zzz-zzz", LATE) == errors.UNAUTHENTICATED
    waits = session(ALICE, None, seat("alice"))
    assert waits.caller("abc-def-ghi", NOW) == Caller("p1", 7, "alice", "Alice", token_exp=1000.0)
    assert refusal(waits.caller, "abc-def-ghi", LATE) == errors.UNAUTHENTICATED, "a place in a queue is not a seat"


def test_guest_names() -> None:
    """Section 4: required of guests and cleaned; a user's is ignored."""
    code = "abc-def-ghi"
    assert session().guest_name(" Jane ", code) == "Jane"
    assert refusal(session().guest_name, None, code) == errors.GUEST_NAME_REQUIRED
    assert refusal(session().guest_name, "x" * 51, code) == errors.INVALID_GUEST_NAME
    assert session(ALICE).guest_name("x" * 51, code) is None


def test_names_without_a_token() -> None:
    """Section 5: who resumed a user's seat without a token has its name there, and is a guest in any other room."""
    resumed = session(None, seat("alice"))
    assert resumed.guest_name(None, "ABC DEF GHI") is None
    assert refusal(resumed.guest_name, None, OTHER) == errors.GUEST_NAME_REQUIRED
    assert refusal(resumed.guest_name, None, "no code") == errors.GUEST_NAME_REQUIRED
    assert refusal(session(None, seat(None)).guest_name, None, "abc-def-ghi") == errors.GUEST_NAME_REQUIRED


def test_taking_and_losing_a_seat() -> None:
    """The seat before is to be left only if it was another one; only the seat that is had can be lost."""
    made = session()
    assert (made.has_joined, made.is_stranger, made.sit(seat(None)), made.is_stranger) == (False, True, [], False)
    assert made.sit(seat(None)) == []
    assert made.sit(seat(None, "p2", "zzz-zzz-zzz")) == [seat(None)]
    made.release("p1")
    assert made.seat == seat(None, "p2", "zzz-zzz-zzz")
    made.release("p2")
    made.release("p2")
    assert (made.places, made.has_joined, made.is_stranger) == ([], True, True)
    assert not session(ALICE).is_stranger
    assert made.caller("zzz-zzz-zzz", NOW) == Caller()


def test_sitting_in_one_room_while_waiting_in_another() -> None:
    """Section 4: a client leaves a room once the other has let it in, so that waiting costs it no seat."""
    here, there = seat(None), seat(None, "p2", OTHER)
    made = session(None, here)
    assert made.wait(there) == []
    assert (made.seat, made.waiting, made.places) == (here, there, [here, there])
    assert made.own_seat() == here
    assert made.caller("abc-def-ghi", NOW) == Caller("p1", 7)
    assert made.caller(OTHER, NOW) == Caller("p2", 7)
    assert made.sit(there) == [here]
    assert (made.seat, made.waiting) == (there, None)


def test_a_seat_in_a_third_room_leaves_both() -> None:
    """Section 4: a client sits in one room at most, and who sits waits no more elsewhere."""
    here, there, third = seat(None), seat(None, "p2", OTHER), seat(None, "p3", "mmm-mmm-mmm")
    made = session(None, here, there)
    assert made.sit(third) == [here, there]
    assert made.places == [third]


def test_waiting_elsewhere_leaves_one() -> None:
    """A client waits in one room at most; its seat stays."""
    here, there, third = seat(None), seat(None, "p2", OTHER), seat(None, "p3", "mmm-mmm-mmm")
    made = session(None, here, there)
    assert made.wait(there) == [], "the same place, taken anew"
    assert made.wait(third) == [there]
    assert made.places == [here, third]


def test_only_what_is_had_can_be_lost() -> None:
    """A place that is lost leaves the other one alone."""
    here, there = seat(None), seat(None, "p2", OTHER)
    made = session(None, here, there)
    made.release("p9")
    made.release("p2")
    assert made.places == [here]
    made.wait(there)
    made.release("p1")
    assert made.places == [there]


def test_a_place_in_a_queue_is_no_seat() -> None:
    """Section 8: those who wait are in no room; what needs a seat is refused with `not_in_room`."""
    made = session(None, None, seat(None))
    assert made.has_joined
    assert refusal(made.own_seat) == errors.NOT_IN_ROOM
    assert refusal(session().own_seat) == errors.NOT_IN_ROOM


def test_a_grant_is_for_its_room() -> None:
    """Section 2: an admin's token for one room gives host rights there, and none where its holder has a seat."""
    made = session(Identity("alice", "Alice", 1000.0, OTHER, is_admin=True), seat("alice"))
    assert [made.caller_by_seat(code).is_admin for code in ("abc-def-ghi", OTHER)] == [False, True]


def test_the_grants_of_one_room() -> None:
    """Section 2: a co-host and a hidden admin are so in the room of the token; what it says of its user goes along."""
    cohost = session(Identity("alice", "Alice", 1000.0, OTHER, is_cohost=True, metadata={"n": 1}), seat("alice"))
    hidden = session(Identity("alice", "Alice", 1000.0, OTHER, is_admin=True, is_hidden=True), seat("alice"))
    assert [cohost.caller_by_seat(code).is_cohost for code in ("abc-def-ghi", OTHER)] == [False, True]
    assert [hidden.caller_by_seat(code).is_hidden for code in ("abc-def-ghi", OTHER)] == [False, True]
    assert cohost.caller_by_seat(OTHER).metadata == {"n": 1}


def test_who_may_create_rooms() -> None:
    """Section 2: users whose token does not forbid it."""
    assert session(ALICE).creator(NOW) == ALICE
    made = session(msgspec.structs.replace(ALICE, may_create=False))
    assert refusal(lambda: made.creator(NOW)) == errors.NOT_ALLOWED
    assert made.user(NOW).user_id == "alice"


def test_a_seat_taken_anew_has_the_new_claim() -> None:
    """Section 4: a join again, or a resume, on the same connection: what is asked from then on has the new claim."""
    first, second = seat(None), seat(None, claim=8)
    made = session(None, first)
    assert made.sit(second) == []
    assert (made.seat, made.own_seat().claim) == (second, 8)
    assert made.caller("abc-def-ghi", NOW) == Caller("p1", 8)


def test_a_seat_taken_anew_keeps_the_place_in_another_queue() -> None:
    """Section 4: only another seat ends the waiting elsewhere."""
    here, there = seat(None), seat(None, "p2", OTHER)
    made = session(None, here, there)
    assert made.sit(seat(None, claim=8)) == []
    assert made.waiting == there


def test_what_an_expired_token_is_refused_with() -> None:
    """Section 7: `get-room` shows it as the admission; a seat outlives its token, and a guest has none."""
    late = session(ALICE).expiry(OTHER, LATE)
    assert late is not None
    assert late.kind == errors.UNAUTHENTICATED
    assert session(ALICE).expiry(OTHER, NOW) is None
    assert session(ALICE, seat("alice")).expiry("abc-def-ghi", LATE) is None
    assert session().expiry(OTHER, LATE) is None
