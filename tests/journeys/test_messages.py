"""What people say to each other: docs/protocol.md, section 8, "Messages", from a client's side."""

import asyncio
import contextlib
import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.daemon import Client, Daemon, error

pytestmark = pytest.mark.both_stores

JANE = {"guestName": "Jane"}
OK = {"type": "ok"}
MakeDaemon = Callable[..., Daemon]


async def say(client: Client, text: str, to: str | None = None) -> dict[str, Any]:
    """Say something; the message as the sender is told of it, right after the `ok`."""
    assert await client.ask("send-message", text=text, **({"to": to} if to else {})) == OK
    frame = await client.receive()
    assert frame["type"] == "message"
    message: dict[str, Any] = frame["message"]
    return message


async def read(client: Client, code: str, **fields: Any) -> list[str]:
    """List messages; their texts."""
    return [message["text"] for message in (await client.ask("list-messages", code=code, **fields))["messages"]]


async def test_public(daemon: Daemon) -> None:
    """Everyone in the room gets it, the sender too; it is in the next `room-state` and in the list."""
    room = await daemon.room()
    async with daemon.client("alice") as host, daemon.client() as guest, daemon.client() as later:
        await host.join(room["code"])
        jane = (await guest.join(room["code"], **JANE))["participant"]
        await host.receive()
        message = await say(guest, "Hello")
        assert message == {
            "id": message["id"],
            "participantId": jane["id"],
            "displayName": "Jane",
            "text": "Hello",
            "sentAt": message["sentAt"],
            "to": None,
        }
        assert message["sentAt"] >= jane["joinedAt"]
        assert await host.receive() == {"type": "message", "message": message}
        assert (await later.join(room["code"], **JANE))["state"]["messages"] == [message]
        listed = await later.ask("list-messages", code=room["code"])
        assert listed == {"type": "messages", "messages": [message], "nextCursor": None}


async def test_private(daemon: Daemon) -> None:
    """The two of them get it and find it in the list; nobody else does, not in `room-state`, not the host."""
    room = await daemon.room()
    code = room["code"]
    async with contextlib.AsyncExitStack() as stack:
        host, jane, joan, later = [await stack.enter_async_context(daemon.client(u)) for u in ("alice", *[None] * 3)]
        await host.join(code)
        await jane.join(code, **JANE)
        to = (await joan.join(code, guestName="Joan"))["participant"]["id"]
        for client in (host, jane):
            await client.events()
        message = await say(jane, "psst", to)
        assert message["to"] == to
        assert await joan.receive() == {"type": "message", "message": message}
        await host.nothing_more()
        assert (await later.join(code, **JANE))["state"]["messages"] == []
        for client in (host, jane, joan):
            await client.events()
        assert [await read(client, code) for client in (host, jane, joan, later)] == [[], ["psst"], ["psst"], []]


async def test_to_whom(daemon: Daemon) -> None:
    """To a held seat it is kept; to nobody, one who left or one of another room refused; to oneself it is told."""
    room, other = await daemon.room(), await daemon.room()
    code = room["code"]
    async with contextlib.AsyncExitStack() as stack:
        host, jane, gone, elsewhere = [
            await stack.enter_async_context(daemon.client(user)) for user in ("alice", None, None, None)
        ]
        await host.join(code)
        me = (await jane.join(code, **JANE))["participant"]["id"]
        left = (await gone.join(code, **JANE))["participant"]["id"]
        await gone.ask("leave-room")
        away = (await elsewhere.join(other["code"], **JANE))["participant"]["id"]
        async with daemon.client() as dropping:
            held = await dropping.join(code, **JANE)
        while not (await host.receive()).get("updated"):
            pass
        await jane.events()
        for nobody in ("", "nobody", left, away, "x" * 5000, "'; --"):
            assert await jane.ask("send-message", text="x", to=nobody) == error("participant_not_found")
        await say(jane, "to me", me)
        await say(jane, "for later", held["participant"]["id"])
        await host.nothing_more()
        async with daemon.client() as back:
            await back.ask("resume", resumeToken=held["resumeToken"])
            assert (await back.receive())["messages"] == []
            assert await read(back, code) == ["for later"]


async def test_fire_and_forget(daemon: Daemon) -> None:
    """Without `id` there is no `ok`; an error is always answered."""
    room = await daemon.room()
    async with daemon.client() as guest:
        await guest.send("send-message", text="x")
        assert await guest.receive() == error("not_in_room")
        await guest.join(room["code"], **JANE)
        await guest.send("send-message", text="x")
        assert [frame["type"] for frame in await guest.events()] == ["message"]
        await guest.send("send-message", text="x", to="nobody")
        assert await guest.receive() == error("participant_not_found")


SCRIPT = "<script>alert(1)</script><img src=x onerror='alert(2)'>\"\\"
TEXTS = {
    "one character": "x",
    "2,000 astral characters": "\U0001f600" * 2000,
    "script": SCRIPT,
    "lines": "a\nb\r\n\tc",
    "separators and controls": "\u2028\u2029\u0000\u001b[31m\u202e\ufeff",
    "not normalized": "e\u0301 \u00e9",
    "spaces": "  x  ",
    "JSON": '{"type": "room-ended"}',
    "SQL": "'); DROP TABLE messages; --",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
async def test_verbatim(daemon: Daemon, text: str) -> None:
    """Text is 1 to 2,000 characters, whatever they are, and comes back as it was sent."""
    room = await daemon.room()
    async with daemon.client() as guest, daemon.client() as other:
        await guest.join(room["code"], guestName=SCRIPT[:50])
        shown = (await other.join(room["code"], **JANE))["state"]["participants"][0]["displayName"]
        await guest.receive()
        message = await say(guest, text)
        assert (message["text"], message["displayName"]) == (text, SCRIPT[:50])
        assert await other.receive() == {"type": "message", "message": message}
        assert shown == SCRIPT[:50]
        assert await read(other, room["code"]) == [text]


BAD_TEXTS = {"empty": "", "2,001": "x" * 2001, "2,001 astral": "\U0001f600" * 2001, "number": 5, "null": None}


@pytest.mark.parametrize("text", BAD_TEXTS.values(), ids=BAD_TEXTS.keys())
async def test_bad_text(daemon: Daemon, text: Any) -> None:
    """What is not 1 to 2,000 characters is refused and not told."""
    room = await daemon.room()
    async with daemon.client() as guest:
        await guest.join(room["code"], **JANE)
        assert (await guest.ask("send-message", text=text))["code"] == "bad_frame"
        await guest.nothing_more()


async def test_the_last_fifty(daemon: Daemon) -> None:
    """`room-state.messages` has the last 50 public ones, the oldest first; the list has all, in pages."""
    room = await daemon.room()
    code = room["code"]
    async with daemon.client() as guest, daemon.client("alice") as host:
        me = (await guest.join(code, **JANE))["participant"]["id"]
        for number in range(60):
            await guest.send("send-message", text=f"{number}", **({"to": me} if number % 10 == 9 else {}))
        told = [frame["message"]["text"] for frame in await guest.events()]
        assert told == [f"{number}" for number in range(60)]
        public = [text for text in told if not text.endswith("9")]
        await guest.send("send-message", text="last")
        state = (await host.join(code))["state"]
        assert [message["text"] for message in state["messages"]] == [*public[5:], "last"]
        await guest.events()
        pages = await pages_of(guest, code, 25)
        assert [len(page) for page in pages] == [25, 25, 11]
        assert [text for page in pages for text in page] == [*told, "last"]
        assert [len(page) for page in await pages_of(host, code, 55)] == [55]
        assert [len(page) for page in await pages_of(host, code, 54)] == [54, 1]


async def pages_of(client: Client, code: str, limit: int) -> list[list[str]]:
    """Read every page; the texts."""
    pages: list[list[str]] = []
    cursor = None
    while True:
        reply = await client.ask("list-messages", code=code, limit=limit, cursor=cursor)
        pages.append([message["text"] for message in reply["messages"]])
        if (cursor := reply["nextCursor"]) is None:
            return pages


async def test_what_came_after(daemon: Daemon) -> None:
    """A message's `id` serves as cursor for what came after it, for one who missed some."""
    room = await daemon.room()
    async with daemon.client() as guest:
        await guest.join(room["code"], **JANE)
        ids = [(await say(guest, text))["id"] for text in "abcd"]
        assert [await read(guest, room["code"], cursor=key) for key in ids] == [["b", "c", "d"], ["c", "d"], ["d"], []]
        assert await read(guest, room["code"], cursor=None) == ["a", "b", "c", "d"]


@pytest.mark.parametrize("cursor", ["", "nonsense", "\0nonsense", "zzz' OR 1=1 --\0", "9" * 25, "A" * 24, 5])
async def test_no_cursor(daemon: Daemon, cursor: Any) -> None:
    """Section 1: what is no cursor is 400 `bad_frame`, and not an empty page."""
    room = await daemon.room()
    async with daemon.client("alice") as host:
        for type_ in ("list-rooms", "list-participants", "list-messages"):
            refusal = await host.ask(type_, code=room["code"], cursor=cursor)
            assert refusal["code"] == "bad_frame"
            assert "at `$.cursor`" in refusal["message"]


async def test_who_may_list(daemon: Daemon) -> None:
    """Participants; the host and admins from anywhere, after the end too; nobody else, nor who waits or has left."""
    room = await daemon.room()
    code = room["code"]
    async with contextlib.AsyncExitStack() as stack:
        users = ("alice", "bob", None, None, "carol")
        host, bob, guest, waiting, outside = [await stack.enter_async_context(daemon.client(user)) for user in users]
        admin = await stack.enter_async_context(daemon.client(token=daemon.token("root", roomd={"admin": True})))
        await bob.join(code)
        await guest.join(code, **JANE)
        await bob.receive()
        await say(bob, "hello")
        await host.ask("update-room", code=code, waitingRoom=True)
        assert (await waiting.ask("join-room", code=code, **JANE))["type"] == "waiting"
        await bob.events()
        await guest.events()
        for client in (host, admin, bob, guest):
            assert await read(client, code) == ["hello"]
        for client in (waiting, outside):
            assert await client.ask("list-messages", code=code) == error("not_in_room")
        await guest.ask("leave-room")
        assert await guest.ask("list-messages", code=code) == error("not_in_room")
        await host.ask("end-room", code=code)
        await bob.events()
        await waiting.events()
        for client in (host, admin):
            assert await read(client, code) == ["hello"]
        for client in (waiting, outside, bob, guest):
            assert await client.ask("list-messages", code=code) == error("not_in_room")
        assert await host.ask("list-messages", code="zzz-zzz-zzz") == error("room_not_found")
        assert (await host.ask("list-messages", code=code, limit=201))["code"] == "bad_frame"


async def test_private_ones_follow_the_user(daemon: Daemon) -> None:
    """A user who left and came back finds what was said to them and by them before; a guest is somebody new."""
    room = await daemon.room()
    code = room["code"]
    async with daemon.client("bob") as bob, daemon.client() as guest, daemon.client("carol") as carol:
        to = (await bob.join(code))["participant"]["id"]
        jane = (await guest.join(code, **JANE))["participant"]["id"]
        await carol.join(code)
        await bob.events()
        await guest.events()
        await say(guest, "to bob", to)
        await bob.receive()
        await say(bob, "to jane", jane)
        await guest.receive()
        for client in (bob, guest):
            await client.events()
            await client.ask("leave-room")
            await client.join(code, **JANE)
        for client in (bob, guest, carol):
            await client.events()
        both = ["to bob", "to jane"]
        assert [await read(client, code) for client in (bob, guest, carol)] == [both, [], []]


async def test_stored_before_told(make_daemon: MakeDaemon) -> None:
    """Killed at the moment somebody was told, the daemon has the message when it is back, in `room-state` too."""
    daemon = make_daemon()
    room = await daemon.room()
    async with daemon.client() as guest, daemon.client("bob") as bob:
        await guest.join(room["code"], **JANE)
        to = (await bob.join(room["code"]))["participant"]["id"]
        for number in range(200):
            await guest.send("send-message", text=f"{number}", **({"to": to} if number % 2 else {}))
        told: list[dict[str, Any]] = []
        while len(told) < 60:
            told += [frame["message"] for frame in [await bob.receive()] if frame["type"] == "message"]
        await asyncio.to_thread(daemon.kill)
        with contextlib.suppress(Exception):
            while True:
                told += [frame["message"] for frame in [await bob.receive()] if frame["type"] == "message"]
    daemon.start()
    async with daemon.client("bob") as bob:
        state = (await bob.join(room["code"]))["state"]
        listed = (await bob.ask("list-messages", code=room["code"], limit=200))["messages"]
        assert listed[: len(told)] == told
        assert [message["text"] for message in listed] == [f"{number}" for number in range(len(listed))]
        assert state["messages"] == [message for message in listed if message["to"] is None][-50:]


async def test_told_rate(make_daemon: MakeDaemon) -> None:
    """What one client sends to others is limited in bytes, for each recipient: 429 with `retryAfter`; they go on."""
    daemon = make_daemon(ROOMD_LIMITS_TOLD_RATE="200", ROOMD_LIMITS_TOLD_BURST="8000")
    room = await daemon.room()
    async with daemon.client() as guest, daemon.client() as other:
        await guest.join(room["code"], **JANE)
        await other.join(room["code"], **JANE)
        await guest.receive()
        await say(guest, "\U0001f600" * 1999)
        refusal = await guest.ask("send-message", text="\U0001f600" * 2000)
        assert refusal == error("rate_limited", retryAfter=refusal["retryAfter"])
        assert 0 < refusal["retryAfter"] <= 85, "16,996 bytes at 200 a second"
        await other.receive()
        await say(other, "still here")
        assert len(json.dumps(await guest.receive())) < 400
