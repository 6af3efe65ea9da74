"""What people do in a room, and what a host does to them: section 8 of docs/protocol.md."""

import json
from typing import Any

from tests.support.recording.scene import PACE, Scene

NOBODY = "0" * 24

STATES: tuple[dict[str, Any], ...] = (
    {"muted": True, "handRaised": False},
    {"muted": True},
    {"muted": 1},
    {"muted": None, "absent": None},
    {"volume": 0.5, "large": 2**53 - 1, "small": -(2**53) + 1, "words": 'é "\u2028'},
    {"large": 2**53},
    {"list": []},
    {"object": {}},
    {f"key {number}": number for number in range(16)},
    {"long": "x" * 1200},
    {"long": "é" * 300},
    {},
)

SIGNALS = (
    '{"description": {"type": "offer",  "sdp": "v=0\\r\\n"}}',
    "null",
    "[1, 2.50, -0, 1e3, true]",
    '"\\u00e9\\/é"',
    "{}",
)


async def _room_of_four(s: Scene) -> tuple[str, dict[str, str]]:
    """Seat a host, two users and a guest; answers with the code and the participants' ids."""
    users = {"alice": "alice", "bob": "bob", "carl": "carl", "jane": None}
    for name, user in users.items():
        await s.connect(name, user)
    code = await s.room("alice")
    ids = {}
    for name, user in users.items():
        named = {} if user else {"guestName": name.title()}
        ids[name] = (await s.ask(name, "join-room", code=code, **named))["participant"]["id"]
    return code, ids


async def presence_and_signals(s: Scene) -> None:
    """Presence, and what is passed on unread."""
    s.transcript.heading("Presence")
    code, ids = await _room_of_four(s)
    for state in STATES:
        await s.ask("jane", "update-participant", state=state)
    await s.tell("bob", "update-participant", state={"muted": False})
    await s.tell("bob", "update-participant", state={"muted": [1]})
    await s.hang_up("bob", None, late="alice")
    await s.connect("bob", "bob")
    await s.ask("bob", "join-room", code=code)

    s.transcript.heading("Signals")
    for data in SIGNALS:
        await s.say("alice", f'{{"type": "signal", "id": "s", "to": "{ids["jane"]}", "data": {data}}}')
    await s.tell("jane", "signal", to=ids["alice"], data="without an id")
    await s.ask("jane", "signal", to=ids["jane"], data="to myself")
    await s.ask("jane", "signal", to=NOBODY, data=1)
    await s.ask("jane", "signal", to="", data=1)
    await s.tell("jane", "signal", to=NOBODY, data=1)
    await s.tell("jane", "signal", to=ids["alice"])
    await s.hang_up("carl", None, late="alice")
    await s.ask("jane", "signal", to=ids["carl"], data=1)
    await s.ask("jane", "get-ice-servers")
    await s.connect("joe")
    await s.ask("joe", "get-ice-servers")
    await s.ask("joe", "signal", to=ids["jane"], data=1)
    s.everybody_goes()


async def messages(s: Scene) -> None:
    """Messages to everyone and to one, and pages of them."""
    s.transcript.heading("Messages")
    code, ids = await _room_of_four(s)
    await s.ask("jane", "send-message", text="Hello")
    await s.tell("bob", "send-message", text="Hello, without an id")
    await s.ask("jane", "send-message", text='é\n"\u2028\\ \U0001f600 </script>')
    await s.ask("jane", "send-message", text="x" * 2000)
    await s.ask("jane", "send-message", text="x" * 2001)
    await s.ask("jane", "send-message", text="")
    await s.tell("jane", "send-message", text="")
    await s.ask("jane", "send-message", text="for bob", to=ids["bob"])
    await s.ask("jane", "send-message", text="for me", to=ids["jane"])
    await s.ask("jane", "send-message", text="for nobody", to=NOBODY)
    await s.hang_up("carl", None, late="alice")
    await s.ask("alice", "send-message", text="for carl", to=ids["carl"])
    await s.connect("joe")
    await s.ask("joe", "send-message", text="Hello")
    await s.ask("joe", "list-messages", code=code)
    await s.ask("joe", "join-room", code=code, guestName="Joe")
    for name in ("joe", "jane", "bob", "alice"):
        await s.ask(name, "list-messages", code=code)
    page = await s.ask("jane", "list-messages", code=code, limit=2)
    await s.ask("jane", "list-messages", code=code, limit=2, cursor=page["nextCursor"])
    await s.ask("jane", "list-messages", code=code, cursor=page["messages"][0]["id"], limit=1)
    await s.connect("carl", "carl")
    await s.ask("carl", "join-room", code=code)
    await s.ask("carl", "list-messages", code=code)
    await s.ask("alice", "end-room", code=code)
    await s.ask("alice", "list-messages", code=code, limit=1)
    await s.ask("jane", "list-messages", code=code)
    s.everybody_goes()


async def hosts(s: Scene) -> None:
    """Removing, banning, muting; by the host in the room, by one outside, and by an admin."""
    s.transcript.heading("Muting")
    code, ids = await _room_of_four(s)
    await s.tell("alice", "mute-participant", participantId=ids["jane"])
    await s.ask("alice", "mute-participant", participantId=ids["bob"], code=code)
    await s.ask("alice", "mute-participant", participantId=ids["alice"])
    await s.ask("alice", "mute-participant", participantId=NOBODY)
    await s.ask("bob", "mute-participant", participantId=ids["jane"])
    await s.tell("bob", "mute-participant", participantId=ids["jane"])
    await s.hang_up("bob", None, late="alice")
    await s.ask("alice", "mute-participant", participantId=ids["bob"])

    s.transcript.heading("Removing and banning")
    await s.connect("bob", "bob")
    bob = await s.ask("bob", "join-room", code=code)
    await s.ask("alice", "remove-participant", participantId=ids["alice"])
    await s.ask("alice", "remove-participant", participantId=NOBODY)
    await s.ask("alice", "remove-participant", participantId=ids["bob"], reason="x" * 201)
    await s.ask("bob", "remove-participant", participantId=ids["jane"])
    await s.ask("alice", "remove-participant", participantId=ids["bob"], reason="spam")
    await s.connect("bob", "bob")
    await s.ask("bob", "resume", resumeToken=bob["resumeToken"])
    bob = await s.ask("bob", "join-room", code=code)
    await s.hang_up("bob", None, late="alice")
    await s.ask("alice", "remove-participant", participantId=bob["participant"]["id"], ban=True, reason="spam, again")
    await s.ask("alice", "remove-participant", participantId=ids["jane"], ban=True)
    await s.ask("alice", "remove-participant", participantId=ids["carl"], ban=True)
    await s.connect("bob", "bob")
    await s.ask("bob", "join-room", code=code)
    await s.ask("bob", "get-room", code=code)
    await s.ask("bob", "resume", resumeToken=bob["resumeToken"])
    page = await s.ask("alice", "list-bans", limit=1)
    await s.ask("alice", "list-bans", limit=1, cursor=page["nextCursor"])
    await s.ask("alice", "unban", banId=page["bans"][0]["id"])
    await s.ask("alice", "ban", participantId=ids["jane"], reason="again")
    await s.ask("alice", "ban", userId="zoe", code=code)
    await s.ask("alice", "ban", userId="zoe", participantId=ids["jane"])
    await s.ask("bob", "ban", userId="zoe", code=code)
    await s.ask("alice", "unban", userId="zoe")
    await s.ask("bob", "list-bans", code=code)
    await s.ask("bob", "list-bans")
    await s.ask("alice", "unban", userId="nobody")
    await s.ask("alice", "unban", userId="alice")
    await s.ask("bob", "unban", userId="carl", code=code)
    await s.ask("alice", "unban", userId="bob")
    await s.tell("alice", "unban", userId="carl")
    await s.ask("alice", "list-bans")
    await s.ask("bob", "join-room", code=code)

    s.transcript.heading("A host outside, and an admin")
    await s.ask("alice", "leave-room")
    await s.ask("alice", "mute-participant", participantId="x")
    bob = await s.ask("bob", "join-room", code=code)
    await s.ask("alice", "mute-participant", code=code, participantId=bob["participant"]["id"])
    await s.connect("root", token=s.token("root", "admin", roomd={"admin": True}))
    await s.ask("root", "mute-participant", code=code, participantId=bob["participant"]["id"])
    await s.ask("root", "list-bans", code=code)
    await s.ask("root", "join-room", code=code)
    await s.tell("root", "remove-participant", participantId=bob["participant"]["id"])
    await s.connect("bob", "bob")
    await s.ask("root", "list-waiting", code=code)
    await s.ask("root", "end-room", code=code)
    await s.ask("root", "list-bans", code=code)
    await s.ask("root", "remove-participant", code=code, participantId=ids["jane"])
    await s.ask("bob", "watch", rooms=[code])
    await s.ask("bob", "create-room", externalId="course-1")
    await s.connect("max", token=s.token("max", "no rooms", roomd={"create": False}))
    await s.ask("max", "create-room")
    await s.ask("root", "watch", after="0" * 24)
    await s.ask("root", "watch", after="latest", rooms=[code])  # holds in other rooms run out at any time
    await s.ask("root", "delete-room", code=code, late={"root": 2})
    await s.ask("root", "get-room", code=code)
    s.everybody_goes()


async def waiting_room(s: Scene) -> None:
    """Waiting for the host."""
    s.pace = PACE
    s.transcript.heading("The waiting room")
    code = await _waiting(s, "alice", waitingRoom=True, maxParticipants=4)
    ids = {}
    for name, user in (("jane", None), ("bob", "bob"), ("carl", "carl"), ("joe", None), ("dora", "dora")):
        await s.connect(name, user)
        named = {} if user else {"guestName": name.title()}
        ids[name] = (await s.ask(name, "join-room", code=code, **named))["participantId"]
    await s.ask("jane", "join-room", code=code, guestName="Jane")
    await s.ask("jane", "get-room", code=code)
    for type_ in ("list-participants", "list-messages"):
        await s.ask("jane", type_, code=code)
    await s.ask("jane", "send-message", text="Hello?")
    await s.ask("jane", "admit-participant", participantId=ids["jane"], code=code)
    await s.ask("alice", "mute-participant", participantId=ids["jane"])
    await s.ask("alice", "signal", to=ids["jane"], data=1)
    await s.ask("alice", "send-message", text="for jane", to=ids["jane"])
    await s.ask("alice", "admit-participant", participantId=NOBODY)
    await s.ask("alice", "deny-participant", participantId=NOBODY)
    await s.ask("alice", "admit-participant", participantId=ids["bob"])
    await s.ask("alice", "deny-participant", participantId=ids["bob"])
    await s.ask("alice", "deny-participant", participantId=ids["jane"])
    await s.ask("alice", "remove-participant", participantId=ids["dora"], ban=True, reason="told as a denial")
    await s.ask("dora", "join-room", code=code)

    s.transcript.heading("Taking a place in the queue over, back and up")
    await s.connect("carl 2", "carl")
    carl = await s.ask("carl 2", "join-room", code=code)
    await s.hang_up("carl 2", None, late="alice")
    await s.ask("alice", "admit-participant", participantId=ids["carl"])
    await s.connect("carl 3", "carl")
    await s.ask("carl 3", "resume", resumeToken=carl["resumeToken"])
    await s.ask("joe", "leave-room")
    await s.ask("alice", "admit-participant", participantId=ids["carl"])
    joe = await s.ask("joe", "join-room", code=code, guestName="Joe")
    await s.hang_up("joe", None, late="alice")
    await s.connect("joe 2")
    joe = await s.ask("joe 2", "resume", resumeToken=joe["resumeToken"])
    await s.connect("joe 3")
    joe = await s.ask("joe 3", "resume", resumeToken=joe["resumeToken"])
    await s.ask("alice", "admit-all")
    await s.ask("alice", "admit-all")
    await s.ask("bob", "leave-room")
    await s.ask("carl 3", "leave-room")
    await s.ask("alice", "list-participants", code=code, history=True)
    s.everybody_goes()


async def queue(s: Scene) -> None:
    """Waiting for a seat, and for both."""
    s.transcript.heading("Waiting for a seat")
    code = await _waiting(s, "alice", maxParticipants=2)
    for name, user in (("bob", "bob"), ("jane", None), ("joe", None), ("carl", "carl"), ("dora", "dora")):
        await s.connect(name, user)
    await s.ask("bob", "join-room", code=code, wait=True)
    jane = await s.ask("jane", "join-room", code=code, guestName="Jane", wait=True)
    joe = await s.ask("joe", "join-room", code=code, guestName="Joe", wait=True)
    await s.ask("carl", "join-room", code=code)
    await s.ask("carl", "join-room", code=code, wait=True)
    await s.ask("alice", "admit-participant", participantId=joe["participantId"])
    await s.ask("bob", "leave-room")
    await s.ask("alice", "update-room", code=code, maxParticipants=3)
    await s.ask("bob", "join-room", code=code, wait=True)
    await s.ask("alice", "update-room", code=code, waitingRoom=True)
    await s.ask("dora", "join-room", code=code, wait=False)
    dora = await s.ask("dora", "join-room", code=code, wait=True)
    await s.ask("alice", "admit-participant", participantId=dora["participantId"])
    await s.ask("alice", "update-room", code=code, waitingRoom=False)
    await s.ask("jane", "leave-room")
    await s.hang_up("carl", None, late="alice")
    await s.ask("alice", "remove-participant", participantId=joe["participantId"])
    await s.connect("carl", "carl")
    await s.ask("carl", "join-room", code=code)
    await s.connect("jane 2")
    await s.ask("jane 2", "resume", resumeToken=jane["resumeToken"])
    await s.ask("jane 2", "join-room", code=code, guestName="Jane", wait=True)
    await s.ask("alice", "update-room", code=code, allowGuestAccess=False)
    await s.ask("alice", "update-room", code=code, isLocked=True)

    s.transcript.heading("A locked room and its waiting room")
    await s.ask("alice", "update-room", code=code, isLocked=False, waitingRoom=True, allowGuestAccess=True)
    waiting = await s.ask("jane 2", "join-room", code=code, guestName="Jane", wait=True)
    await s.ask("alice", "update-room", code=code, isLocked=True)
    await s.ask("alice", "admit-participant", participantId=waiting["participantId"])
    await s.ask("alice", "admit-all")
    await s.ask("alice", "update-room", code=code, allowGuestAccess=False)

    s.transcript.heading("A seat in one room, a place in another")
    await s.ask("alice", "update-room", code=code, isLocked=False, allowGuestAccess=True)
    other = await s.room("alice", name="Other", waitingRoom=True)
    await s.connect("root", token=s.token("root", "admin", roomd={"admin": True}))
    await s.ask("carl", "join-room", code=other)
    await s.ask("carl", "send-message", text="I wait elsewhere")
    await s.ask("root", "admit-all", code=other, late="alice")
    await s.ask("jane 2", "join-room", code=other, guestName="Jane")
    await s.ask("jane 2", "join-room", code=code, guestName="Jane", wait=True)
    await s.ask("root", "join-room", code=other)
    await s.ask("jane 2", "join-room", code=other, guestName="Jane", late="alice")
    await s.ask("root", "update-room", code=other, waitingRoom=False)
    await s.ask("root", "join-room", code=code, wait=True, late="carl")
    await s.ask("alice", "end-room", code=code)
    s.everybody_goes()


async def crowd(s: Scene) -> None:
    """A queue that is full."""
    s.transcript.heading("Five guests of an address wait")
    code = await _waiting(s, "alice", waitingRoom=True)
    await s.ask("alice", "leave-room")
    await s.guests_wait(5, code)
    await s.connect("jane")
    await s.ask("jane", "join-room", code=code, guestName="Jane")
    await s.ask("jane", "get-room", code=code)
    await s.ask("alice", "end-room", code=code)
    s.transcript.note(json.dumps({"told the five": await s.guests_hear()}))
    s.everybody_goes()
    s.pace = 0.0


async def _waiting(s: Scene, host: str, **settings: bool | int) -> str:
    """Make a room that a host is in; answers with its code."""
    await s.connect(host, host)
    code = await s.room(host, **settings)
    await s.ask(host, "join-room", code=code)
    return code
