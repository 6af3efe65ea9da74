"""What rides along with a room, who is its host, and how it ends by itself: docs/protocol.md, section 7."""

from typing import Any

import msgspec
import pytest

from roomd.protocol import errors
from roomd.protocol.errors import Refused
from roomd.rooms import commands
from roomd.rooms.changes import Change, RoomChanged, RoomDeleted, RoomEmptied, SeatChanged
from roomd.rooms.commands.ending import note_emptiness
from roomd.rooms.lifetime import end_due, ends_at
from roomd.rooms.model import Caller
from roomd.rooms.room import Room
from roomd.rooms.settings import LONGEST_EMPTY, Settings, change_settings, open_room
from tests.support.rooms import (
    ADMIN,
    BOB,
    CAROL,
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
    refused,
    told,
)

NOON = "2026-03-03T12:00:00.000Z"


# Settings.

# What is given, and the field of the room that it sets, with the value.
SET: list[tuple[dict[str, Any], str, Any]] = [
    ({"host_id": "bob"}, "host_id", "bob"),
    ({"metadata": {"a": [1, {"b": None}]}}, "metadata", {"a": [1, {"b": None}]}),
    ({"metadata": {"k": "x" * 4088}}, "metadata", {"k": "x" * 4088}),
    ({"expires_at": "2026-03-03T12:00:00Z"}, "expires_at", NOON),
    ({"expires_at": "2026-03-03T14:00:00.0009+02:00"}, "expires_at", NOON),
    ({"expires_at": "2026-03-03T10:00:01.001Z"}, "expires_at", "2026-03-03T10:00:01.001Z"),
    ({"end_when_empty": 1}, "end_when_empty", 1),
    ({"end_when_empty": LONGEST_EMPTY}, "end_when_empty", LONGEST_EMPTY),
]

EXPIRY = 'expiresAt must be a time in the future like 2026-03-03T12:00:00Z, or "never"'
EMPTY = f"endWhenEmpty must be 1 to {LONGEST_EMPTY} seconds, or 0 for never"

# What is given, and what is said of it.
BAD: list[tuple[dict[str, Any], str]] = [
    ({"host_id": "a\u200bb"}, "hostId must be a user id"),
    ({"metadata": {"k": "x" * 4089}}, "metadata may have 4096 bytes of JSON"),
    ({"metadata": {"k": "\u00e9" * 2045}}, "metadata may have 4096 bytes of JSON"),
    ({"expires_at": "2026-03-03T10:00:01.000Z"}, EXPIRY),
    ({"expires_at": "2026-03-03T12:00:00"}, EXPIRY),
    ({"expires_at": "tomorrow"}, EXPIRY),
    ({"expires_at": ""}, EXPIRY),
    ({"expires_at": "1969-12-31T23:59:59Z"}, EXPIRY),
    ({"expires_at": "0001-01-01T00:00:00+01:00"}, EXPIRY),
    ({"expires_at": "9999-12-31T23:59:59-01:00"}, EXPIRY),
    ({"end_when_empty": -1}, EMPTY),
    ({"end_when_empty": LONGEST_EMPTY + 1}, EMPTY),
]


@pytest.mark.parametrize(("given", "field", "value"), SET)
def test_settings(given: dict[str, Any], field: str, value: Any) -> None:
    """The same at the creation and later; times become stamps."""
    created_at = at(1).stamp
    created = open_room(Settings(**given), RULES, room_id="r", code="c", host_id="a", created_at=created_at)
    assert getattr(created, field) == value
    a_room = new_room()
    answer = do(a_room, commands.UpdateRoom(HOST, Settings(**given)))
    assert (getattr(answer, field), getattr(a_room.settings, field)) == (value, value)


@pytest.mark.parametrize(("given", "text"), BAD)
def test_bad_settings(given: dict[str, Any], text: str) -> None:
    """400 `invalid_settings` with what is allowed."""
    with pytest.raises(Refused) as caught:
        change_settings(new_room().settings, Settings(**given), RULES, at(1).stamp)
    assert (caught.value.kind, caught.value.message) == (errors.INVALID_SETTINGS, text)


def test_settings_are_removed() -> None:
    """`{}`, `"never"` and 0 remove what was set; what is absent stays."""
    a_room = new_room(metadata={"a": 1}, expires_at=NOON, end_when_empty=60)
    do(a_room, commands.UpdateRoom(HOST, Settings(metadata={})))
    assert a_room.settings == new_room(expires_at=NOON, end_when_empty=60).settings
    do(a_room, commands.UpdateRoom(HOST, Settings(expires_at="never", end_when_empty=0)))
    assert a_room.settings == new_room().settings


def test_metadata_that_is_nearly_the_same() -> None:
    """1 and true are different, the same again is no change."""
    a_room = new_room(metadata={"a": 1})
    assert act(a_room, commands.UpdateRoom(HOST, Settings(metadata={"a": 1}))) == []
    assert len(act(a_room, commands.UpdateRoom(HOST, Settings(metadata={"a": True})))) == 1
    assert a_room.settings.metadata["a"] is True


@pytest.mark.parametrize("external_id", ["", " ", "a\nb", "a\u200b", "x" * 129])
def test_bad_external_ids(external_id: str) -> None:
    """1 to 128 characters, one visible and none hidden, like user ids."""
    with pytest.raises(Refused, match="invalid_settings") as caught:
        open_room(Settings(), RULES, room_id="r", code="c", host_id="a", created_at="now", external_id=external_id)
    assert caught.value.message == "externalId must be 1 to 128 visible characters"


# Hand-over.


def test_the_room_is_handed_over() -> None:
    """Both who are concerned are shown anew; the rights go with it, and nobody else changes."""
    a_room = meeting()
    before = a_room.checkpoint()
    seen = changed(a_room, before, act(a_room, commands.UpdateRoom(HOST, Settings(host_id="bob"))))
    assert [(one.id, one.is_host) for one in seen.updated] == [("p1", False), ("p2", True)]
    assert (seen.joined, seen.left, a_room.settings.host_id) == ([], [], "bob")
    assert refused(a_room, commands.UpdateRoom(HOST, Settings(name="x"))) == errors.NOT_HOST
    assert do(a_room, commands.UpdateRoom(BOB, Settings(host_id="zoe"))).host_id == "zoe"
    assert [seat.participant.is_host for seat in a_room.seats.values()] == [False, False, False]


@pytest.mark.parametrize(("who", "kind"), [(BOB, errors.NOT_HOST), (GUEST, errors.NOT_HOST), (ADMIN, None)])
def test_who_hands_over(who: Caller, kind: errors.ErrorKind | None) -> None:
    """The host and admins."""
    command = commands.UpdateRoom(who, Settings(host_id="carol"))
    if kind is None:
        assert do(meeting(), command).host_id == "carol"
    else:
        assert refused(meeting(), command) == kind


def test_a_banned_user_does_not_become_host() -> None:
    """A room whose host cannot come in would have none. Other settings of a banned host's room change as ever."""
    a_room = new_room(banned=["bob"])
    with pytest.raises(Refused) as caught:
        a_room.decide(commands.UpdateRoom(HOST, Settings(host_id="bob")), at(1))
    assert (caught.value.kind, caught.value.message) == (
        errors.INVALID_SETTINGS,
        "hostId is banned; lift the ban first",
    )
    assert do(new_room(banned=["alice"]), commands.UpdateRoom(ADMIN, Settings(name="x"))).name == "x"


def test_the_new_host_waits() -> None:
    """The host passes the waiting room: who becomes it and waits is let in, as host, and is counted."""
    a_room = lobby()
    before = a_room.checkpoint()
    answer = a_room.decide(commands.UpdateRoom(HOST, Settings(host_id="carol")), at(1)).answer
    seen = changed(a_room, before, act(a_room, commands.UpdateRoom(HOST, Settings(host_id="carol"))))
    assert [(one.id, one.is_host) for one in seen.joined] == [("p4", True)]
    assert [(one.id, one.is_host) for one in seen.updated] == [("p1", False)]
    assert (list(queue(a_room)), answer.participant_count) == (["p2", "p3"], 2)


def test_the_new_host_waits_for_a_seat() -> None:
    """In a full room they go on waiting, as host, and take the first free seat as host."""
    a_room = full()
    act(a_room, commands.UpdateRoom(HOST, Settings(host_id="carol")))
    assert [(key, seat.participant.is_host) for key, seat in a_room.queue.items()] == [
        ("p2", False),
        ("p3", False),
        ("p4", True),
    ]
    act(a_room, commands.UpdateRoom(ADMIN, Settings(is_locked=True)))
    assert list(queue(a_room)) == ["p4"], "the others cannot come any more"
    act(a_room, commands.Leave("p9", 9))
    assert a_room.seats["p4"].participant.is_host


# The end.

# The fields of a room, since when it is empty, and when it ends.
ENDS: list[tuple[dict[str, Any], str | None, str | None]] = [
    ({}, None, None),
    ({"expires_at": NOON}, None, NOON),
    ({"end_when_empty": 90}, None, None),
    ({"end_when_empty": 90}, "2026-03-03T10:00:00.007Z", "2026-03-03T10:01:30.007Z"),
    ({"end_when_empty": 90, "expires_at": NOON}, "2026-03-03T10:00:00.007Z", "2026-03-03T10:01:30.007Z"),
    ({"end_when_empty": 86_400, "expires_at": NOON}, "2026-03-03T10:00:00.007Z", NOON),
    ({"end_when_empty": 86_400, "expires_at": NOON}, None, NOON),
    ({"expires_at": NOON, "is_active": False}, None, None),
]


@pytest.mark.parametrize(("fields", "since", "due"), ENDS)
def test_when_a_room_ends(fields: dict[str, Any], since: str | None, due: str | None) -> None:
    """The earlier of the two, for an active room."""
    assert ends_at(new_room(**fields).settings, since) == due


@pytest.mark.parametrize("milliseconds", range(1000))
def test_sums_of_stamps_are_exact(milliseconds: int) -> None:
    """A stamp and whole seconds give the stamp with the same milliseconds."""
    room = new_room(end_when_empty=7).settings
    assert ends_at(room, f"2026-03-03T10:00:00.{milliseconds:03}Z") == f"2026-03-03T10:00:07.{milliseconds:03}Z"


def test_why_a_room_ends() -> None:
    """Not before its time; then its expiry comes first."""
    room = new_room(expires_at=at(90).stamp, end_when_empty=90).settings
    assert end_due(room, at(0).stamp, at(89.999).stamp) is None
    assert end_due(room, at(0).stamp, at(90).stamp) == "expired"
    room = new_room(end_when_empty=90).settings
    assert end_due(room, at(0).stamp, at(91).stamp) == "empty"


def test_an_end_that_is_due() -> None:
    """As with `end-room`: everyone has left, those who wait are told, and nothing is changed when it is too early."""
    a_room = lobby(expires_at=at(60).stamp)
    assert act(a_room, commands.EndDue(), 59) == []
    changes = act(a_room, commands.EndDue(), 60)
    assert changes[-1] == RoomChanged(a_room.settings, "expired")
    assert told(changes) == dict.fromkeys(("p2", "p3", "p4"), errors.ROOM_INACTIVE)
    assert (a_room.settings.is_active, a_room.settings.ended_at, len(a_room.seats)) == (False, at(60).stamp, 0)
    assert a_room.ends_at is None
    assert not do(a_room, commands.EndDue(), 61)


def emptied(a_room: Room, clock: float, *moves: commands.Leave | commands.Join | commands.UpdateRoom) -> list[Change]:
    """Make commands true as one batch does; return what the room notes of its emptiness."""
    changes: list[Change] = []
    for move in moves:
        changes += act(a_room, move, clock)
    noted: list[Change] = [*note_emptiness(a_room, changes, at(clock))]
    for change in noted:
        a_room.apply(change)
    return noted


def test_emptiness_is_noted() -> None:
    """When the last one leaves, when somebody comes, and when it begins or ceases to matter; not in between."""
    a_room = new_room()
    assert emptied(a_room, 1) == []
    assert emptied(a_room, 2, commands.UpdateRoom(HOST, Settings(end_when_empty=60))) == [RoomEmptied(at(2).stamp)]
    assert a_room.ends_at == at(62).stamp
    assert emptied(a_room, 3, commands.UpdateRoom(HOST, Settings(name="x"))) == [], "still empty"
    assert emptied(a_room, 4, commands.UpdateRoom(HOST, Settings(end_when_empty=90))) == []
    assert a_room.ends_at == at(92).stamp, "from the same time on"
    assert emptied(a_room, 5, join(HOST, "p1")) == [RoomEmptied(None)]
    assert a_room.ends_at is None
    assert emptied(a_room, 6, join(BOB, "p2")) == []
    do(a_room, commands.Drop("p1", 1, 0), 7)
    assert emptied(a_room, 7, commands.Leave("p2", 3)) == [], "a held seat counts"
    expired = act(a_room, commands.Expire(), 40)
    assert note_emptiness(a_room, expired, at(40)) == [RoomEmptied(at(40).stamp)]
    a_room.apply(RoomEmptied(at(40).stamp))
    assert emptied(a_room, 50, join(HOST, "p5"), commands.Leave("p5", 1)) == [RoomEmptied(at(50).stamp)]
    assert emptied(a_room, 51, commands.UpdateRoom(HOST, Settings(end_when_empty=0))) == [RoomEmptied(None)]


def test_who_waits_is_there() -> None:
    """A place in the queue counts; an ended room is not empty."""
    a_room = new_room(waiting_room=True, end_when_empty=60)
    assert emptied(a_room, 1) == [RoomEmptied(at(1).stamp)]
    act(a_room, join(CAROL, "p1", wait=True), 2)
    assert emptied(a_room, 2) == [RoomEmptied(None)]
    assert emptied(a_room, 3, commands.Leave("p1", 5)) == [RoomEmptied(at(3).stamp)]
    assert do(a_room, commands.EndDue(), 63)
    assert note_emptiness(a_room, [], at(63)) == [RoomEmptied(None)]


def test_a_failed_batch_forgets_the_emptiness() -> None:
    """A checkpoint has when the room ends."""
    a_room = new_room(end_when_empty=60)
    before = a_room.checkpoint()
    emptied(a_room, 1)
    assert a_room.ends_at == at(61).stamp
    a_room.restore(before)
    assert act(a_room, commands.EndDue(), 61) == []


# Deletion.


def test_a_room_is_deleted() -> None:
    """Those who are there are told that it has ended; then it is gone."""
    a_room = lobby()
    changes = act(a_room, commands.DeleteRoom(HOST), 9)
    ended = msgspec.structs.replace(new_room(waiting_room=True).settings, is_active=False, ended_at=at(9).stamp)
    assert changes[-2:] == [RoomChanged(ended, "deleted"), RoomDeleted(ended)]
    assert all(isinstance(change, SeatChanged) for change in changes[:-2])
    assert told(changes) == dict.fromkeys(("p2", "p3", "p4"), errors.ROOM_INACTIVE)
    assert a_room.is_deleted


def test_an_ended_room_is_deleted() -> None:
    """It ends only once."""
    a_room = meeting()
    ended = do(a_room, commands.EndRoom(HOST))
    assert act(a_room, commands.DeleteRoom(ADMIN)) == [RoomDeleted(ended)]


@pytest.mark.parametrize("who", [BOB, GUEST, CAROL])
def test_who_deletes(who: Caller) -> None:
    """403 `not_host` to anybody else."""
    assert refused(meeting(), commands.DeleteRoom(who)) == errors.NOT_HOST
