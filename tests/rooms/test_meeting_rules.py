"""What people in a room may do, without a loop: presence, messages, moderation and bans."""

from typing import Any

import msgspec
import pytest

from roomd.protocol import errors
from roomd.protocol.errors import ErrorKind, Refused
from roomd.protocol.events import Removed
from roomd.protocol.objects import Ban, Message
from roomd.rooms import commands
from roomd.rooms.commands import Caller, Kept, MessageSent, Queued, Reader, UserBanned, UserUnbanned
from roomd.rooms.room import Room
from tests.rooms.test_queue import act, full, lobby, queue, standing, told
from tests.rooms.test_room import ADMIN, BOB, GUEST, HOST, RULES, at, do, join, new_room, refused

MUTED = {"muted": True}


def meeting() -> Room:
    """Alice sits in `p1`, Bob in `p2`, and a guest in `p3`, whose connection dropped at 10:00:05."""
    a_room = new_room()
    for who, key in ((HOST, "p1"), (BOB, "p2"), (GUEST, "p3")):
        do(a_room, join(who, key))
    do(a_room, commands.Drop("p3", 4, at(5)), 5)
    return a_room


def present(state: dict[str, Any]) -> commands.Present:
    """Bob changes his presence."""
    return commands.Present("p2", 3, state)


MERGES: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "a first key": ({}, {"muted": True}, {"muted": True}),
    "another key": ({"muted": True}, {"hand": 1}, {"muted": True, "hand": 1}),
    "a key anew": ({"muted": True, "hand": 1}, {"muted": False}, {"muted": False, "hand": 1}),
    "null takes it away": ({"muted": True, "hand": 1}, {"hand": None}, {"muted": True}),
    "null for what is not there": ({"muted": True}, {"hand": None}, {"muted": True}),
    "all at once": ({"a": 1, "b": 2}, {"a": None, "b": 3, "c": "x"}, {"b": 3, "c": "x"}),
    "nothing": ({"muted": True}, {}, {"muted": True}),
    "no change": ({"muted": True}, {"muted": True}, {"muted": True}),
    "every kind of scalar": (
        {},
        {"a": True, "b": -1, "c": 0.5, "d": "Zoë"},
        {"a": True, "b": -1, "c": 0.5, "d": "Zoë"},
    ),
}


@pytest.mark.parametrize(("before", "change", "then"), MERGES.values(), ids=MERGES.keys())
def test_presence_is_merged_key_by_key(before: dict[str, Any], change: dict[str, Any], then: dict[str, Any]) -> None:
    """Section 8: an absent key stays, null takes one away (RFC 7396); `updated` for all, unless nothing changed."""
    a_room = meeting()
    do(a_room, present(before))
    was, events = a_room.checkpoint(), act(a_room, present(change))
    assert a_room.seats["p2"].participant.state == then
    changes = a_room.changes_since(was, events)
    assert changes == commands.Changes([], [a_room.seats["p2"].participant] if then != before else [], [])
    assert len(events) == len(changes.updated), "what changes nothing is not kept either"


@pytest.mark.parametrize("other", [1, 1.0])
def test_true_is_not_one(other: Any) -> None:
    """Section 8: a client that said 1 and then says true is shown with true."""
    a_room = meeting()
    do(a_room, present({"muted": other}))
    do(a_room, present(MUTED))
    assert a_room.seats["p2"].participant.state["muted"] is True


BYTES = 1024 - len('{"k":""}')
BOUNDS: dict[str, tuple[dict[str, Any], dict[str, Any], bool]] = {
    "16 keys": ({}, dict.fromkeys("abcdefghijklmnop", 1), True),
    "17 keys": ({}, dict.fromkeys("abcdefghijklmnopq", 1), False),
    "17 keys once merged": (dict.fromkeys("abcdefghijklmnop", 1), {"q": 1}, False),
    "17 keys, one taken away": (dict.fromkeys("abcdefghijklmnop", 1), {"q": 1, "a": None}, True),
    "20 keys, all null": (MUTED, dict.fromkeys("abcdefghijklmnopqrst"), True),
    "1,024 bytes": ({}, {"k": "x" * BYTES}, True),
    "1,025 bytes": ({}, {"k": "x" * (BYTES + 1)}, False),
    "1,025 bytes once merged": ({"k": "x" * (BYTES - 6)}, {"a": 10}, False),
    "1,024 bytes once merged": ({"k": "x" * (BYTES - 6)}, {"a": 1}, True),
    "1,024 bytes of UTF-8": ({}, {"k": "\U0001f600" * (BYTES // 4)}, True),
    "more of UTF-8, fewer characters": ({}, {"k": "\U0001f600" * (BYTES // 4 + 1)}, False),
    "a long key": ({}, {"k" * 1025: None}, True),
}


@pytest.mark.parametrize(("before", "change", "fits"), BOUNDS.values(), ids=BOUNDS.keys())
def test_presence_has_bounds(before: dict[str, Any], change: dict[str, Any], fits: bool) -> None:
    """Section 8: 16 keys and 1 KiB of JSON once merged; more is 400 `bad_frame` and changes nothing."""
    a_room = meeting()
    do(a_room, present(before))
    if fits:
        do(a_room, present(change))
    else:
        assert refused(a_room, present(change)) == errors.BAD_FRAME
        assert a_room.seats["p2"].participant.state == before


def test_what_is_too_much_is_said() -> None:
    """Section 8: the refusal names the bounds."""
    with pytest.raises(Refused) as caught:
        meeting().decide(present(dict.fromkeys("abcdefghijklmnopq", 1)), at(1))
    assert caught.value.message == "Malformed frame: state may have 16 keys, 1024 bytes"


def test_presence_outlives_a_drop_and_ends_with_the_seat() -> None:
    """Section 8: held, taken back and taken over it stays; a new seat has none."""
    a_room = meeting()
    do(a_room, present(MUTED))
    do(a_room, commands.Drop("p2", 3, at(6)), 6)
    assert a_room.seats["p2"].participant.state == MUTED
    assert do(a_room, commands.Resume(Caller(), "p2", "t-p2", "next", 8)).state == MUTED
    assert do(a_room, join(Caller(None, 9, "bob", "Bob"), "x")).state == MUTED
    assert do(a_room, commands.Leave("p2", 9)).state == MUTED
    assert do(a_room, join(BOB, "p7")).state == {}


NOT_THERE = {
    "held": ("p3", 4),
    "taken over": ("p2", 99),
    "unknown": ("p9", 3),
}


@pytest.mark.parametrize(("key", "owner"), NOT_THERE.values(), ids=NOT_THERE.keys())
def test_only_from_the_own_seat(key: str, owner: int) -> None:
    """Section 8: whoever has lost the seat speaks and shows nothing any more."""
    assert refused(meeting(), commands.Present(key, owner, MUTED)) == errors.NOT_IN_ROOM
    assert refused(meeting(), commands.Say(key, owner, "m1", "hello", None)) == errors.NOT_IN_ROOM


# to, the addressee's user id
ADDRESSEES: dict[str, tuple[str | None, str | None]] = {
    "everyone": (None, None),
    "a user": ("p1", "alice"),
    "a guest whose seat is held": ("p3", None),
    "oneself": ("p2", "bob"),
}


@pytest.mark.parametrize(("to", "to_user_id"), ADDRESSEES.values(), ids=ADDRESSEES.keys())
def test_messages(to: str | None, to_user_id: str | None) -> None:
    """Section 8: to everyone or to one participant, held seats too; only public ones are in `room-state`."""
    a_room = meeting()
    events = act(a_room, commands.Say("p2", 3, "m1", "Hello", to), 7)
    message = Message(id="m1", participant_id="p2", display_name="Bob", text="Hello", sent_at=at(7).stamp, to=to)
    assert events == [MessageSent("room", message, "bob", to_user_id)]
    assert list(a_room.messages) == ([message] if to is None else [])


@pytest.mark.parametrize("to", ["p9", "", "gone"])
def test_messages_to_nobody(to: str) -> None:
    """Section 8: 404 `participant_not_found` for who is not, or no more, in the room."""
    a_room = meeting()
    do(a_room, commands.Resume(Caller(), "p3", "t-p3", "next", 8))
    do(a_room, commands.Leave("p3", 8))
    for key in (to, "p3"):
        assert refused(a_room, commands.Say("p2", 3, "m1", "Hello", key)) == errors.PARTICIPANT_NOT_FOUND


def test_the_last_fifty_are_shown() -> None:
    """Section 8: `room-state.messages` has the last fifty public ones, the oldest first, whoever left since."""
    a_room = meeting()
    for number in range(60):
        do(a_room, commands.Say("p2", 3, f"m{number}", "public", None))
        do(a_room, commands.Say("p2", 3, f"s{number}", "private", "p1"))
    do(a_room, commands.Leave("p2", 3))
    assert [message.id for message in a_room.messages] == [f"m{number}" for number in range(10, 60)]


READERS: list[tuple[Caller, Reader]] = [
    (Caller("p3", 8), Reader("room", "p3", None)),
    (BOB, Reader("room", "p2", "bob")),
    (HOST, Reader("room", "p1", "alice")),
    (ADMIN, Reader("room", None, "root")),
]


@pytest.mark.parametrize(("who", "reader"), READERS)
def test_who_may_read_what_was_said(who: Caller, reader: Reader) -> None:
    """Section 8: participants, as whom they sit; the host also after the end; nobody else."""
    a_room = meeting()
    do(a_room, commands.Resume(Caller(), "p3", "t-p3", "next", 8))
    assert do(a_room, commands.ListMessages(who)) == reader
    assert refused(a_room, commands.ListMessages(Caller("p3", 4))) == errors.NOT_IN_ROOM
    do(a_room, commands.End(HOST))
    if who in (HOST, ADMIN):
        assert do(a_room, commands.ListMessages(who)) == reader._replace(participant_id=None)
    else:
        assert refused(a_room, commands.ListMessages(who)) == errors.NOT_IN_ROOM


REMOVALS: dict[str, tuple[str, bool, str, str | None]] = {
    "a user": ("p2", False, "connected", None),
    "a user, with a ban": ("p2", True, "connected", "bob"),
    "a guest whose seat is held": ("p3", False, "held", None),
    "a guest, with a ban": ("p3", True, "held", None),
}


@pytest.mark.parametrize(("key", "ban", "was", "banned"), REMOVALS.values(), ids=REMOVALS.keys())
def test_a_removal(key: str, ban: bool, was: str, banned: str | None) -> None:
    """Section 8: seat and tokens are gone, held seats too; a ban holds for the user id, and a guest has none."""
    a_room = meeting()
    assert standing(a_room, key) == was
    before, events = a_room.checkpoint(), act(a_room, commands.Remove(HOST, key, ban, "spam"), 20)
    assert told(events) == {key: Removed(reason="spam")}
    [left] = a_room.changes_since(before, events).left
    assert (left.id, left.left_at, standing(a_room, key)) == (key, at(20 if was == "connected" else 5).stamp, "gone")
    bans = [Ban(user_id=banned, display_name="Bob", reason="spam", banned_at=at(20).stamp)] if banned else []
    assert events[1:] == [UserBanned("room", ban) for ban in bans]
    assert do(a_room, commands.ListBans(HOST)) == bans
    assert refused(a_room, commands.Resume(Caller(), key, f"t-{key}", "x", 9)) == errors.SEAT_EXPIRED
    assert refused(a_room, commands.Remove(HOST, key, ban, None)) == errors.PARTICIPANT_NOT_FOUND
    assert do(a_room, join(GUEST, "p7")).id == "p7", "a guest may try again"
    do(a_room, commands.Leave("p7", 4))
    if banned:
        assert refused(a_room, join(BOB, "p8")) == errors.BANNED
    else:
        assert do(a_room, join(BOB, "p8")).user_id == "bob"


def test_a_ban_is_checked_again_at_a_resume() -> None:
    """Section 5: a banned user who shows an old token is told why it serves no more; a guest's token still does."""
    a_room = meeting()
    do(a_room, commands.Remove(HOST, "p2", ban=True, reason=None))
    for key, token in (("p2", "t-p2"), ("p3", "t-p3"), ("p9", "x")):
        assert refused(a_room, commands.Resume(BOB, key, token, "x", 9)) == errors.BANNED
    assert do(a_room, commands.Resume(Caller(), "p3", "t-p3", "x", 9)).id == "p3"


def test_whoever_waits_can_be_banned() -> None:
    """Section 8: a ban from the queue is one like any other, and the waiter is told `denied`."""
    for a_room in (lobby(), full()):
        events = act(a_room, commands.Remove(ADMIN, "p2", ban=True, reason="spam"))
        assert told(events) == {"p2": errors.DENIED}
        assert refused(a_room, join(BOB, "x", wait=True)) == errors.BANNED


def test_unban() -> None:
    """Section 8: the ban holds until then; bans are listed by user id; who is not banned is 404."""
    a_room = new_room(banned=["dave", "carol"], is_locked=True)
    assert [ban.user_id for ban in do(a_room, commands.ListBans(ADMIN))] == ["carol", "dave"]
    assert act(a_room, commands.Unban(HOST, "carol")) == [UserUnbanned("room", "carol")]
    assert refused(a_room, join(Caller(user_id="carol"), "x")) == errors.ROOM_LOCKED
    for user_id in ("carol", "bob"):
        with pytest.raises(Refused) as caught:
            a_room.decide(commands.Unban(HOST, user_id), at(1))
        assert (caught.value.kind, caught.value.message) == (errors.PARTICIPANT_NOT_FOUND, "This user is not banned")
    do(a_room, commands.End(HOST))
    assert [ban.user_id for ban in do(a_room, commands.ListBans(HOST))] == ["dave"], "after the end too"


MUTES: list[tuple[Caller, str, ErrorKind | None]] = [
    (HOST, "p2", None),
    (ADMIN, "p1", None),
    (HOST, "p9", errors.PARTICIPANT_NOT_FOUND),
    (HOST, "p1", errors.WRONG_USER),
    (Caller("p2", 3, "bob", admin=True), "p2", errors.WRONG_USER),
]


@pytest.mark.parametrize(("who", "key", "kind"), MUTES)
def test_hosts_act_on_anyone_but_themselves(who: Caller, key: str, kind: ErrorKind | None) -> None:
    """Section 8: nobody can remove or mute themselves: 403 `wrong_user`; an admin may mute and remove the host."""
    for command in (commands.Mute(who, key), commands.Remove(who, key, ban=True, reason=None)):
        a_room = meeting()
        if kind is not None:
            assert refused(a_room, command) == kind
        else:
            assert (standing(a_room, key), bool(act(a_room, command))) == (
                "connected",
                isinstance(command, commands.Remove),
            )


def test_the_host_can_be_banned_by_an_admin() -> None:
    """Sections 4 and 8: a banned host keeps the host's rights, but no way in until somebody else lifts the ban."""
    a_room = meeting()
    do(a_room, commands.Remove(ADMIN, "p1", ban=True, reason=None))
    assert refused(a_room, join(HOST, "p7")) == errors.BANNED
    assert refused(a_room, commands.Unban(HOST, "alice")) == errors.WRONG_USER
    do(a_room, commands.Unban(ADMIN, "alice"))
    assert do(a_room, join(HOST, "p7")).is_host


def test_a_turn_that_was_not_kept_has_never_been() -> None:
    """A checkpoint brings queue, bans and messages back, as a restart from what is kept does."""
    a_room = full(banned=["dave"])
    do(a_room, commands.Say("p1", 1, "m1", "Hello", None))
    do(a_room, commands.Drop("p3", 4, at(5)), 5)
    before, deadline = a_room.checkpoint(), a_room.deadline()
    moves: list[commands.Command] = [
        commands.Remove(HOST, "p2", ban=True, reason=None),
        commands.Unban(HOST, "dave"),
        commands.Say("p1", 1, "m2", "Hello?", None),
        commands.Present("p1", 1, MUTED),
        commands.End(HOST),
    ]
    for command in moves:
        do(a_room, command, 6)
    a_room.restore(before)
    assert (a_room.checkpoint(), a_room.deadline()) == (before, deadline)
    kept = Kept(before.view, [*before.seats.values(), *before.queue.values()], [*before.bans.values()], before.messages)
    assert Room(kept, RULES).checkpoint() == before


@pytest.mark.parametrize("who", [Caller("p2", 3, "bob"), Caller("p3", 4)])
def test_a_place_in_the_queue_is_no_seat(who: Caller) -> None:
    """Section 8: those who wait see nothing of the room, and nobody in it can speak to them."""
    a_room = lobby()
    key, owner = who.seat_id or "", who.owner or 0
    nothing: list[commands.Command] = [
        commands.List(who, history=False),
        commands.ListMessages(who),
        commands.Say(key, owner, "m1", "hello", None),
        commands.Present(key, owner, {"muted": True}),
    ]
    for command in nothing:
        assert refused(a_room, command) == errors.NOT_IN_ROOM
    for from_a_seat in (commands.Say("p1", 1, "m1", "hello", key), commands.Mute(HOST, key)):
        assert refused(a_room, from_a_seat) == errors.PARTICIPANT_NOT_FOUND
    assert [p.id for p in a_room.participants()] == ["p1"]


def test_a_host_who_waits_has_the_host_s_rights() -> None:
    """Section 8: a host who waits for a seat still sees who sits and what was said, and may not remove themselves."""
    a_room = new_room(max_participants=2)
    do(a_room, join(BOB, "p1"))
    do(a_room, join(GUEST, "p2"))
    do(a_room, join(HOST, "p3", wait=True))
    assert [p.id for p in do(a_room, commands.List(HOST, history=False)).participants] == ["p1", "p2"]
    assert do(a_room, commands.ListMessages(HOST)) == commands.Reader("room", None, "alice")
    assert refused(a_room, commands.Remove(HOST, "p3", ban=False, reason=None)) == errors.WRONG_USER
    do(a_room, commands.Remove(HOST, "p2", ban=False, reason=None))
    assert standing(a_room, "p3") == "connected"


@pytest.mark.parametrize(("a_room", "who", "kind"), [
    (lobby(), Caller(None, 7), None),
    (lobby(), BOB, None),
    (lobby(is_locked=False, allow_guest_access=True), HOST, None),
    (full(), Caller("p3", 4), None),
    (full(), Caller("p3", 5), errors.ROOM_FULL),
    (full(waiting_room=True), Caller(user_id="dave"), None),
])  # fmt: skip
def test_get_room_foretells(a_room: Room, who: Caller, kind: ErrorKind | None) -> None:
    """Section 7: `admission` is what a plain join would get now; being let wait for the host is no refusal."""
    foretold = do(a_room, commands.Get(who)).refusal
    assert (foretold.kind if foretold is not None else None) == kind
    if kind is None:
        do(a_room, join(who, "x"))
    else:
        assert refused(a_room, join(who, "x")) == kind


def test_a_restart_keeps_the_queue() -> None:
    """Section 5: everyone who waits is held anew at their position, and what they wait for stays the same."""
    a_room = lobby(max_participants=2)
    do(a_room, commands.Admit(HOST, "p3"))
    do(a_room, commands.Admit(HOST, "p4"))
    assert queue(a_room) == {"p2": "waiting_room", "p4": "room_full"}
    kept = [
        msgspec.structs.replace(
            seat, owner=None, participant=msgspec.structs.replace(seat.participant, is_active=False),
            dropped_at=at(50).stamp, held_until=80.0,
        )
        for seat in (*a_room.seats.values(), *a_room.queue.values())
    ]  # fmt: skip
    again = Room(Kept(a_room.view(), kept), RULES)
    assert (queue(again), list(again.seats), again.deadline()) == (queue(a_room), ["p1", "p3"], 80)
    assert isinstance(do(again, commands.Resume(BOB, "p2", "t-p2", "next", 21), 60), Queued)
    do(again, commands.Expire(), 80)
    assert (list(again.queue), again.view().participant_count) == (["p2"], 0)
