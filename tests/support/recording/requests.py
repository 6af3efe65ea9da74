"""Every request in every situation that refuses it, and every way in which its frame can be wrong."""

import json
from typing import Any

from tests.support.recording.scene import Scene

NOBODY = "0" * 24


def requests(code: str = "zzz-zzz-zzz", participant: str = NOBODY) -> dict[str, dict[str, Any]]:
    """Write every request with all its fields."""
    page = {"cursor": NOBODY, "limit": 1}
    settings = {"name": "New", "maxParticipants": 9, "allowGuestAccess": True, "waitingRoom": False}
    one = {"participantId": participant, "code": code}
    return {
        "ping": {},
        "authenticate": {"token": "nonsense"},
        "create-room": settings,
        "update-room": {"code": code, "isLocked": False, **settings},
        "get-room": {"code": code},
        "list-rooms": {"isActive": True, **page},
        "list-participants": {"code": code, "history": False, **page},
        "list-messages": {"code": code, **page},
        "update-participant": {"state": {"muted": True}},
        "signal": {"to": participant, "data": 1},
        "send-message": {"text": "Hello", "to": None},
        "get-ice-servers": {},
        "mute-participant": one,
        "list-bans": {"code": code, **page},
        "unban": {"userId": "nobody", "code": code},
        "admit-participant": one,
        "admit-all": {"code": code},
        "deny-participant": one,
        "remove-participant": {**one, "ban": True, "reason": "spam"},
        "join-room": {"code": code, "guestName": "Jane", "wait": False},
        "resume": {"resumeToken": f"{code}.{participant}.{'0' * 32}"},
        "update-connection": {"hold": 10},
        "leave-room": {},
        "end-room": {"code": code},
    }


REQUIRED = {"code", "token", "state", "to", "data", "text", "userId", "participantId", "resumeToken", "hold"}
OPTIONAL = {("code", "mute-participant"), ("code", "list-bans"), ("code", "unban"), ("code", "admit-participant"),
            ("code", "admit-all"), ("code", "deny-participant"), ("code", "remove-participant"),
            ("to", "send-message")}  # fmt: skip
COMING_AND_GOING = {"authenticate", "join-room", "leave-room", "end-room"}


async def sweep(s: Scene, name: str, skip: set[str] | frozenset[str] = frozenset(), **about: str) -> None:
    """Have a client send every request, those about a room it need not name also without a code."""
    for type_, fields in requests(**about).items():
        if type_ not in skip:
            await s.ask(name, type_, **fields)
            if ("code", type_) in OPTIONAL:
                await s.ask(name, type_, **{key: value for key, value in fields.items() if key != "code"})


async def situations(s: Scene) -> None:
    """Who may ask what, and where."""
    s.transcript.heading("Every request: of a guest, about a room that does not exist")
    await s.connect("jane")
    await sweep(s, "jane", {"authenticate"})
    s.transcript.heading("Every request: of a guest, about what is no code")
    await sweep(s, "jane", {"authenticate"}, code="nonsense")

    s.transcript.heading("Every request: of a guest outside the room")
    await s.connect("alice", "alice")
    code = await s.room("alice")
    seat = (await s.ask("alice", "join-room", code=code))["participant"]["id"]
    await sweep(s, "jane", COMING_AND_GOING, code=code, participant=seat)
    s.transcript.heading("Every request: of a user in the room who is not the host")
    await s.connect("bob", "bob")
    await s.ask("bob", "join-room", code=code)
    await sweep(s, "bob", {*COMING_AND_GOING, "resume"}, code=code, participant=seat)
    await s.ask("bob", "end-room", code=code)
    s.transcript.heading("Every request: of the host, about nobody")
    await sweep(s, "alice", COMING_AND_GOING, code=code, participant=NOBODY)
    s.transcript.heading("Every request: with a token for another room")
    await s.connect("gil", token=s.token("gil", "for no room there is", roomd={"room": "zzz-zzz-zzz"}))
    await sweep(s, "gil", {"authenticate"}, code=code, participant=seat)
    s.transcript.heading("Every request: of the host, from another room")
    other = await s.room("alice")
    await s.ask("alice", "join-room", code=other, late="bob")
    await sweep(s, "alice", COMING_AND_GOING, code=code, participant=seat)
    s.transcript.heading("Every request: about a room that has ended")
    await s.ask("alice", "end-room", code=code)
    for name in ("alice", "jane"):
        await sweep(s, name, {"authenticate", "join-room", "leave-room"}, code=code, participant=seat)
    await s.ask("jane", "join-room", code=code, guestName="Jane")
    await s.ask("alice", "join-room", code=code)
    s.everybody_goes()


async def lapsed(s: Scene, outside: str, inside: str, code: str) -> None:
    """What a token serves for that has expired since it was shown: nothing but the room its user is in."""
    s.transcript.heading("Every request: with a token that has expired meanwhile")
    await s.first_refusal(outside, "list-rooms", pause=0.05)
    await s.first_refusal(inside, "list-rooms", pause=0.05)
    await sweep(s, outside, {"authenticate"}, code=code)
    await sweep(s, inside, COMING_AND_GOING, code=code)
    await s.ask(inside, "get-room", code="zzz-zzz-zzz")
    await s.ask(inside, "leave-room")
    await s.ask(inside, "join-room", code=code)
    await s.ask(inside, "authenticate", token=s.token(inside))
    await s.ask(inside, "join-room", code=code)
    s.everybody_goes()


async def bad_frames(s: Scene) -> None:
    """Every field with a value of another kind, and every request without what it must have."""
    s.transcript.heading("Fields of another kind, and fields that are missing")
    await s.connect("jane")
    await s.connect("alice", "alice")
    code = await s.room("alice")
    await s.ask("alice", "join-room", code=code)
    for type_, fields in requests(code).items():
        for field in fields:
            for wrong in ([1], 5, "text", True):
                if type(wrong) is not type(fields[field]) and field != "data":
                    await s.ask("jane", type_, **{**fields, field: wrong})
            if field in REQUIRED and (field, type_) not in OPTIONAL:
                await s.ask("jane", type_, **{**fields, field: None})
                await s.ask("jane", type_, **{key: value for key, value in fields.items() if key != field})
                await s.tell("jane", type_, **{key: value for key, value in fields.items() if key != field})
    await s.ask("alice", "update-participant", state={"a": [1]})
    await s.ask("alice", "update-participant", state={"a": 1, "b": {"c": 2}})
    for limit in (0, -1, 201, 1.5, "1", 10**30):
        await s.ask("alice", "list-rooms", limit=limit)
    s.everybody_goes()


TEXTS = (
    '{"type": "ping"}',
    '{"type": "ping", "id": 0}',
    '{"type": "ping", "id": -5}',
    f'{{"type": "ping", "id": {10**40}}}',
    '{"type": "ping", "id": "x"}',
    json.dumps({"type": "ping", "id": "\U0001f600" * 64}),
    '{"type": "ping", "id": "\\u00e9\\u0000\\"\\/"}',
    '{"type": "ping", "id": null}',
    '{"id": 7, "type": "ping"}',
    '{"type": "ping", "id": 1, "id": 2}',
    '{"type": "ping", "id": 1, "x": {"y": [1, null]}, "code": 5}',
    '{"type": "ping"}'.ljust(65_536),
    '\n {"type": "ping"}\t',
    '{"type": "ping", "id": ""}',
    json.dumps({"type": "ping", "id": "x" * 65}),
    '{"type": "ping", "id": 1.5}',
    '{"type": "ping", "id": true}',
    '{"type": "ping", "id": [1]}',
    "",
    " ",
    "hello",
    '{"type": "ping"',
    '{"type": "ping"}{}',
    "\ufeff{}",
    '[{"type": "ping"}]',
    "null",
    "5",
    '"ping"',
    "{}",
    '{"id": 3}',
    '{"id": 3, "type": null}',
    '{"id": 3, "type": 5}',
    '{"type": "ping", "id": 1e400}',
    '{"type": "ping", "x": "\\ud800"}',
    '{"type": "ping", "x": ' + "[" * 30_000,
    '{"type": "dance", "id": 3}',
    '{"type": "dance"}',
    '{"type": "dance", "id": []}',
    '{"type": "pong", "id": 3}',
    '{"type": "participant", "id": 3}',
    '{"type": "Ping", "id": "a"}',
    '{"type": "join-room", "id": 3, "code": "' + "x" * 30_000 + '", "guestName": "Jane"}',
    '{"type": "join-room", "id": 3, "' + "x" * 30_000 + '": 1}',
    '{"type": "signal", "to": "x", "data": }',
    "{'type': 'ping'}",
)


async def texts(s: Scene) -> None:
    """Text messages that are requests, and that are none."""
    s.transcript.heading("Text messages, good and bad")
    await s.connect("jane")
    for text in TEXTS:
        await s.say("jane", text)
    s.everybody_goes()
