"""What was said while a client was away: what it reads, and what it tells."""

from roomd.client import MeetingEvent, MessagesSkipped, Replaced, Returned, Said, View
from roomd.client.catch_up import CATCH_UP, MOST_MESSAGES, MOST_PAGES
from roomd.protocol import events, replies
from roomd.protocol.objects import Message
from tests.support.people import BOB, JANE, SEAT, message, page, present, state


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
    assert view.apply(state(2, JANE, BOB, said=(message("1"), message("2")))) == [Replaced()]
    assert view.apply(page(message("1"), message("2"))) == [Said(message("1")), Said(message("2"))]


def test_more_was_said_than_is_kept() -> None:
    """The newest messages are told, and before them that there were more; the view has no hole."""
    view = present(BOB, said=(message("0"),))
    back(view)
    many = [message(str(number)) for number in range(1, MOST_MESSAGES + 2)]
    last = message("last")
    live(view, last)
    kept = [*many[2:], last]
    assert view.apply(page(*many)) == [MessagesSkipped("0", kept[0].id), *(Said(one) for one in kept)]
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
        assert events == [MessagesSkipped("0", "a"), *(Said(one) for one in told)]
        assert view.messages == told


def test_private_messages_without_end() -> None:
    """Where there is no public message to begin anew at, reading goes on, and ends all the same."""
    view = present(BOB)
    back(view)
    for number in range(2 * MOST_PAGES - 1):
        assert view.apply(page(message(str(number), to="jane"), after=str(number))) == []
    live(view, message("now"))
    assert view.apply(page(after="for ever")) == [MessagesSkipped(None, "now"), Said(message("now"))]


def test_nothing_to_read() -> None:
    """When the pages are not to be had, or the room is over first, what is known is told, with a gap before it."""
    told = [MessagesSkipped("0", "1"), Said(message("1")), Said(message("2"))]
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


def test_an_unasked_state_repeats_nothing() -> None:
    """It may come because something was missed: messages are read from the last one, and each is told once."""
    view = present(BOB, said=(message("0"),))
    live(view, message("1"))
    assert view.apply(state(12, JANE, BOB, said=(message("0"), message("1"), message("3")))) == [Replaced()]
    assert view.missed is not None
    assert view.missed.cursor == "1"
    told = view.apply(page(message("2"), message("3")))
    assert told == [Said(message("2")), Said(message("3"))]
