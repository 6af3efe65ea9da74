"""What people in a room may do and see: presence, messages, lists."""

from typing import Any

import msgspec
import pytest

from roomd.protocol import errors
from roomd.protocol.errors import ErrorKind, Refused
from roomd.protocol.objects import Message
from roomd.rooms import commands
from roomd.rooms.answers import ParticipantChanges, Reader
from roomd.rooms.changes import MessageSent
from roomd.rooms.model import Caller, StoredRoom
from roomd.rooms.room import MESSAGE_BYTES, Command, Room
from tests.support.rooms import (
    ADMIN,
    ADMITTED,
    BOB,
    GUEST,
    HOST,
    RULES,
    act,
    at,
    changed,
    do,
    full,
    join,
    lobby,
    meeting,
    new_room,
    queue,
    refusal,
    refused,
    resume,
    standing,
)

MUTED = {"muted": True}


def present(state: dict[str, Any]) -> commands.UpdateState:
    """Bob changes his presence."""
    return commands.UpdateState("p2", 3, state)


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
    was, changes = a_room.checkpoint(), act(a_room, present(change))
    assert a_room.seats["p2"].participant.state == then
    effect = changed(a_room, was, changes)
    assert effect == ParticipantChanges([], [a_room.seats["p2"].participant] if then != before else [], [])
    assert len(changes) == len(effect.updated), "what changes nothing is not kept either"


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
    do(a_room, commands.Drop("p2", 3, 0), 6)
    assert a_room.seats["p2"].participant.state == MUTED
    assert do(a_room, resume("p2", "t-p2", 8)).participant.state == MUTED
    assert do(a_room, join(Caller(None, 9, "bob", "Bob"), "x")).participant.state == MUTED
    assert do(a_room, commands.Leave("p2", 9)).state == MUTED
    assert do(a_room, join(BOB, "p7")).participant.state == {}


NOT_THERE = {
    "held": ("p3", 4),
    "taken over": ("p2", 99),
    "unknown": ("p9", 3),
}


@pytest.mark.parametrize(("key", "claim"), NOT_THERE.values(), ids=NOT_THERE.keys())
def test_only_from_the_own_seat(key: str, claim: int) -> None:
    """Section 8: a connection that has lost the seat can neither send a message nor change the state."""
    assert refused(meeting(), commands.UpdateState(key, claim, MUTED)) == errors.NOT_IN_ROOM
    assert refused(meeting(), commands.SendMessage(key, claim, "hello", None)) == errors.NOT_IN_ROOM


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
    changes = act(a_room, commands.SendMessage("p2", 3, "Hello", to), 7)
    message = Message(id="z-Hello", participant_id="p2", display_name="Bob", text="Hello", sent_at=at(7).stamp, to=to)
    assert changes == [MessageSent(message, "bob", to_user_id, MESSAGE_BYTES + 5)]
    assert list(a_room.messages) == ([message] if to is None else [])


@pytest.mark.parametrize("to", ["p9", "", "gone"])
def test_messages_to_nobody(to: str) -> None:
    """Section 8: 404 `participant_not_found` for who is not, or no more, in the room."""
    a_room = meeting()
    do(a_room, resume("p3", "t-p3", 8))
    do(a_room, commands.Leave("p3", 8))
    for key in (to, "p3"):
        assert refused(a_room, commands.SendMessage("p2", 3, "Hello", key)) == errors.PARTICIPANT_NOT_FOUND


def test_the_messages_of_a_room_are_bounded() -> None:
    """Section 8: what they have in the database is counted as text in UTF-8; at the limit 507 `storage_low`."""
    a_room = meeting()
    a_room.rules = msgspec.structs.replace(RULES, room_bytes=2 * MESSAGE_BYTES + 12)
    do(a_room, commands.SendMessage("p2", 3, "😀" * 2, None, "c1"))
    assert a_room.message_bytes == MESSAGE_BYTES + 8
    assert refused(a_room, commands.SendMessage("p2", 3, "Hello", None)) == errors.STORAGE_LOW
    assert act(a_room, commands.SendMessage("p2", 3, "😀" * 2, None, "c1"), 7) == [], "it is stored already"
    do(a_room, commands.SendMessage("p2", 3, "four", None))
    assert refused(a_room, commands.SendMessage("p2", 3, "x", None)) == errors.STORAGE_LOW
    do(a_room, commands.UpdateState("p2", 3, MUTED))


def test_old_messages_are_deleted() -> None:
    """They are shown no more, and make room for others; ids go on, and so does the running total."""
    a_room = meeting()
    a_room.rules = msgspec.structs.replace(RULES, room_bytes=2 * MESSAGE_BYTES + 8)
    for text in ("four", "more"):
        do(a_room, commands.SendMessage("p2", 3, text, None))
    assert refused(a_room, commands.SendMessage("p2", 3, "", None)) == errors.STORAGE_LOW
    before = a_room.checkpoint()
    first, last = a_room.messages[0], a_room.last_id
    do(a_room, commands.DeleteMessages(first.id, MESSAGE_BYTES + 4))
    assert [message.text for message in a_room.messages] == ["more"]
    do(a_room, commands.SendMessage("p2", 3, "new!", None))
    assert (a_room.message_bytes, a_room.deleted_bytes) == (3 * MESSAGE_BYTES + 12, MESSAGE_BYTES + 4)
    assert a_room.messages[-1].id > last
    do(a_room, commands.DeleteMessages("", 0))
    assert a_room.deleted_bytes == MESSAGE_BYTES + 4, "never fewer"
    a_room.restore(before)
    assert a_room.checkpoint() == before


def test_the_last_fifty_are_shown() -> None:
    """Section 8: `room-state.messages` has the last fifty public ones, the oldest first, whoever left since."""
    a_room = meeting()
    for number in range(60):
        do(a_room, commands.SendMessage("p2", 3, f"public {number}", None))
        do(a_room, commands.SendMessage("p2", 3, f"private {number}", "p1"))
    do(a_room, commands.Leave("p2", 3))
    assert [message.text for message in a_room.messages] == [f"public {number}" for number in range(10, 60)]


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
    do(a_room, resume("p3", "t-p3", 8))
    assert do(a_room, commands.ListMessages(who)) == reader
    assert refused(a_room, commands.ListMessages(Caller("p3", 4))) == errors.NOT_IN_ROOM
    do(a_room, commands.EndRoom(HOST))
    if who in (HOST, ADMIN):
        assert do(a_room, commands.ListMessages(who)) == reader._replace(participant_id=None)
    else:
        assert refused(a_room, commands.ListMessages(who)) == errors.NOT_IN_ROOM


def test_a_batch_that_was_not_kept_has_changed_nothing() -> None:
    """A checkpoint brings queue, bans and messages back, as a restart from what is kept does."""
    a_room = full(banned=["dave"])
    do(a_room, commands.SendMessage("p1", 1, "Hello", None))
    do(a_room, commands.Drop("p3", 4, 0), 5)
    before, deadline = a_room.checkpoint(), a_room.deadline()
    moves: list[Command[object]] = [
        commands.RemoveParticipant(HOST, "p2", ban=True, reason=None),
        commands.Unban(HOST, "dave"),
        commands.SendMessage("p1", 1, "Hello?", None),
        commands.UpdateState("p1", 1, MUTED),
        commands.EndRoom(HOST),
    ]
    for command in moves:
        do(a_room, command, 6)
    a_room.restore(before)
    assert (a_room.checkpoint(), a_room.deadline()) == (before, deadline)
    stored = StoredRoom(
        before.view,
        [*before.seats.values(), *before.queue.values()],
        [*before.bans.items()],
        before.messages,
        before.last_id,
        message_bytes=before.message_bytes,
    )
    assert Room(stored, RULES).checkpoint() == before


@pytest.mark.parametrize("who", [Caller("p2", 3, "bob"), Caller("p3", 4)])
def test_a_place_in_the_queue_is_no_seat(who: Caller) -> None:
    """Section 8: those who wait see nothing of the room, and nobody in it can send them a message."""
    a_room = lobby()
    key, claim = who.seat_id or "", who.claim or 0
    nothing: list[Command[object]] = [
        commands.ListParticipants(who, history=False),
        commands.ListMessages(who),
        commands.SendMessage(key, claim, "hello", None),
        commands.UpdateState(key, claim, {"muted": True}),
    ]
    for command in nothing:
        assert refused(a_room, command) == errors.NOT_IN_ROOM
    from_seats: list[Command[object]] = [
        commands.SendMessage("p1", 1, "hello", key),
        commands.CheckMute(HOST, key),
    ]
    for from_a_seat in from_seats:
        assert refused(a_room, from_a_seat) == errors.PARTICIPANT_NOT_FOUND
    assert [p.id for p in a_room.participants()] == ["p1"]


def test_a_host_who_waits_has_the_host_s_rights() -> None:
    """Section 8: a host who waits for a seat still sees who sits and what was said, and may not remove themselves."""
    a_room = new_room(max_participants=2)
    do(a_room, join(BOB, "p1"))
    do(a_room, join(GUEST, "p2"))
    do(a_room, join(HOST, "p3", wait=True))
    assert [p.id for p in do(a_room, commands.ListParticipants(HOST, history=False)).participants] == ["p1", "p2"]
    assert do(a_room, commands.ListMessages(HOST)) == Reader("room", None, "alice")
    assert refused(a_room, commands.RemoveParticipant(HOST, "p3", ban=False, reason=None)) == errors.WRONG_USER
    do(a_room, commands.RemoveParticipant(HOST, "p2", ban=False, reason=None))
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
    foretold = do(a_room, commands.GetRoom(who))
    assert (foretold.room, foretold.admission) == (a_room.view(), refusal(kind) if kind is not None else ADMITTED)
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
    held = [
        msgspec.structs.replace(
            seat, claim=None, participant=msgspec.structs.replace(seat.participant, is_active=False),
            dropped_at=at(50).stamp, held_until=80.0,
        )
        for seat in (*a_room.seats.values(), *a_room.queue.values())
    ]  # fmt: skip
    again = Room(StoredRoom(a_room.view(), held), RULES)
    assert (queue(again), list(again.seats), again.deadline()) == (queue(a_room), ["p1", "p3"], 80)
    assert do(again, resume("p2", "t-p2", 21, BOB), 60).waits_for == "waiting_room"
    do(again, commands.Expire(), 80)
    assert (list(again.queue), again.view().participant_count) == (["p2"], 0)
