"""One room: who may take a seat, and every move of a seat."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from roomd.protocol import errors
from roomd.protocol.errors import ErrorKind, Refused
from roomd.protocol.objects import Participant
from roomd.protocol.objects import Room as View
from roomd.rooms import commands
from roomd.rooms.answers import ParticipantChanges
from roomd.rooms.changes import Change, RoomChanged, SeatChanged
from roomd.rooms.model import Caller, Moment, Seat, StoredRoom
from roomd.rooms.room import Command, Room
from roomd.rooms.settings import Rules, Settings, open_room
from tests.support.rooms import (
    ADMIN,
    ADMITTED,
    BOB,
    GUEST,
    HOST,
    RULES,
    act,
    at,
    bob,
    changed,
    do,
    join,
    new_room,
    refusal,
    refused,
    resume,
    someone,
    take_over,
)


def test_a_join_makes_the_participant() -> None:
    """Section 3: a guest has a guestName and no userId, a user the other way round; only the host's id is host."""
    a_room = new_room()
    assert do(a_room, join(GUEST, "p1", "Jane"), 1).participant == Participant(
        id="p1", room_id="room", user_id=None, guest_name="Jane", is_active=True, is_host=False,
        joined_at=at(1).stamp, left_at=None, display_name="Jane",
    )  # fmt: skip
    assert do(a_room, join(HOST, "p2"), 2).participant == Participant(
        id="p2", room_id="room", user_id="alice", guest_name=None, is_active=True, is_host=True,
        joined_at=at(2).stamp, left_at=None, display_name="Alice", role="host",
    )  # fmt: skip
    assert do(a_room, join(ADMIN, "p3"), 3).participant.is_host is False
    assert a_room.view().participant_count == 3


CHECKS: list[tuple[str, dict[str, Any], int, Caller, ErrorKind | None]] = [
    ("open", {}, 0, GUEST, None),
    ("ended", {"is_active": False}, 0, HOST, errors.ROOM_INACTIVE),
    ("ended wins", {"is_active": False, "allow_guest_access": False}, 0, GUEST, errors.ROOM_INACTIVE),
    ("ended wins over a ban", {"is_active": False, "banned": ["bob"]}, 0, BOB, errors.ROOM_INACTIVE),
    ("banned", {"banned": ["bob"]}, 0, BOB, errors.BANNED),
    ("banned wins", {"banned": ["bob"], "allow_guest_access": False, "is_locked": True}, 3, BOB, errors.BANNED),
    ("banned by an admin, the host", {"banned": ["alice"]}, 0, HOST, errors.BANNED),
    ("banned, somebody else", {"banned": ["carol"]}, 0, BOB, None),
    ("banned, a guest has no user id", {"banned": ["bob"]}, 0, GUEST, None),
    ("no guests", {"allow_guest_access": False}, 0, GUEST, errors.GUESTS_NOT_ALLOWED),
    ("no guests, a user", {"allow_guest_access": False}, 0, BOB, None),
    ("no guests wins", {"allow_guest_access": False, "is_locked": True}, 0, GUEST, errors.GUESTS_NOT_ALLOWED),
    ("locked", {"is_locked": True}, 0, BOB, errors.ROOM_LOCKED),
    ("locked, the host", {"is_locked": True}, 0, HOST, None),
    ("locked, an admin", {"is_locked": True}, 0, ADMIN, None),
    ("locked wins", {"is_locked": True}, 3, BOB, errors.ROOM_LOCKED),
    ("full", {}, 3, BOB, errors.ROOM_FULL),
    ("full, an admin", {}, 3, ADMIN, errors.ROOM_FULL),
    ("one seat left", {}, 2, BOB, None),
]


@pytest.mark.parametrize(("state", "taken", "who", "kind"), [c[1:] for c in CHECKS], ids=[c[0] for c in CHECKS])
def test_checks_in_the_order_of_the_table(
    state: dict[str, Any], taken: int, who: Caller, kind: ErrorKind | None
) -> None:
    """Section 4: the first check that fails is the answer; `get-room` foretells it."""
    a_room = new_room(**state)
    for number in range(taken):
        a_room.apply(SeatChanged(Seat(someone(f"s{number}"), "h", 100 + number)))
    foretold = do(a_room, commands.GetRoom(who)).admission
    if kind is None:
        assert foretold == ADMITTED
        assert do(a_room, join(who, "new")).participant.id == "new"
    else:
        assert foretold == refusal(kind)
        assert refused(a_room, join(who, "new")) == kind


def seated(state: str) -> Room:
    """A full, locked room in which Bob's seat `p1` is connected with the claim 3, or held since 10:00:10."""
    a_room = new_room()
    do(a_room, join(BOB, "p1"))
    do(a_room, join(GUEST, "p2"))
    do(a_room, join(HOST, "p3"))
    do(a_room, commands.UpdateRoom(HOST, Settings(is_locked=True)))
    if state == "held":
        do(a_room, commands.Drop("p1", 3, 0), 10)
    return a_room


@pytest.mark.parametrize("state", ["connected", "held"])
def test_a_user_takes_over_their_seat(state: str) -> None:
    """Section 4: a user who joins again has the same id and joinedAt, full and locked rooms included."""
    a_room = seated(state)
    again = do(a_room, take_over("bob", 9, "new hash"), 20)
    assert again == Seat(bob("p1"), "new hash", 9, here_since=1)
    assert a_room.seats["p1"].claim == 9
    assert a_room.seats["p1"].resume_hash == "new hash"
    assert a_room.view().participant_count == 3
    assert a_room.deadline() is None


def test_a_guest_is_known_by_their_connection_alone() -> None:
    """Section 4: guests are never matched by name; a second join on the same connection is the same participant."""
    a_room = new_room(max_participants=2)
    first = do(a_room, join(GUEST, "p1", "Jane"))
    assert do(a_room, join(Caller(None, 5), "p2", "Jane")).participant.id == "p2"
    assert do(a_room, join(Caller("p1", 4), "p3", "Other")).participant == first.participant
    assert refused(a_room, join(Caller("p1", 6), "p3", "Jane")) == errors.ROOM_FULL


@pytest.mark.parametrize("state", ["connected", "held"])
def test_resume_takes_the_seat_back(state: str) -> None:
    """Section 5: the same id and joinedAt, a new token; the one presented is the previous one then."""
    a_room = seated(state)
    assert do(a_room, resume("p1", "t-p1", 9), 20) == Seat(bob("p1"), "next", 9, previous_hash="t-p1", here_since=1)
    assert a_room.seats["p1"].claim == 9
    assert do(a_room, resume("p1", "next", 10, then="x"), 20) == Seat(
        bob("p1"), "x", 10, previous_hash="next", here_since=1
    )
    assert refused(a_room, resume("p1", "t-p1", 9), 20) == errors.TAKEN_OVER


RESUMES = [
    ("unknown seat", resume("p9", "t-p1", 9), errors.SEAT_EXPIRED),
    ("wrong token", resume("p1", "t-p2", 9), errors.TAKEN_OVER),
    ("another user", resume("p1", "t-p1", 9, HOST), errors.WRONG_USER),
    ("a user for a guest's seat", resume("p2", "t-p2", 9, BOB), errors.WRONG_USER),
]


@pytest.mark.parametrize(("command", "kind"), [c[1:] for c in RESUMES], ids=[c[0] for c in RESUMES])
def test_resume_is_refused(command: commands.Resume, kind: ErrorKind) -> None:
    """Section 5 and 2: 410 without a seat, 409 with another token than its two, 403 for somebody else's seat."""
    assert refused(seated("held"), command) == kind


def test_leave_gives_the_seat_up_at_once() -> None:
    """Section 5: `leftAt` is now, the seat is free, and the token is worth nothing."""
    a_room = seated("connected")
    left = do(a_room, commands.Leave("p1", 3), 15)
    assert left == msgspec.structs.replace(bob("p1"), is_active=False, left_at=at(15).stamp)
    assert a_room.view().participant_count == 2
    assert refused(a_room, commands.Leave("p1", 3)) == errors.NOT_IN_ROOM
    assert refused(a_room, resume("p1", "t-p1", 9, BOB)) == errors.SEAT_EXPIRED
    assert refused(a_room, join(BOB, "p4")) == errors.ROOM_LOCKED


@pytest.mark.parametrize("command", [commands.Leave("p1", 3), commands.Drop("p1", 3, 0)], ids=["leave", "drop"])
def test_who_lost_the_seat_cannot_touch_it(command: Command[object]) -> None:
    """Late cleanup compares claims: a connection whose seat was taken over changes nothing by the claim of before."""
    a_room = seated("connected")
    do(a_room, take_over("bob", 9), 20)
    before = a_room.checkpoint()
    if isinstance(command, commands.Drop):
        assert a_room.decide(command, at(30)).changes == []
    else:
        assert refused(a_room, command) == errors.NOT_IN_ROOM
    assert a_room.checkpoint() == before


def test_a_dropped_seat_is_held_and_then_left_as_of_the_drop() -> None:
    """Section 5: held for `seat_hold` from the drop on; `leftAt` is when the connection dropped."""
    a_room = seated("held")
    assert a_room.seats["p1"].participant == msgspec.structs.replace(bob("p1"), is_active=False)
    assert a_room.deadline() == 40
    do(a_room, commands.Drop("p2", 4, 0), 32)
    do(a_room, commands.Expire(), 39.9)
    assert set(a_room.seats) == {"p1", "p2", "p3"}
    before = a_room.checkpoint()
    changes = a_room.decide(commands.Expire(), at(40)).changes
    for change in changes:
        a_room.apply(change)
    left = msgspec.structs.replace(bob("p1"), is_active=False, left_at=at(10).stamp)
    assert changed(a_room, before, changes) == ParticipantChanges([], [], [left])
    assert a_room.deadline() == 62


def test_a_drop_that_comes_late_is_due_in_time() -> None:
    """A drop that waited for storage: its hold runs from when the connection was lost, and may end before others."""
    a_room = seated("connected")
    do(a_room, commands.Drop("p2", 4, 0), 31)
    do(a_room, commands.Drop("p1", 3, 15), 35)
    assert (a_room.seats["p1"].dropped_at, a_room.deadline()) == (at(20).stamp, 50)
    do(a_room, commands.Expire(), 50)
    assert (set(a_room.seats), a_room.deadline()) == ({"p2", "p3"}, 61)


def test_an_end_leaves_every_seat() -> None:
    """Section 7: every seat is left, held ones as of their drop; an ended room takes nobody and no changes."""
    a_room = seated("held")
    before = a_room.checkpoint()
    decision = a_room.decide(commands.EndRoom(HOST), at(20))
    for change in decision.changes:
        a_room.apply(change)
    left = {p.id: p.left_at for p in changed(a_room, before, decision.changes).left}
    assert left == {"p1": at(10).stamp, "p2": at(20).stamp, "p3": at(20).stamp}
    assert decision.answer == a_room.view()
    view = a_room.view()
    assert (view.is_active, view.ended_at, view.participant_count) == (False, at(20).stamp, 0)
    assert a_room.deadline() is None
    late: list[Command[object]] = [
        commands.EndRoom(HOST),
        commands.UpdateRoom(HOST, Settings(name="x")),
        join(HOST, "p9"),
    ]
    for command in late:
        assert refused(a_room, command) == errors.ROOM_INACTIVE
    assert refused(a_room, resume("p1", "t-p1", 9)) == errors.SEAT_EXPIRED


HOSTS_ONLY: dict[str, Callable[[Caller], Command[object]]] = {
    "end": commands.EndRoom,
    "update": lambda who: commands.UpdateRoom(who, Settings()),
    "list who was there": lambda who: commands.ListParticipants(who, history=True),
    "remove": lambda who: commands.RemoveParticipant(who, "p1", ban=False, reason=None),
    "mute": lambda who: commands.CheckMute(who, "p1"),
    "list bans": commands.ListBans,
    "unban": lambda who: commands.Unban(who, "carol"),
    "admit": lambda who: commands.Admit(who, "p9"),
    "admit all": lambda who: commands.Admit(who, None),
    "deny": lambda who: commands.Deny(who, "p9"),
}


@pytest.mark.parametrize("who", [GUEST, BOB, Caller("p9", 5)])
@pytest.mark.parametrize("command", HOSTS_ONLY.values(), ids=HOSTS_ONLY.keys())
def test_only_the_host(who: Caller, command: Callable[[Caller], Command[object]]) -> None:
    """Sections 7 and 8: 403 `not_host` for everybody else, participants or not; admins have host rights."""
    a_room = new_room(banned=["carol"], waiting_room=True)
    a_room.apply(SeatChanged(Seat(bob("p1"), "h", 3)))
    a_room.apply(SeatChanged(Seat(someone("p9"), "h", 5, waits_for="waiting_room")))
    assert refused(a_room, command(who)) == errors.NOT_HOST
    for host in (ADMIN, HOST):
        a_room.decide(command(host), at(1))  # is not refused


SETTINGS: list[tuple[Settings, dict[str, Any] | str]] = [
    (Settings(), {}),
    (Settings(name="  Caf\u0065\u0301 "), {"name": "Café"}),
    (Settings(name="x" * 100), {"name": "x" * 100}),
    (Settings(name="x" * 101), "name must be 1 to 100 printable characters"),
    (Settings(name=" "), "name must be 1 to 100 printable characters"),
    (Settings(max_participants=2), {"max_participants": 2}),
    (Settings(max_participants=1000), {"max_participants": 1000}),
    (Settings(max_participants=1), "maxParticipants must be 2 to 1000"),
    (Settings(max_participants=1001), "maxParticipants must be 2 to 1000"),
    (Settings(waiting_room=True), {"waiting_room": True}),
    (Settings(waiting_room=False), {}),
    (Settings(is_locked=True, allow_guest_access=False), {"is_locked": True, "allow_guest_access": False}),
]


@pytest.mark.parametrize(("settings", "outcome"), SETTINGS)
def test_settings(settings: Settings, outcome: dict[str, Any] | str) -> None:
    """Section 7: only what is present changes; what is out of bounds changes nothing; no change is kept."""
    a_room = new_room()
    if isinstance(outcome, str):
        with pytest.raises(Refused) as caught:
            a_room.decide(commands.UpdateRoom(HOST, settings), at(1))
        assert (caught.value.kind, caught.value.message) == (errors.INVALID_SETTINGS, outcome)
        return
    before = a_room.view()
    decision = a_room.decide(commands.UpdateRoom(HOST, settings), at(1))
    after = msgspec.structs.replace(before, **outcome)
    assert decision.answer == after
    assert decision.changes == ([RoomChanged(after)] if outcome else [])


def test_lowering_the_maximum_removes_nobody() -> None:
    """Section 7: who sits stays; the next one is told the room is full."""
    a_room = seated("connected")
    do(a_room, commands.UpdateRoom(HOST, Settings(max_participants=2, is_locked=False)))
    assert a_room.view().participant_count == 3
    do(a_room, commands.Leave("p2", 4))
    assert refused(a_room, join(GUEST, "p4")) == errors.ROOM_FULL


def test_a_new_room_has_the_defaults() -> None:
    """Section 7: a hundred seats unless the server allows fewer; open, unlocked, guests welcome."""
    view = open_room(Settings(), RULES, room_id="r", code="abc-def-ghi", host_id="alice", created_at="now")
    assert view == View(
        id="r", code="abc-def-ghi", name="Meeting", host_id="alice", is_active=True, is_locked=False,
        max_participants=100, allow_guest_access=True, waiting_room=False, history_visible="all", participant_count=0,
        created_at="now", ended_at=None,
    )  # fmt: skip
    small = open_room(Settings(), Rules(30, 20), room_id="r", code="c", host_id="a", created_at="now")
    assert small.max_participants == 20


def test_who_may_see_who_is_there() -> None:
    """Section 7: participants by their connection or their user id, and the host; nobody else."""
    a_room = seated("connected")
    for caller in (Caller("p2", 4), Caller(user_id="bob"), HOST, ADMIN):
        assert [p.id for p in do(a_room, commands.ListParticipants(caller, history=False)).participants] == [
            "p1",
            "p2",
            "p3",
        ]
    for caller in (GUEST, Caller("p2", 5), Caller("gone", 5), Caller(user_id="carol")):
        assert refused(a_room, commands.ListParticipants(caller, history=False)) == errors.NOT_IN_ROOM


def test_the_net_effect_of_many_changes() -> None:
    """Section 6: a participant stands in at most one list; what cancels out is not told."""
    a_room = seated("connected")
    before = a_room.checkpoint()
    changes: list[Change] = []
    moves: list[Command[object]] = [
        commands.UpdateRoom(HOST, Settings(is_locked=False, max_participants=9)),
        join(Caller(None, 7), "came and went"),
        commands.Leave("came and went", 7),
        join(Caller(None, 8), "came and dropped"),
        commands.Drop("came and dropped", 8, 1),
        commands.Drop("p1", 3, 1),
        take_over("bob", 9),
        commands.Drop("p2", 4, 1),
        commands.Leave("p3", 1),
    ]
    for command in moves:
        changes += act(a_room, command, 6)
    joined, updated, left = changed(a_room, before, changes)
    assert [(p.id, p.is_active) for p in joined] == [("came and dropped", False)]
    assert [(p.id, p.is_active) for p in updated] == [("p2", False)]
    assert [p.id for p in left] == ["p3"]


def test_a_room_is_made_of_its_seats() -> None:
    """After a restart the room is as storage has it, every seat held."""
    held = Seat(msgspec.structs.replace(bob("p1"), is_active=False), "h", None, at(10).stamp, 70.0)
    a_room = Room(StoredRoom(new_room().view(), [held]), RULES)
    assert (a_room.view().participant_count, a_room.deadline()) == (1, 70.0)
    assert do(a_room, resume("p1", "h", 9, BOB)).participant == bob("p1")


def test_a_checkpoint_brings_everything_back() -> None:
    """A batch that could not be kept has changed nothing."""
    a_room = seated("held")
    before, deadline = a_room.checkpoint(), a_room.deadline()
    do(a_room, resume("p1", "t-p1", 9))
    do(a_room, commands.EndRoom(HOST))
    a_room.restore(before)
    assert (a_room.checkpoint(), a_room.deadline()) == (before, deadline)
    assert do(a_room, resume("p1", "t-p1", 9, BOB)).participant == bob("p1")


def test_a_moment_is_written_as_the_wire_has_it() -> None:
    """Section 1: ISO 8601, UTC, milliseconds; a stamp that is there already is not written anew."""
    now = at(1.5)
    assert (now.stamp, now.ago(0), now.ago(0.5)) == (
        "2026-03-03T10:00:01.500Z",
        "2026-03-03T10:00:01.500Z",
        "2026-03-03T10:00:01.000Z",
    )
    assert Moment(0, 0, now.new_id, "given").stamp == "given"
