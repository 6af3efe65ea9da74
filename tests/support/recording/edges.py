"""Frames below the text, limits, outages and restarts: sections 1 and 9 of docs/protocol.md."""

import asyncio
import json
import signal
import struct

from tests.support.recording.requests import requests, sweep
from tests.support.recording.scene import PACE, Scene
from tests.support.recording.wire import BINARY, CLOSE, CONTINUATION, PING, PONG, frame

FRAMES: dict[str, bytes] = {
    "a ping": frame(b"", PING),
    "a ping of 125 bytes": frame(b"p" * 125, PING),
    "a pong nobody asked for": frame(b"x", PONG),
    "a text frame with its length in 64 bits": b"\x81\xff" + struct.pack("!Q", 16) + b"\0" * 4 + b'{"type": "ping"}',
    "a text frame with its length in 16 bits": b"\x81\xfe\x00\x10" + b"\0" * 4 + b'{"type": "ping"}',
    "two requests at once": frame(b'{"type": "ping", "id": 1}') + frame(b'{"type": "ping", "id": 2}'),
    "a request between two pings": frame(b"1", PING) + frame(b'{"type": "ping"}') + frame(b"2", PING),
    "a text frame that is not masked": frame(b"{}", masked=False),
    "reserved bit 1": frame(b"{}", reserved=4),
    "reserved bit 2": frame(b"{}", reserved=2),
    "reserved bit 3": frame(b"{}", reserved=1),
    **{f"opcode {opcode}": frame(b"{}", opcode) for opcode in (3, 7, 11, 15)},
    "a ping in fragments": frame(b"", PING, fin=False),
    "a ping of 126 bytes": frame(b"x" * 126, PING),
    "a close of 126 bytes": frame(b"\x03\xe8" + b"x" * 124, CLOSE),
    "a continuation of nothing": frame(b"{}", CONTINUATION),
    "a message inside another": frame(b"{", fin=False) + frame(b"{}"),
    "a close of one byte": frame(b"\x03", CLOSE),
    **{f"close {code}": frame(struct.pack("!H", code), CLOSE) for code in (0, 999, 1005, 1006, 1015, 2999, 5000)},
    **{f"close {code}": frame(struct.pack("!H", code), CLOSE) for code in (1000, 1001, 1011, 3000, 4401, 4999)},
    "a close without a code": frame(b"", CLOSE),
    "a close with a reason": frame(b"\x03\xe8" + "b\u00e9".encode(), CLOSE),
    "a close with a reason that is not UTF-8": frame(b"\x03\xe8\xff\xfe", CLOSE),
    "a request, and a close": frame(b'{"type": "ping"}') + frame(b"\x03\xe8", CLOSE),
    "a text that is not UTF-8": frame(b'{"type": "\xff"}'),
    "a surrogate": frame(b'{"type": "\xed\xa0\x80"}'),
    "an overlong slash": frame(b"\xc0\xaf"),
    "a character cut in half": frame(b'{"type": "\xc3'),
    "a character cut in half, in fragments": frame(b'{"type": "\xc3', fin=False) + frame(b'"}', CONTINUATION),
    "binary": frame(b'{"type": "ping"}', BINARY),
    "binary in fragments": frame(b"x", BINARY, fin=False) + frame(b"y", CONTINUATION),
    "a request, and binary": frame(b'{"type": "ping"}') + frame(b"x", BINARY),
    "65,537 bytes": frame(b" " * 65_537),
    "65,537 bytes in two fragments": frame(b" " * 40_000, fin=False) + frame(b" " * 25_537, CONTINUATION),
    "an announced exabyte": b"\x81\xff" + struct.pack("!Q", 2**60) + b"\0\0\0\0",
    "a length with the highest bit": b"\x81\xff" + b"\xff" * 8 + b"\0\0\0\0",
    "HTTP": b"GET / HTTP/1.1\r\n\r\n",
}
"""What stands below text messages, the good and the bad."""


async def wire(s: Scene) -> None:
    """Every kind of frame on a connection of its own."""
    s.transcript.heading("Frames below the text")
    for note, data in FRAMES.items():
        await s.connect("jane")
        await s.settle()  # or else the first frame may find that the daemon has not begun to listen
        await s.raw("jane", note, data)
        s.everybody_goes()
    s.transcript.heading("Messages in fragments")
    await s.connect("jane")
    await s.pieces("jane", '{"type": ', '"ping", ', '"id": 1}')
    await s.pieces("jane", "", '{"type": "ping", "id": "\u00e9', '"}', "")
    await s.pieces("jane", '{"type": "ping"', ', "id": 2}', between=frame(b"between", PING))
    await s.pieces("jane", " " * 40_000, '{"type": "ping", "id": 3}'.ljust(25_536))
    await s.pieces("jane", '{"type": "ping"', ', "id": ')
    await s.pieces("jane", '{"type": "join-room", "id": 4', ', "code": "zzz-zzz-zzz", "guestName": "Jane"}')
    s.transcript.heading("Many requests at once")
    many = [json.dumps({"id": number, "type": type_, **fields}) for number, (type_, fields) in enumerate(
        (type_, fields) for type_, fields in requests().items() if type_ != "authenticate"
    )]  # fmt: skip
    await s.raw("jane", "one of each, about a room that does not exist", b"".join(frame(t.encode()) for t in many))
    s.everybody_goes()


async def outage(s: Scene) -> None:
    """Every request while storage fails, and after it."""
    s.transcript.heading("Every request: while storage fails")
    for name, user in (("alice", "alice"), ("bob", "bob"), ("jane", None), ("joe", None)):
        await s.connect(name, user)
    code = await s.room("alice", waitingRoom=True)
    s.pace = PACE  # the host is sent each change of the queue at once
    await s.ask("alice", "join-room", code=code)
    bob = (await s.ask("bob", "join-room", code=code))["participantId"]
    await s.ask("alice", "admit-all")
    jane = await s.ask("jane", "join-room", code=code, guestName="Jane")
    await s.connect("dora", "dora")
    dora = (await s.ask("dora", "join-room", code=code))["participantId"]
    await s.ask("alice", "remove-participant", participantId=dora, ban=True)
    s.pace = 0.0
    with s.outage():
        await sweep(s, "alice", {"authenticate", "deny-participant", "admit-participant"}, code=code, participant=bob)
        for type_ in ("admit-participant", "deny-participant"):
            await s.ask("alice", type_, participantId=jane["participantId"])
        await s.ask("alice", "unban", userId="dora")
        await s.ask("bob", "update-participant", state={"muted": False})
        await s.tell("bob", "send-message", text="not kept")
        await s.ask("joe", "join-room", code=code, guestName="Joe")
        await s.ask("joe", "resume", resumeToken=jane["resumeToken"])
        await s.ask("jane", "leave-room")
    await s.ask("alice", "admit-all")
    await s.ask("alice", "list-bans")
    await s.ask("alice", "list-messages", code=code)


async def restart(s: Scene) -> dict[str, str]:
    """Stop the daemon with clients in it; answers with the resume tokens."""
    s.transcript.heading("A restart")
    for name, user in (("ann", "ann"), ("bea", "bea"), ("eve", None), ("guest", None)):
        await s.connect(name, user)
    code = await s.room("ann", waitingRoom=True)
    other = await s.room("ann")
    tokens = {"ann": (await s.ask("ann", "join-room", code=code))["resumeToken"]}
    tokens["bea"] = (await s.ask("bea", "join-room", code=code))["resumeToken"]
    tokens["eve"] = (await s.ask("eve", "join-room", code=code, guestName="Eve"))["resumeToken"]
    await s.ask("ann", "update-participant", state={"muted": True})
    await s.ask("ann", "admit-all")
    await s.ask("bea", "send-message", text="before")
    await s.ask("guest", "join-room", code=other, guestName="Guest")
    await _stop(s, ["alice", "bob", "jane", "joe", "dora", "ann", "bea", "eve", "guest"])
    return {**tokens, "code": code}


async def after_restart(s: Scene, tokens: dict[str, str]) -> None:
    """Come back after a restart, and once more after a crash."""
    s.transcript.heading("After the restart")
    await s.connect("ann", "ann")
    await s.ask("ann", "get-room", code=tokens["code"])
    ann = await s.ask("ann", "resume", resumeToken=tokens["ann"])
    await s.connect("eve")
    await s.ask("eve", "resume", resumeToken=tokens["eve"])
    await s.ask("ann", "list-participants", code=tokens["code"])
    s.transcript.heading("A crash")
    await asyncio.to_thread(s.daemon.kill)
    for name in ("ann", "eve"):
        await s.hear(name)
    s.everybody_goes()
    await asyncio.to_thread(s.daemon.start)
    await s.connect("bea", "bea")
    await s.ask("bea", "join-room", code=tokens["code"])
    await s.connect("ann")
    await s.ask("ann", "resume", resumeToken=ann["resumeToken"])
    await s.ask("ann", "update-participant", state={"muted": None})
    s.everybody_goes()


async def batches(s: Scene) -> None:
    """What comes together is told together: requests that wait while a commit before them is held up."""
    s.transcript.heading("Many joins in one batch")
    names = {"alice": "alice", "bob": "bob", "carl": "carl", "jane": None, "joe": None, "bob2": "bob", "dora": "dora"}
    for name, user in names.items():
        await s.connect(name, user)
    code = await s.room("alice", maxParticipants=4)
    seat = (await s.ask("alice", "join-room", code=code))["participant"]["id"]
    with s.outage():
        await s.begin("alice", "update-room", code=code, name="While it commits")
        await s.begin("jane", "join-room", code=code, guestName="Jane")
        await s.begin("bob", "join-room", code=code)
        await s.begin("bob2", "join-room", code=code)
        await s.begin("carl", "join-room", code=code)
        await s.begin("joe", "join-room", code=code, guestName="Joe", wait=True)
        await s.begin("dora", "join-room", code=code)
    await s.settle()
    s.transcript.heading("Changes of many kinds in one batch, and an end that has its own")
    await s.connect("root", token=s.token("root", "admin", roomd={"admin": True}))
    with s.outage():
        await s.begin("alice", "update-room", code=code, name="While it commits, again")
        await s.begin("jane", "leave-room")
        await s.begin("bob2", "update-participant", state={"muted": True})
        await s.begin("carl", "send-message", text="for alice", to=seat)
        await s.begin("root", "end-room", code=code)
        await s.begin("dora", "join-room", code=code)
    await s.settle()
    s.everybody_goes()


async def drain(s: Scene) -> None:
    """Stop while a batch waits for storage: it is finished, and new requests are refused."""
    s.transcript.heading("Every request: while the daemon stops")
    await s.connect("ann", "ann")
    await s.connect("bea", "bea")
    await s.connect("guest")
    code = await s.room("ann")
    await s.ask("ann", "join-room", code=code)
    with s.outage():
        await s.begin("bea", "join-room", code=code)
        s.daemon.process.send_signal(signal.SIGTERM)
        s.barriers = False
        await s.first_refusal("guest", "ping")
        for type_, fields in requests(code).items():
            await s.say("guest", json.dumps({"type": type_, **fields, "id": type_}))
            await s.hear("guest")
    await _stop(s, ["ann", "bea", "guest"], told=True)
    s.barriers = True


async def _stop(s: Scene, names: list[str], *, told: bool = False) -> None:
    """Stop the daemon and record what it tells those who are connected."""
    s.transcript.note("the daemon is told to stop")
    stopping = asyncio.create_task(asyncio.to_thread(s.daemon.process.wait if told else s.daemon.stop))
    for name in names:
        await s.until_closed(name)
    s.transcript.note(f"it ends with exit code {await stopping}")
    s.everybody_goes()


async def rates(s: Scene) -> None:
    """The limits on requests, on bytes told to others, and on connections."""
    s.transcript.heading("Past the limit on connections")
    await s.connect("alice", "alice")
    code = await s.room("alice")
    ids = {"alice": (await s.ask("alice", "join-room", code=code))["participant"]["id"]}
    for name in ("jane", "joe"):
        await s.connect(name)
        ids[name] = (await s.ask(name, "join-room", code=code, guestName=name.title()))["participant"]["id"]
    await s.connect("late")
    await s.until_closed("late")

    s.transcript.heading("Past the limit on bytes told to others")
    await s.ask("alice", "signal", to=ids["jane"], data="x" * 2000)
    await s.ask("alice", "signal", to=ids["jane"], data="x" * 2000)
    await s.tell("alice", "signal", to=ids["jane"], data="x" * 2000)
    await s.ask("alice", "send-message", text="x" * 1000)
    await s.ask("alice", "update-participant", state={"muted": True})
    await s.ask("jane", "send-message", text="x" * 2000)
    await s.ask("jane", "send-message", text="x" * 2000)

    s.transcript.heading("Every request: past the limit on requests")
    await s.ask("jane", "ping")
    await s.exhaust("jane", 297)
    for type_, fields in requests(code, ids["alice"]).items():
        if type_ == "authenticate":
            continue  # it is served all the same, and this token closes the connection
        await s.say("jane", json.dumps({"type": type_, **fields, "id": type_}))
        await s.hear("jane")
    s.transcript.note("she keeps sending")
    for number in range(8):
        await s.say("jane", "no request" if number else '{"type": "ping"}')
        await s.hear("jane")
    await s.until_closed("jane")
    for name in ("alice", "alice", "alice", "joe", "joe", "joe", "joe"):
        await s.hear(name)
    s.transcript.heading("Pings past the limit on requests")
    await s.ask("joe", "ping")
    await s.exhaust("joe", 299)
    await s.raw("joe", "31 pings", frame(b"", PING) * 31)
    await s.until_closed("joe")
    s.everybody_goes()


async def silence(s: Scene) -> None:
    """Seats whose hold runs out, clients that say nothing, and readers that are slow."""
    s.transcript.heading("A hold that runs out")
    await s.connect("alice", "alice")
    code = await s.room("alice")
    await s.ask("alice", "join-room", code=code)
    await s.connect("jane")
    jane = await s.ask("jane", "join-room", code=code, guestName="Jane")
    await s.hang_up("jane", None, late={"alice": 2})
    await s.connect("jane")
    await s.ask("jane", "resume", resumeToken=jane["resumeToken"])
    await s.ask("jane", "join-room", code=code, guestName="Jane")

    s.transcript.heading("Silent before the first join")
    await s.connect("quiet")
    await s.until_closed("quiet")
    await s.connect("quiet", "bob")
    s.barriers = False
    await s.raw("quiet", "half a frame", frame(b'{"type": "ping"}')[:9])
    await s.until_closed("quiet")
    s.everybody_goes()


async def slow(s: Scene) -> None:
    """A reader that stops reading: signals to it are refused."""
    s.transcript.heading("Signals to someone who does not read")
    await s.connect("alice", "alice")
    code = await s.room("alice")
    await s.ask("alice", "join-room", code=code)
    await s.connect("jane")
    jane = (await s.ask("jane", "join-room", code=code, guestName="Jane"))["participant"]["id"]
    await s.ask("alice", "ping")
    await s.first_refusal("alice", "signal", id="s", to=jane, data="x" * 60_000)
    await s.ask("alice", "mute-participant", participantId=jane)
    await s.ask("alice", "signal", to=jane, data=1)
    s.everybody_goes()


async def pinged(s: Scene) -> None:
    """A client that is silent is pinged, and cut off when it stays so."""
    s.transcript.heading("A client that does not answer pings")
    await s.connect("jane")
    await s.connect("alice", "alice")
    code = await s.room("alice")
    await s.ask("jane", "join-room", code=code, guestName="Jane")
    await s.until_cut_off("jane")
    s.everybody_goes()


async def no_issuer(s: Scene) -> None:
    """The issuer's keys cannot be had."""
    s.transcript.heading("An issuer that does not answer")
    await s.connect("ann")
    await s.ask("ann", "authenticate", token=s.token("ann"))
    await s.connect("bea", "bea")
    await s.ask("bea", "list-rooms")
    await s.connect("cem")
    await s.ask("cem", "list-rooms")
    s.everybody_goes()
