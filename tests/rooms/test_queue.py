"""The queue: the waiting room, waiting for a seat, and every way out of either."""

import pytest

from roomd.protocol import errors
from roomd.protocol.errors import ErrorKind, Refused
from roomd.protocol.objects import Waiting
from roomd.rooms import commands
from roomd.rooms.answers import ParticipantChanges
from roomd.rooms.changes import SeatChanged
from roomd.rooms.commands.joining import MOST_WAITING
from roomd.rooms.model import Caller
from roomd.rooms.room import Command, Decision
from roomd.rooms.seats import describe_queue
from roomd.rooms.settings import Settings
from tests.support.rooms import (
    ADMIN,
    ADMITTED,
    BOB,
    CAROL,
    GUEST,
    HOST,
    act,
    at,
    bob,
    changed,
    do,
    full,
    join,
    lobby,
    new_room,
    queue,
    refusal,
    refused,
    resume,
    settle,
    standing,
    take_over,
    told,
)

ROOMS = {"waiting_room": lobby, "room_full": full}
ENTER: dict[str, Command[object]] = {
    "waiting_room": commands.Admit(HOST, "p2"),
    "room_full": commands.Leave("p9", 9),
}
"""What lets Bob in."""

MOVES: dict[str, tuple[Command[object], float]] = {
    "join": (take_over("bob", 9), 20),
    "resume": (resume("p2", "t-p2", 9), 20),
    "leave": (commands.Leave("p2", 3), 20),
    "remove": (commands.RemoveParticipant(HOST, "p2", ban=False, reason=None), 20),
    "deny": (commands.Deny(HOST, "p2"), 20),
    "end": (commands.EndRoom(HOST), 20),
    "drop": (commands.Drop("p2", 3, 0), 10),
    "a drop by another claim": (commands.Drop("p2", 8, 0), 10),
    "too early to expire": (commands.Expire(), 39.9),
    "expire": (commands.Expire(), 40),
}

# what happens: from waiting, from waiting but dropped at 10
TABLE = {
    "join": ("waiting", "waiting"),
    "resume": ("waiting", "waiting"),
    "enter": ("connected", "held"),
    "leave": ("gone", "waiting, dropped"),
    "remove": ("gone", "gone"),
    "deny": ("gone", "gone"),
    "end": ("gone", "gone"),
    "drop": ("waiting, dropped", "waiting, dropped"),
    "a drop by another claim": ("waiting", "waiting, dropped"),
    "too early to expire": ("waiting", "waiting, dropped"),
    "expire": ("waiting", "gone"),
}


@pytest.mark.parametrize("reason", ["waiting_room", "room_full"])
@pytest.mark.parametrize(("move", "was", "then"), [
    (move, was, then) for move, thens in TABLE.items()
    for was, then in zip(("waiting", "waiting, dropped"), thens, strict=True)
])  # fmt: skip
def test_every_row_of_the_table(reason: str, was: str, move: str, then: str) -> None:
    """Section 8: every move of somebody who waits, whatever for, connected or dropped."""
    a_room = ROOMS[reason]()
    if was == "waiting, dropped":
        do(a_room, commands.Drop("p2", 3, 0), 10)
        assert a_room.deadline() == 40
    assert (standing(a_room, "p2"), list(a_room.queue)) == (was, ["p2", "p3", "p4"])
    command, clock = MOVES.get(move, (ENTER[reason], 20))
    if (move, was) == ("leave", "waiting, dropped"):
        assert refused(a_room, command, clock) == errors.NOT_IN_ROOM
    else:
        do(a_room, command, clock)
    assert standing(a_room, "p2") == then
    if then.startswith("waiting"):
        assert list(a_room.queue) == ["p2", "p3", "p4"], "the place in the queue stays"
        taken = move in ("join", "resume")
        seat = a_room.queue["p2"]
        assert seat.resume_hash == ("next" if taken else "t-p2")
        assert seat.claim == (9 if taken else None if then == "waiting, dropped" else 3)
    assert (a_room.deadline() == 40) == (then in ("waiting, dropped", "held")), "a hold runs on from the drop"


@pytest.mark.parametrize("reason", ["waiting_room", "room_full"])
def test_a_join_that_waits(reason: str) -> None:
    """Section 8: it is answered `waiting`, holds no seat, and hosts see it with its position and reason."""
    a_room = ROOMS[reason]()
    place = do(a_room, join(BOB, "x"), 20)
    assert (place.participant, place.waits_for) == (bob("p2"), reason)
    assert a_room.view().participant_count == len(a_room.seats) == (1 if reason == "waiting_room" else 2)
    do(a_room, commands.Drop("p3", 4, 0), 10)
    assert describe_queue(a_room.queue)[:2] == [
        Waiting(
            participant_id="p2", user_id="bob", guest_name=None, display_name="Bob", is_active=True, position=1,
            reason=reason, waiting_since=at(1).stamp,
        ),
        Waiting(
            participant_id="p3", user_id=None, guest_name="guest p3", display_name="guest p3", is_active=False,
            position=2, reason=reason, waiting_since=at(1).stamp,
        ),
    ]  # fmt: skip
    do(a_room, commands.Leave("p2", 3), 30)
    assert [(one.participant_id, one.position) for one in describe_queue(a_room.queue)] == [("p3", 1), ("p4", 2)]


def test_first_come_first_served() -> None:
    """Section 8: seats that come free go to the longest waiting, one each, and nobody overtakes."""
    a_room = full()
    for who, key, clock in ((Caller(None, 9), "p9", 10), (BOB, "p2", 20), (GUEST, "p3", 30)):
        before, changes = a_room.checkpoint(), act(a_room, commands.Leave(key, who.claim or 0), clock)
        [sitter] = changed(a_room, before, changes).joined
        assert (sitter.id, sitter.joined_at) == (next(iter(before.queue)), at(clock).stamp)
        assert not told(changes)
    assert (queue(a_room), list(a_room.seats)) == ({}, ["p1", "p4"])


def test_who_would_not_wait_is_refused() -> None:
    """Sections 4 and 8: without `wait`, full is full, whoever asks; with it, a free seat is taken all the same."""
    assert do(new_room(), join(BOB, "p1", wait=True)).waits_for is None
    a_room = full()
    for caller in (Caller(None, 7), ADMIN):
        assert refused(a_room, join(caller, "p7")) == errors.ROOM_FULL
        assert do(a_room, commands.GetRoom(caller)).admission == refusal(errors.ROOM_FULL)
    assert do(a_room, commands.GetRoom(BOB)).admission == ADMITTED, "the place in the queue is taken over"


@pytest.mark.parametrize("who", [HOST, ADMIN])
def test_hosts_need_not_wait_for_the_host(who: Caller) -> None:
    """Section 8: hosts and admins pass the waiting room, and wait for seats like everybody else."""
    a_room = new_room(waiting_room=True, max_participants=2)
    do(a_room, join(BOB, "p2"))
    assert do(a_room, join(who, "p1")).waits_for is None
    do(a_room, commands.Admit(ADMIN, "p2"))
    other = HOST if who is ADMIN else ADMIN
    assert refused(a_room, join(other, "p3")) == errors.ROOM_FULL
    assert do(a_room, join(other, "p3", wait=True)).waits_for == "room_full"
    assert queue(a_room) == {"p3": "room_full"}
    do(a_room, commands.Leave("p2", 3))
    assert standing(a_room, "p3") == "connected"


def test_who_meets_both_waits_once() -> None:
    """Section 8: first for the host and then, at the same place in the queue, for a seat."""
    a_room = full(waiting_room=True, max_participants=3)
    do(a_room, commands.Admit(ADMIN, "p9"))
    do(a_room, commands.UpdateRoom(HOST, Settings(max_participants=2)))
    assert queue(a_room) == {"p2": "waiting_room", "p3": "waiting_room", "p4": "waiting_room"}
    assert refused(a_room, join(Caller(None, 7), "p7")) == errors.ROOM_FULL
    assert not told(act(a_room, commands.Admit(HOST, "p3")))
    assert queue(a_room) == {"p2": "waiting_room", "p3": "room_full", "p4": "waiting_room"}
    assert not act(a_room, commands.Admit(HOST, "p3")), "it is admitted already"
    do(a_room, commands.Admit(HOST, "p2"))
    assert queue(a_room) == {"p2": "room_full", "p3": "room_full", "p4": "waiting_room"}
    do(a_room, commands.Leave("p9", 9))
    assert standing(a_room, "p2") == "connected", "first among those who need nothing else"
    do(a_room, commands.Leave("p2", 3))
    assert standing(a_room, "p3") == "connected"
    do(a_room, commands.Leave("p3", 4))
    assert queue(a_room) == {"p4": "waiting_room"}, "the host has not let her in"


def test_hosts_admit_in_any_order() -> None:
    """Section 8: one by one in any order, and the rest in the order they came while seats last."""
    a_room = lobby()
    do(a_room, commands.Admit(HOST, "p4"), 20)
    assert (list(a_room.seats), queue(a_room)) == (["p1", "p4"], {"p2": "waiting_room", "p3": "waiting_room"})
    assert a_room.seats["p4"].participant.joined_at == at(20).stamp
    assert not told(act(a_room, commands.Admit(ADMIN, None)))
    assert (list(a_room.seats), queue(a_room)) == (["p1", "p4", "p2"], {"p3": "room_full"})
    for gone in ("p4", "p9"):
        assert refused(a_room, commands.Admit(HOST, gone)) == errors.PARTICIPANT_NOT_FOUND


def test_admitting_all_who_wait_for_a_seat_already_changes_nothing() -> None:
    """Section 8: `admit-all` is about those who wait for the host, and is fine when there are none."""
    assert act(full(), commands.Admit(HOST, None)) == []
    assert new_room().decide(commands.Admit(HOST, None), at(1)) == Decision([], None)


def test_admitting_nobody_by_name() -> None:
    """Section 8: `admit-participant` is about one participant, and nobody has the empty id."""
    assert refused(lobby(), commands.Admit(HOST, "")) == errors.PARTICIPANT_NOT_FOUND


def test_admitting_into_a_locked_room() -> None:
    """Section 8: the host decides while there are seats; a locked room has no queue for them."""
    a_room = lobby(max_participants=2)
    do(a_room, commands.UpdateRoom(HOST, Settings(is_locked=True)))
    do(a_room, commands.Admit(HOST, "p3"))
    assert standing(a_room, "p3") == "connected"
    assert refused(a_room, commands.Admit(HOST, "p2")) == errors.ROOM_FULL
    assert act(a_room, commands.Admit(HOST, None)) == []
    assert queue(a_room) == {"p2": "waiting_room", "p4": "waiting_room"}
    do(a_room, commands.Leave("p3", 4))
    assert not told(act(a_room, commands.Admit(HOST, None)))
    assert (standing(a_room, "p2"), queue(a_room)) == ("connected", {"p4": "waiting_room"})


@pytest.mark.parametrize("reason", ["waiting_room", "room_full"])
@pytest.mark.parametrize(
    "command", [commands.Deny(HOST, "p3"), commands.RemoveParticipant(HOST, "p3", ban=False, reason="spam")]
)
def test_the_host_declines(reason: str, command: Command[object]) -> None:
    """Section 8: whoever waits is told 403 `denied`; the others move up, and no `leftAt` is told to anybody."""
    a_room = ROOMS[reason]()
    before, changes = a_room.checkpoint(), act(a_room, command, 20)
    assert told(changes) == {"p3": errors.DENIED}
    assert list(a_room.queue) == ["p2", "p4"]
    assert changed(a_room, before, changes) == ParticipantChanges([], [], [])
    once_more: list[Command[object]] = [command, commands.Deny(HOST, "p1")]
    for again in once_more:
        assert refused(a_room, again) == errors.PARTICIPANT_NOT_FOUND


ALL = ("p2", "p3", "p4")
LOBBY, FULL = dict.fromkeys(ALL, "waiting_room"), dict.fromkeys(ALL, "room_full")
NO_GUESTS = {"p3": errors.GUESTS_NOT_ALLOWED}
LOCKED = dict.fromkeys(ALL, errors.ROOM_LOCKED)

# room, settings that change, who is told what, who still waits for what, who sits now
CHANGES: dict[str, tuple[str, Settings, dict[str, ErrorKind], dict[str, str], set[str]]] = {
    "locked, a lobby": ("waiting_room", Settings(is_locked=True), {}, LOBBY, set()),
    "locked, a full room": ("room_full", Settings(is_locked=True), LOCKED, {}, set()),
    "locked, no lobby any more": ("waiting_room", Settings(is_locked=True, waiting_room=False), LOCKED, {}, set()),
    "no guests, a lobby": ("waiting_room", Settings(allow_guest_access=False), NO_GUESTS,
                           {"p2": "waiting_room", "p4": "waiting_room"}, set()),
    "no guests, a full room": ("room_full", Settings(allow_guest_access=False), NO_GUESTS,
                               {"p2": "room_full", "p4": "room_full"}, set()),
    "no guests, and locked": ("room_full", Settings(allow_guest_access=False, is_locked=True), LOCKED | NO_GUESTS,
                              {}, set()),
    "no guests, no lobby any more": ("waiting_room", Settings(allow_guest_access=False, waiting_room=False), NO_GUESTS,
                                     {}, {"p2", "p4"}),
    "no lobby any more": ("waiting_room", Settings(waiting_room=False), {}, {"p4": "room_full"}, {"p2", "p3"}),
    "a lobby now": ("room_full", Settings(waiting_room=True), {}, FULL, set()),
    "a seat more": ("room_full", Settings(max_participants=3), {}, {"p3": "room_full", "p4": "room_full"}, {"p2"}),
    "seats for all": ("room_full", Settings(max_participants=9), {}, {}, set(ALL)),
    "seats for all, a lobby": ("waiting_room", Settings(max_participants=9), {}, LOBBY, set()),
    "fewer seats, no lobby any more": ("waiting_room", Settings(max_participants=2, waiting_room=False), {},
                                       {"p3": "room_full", "p4": "room_full"}, {"p2"}),
}  # fmt: skip


@pytest.mark.parametrize(("reason", "settings", "gone", "still", "seated"), CHANGES.values(), ids=CHANGES.keys())
def test_the_settings_change_while_people_wait(
    reason: str, settings: Settings, gone: dict[str, ErrorKind], still: dict[str, str], seated: set[str]
) -> None:
    """Section 8: every way out is told, and who need not wait any more sits, in the order they came."""
    a_room = ROOMS[reason]()
    sat = set(a_room.seats)
    assert told(act(a_room, commands.UpdateRoom(HOST, settings))) == gone
    assert (queue(a_room), set(a_room.seats) - sat) == (still, seated)


def test_an_end_tells_everybody_who_waits() -> None:
    """Section 8: 400 `room_inactive` when the room ends."""
    for a_room in (lobby(), full()):
        assert told(act(a_room, commands.EndRoom(HOST))) == dict.fromkeys(ALL, errors.ROOM_INACTIVE)
        assert (a_room.queue, a_room.seats, a_room.deadline()) == ({}, {}, None)


def test_a_place_becomes_a_held_seat_while_its_connection_is_lost() -> None:
    """Section 8: the resume token takes the seat it has become meanwhile; its hold runs on from the drop."""
    a_room = full()
    do(a_room, commands.Drop("p2", 3, 0), 10)
    do(a_room, commands.Leave("p9", 9), 25)
    held = a_room.seats["p2"]
    assert (held.participant.joined_at, held.participant.is_active, held.held_until) == (at(25).stamp, False, 40)
    back = do(a_room, resume("p2", "t-p2", 11), 30).participant
    assert (back.id, back.is_active, back.joined_at) == ("p2", True, at(25).stamp)


def test_a_held_seat_that_was_never_sat_in_goes_to_the_next() -> None:
    """Section 8: when the hold runs out the next in line sits; `leftAt` is never before `joinedAt`."""
    a_room = full()
    do(a_room, commands.Drop("p2", 3, 0), 10)
    do(a_room, commands.Leave("p9", 9), 25)
    before, changes = a_room.checkpoint(), act(a_room, commands.Expire(), 40)
    [joined], _, [left] = changed(a_room, before, changes)
    assert (left.id, left.joined_at, left.left_at) == ("p2", at(25).stamp, at(25).stamp)
    assert (joined.id, joined.joined_at) == ("p3", at(40).stamp)


def test_a_drop_that_comes_late_finds_a_seat() -> None:
    """Section 8: a drop waited for its batch while the place became a seat; nobody leaves before they joined."""
    a_room = full()
    do(a_room, commands.Leave("p9", 9), 25)
    do(a_room, commands.Drop("p2", 3, 1), 25)
    do(a_room, commands.Expire(), 53.9)
    assert standing(a_room, "p2") == "held"
    [gone] = a_room.decide(commands.Expire(), at(54)).changes
    assert isinstance(gone, SeatChanged)
    assert gone.seat.participant.left_at == gone.seat.participant.joined_at == at(25).stamp


def test_a_place_and_a_seat_that_run_out_together() -> None:
    """Section 5: whose hold has run out is gone before anybody sits."""
    a_room = full()
    do(a_room, commands.Drop("p9", 9, 0), 10)
    do(a_room, commands.Drop("p2", 3, 0), 10)
    assert not told(act(a_room, commands.Expire(), 40))
    assert (standing(a_room, "p2"), standing(a_room, "p3"), queue(a_room)) == ("gone", "connected", {"p4": "room_full"})


@pytest.mark.parametrize("reason", ["waiting_room", "room_full"])
def test_a_place_is_taken_over_like_a_seat(reason: str) -> None:
    """Section 8: one place per user, in locked rooms too; the claim of before has no place; a token serves once."""
    a_room = ROOMS[reason]()
    do(a_room, commands.UpdateRoom(HOST, Settings(is_locked=reason == "waiting_room")))
    assert do(a_room, take_over("bob", 8, "h")).waits_for == reason
    assert list(a_room.queue) == ["p2", "p3", "p4"]
    assert refused(a_room, commands.Leave("p2", 3)) == errors.NOT_IN_ROOM
    assert a_room.decide(commands.Drop("p2", 3, 0), at(1)).changes == []
    assert refused(a_room, resume("p2", "t-p2", 9)) == errors.TAKEN_OVER
    assert refused(a_room, resume("p2", "h", 9, CAROL)) == errors.WRONG_USER
    assert refused(a_room, resume("p3", "t-p3", 9, CAROL)) == errors.WRONG_USER
    assert do(a_room, resume("p2", "h", 9)) == a_room.queue["p2"]
    assert (a_room.queue["p2"].claim, a_room.queue["p2"].waits_for) == (9, reason)


def test_a_guest_waits_by_their_connection_alone() -> None:
    """Sections 4 and 8: a second join on the same connection is the same place; another guest is another."""
    a_room = lobby()
    assert do(a_room, join(Caller("p3", 4), "x", "Other")).participant.id == "p3"
    assert do(a_room, join(Caller("p3", 6), "p5", "guest p3")).participant.id == "p5"
    assert list(a_room.queue) == ["p2", "p3", "p4", "p5"]


def test_leaving_the_queue() -> None:
    """Section 8: `leave-room` gives the place up: `participant` with `leftAt`; those with a seat are told nothing."""
    a_room = lobby()
    before = a_room.checkpoint()
    decision = a_room.decide(commands.Leave("p2", 3), at(20))
    changes = settle(a_room, decision.changes, 20)
    assert (decision.answer.id, decision.answer.left_at, decision.answer.is_active) == ("p2", at(20).stamp, False)
    assert (told(changes), changed(a_room, before, changes)) == ({}, ParticipantChanges([], [], []))
    assert do(a_room, join(BOB, "p7")).participant.id == "p7", "a new place, at the end"
    assert list(a_room.queue) == ["p3", "p4", "p7"]


@pytest.mark.parametrize("waiting_room", [True, False])
def test_a_hundred_wait(waiting_room: bool) -> None:
    """Section 8: the next is refused with 400 `room_full`, until a place comes free; who waits already stays."""
    a_room = new_room(waiting_room=waiting_room, max_participants=2)
    do(a_room, join(HOST, "h"))
    do(a_room, join(BOB, "b"))
    for number in range(MOST_WAITING - waiting_room):
        do(a_room, join(Caller(None, 100 + number, f"u{number}"), f"p{number}", wait=True))
    assert len(a_room.queue) == 100
    with pytest.raises(Refused) as caught:
        a_room.decide(join(CAROL, "c", wait=True), at(1))
    assert (caught.value.kind, caught.value.message) == (errors.ROOM_FULL, "100 people wait already")
    assert do(a_room, commands.GetRoom(CAROL)).admission == refusal(
        errors.ROOM_FULL, "100 people wait already" if waiting_room else None
    )
    assert do(a_room, join(Caller("p7", 107, "u7"), "x", wait=True)).participant.id == "p7"
    if waiting_room:
        assert do(a_room, join(ADMIN, "a")).waits_for is None, "a seat is free, and an admin needs no admission"
    do(a_room, commands.Leave("p7", 107))
    assert do(a_room, join(CAROL, "c", wait=True)).waits_for == ("waiting_room" if waiting_room else "room_full")
    assert list(a_room.queue)[-1] == "c"
