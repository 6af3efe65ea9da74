"""The fields that a room may have: how they are read, and that they are left out where they are not set."""

import json

import pytest

from roomd.protocol import requests
from roomd.protocol.codec import BadFrame, decode, encode
from roomd.protocol.events import RoomEnded
from roomd.protocol.objects import Room
from roomd.protocol.replies import RoomReply
from roomd.protocol.requests import Request
from roomd.protocol.timestamps import read_time
from tests.support.stored import ROOM

# A frame, and what it is read as.
READ: list[tuple[str, Request]] = [
    ('{"type": "create-room", "externalId": "x 1", "metadata": {"a": [1, null]}, "expiresAt": "never", "hostId": "b"}',
     requests.CreateRoom(external_id="x 1", metadata={"a": [1, None]}, expires_at="never", host_id="b")),
    ('{"type": "update-room", "code": "a", "metadata": {}, "endWhenEmpty": 0}',
     requests.UpdateRoom(code="a", metadata={}, end_when_empty=0)),
    ('{"type": "get-room", "externalId": "x"}', requests.GetRoom(external_id="x")),
    ('{"type": "list-rooms", "externalId": "x"}', requests.ListRooms(external_id="x")),
]  # fmt: skip

# A frame, and what is wrong with it.
BAD = {
    '{"type": "create-room", "metadata": [1]}': "Expected `object | null`, got `array` - at `$.metadata`",
    '{"type": "create-room", "metadata": "a"}': "Expected `object | null`, got `str` - at `$.metadata`",
    '{"type": "create-room", "endWhenEmpty": 1.5}': "Expected `int | null`, got `float` - at `$.endWhenEmpty`",
    '{"type": "create-room", "endWhenEmpty": true}': "Expected `int | null`, got `bool` - at `$.endWhenEmpty`",
    '{"type": "get-room", "externalId": ""}': "Expected `str` of length >= 1 - at `$.externalId`",
    f'{{"type": "get-room", "externalId": "{"x" * 129}"}}': "Expected `str` of length <= 128 - at `$.externalId`",
}


@pytest.mark.parametrize(("text", "request_"), READ)
def test_requests(text: str, request_: Request) -> None:
    """Metadata may have any JSON inside."""
    assert decode(text) == request_


@pytest.mark.parametrize(("text", "detail"), BAD.items())
def test_bad_frames(text: str, detail: str) -> None:
    """Values of a wrong type."""
    with pytest.raises(BadFrame) as caught:
        decode(text)
    assert caught.value.message == f"Malformed frame: {detail}"


def test_what_is_not_set_is_left_out() -> None:
    """A room without them costs no byte more; all other keys are there, null too."""
    plain = json.loads(encode(RoomReply(room=ROOM)))["room"]
    assert plain.keys() == {
        "id", "code", "name", "hostId", "isActive", "isLocked", "maxParticipants", "allowGuestAccess", "waitingRoom",
        "historyVisible", "participantCount", "createdAt", "endedAt",
    }  # fmt: skip
    fields = {"externalId": "x", "metadata": {"a": 1}, "expiresAt": "2026-03-03T12:00:00.000Z", "endWhenEmpty": 60}
    full = json.loads(encode(RoomReply(room=Room(
        id="r", code="c", name="n", host_id="a", is_active=True, is_locked=False, max_participants=2,
        allow_guest_access=True, waiting_room=False, history_visible="all", participant_count=0, created_at="t",
        ended_at=None, external_id="x", metadata={"a": 1}, expires_at="2026-03-03T12:00:00.000Z", end_when_empty=60,
    ))))["room"]  # fmt: skip
    assert {key: value for key, value in full.items() if key not in plain} == fields


def test_the_reason_of_an_end() -> None:
    """Left out when a host ended the room, as before there were others."""
    assert json.loads(encode(RoomEnded(seq=1, room_id="r"))) == {"type": "room-ended", "seq": 1, "roomId": "r"}
    assert json.loads(encode(RoomEnded(seq=1, room_id="r", reason="empty")))["reason"] == "empty"


@pytest.mark.parametrize(
    ("text", "stamp"),
    [
        ("2026-03-03T12:00:00Z", "2026-03-03T12:00:00.000Z"),
        ("2026-03-03T12:00+02:00", "2026-03-03T10:00:00.000Z"),
        ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00.000Z"),
        ("1969-12-31T23:59:59Z", None),
        ("2026-03-03T12:00:00", None),
        ("9999-12-31T23:59:59-01:00", None),
        ("noon", None),
    ],
)
def test_times(text: str, stamp: str | None) -> None:
    """ISO 8601 with an offset, since 1970 and up to the year 9999."""
    assert read_time(text) == stamp
