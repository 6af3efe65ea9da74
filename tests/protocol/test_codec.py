"""Frames on the wire, both ways: docs/protocol.md, sections 1 and 3 to 9."""

import json
from typing import Any

import msgspec
import pytest

from roomd.protocol import events, objects, replies, requests
from roomd.protocol.codec import decode, encode, error_reply, request_id
from roomd.protocol.errors import RATE_LIMITED, ROOM_FULL, Refused
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
