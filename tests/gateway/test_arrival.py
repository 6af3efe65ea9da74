"""The previous resume token dies when the client is known to have the current one: docs/protocol.md, section 5."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.support.conversations import Client, Stage
from tests.support.sockets import client_frame

TICKS = 1000
"""More ticks of silence than the tests make."""


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    stage = await Stage().open()
    yield stage
    await stage.close()


async def back(stage: Stage, token: str) -> tuple[Client, dict[str, Any]]:
    """Resume on a new connection. Return it with the reply."""
    client = stage.connect()
    return client, (await client.ask("resume", resumeToken=token))[0]


def ping_of(client: Client) -> bytes:
    """Make ticks until the connection was pinged; return the ping's payload, empty for none."""
    for _ in range(2):
        client.connection.tick(TICKS, TICKS, 1000)
    written = client.transport.written()
    return written[2:] if written[:1] == b"\x89" else b""


async def pong(stage: Stage, client: Client, payload: bytes) -> None:
    client.transport.receive(client_frame(payload, 0xA))
    await stage.idle()


async def joined(stage: Stage) -> tuple[Client, str]:
    client = stage.connect()
    reply, _ = await client.ask("join-room", code=stage.code, guestName="Jane")
    return client, reply["resumeToken"]


async def test_the_previous_token_serves_until_the_reply_has_arrived(stage: Stage) -> None:
    """Without an answer to the ping both tokens serve; with it the previous one is superseded."""
    _, first = await joined(stage)
    client, reply = await back(stage, first)
    assert reply["type"] == "participant"
    client, reply = await back(stage, first)
    assert reply["type"] == "participant", "the reply was lost, and another one is drawn"
    payload = ping_of(client)
    assert payload != b""
    await pong(stage, client, payload)
    _, refusal = await back(stage, first)
    assert refusal["code"] == "taken_over"
    _, reply = await back(stage, reply["resumeToken"])
    assert reply["type"] == "participant"


@pytest.mark.parametrize("payload", [b"", b"12345678"], ids=["unsolicited", "of something else"])
async def test_only_the_answer_to_that_ping_counts(stage: Stage, payload: bytes) -> None:
    """A pong that answers no ping, or another one, shows nothing (RFC 6455, section 5.5.3)."""
    _, first = await joined(stage)
    client, _ = await back(stage, first)
    await pong(stage, client, payload)
    assert ping_of(client) not in (b"", payload)
    await pong(stage, client, payload)
    _, reply = await back(stage, first)
    assert reply["type"] == "participant"


async def test_the_answer_of_an_earlier_sitting(stage: Stage) -> None:
    """Its pong comes late, when another connection has resumed the seat: that one's previous token stays."""
    _, first = await joined(stage)
    early, _ = await back(stage, first)
    payload = ping_of(early)
    await back(stage, first)
    early.transport.receive(client_frame(payload, 0xA))
    await stage.idle()
    _, reply = await back(stage, first)
    assert reply["type"] == "participant"


async def test_a_newcomer_is_not_asked(stage: Stage) -> None:
    """There is no previous token, so there is nothing to find out; a second join on the connection leaves one."""
    client, first = await joined(stage)
    assert ping_of(client) == b""
    await client.ask("join-room", code=stage.code, guestName="Jane")
    payload = ping_of(client)
    _, reply = await back(stage, first)
    assert (reply["type"], payload != b"") == ("participant", True)


async def test_whoever_has_left_is_not_asked(stage: Stage) -> None:
    """A seat that was given up before the ping needs none."""
    _, first = await joined(stage)
    client, _ = await back(stage, first)
    await client.ask("leave-room")
    assert ping_of(client) == b""


async def test_while_the_server_stops(stage: Stage) -> None:
    """An answer that comes then changes nothing, and the token of before still serves at the next start."""
    _, first = await joined(stage)
    client, _ = await back(stage, first)
    payload = ping_of(client)
    await stage.hub.drain()
    appends = stage.store.appends
    await pong(stage, client, payload)
    assert stage.store.appends == appends


async def test_a_token_that_cannot_be_stored_with_the_seat(stage: Stage) -> None:
    """`authenticate` does not depend on storage: the seat keeps the rights that it had."""
    client = stage.connect(stage.token("alice"))
    await client.ask("join-room", code=stage.code)
    stage.store.fails_once = True
    reply = await client.ask("authenticate", id=1, token=stage.token("alice", ttl=7200))
    assert [frame["type"] for frame in reply] == ["authenticated"]
    assert [seat.token_exp for seat in stage.store.people.values()] == [1_772_534_100 + 3600]
    await client.ask("authenticate", id=2, token=stage.token("alice", ttl=7200))
    assert [seat.token_exp for seat in stage.store.people.values()] == [1_772_534_100 + 7200]


async def test_waiting_places_are_proved_in_the_same_way(stage: Stage) -> None:
    """A place in a queue has a previous token until its client has the current one."""
    await joined(stage)
    await joined(stage)
    await joined(stage)
    waits = stage.connect()
    first = (await waits.ask("join-room", code=stage.code, guestName="Joe", wait=True))[0]["resumeToken"]
    client, reply = await back(stage, first)
    assert reply["type"] == "waiting"
    payload = ping_of(client)
    client, reply = await back(stage, first)
    assert (reply["type"], payload != b"") == ("waiting", True)
    await pong(stage, client, ping_of(client))
    assert (await back(stage, first))[1]["code"] == "taken_over"
    assert (await back(stage, reply["resumeToken"]))[1]["type"] == "waiting"
