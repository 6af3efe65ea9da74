"""Hidden admins: there without a seat, unseen, and without a voice."""

from collections.abc import Callable

import msgspec
import pytest

from roomd.protocol import errors
from roomd.rooms import commands
from roomd.rooms.changes import Removal, SeatChanged
from roomd.rooms.invariants import broken_rules
from roomd.rooms.model import Caller
from roomd.rooms.room import Command, Room
from roomd.rooms.settings import Settings
from tests.support.rooms import (
    ADMITTED,
    HIDDEN,
    HOST,
    act,
    at,
    changed,
    do,
    full,
    join,
    lobby,
    meeting,
    new_room,
    refused,
    resume,
    settle,
    told,
)

SEEN = msgspec.structs.replace(HIDDEN, is_hidden=False)
"""The same admin, by a token that does not hide."""
BY_SEAT = Caller("p8", 8)
"""The same admin, without a token."""


def locked(a_room: Room) -> Room:
    """Have the host lock a room."""
    do(a_room, commands.UpdateRoom(HOST, Settings(is_locked=True)))
    return a_room


ROOMS: dict[str, Callable[[], Room]] = {
    "empty": new_room,
    "a meeting": meeting,
    "full, with a queue": full,
    "a waiting room": lobby,
    "full and locked": lambda: locked(full()),
}


def watched() -> Room:
    """A meeting in which a hidden admin is `p8`."""
    a_room = meeting()
    do(a_room, join(HIDDEN, "p8"))
    return a_room


def left(a_room: Room, command: Command[object], clock: float = 1) -> list[str]:
    """Have a command served, and return who has left then."""
    changes = [change for change in act(a_room, command, clock) if isinstance(change, SeatChanged)]
    return [change.seat.participant.id for change in changes if change.seat.participant.left_at is not None]


@pytest.mark.parametrize("make", ROOMS.values(), ids=ROOMS.keys())
def test_nobody_sees_a_hidden_admin(make: Callable[[], Room]) -> None:
    """No seat is needed, no lock and no waiting room holds, nothing is counted, and nothing is told."""
    a_room = make()
    before, view, people = a_room.checkpoint(), a_room.view(), a_room.participants()
    assert do(a_room, commands.GetRoom(HIDDEN)).admission == ADMITTED
    decision = a_room.decide(join(HIDDEN, "p8"), at(1, "p8"))
    changes = settle(a_room, decision.changes)
    assert (decision.answer.participant.is_hidden, decision.answer.participant.role) == (True, "cohost")
    assert changed(a_room, before, changes) == ([], [], [])
    assert (a_room.view(), a_room.participants(), dict(a_room.queue)) == (view, people, dict(before.queue))
    assert list(a_room.hidden) == ["p8"]
    assert not a_room.is_empty
    assert list(broken_rules(a_room)) == []
    listed = do(a_room, commands.ListParticipants(HOST, history=False)).participants
    assert "p8" not in [one.id for one in listed]


def test_others_are_seated_as_if_nobody_were_there() -> None:
    """A hidden admin takes no seat, whoever comes first."""
    a_room = new_room(max_participants=2)
    do(a_room, join(HIDDEN, "p8"))
    for number in (1, 2):
        do(a_room, join(Caller(None, number), f"p{number}"))
    assert refused(a_room, join(Caller(None, 3), "p3")) == errors.ROOM_FULL


def test_a_ban_holds_for_hidden_admins() -> None:
    """Who is banned does not come; who is there goes."""
    a_room = watched()
    changes = act(a_room, commands.BanPerson(HOST, "eve", None, None, None))
    assert told(changes) == {"p8": Removal(None)}
    assert refused(a_room, join(HIDDEN, "p8")) == errors.BANNED


def test_what_a_hidden_admin_may_do() -> None:
    """What a host does from outside, and reads what a host reads: no private messages of others."""
    a_room = watched()
    do(a_room, commands.UpdateRoom(BY_SEAT, Settings(is_locked=True)))
    assert do(a_room, commands.ListBans(BY_SEAT)) == []
    assert len(do(a_room, commands.ListParticipants(BY_SEAT, history=False)).participants) == 3
    reader = do(a_room, commands.ListMessages(BY_SEAT))
    assert (reader.participant_id, reader.user_id, reader.sees_public) == (None, "eve", True)
    do(a_room, commands.RemoveParticipant(BY_SEAT, "p2", ban=False, reason=None))
    assert list(a_room.seats) == ["p1", "p3"]


@pytest.mark.parametrize(
    ("command", "kind"),
    [
        (commands.SendMessage("p8", 8, "hello", None), errors.NOT_ALLOWED),
        (commands.UpdateState("p8", 8, {"muted": True}), errors.NOT_ALLOWED),
        (commands.SendMessage("p2", 3, "hello", "p8"), errors.PARTICIPANT_NOT_FOUND),
    ],
    ids=["a message", "a state", "a message to them"],
)
def test_a_hidden_admin_has_no_voice(command: Command[object], kind: errors.ErrorKind) -> None:
    """Neither messages nor state, and nobody writes to them."""
    assert refused(watched(), command) == kind


def test_a_hidden_place_is_left_dropped_and_resumed() -> None:
    """As a seat; the hold is that of a user."""
    a_room = watched()
    assert do(a_room, commands.Leave("p8", 8)).left_at is not None
    assert (list(a_room.hidden), a_room.place_of_user("eve")) == ([], None)
    a_room = watched()
    do(a_room, commands.Drop("p8", 8, 0), 10)
    assert [seat.participant.id for seat in a_room.held] == ["p3", "p8"]
    assert do(a_room, resume("p8", "t-p8", 9), 20).participant.is_hidden
    do(a_room, commands.Drop("p8", 9, 0), 30)
    assert left(a_room, commands.Expire(), 60) == ["p3", "p8"]
    assert a_room.place_of_user("eve") is None


def test_a_hidden_place_is_taken_over() -> None:
    """One place per user and room."""
    a_room = watched()
    again = msgspec.structs.replace(HIDDEN, claim=9)
    assert do(a_room, join(again, "p9")).participant.id == "p8"
    assert [seat.claim for seat in a_room.hidden.values()] == [9]


def test_a_room_that_ends_ends_for_hidden_admins() -> None:
    """Everyone leaves."""
    a_room = watched()
    assert left(a_room, commands.EndRoom(HOST)) == ["p1", "p2", "p3", "p8"]
    assert a_room.is_empty


def test_a_token_that_does_not_hide_ends_a_hidden_place() -> None:
    """Nobody is there unseen without the grant: the place is lost, and a join gives a seat, by its checks."""
    a_room = watched()
    here = msgspec.structs.replace(SEEN, seat_id="p8")
    changes = act(a_room, commands.Renew(here))
    assert (told(changes), list(a_room.hidden)) == ({"p8": Removal(None)}, [])
    a_room = watched()
    assert refused(a_room, resume("p8", "t-p8", 9, SEEN)) == errors.SEAT_EXPIRED
    assert refused(a_room, join(SEEN, "p9")) == errors.ROOM_FULL
    do(a_room, commands.Leave("p2", 3))
    before = a_room.checkpoint()
    changes = act(a_room, join(SEEN, "p9"))
    assert told(changes) == {"p8": Removal(None)}
    assert [one.id for one in changed(a_room, before, changes).joined] == ["p9"]
    assert (list(a_room.hidden), a_room.place_of_user("eve")) == ([], a_room.seats["p9"])


def test_who_has_a_seat_keeps_it_visibly() -> None:
    """Until they leave: a token that hides hides nobody who is seen."""
    a_room = new_room()
    do(a_room, join(SEEN, "p1"))
    assert not do(a_room, join(msgspec.structs.replace(HIDDEN, claim=9), "p2")).participant.is_hidden
    assert [one.id for one in a_room.participants()] == ["p1"]
