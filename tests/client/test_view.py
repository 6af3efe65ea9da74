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
    MessagesSkipped,
    MuteRequested,
    Over,
    Placed,
    Returned,
    RoomChanged,
    Said,
    ServerRestarts,
    Signalled,
    Updated,
    View,
)
from roomd.client.missed import CATCH_UP, MOST_MESSAGES, MOST_PAGES
from roomd.protocol import events, objects, replies
from roomd.protocol.objects import Message, Participant, Room

ROOM = Room(
    id="r", code="abc-def-ghi", name="Weekly", host_id="alice", is_active=True, is_locked=False, max_participants=5,
    allow_guest_access=True, waiting_room=False, participant_count=1, created_at="2026-03-03T10:35:00.000Z",
    ended_at=None,
)  # fmt: skip
LOCKED = msgspec.structs.replace(ROOM, is_locked=True)


def person(key: str, **changes: Any) -> Participant:
    """Somebody in the room."""
    one = Participant(
        id=key, room_id="r", user_id=None, guest_name=key.title(), is_active=True, is_host=False,
        joined_at="2026-03-03T10:36:00.000Z", left_at=None, display_name=key.title(),
    )  # fmt: skip
    return msgspec.structs.replace(one, **changes)


def message(key: str, to: str | None = None, sender: str = "bob") -> Message:
    """Something said."""
    return Message(
        id=key, participant_id=sender, display_name=sender.title(), text=f"text {key}",
        sent_at="2026-03-03T10:37:00.000Z", to=to,
    )  # fmt: skip


JANE, BOB, CARL = person("jane"), person("bob"), person("carl")
BOB_AWAY = person("bob", is_active=False)
BOB_LEFT = person("bob", is_active=False, left_at="2026-03-03T10:40:00.000Z")
WAITER = objects.Waiting(
    participant_id="w", user_id=None, guest_name="W", display_name="W", is_active=True, position=1,
    reason="waiting_room", waiting_since="2026-03-03T10:36:00.000Z",
)  # fmt: skip

SEAT = replies.ParticipantReply(id=1, participant=JANE, resume_token="one")
PLACE = replies.WaitingReply(id=1, participant_id="jane", position=2, reason="room_full", resume_token="queue")
DENIED: dict[str, Any] = {"status_code": 403, "code": "denied", "message": "The host declined"}


def state(seq: int, *people: Participant, room: Room = ROOM, said: tuple[Message, ...] = ()) -> events.RoomState:
    """A whole room, as the server tells it."""
    room = msgspec.structs.replace(room, participant_count=len(people))
    return events.RoomState(epoch="e", seq=seq, room=room, participants=list(people), messages=list(said))


def changed(
    seq: int,
    joined: tuple[Participant, ...] = (),
    updated: tuple[Participant, ...] = (),
    left: tuple[Participant, ...] = (),
) -> events.ParticipantsChanged:
    """A turn's net effect."""
    return events.ParticipantsChanged(seq=seq, joined=list(joined), updated=list(updated), left=list(left))


def page(*said: Message, after: str | None = None) -> replies.MessagesReply:
    """A page of what was said; `after` is where the next one begins."""
    return replies.MessagesReply(id=CATCH_UP, messages=list(said), next_cursor=after)


def present(*people: Participant, seq: int = 10, said: tuple[Message, ...] = ()) -> View:
    """Jane's view of a room she has just entered."""
    view = View()
    assert view.apply(SEAT) == []
    assert view.apply(state(seq, JANE, *people, said=said)) == [Entered()]
    return view


def test_enters() -> None:
    """The seat comes first and then the room; together they are one event, and the view is the server's."""
    view = View()
    assert (view.status, view.me, view.room, view.participants) == ("joining", None, None, [])
    view.apply(SEAT)
    assert (view.status, view.me, view.resume_token) == ("joining", JANE, "one")
    assert view.apply(state(10, BOB, JANE, said=(message("1"),))) == [Entered()]
    assert (view.status, view.me, view.participants, view.messages) == ("present", JANE, [BOB, JANE], [message("1")])
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


@pytest.mark.parametrize(("frame", "events", "people"), CHANGES)
def test_changes(frame: events.Event, events: list[MeetingEvent], people: list[Participant]) -> None:
    """Each frame comes to its events, and the view follows, the count of seats included."""
    view = present(BOB)
    assert view.apply(frame) == events
    assert view.participants == people
    assert view.room is not None
    assert view.room.participant_count == len(people)
    assert (view.me, view.over) == (next(one for one in people if one.id == "jane"), None)


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
    assert view.participants == [JANE, BOB]
    assert not view.is_stale


@pytest.mark.parametrize("late", [changed(12, joined=(CARL,)), events.RoomUpdated(seq=12, room=LOCKED)])
def test_a_gap_makes_it_stale(late: events.Event) -> None:
    """What does not follow is not applied, nor is anything behind it, until the whole room came again."""
    view = present(BOB)
    assert view.apply(late) == []
    assert view.is_stale
    assert view.apply(changed(11, left=(BOB_LEFT,))) == []
    assert view.apply(changed(13, left=(BOB_LEFT,))) == []
    assert view.participants == [JANE, BOB]
    view.apply(replies.ParticipantReply(id=2, participant=JANE, resume_token="two"))
    assert view.apply(state(13, JANE, CARL)) == [Joined(CARL), Left(BOB)]
    assert (view.is_stale, view.status, view.resume_token) == (False, "present", "two")
    assert view.apply(changed(14, left=(CARL,))) == [Left(CARL)]


def test_before_the_room_is_known() -> None:
    """Nothing numbered means anything before `room-state`."""
    view = View()
    assert view.apply(changed(11, joined=(CARL,))) == []
    assert view.apply(events.RoomUpdated(seq=11, room=LOCKED)) == []
    assert (view.participants, view.room, view.is_stale) == ([], None, False)


def test_comes_back() -> None:
    """After a drop the view is the new room-state, and the differences are told as if they had come one by one."""
    said = (message("1"), message("2"))
    view = present(BOB, CARL, said=said[:1])
    view.apply(changed(12))
    assert view.is_stale
    view.drop()
    assert (view.status, view.is_stale, view.participants) == ("away", False, [JANE, BOB, CARL])
    assert view.apply(changed(11, left=(BOB,))) == []
    view.apply(replies.ParticipantReply(id=1, participant=JANE, resume_token="two"))
    dora = person("dora")
    fresh = state(3, JANE, BOB_AWAY, dora, room=LOCKED, said=said)
    assert view.apply(fresh) == [
        Returned(),
        Updated(BOB_AWAY, BOB),
        Joined(dora),
        Left(CARL),
        RoomChanged(fresh.room, msgspec.structs.replace(ROOM, participant_count=3)),
    ]
    assert view.apply(page(said[1])) == [Said(said[1])]
    assert (view.status, view.participants, view.messages) == ("present", [JANE, BOB_AWAY, dora], list(said))
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
    assert (view.me, view.participants) == (again, [BOB, CARL, again])


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
    assert (view.status, view.place, view.me) == ("present", None, JANE)


def test_waits_anew() -> None:
    """Who lost the seat and has to wait knows nothing of the room any more."""
    view = present(BOB, said=(message("1"),))
    view.drop()
    view.forget_seat()
    view.apply(PLACE)
    assert (view.me, view.room, view.participants, view.messages) == (None, None, [], [])
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
    assert view.over == Over("removed", "")


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
    (events.Removed(reason="spam"), Over("removed", "spam")),
    (events.Removed(reason=None), Over("removed", "")),
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
    assert view.participants == []
    assert view.room == msgspec.structs.replace(ROOM, is_active=False, participant_count=0)
    unseen = View()
    unseen.apply(events.RoomEnded(seq=11, room_id="r"))
    assert (unseen.room, unseen.status) == (None, "over")


def live(view: View, *said: Message) -> list[MeetingEvent]:
    """Messages that come as they are said."""
    return [event for one in said for event in view.apply(events.MessageEvent(message=one))]


def back(view: View, *said: Message) -> list[MeetingEvent]:
    """Drop, and come back to a room whose last public messages are these."""
    view.drop()
    view.apply(SEAT)
    return list(view.apply(state(1, JANE, BOB, said=said)))


def test_messages() -> None:
    """The last messages are kept in the order they were said, public and private ones; none is told twice."""
    first, private = message("0"), message("p", to="jane")
    view = present(BOB, said=(first,))
    assert live(view, first, private, private) == [Said(private)]
    assert view.messages == [first, private]
    later = [message(str(number)) for number in range(1, MOST_MESSAGES + 1)]
    assert live(view, *later) == [Said(one) for one in later]
    assert view.messages == later
    assert view.missed is None


def test_messages_missed() -> None:
    """What was said while away is told in its order, once, private messages and those between the pages included."""
    heard, private = [message(str(number)) for number in range(3)], message("3", to="jane")
    shown = [message(str(number)) for number in range(4, 7)]
    view = present(BOB, said=tuple(heard))
    assert back(view, *heard, *shown) == [Returned()]
    assert view.missed is not None
    assert view.missed.cursor == "2"
    assert live(view, message("7"), message("8", to="jane")) == []
    assert view.apply(page(private, shown[0], after="4")) == []
    assert view.missed.cursor == "4"
    late = [message("7"), message("8", to="jane")]
    assert view.apply(replies.MessagesReply(id=3, messages=[message("0")], next_cursor=None)) == []
    assert view.messages == heard
    told = [private, *shown, *late]
    assert view.apply(page(*shown[1:], late[0])) == [Said(one) for one in told]
    assert view.messages == [*heard, *told]
    assert live(view, *late) == []
    assert view.apply(page(message("9"))) == []


def test_catching_up_is_cut_off() -> None:
    """After another drop in the middle of it, everything since the last message told is read anew."""
    view = present(BOB, said=(message("0"),))
    back(view, message("1"))
    view.apply(page(message("1"), after="1"))
    live(view, message("2"))
    assert back(view, message("1"), message("2")) == [Returned()]
    assert view.missed is not None
    assert view.missed.cursor == "0"
    assert view.apply(state(2, JANE, BOB, said=(message("1"), message("2")))) == []
    assert view.apply(page(message("1"), message("2"))) == [Said(message("1")), Said(message("2"))]


def test_more_was_said_than_is_kept() -> None:
    """The newest messages are told, and before them that there were more; the view has no hole."""
    view = present(BOB, said=(message("0"),))
    back(view)
    many = [message(str(number)) for number in range(1, MOST_MESSAGES + 2)]
    last = message("last")
    live(view, last)
    kept = [*many[2:], last]
    assert view.apply(page(*many)) == [MessagesSkipped("0"), *(Said(one) for one in kept)]
    assert view.messages == kept


def test_far_more_was_said_than_is_read() -> None:
    """When the pages do not end, reading begins anew at the first message of `room-state`, and ends at last."""
    shown = [message("a"), message("c")]
    for ends in (True, False):
        view = present(BOB, said=(message("0"),))
        back(view, *shown)
        for number in range(MOST_PAGES):
            assert view.missed is not None
            assert view.apply(page(message(f"old {number}"), after=f"old {number}")) == []
        assert view.missed is not None
        assert view.missed.cursor == "a"
        private = message("b", to="jane")
        for number in range(MOST_PAGES - 1):
            assert view.apply(page(*[private][number:], after=str(number))) == []
        told = [shown[0], private, shown[1]] if ends else shown
        events = view.apply(page(shown[1], after=None if ends else "for ever"))
        assert events == [MessagesSkipped("0"), *(Said(one) for one in told)]
        assert view.messages == told


def test_private_messages_without_end() -> None:
    """Where there is no public message to begin anew at, reading goes on, and ends all the same."""
    view = present(BOB)
    back(view)
    for number in range(2 * MOST_PAGES - 1):
        assert view.apply(page(message(str(number), to="jane"), after=str(number))) == []
    live(view, message("now"))
    assert view.apply(page(after="for ever")) == [MessagesSkipped(None), Said(message("now"))]


def test_nothing_to_read() -> None:
    """When the pages are not to be had, or the room is over first, what is known is told, with a gap before it."""
    told = [MessagesSkipped("0"), Said(message("1")), Said(message("2"))]
    ends: list[events.Event | replies.Reply] = [
        replies.ErrorReply(id=CATCH_UP, status_code=503, code="unavailable", message="No"),
        events.RoomEnded(seq=2, room_id="r"),
        events.Removed(reason="spam"),
    ]
    for end in ends:
        view = present(BOB, said=(message("0"),))
        back(view, message("0"), message("1"))
        live(view, message("2"))
        assert view.apply(end) == told
        assert (view.over is None) == isinstance(end, replies.ErrorReply)
        assert view.apply(page(message("3"))) == []


def test_a_refresh_repeats_nothing() -> None:
    """On the same connection nothing that was said is missed, and what `room-state` repeats is told once."""
    view = present(BOB, said=(message("0"),))
    live(view, message("1"))
    assert view.apply(state(12, JANE, BOB, said=(message("0"), message("1"), message("2")))) == [Said(message("2"))]
    assert view.missed is None


def test_lobby() -> None:
    """Who waits is told to a host anew after a drop, and until then nobody is known to wait."""
    view = present()
    view.apply(events.WaitingChanged(waiting=[WAITER]))
    view.apply(SEAT)
    assert view.apply(state(12, JANE)) == []
    assert list(view.lobby) == [WAITER]
    view.drop()
    view.apply(SEAT)
    assert view.apply(state(1, JANE)) == [Returned(), LobbyChanged(())]
    assert list(view.lobby) == []


def test_an_event_of_nobody_s_seat() -> None:
    """A room-state without a seat before it, which the server never sends, is still a room."""
    view = View()
    assert view.apply(state(1, BOB)) == [Entered()]
    assert (view.me, view.participants) == (None, [BOB])
