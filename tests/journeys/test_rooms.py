"""Making rooms, seeing them, changing and ending them: docs/protocol.md, section 7, from a client's side."""

import asyncio
import contextlib
import uuid
from typing import Any

import pytest

from tests.support.daemon import Client, Daemon, error

pytestmark = pytest.mark.both_stores

JANE = {"guestName": "Jane"}
NOWHERE = "zzz-zzz-zzz"
NAME_REFUSED = error("invalid_settings", "name must be 1 to 100 printable characters")
MAX_REFUSED = error("invalid_settings", "maxParticipants must be 2 to 1000")
DEFAULTS = {
    "name": "Meeting",
    "isActive": True,
    "isLocked": False,
    "maxParticipants": 100,
    "allowGuestAccess": True,
    "waitingRoom": False,
    "historyVisible": "all",
    "participantCount": 0,
    "endedAt": None,
}


def new_user() -> str:
    """Name a user who hosts no room yet."""
    return f"user-{uuid.uuid4().hex}"


def client_of(daemon: Daemon, who: str) -> contextlib.AbstractAsyncContextManager[Client]:
    """Connect as a guest, a user, the host of `daemon.room()`, or an admin who is not."""
    if who == "admin":
        return daemon.client(token=daemon.token("root", roomd={"admin": True}))
    return daemon.client({"guest": None, "host": "alice"}.get(who, who))


SETTINGS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "none": ({}, {}),
    "null": (dict.fromkeys(("name", "maxParticipants", "allowGuestAccess", "waitingRoom", "historyVisible")), {}),
    "all": (
        {"name": "Weekly", "maxParticipants": 12, "allowGuestAccess": False, "waitingRoom": True},
        {"name": "Weekly", "maxParticipants": 12, "allowGuestAccess": False, "waitingRoom": True},
    ),
    "shortest name": ({"name": " x "}, {"name": "x"}),
    "longest name": ({"name": "\U0001f600" * 100}, {"name": "\U0001f600" * 100}),
    "name with an ignorable character": ({"name": "Week\u200bly"}, {"name": "Weekly"}),
    "fewest": ({"maxParticipants": 2}, {"maxParticipants": 2}),
    "most": ({"maxParticipants": 1000}, {"maxParticipants": 1000}),
    "history since the join": ({"historyVisible": "since-joined"}, {"historyVisible": "since-joined"}),
    "no history": ({"historyVisible": "none"}, {"historyVisible": "none"}),
    "unknown keys": ({"colour": "blue", "createdAt": "never", "code": "abc-def-ghi"}, {}),
}

BAD_SETTINGS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "no name": ({"name": ""}, NAME_REFUSED),
    "blank name": ({"name": " "}, NAME_REFUSED),
    "invisible name": ({"name": "\u3164"}, NAME_REFUSED),
    "long name": ({"name": "x" * 101}, NAME_REFUSED),
    "control character": ({"name": "a\0b"}, NAME_REFUSED),
    "one seat": ({"maxParticipants": 1}, MAX_REFUSED),
    "no seats": ({"maxParticipants": 0}, MAX_REFUSED),
    "negative": ({"maxParticipants": -1}, MAX_REFUSED),
    "too many": ({"maxParticipants": 1001}, MAX_REFUSED),
    "far too many": ({"maxParticipants": 10**30}, MAX_REFUSED),
    "unknown history": (
        {"historyVisible": "some"},
        error("invalid_settings", "historyVisible must be one of all, since-joined, none"),
    ),
    "half a waiting room": (
        {"waitingRoom": 1},
        error("bad_frame", "Malformed frame: Expected `bool | null`, got `int` - at `$.waitingRoom`"),
    ),
    "half a seat": (
        {"maxParticipants": 2.5},
        error("bad_frame", "Malformed frame: Expected `int | null`, got `float` - at `$.maxParticipants`"),
    ),
}


@pytest.mark.parametrize(("asked", "expected"), SETTINGS.values(), ids=SETTINGS.keys())
async def test_create_room(daemon: Daemon, asked: dict[str, Any], expected: dict[str, Any]) -> None:
    """A user makes a room and is its host; what they do not choose has its default."""
    async with daemon.client("alice") as alice:
        reply = await alice.ask("create-room", **asked)
        made = {key: reply["room"][key] for key in ("id", "code", "createdAt")}
        assert reply == {"type": "room", "room": {**DEFAULTS, "hostId": "alice", **made, **expected}}
        assert (await alice.ask("get-room", code=made["code"]))["room"] == reply["room"]


@pytest.mark.parametrize(("asked", "refusal"), BAD_SETTINGS.values(), ids=BAD_SETTINGS.keys())
async def test_bad_settings(daemon: Daemon, asked: dict[str, Any], refusal: dict[str, Any]) -> None:
    """Settings out of bounds are refused when a room is made and when it is changed, and change nothing."""
    room = await daemon.room()
    async with daemon.client("alice") as alice:
        await alice.join(room["code"])
        assert await alice.ask("create-room", **asked) == refusal
        assert await alice.ask("update-room", code=room["code"], **{"isLocked": True, **asked}) == refusal
        await alice.nothing_more()
        assert (await alice.ask("get-room", code=room["code"]))["room"] == {**room, "participantCount": 1}


async def test_settable_maximum(make_daemon: Any) -> None:
    """The server's limit bounds what a host may choose, and the default with it."""
    daemon = make_daemon(ROOMD_LIMITS_MAX_PARTICIPANTS="5")
    async with daemon.client("alice") as alice:
        assert (await alice.ask("create-room"))["room"]["maxParticipants"] == 5
        refusal = error("invalid_settings", "maxParticipants must be 2 to 5")
        assert await alice.ask("create-room", maxParticipants=6) == refusal


# Who asks for what, and the answer: None where it is served. {code} stands for the room's code.
WHO: dict[tuple[str, str], dict[str, Any] | None] = {
    ("create-room", "guest"): error("unauthenticated"),
    ("list-rooms", "guest"): error("unauthenticated"),
    ("get-room", "guest"): None,
    ("get-room", "bob"): None,
    **{(type_, "guest"): error("not_host") for type_ in ("update-room", "end-room", "history")},
    **{(type_, "bob"): error("not_host") for type_ in ("update-room", "end-room", "history")},
    **{(type_, "admin"): None for type_ in ("get-room", "update-room", "end-room", "history", "list-participants")},
    **{(type_, "host"): None for type_ in ("get-room", "update-room", "end-room", "history", "list-participants")},
    ("list-participants", "guest"): error("not_in_room"),
    ("list-participants", "bob"): error("not_in_room"),
}


def fields_of(request: str, code: str) -> tuple[str, dict[str, Any]]:
    """Word a request of the table above."""
    if request == "history":
        return "list-participants", {"code": code, "history": True}
    return request, {"code": code}


@pytest.mark.parametrize(("request_", "who"), WHO.keys(), ids=[" ".join(key) for key in WHO])
async def test_who_may(daemon: Daemon, request_: str, who: str) -> None:
    """Every request is for those that the table of section 7 names."""
    room = await daemon.room()
    type_, fields = fields_of(request_, room["code"])
    async with client_of(daemon, who) as client:
        reply = await client.ask(type_, **fields)
        if (refusal := WHO[request_, who]) is None:
            assert reply["type"] in ("room", "participants")
        else:
            assert reply == refusal
    async with daemon.client() as anyone:
        is_active = (await anyone.ask("get-room", code=room["code"]))["room"]["isActive"]
        assert is_active == (request_ != "end-room" or who in ("guest", "bob"))


@pytest.mark.parametrize("request_", ["get-room", "update-room", "end-room", "list-participants", "history"])
@pytest.mark.parametrize("code", [NOWHERE, "abc", ""], ids=["unknown", "short", "empty"])
async def test_no_such_room(daemon: Daemon, request_: str, code: str) -> None:
    """A room that is not there is answered with 404, whatever is asked of it and by whom."""
    type_, fields = fields_of(request_, code)
    async with daemon.client("alice") as alice, daemon.client() as guest:
        assert await alice.ask(type_, **fields) == error("room_not_found")
        assert await guest.ask(type_, **fields) == error("room_not_found")


async def test_participants_may_list(daemon: Daemon) -> None:
    """Who is in the room may list who is; who was, only the host; who has left, nobody."""
    room = await daemon.room()
    async with daemon.client() as guest, daemon.client("bob") as bob, daemon.client("bob") as elsewhere:
        jane = (await guest.join(room["code"], **JANE))["participant"]
        user = (await bob.join(room["code"]))["participant"]
        everybody = {"type": "participants", "participants": [jane, user], "nextCursor": None}
        await guest.receive()
        for client in (guest, bob, elsewhere):  # bob has a seat, whichever connection has it
            assert await client.ask("list-participants", code=room["code"]) == everybody
            assert await client.ask("list-participants", code=room["code"], history=False) == everybody
            assert await client.ask("list-participants", code=room["code"], history=True) == error("not_host")
        await guest.ask("leave-room")
        assert await guest.ask("list-participants", code=room["code"]) == error("not_in_room")


UPDATES: dict[str, dict[str, Any]] = {
    "name": {"name": "Weekly"},
    "lock": {"isLocked": True},
    "seats": {"maxParticipants": 3},
    "guests": {"allowGuestAccess": False},
    "waiting room": {"waitingRoom": True},
    "all": {"name": "W", "isLocked": True, "maxParticipants": 7, "allowGuestAccess": False, "waitingRoom": True},
    "null leaves it": {"name": None, "isLocked": True, "maxParticipants": None},
}


@pytest.mark.parametrize("who", ["host", "admin"])
@pytest.mark.parametrize("asked", UPDATES.values(), ids=UPDATES.keys())
async def test_update_room(daemon: Daemon, asked: dict[str, Any], who: str) -> None:
    """Only what is present changes; the one who asked gets `room`, everyone in the room `room-updated`."""
    room = await daemon.room()
    async with client_of(daemon, who) as client, daemon.client() as guest:
        seq = (await guest.join(room["code"], **JANE))["state"]["seq"]
        reply = await client.ask("update-room", code=room["code"], **asked)
        given = {key: value for key, value in asked.items() if value is not None}
        updated = {**room, "participantCount": 1, **given}
        assert reply == {"type": "room", "room": updated}
        assert await guest.receive() == {"type": "room-updated", "seq": seq + 1, "room": updated}
        assert (await client.ask("get-room", code=room["code"]))["room"] == updated


async def test_update_by_a_member(daemon: Daemon) -> None:
    """A host who is in the room gets the reply first, then the event like everybody."""
    room = await daemon.room()
    async with daemon.client("alice") as alice:
        await alice.join(room["code"])
        reply = await alice.ask("update-room", code=room["code"], name="Weekly")
        event = await alice.receive()
        assert (event["type"], event["room"]) == ("room-updated", reply["room"])


async def test_lowering_the_maximum_removes_nobody(daemon: Daemon) -> None:
    """Who has a seat keeps it when `maxParticipants` falls below their number; only newcomers find it full."""
    room = await daemon.room()
    async with contextlib.AsyncExitStack() as stack:
        host, newcomer = [await stack.enter_async_context(daemon.client(who)) for who in ("alice", None)]
        guests = [await stack.enter_async_context(daemon.client()) for _ in range(3)]
        for guest in guests:
            await guest.join(room["code"], **JANE)
        reply = await host.ask("update-room", code=room["code"], maxParticipants=2)
        assert (reply["room"]["maxParticipants"], reply["room"]["participantCount"]) == (2, 3)
        await guests[0].events()
        await guests[0].ask("leave-room")
        assert await newcomer.ask("join-room", code=room["code"], **JANE) == error("room_full")
        await guests[1].events()
        await guests[1].ask("leave-room")
        assert (await newcomer.join(room["code"], **JANE))["state"]["room"]["participantCount"] == 2


@pytest.mark.parametrize("who", ["host", "admin"])
async def test_end_room(daemon: Daemon, who: str) -> None:
    """`end-room` ends it for everyone: `room` for the one, `room-ended` for all in it, and every seat is left."""
    room = await daemon.room()
    code = room["code"]
    async with client_of(daemon, who) as client, daemon.client() as guest, daemon.client("alice") as host:
        joined = await guest.join(code, **JANE)
        async with daemon.client() as dropping:
            held = await dropping.join(code, **JANE)
        assert (await guest.receive())["joined"] == [held["participant"]]
        assert (await guest.receive())["updated"] == [{**held["participant"], "isActive": False}]
        reply = await client.ask("end-room", code=code)
        ended = {**room, "isActive": False, "endedAt": reply["room"]["endedAt"], "participantCount": 0}
        assert reply == {"type": "room", "room": ended}
        assert ended["endedAt"] >= room["createdAt"]
        event = await guest.receive()
        assert event == {"type": "room-ended", "seq": event["seq"], "roomId": room["id"]}
        assert await guest.ask("leave-room") == error("not_in_room")
        for token in (held["resumeToken"], joined["resumeToken"]):
            assert await guest.ask("resume", resumeToken=token) == error("seat_expired")
        assert await guest.ask("join-room", code=code, **JANE) == error("room_inactive")
        assert await host.ask("update-room", code=code, name="x") == error("room_inactive")
        assert await host.ask("end-room", code=code) == error("room_inactive")
        assert (await guest.ask("get-room", code=code))["room"] == ended
        history = (await host.ask("list-participants", code=code, history=True))["participants"]
        assert [who["id"] for who in history] == [joined["participant"]["id"], held["participant"]["id"]]
        assert [who["isActive"] for who in history] == [False, False]
        assert history[1]["leftAt"] <= history[0]["leftAt"] == ended["endedAt"]
        assert (await host.ask("list-participants", code=code))["participants"] == []


ADMISSION: list[tuple[dict[str, Any], dict[str, str | None]]] = [
    ({}, {"guest": None, "bob": None, "seated": None}),
    ({"isLocked": True}, {"guest": "room_locked", "bob": "room_locked", "seated": None}),
    ({"maxParticipants": 2}, {"guest": "room_full", "bob": "room_full", "seated": None}),
    ({"allowGuestAccess": False}, {"guest": "guests_not_allowed", "bob": None, "seated": None}),
    ({"allowGuestAccess": False, "isLocked": True}, {"guest": "guests_not_allowed", "bob": "room_locked"}),
]


@pytest.mark.parametrize(("settings", "answers"), ADMISSION, ids=lambda value: " ".join(value))
async def test_admission(daemon: Daemon, settings: dict[str, Any], answers: dict[str, str | None]) -> None:
    """`get-room` tells each caller what a join would get now, in the words of that error."""
    room = await daemon.room()
    async with contextlib.AsyncExitStack() as stack:
        for user in ("carol", "seated"):
            await (await stack.enter_async_context(daemon.client(user))).join(room["code"])
        host = await stack.enter_async_context(daemon.client("alice"))
        updated = (await host.ask("update-room", code=room["code"], **settings))["room"]
        for who, code in answers.items():
            client = await stack.enter_async_context(client_of(daemon, who))
            refusal = {key: value for key, value in error(code or "").items() if key != "type"}
            admission = {"allowed": True} if code is None else {"allowed": False, **refusal}
            reply = await client.ask("get-room", code=room["code"])
            room_shown = None if code == "guests_not_allowed" else updated
            assert reply == {"type": "room", "room": room_shown, "admission": admission}


async def test_admission_to_an_ended_room(daemon: Daemon) -> None:
    """An ended room can still be seen, and says that it is over."""
    room = await daemon.room()
    async with daemon.client("alice") as alice:
        ended = (await alice.ask("end-room", code=room["code"]))["room"]
        refusal = {"statusCode": 400, "code": "room_inactive", "message": "Room is no longer active"}
        expected = {"type": "room", "room": ended, "admission": {"allowed": False, **refusal}}
        assert await alice.ask("get-room", code=room["code"]) == expected


async def pages(client: Client, key: str, type_: str, **fields: Any) -> list[list[str]]:
    """Read every page; return the ids."""
    read: list[list[str]] = []
    cursor = None
    while True:
        reply = await client.ask(type_, cursor=cursor, **fields)
        read.append([one["id"] for one in reply[key]])
        if (cursor := reply["nextCursor"]) is None:
            return read


async def test_list_rooms(daemon: Daemon) -> None:
    """A user lists the rooms they host, newest first, in pages, active ones or ended ones if they say so."""
    user = new_user()
    rooms = [await daemon.room(user) for _ in range(5)]
    await daemon.room(new_user())
    ids = [room["id"] for room in reversed(rooms)]
    async with daemon.client(user) as host:
        assert await pages(host, "rooms", "list-rooms") == [ids]
        assert await pages(host, "rooms", "list-rooms", limit=2) == [ids[:2], ids[2:4], ids[4:]]
        assert await pages(host, "rooms", "list-rooms", limit=5) == [ids]
        await host.join(rooms[4]["code"])
        ended = (await host.ask("end-room", code=rooms[0]["code"]))["room"]
        assert await host.ask("list-rooms", isActive=False) == {"type": "rooms", "rooms": [ended], "nextCursor": None}
        assert await pages(host, "rooms", "list-rooms", isActive=True, limit=3) == [ids[:3], ids[3:4]]
        assert (await host.ask("list-rooms", limit=1))["rooms"] == [{**rooms[4], "participantCount": 1}]
    async with client_of(daemon, "admin") as admin:
        listed = [one for page in await pages(admin, "rooms", "list-rooms", limit=50) for one in page]
        assert set(ids) < set(listed)
        assert len(set(listed)) == len(listed)


async def test_pages_of_participants(daemon: Daemon) -> None:
    """Participants come in the order they joined, in pages: those who are there, or with `history` those who were."""
    room = await daemon.room()
    async with contextlib.AsyncExitStack() as stack:
        host = await stack.enter_async_context(daemon.client("alice"))
        guests = [await stack.enter_async_context(daemon.client()) for _ in range(5)]
        ids = [(await guest.join(room["code"], **JANE))["participant"]["id"] for guest in guests]
        await guests[1].events()
        gone = (await guests[1].ask("leave-room"))["participant"]
        present = [ids[0], *ids[2:]]
        request = {"key": "participants", "type_": "list-participants", "code": room["code"]}
        assert await pages(host, **request) == [present]
        assert await pages(host, **request, limit=2) == [present[:2], present[2:]]
        assert await pages(host, **request, limit=3) == [present[:3], present[3:]]
        assert await pages(host, **request, history=True) == [ids]
        assert [len(page) for page in await pages(host, **request, history=True, limit=2)] == [2, 2, 1]
        reply = await host.ask("list-participants", code=room["code"], history=True)
        assert gone in reply["participants"]


async def test_order_of_participants(daemon: Daemon) -> None:
    """Participants are listed in the order they joined, the same in `room-state`, in a list and in the history."""
    room = await daemon.room()
    async with contextlib.AsyncExitStack() as stack:
        guests = [await stack.enter_async_context(daemon.client()) for _ in range(20)]
        await asyncio.gather(*(guest.ask("join-room", code=room["code"], **JANE) for guest in guests))
        host = await stack.enter_async_context(daemon.client("alice"))
        order = [who["id"] for who in (await host.join(room["code"]))["state"]["participants"]]
        for history in (False, True):
            assert await pages(host, "participants", "list-participants", code=room["code"], history=history) == [order]


@pytest.mark.parametrize("limit", [0, 201, -1])
@pytest.mark.parametrize("type_", ["list-rooms", "list-participants"])
async def test_page_limits(daemon: Daemon, type_: str, limit: int) -> None:
    """A page holds 1 to 200."""
    bound = ">= 1" if limit < 1 else "<= 200"
    async with daemon.client("alice") as alice:
        refusal = error("bad_frame", f"Malformed frame: Expected `int` {bound} - at `$.limit`")
        assert await alice.ask(type_, code=NOWHERE, limit=limit) == refusal
