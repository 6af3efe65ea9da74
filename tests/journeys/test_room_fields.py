"""What a backend does with its rooms: external ids, metadata, hosts, ends and deletion; docs/protocol.md, section 7."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from roomd.protocol.timestamps import stamp
from tests.support.daemon import Client, Daemon, error, faults, serving
from tests.support.databases import problems, reading
from tests.support.processes import PATIENCE

pytestmark = pytest.mark.both_stores

FAR = "2099-01-01T00:00:00.000Z"
METADATA = {"course": "ü 101", "tags": [1, None, {"a": True}]}


def admin_of(daemon: Daemon) -> contextlib.AbstractAsyncContextManager[Client]:
    return daemon.client(token=daemon.token("root", roomd={"admin": True}))


@pytest.fixture
async def admin(daemon: Daemon) -> AsyncIterator[Client]:
    async with admin_of(daemon) as client:
        yield client


async def ended(client: Client, code: str) -> dict[str, Any]:
    """Wait until a room has ended, and return it."""
    async with asyncio.timeout(PATIENCE):
        while True:
            room: dict[str, Any] = (await client.ask("get-room", code=code))["room"]
            if not room["isActive"]:
                return room
            await asyncio.sleep(0.05)


# Fields.


async def test_what_rides_along(daemon: Daemon, admin: Client) -> None:
    """Everything at the creation; everyone in the room sees it, and its changes; then nothing of it is left."""
    asked = {"externalId": "ride", "metadata": METADATA, "hostId": "alice", "expiresAt": FAR, "endWhenEmpty": 3600}
    room = (await admin.ask("create-room", **asked))["room"]
    assert {key: room[key] for key in asked} == asked
    async with daemon.client("alice") as alice, daemon.client() as jane:
        assert (await alice.join(room["code"]))["participant"]["isHost"]
        assert (await jane.join(room["code"], guestName="Jane"))["state"]["room"] == {**room, "participantCount": 2}
        await alice.events()
        changed = {"metadata": {}, "expiresAt": "never", "endWhenEmpty": 0}
        reply = await alice.ask("update-room", code=room["code"], **changed)
        rest = {key: value for key, value in room.items() if key not in changed}
        assert reply == {"type": "room", "room": {**rest, "participantCount": 2}}
        (event,) = await jane.events()
        assert (event["type"], event["room"]) == ("room-updated", reply["room"])


# Who, what, and the key that only an admin sets.
ADMINS_KEYS = [({"externalId": "mine"}, "externalId"), ({"hostId": "bob"}, "hostId"), ({"hostId": "alice"}, "hostId")]


@pytest.mark.parametrize(("asked", "key"), ADMINS_KEYS)
async def test_keys_of_admins(daemon: Daemon, asked: dict[str, Any], key: str) -> None:
    """403 and no room, never a room without it."""
    async with daemon.client("alice") as alice:
        before = await alice.ask("list-rooms", limit=1)
        refusal = {**error("not_admin"), "message": f"Only an admin can set {key}"}
        assert await alice.ask("create-room", **asked) == refusal
        assert await alice.ask("list-rooms", limit=1) == before


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ({"metadata": {"k": "x" * 4089}}, "metadata may have 4096 bytes of JSON"),
        ({"expiresAt": "2020-01-01T00:00:00Z"},
         'expiresAt must be a time in the future like 2026-03-03T12:00:00Z, or "never"'),
        ({"endWhenEmpty": -1}, "endWhenEmpty must be 1 to 31536000 seconds, or 0 for never"),
        ({"hostId": "a\u200bb"}, "hostId must be a user id"),
        ({"externalId": "a\nb"}, "externalId must be 1 to 128 visible characters"),
    ],
)  # fmt: skip
async def test_bad_values(admin: Client, asked: dict[str, Any], text: str) -> None:
    """400 with what is allowed."""
    assert await admin.ask("create-room", **asked) == error("invalid_settings", text)


async def test_metadata_is_charged(make_daemon: Any) -> None:
    """The bytes in the database, and, for each one in the room, those of every change of a room that has some."""
    daemon: Daemon = make_daemon(
        ROOMD_LIMITS_TOLD_RATE="1", ROOMD_LIMITS_TOLD_BURST="9000",
        ROOMD_LIMITS_STORED_RATE="1", ROOMD_LIMITS_STORED_BURST="11000",
    )  # fmt: skip
    metadata = {"k": "x" * 4000}
    async with daemon.client("alice") as alice, daemon.client("bob") as bob, daemon.client("carol") as carol:
        code = (await alice.ask("create-room", metadata=metadata))["room"]["code"]
        for client in (alice, bob):
            await client.join(code)
        await alice.events()
        replies = []
        for name in ("once", "again"):
            replies.append(await alice.ask("update-room", code=code, name=name))
            await alice.events()
        refused = await alice.ask("update-room", code=code, name="once more")
        assert [one["type"] for one in replies] == ["room", "room"]
        assert (refused["code"], refused["retryAfter"] > 0) == ("rate_limited", True)
        made = [await carol.ask("create-room", metadata=metadata) for _ in range(3)]
        assert [one.get("code") for one in made] == [None, None, "rate_limited"]


# External ids.


async def test_create_or_return(daemon: Daemon, admin: Client) -> None:
    """Asked again, also after the end, it answers with the room there is, unchanged."""
    first = (await admin.ask("create-room", externalId="again", name="First"))["room"]
    async with daemon.client() as jane:
        await jane.join(first["code"], guestName="Jane")
        again = await admin.ask("create-room", externalId="again", name="Second", hostId="bob", metadata={"a": 1})
        assert again == {"type": "room", "room": {**first, "participantCount": 1}}
    done = (await admin.ask("end-room", code=first["code"]))["room"]
    assert (await admin.ask("create-room", externalId="again"))["room"] == done


async def test_fifty_ask_at_once(make_daemon: Any) -> None:
    """All of them get the same room, there is one, and nothing in the log is a failure."""
    daemon: Daemon = make_daemon()
    async with AsyncExitStack() as stack:
        admins = [await stack.enter_async_context(admin_of(daemon)) for _ in range(50)]
        for external_id in ("race 1", "race 2", "race 3"):
            replies = await asyncio.gather(
                *(one.ask("create-room", externalId=external_id, name=str(n)) for n, one in enumerate(admins))
            )
            assert len({json.dumps(reply) for reply in replies}) == 1
            assert replies[0]["room"]["externalId"] == external_id
        assert len((await admins[0].ask("list-rooms"))["rooms"]) == 3
    assert faults(daemon) == []


async def test_looking_up(daemon: Daemon, admin: Client) -> None:
    """Admins find every room, a host the own ones; others are told that there is none, and guests to sign in."""
    room = (await admin.ask("create-room", externalId="look", hostId="alice"))["room"]
    found = {"type": "room", "room": room, "admission": {"allowed": True}}
    page = {"type": "rooms", "rooms": [room], "nextCursor": None}
    async with daemon.client("alice") as alice, daemon.client("bob") as bob, daemon.client() as guest:
        for client in (admin, alice):
            assert await client.ask("get-room", externalId="look") == found
            assert await client.ask("list-rooms", externalId="look") == page
            assert await client.ask("list-rooms", externalId="look", isActive=False) == {**page, "rooms": []}
            assert await client.ask("get-room", externalId="LOOK") == error("room_not_found")
        assert await bob.ask("get-room", externalId="look") == error("room_not_found")
        assert await bob.ask("list-rooms", externalId="look") == {**page, "rooms": []}
        assert await guest.ask("get-room", externalId="look") == error("unauthenticated")
        await alice.ask("update-room", code=room["code"], hostId="bob")
        assert (await bob.ask("get-room", externalId="look"))["room"] == {**room, "hostId": "bob"}
        assert await alice.ask("get-room", externalId="look") == error("room_not_found")


@pytest.mark.parametrize("fields", [{}, {"code": "abc-def-ghi", "externalId": "x"}])
async def test_a_room_is_named_in_one_way(admin: Client, fields: dict[str, Any]) -> None:
    """By its code or by its external id."""
    assert await admin.ask("get-room", **fields) == error("bad_frame", "Malformed frame: give code or externalId")


# Hand-over.


async def test_hand_over(daemon: Daemon) -> None:
    """Everyone sees it, the rights go with it, also over a restart of the connection."""
    room = await daemon.room()
    async with daemon.client("alice") as alice, daemon.client("bob") as bob, daemon.client() as jane:
        seats = [(await one.join(room["code"]))["participant"]["id"] for one in (alice, bob)]
        await jane.join(room["code"], guestName="Jane")
        await asyncio.gather(alice.events(), bob.events())
        assert await bob.ask("update-room", code=room["code"], hostId="bob") == error("not_host")
        assert (await alice.ask("update-room", code=room["code"], hostId="bob"))["room"]["hostId"] == "bob"
        for client in (alice, bob, jane):
            people, updated, *queue = await client.events()
            assert [one["waiting"] for one in queue] == ([[]] if client is alice else []), "the queue is for hosts only"
            assert [(one["id"], one["isHost"]) for one in people["updated"]] == [(seats[0], False), (seats[1], True)]
            assert (updated["type"], updated["room"]["hostId"]) == ("room-updated", "bob")
        assert await alice.ask("end-room", code=room["code"]) == error("not_host")
        assert (await bob.ask("mute-participant", participantId=seats[0]))["type"] == "ok"


# Ends.


async def test_a_room_expires(daemon: Daemon) -> None:
    """Everyone is told why, at the time; a join is then refused as after `end-room`."""
    room = await daemon.room(expiresAt=stamp(time.time() + 2))
    async with daemon.client() as jane:
        await jane.join(room["code"], guestName="Jane")
        event = await jane.receive()
        assert (event["type"], event["reason"], event["roomId"]) == ("room-ended", "expired", room["id"])
        seen = await jane.ask("get-room", code=room["code"])
        assert seen["room"]["endedAt"] >= room["expiresAt"]
        assert await jane.ask("join-room", code=room["code"], guestName="Jane") == error("room_inactive")


async def test_an_empty_room_ends(daemon: Daemon) -> None:
    """Also one that nobody ever joined; not one with people."""
    empty, full = await daemon.room(endWhenEmpty=1), await daemon.room(endWhenEmpty=1)
    async with daemon.client("bob") as bob:
        await bob.join(full["code"])
        assert (await ended(bob, empty["code"]))["endedAt"] is not None
        assert (await bob.ask("get-room", code=full["code"]))["room"]["isActive"]
        assert await bob.events() == []
        await bob.ask("leave-room")
        await ended(bob, full["code"])


async def test_ends_after_a_crash(tmp_path: Path) -> None:
    """kill -9: what came due meanwhile ends at the start, what comes due later at its time; seats are held first."""
    with serving(tmp_path, True, ROOMD_ROOMS_SEAT_HOLD="60") as daemon:
        due = await daemon.room(expiresAt=stamp(time.time() + 4000))
        later = await daemon.room(expiresAt=stamp(time.time() + 9000))
        empty = await daemon.room(endWhenEmpty=300)
        left = await daemon.room(endWhenEmpty=300)
        async with daemon.client("bob") as bob:
            await bob.join(left["code"])
            daemon.kill()
        daemon.start()
        daemon.advance(299)  # whoever is away has not come back
        async with daemon.client("bob") as bob:
            for room in (due, later, left):
                assert (await bob.ask("get-room", code=room["code"]))["room"]["isActive"]
            daemon.advance(2)
            await ended(bob, empty["code"])
            assert (await bob.ask("get-room", code=left["code"]))["room"]["isActive"]
            daemon.advance(300)
            await ended(bob, left["code"])
        daemon.kill()
        daemon.start()  # its clock is the right one again
        daemon.set_clock(4001)
        for _ in range(2):
            daemon.advance(31)
        async with daemon.client() as guest:
            await ended(guest, due["code"])
            assert (await guest.ask("get-room", code=later["code"]))["room"]["isActive"]
        assert faults(daemon) == []
        daemon.stop()
        assert problems(daemon) == []


# Deletion.


async def test_delete_room(daemon: Daemon, admin: Client) -> None:
    """Who is there is told; the room is gone for everyone, also its history; the external id is free."""
    room = (await admin.ask("create-room", externalId="gone", hostId="alice"))["room"]
    code = room["code"]
    async with daemon.client("alice") as alice, daemon.client() as jane:
        await alice.join(code)
        seat = await jane.join(code, guestName="Jane")
        await alice.send("send-message", text="Hello")
        await alice.events()
        await jane.events()
        assert await jane.ask("delete-room", code=code) == error("not_host")
        await jane.nothing_more()
        await alice.send("delete-room", id="delete", code=code)
        frames = [await alice.receive(), await alice.receive()]
        assert frames[0] == {"type": "ok", "id": "delete"}
        assert [(one["type"], one["reason"]) for one in (frames[1], await jane.receive())] == [
            ("room-ended", "deleted"),
            ("room-ended", "deleted"),
        ]
        gone = error("room_not_found")
        for client in (alice, jane, admin):
            assert await client.ask("get-room", code=code) == gone
            assert await client.ask("join-room", code=code, guestName="Jane") == gone
            assert await client.ask("list-messages", code=code) == gone
            assert await client.ask("list-participants", code=code, history=True) == gone
            assert await client.ask("delete-room", code=code) == gone
        assert await jane.ask("resume", resumeToken=seat["resumeToken"]) == error("seat_expired")
        assert await admin.ask("get-room", externalId="gone") == gone
        assert room["id"] not in {one["id"] for one in (await alice.ask("list-rooms", limit=200))["rooms"]}
        again = (await admin.ask("create-room", externalId="gone"))["room"]
        assert again["id"] != room["id"]


async def test_what_was_deleted_is_not_in_the_file(tmp_path: Path) -> None:
    """Also when the daemon is killed right after the answer: the next start deletes what is left."""
    with serving(tmp_path) as daemon:
        room = await daemon.room(name="secret plans", metadata=METADATA)
        async with daemon.client("alice") as alice:
            await alice.join(room["code"])
            for number in range(20):
                await alice.send("send-message", text=f"secret {number}")
            await alice.events()
            await alice.send("delete-room", id=1, code=room["code"])
            while (await alice.receive()).get("id") != 1:
                pass
            daemon.kill()
        daemon.start()
        async with asyncio.timeout(PATIENCE):
            while True:
                with reading(daemon) as db:
                    tables = ("rooms", "participants", "messages")
                    if not any(db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables):
                        break
                await asyncio.sleep(0.05)
        assert faults(daemon) == []
        daemon.stop()
        assert problems(daemon) == []
