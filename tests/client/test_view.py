"""The client's view of a room: frames in, what is known and what happened out."""

from typing import Any

import msgspec
import pytest

from roomd.client import (
    Entered,
    Joined,
    Left,
    LobbyChanged,
    MeetingEvent,
    MuteRequested,
    Over,
    Placed,
    Replaced,
    Returned,
    RoomChanged,
    Said,
    ServerRestarts,
    Signalled,
    Updated,
    View,
)
from roomd.protocol import events, replies
from roomd.protocol.objects import Participant
from tests.support.people import (
    BOB,
    BOB_AWAY,
    BOB_LEFT,
    CARL,
    JANE,
    LOCKED,
    ROOM,
    SEAT,
    WAITER,
    changed,
    message,
    page,
    people,
    person,
    present,
    state,
)

PLACE = replies.WaitingReply(id=1, participant_id="jane", position=2, reason="room_full", resume_token="queue")
DENIED: dict[str, Any] = {"status_code": 403, "code": "denied", "message": "The host declined"}


def test_enters() -> None:
    """The seat comes first and then the room; together they are one event, and the view is the server's."""
    view = View()
    assert (view.status, view.me, view.room, view.participants) == ("connecting", None, None, {})
    view.apply(SEAT)
    assert (view.status, view.me, view.resume_token) == ("connecting", JANE, "one")
    assert view.apply(state(10, BOB, JANE, said=(message("1"),))) == [Entered()]
    assert (view.status, view.me, people(view), view.messages) == ("joined", JANE, [BOB, JANE], [message("1")])
    assert view.room == msgspec.structs.replace(ROOM, participant_count=2)


CHANGES: list[tuple[events.Event | replies.Reply, list[MeetingEvent], list[Participant]]] = [
    (changed(11, joined=(CARL,)), [Joined(CARL)], [JANE, BOB, CARL]),
    (changed(11, updated=(BOB_AWAY,)), [Updated(BOB_AWAY, BOB)], [JANE, BOB_AWAY]),
    (changed(11, updated=(CARL,)), [Updated(CARL, CARL)], [JANE, BOB, CARL]),
    (changed(11, left=(BOB_LEFT,)), [Left(BOB_LEFT)], [JANE]),
    (
        changed(11, joined=(CARL,), updated=(person("jane", state={"muted": True}),), left=(BOB_LEFT,)),
        [Joined(CARL), Updated(person("jane", state={"muted": True}), JANE), Left(BOB_LEFT)],
        [person("jane", state={"muted": True}), CARL],
    ),
    (events.MuteRequested(), [MuteRequested()], [JANE, BOB]),
    (events.ServerRestarting(retry_after=1.5), [ServerRestarts()], [JANE, BOB]),
    (events.SignalEvent(sender="bob", data=msgspec.Raw(b'{"a":[1]}')), [Signalled("bob", {"a": [1]})], [JANE, BOB]),
    (events.SignalEvent(sender="bob", data=msgspec.Raw(b"[" * 100_000)), [], [JANE, BOB]),
    (events.SignalEvent(sender="bob", data=msgspec.Raw(b'"\xff"')), [], [JANE, BOB]),
    (events.WaitingChanged(waiting=[WAITER]), [LobbyChanged((WAITER,))], [JANE, BOB]),
    (replies.PongReply(id=3), [], [JANE, BOB]),
    (replies.ErrorReply(id=1, **DENIED), [], [JANE, BOB]),
    (replies.ErrorReply(**DENIED), [], [JANE, BOB]),
]


@pytest.mark.parametrize(("frame", "told", "everyone"), CHANGES)
def test_changes(frame: events.Event, told: list[MeetingEvent], everyone: list[Participant]) -> None:
    """Each frame comes to its events, and the view follows, the count of seats included."""
    view = present(BOB)
    assert view.apply(frame) == told
    assert people(view) == everyone
    assert view.room is not None
    assert view.room.participant_count == len(everyone)
    assert (view.me, view.over) == (next(one for one in everyone if one.id == "jane"), None)


def test_settings() -> None:
    """A change of the room's settings is told with what they were; a mere count is not."""
    view = present(BOB)
    view.apply(changed(11, joined=(CARL,)))
    before, after = (msgspec.structs.replace(room, participant_count=3) for room in (ROOM, LOCKED))
    assert view.apply(events.RoomUpdated(seq=12, room=after)) == [RoomChanged(after, before)]
    assert view.apply(events.RoomUpdated(seq=13, room=after)) == []
    assert (view.room, view.is_stale) == (after, False)


def test_known_events_are_passed_over() -> None:
    """What the room's state has already is not told again."""
    view = present(BOB)
    for seq in (1, 10):
        assert view.apply(changed(seq, left=(BOB_LEFT,))) == []
    assert people(view) == [JANE, BOB]
    assert not view.is_stale


@pytest.mark.parametrize("late", [changed(12, joined=(CARL,)), events.RoomUpdated(seq=12, room=LOCKED)])
def test_a_gap_makes_it_stale(late: events.Event) -> None:
    """What does not follow is not applied, nor is anything behind it, until the whole room came again."""
    view = present(BOB)
    assert view.apply(late) == []
    assert view.is_stale
    assert view.apply(changed(11, left=(BOB_LEFT,))) == []
    assert view.apply(changed(13, left=(BOB_LEFT,))) == []
    assert people(view) == [JANE, BOB]
    view.apply(replies.ParticipantReply(id=2, participant=JANE, resume_token="two"))
    assert view.apply(state(13, JANE, CARL)) == [Joined(CARL), Left(BOB), Replaced()]
    assert (view.is_stale, view.status, view.resume_token) == (False, "joined", "two")
    assert view.apply(changed(14, left=(CARL,))) == [Left(CARL)]


def test_before_the_room_is_known() -> None:
    """Nothing numbered means anything before `room-state`."""
    view = View()
    assert view.apply(changed(11, joined=(CARL,))) == []
    assert view.apply(events.RoomUpdated(seq=11, room=LOCKED)) == []
    assert (view.participants, view.room, view.is_stale) == ({}, None, False)


def test_comes_back() -> None:
    """After a drop the view is the new room-state, and the differences are told as if they had come one by one."""
    said = (message("1"), message("2"))
    view = present(BOB, CARL, said=said[:1])
    view.apply(changed(12))
    assert view.is_stale
    view.drop()
    assert (view.status, view.is_stale, people(view)) == ("reconnecting", False, [JANE, BOB, CARL])
    assert view.apply(changed(11, left=(BOB,))) == []
    view.apply(replies.ParticipantReply(id=1, participant=JANE, resume_token="two"))
    dora = person("dora")
    fresh = state(3, JANE, BOB_AWAY, dora, room=LOCKED, said=said)
    assert view.apply(fresh) == [
        Returned(),
        Joined(dora),
        Updated(BOB_AWAY, BOB),
        Left(CARL),
        RoomChanged(fresh.room, msgspec.structs.replace(ROOM, participant_count=3)),
    ]
    assert view.apply(page(said[1])) == [Said(said[1])]
    assert (view.status, people(view), view.messages) == ("joined", [JANE, BOB_AWAY, dora], list(said))
    assert view.apply(changed(4, left=(dora,))) == [Left(dora)]


def test_joins_anew() -> None:
    """When the held seat was gone, a new one is entered; of the own coming and going nothing is told."""
    view = present(BOB)
    view.drop()
    view.forget_seat()
    assert view.resume_token is None
    again = person("jane-2")
    view.apply(replies.ParticipantReply(id=2, participant=again, resume_token="two"))
    assert view.me == again
    assert view.apply(state(3, BOB, CARL, again)) == [Entered(), Joined(CARL)]
    assert (view.me, people(view)) == (again, [BOB, CARL, again])


def test_waits() -> None:
    """The place is told as it changes; the room is known once there is a seat."""
    view = View()
    assert view.apply(PLACE) == [Placed("jane", 2, "room_full")]
    assert (view.status, view.place, view.resume_token, view.me) == (
        "waiting", Placed("jane", 2, "room_full"), "queue", None,
    )  # fmt: skip
    moved = replies.WaitingReply(participant_id="jane", position=1, reason="room_full")
    assert view.apply(moved) == [Placed("jane", 1, "room_full")]
    assert view.resume_token == "queue"
    assert view.apply(SEAT) == []
    assert (view.status, view.resume_token) == ("waiting", "one")
    assert view.apply(state(5, BOB, JANE)) == [Entered()]
    assert (view.status, view.place, view.me) == ("joined", None, JANE)


def test_waits_anew() -> None:
    """Who lost the seat and has to wait knows nothing of the room any more."""
    view = present(BOB, said=(message("1"),))
    view.drop()
    view.forget_seat()
    view.apply(PLACE)
    assert (view.me, view.room, view.participants, view.messages) == (None, None, {}, [])
    view.apply(SEAT)
    assert view.apply(state(5, JANE, CARL, said=(message("1"),))) == [Entered()]


@pytest.mark.parametrize(
    ("code", "words"), [("denied", "The host declined"), ("room_inactive", "Room is no longer active")]
)
def test_waits_in_vain(code: str, words: str) -> None:
    """The refusal that carries the join's id is the way out of the queue; an error of another request is not."""
    view = View()
    view.apply(PLACE)
    refusal = replies.ErrorReply(id=1, status_code=400, code=code, message=words)
    assert view.apply(msgspec.structs.replace(refusal, id=2)) == []
    assert view.status == "waiting"
    assert view.apply(refusal) == []
    assert view.over == Over(code, words)


def test_banned_while_waiting() -> None:
    """A ban is the host's removal, whatever it comes as."""
    view = View()
    view.apply(PLACE)
    view.apply(replies.ErrorReply(id=1, status_code=403, code="banned", message="You were removed from this room"))
    assert view.over == Over("removed", "You were removed from this room")


def test_a_drop_forgets_the_waiting_join() -> None:
    """Ids begin anew with each connection, so the id of a join that waited before means nothing now."""
    view = View()
    view.apply(PLACE)
    view.drop()
    view.apply(replies.ErrorReply(id=1, status_code=410, code="seat_expired", message="Seat is no longer held"))
    assert view.over is None
    resumed = replies.WaitingReply(id=2, participant_id="jane", position=2, reason="room_full", resume_token="queue-2")
    view.apply(resumed)
    assert (view.status, view.resume_token) == ("waiting", "queue-2")
    view.apply(replies.ErrorReply(id=2, **DENIED))
    assert view.over == Over("denied", "The host declined")


ENDS: list[tuple[events.Event | replies.Reply, Over]] = [
    (events.RoomEnded(seq=11, room_id="r"), Over("room_ended", "The room has ended")),
    (events.RoomEnded(seq=99, room_id="r"), Over("room_ended", "The room has ended")),
    (events.RoomEnded(seq=11, room_id="r", reason="empty"), Over("room_ended", "The room has ended", "empty")),
    (events.Removed(reason="spam"), Over("removed", "You were removed from this room", "spam")),
    (events.Removed(reason=None), Over("removed", "You were removed from this room")),
    (
        replies.ParticipantReply(id=4, participant=person("jane", left_at="2026-03-03T10:40:00.000Z")),
        Over("left", "You left the room"),
    ),
]


@pytest.mark.parametrize(("frame", "over"), ENDS)
def test_ends(frame: events.Event, over: Over) -> None:
    """Every end is told with its reason, and nothing changes after it."""
    view = present(BOB)
    assert view.apply(frame) == []
    assert (view.status, view.over) == ("over", over)
    assert view.apply(changed(12, joined=(CARL,))) == []
    view.drop()
    view.finish(Over("left", ""))
    assert (view.status, view.over) == ("over", over)


def test_the_end_of_the_room_is_seen() -> None:
    """An ended room has no seats; one that ends before it was seen is over all the same."""
    view = present(BOB)
    view.apply(events.RoomEnded(seq=11, room_id="r"))
    assert people(view) == []
    assert view.room == msgspec.structs.replace(ROOM, is_active=False, participant_count=0)
    unseen = View()
    unseen.apply(events.RoomEnded(seq=11, room_id="r"))
    assert (unseen.room, unseen.status) == (None, "over")


def test_lobby() -> None:
    """After a drop a host is told who waits, and nothing when nobody waits: the reply to a later request shows that."""
    view = present()
    view.apply(events.WaitingChanged(waiting=[WAITER]))
    view.apply(SEAT)
    assert view.apply(state(12, JANE)) == [Replaced()]
    assert list(view.lobby) == [WAITER]
    view.drop()
    view.apply(SEAT)
    assert view.apply(state(1, JANE)) == [Returned()]
    assert view.apply(events.WaitingChanged(waiting=[WAITER])) == []
    assert view.apply(page()) == []
    assert list(view.lobby) == [WAITER]
    view.drop()
    view.apply(SEAT)
    assert view.apply(state(1, JANE)) == [Returned()]
    assert list(view.lobby) == [WAITER]
    assert view.apply(page()) == [LobbyChanged(())]
    assert list(view.lobby) == []


def test_an_event_of_nobody_s_seat() -> None:
    """A room-state without a seat before it, which the server never sends, is still a room."""
    view = View()
    assert view.apply(state(1, BOB)) == [Entered()]
    assert (view.me, people(view)) == (None, [BOB])
