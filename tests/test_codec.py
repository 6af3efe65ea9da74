"""Frames on the wire, both ways: docs/protocol.md, sections 1, 3 to 7 and 9."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roomd.codec import BadFrame, decode, encode, error_reply, request_id
from roomd.errors import BAD_FRAME, RATE_LIMITED, ROOM_FULL, UNKNOWN_TYPE, Refused
from roomd.frames import (
    Admission,
    AnyRequest,
    Authenticate,
    AuthenticatedReply,
    CreateRoom,
    EndRoom,
    Event,
    GetRoom,
    JoinRoom,
    LeaveRoom,
    ListParticipants,
    ListRooms,
    Participant,
    ParticipantReply,
    ParticipantsChanged,
    ParticipantsReply,
    Ping,
    PongReply,
    Reply,
    Request,
    Resume,
    Room,
    RoomEnded,
    RoomReply,
    RoomsReply,
    RoomState,
    RoomUpdated,
    ServerRestarting,
    UpdateRoom,
)

CODE = "abc-def-ghi"

REQUESTS: list[tuple[str, Request]] = [
    ('{"type": "ping"}', Ping()),
    ('{"type": "ping", "id": 7}', Ping(id=7)),
    ('{"type": "ping", "id": "a"}', Ping(id="a")),
    (f'{{"type": "ping", "id": "{"x" * 64}"}}', Ping(id="x" * 64)),
    ('{"type": "ping", "id": null}', Ping()),
    ('{"id": -1, "type": "ping", "unknown": {"keys": ["are", "ignored"]}}', Ping(id=-1)),
    (f'{{"type": "ping", "unknown": "{"x" * 60_000}"}}', Ping()),
    (f'{{"type": "ping", "{"k" * 60_000}": 1}}', Ping()),
    (f'{{"type": "ping", "unknown": {"9" * 60_000}}}', Ping()),
    (' {"type"\n:\t"ping"} ', Ping()),
    ('{"type":"authenticate","id":1,"token":"e30.e30.x"}', Authenticate(id=1, token="e30.e30.x")),
    ('{"type": "create-room"}', CreateRoom()),
    (
        '{"type": "create-room", "name": "Weekly", "maxParticipants": 100, "allowGuestAccess": false,'
        ' "waitingRoom": true}',
        CreateRoom(name="Weekly", max_participants=100, allow_guest_access=False, waiting_room=True),
    ),
    ('{"type": "get-room", "code": "ABC DEF GHI"}', GetRoom(code="ABC DEF GHI")),
    ('{"type": "list-rooms", "isActive": null, "cursor": null, "limit": null}', ListRooms()),
    (
        '{"type": "list-rooms", "isActive": true, "cursor": "c", "limit": 200}',
        ListRooms(is_active=True, cursor="c", limit=200),
    ),
    (
        '{"type": "update-room", "code": "abc-def-ghi", "name": "W", "isLocked": true, "maxParticipants": 2,'
        ' "allowGuestAccess": true, "waitingRoom": false}',
        UpdateRoom(
            code=CODE, name="W", is_locked=True, max_participants=2, allow_guest_access=True, waiting_room=False
        ),
    ),
    ('{"type": "update-room", "code": "abc-def-ghi"}', UpdateRoom(code=CODE)),
    ('{"type": "end-room", "code": "abc-def-ghi"}', EndRoom(code=CODE)),
    (
        '{"type": "join-room", "id": 1, "code": "abc-def-ghi", "guestName": "Jane Smith"}',
        JoinRoom(id=1, code=CODE, guest_name="Jane Smith"),
    ),
    ('{"type": "join-room", "code": "abc-def-ghi", "wait": true}', JoinRoom(code=CODE, wait=True)),
    (r'{"type": "join-room", "code": "", "guestName": "\ud83d\ude00"}', JoinRoom(code="", guest_name="\U0001f600")),
    ('{"type": "resume", "id": 1, "resumeToken": "r"}', Resume(id=1, resume_token="r")),
    ('{"type": "leave-room"}', LeaveRoom()),
    ('{"type": "list-participants", "code": "abc-def-ghi"}', ListParticipants(code=CODE)),
    (
        '{"type": "list-participants", "code": "abc-def-ghi", "history": true, "cursor": "c", "limit": 1}',
        ListParticipants(code=CODE, history=True, cursor="c", limit=1),
    ),
]


@pytest.mark.parametrize(("text", "request_"), REQUESTS, ids=[text[:60] for text, _ in REQUESTS])
def test_requests(text: str, request_: Request) -> None:
    """A request is read with its id; unknown keys are ignored, and null is the same as absent."""
    assert decode(text) == request_
    assert request_id(text) == request_.id


def test_every_request_type_is_read() -> None:
    """The table above holds every type of request there is."""
    assert {type(request) for _, request in REQUESTS} == set(AnyRequest.__args__)


JANE = Participant(
    id="01jq", room_id="01jp", user_id=None, guest_name="Jane Smith", is_active=True, is_host=False,
    joined_at="2026-03-03T10:36:00.000Z", left_at=None, display_name="Jane Smith",
)  # fmt: skip
JANE_JSON = {
    "id": "01jq", "roomId": "01jp", "userId": None, "guestName": "Jane Smith", "isActive": True,
    "isHost": False, "joinedAt": "2026-03-03T10:36:00.000Z", "leftAt": None, "displayName": "Jane Smith",
}  # fmt: skip
WEEKLY = Room(
    id="01jp", code=CODE, name="Weekly", host_id="alice", is_active=True, is_locked=False, max_participants=100,
    allow_guest_access=True, waiting_room=False, participant_count=3, created_at="2026-03-03T10:35:00.000Z",
    ended_at=None,
)  # fmt: skip
WEEKLY_JSON = {
    "id": "01jp", "code": "abc-def-ghi", "name": "Weekly", "hostId": "alice", "isActive": True, "isLocked": False,
    "maxParticipants": 100, "allowGuestAccess": True, "waitingRoom": False, "participantCount": 3,
    "createdAt": "2026-03-03T10:35:00.000Z", "endedAt": None,
}  # fmt: skip

FRAMES: list[tuple[Reply | Event, dict[str, Any]]] = [
    (PongReply(), {"type": "pong"}),
    (PongReply(id="a"), {"type": "pong", "id": "a"}),
    (
        AuthenticatedReply(id=1, user_id="alice", expires_at="2026-03-03T10:35:00.000Z"),
        {"type": "authenticated", "id": 1, "userId": "alice", "expiresAt": "2026-03-03T10:35:00.000Z"},
    ),
    (RoomReply(id=2, room=WEEKLY), {"type": "room", "id": 2, "room": WEEKLY_JSON}),
    (
        RoomReply(
            id=3,
            room=WEEKLY,
            admission=Admission(allowed=False, status_code=400, code="room_full", message="Room is full"),
        ),
        {
            "type": "room",
            "id": 3,
            "room": WEEKLY_JSON,
            "admission": {"allowed": False, "statusCode": 400, "code": "room_full", "message": "Room is full"},
        },
    ),
    (
        RoomReply(room=WEEKLY, admission=Admission(allowed=True)),
        {"type": "room", "room": WEEKLY_JSON, "admission": {"allowed": True}},
    ),
    (
        RoomsReply(id=4, rooms=[WEEKLY], next_cursor=None),
        {"type": "rooms", "id": 4, "rooms": [WEEKLY_JSON], "nextCursor": None},
    ),
    (
        ParticipantReply(id=1, participant=JANE, resume_token="r"),
        {"type": "participant", "id": 1, "participant": JANE_JSON, "resumeToken": "r"},
    ),
    (ParticipantReply(participant=JANE), {"type": "participant", "participant": JANE_JSON}),
    (
        ParticipantsReply(id=5, participants=[JANE], next_cursor="c"),
        {"type": "participants", "id": 5, "participants": [JANE_JSON], "nextCursor": "c"},
    ),
    (
        RoomState(epoch="e", seq=12, room=WEEKLY, participants=[JANE]),
        {"type": "room-state", "epoch": "e", "seq": 12, "room": WEEKLY_JSON, "participants": [JANE_JSON]},
    ),
    (
        ParticipantsChanged(seq=13, joined=[JANE], updated=[], left=[]),
        {"type": "participants-changed", "seq": 13, "joined": [JANE_JSON], "updated": [], "left": []},
    ),
    (RoomUpdated(seq=14, room=WEEKLY), {"type": "room-updated", "seq": 14, "room": WEEKLY_JSON}),
    (RoomEnded(seq=15, room_id="01jp"), {"type": "room-ended", "seq": 15, "roomId": "01jp"}),
    (ServerRestarting(retry_after=3.2), {"type": "server-restarting", "retryAfter": 3.2}),
    (
        error_reply(Refused(RATE_LIMITED, retry_after=2.5), 7),
        {
            "type": "error",
            "id": 7,
            "statusCode": 429,
            "code": "rate_limited",
            "message": "Too many requests",
            "retryAfter": 2.5,
        },
    ),
    (
        error_reply(Refused(ROOM_FULL), None),
        {"type": "error", "statusCode": 400, "code": "room_full", "message": "Room is full"},
    ),
]


@pytest.mark.parametrize(
    ("frame", "expected"), FRAMES, ids=[f"{type(f).__name__}-{n}" for n, (f, _) in enumerate(FRAMES)]
)
def test_replies_and_events(frame: Reply | Event, expected: dict[str, Any]) -> None:
    """A frame goes out as one JSON object with the protocol's keys, null where it says so, no key too many."""
    assert json.loads(encode(frame)) == expected


def test_every_frame_is_written() -> None:
    """The table above holds every reply and event there is."""
    assert {type(frame) for frame, _ in FRAMES} == {*Reply.__subclasses__(), *Event.__subclasses__()}


def test_frames_are_utf_8() -> None:
    """Text goes out as it is, in UTF-8."""
    reply = msgspec.structs.replace(JANE, guest_name="Zo\u00eb \U0001f600")
    assert "Zo\u00eb \U0001f600".encode() in encode(reply)


DEEP = 30_000
# text, what the message says after "Malformed frame: " (None: not asserted), the id that could be read
HOSTILE: dict[str, tuple[str, str | None, int | str | None]] = {
    "nothing": ("", None, None),
    "blank": ("  ", None, None),
    "no JSON": ("hello", None, None),
    "half an object": ('{"type": "ping"', None, None),
    "trailing characters": ('{"type": "ping"} x', None, None),
    "two frames": ('{"type": "ping"}{"type": "ping"}', None, None),
    "byte order mark": ('\ufeff{"type": "ping"}', None, None),
    "control character": ('{"type": "a\x01"}', None, None),
    "NaN": ('{"type": "ping", "x": NaN}', None, None),
    "array": ("[]", "Expected `object`, got `array`", None),
    "null": ("null", "Expected `object`, got `null`", None),
    "string": ('"ping"', "Expected `object`, got `str`", None),
    "no type": ('{"id": 7}', "Object missing required field `type`", 7),
    "type null": ('{"type": null, "id": 7}', "Expected `str`, got `null` - at `$.type`", 7),
    "type a number": ('{"type": 5, "id": 7}', "Expected `str`, got `int` - at `$.type`", 7),
    "type an object": ('{"type": {}, "id": 7}', "Expected `str`, got `object` - at `$.type`", 7),
    "unknown type in a broken frame": ('{"type": "nope", "x": [}', None, None),
    "key missing": ('{"type": "get-room", "id": 7}', "Object missing required field `code`", 7),
    "key null": ('{"type": "get-room", "code": null}', "Expected `str`, got `null` - at `$.code`", None),
    "key of another type": (
        '{"type": "join-room", "code": "a", "guestName": 5, "id": 7}',
        "Expected `str | null`, got `int` - at `$.guestName`",
        7,
    ),
    "number as text": (
        '{"type": "create-room", "maxParticipants": "5"}',
        "Expected `int | null`, got `str` - at `$.maxParticipants`",
        None,
    ),
    "bool as number": (
        '{"type": "create-room", "maxParticipants": true}',
        "Expected `int | null`, got `bool` - at `$.maxParticipants`",
        None,
    ),
    "fraction": (
        '{"type": "create-room", "maxParticipants": 2.5}',
        "Expected `int | null`, got `float` - at `$.maxParticipants`",
        None,
    ),
    "page of none": ('{"type": "list-rooms", "limit": 0}', "Expected `int` >= 1 - at `$.limit`", None),
    "page too large": ('{"type": "list-rooms", "limit": 201}', "Expected `int` <= 200 - at `$.limit`", None),
    "huge number": ('{"type": "create-room", "maxParticipants": 1e999}', None, None),
    "number of 60,000 digits": (f'{{"type": "create-room", "maxParticipants": {"9" * 60_000}}}', None, None),
    "id bool": ('{"type": "ping", "id": true}', None, None),
    "id fraction": ('{"type": "ping", "id": 1.5}', None, None),
    "id empty": ('{"type": "ping", "id": ""}', None, None),
    "id too long": (f'{{"type": "ping", "id": "{"x" * 65}"}}', None, None),
    "id huge": (f'{{"type": "ping", "id": {"9" * 60_000}}}', None, None),
    "id object": ('{"type": "ping", "id": {"a": 1}}', None, None),
    "nested arrays": ("[" * 60_000, None, None),
    "nested in an unknown key": (
        f'{{"id": 7, "type": "ping", "x": {"[" * DEEP}{"]" * DEEP}}}',
        "nested too deep",
        None,
    ),
    "nested objects": (f'{{"type": "ping", "x": {"{" * 2}', None, None),
    "nested 1,000 deep where a text belongs": (f'{{"type": "get-room", "code": {"[" * 1000}{"]" * 1000}}}', None, None),
    "lone surrogate, escaped": (r'{"type": "join-room", "code": "a", "guestName": "\ud800"}', None, None),
    "lone surrogate before text": (r'{"type": "ping", "id": "\ud800 and more"}', None, None),
    "surrogates in the wrong order": (r'{"type": "ping", "id": "\ude00\ud83d"}', None, None),
    "lone surrogate in the type": (r'{"type": "\udc00"}', None, None),
    "lone surrogate, raw": ('{"type": "ping", "id": "\ud800"}', "not valid Unicode", None),
    "two types": ('{"type": "ping", "type": "leave-room"}', "Invalid value 'leave-room' - at `$.type`", None),
    "long type, then a known one": (
        f'{{"type": "{"x" * 60_000}", "type": "ping"}}',
        f"Invalid value '{'x' * 185}…",
        None,
    ),
}


@pytest.mark.parametrize(("text", "detail", "id_"), HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_frames(text: str, detail: str | None, id_: int | str | None) -> None:
    """What is no request raises BadFrame and nothing else, says briefly what is wrong, and keeps the id it had."""
    with pytest.raises(BadFrame) as caught:
        decode(text)
    bad = caught.value
    assert bad.kind is BAD_FRAME
    assert bad.id == request_id(text) == id_
    assert bad.message.startswith("Malformed frame: ")
    assert len(bad.message) < 300
    if detail is not None:
        assert bad.message == f"Malformed frame: {detail}"


UNKNOWN = {
    "unknown": ('{"type": "dance", "id": 7}', 7),
    "empty": ('{"type": ""}', None),
    "cased otherwise": ('{"type": "Ping", "id": "a"}', "a"),
    "a later version's": ('{"type": "send-message", "text": "hi", "id": 7}', 7),
    "a reply's": ('{"type": "pong"}', None),
    "with an id that is none": ('{"type": "dance", "id": {}}', None),
    "long": (f'{{"type": "{"x" * 60_000}", "id": 7}}', 7),
}


@pytest.mark.parametrize(("text", "id_"), UNKNOWN.values(), ids=UNKNOWN.keys())
def test_unknown_types(text: str, id_: int | str | None) -> None:
    """A well-formed frame of a type roomd does not know is an error of its own, with the frame's id."""
    with pytest.raises(BadFrame) as caught:
        decode(text)
    assert (caught.value.kind, caught.value.message, caught.value.id) == (UNKNOWN_TYPE, "Unknown type", id_)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
keys = st.sampled_from(["type", "id", "code", "guestName", "maxParticipants", "limit", "token"]) | st.text()
types = st.sampled_from([text.split('"')[3] for text, _ in REQUESTS if text.startswith('{"type"')])
frames = st.dictionaries(keys, json_values | types).map(json.dumps)
surrogates = st.text(st.characters(categories=["Cs", "L", "P"]))


@given(st.text() | surrogates | frames)
def test_decode_raises_only_bad_frame(text: str) -> None:
    """Whatever a client sends is a request or a BadFrame, and either can be answered."""
    try:
        answer: Reply = PongReply(id=decode(text).id)
    except BadFrame as bad:
        answer = error_reply(bad, bad.id)
    told = json.loads(encode(answer))
    assert told["type"] == "pong" or told["code"] in ("bad_frame", "unknown_type")
