"""One-time tickets: docs/protocol.md, section 2, from a client's side."""

import asyncio
import contextlib
import time
import uuid
from typing import Any

import jwt
import pytest

from tests.support.daemon import SECRET, Client, Daemon, error

pytestmark = pytest.mark.both_stores


def ticket(user: str = "alice", seconds: float = 300, **claims: Any) -> str:
    """Sign a ticket as an issuer with the secret does."""
    usual = {"sub": user, "exp": time.time() + seconds, "jti": str(uuid.uuid4())}
    return jwt.encode({**usual, **claims}, SECRET, "HS256")


async def test_a_ticket_is_exchanged_for_a_token(daemon: Daemon) -> None:
    """The reply carries a token, which serves like any other; the connection is authenticated."""
    room = await daemon.room()
    async with daemon.client() as client:
        reply = await client.ask("authenticate", ticket=ticket(name="Alice", roomd={"ticket": 3600}))
        assert (reply["type"], reply["userId"]) == ("authenticated", "alice")
        assert set(reply) == {"type", "userId", "expiresAt", "token"}
        assert (await client.join(room["code"]))["participant"]["isHost"]
    async with daemon.client(token=reply["token"]) as client:
        assert (await client.join(room["code"]))["participant"]["displayName"] == "Alice"
    async with daemon.client() as client:
        assert "token" not in await client.ask("authenticate", token=reply["token"])


async def test_a_ticket_is_good_once(daemon: Daemon) -> None:
    """Of many that come with the same one, also after a restart, one gets a token; the others are closed with 4401."""
    text = ticket()
    async with contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(daemon.client()) for _ in range(8)]
        replies = await asyncio.gather(*(client.ask("authenticate", ticket=text) for client in clients))
        for client, reply in zip(clients, replies, strict=True):
            assert reply["type"] == "authenticated" or await client.closed() == 4401
    used = {**error("invalid_token"), "message": "The ticket was used before"}
    assert sorted(reply["type"] for reply in replies) == ["authenticated", *["error"] * 7]
    assert all(reply == used for reply in replies if reply["type"] == "error")
    daemon.kill()
    await asyncio.to_thread(daemon.start)
    async with daemon.client() as client:
        assert await client.ask("authenticate", ticket=text) == used
    assert text not in daemon.log.read_text()


async def refusal(client: Client, **fields: Any) -> tuple[str, str]:
    """Return the code and the text with which `authenticate` is refused."""
    reply = await client.ask("authenticate", **fields)
    return reply["code"], reply["message"]


async def test_what_is_refused(daemon: Daemon) -> None:
    """Both and neither are no request; another user's ticket stays good."""
    bad = ("bad_frame", "Malformed frame: give token or ticket")
    text = ticket("bob")
    async with daemon.client("alice") as client:
        assert await refusal(client) == bad
        assert await refusal(client, token=daemon.token("alice"), ticket=text) == bad
        assert (await refusal(client, ticket=text))[0] == "wrong_user"
    async with daemon.client() as client:
        assert (await client.ask("authenticate", ticket=text))["userId"] == "bob"
    for late in (ticket(seconds=700), ticket(jti=7), daemon.token("alice")):
        async with daemon.client() as client:
            assert await refusal(client, ticket=late) == ("invalid_token", "Token is not valid")
            assert await client.closed() == 4401
    async with daemon.client() as client:
        assert (await refusal(client, token=ticket(roomd={"ticket": 60})))[0] == "invalid_token"
