"""Frames on the wire, both ways: docs/protocol.md, sections 1 and 3 to 9."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roomd.protocol import events, objects, replies, requests
from roomd.protocol.codec import BadFrame, decode, encode, error_reply, request_id
from roomd.protocol.errors import BAD_FRAME, RATE_LIMITED, ROOM_FULL, UNKNOWN_TYPE, Refused
from tests.support.replies import BAN, BAN_JSON, WAITS, WAITS_JSON

CODE = "abc-def-ghi"
ID = "0190d2a3b4c5d6e7f8091a2b"
FACES = "\U0001f600" * 2000
"""A message of 2,000 code points, which are 8,000 bytes of UTF-8 and 4,000 units of UTF-16."""
RAW = msgspec.Raw(b'{"sdp" : [1,2]}')

REQUESTS: list[tuple[str, requests.Request]] = [
    ('{"type": "ping"}', requests.Ping()),
    ('{"type": "ping", "id": 7}', requests.Ping(id=7)),
    ('{"type": "ping", "id": "a"}', requests.Ping(id="a")),
    (f'{{"type": "ping", "id": "{"x" * 64}"}}', requests.Ping(id="x" * 64)),
    ('{"type": "ping", "id": null}', requests.Ping()),
    ('{"id": -1, "type": "ping", "unknown": {"keys": ["are", "ignored"]}}', requests.Ping(id=-1)),
    (f'{{"type": "ping", "unknown": "{"x" * 60_000}"}}', requests.Ping()),
    (f'{{"type": "ping", "{"k" * 60_000}": 1}}', requests.Ping()),
    (f'{{"type": "ping", "unknown": {"9" * 60_000}}}', requests.Ping()),
    (' {"type"\n:\t"ping"} ', requests.Ping()),
    ('{"type":"authenticate","id":1,"token":"e30.e30.x"}', requests.Authenticate(id=1, token="e30.e30.x")),
    ('{"type": "create-room"}', requests.CreateRoom()),
    ('{"type": "create-room", "name": "W", "maxParticipants": 100, "allowGuestAccess": false, "waitingRoom": true}',
     requests.CreateRoom(name="W", max_participants=100, allow_guest_access=False, waiting_room=True)),
    ('{"type": "get-room", "code": "ABC DEF GHI"}', requests.GetRoom(code="ABC DEF GHI")),
    ('{"type": "list-rooms", "isActive": null, "cursor": null, "limit": null}', requests.ListRooms()),
    (f'{{"type": "list-rooms", "isActive": true, "cursor": "{ID}", "limit": 200}}',
     requests.ListRooms(is_active=True, cursor=ID, limit=200)),
    ('{"type": "update-room", "code": "a", "name": "W", "isLocked": true, "maxParticipants": 2, "waitingRoom": false}',
     requests.UpdateRoom(code="a", name="W", is_locked=True, max_participants=2, waiting_room=False)),
    ('{"type": "update-room", "code": "a", "allowGuestAccess": true}',
     requests.UpdateRoom(code="a", allow_guest_access=True)),
    ('{"type": "update-room", "code": "abc-def-ghi"}', requests.UpdateRoom(code=CODE)),
    ('{"type": "end-room", "code": "abc-def-ghi"}', requests.EndRoom(code=CODE)),
    ('{"type": "delete-room", "code": "abc-def-ghi"}', requests.DeleteRoom(code=CODE)),
    ('{"type": "join-room", "id": 1, "code": "abc-def-ghi", "guestName": "Jane Smith"}',
     requests.JoinRoom(id=1, code=CODE, guest_name="Jane Smith")),
    ('{"type": "join-room", "code": "abc-def-ghi", "wait": true}', requests.JoinRoom(code=CODE, wait=True)),
    (r'{"type": "join-room", "code": "", "guestName": "\ud83d\ude00"}',
     requests.JoinRoom(code="", guest_name="\U0001f600")),
    ('{"type": "resume", "id": 1, "resumeToken": "r"}', requests.Resume(id=1, resume_token="r")),
    ('{"type": "leave-room"}', requests.LeaveRoom()),
    ('{"type": "update-connection", "id": 1, "hold": 10}', requests.UpdateConnection(id=1, hold=10.0)),
    ('{"type": "join-room", "code": "abc-def-ghi", "takeOver": false}', requests.JoinRoom(code=CODE, take_over=False)),
    ('{"type": "list-participants", "code": "abc-def-ghi"}', requests.ListParticipants(code=CODE)),
    (f'{{"type": "list-participants", "code": "{CODE}", "history": true, "cursor": "{ID}", "limit": 1}}',
     requests.ListParticipants(code=CODE, history=True, cursor=ID, limit=1)),
]  # fmt: skip

MEETING_REQUESTS: list[tuple[str, requests.Request]] = [
    ('{"type": "ban", "userId": "bob", "reason": "spam"}', requests.BanPerson(user_id="bob", reason="spam")),
    ('{"type": "ban", "code": "abc-def-ghi", "participantId": "p"}', requests.BanPerson(code=CODE, participant_id="p")),
    ('{"type": "unban", "banId": "b"}', requests.Unban(ban_id="b")),
    ('{"type": "update-participant", "state": {"a": null, "b": true, "c": -1.5, "d": "x", "": 9007199254740991}}',
     requests.UpdateParticipant(state={"a": None, "b": True, "c": -1.5, "d": "x", "": 2**53 - 1})),
    ('{"type": "update-participant", "id": 4, "state": {}}', requests.UpdateParticipant(id=4, state={})),
    ('{"type": "signal", "to": "p", "data": {"sdp" : [1,2]} , "id": 5}', requests.Signal(id=5, to="p", data=RAW)),
    ('{"type": "send-message", "text": "hi", "id": 7}', requests.SendMessage(id=7, text="hi")),
    ('{"type": "send-message", "text": " ", "to": "p"}', requests.SendMessage(text=" ", to="p")),
    ('{"type": "send-message", "text": "x", "code": "a"}', requests.SendMessage(text="x", code="a")),
    ('{"type": "list-waiting", "code": "a", "limit": 2}', requests.ListWaiting(code="a", limit=2)),
    (f'{{"type": "send-message", "text": "{FACES}"}}', requests.SendMessage(text=FACES)),
    (f'{{"type": "send-message", "text": "x", "clientId": "{"c" * 64}"}}',
     requests.SendMessage(text="x", client_id="c" * 64)),
    ('{"type": "update-room", "code": "a", "historyVisible": "none"}',
     requests.UpdateRoom(code="a", history_visible="none")),
    (f'{{"type": "send-message", "text": {json.dumps(FACES)}}}', requests.SendMessage(text=FACES)),
    (f'{{"type": "list-messages", "code": "{CODE}", "cursor": "{ID}", "limit": 50}}',
     requests.ListMessages(code=CODE, cursor=ID, limit=50)),
    ('{"type": "get-ice-servers", "id": 12}', requests.GetIceServers(id=12)),
    ('{"type": "remove-participant", "participantId": "p"}', requests.RemoveParticipant(participant_id="p")),
    (f'{{"type": "remove-participant", "participantId": "p", "ban": true, "reason": "{"x" * 200}", "code": "a"}}',
     requests.RemoveParticipant(participant_id="p", ban=True, reason="x" * 200, code="a")),
    ('{"type": "mute-participant", "participantId": "p"}', requests.MuteParticipant(participant_id="p")),
    ('{"type": "watch", "after": "latest", "rooms": ["x"]}', requests.Watch(after="latest", rooms=["x"])),
    ('{"type": "list-bans", "cursor": "bob", "limit": 100}', requests.ListBans(cursor="bob", limit=100)),
    ('{"type": "unban", "userId": "bob"}', requests.Unban(user_id="bob")),
    ('{"type": "admit-participant", "participantId": "p"}', requests.AdmitParticipant(participant_id="p")),
    ('{"type": "admit-all", "code": "abc-def-ghi"}', requests.AdmitAll(code=CODE)),
    ('{"type": "deny-participant", "participantId": "p", "code": null}', requests.DenyParticipant(participant_id="p")),
]  # fmt: skip
REQUESTS += MEETING_REQUESTS


@pytest.mark.parametrize(("text", "request_"), REQUESTS, ids=[text[:60] for text, _ in REQUESTS])
def test_requests(text: str, request_: requests.Request) -> None:
    """A request is read with its id; unknown keys are ignored, and null is the same as absent."""
    assert decode(text) == request_
    assert request_id(text) == request_.id


def test_every_request_type_is_read() -> None:
    """The table above holds every type of request there is."""
    assert {type(request) for _, request in REQUESTS} == set(requests.REQUESTS)


JANE = objects.Participant(
    id="01jq", room_id="01jp", user_id=None, guest_name="Jane Smith", is_active=True, is_host=False,
    joined_at="2026-03-03T10:36:00.000Z", left_at=None, display_name="Jane Smith",
)  # fmt: skip
JANE_JSON: dict[str, Any] = {
    "id": "01jq", "roomId": "01jp", "userId": None, "guestName": "Jane Smith", "isActive": True,
    "isHost": False, "joinedAt": "2026-03-03T10:36:00.000Z", "leftAt": None, "displayName": "Jane Smith",
    "state": {}, "role": "member",
}  # fmt: skip
WEEKLY = objects.Room(
    id="01jp", code=CODE, name="Weekly", host_id="alice", is_active=True, is_locked=False, max_participants=100,
    allow_guest_access=True, waiting_room=False, history_visible="all", participant_count=3,
    created_at="2026-03-03T10:35:00.000Z", ended_at=None,
)  # fmt: skip
WEEKLY_JSON = {
    "id": "01jp", "code": "abc-def-ghi", "name": "Weekly", "hostId": "alice", "isActive": True, "isLocked": False,
    "maxParticipants": 100, "allowGuestAccess": True, "waitingRoom": False, "historyVisible": "all",
    "participantCount": 3, "createdAt": "2026-03-03T10:35:00.000Z", "endedAt": None,
}  # fmt: skip

HELLO = objects.Message(
    id="01js", participant_id="01jq", display_name="Jane Smith", text="Hello", sent_at="2026-03-03T10:37:00.000Z",
    to=None)  # fmt: skip
HELLO_JSON = {
    "id": "01js", "participantId": "01jq", "displayName": "Jane Smith", "text": "Hello",
    "sentAt": "2026-03-03T10:37:00.000Z", "to": None,
}  # fmt: skip

FRAMES: list[tuple[replies.Reply | events.Event, dict[str, Any]]] = [
    (replies.PongReply(), {"type": "pong"}),
    (replies.PongReply(id="a"), {"type": "pong", "id": "a"}),
    (replies.AuthenticatedReply(id=1, user_id="alice", expires_at="2026-03-03T10:35:00.000Z"),
     {"type": "authenticated", "id": 1, "userId": "alice", "expiresAt": "2026-03-03T10:35:00.000Z"}),
    (replies.RoomReply(id=2, room=WEEKLY), {"type": "room", "id": 2, "room": WEEKLY_JSON}),
    (replies.RoomReply(id=3, room=WEEKLY, admission=objects.Admission(
        allowed=False, status_code=400, code="room_full", message="Room is full")),
     {"type": "room", "id": 3, "room": WEEKLY_JSON,
      "admission": {"allowed": False, "statusCode": 400, "code": "room_full", "message": "Room is full"}}),
    (replies.RoomReply(room=WEEKLY, admission=objects.Admission(allowed=True)),
     {"type": "room", "room": WEEKLY_JSON, "admission": {"allowed": True}}),
    (replies.RoomsReply(id=4, rooms=[WEEKLY], next_cursor=None),
     {"type": "rooms", "id": 4, "rooms": [WEEKLY_JSON], "nextCursor": None}),
    (replies.ParticipantReply(id=1, participant=JANE, resume_token="r"),
     {"type": "participant", "id": 1, "participant": JANE_JSON, "resumeToken": "r"}),
    (replies.ParticipantReply(participant=JANE), {"type": "participant", "participant": JANE_JSON}),
    (replies.ParticipantsReply(id=5, participants=[JANE], next_cursor="c"),
     {"type": "participants", "id": 5, "participants": [JANE_JSON], "nextCursor": "c"}),
    (events.RoomState(epoch="e", seq=12, room=WEEKLY, participants=[JANE], messages=[HELLO]),
     {"type": "room-state", "epoch": "e", "seq": 12, "room": WEEKLY_JSON, "participants": [JANE_JSON],
      "messages": [HELLO_JSON]}),
    (events.ParticipantsChanged(seq=13, joined=[JANE], updated=[], left=[]),
     {"type": "participants-changed", "seq": 13, "joined": [JANE_JSON], "updated": [], "left": []}),
    (events.RoomUpdated(seq=14, room=WEEKLY), {"type": "room-updated", "seq": 14, "room": WEEKLY_JSON}),
    (events.RoomEnded(seq=15, room_id="01jp"), {"type": "room-ended", "seq": 15, "roomId": "01jp"}),
    (events.ServerRestarting(retry_after=3.2), {"type": "server-restarting", "retryAfter": 3.2}),
    (error_reply(Refused(RATE_LIMITED, retry_after=2.5), 7),
     {"type": "error", "id": 7, "statusCode": 429, "code": "rate_limited", "message": "Too many requests",
      "retryAfter": 2.5}),
    (error_reply(Refused(ROOM_FULL), None),
     {"type": "error", "statusCode": 400, "code": "room_full", "message": "Room is full"}),
]  # fmt: skip

FRAMES += [
    (events.ParticipantsChanged(seq=13, joined=[], updated=[], left=[msgspec.structs.replace(JANE, state={"a": True})]),
     {"type": "participants-changed", "seq": 13, "joined": [], "updated": [],
      "left": [{**JANE_JSON, "state": {"a": True}}]}),
    (replies.ParticipantReply(participant=msgspec.structs.replace(
        JANE, role="cohost", metadata={"team": ["red"]}, is_hidden=True)),
     {"type": "participant",
      "participant": {**JANE_JSON, "role": "cohost", "metadata": {"team": ["red"]}, "isHidden": True}}),
    (events.MessageEvent(message=msgspec.structs.replace(HELLO, participant_id=None)),
     {"type": "message", "message": {**HELLO_JSON, "participantId": None}}),
    (replies.WaitingListReply(id=4, waiting=[WAITS], next_cursor=None),
     {"type": "waiting-list", "id": 4, "waiting": [WAITS_JSON], "nextCursor": None}),
    (replies.OkReply(id=4), {"type": "ok", "id": 4}),
    (replies.WatchingReply(id=4, next="p"), {"type": "watching", "id": 4, "next": "p"}),
    (events.LogEvents(events=[], next="p"), {"type": "events", "events": [], "next": "p"}),
    (replies.WaitingReply(id=1, participant_id="01jt", position=2, reason="room_full", resume_token="r"),
     {"type": "waiting", "id": 1, "participantId": "01jt", "position": 2, "reason": "room_full", "resumeToken": "r"}),
    (replies.WaitingReply(participant_id="01jt", position=1, reason="waiting_room"),
     {"type": "waiting", "participantId": "01jt", "position": 1, "reason": "waiting_room"}),
    (events.WaitingChanged(waiting=[WAITS]), {"type": "waiting-changed", "waiting": [WAITS_JSON]}),
    (events.WaitingChanged(waiting=[]), {"type": "waiting-changed", "waiting": []}),
    (replies.MessagesReply(id=7, messages=[HELLO], next_cursor="01js"),
     {"type": "messages", "id": 7, "messages": [HELLO_JSON], "nextCursor": "01js"}),
    (events.MessageEvent(message=msgspec.structs.replace(HELLO, client_id="c1")),
     {"type": "message", "message": {**HELLO_JSON, "clientId": "c1"}}),
    (events.MessageEvent(message=msgspec.structs.replace(HELLO, to="01jr")),
     {"type": "message", "message": {**HELLO_JSON, "to": "01jr"}}),
    (events.SignalEvent(sender="01jq", data=RAW), {"type": "signal", "from": "01jq", "data": {"sdp": [1, 2]}}),
    (replies.BansReply(id=9, bans=[BAN], next_cursor=None),
     {"type": "bans", "id": 9, "bans": [BAN_JSON], "nextCursor": None}),
    (events.Removed(reason="spam"), {"type": "removed", "reason": "spam"}),
    (events.Removed(reason=None), {"type": "removed", "reason": None}),
    (events.MuteRequested(), {"type": "mute-requested"}),
    (replies.IceServersReply(id=12, ttl=3600, ice_servers=[
        objects.IceServer(urls=["stun:s"]), objects.IceServer(urls=["turn:t"], username="1:p", credential="c")]),
     {"type": "ice-servers", "id": 12, "ttl": 3600, "iceServers": [
         {"urls": ["stun:s"]}, {"urls": ["turn:t"], "username": "1:p", "credential": "c"}]}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("frame", "expected"), FRAMES, ids=[f"{type(f).__name__}-{n}" for n, (f, _) in enumerate(FRAMES)]
)
def test_replies_and_events(frame: replies.Reply | events.Event, expected: dict[str, Any]) -> None:
    """A frame goes out as one JSON object with the protocol's keys, null where it says so, no key too many."""
    assert json.loads(encode(frame)) == expected


def test_every_frame_is_written() -> None:
    """The table above holds every reply and event there is."""
    assert {type(frame) for frame, _ in FRAMES} == {*replies.Reply.__subclasses__(), *events.Event.__subclasses__()}


def test_a_signal_s_data_is_passed_on_as_it_came() -> None:
    """Section 8: roomd does not look inside, down to the spaces."""
    request = decode('{"type": "signal", "to": "p", "data": {"sdp" : [1,2]} }')
    assert isinstance(request, requests.Signal)
    assert encode(events.SignalEvent(sender="01jq", data=request.data)) == (
        b'{"type":"signal","from":"01jq","data":{"sdp" : [1,2]}}'
    )


def test_frames_are_utf_8() -> None:
    """Text goes out as it is, in UTF-8."""
    jane = msgspec.structs.replace(JANE, guest_name="Zo\u00eb \U0001f600")
    assert "Zo\u00eb \U0001f600".encode() in encode(replies.ParticipantReply(participant=jane))


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
    "key missing": ('{"type": "end-room", "id": 7}', "Object missing required field `code`", 7),
    "key null": ('{"type": "end-room", "code": null}', "Expected `str`, got `null` - at `$.code`", None),
    "key of another type": ('{"type": "join-room", "code": "a", "guestName": 5, "id": 7}',
     "Expected `str | null`, got `int` - at `$.guestName`", 7),
    "number as text": ('{"type": "create-room", "maxParticipants": "5"}',
     "Expected `int | null`, got `str` - at `$.maxParticipants`", None),
    "bool as number": ('{"type": "create-room", "maxParticipants": true}',
     "Expected `int | null`, got `bool` - at `$.maxParticipants`", None),
    "fraction": ('{"type": "create-room", "maxParticipants": 2.5}',
     "Expected `int | null`, got `float` - at `$.maxParticipants`", None),
    "page of none": ('{"type": "list-rooms", "limit": 0}', "Expected `int` >= 1 - at `$.limit`", None),
    "page too large": ('{"type": "list-rooms", "limit": 201}', "Expected `int` <= 200 - at `$.limit`", None),
    "a cursor that is none": (
        '{"type": "list-rooms", "id": 7, "cursor": "nonsense"}',
        "Expected `str` matching regex '^[0-9a-f]{24}$' - at `$.cursor`", 7,
    ),
    "an empty cursor": ('{"type": "list-messages", "id": 7, "code": "a", "cursor": ""}', None, 7),
    "a cursor with a line": (f'{{"type": "list-participants", "id": 7, "code": "a", "cursor": "{ID}\\n"}}', None, 7),
    "a cursor that is no user id": (r'{"type": "list-bans", "id": 7, "cursor": "\u0000nonsense"}', None, 7),
    "huge number": ('{"type": "create-room", "maxParticipants": 1e999}', None, None),
    "number of 60,000 digits": (f'{{"type": "create-room", "maxParticipants": {"9" * 60_000}}}', None, None),
    "id bool": ('{"type": "ping", "id": true}', None, None),
    "id fraction": ('{"type": "ping", "id": 1.5}', None, None),
    "id empty": ('{"type": "ping", "id": ""}', None, None),
    "id too long": (f'{{"type": "ping", "id": "{"x" * 65}"}}', None, None),
    "id huge": (f'{{"type": "ping", "id": {"9" * 60_000}}}', None, None),
    "id object": ('{"type": "ping", "id": {"a": 1}}', None, None),
    "nested arrays": ("[" * 60_000, None, None),
    "nested in an unknown key": (f'{{"id": 7, "type": "ping", "x": {"[" * DEEP}{"]" * DEEP}}}', "nested too deep", 7),
    "nested objects": (f'{{"type": "ping", "x": {"{" * 2}', None, None),
    "lone surrogate, escaped": (r'{"type": "join-room", "code": "a", "guestName": "\ud800"}', None, None),
    "lone surrogate before text": (r'{"type": "ping", "id": "\ud800 and more"}', None, None),
    "surrogates in the wrong order": (r'{"type": "ping", "id": "\ude00\ud83d"}', None, None),
    "lone surrogate in the type": (r'{"type": "\udc00"}', None, None),
    "lone surrogate, raw": ('{"type": "ping", "id": "\ud800"}', "not valid Unicode", None),
    "two types": ('{"type": "ping", "type": "leave-room"}', "Invalid value 'leave-room' - at `$.type`", None),
    "long type, then a known one": (f'{{"type": "{"x" * 60_000}", "type": "ping"}}', f"Invalid value '{'x' * 185}…",
     None),
}  # fmt: skip

SCALARS = "Expected `bool | int | float | str | null`, got"
SAY, STATE, SIGNAL, REMOVE = (
    f'{{"type": "{type_}", "id": 7, '
    for type_ in ("send-message", "update-participant", "signal", "remove-participant")
)
HOSTILE |= {
    "client id empty": (SAY + '"text": "hi", "clientId": ""}', "Expected `str` of length >= 1 - at `$.clientId`", 7),
    "client id of 65": (
        f'{SAY}"text": "hi", "clientId": "{"x" * 65}"}}', "Expected `str` of length <= 64 - at `$.clientId`", 7
    ),
    "client id a number": (
        SAY + '"text": "hi", "clientId": 5}', "Expected `str | null`, got `int` - at `$.clientId`", 7
    ),
    "text missing": (SAY + '"to": "p"}', "Object missing required field `text`", 7),
    "text null": (SAY + '"text": null}', "Expected `str`, got `null` - at `$.text`", 7),
    "text empty": (SAY + '"text": ""}', "Expected `str` of length >= 1 - at `$.text`", 7),
    "text of 2,001": (f'{SAY}"text": "{FACES}x"}}', "Expected `str` of length <= 2000 - at `$.text`", 7),
    "text of 2,001, escaped": (
        f'{SAY}"text": {json.dumps(FACES + "x")}}}', "Expected `str` of length <= 2000 - at `$.text`", 7
    ),
    "text with half a surrogate": (SAY + r'"text": "\ud800 "}', None, 7),
    "to a number": (SAY + '"text": "hi", "to": 5}', "Expected `str | null`, got `int` - at `$.to`", 7),
    "state missing": (STATE + '"x": 1}', "Object missing required field `state`", 7),
    "state null": (STATE + '"state": null}', "Expected `object`, got `null` - at `$.state`", 7),
    "state an array": (STATE + '"state": ["muted"]}', "Expected `object`, got `array` - at `$.state`", 7),
    "state with an object": (STATE + '"state": {"a": {}}}', f"{SCALARS} `object` - at `$.state[...]`", 7),
    "state with an array": (STATE + '"state": {"a": 1, "b": []}}', f"{SCALARS} `array` - at `$.state[...]`", 7),
    "state of 2^53": (
        STATE + '"state": {"a": 9007199254740992}}', "Expected `int` <= 9007199254740991 - at `$.state[...]`", 7
    ),
    "state of -2^53": (
        STATE + '"state": {"a": -9007199254740992}}', "Expected `int` >= -9007199254740991 - at `$.state[...]`", 7
    ),
    "state of 60,000 digits": (f'{STATE}"state": {{"a": {"9" * 60_000}}}}}', None, 7),
    "state beyond all numbers": (STATE + '"state": {"a": 1e999}}', "Number out of range - at `$.state[...]`", 7),
    "state with half a surrogate": (STATE + r'"state": {"\ud800 ": 1}}', None, 7),
    "data missing": (SIGNAL + '"to": "p"}', "Object missing required field `data`", 7),
    "data malformed": (SIGNAL + '"to": "p", "data": {"a":}}', None, 7),
    "data NaN": (SIGNAL + '"to": "p", "data": NaN}', None, 7),
    "data with half a surrogate": (SIGNAL + r'"to": "p", "data": "\ud800 "}', None, 7),
    "data nested too deep": (f'{SIGNAL}"to": "p", "data": {"[" * DEEP}{"]" * DEEP}}}', "nested too deep", 7),
    "data for nobody": (SIGNAL + '"data": 1}', "Object missing required field `to`", 7),
    "reason of 201": (
        f'{REMOVE}"participantId": "p", "reason": "{"x" * 201}"}}', "Expected `str` of length <= 200 - at `$.reason`", 7
    ),
    "ban a number": (REMOVE + '"participantId": "p", "ban": 1}', "Expected `bool | null`, got `int` - at `$.ban`", 7),
    "nobody to remove": (REMOVE + '"ban": true}', "Object missing required field `participantId`", 7),
    "nobody to admit": ('{"type": "admit-participant"}', "Object missing required field `participantId`", None),
}  # fmt: skip


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
    "a later version's": ('{"type": "start-recording", "codec": "opus", "id": 7}', 7),
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
KEYS = ["type", "id", "code", "guestName", "maxParticipants", "limit", "token", "state", "data", "to", "text", "reason"]
keys = st.sampled_from(KEYS) | st.text()
types = st.sampled_from([text.split('"')[3] for text, _ in REQUESTS if text.startswith('{"type"')])
values = st.dictionaries(keys, json_values | types).map(json.dumps)
surrogates = st.text(st.characters(categories=["Cs", "L", "P"]))


@given(st.text() | surrogates | values)
def test_decode_raises_only_bad_frame(text: str) -> None:
    """Whatever a client sends is a request or a BadFrame, and either can be answered."""
    try:
        answer: replies.Reply = replies.PongReply(id=decode(text).id)
    except BadFrame as bad:
        answer = error_reply(bad, bad.id)
    told = json.loads(encode(answer))
    assert told["type"] == "pong" or told["code"] in ("bad_frame", "unknown_type")
