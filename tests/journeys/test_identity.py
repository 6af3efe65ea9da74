"""Three ways to say who is asking, one outcome: docs/protocol.md, section 2, from a client's side."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import jwt
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from tests.support.daemon import SECRET, Client, Daemon, error
from tests.support.in_process import MakeInProcess

JANE = {"guestName": "Jane"}
MakeDaemon = Callable[..., Daemon]
Way = Callable[[Daemon, str], contextlib.AbstractAsyncContextManager[Client]]


def by_header(daemon: Daemon, token: str) -> contextlib.AbstractAsyncContextManager[Client]:
    """Present a token as a server or a command-line client does."""
    return daemon.client(token=token)


def by_subprotocol(daemon: Daemon, token: str) -> contextlib.AbstractAsyncContextManager[Client]:
    """Present a token as a browser does."""
    return daemon.client(subprotocols=[Subprotocol("roomd.v1"), Subprotocol(f"bearer.{token}")])


@contextlib.asynccontextmanager
async def by_frame(daemon: Daemon, token: str) -> Any:
    """Present a token once connected."""
    async with daemon.client() as client:
        reply = await client.ask("authenticate", token=token)
        assert reply["type"] == "authenticated"
        yield client


UPGRADES: dict[str, Way] = {"header": by_header, "subprotocol": by_subprotocol}
WAYS: dict[str, Way] = {**UPGRADES, "frame": by_frame}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
async def test_good_token(daemon: Daemon, way: Way) -> None:
    """However a good token is presented, its bearer is the user it names."""
    room = await daemon.room()
    async with way(daemon, daemon.token("bob", name="Bob B.")) as client:
        participant = (await client.join(room["code"]))["participant"]
        assert (participant["userId"], participant["displayName"]) == ("bob", "Bob B.")


BROWSER = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"
"""What a browser sends with each request, beside cookies."""


@pytest.mark.parametrize("way", UPGRADES.values(), ids=UPGRADES.keys())
async def test_long_token(daemon: Daemon, way: Way) -> None:
    """A token of 12 KiB is read from the handshake, beside what a browser and its proxies send."""
    token = padded(daemon, 12_288)
    others = {"User-Agent": BROWSER, "Cookie": "a" * 2_048, "X-Forwarded-For": "192.0.2.1"}
    headers = others | ({"Authorization": f"Bearer {token}"} if way is by_header else {})
    offered = [] if way is by_header else [Subprotocol("roomd.v1"), Subprotocol(f"bearer.{token}")]
    async with connect(daemon.url, additional_headers=headers, subprotocols=offered or None) as websocket:
        assert (await Client(websocket).ask("create-room"))["room"]["hostId"] == "bob"


async def test_longest_token(daemon: Daemon) -> None:
    """A token of 16 KiB comes with `authenticate`; in a handshake it is too large, and the log says so."""
    token = padded(daemon, 16_384)
    async with by_frame(daemon, token) as client:
        assert (await client.ask("create-room"))["room"]["hostId"] == "bob"
    with pytest.raises(InvalidStatus) as caught:
        async with by_header(daemon, token):
            pass
    assert caught.value.response.status_code == 431
    await asyncio.to_thread(daemon.wait_for_log, '"event":"request refused","status":431')


def padded(daemon: Daemon, size: int) -> str:
    """Make a token of exactly so many characters."""
    return next(
        token for pad in range(size * 3 // 4 - 300, size) if len(token := daemon.token("bob", pad="x" * pad)) == size
    )


SUBPROTOCOLS: dict[str, tuple[list[str], str | None]] = {
    "none": ([], None),
    "roomd.v1": (["roomd.v1"], "roomd.v1"),
    "among others": (["graphql-ws", "roomd.v1", "chat"], "roomd.v1"),
    "only others": (["graphql-ws"], None),
}


@pytest.mark.parametrize(("offered", "selected"), SUBPROTOCOLS.values(), ids=SUBPROTOCOLS.keys())
async def test_subprotocol(daemon: Daemon, offered: list[str], selected: str | None) -> None:
    """`roomd.v1` is echoed when offered, never required; a token offered as one is never echoed."""
    names = [Subprotocol(name) for name in offered]
    async with daemon.client(subprotocols=names or None) as client:
        assert client.websocket.subprotocol == selected
        assert await client.ask("create-room") == error("unauthenticated")
    token = Subprotocol(f"bearer.{daemon.token('bob')}")
    async with daemon.client(subprotocols=[*names, token]) as client:
        assert client.websocket.subprotocol == selected
        assert (await client.ask("create-room"))["room"]["hostId"] == "bob"


def bad_tokens() -> Iterator[tuple[str, str, str]]:
    """Make tokens that are no good: name, token, and the code of the error."""
    good = {"sub": "bob", "exp": int(time.time()) + 3600}
    yield "expired", jwt.encode({**good, "exp": int(time.time()) - 60}, SECRET), "token_expired"
    yield "malformed", "not.a.token", "invalid_token"
    yield "empty", "", "invalid_token"
    yield "wrong signature", jwt.encode(good, "another secret, 32 bytes and more"), "invalid_token"
    yield "wrong algorithm", jwt.encode(good, SECRET + "x" * 64, algorithm="HS512"), "invalid_token"
    yield "unsigned", jwt.encode(good, "", algorithm="none"), "invalid_token"
    yield "no exp", jwt.encode({"sub": "bob"}, SECRET), "invalid_token"
    yield "no sub", jwt.encode({"exp": good["exp"]}, SECRET), "invalid_token"
    yield "long sub", jwt.encode({**good, "sub": "x" * 129}, SECRET), "invalid_token"
    yield "not yet", jwt.encode({**good, "nbf": int(time.time()) + 3600}, SECRET), "invalid_token"
    yield "malformed grant", jwt.encode({**good, "roomd": {"room": 5}}, SECRET), "invalid_token"


BAD_TOKENS = {name: (token, code) for name, token, code in bad_tokens()}
bad_token = pytest.mark.parametrize(("token", "code"), BAD_TOKENS.values(), ids=BAD_TOKENS.keys())


@bad_token
@pytest.mark.parametrize("way", UPGRADES.values(), ids=UPGRADES.keys())
async def test_bad_token_at_the_upgrade(daemon: Daemon, way: Way, token: str, code: str) -> None:
    """A token that is present and bad is never a guest: the first request is answered 401, then comes 4401."""
    room = await daemon.room()
    async with way(daemon, token) as client:
        assert await client.ask("join-room", code=room["code"], **JANE) == error(code)
        assert await client.closed() == 4401


@bad_token
async def test_bad_token_in_a_frame(daemon: Daemon, token: str, code: str) -> None:
    """A bad token in `authenticate` is answered 401, then 4401, and a guest's seat is held."""
    room = await daemon.room()
    async with daemon.client() as guest, daemon.client() as back:
        seat = await guest.join(room["code"], **JANE)
        assert await guest.ask("authenticate", token=token) == error(code)
        assert await guest.closed() == 4401
        assert (await back.ask("resume", resumeToken=seat["resumeToken"]))["participant"] == seat["participant"]


AUTHORIZATIONS = {
    "basic": "Basic YWxpY2U6c2VjcmV0",
    "no scheme": "alice",
    "empty": "",
    "bearer of nothing": "Bearer",
    "bearer of blanks": "Bearer   ",
}


@pytest.mark.parametrize("value", AUTHORIZATIONS.values(), ids=AUTHORIZATIONS.keys())
async def test_other_authorization(daemon: Daemon, value: str) -> None:
    """Who presents something else than a bearer token is no guest either."""
    async with connect(daemon.url, additional_headers={"Authorization": value}) as websocket:
        client = Client(websocket)
        assert await client.ask("ping") == error("invalid_token")
        assert await client.closed() == 4401


async def test_bad_token_of_a_silent_client(daemon: Daemon) -> None:
    """A client that waits for the server to speak is told of its bad token too, without an id."""
    async with daemon.client(token="bad") as client:
        assert await client.receive() == error("invalid_token")
        assert await client.closed() == 4401


async def test_bad_token_and_a_bad_frame(daemon: Daemon) -> None:
    """With a bad token not even the frame is looked at."""
    async with daemon.client(token="bad") as client:
        await client.websocket.send("no JSON")
        assert await client.receive() == error("invalid_token")
        assert await client.closed() == 4401


async def test_authenticate_and_refresh(daemon: Daemon) -> None:
    """`authenticate` says who was recognised and until when; a newer token of the same user takes its place."""
    async with daemon.client() as client:
        for ttl in (60, 3600):
            token = daemon.token("bob", ttl=ttl)
            expires = datetime.fromtimestamp(jwt.decode(token, options={"verify_signature": False})["exp"], UTC)
            expected = f"{expires:%Y-%m-%dT%H:%M:%S}.000Z"
            reply = await client.ask("authenticate", token=token)
            assert reply == {"type": "authenticated", "userId": "bob", "expiresAt": expected}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
@pytest.mark.parametrize("is_in_room", [False, True], ids=["outside", "in a room"])
async def test_authenticate_as_another(daemon: Daemon, way: Way, is_in_room: bool) -> None:
    """An authenticated connection stays its user's: another `sub` is refused and changes nothing."""
    room = await daemon.room()
    async with way(daemon, daemon.token("bob")) as client:
        if is_in_room:
            await client.join(room["code"])
        assert await client.ask("authenticate", token=daemon.token("carol")) == error("wrong_user")
        assert (await client.ask("create-room"))["room"]["hostId"] == "bob"
        assert (await client.ask("authenticate", token=daemon.token("bob")))["userId"] == "bob"


async def test_authenticate_in_a_room_as_a_guest(daemon: Daemon) -> None:
    """Who is in a room as a guest stays one while there; after leaving they may say who they are."""
    room = await daemon.room()
    async with daemon.client() as client:
        await client.join(room["code"], **JANE)
        assert await client.ask("authenticate", token=daemon.token("bob")) == error("wrong_user")
        assert await client.ask("create-room") == error("unauthenticated")
        await client.ask("leave-room")
        assert (await client.ask("authenticate", token=daemon.token("bob")))["userId"] == "bob"
        assert (await client.join(room["code"]))["participant"]["userId"] == "bob"


ROOM_REQUESTS: list[tuple[str, dict[str, Any]]] = [
    ("join-room", {}),
    ("get-room", {}),
    ("update-room", {"name": "x"}),
    ("end-room", {}),
    ("list-participants", {}),
    ("list-participants", {"history": True}),
]


@pytest.mark.parametrize(("type_", "fields"), ROOM_REQUESTS, ids=lambda value: str(value))
async def test_room_grant(daemon: Daemon, type_: str, fields: dict[str, Any]) -> None:
    """A token with a `room` grant serves that code alone, however its code is written, host or not."""
    granted, other = await daemon.room(), await daemon.room()
    token = daemon.token("alice", roomd={"room": granted["code"].replace("-", "").upper()})
    async with daemon.client(token=token) as client:
        assert await client.ask(type_, code=other["code"], **fields) == error("wrong_room")
        assert await client.ask(type_, code="zzz-zzz-zzz", **fields) == error("wrong_room")
        assert (await client.ask(type_, code=granted["code"], **fields))["type"] != "error"


async def test_room_grant_and_resume(daemon: Daemon) -> None:
    """A `room` grant serves no seat of another room, and none of the requests that concern them all."""
    granted, other = await daemon.room(), await daemon.room()
    async with (
        daemon.client("bob") as bob,
        daemon.client(token=daemon.token("bob", roomd={"room": granted["code"]})) as client,
    ):
        seat = await bob.join(other["code"])
        assert await client.ask("resume", resumeToken=seat["resumeToken"]) == error("wrong_room")
        assert await client.ask("create-room") == error("wrong_room")
        assert await client.ask("list-rooms") == error("wrong_room")
        await bob.nothing_more()


async def test_admin_grant(daemon: Daemon) -> None:
    """An admin has the host's rights in every room, and is its host in none."""
    room = await daemon.room()
    async with daemon.client(token=daemon.token("root", roomd={"admin": True})) as admin:
        assert (await admin.join(room["code"]))["participant"]["isHost"] is False
        updated = (await admin.ask("update-room", code=room["code"], isLocked=True))["room"]
        assert (updated["hostId"], updated["isLocked"]) == ("alice", True)
    async with daemon.client(token=daemon.token("bob", roomd={"admin": False})) as client:
        assert await client.ask("update-room", code=room["code"], name="x") == error("not_host")


async def test_being_in_a_room_outlives_the_token(make_in_process: MakeInProcess) -> None:
    """A token is needed to authenticate, to join and to act elsewhere; who is in a room stays, and may come back."""
    daemon = make_in_process(auth={"leeway": 0})
    room, other = await daemon.room(), await daemon.room()
    token = daemon.token("bob")
    lasting, hosts = (daemon.token(user, ttl=86_400) for user in ("bob", "alice"))
    async with daemon.client(token=token) as bob, daemon.client(token=hosts) as host:
        seat = await bob.join(room["code"])
        assert (await bob.ask("list-rooms"))["type"] == "rooms"
        daemon.advance(3600)  # the token is over
        assert await bob.ask("list-rooms") == error("unauthenticated")
        assert await bob.ask("create-room") == error("unauthenticated")
        assert await bob.ask("join-room", code=other["code"]) == error("unauthenticated")
        people = (await bob.ask("list-participants", code=room["code"]))["participants"]
        assert people == [seat["participant"]]
        await host.join(room["code"])
        assert (await bob.receive())["joined"][0]["userId"] == "alice"
        again = await bob.join(room["code"])
        assert again["participant"] == seat["participant"]
        refreshed = await bob.ask("authenticate", token=lasting)
        assert refreshed["type"] == "authenticated"
        assert (await bob.ask("create-room"))["room"]["hostId"] == "bob"
        async with daemon.client(token=token) as late:
            assert await late.ask("ping") == error("token_expired")
            assert await late.closed() == 4401
        async with daemon.client() as back:
            reply = await back.ask("resume", resumeToken=again["resumeToken"])
            assert reply["participant"] == seat["participant"]
        assert await bob.closed() == 4409
