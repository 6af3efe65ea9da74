"""The storm's clock stops on a count; what follows must notice when the count lied."""

import json

import pytest

from bench.load import EVENTS, JOINED, LEFT, REPLY, join_frame
from bench.storm import PERSON, Event, check_view
from roomd import codec, frames

EVERYBODY = {"a", "b", "c"}
STATE = Event(4, True, frozenset("ab"), True)
CHANGE = Event(5, False, frozenset("c"), True)


def participant(name: str) -> frames.Participant:
    return frames.Participant(
        id=name, room_id="r", user_id=None, guest_name=name, is_active=True, is_host=False,
        joined_at="2026-03-03T10:36:00.000Z", left_at=None, display_name=name,
    )  # fmt: skip


def test_a_client_told_of_everybody_once_and_in_order_passes() -> None:
    check_view([STATE, CHANGE], EVERYBODY)


@pytest.mark.parametrize(
    "events",
    [
        pytest.param([STATE], id="somebody missing"),
        pytest.param([CHANGE, STATE], id="the change before the state"),
        pytest.param([STATE, CHANGE._replace(seq=6)], id="an event missing"),
        pytest.param([STATE, CHANGE, CHANGE._replace(seq=6)], id="somebody twice"),
        pytest.param([STATE, STATE._replace(seq=5, joined=frozenset("c"))], id="two states"),
        pytest.param([STATE, CHANGE._replace(is_plain=False)], id="somebody left"),
        pytest.param([STATE, CHANGE._replace(joined=frozenset("d"))], id="a stranger"),
        pytest.param([], id="nothing"),
    ],
)
def test_any_other_view_is_refused(events: list[Event]) -> None:
    with pytest.raises(RuntimeError):
        check_view(events, EVERYBODY)


def test_events_are_read_as_roomd_writes_them() -> None:
    """The marker counts what the parser finds, and the first bytes tell events from replies."""
    change = frames.ParticipantsChanged(seq=5, joined=[participant("a"), participant("b")], updated=[], left=[])
    payload = codec.encode(change)
    assert payload.startswith(EVENTS)
    assert payload.count(PERSON) == 2
    assert Event.parse(payload) == Event(5, False, frozenset("ab"), True)


@pytest.mark.parametrize(("request_id", "marker", "other"), [(1, JOINED, LEFT), (2, LEFT, JOINED)])
def test_replies_are_told_apart_as_roomd_writes_them(request_id: int, marker: bytes, other: bytes) -> None:
    payload = codec.encode(frames.ParticipantReply(id=request_id, participant=participant("a"), resume_token="t"))
    assert payload.startswith(REPLY)
    assert marker in payload
    assert other not in payload


def test_a_change_that_also_tells_of_leaving_is_not_plain() -> None:
    change = frames.ParticipantsChanged(seq=5, joined=[], updated=[], left=[participant("a")])
    assert not Event.parse(codec.encode(change)).is_plain


def test_joins_are_frames_of_one_size() -> None:
    assert len(join_frame("abc-def-ghi", 0)) == len(join_frame("abc-def-ghi", 999))
    assert json.loads(join_frame("abc-def-ghi", 7))["guestName"] == "Guest 0007"
