"""The heart, without a loop: every command against every state a seat and a room can be in."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from roomd.protocol import errors
from roomd.protocol.errors import ErrorKind, Refused
from roomd.protocol.objects import Ban, Participant
from roomd.protocol.objects import Room as View
from roomd.rooms import commands
from roomd.rooms.commands import Caller, Event, Kept, Moment, RoomChanged, Seat, SeatChanged, Settings
from roomd.rooms.room import Room
from roomd.rooms.settings import Rules, open_room

RULES = Rules(seat_hold=30.0, max_participants=1000)
HOST = Caller(None, 1, "alice", "Alice")
ADMIN = Caller(None, 2, "root", "Root", admin=True)
BOB = Caller(None, 3, "bob", "Bob")
GUEST = Caller(None, 4)


def at(clock: float) -> Moment:
    """A moment `clock` seconds into the test's day."""
    return Moment(f"2026-03-03T10:{int(clock) // 60:02}:{int(clock) % 60:02}.000Z", clock)


def new_room(banned: Sequence[str] = (), **changes: Any) -> Room:
    """A room of Alice's for three."""
    view = View(
        id="room", code="abc-def-ghi", name="Weekly", host_id="alice", is_active=True, is_locked=False,
        max_participants=3, allow_guest_access=True, waiting_room=False, participant_count=0,
        created_at=at(0).stamp, ended_at=None,
    )  # fmt: skip
    bans = [Ban(user_id=key, display_name=key, reason=None, banned_at=at(0).stamp) for key in banned]
    return Room(Kept(msgspec.structs.replace(view, **changes), bans=bans), RULES)


def settle(a_room: Room, events: Sequence[Event], clock: float = 1.0) -> list[Event]:
    """Make events true, and what follows from them for those who wait, as a turn does; return all of them."""
    for event in events:
        a_room.apply(event)
    more = a_room.follow_up(at(clock))
    for event in more:
        a_room.apply(event)
    assert a_room.follow_up(at(clock)) == [], "what is settled stays so"
    return [*events, *more]


def do(a_room: Room, command: commands.Command, clock: float = 1.0) -> Any:
    """Decide and apply; return the answer."""
    decision = a_room.decide(command, at(clock))
    settle(a_room, decision.events, clock)
    return decision.answer


def refused(a_room: Room, command: commands.Command, clock: float = 1.0) -> ErrorKind:
    """Decide what must be refused, check that nothing changed, and return why."""
    before = a_room.checkpoint()
    with pytest.raises(Refused) as caught:
        a_room.decide(command, at(clock))
    assert a_room.checkpoint() == before
    return caught.value.kind


def join(who: Caller, key: str, name: str | None = None, wait: bool = False) -> commands.Join:
    """A join; guests get a name."""
    return commands.Join(who, name if name or who.user_id else f"guest {key}", key, f"t-{key}", who.owner or 0, wait)


def test_a_join_makes_the_participant() -> None:
    """Section 3: a guest has a guestName and no userId, a user the other way round; only the host's id is host."""
    a_room = new_room()
    assert do(a_room, join(GUEST, "p1", "Jane"), 1) == Participant(
        id="p1", room_id="room", user_id=None, guest_name="Jane", is_active=True, is_host=False,
        joined_at=at(1).stamp, left_at=None, display_name="Jane",
    )  # fmt: skip
    assert do(a_room, join(HOST, "p2"), 2) == Participant(
        id="p2", room_id="room", user_id="alice", guest_name=None, is_active=True, is_host=True,
        joined_at=at(2).stamp, left_at=None, display_name="Alice",
    )  # fmt: skip
    assert do(a_room, join(ADMIN, "p3"), 3).is_host is False
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
    ("locked, the host", {"is_locked": True}, 0, HOST, errors.ROOM_LOCKED),
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
        a_room.apply(SeatChanged(Seat(_someone(f"s{number}"), "h", 100 + number)))
    foretold = do(a_room, commands.Get(who)).refusal
    if kind is None:
        assert foretold is None
        assert do(a_room, join(who, "new")).id == "new"
    else:
        assert foretold.kind == kind
        assert refused(a_room, join(who, "new")) == kind


def _someone(key: str) -> Participant:
    return Participant(
        id=key, room_id="room", user_id=None, guest_name=key, is_active=True, is_host=False,
        joined_at=at(0).stamp, left_at=None, display_name=key,
    )  # fmt: skip


def seated(state: str) -> Room:
    """A full, locked room in which Bob's seat `p1` is connected by connection 3, or held since 10:00:10."""
    a_room = new_room()
    do(a_room, join(BOB, "p1"))
    do(a_room, join(GUEST, "p2"))
    do(a_room, join(HOST, "p3"))
    do(a_room, commands.Update(HOST, Settings(is_locked=True)))
    if state == "held":
        do(a_room, commands.Drop("p1", 3, at(10)), 10)
    return a_room


@pytest.mark.parametrize("state", ["connected", "held"])
def test_a_user_takes_over_their_seat(state: str) -> None:
    """Section 4: a user who joins again has the same id and joinedAt, full and locked rooms included."""
    a_room = seated(state)
    again = do(a_room, commands.Join(Caller(user_id="bob"), None, "other", "new hash", 9), 20)
    assert again == msgspec.structs.replace(_bob(), is_active=True)
    assert a_room.seats["p1"].owner == 9
    assert a_room.seats["p1"].resume_hash == "new hash"
    assert a_room.view().participant_count == 3
    assert a_room.deadline() is None


def _bob() -> Participant:
    return Participant(
        id="p1", room_id="room", user_id="bob", guest_name=None, is_active=True, is_host=False,
        joined_at=at(1).stamp, left_at=None, display_name="Bob",
    )  # fmt: skip


def test_a_guest_is_known_by_their_connection_alone() -> None:
    """Section 4: guests are never matched by name; a second join on the same connection is the same participant."""
    a_room = new_room(max_participants=2)
    first = do(a_room, join(GUEST, "p1", "Jane"))
    assert do(a_room, join(Caller(None, 5), "p2", "Jane")).id == "p2"
    assert do(a_room, join(Caller("p1", 4), "p3", "Other")) == first
    assert refused(a_room, join(Caller("p1", 6), "p3", "Jane")) == errors.ROOM_FULL


@pytest.mark.parametrize("state", ["connected", "held"])
def test_resume_takes_the_seat_back_once(state: str) -> None:
    """Section 5: the same id and joinedAt, a new token; the one shown is used up."""
    a_room = seated(state)
    assert do(a_room, commands.Resume(Caller(), "p1", "t-p1", "next", 9), 20) == _bob()
    assert a_room.seats["p1"].owner == 9
    assert refused(a_room, commands.Resume(Caller(), "p1", "t-p1", "x", 9), 20) == errors.SEAT_EXPIRED
    assert do(a_room, commands.Resume(Caller(), "p1", "next", "x", 9), 20) == _bob()


RESUMES = [
    ("unknown seat", commands.Resume(Caller(), "p9", "t-p1", "x", 9), errors.SEAT_EXPIRED),
    ("wrong token", commands.Resume(Caller(), "p1", "t-p2", "x", 9), errors.SEAT_EXPIRED),
    ("another user", commands.Resume(HOST, "p1", "t-p1", "x", 9), errors.WRONG_USER),
    ("a user for a guest's seat", commands.Resume(BOB, "p2", "t-p2", "x", 9), errors.WRONG_USER),
]


@pytest.mark.parametrize(("command", "kind"), [c[1:] for c in RESUMES], ids=[c[0] for c in RESUMES])
def test_resume_is_refused(command: commands.Resume, kind: ErrorKind) -> None:
    """Section 5 and 2: 410 for what is no longer held, 403 for somebody else's seat."""
    assert refused(seated("held"), command) == kind


def test_leave_gives_the_seat_up_at_once() -> None:
    """Section 5: `leftAt` is now, the seat is free, and the token is worth nothing."""
    a_room = seated("connected")
    left = do(a_room, commands.Leave("p1", 3), 15)
    assert left == msgspec.structs.replace(_bob(), is_active=False, left_at=at(15).stamp)
    assert a_room.view().participant_count == 2
    assert refused(a_room, commands.Leave("p1", 3)) == errors.NOT_IN_ROOM
    assert refused(a_room, commands.Resume(BOB, "p1", "t-p1", "x", 9)) == errors.SEAT_EXPIRED
    assert refused(a_room, join(BOB, "p4")) == errors.ROOM_LOCKED


@pytest.mark.parametrize("command", [commands.Leave("p1", 3), commands.Drop("p1", 3, at(30))], ids=["leave", "drop"])
def test_who_lost_the_seat_cannot_touch_it(command: commands.Command) -> None:
    """Late cleanup compares owners: a connection whose seat was taken over owns nothing."""
    a_room = seated("connected")
    do(a_room, commands.Join(Caller(user_id="bob"), None, "x", "h", 9), 20)
    before = a_room.checkpoint()
    if isinstance(command, commands.Drop):
        assert a_room.decide(command, at(30)).events == []
    else:
        assert refused(a_room, command) == errors.NOT_IN_ROOM
    assert a_room.checkpoint() == before


def test_a_dropped_seat_is_held_and_then_left_as_of_the_drop() -> None:
    """Section 5: held for `seat_hold` from the drop on; `leftAt` is when the connection dropped."""
    a_room = seated("held")
    assert a_room.seats["p1"].participant == msgspec.structs.replace(_bob(), is_active=False)
    assert a_room.deadline() == 40
    do(a_room, commands.Drop("p2", 4, at(12)), 12)
    do(a_room, commands.Expire(), 39.9)
    assert set(a_room.seats) == {"p1", "p2", "p3"}
    before = a_room.checkpoint()
    events = a_room.decide(commands.Expire(), at(40)).events
    for event in events:
        a_room.apply(event)
    left = msgspec.structs.replace(_bob(), is_active=False, left_at=at(10).stamp)
    assert a_room.changes_since(before, events) == commands.Changes([], [], [left])
    assert a_room.deadline() == 42


def test_a_drop_that_comes_late_is_due_in_time() -> None:
    """Storage kept a drop waiting: its hold still runs from when the connection was there, before others' ends."""
    a_room = seated("connected")
    do(a_room, commands.Drop("p2", 4, at(20)), 20)
    do(a_room, commands.Drop("p1", 3, at(10)), 25)
    assert a_room.deadline() == 40
    do(a_room, commands.Expire(), 40)
    assert (set(a_room.seats), a_room.deadline()) == ({"p2", "p3"}, 50)


def test_an_end_leaves_every_seat() -> None:
    """Section 7: every seat is left, held ones as of their drop; an ended room takes nobody and no changes."""
    a_room = seated("held")
    before = a_room.checkpoint()
    decision = a_room.decide(commands.End(HOST), at(20))
    for event in decision.events:
        a_room.apply(event)
    left = {p.id: p.left_at for p in a_room.changes_since(before, decision.events).left}
    assert left == {"p1": at(10).stamp, "p2": at(20).stamp, "p3": at(20).stamp}
    assert decision.answer == a_room.view()
    view = a_room.view()
    assert (view.is_active, view.ended_at, view.participant_count) == (False, at(20).stamp, 0)
    assert a_room.deadline() is None
    for command in (commands.End(HOST), commands.Update(HOST, Settings(name="x")), join(HOST, "p9")):
        assert refused(a_room, command) == errors.ROOM_INACTIVE
    assert refused(a_room, commands.Resume(Caller(), "p1", "t-p1", "x", 9)) == errors.SEAT_EXPIRED


HOSTS_ONLY = {
    "end": commands.End,
    "update": lambda who: commands.Update(who, Settings()),
    "list who was there": lambda who: commands.List(who, history=True),
    "remove": lambda who: commands.Remove(who, "p1", ban=False, reason=None),
    "mute": lambda who: commands.Mute(who, "p1"),
    "list bans": commands.ListBans,
    "unban": lambda who: commands.Unban(who, "carol"),
    "admit": lambda who: commands.Admit(who, "p9"),
    "admit all": lambda who: commands.Admit(who, None),
    "deny": lambda who: commands.Deny(who, "p9"),
}


@pytest.mark.parametrize("who", [GUEST, BOB, Caller("p9", 5)])
@pytest.mark.parametrize("command", HOSTS_ONLY.values(), ids=HOSTS_ONLY.keys())
def test_only_the_host(who: Caller, command: Any) -> None:
    """Sections 7 and 8: 403 `not_host` for everybody else, participants or not; admins have host rights."""
    a_room = new_room(banned=["carol"], waiting_room=True)
    a_room.apply(SeatChanged(Seat(_bob(), "h", 3)))
    a_room.apply(SeatChanged(Seat(_someone("p9"), "h", 5, waits_for="waiting_room")))
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
    """Section 7: only what is present changes; what is out of bounds changes nothing; no change is no event."""
    a_room = new_room()
    if isinstance(outcome, str):
        with pytest.raises(Refused) as caught:
            a_room.decide(commands.Update(HOST, settings), at(1))
        assert (caught.value.kind, caught.value.message) == (errors.INVALID_SETTINGS, outcome)
        return
    before = a_room.view()
    decision = a_room.decide(commands.Update(HOST, settings), at(1))
    changed = msgspec.structs.replace(before, **outcome)
    assert decision.answer == changed
    assert decision.events == ([RoomChanged(changed)] if outcome else [])


def test_lowering_the_maximum_removes_nobody() -> None:
    """Section 7: who sits stays; the next one is told the room is full."""
    a_room = seated("connected")
    do(a_room, commands.Update(HOST, Settings(max_participants=2, is_locked=False)))
    assert a_room.view().participant_count == 3
    do(a_room, commands.Leave("p2", 4))
    assert refused(a_room, join(GUEST, "p4")) == errors.ROOM_FULL


def test_a_new_room_has_the_defaults() -> None:
    """Section 7: a hundred seats unless the server allows fewer; open, unlocked, guests welcome."""
    view = open_room(Settings(), RULES, room_id="r", code="abc-def-ghi", host_id="alice", created_at="now")
    assert view == View(
        id="r", code="abc-def-ghi", name="Meeting", host_id="alice", is_active=True, is_locked=False,
        max_participants=100, allow_guest_access=True, waiting_room=False, participant_count=0, created_at="now",
        ended_at=None,
    )  # fmt: skip
    small = open_room(Settings(), Rules(30, 20), room_id="r", code="c", host_id="a", created_at="now")
    assert small.max_participants == 20


def test_who_may_see_who_is_there() -> None:
    """Section 7: participants by their connection or their user id, and the host; nobody else."""
    a_room = seated("connected")
    for caller in (Caller("p2", 4), Caller(user_id="bob"), HOST, ADMIN):
        assert [p.id for p in do(a_room, commands.List(caller, history=False)).participants] == ["p1", "p2", "p3"]
    for caller in (GUEST, Caller("p2", 5), Caller("gone", 5), Caller(user_id="carol")):
        assert refused(a_room, commands.List(caller, history=False)) == errors.NOT_IN_ROOM


def test_net_effect_of_many_events() -> None:
    """Section 6: a participant stands in at most one list; what cancels out is not told."""
    a_room = seated("connected")
    before = a_room.checkpoint()
    events: list[Event] = []
    moves: list[commands.Command] = [
        commands.Update(HOST, Settings(is_locked=False, max_participants=9)),
        join(Caller(None, 7), "came and went"),
        commands.Leave("came and went", 7),
        join(Caller(None, 8), "came and dropped"),
        commands.Drop("came and dropped", 8, at(5)),
        commands.Drop("p1", 3, at(5)),
        commands.Join(Caller(user_id="bob"), None, "x", "h", 9),
        commands.Drop("p2", 4, at(5)),
        commands.Leave("p3", 1),
    ]
    for command in moves:
        events += settle(a_room, a_room.decide(command, at(6)).events, 6)
    joined, updated, left = a_room.changes_since(before, events)
    assert [(p.id, p.is_active) for p in joined] == [("came and dropped", False)]
    assert [(p.id, p.is_active) for p in updated] == [("p2", False)]
    assert [p.id for p in left] == ["p3"]


def test_a_room_is_made_of_its_seats() -> None:
    """After a restart the room stands as the store has it, every seat held."""
    held = Seat(msgspec.structs.replace(_bob(), is_active=False), "h", None, at(10).stamp, 70.0)
    a_room = Room(Kept(new_room().view(), [held]), RULES)
    assert (a_room.view().participant_count, a_room.deadline()) == (1, 70.0)
    assert do(a_room, commands.Resume(BOB, "p1", "h", "next", 9)) == _bob()


def test_a_checkpoint_brings_everything_back() -> None:
    """A turn that could not be kept has never been."""
    a_room = seated("held")
    before, deadline = a_room.checkpoint(), a_room.deadline()
    do(a_room, commands.Resume(Caller(), "p1", "t-p1", "next", 9))
    do(a_room, commands.End(HOST))
    a_room.restore(before)
    assert (a_room.checkpoint(), a_room.deadline()) == (before, deadline)
    assert do(a_room, commands.Resume(BOB, "p1", "t-p1", "next", 9)) == _bob()
