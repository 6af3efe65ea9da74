"""What hosts do to others: docs/protocol.md, section 8, "Hosts", from a client's side."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from tests.support.daemon import Client, Daemon, error

JANE = {"guestName": "Jane"}
OK = {"type": "ok"}
NOBODY = error("participant_not_found")
NOT_BANNED = error("participant_not_found") | {"message": "This user is not banned"}
ONESELF = error("wrong_user") | {"message": "Hosts cannot do this to themselves"}
MakeDaemon = Callable[..., Daemon]


class People:
    """A room with its host, Bob and a guest in it, and nothing left to read."""

    def __init__(self, daemon: Daemon, code: str, host: Client, bob: Client, guest: Client) -> None:
        self.daemon = daemon
        self.code = code
        self.host, self.bob, self.guest = host, bob, guest
        self.ids: dict[Client, str] = {}
        self.tokens: dict[Client, str] = {}

    async def sit(self) -> "People":
        for client in (self.host, self.bob, self.guest):
            seat = await client.join(self.code, **JANE)
            self.ids[client], self.tokens[client] = seat["participant"]["id"], seat["resumeToken"]
        await self.quiet()
        return self

    async def quiet(self) -> None:
        for client in (self.host, self.bob, self.guest):
            await client.events()

    async def remove(self, client: Client, **fields: Any) -> dict[str, Any]:
        return await self.host.ask("remove-participant", participantId=self.ids[client], **fields)


@contextlib.asynccontextmanager
async def gathered(daemon: Daemon) -> AsyncIterator[People]:
    room = await daemon.room()
    async with daemon.client("alice") as host, daemon.client("bob") as bob, daemon.client() as guest:
        yield await People(daemon, room["code"], host, bob, guest).sit()


@pytest.fixture
async def people(daemon: Daemon) -> AsyncIterator[People]:
    async with gathered(daemon) as people:
        yield people


REASONS: dict[str, tuple[dict[str, Any], str | None]] = {
    "none": ({}, None),
    "null": ({"reason": None, "ban": None}, None),
    "some": ({"reason": "spam"}, "spam"),
    "empty": ({"reason": ""}, ""),
    "long": ({"reason": "\U0001f600" * 200, "ban": False}, "\U0001f600" * 200),
}


@pytest.mark.parametrize(("fields", "reason"), REASONS.values(), ids=REASONS.keys())
async def test_remove(people: People, fields: dict[str, Any], reason: str | None) -> None:
    """`removed` with the reason and close 4403 for the one, `left` for the others, `ok` for the host."""
    assert await people.remove(people.bob, **fields) == OK
    assert await people.bob.receive() == {"type": "removed", "reason": reason}
    assert await people.bob.closed() == 4403
    for client in (people.host, people.guest):
        (event,) = await client.events()
        assert [who["id"] for who in event["left"]] == [people.ids[people.bob]]
        assert event["left"][0]["leftAt"] is not None
        assert event["joined"] == event["updated"] == []
    assert await people.remove(people.bob) == NOBODY


async def test_the_tokens_are_dead(people: People) -> None:
    """Whoever was removed cannot resume; without a ban they may join, as somebody new."""
    async with people.daemon.client("alice") as outside:
        for client, user in ((people.bob, "bob"), (people.guest, None)):
            key = people.ids[client]
            assert await outside.ask("remove-participant", code=people.code, participantId=key) == OK
            async with people.daemon.client(user) as back:
                assert await back.ask("resume", resumeToken=people.tokens[client]) == error("seat_expired")
                assert (await back.join(people.code, **JANE))["participant"]["id"] != key


async def test_a_long_reason(people: People) -> None:
    """`reason` has at most 200 characters; nobody is removed for a longer one."""
    assert (await people.remove(people.bob, reason="x" * 201))["code"] == "bad_frame"
    await people.bob.nothing_more()


async def test_remove_a_held_seat(people: People) -> None:
    """A held seat goes like any other: the token is dead, and there is nobody to tell."""
    people.guest.websocket.transport.abort()
    while not (await people.host.receive()).get("updated"):
        pass
    assert await people.remove(people.guest, ban=True) == OK
    assert len((await people.host.receive())["left"]) == 1
    async with people.daemon.client() as back:
        assert await back.ask("resume", resumeToken=people.tokens[people.guest]) == error("seat_expired")
        assert await back.ask("join-room", code=people.code, **JANE) == error("banned")
        [ban] = (await people.host.ask("list-bans"))["bans"]
        assert (ban["userId"], ban["displayName"], len(ban["id"])) == (None, JANE["guestName"], 24)
        assert await people.host.ask("unban", banId=ban["id"]) == OK
        await back.join(people.code, **JANE)
        assert (await people.host.receive())["joined"]


async def test_ban(people: People) -> None:
    """A banned user comes back neither by joining nor by resuming, and sees so beforehand; unbanned, they can."""
    assert await people.remove(people.bob, ban=True, reason="spam") == OK
    await people.host.events()
    banned = error("banned")
    async with people.daemon.client("bob") as back, people.daemon.client() as anyone:
        assert await back.ask("join-room", code=people.code) == banned
        assert await back.ask("join-room", code=people.code, wait=True) == banned
        assert await back.ask("resume", resumeToken=people.tokens[people.bob]) == banned
        assert await anyone.ask("resume", resumeToken=people.tokens[people.bob]) == error("seat_expired")
        admission = (await back.ask("get-room", code=people.code))["admission"]
        assert admission == {"allowed": False, **{key: banned[key] for key in ("statusCode", "code", "message")}}
        assert (await anyone.ask("get-room", code=people.code))["admission"] == {"allowed": True}
        listed = (await people.host.ask("list-bans"))["bans"]
        ban = {"userId": "bob", "displayName": "bob", "reason": "spam", "expiresAt": None}
        assert listed == [{**ban, "bannedAt": listed[0]["bannedAt"], "id": listed[0]["id"]}]
        assert await people.host.ask("unban", userId="bob") == OK
        assert await people.host.ask("unban", userId="bob") == NOT_BANNED
        assert (await people.host.ask("list-bans"))["bans"] == []
        assert await back.ask("resume", resumeToken=people.tokens[people.bob]) == error("seat_expired")
        await back.join(people.code)


async def test_a_ban_is_for_its_room(people: People) -> None:
    """In another room of the same host the user is welcome; the ban comes after `isActive` and before the lock."""
    await people.remove(people.bob, ban=True)
    await people.host.events()
    other = await people.daemon.room()
    async with people.daemon.client("bob") as bob:
        await bob.join(other["code"])
        await people.host.ask("update-room", code=people.code, isLocked=True)
        assert await bob.ask("join-room", code=people.code) == error("banned")
        await people.host.events()
        await people.host.ask("end-room", code=people.code)
        assert await bob.ask("join-room", code=people.code) == error("room_inactive")
        await bob.nothing_more()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["SIGTERM", "kill -9"])
async def test_through_a_restart(make_daemon: MakeDaemon, number: signal.Signals) -> None:
    """A ban and a removal that the host was told of survive; so does an unban."""
    daemon = make_daemon()
    async with gathered(daemon) as people, daemon.client("carol") as carol:
        carols = (await carol.join(people.code))["participant"]["id"]
        await people.quiet()
        await people.remove(people.bob, ban=True, reason="spam")
        await people.host.events()
        await people.remove(people.guest)
        await people.host.events()
        await people.host.ask("remove-participant", participantId=carols, ban=True)
        await people.host.events()
        bans = (await people.host.ask("list-bans"))["bans"]
        assert await people.host.ask("unban", userId="carol") == OK
        await asyncio.to_thread(daemon.stop, number)
    daemon.start()
    async with daemon.client("bob") as bob, daemon.client("carol") as carol, daemon.client("alice") as host:
        assert await bob.ask("join-room", code=people.code) == error("banned")
        for token in (people.tokens[people.bob], people.tokens[people.guest]):
            assert await carol.ask("resume", resumeToken=token) == error("seat_expired")
        await carol.join(people.code)
        listed = await host.ask("list-bans", code=people.code)
        assert listed == {"type": "bans", "bans": bans[:1], "nextCursor": None}
        assert [who["userId"] for who in (await host.join(people.code))["state"]["participants"]] == ["alice", "carol"]


async def test_pages_of_bans(people: People) -> None:
    """Bans come by user id, in pages."""
    users = [f"user {number}" for number in range(5)]
    for user in users:
        async with people.daemon.client(user) as client:
            key = (await client.join(people.code))["participant"]["id"]
            await people.host.events()
            assert await people.host.ask("remove-participant", participantId=key, ban=True) == OK
            await people.host.events()
    for limit in (1, 2, 5, 200):
        found: list[list[str]] = []
        cursor = None
        while not found or cursor is not None:
            reply = await people.host.ask("list-bans", limit=limit, cursor=cursor)
            found.append([ban["userId"] for ban in reply["bans"]])
            cursor = reply["nextCursor"]
        assert found == [users[start : start + limit] for start in range(0, 5, limit)]
    assert (await people.host.ask("list-bans", limit=0))["code"] == "bad_frame"


async def test_reads_of_bans_are_charged(make_daemon: MakeDaemon) -> None:
    """All bans of the room for each page: 429 with `retryAfter` for a host who has listed too many."""
    daemon = make_daemon(ROOMD_LIMITS_READ_RATE="1", ROOMD_LIMITS_READ_BURST="5")
    async with gathered(daemon) as people:
        for user in ("dave", "erin"):
            assert await people.host.ask("ban", userId=user) == OK
        for _ in range(3):
            assert len((await people.host.ask("list-bans", limit=1))["bans"]) == 1
        refusal = await people.host.ask("list-bans", limit=1)
        assert refusal == error("rate_limited", retryAfter=refusal["retryAfter"])
        assert await people.host.ask("ban", userId="frank") == OK


NO_USER_IDS = ["", " ", "\u2800", "a\u0001", "a\u200b", "\u202ea", "x" * 129]


@pytest.mark.parametrize("user_id", NO_USER_IDS)
async def test_a_ban_of_an_id_that_no_token_has(people: People, user_id: str) -> None:
    """400 for what cannot be a `sub`: it would bar nobody, and cannot be the cursor of a page."""
    assert (await people.host.ask("ban", userId=user_id))["code"] == "bad_frame"
    assert (await people.host.ask("list-bans"))["bans"] == []


async def test_unban_by_the_id_of_the_request(people: People) -> None:
    """Only an `id` of the form of a ban's is one, and only where neither `userId` nor `banId` is there."""
    assert await people.host.ask("ban", userId="zoe") == OK
    [ban] = (await people.host.ask("list-bans"))["bans"]
    for number, id_ in enumerate(("zoe", ban["id"].upper(), ban["id"][:-1], int("1" * 24))):
        await people.host.send("unban", id=id_)
        reply = await people.host.receive()
        assert (reply["id"], reply["code"]) == (id_, "bad_frame"), number
    both = await people.host.ask("unban", userId="zoe", banId=ban["id"])
    assert both["code"] == "bad_frame"
    await people.host.send("unban", id="0" * 24)
    assert (await people.host.receive())["message"] == "There is no such ban"
    await people.host.send("unban", id=ban["id"])
    assert await people.host.receive() == {"type": "ok", "id": ban["id"]}
    assert (await people.host.ask("list-bans"))["bans"] == []


async def test_mute(people: People) -> None:
    """That client alone gets `mute-requested`; its presence is its own to change."""
    key = people.ids[people.guest]
    assert await people.host.ask("mute-participant", participantId=key) == OK
    assert await people.guest.receive() == {"type": "mute-requested"}
    await people.host.send("mute-participant", participantId=key)
    assert await people.guest.receive() == {"type": "mute-requested"}
    await people.host.nothing_more()
    await people.bob.nothing_more()
    people.guest.websocket.transport.abort()
    while not (await people.host.receive()).get("updated"):
        pass
    assert await people.host.ask("mute-participant", participantId=key) == NOBODY
    await people.host.send("mute-participant", participantId="nobody")
    assert await people.host.receive() == NOBODY, "an error is always answered"


HOSTS: dict[str, dict[str, Any]] = {
    "remove-participant": {"participantId": "nobody"},
    "mute-participant": {"participantId": "nobody"},
    "list-bans": {},
    "unban": {"userId": "nobody"},
    "admit-participant": {"participantId": "nobody"},
    "admit-all": {},
    "deny-participant": {"participantId": "nobody"},
}
SERVED = {"list-bans": {"type": "bans", "bans": [], "nextCursor": None}, "admit-all": OK, "unban": NOT_BANNED}


@pytest.mark.parametrize(("type_", "fields"), HOSTS.items(), ids=HOSTS.keys())
async def test_who_may(people: People, type_: str, fields: dict[str, Any]) -> None:
    """The host and admins, in the room or by its `code` from anywhere; nobody else, in it or not."""
    served = SERVED.get(type_, NOBODY)
    code = people.code
    admin = people.daemon.token("root", roomd={"admin": True})
    granted = people.daemon.token("alice", roomd={"room": "zzz-zzz-zzz"})
    async with contextlib.AsyncExitStack() as stack:
        alice, root, carol, bound = [
            await stack.enter_async_context(people.daemon.client(token=token))
            for token in (people.daemon.token("alice"), admin, people.daemon.token("carol"), granted)
        ]
        assert await people.host.ask(type_, **fields) == served
        assert await people.host.ask(type_, code=code.upper(), **fields) == served
        for client in (alice, root):
            assert await client.ask(type_, code=code, **fields) == served
            assert await client.ask(type_, **fields) == error("not_in_room")
            assert await client.ask(type_, code="zzz-zzz-zzz", **fields) == error("room_not_found")
        for client in (people.bob, people.guest):
            assert await client.ask(type_, **fields) == error("not_host")
        for client in (people.bob, people.guest, carol):
            assert await client.ask(type_, code=code, **fields) == error("not_host")
        assert await bound.ask(type_, code=code, **fields) == error("wrong_room")
        mine = await people.daemon.room("carol")
        assert await carol.ask(type_, code=mine["code"], **fields) == served
        assert await people.host.ask(type_, code=mine["code"], **fields) == error("not_host")
        for key in fields:
            assert (await alice.ask(type_, code=code, **{**fields, key: None}))["code"] == "bad_frame"


@pytest.mark.parametrize("type_", ["remove-participant", "mute-participant"])
async def test_not_themselves(people: People, type_: str) -> None:
    """Hosts act on anyone but themselves, from another connection neither; an admin on the host, and not on itself."""
    me = people.ids[people.host]
    assert await people.host.ask(type_, participantId=me) == ONESELF
    async with people.daemon.client("alice") as outside:
        assert await outside.ask(type_, code=people.code, participantId=me) == ONESELF
    async with people.daemon.client(token=people.daemon.token("root", roomd={"admin": True})) as admin:
        root = (await admin.join(people.code))["participant"]["id"]
        assert await admin.ask(type_, participantId=root) == ONESELF
        await people.host.receive()
        assert await people.host.ask(type_, participantId=root) == OK
        async with people.daemon.client(token=people.daemon.token("boss", roomd={"admin": True})) as boss:
            assert await boss.ask(type_, code=people.code, participantId=me) == OK


async def test_by_code_of_another_room(people: People) -> None:
    """A host in one room acts in another by its `code`; ids are of that room."""
    other = await people.daemon.room()
    async with people.daemon.client("dave") as dave:
        key = (await dave.join(other["code"]))["participant"]["id"]
        assert await people.host.ask("remove-participant", participantId=key) == NOBODY
        wrong = await people.host.ask(
            "remove-participant", code=other["code"], participantId=people.ids[people.bob], ban=True
        )
        assert wrong == NOBODY
        assert await people.host.ask("remove-participant", code=other["code"], participantId=key) == OK
        assert await dave.receive() == {"type": "removed", "reason": None}
        assert await dave.closed() == 4403
        await people.bob.nothing_more()


async def test_the_removed_hear_nothing_more(people: People) -> None:
    """After `removed` nothing comes, whatever goes on in the room; what they sent after it is nowhere."""
    await people.host.send("remove-participant", participantId=people.ids[people.bob])
    await people.bob.send("send-message", text="too late")
    await people.guest.send("send-message", text="after")
    frames = []
    with contextlib.suppress(Exception):
        while True:
            frames.append(await people.bob.receive())
    removed = frames.index({"type": "removed", "reason": None})
    assert frames[removed + 1 :] == []
    assert await people.bob.closed() == 4403
    await people.guest.events()  # what was said has had its turn
    texts = [frame["message"]["text"] for frame in await people.host.events() if frame["type"] == "message"]
    assert texts in (["after"], ["too late", "after"], ["after", "too late"])


async def test_bans_after_the_end(people: People) -> None:
    """The host may still see and lift bans of a room that is over; there is nobody left to remove."""
    await people.remove(people.bob, ban=True)
    await people.host.events()
    await people.host.ask("end-room", code=people.code)
    await people.host.events()
    assert len((await people.host.ask("list-bans", code=people.code))["bans"]) == 1
    assert await people.host.ask("list-bans") == error("not_in_room")
    assert await people.host.ask("unban", code=people.code, userId="bob") == OK
    removal = {"code": people.code, "participantId": people.ids[people.guest]}
    assert await people.host.ask("remove-participant", **removal) == NOBODY
