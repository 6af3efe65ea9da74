"""Who is asking, and coming and going: sections 2 to 7 of docs/protocol.md."""

import jwt

from tests.support.recording.scene import AUDIENCE, ISSUER, LATEST, Scene
from tests.support.recording.wire import BINARY, frame

PAST = 1_600_000_000


async def identity(s: Scene) -> None:
    """The three ways to present a token, and what is refused of each."""
    s.transcript.heading("Who is asking")
    await s.connect("ann")
    await s.say("ann", '{"type": "ping"}')
    await s.ask("ann", "list-rooms")
    await s.ask("ann", "authenticate", token=s.token("ann", name="  Ann Lee "))
    await s.ask("ann", "authenticate", token=s.token("ann", "with another name", name="Ann", roomd=None))
    await s.ask("ann", "authenticate", token=s.token("bob"))
    await s.ask("ann", "create-room", name="Ann's")
    code = await s.room("ann")
    other = await s.room("ann")
    await s.upgrade("bea", ("Sec-WebSocket-Protocol", f"roomd.v1, bearer.{s.token('bea')}"))
    await s.ask("bea", "join-room", code=code)
    await s.upgrade("cem", ("Sec-WebSocket-Protocol", f"other, bearer.{s.token('cem', name='x' * 101)}, roomd.v1"))
    await s.ask("cem", "join-room", code=code)
    await s.ask("cem", "authenticate", token=s.token("cem", "renewed", name="Cem"))
    await s.upgrade("dan", ("Sec-WebSocket-Protocol", f"bearer.{s.token('dan')}"))
    await s.ask("dan", "list-rooms")
    await s.upgrade("eve", ("Sec-WebSocket-Protocol", "roomd.v1"))
    await s.ask("eve", "join-room", code=code, guestName="Eve")
    await s.ask("eve", "authenticate", token=s.token("eve"))
    await s.ask("eve", "leave-room")
    await s.ask("eve", "authenticate", token=s.token("eve"))
    await s.upgrade("fay", ("authorization", f"bearer   {s.token('fay')} "))
    await s.ask("fay", "list-rooms", limit=1)

    s.transcript.heading("A token for one room")
    grant = s.token("gil", "for one room", roomd={"room": code.upper().replace("-", " ")})
    s.transcript.alias(code.upper().replace("-", " "), "<code 2 in capitals>")
    await s.connect("gil", token=grant)
    await s.ask("gil", "join-room", code=other)
    await s.ask("gil", "join-room", code=code)
    await s.ask("gil", "create-room")
    await s.ask("gil", "list-rooms")
    await s.ask("gil", "remove-participant", code=other, participantId="x")
    admin = s.token("hal", "admin of one room", roomd={"room": code, "admin": True})
    await s.connect("hal", token=admin)
    await s.ask("hal", "update-room", code=code, name="Hal's")
    await s.ask("hal", "update-room", code=other, name="Hal's")
    await s.ask("ann", "join-room", code=code)
    s.everybody_goes()


def bad_tokens(s: Scene) -> dict[str, str]:
    """Make tokens that are not accepted, by what is wrong with them."""
    whole = s.token("ann")
    claims = {"sub": "ann", "exp": LATEST, "iss": ISSUER, "aud": AUDIENCE}
    other = jwt.encode(claims, "another secret, also of 32 bytes and more", "HS256")
    longer = jwt.encode(claims, s.daemon.secret * 2, "HS512")
    unsigned = jwt.encode(claims, "", "none")
    critical = jwt.encode(claims, s.daemon.secret, "HS256", {"crit": ["b64"], "b64": True})
    return {
        "expired": s.token("ann", "expired", exp=PAST),
        "no exp": s.token("ann", "no exp", exp=None),
        "exp is text": s.token("ann", "exp is text", exp=str(LATEST)),
        "not yet": s.token("ann", "nbf in 2100", nbf=LATEST),
        "of the future": s.token("ann", "iat in 2100", iat=LATEST),
        "no sub": s.token("ann", "no sub", sub=None),
        "empty sub": s.token("ann", "empty sub", sub=""),
        "long sub": s.token("ann", "sub of 129 characters", sub="x" * 129),
        "control character": s.token("ann", "sub with a control character", sub="a\x07"),
        "other issuer": s.token("ann", "other issuer", iss="https://other.example"),
        "other audience": s.token("ann", "other audience", aud=["a", "b"]),
        "grant of a wrong type": s.token("ann", "grant of a wrong type", roomd={"admin": 1}),
        "bad room": s.token("ann", "grant of no room", roomd={"room": "nonsense"}),
        "other secret": s.transcript.alias(other, "<token of ann, signed with another secret>"),
        "other algorithm": s.transcript.alias(longer, "<token of ann, HS512>"),
        "unsigned": s.transcript.alias(unsigned, "<token of ann, unsigned>"),
        "critical": s.transcript.alias(critical, "<token of ann, crit>"),
        "cut": s.transcript.alias(whole[:-1] + "-", "<token of ann, another last character>"),
        "long": "x" * 16_385,
        "nonsense": "nonsense",
        "empty": "",
    }


async def refused_tokens(s: Scene) -> None:
    """Every bad token, and every way that one is presented."""
    s.transcript.heading("Tokens that are not accepted")
    wrong = bad_tokens(s)
    for token in wrong.values():
        await s.connect("ann")
        await s.ask("ann", "authenticate", token=token)
    for token in (wrong["expired"], wrong["nonsense"]):
        await s.connect("ann", token=token)
        await s.ask("ann", "join-room", code="abc-def-ghi")
        await s.upgrade("ann", ("Sec-WebSocket-Protocol", f"roomd.v1, bearer.{token}"))
        await s.say("ann", "nonsense")
    await s.upgrade("ann", ("Authorization", "Basic YW5uOmFubg=="))
    await s.say("ann", '{"type": "ping", "id": "first"}')
    await s.upgrade("ann", ("Authorization", f"Bearer {s.token('ann')}"), ("Authorization", f"Bearer {s.token('ann')}"))
    await s.say("ann", '{"type": "ping", "id": 1}')
    await s.connect("ann", token=wrong["nonsense"])
    await s.raw("ann", "binary", frame(b"{}", BINARY))
    await s.connect("ann", token=wrong["nonsense"])
    await s.until_closed("ann")
    s.everybody_goes()


async def rooms(s: Scene) -> None:
    """Making, looking at, listing, changing and ending rooms."""
    s.transcript.heading("Rooms")
    await s.connect("alice", "alice")
    await s.connect("bob", token=s.token("bob", name="Bob"))
    await s.connect("jane")
    await s.connect("root", token=s.token("root", "admin", roomd={"admin": True}))
    code = await s.room("alice")
    await s.ask("alice", "create-room", name="  Weekly ", maxParticipants=2, allowGuestAccess=False, waitingRoom=True)
    for settings in (
        {"name": ""},
        {"name": "x" * 101},
        {"name": "a\u202eb"},
        {"maxParticipants": 1},
        {"maxParticipants": 10**6},
        {"name": None, "maxParticipants": None},
    ):
        await s.ask("alice", "create-room", **settings)
        await s.ask("alice", "update-room", code=code, **settings)
    await s.ask("jane", "create-room")

    typed = {code.upper().replace("-", " "): "in capitals", code.replace("-", ""): "without hyphens"}
    for text, note in typed.items():
        await s.ask("jane", "get-room", code=s.transcript.alias(text, f"<code of alice's {note}>"))
    for text in ("zzz-zzz-zzz", "abc-def-ghij", "ABC-DEF-GH1", ""):
        await s.ask("jane", "get-room", code=text)
    for name in ("alice", "bob", "root"):
        await s.ask(name, "get-room", code=code)

    s.transcript.heading("Changing a room, with people in it")
    await s.ask("bob", "join-room", code=code)
    await s.ask("jane", "join-room", code=code, guestName="Jane")
    await s.ask("alice", "update-room", code=code, name="Daily", isLocked=True, maxParticipants=3)
    await s.ask("alice", "update-room", code=code, name="Daily")
    await s.ask("alice", "update-room", code=code, isLocked=None, allowGuestAccess=False)
    await s.ask("root", "update-room", code=code, isLocked=False, waitingRoom=True)
    await s.ask("bob", "update-room", code=code, name="Bob's")
    await s.ask("jane", "end-room", code=code)
    await s.ask("jane", "list-participants", code=code)
    await s.ask("jane", "list-participants", code=code, history=True)
    await s.ask("alice", "list-participants", code=code, history=True)
    page = await s.ask("root", "list-participants", code=code, limit=1)
    await s.ask("root", "list-participants", code=code, limit=1, cursor=page["nextCursor"])
    await s.ask("root", "list-participants", code=code, limit=201)
    await s.ask("alice", "end-room", code=code)
    await s.ask("alice", "end-room", code=code)
    await s.ask("alice", "update-room", code=code, name="x")
    await s.ask("bob", "join-room", code=code)
    await s.ask("bob", "get-room", code=code)
    await s.ask("bob", "list-participants", code=code)
    await s.ask("bob", "leave-room")
    page = await s.ask("alice", "list-participants", code=code, history=True, limit=1)
    await s.ask("alice", "list-participants", code=code, history=True, limit=1, cursor=page["nextCursor"])

    s.transcript.heading("Lists of rooms")
    for name in ("jane", "bob", "alice"):
        await s.ask(name, "list-rooms")
    page = await s.ask("alice", "list-rooms", limit=2, isActive=True)
    await s.ask("alice", "list-rooms", limit=2, isActive=True, cursor=page["nextCursor"])
    await s.ask("alice", "list-rooms", isActive=False)
    await s.ask("root", "list-rooms", limit=3)
    await s.ask("alice", "list-rooms", cursor="nonsense", limit=1)
    await s.ask("alice", "list-rooms", limit=0)
    s.everybody_goes()


NAMES = (
    "",
    "  ",
    "x" * 51,
    "x" * 50,
    " Jane\tSmith ",
    "Jane\u202eSmith",
    "\u200b",
    "e\u0301" * 50,
    "\U0001f600" * 50,
    "\u0301" * 201,
)


async def joining(s: Scene) -> None:
    """Every answer that a join can get, in the order of the checks."""
    s.transcript.heading("Joining")
    for name, user in (("alice", "alice"), ("bob", "bob"), ("jane", None), ("joe", None)):
        await s.connect(name, user)
    code = await s.room("alice", maxParticipants=3)
    other = await s.room("alice", name="Other")
    await s.ask("jane", "join-room", code=code)
    await s.ask("jane", "join-room", code="zzz-zzz-zzz")
    await s.ask("jane", "join-room", code="zzz-zzz-zzz", guestName="Jane")
    await s.ask("alice", "join-room", code=code, guestName="not used")
    for name in NAMES:
        await s.connect("nan")
        await s.ask("nan", "join-room", code=code, guestName=name)
        await s.ask("nan", "leave-room")
        await s.hang_up("nan")
    await s.ask("jane", "join-room", code=code, guestName="Jane")
    await s.ask("jane", "join-room", code=code, guestName="Another name")
    await s.tell("bob", "join-room", code=code)
    await s.ask("joe", "join-room", code=code, guestName="Joe")
    await s.ask("joe", "get-room", code=code)
    await s.ask("bob", "get-room", code=code)
    await s.ask("alice", "update-room", code=code, isLocked=True)
    await s.ask("joe", "join-room", code=code, guestName="Joe")
    await s.ask("joe", "get-room", code=code)
    await s.ask("alice", "update-room", code=code, allowGuestAccess=False)
    await s.ask("joe", "join-room", code=code, guestName="Joe")
    await s.ask("joe", "get-room", code=code)
    await s.ask("jane", "join-room", code=code, guestName="Jane")
    await s.ask("alice", "update-room", code=code, maxParticipants=2)

    s.transcript.heading("Taking a seat over")
    await s.connect("bob again", "bob")
    await s.ask("bob again", "join-room", code=code)
    await s.ask("bob again", "list-participants", code=code)

    s.transcript.heading("Moving between rooms")
    await s.ask("bob again", "join-room", code="zzz-zzz-zzz")
    await s.ask("bob again", "join-room", code=other, late="alice")
    await s.ask("jane", "join-room", code=other, guestName="Jane", late="alice")
    await s.ask("alice", "join-room", code=other)
    await s.ask("jane", "leave-room")
    await s.ask("jane", "leave-room")
    s.everybody_goes()


async def coming_back(s: Scene) -> None:
    """Drops, holds and resume tokens."""
    s.transcript.heading("Dropping and coming back")
    for name, user in (("alice", "alice"), ("bob", "bob"), ("jane", None)):
        await s.connect(name, user)
    code = await s.room("alice")
    await s.ask("alice", "join-room", code=code)
    bob = await s.ask("bob", "join-room", code=code)
    jane = await s.ask("jane", "join-room", code=code, guestName="Jane")
    await s.hang_up("jane", 1000, late="alice")
    await s.hang_up("bob", 1001, late="alice")
    await s.ask("alice", "list-participants", code=code)
    await s.connect("jane 2")
    back = await s.ask("jane 2", "resume", resumeToken=jane["resumeToken"])
    back = await s.ask("jane 2", "resume", resumeToken=back["resumeToken"])
    await s.ask("jane 2", "resume", resumeToken=jane["resumeToken"])
    await s.connect("jane 3")
    back = await s.ask("jane 3", "resume", resumeToken=back["resumeToken"])
    await s.hang_up("jane 3", None, late="alice")

    s.transcript.heading("Resume tokens that are not good")
    await s.connect("joe")
    place, participant, secret = str(back["resumeToken"]).split(".")
    for token in (
        "",
        "nonsense",
        "a.b.c",
        f"{place}.{participant}",
        f"{place}.{participant}.{'0' * 32}",
        f"zzz-zzz-zzz.{participant}.{secret}",
        s.transcript.alias(f"{place.upper()}.", "<code in capitals>.") + f"{participant}.{secret}",
        bob["resumeToken"] + ".0",
    ):
        await s.ask("joe", "resume", resumeToken=token)
    await s.connect("carl", "carl")
    await s.ask("carl", "resume", resumeToken=bob["resumeToken"])
    await s.ask("carl", "resume", resumeToken=back["resumeToken"])
    await s.ask("joe", "resume", resumeToken=bob["resumeToken"])
    await s.ask("joe", "authenticate", token=s.token("carl"))
    await s.ask("joe", "authenticate", token=s.token("bob"))
    await s.ask("joe", "leave-room")
    await s.ask("joe", "resume", resumeToken=bob["resumeToken"])
    await s.connect("jane 4")
    await s.ask("jane 4", "resume", resumeToken=back["resumeToken"])
    await s.ask("alice", "end-room", code=code)
    await s.ask("jane 4", "resume", resumeToken=back["resumeToken"])

    s.transcript.heading("From one room to the seat in another")
    one, two = await s.room("alice"), await s.room("alice")
    await s.ask("alice", "join-room", code=one)
    first = await s.ask("carl", "join-room", code=one)
    await s.hang_up("carl", None, late="alice")
    await s.connect("carl", "carl")
    await s.ask("carl", "join-room", code=two)
    await s.ask("carl", "resume", resumeToken=first["resumeToken"])
    await s.ask("alice", "list-participants", code=two, history=True)
    s.everybody_goes()
