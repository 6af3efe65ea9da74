"""Clients that read slowly, or nothing: what they miss, what they get for it, and when they are closed."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.support.conversations import Client, Stage
from tests.support.sockets import client_frame

CLOSE, PING = 8, 9
LONG = 1_000_000
"""Ticks in which nothing else happens."""


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    stage = await Stage().open()
    yield stage
    await stage.close()


async def joined(stage: Stage, *names: str) -> list[Client]:
    """Clients that joined one after another and have read everything."""
    clients = [stage.connect() for _ in names]
    for client, name in zip(clients, names, strict=True):
        await client.ask("join-room", code=stage.code, guestName=name)
    for client in clients:
        client.heard()
    return clients


def limit(stage: Stage) -> int:
    return stage.services.limits.outbox


async def test_a_reader_who_falls_behind_and_comes_back(stage: Stage) -> None:
    """It gets replies alone while too much waits, then one `room-state`, then what happens later, nothing twice."""
    jane, joe = await joined(stage, "Jane", "Joe")
    joe.transport.fill(limit(stage) + 1)
    for text in "abc":
        await jane.ask("send-message", text=text)
    await jane.ask("update-participant", state={"muted": True})
    assert [frame["type"] for frame in await joe.ask("send-message", id=1, text="d")] == ["ok"]
    assert [frame["type"] for frame in await joe.ask("ping")] == ["pong"]
    joe.transport.drain()
    joe.send("ping", id=2)
    await stage.idle()
    pong, state = joe.heard()
    assert (pong["type"], state["type"], state["seq"]) == ("pong", "room-state", 3)
    assert [message["text"] for message in state["messages"]] == list("abcd")
    assert [person["state"] for person in state["participants"]] == [{"muted": True}, {}]
    await jane.ask("update-participant", state={"muted": None})
    await jane.ask("send-message", text="e")
    changed, message = joe.heard()
    assert (changed["seq"], message["message"]["text"]) == (4, "e")
    joe.transport.fill(limit(stage) + 1)
    joe.transport.drain()
    await stage.idle()
    assert joe.heard() == [], "nothing was left out"


async def test_a_batch_between_reading_again_and_the_state(stage: Stage) -> None:
    """Its events are in the `room-state`, and are not sent before it: the reader would see a gap."""
    jane, joe = await joined(stage, "Jane", "Joe")
    joe.transport.fill(limit(stage) + 1)
    await jane.ask("update-participant", state={"a": 1})
    stage.store.hold()
    jane.send("update-participant", state={"b": 2})
    await asyncio.wait_for(stage.store.reached.wait(), 60)
    joe.transport.drain()
    stage.store.let_go()
    await stage.idle()
    (state,) = joe.heard()
    assert (state["type"], state["seq"]) == ("room-state", 4)
    assert [person["state"] for person in state["participants"]] == [{"a": 1, "b": 2}, {}]


async def test_a_private_message_that_was_left_out(stage: Stage) -> None:
    """It is in `list-messages` behind the last message that the reader knows, as after a reconnect."""
    jane, joe = await joined(stage, "Jane", "Joe")
    await jane.ask("send-message", text="known")
    (known,) = [frame["message"] for frame in joe.heard()]
    joe.transport.fill(limit(stage) + 1)
    to = next(key for key, person in joe.view.items() if person["guestName"] == "Joe")
    await jane.ask("send-message", text="for Joe", to=to)
    await jane.ask("send-message", text="for all")
    joe.transport.drain()
    await stage.idle()
    (state,) = joe.heard()
    assert [message["text"] for message in state["messages"]] == ["known", "for all"]
    (page,) = await joe.ask("list-messages", code=stage.code, cursor=known["id"])
    assert [message["text"] for message in page["messages"]] == ["for Joe", "for all"]


async def test_a_signal_to_a_reader_who_is_behind(stage: Stage) -> None:
    """429 while half of the limit waits, and until the reader has got its `room-state`; the sender may try again."""
    jane, joe = await joined(stage, "Jane", "Joe")
    to = next(key for key, person in joe.view.items() if person["guestName"] == "Joe")

    async def signal() -> str:
        (reply,) = await jane.ask("signal", id=1, to=to, data="x")
        return str(reply.get("code", "ok"))

    joe.transport.unread = limit(stage) // 2 + 1
    assert await signal() == "rate_limited"
    joe.transport.fill(limit(stage) + 1)
    await jane.ask("send-message", text="left out")
    joe.transport.unread = 1
    assert await signal() == "rate_limited"
    joe.transport.drain()
    assert await signal() == "rate_limited", "the state comes first"
    assert await signal() == "ok"
    assert [frame["type"] for frame in joe.heard()] == ["room-state", "signal"]


async def test_a_place_in_the_queue(stage: Stage) -> None:
    """Who waits and is behind gets the place there is, not all those there were."""
    people = await joined(stage, "1", "2", "3")
    ann, ben = stage.connect(), stage.connect()
    for client in (ann, ben):
        await client.ask("join-room", id=1, code=stage.code, guestName="x", wait=True)
    ben.transport.fill(limit(stage) + 1)
    await ann.ask("leave-room")
    assert ben.heard() == []
    ben.transport.drain()
    await stage.idle()
    (place,) = ben.heard()
    assert (place["type"], place["position"], "id" in place) == ("waiting", 1, False)
    ben.transport.fill(limit(stage) + 1)
    await people[0].ask("leave-room")
    assert [frame["type"] for frame in ben.heard()] == ["participant", "room-state"], "the reply to its join"


async def test_the_end_of_a_room_is_not_left_out(stage: Stage) -> None:
    """A reader who is behind is told that the room has ended; there is no room to ask about what it has missed."""
    host = stage.connect(stage.token("alice"))
    await host.ask("join-room", code=stage.code)
    jane, joe = await joined(stage, "Jane", "Joe")
    joe.transport.fill(limit(stage) + 1)
    await jane.ask("send-message", text="left out")
    await host.ask("end-room", code=stage.code)
    assert [frame["type"] for frame in joe.heard()] == ["room-ended"]
    joe.transport.drain()
    await stage.idle()
    assert joe.heard() == []


async def test_requests_wait_while_their_replies_do(stage: Stage) -> None:
    """With twice the limit unread no request is served; then all are, in order, with those that were read before."""
    (jane,) = await joined(stage, "Jane")
    jane.transport.fill(2 * limit(stage) + 1)
    stage.store.hold()
    jane.send("update-participant", id=1, state={"muted": True})
    for number in (2, 3):
        jane.send("ping", id=number)
    stage.store.let_go()
    await stage.idle()
    assert [frame["id"] for frame in jane.heard()] == [1]
    assert not jane.transport.is_reading
    jane.send("ping", id=4)
    jane.connection.tick(1, LONG, LONG)
    await stage.idle()
    assert jane.heard() == []
    jane.transport.drain()
    await stage.idle()
    assert [frame["id"] for frame in jane.heard() if "id" in frame] == [2, 3, 4]
    assert jane.transport.is_reading


@pytest.mark.parametrize("end", ["lost", "ticks"])
async def test_requests_that_wait_at_the_end(stage: Stage, end: str) -> None:
    """When the connection is lost, what was read takes effect; after our close it does not, as ever."""
    jane, joe = await joined(stage, "Jane", "Joe")
    joe.transport.fill(2 * limit(stage) + 1)
    stage.store.hold()
    joe.send("update-participant", id=1, state={"muted": True})
    joe.send("send-message", text="bye")
    joe.send("ping")
    stage.store.let_go()
    await stage.idle()
    jane.heard()
    if end == "lost":
        joe.transport.lose()
    else:
        for _ in range(3):
            joe.connection.tick(LONG, LONG, 2)
        assert await joe.closed() == 4408
    await stage.idle()
    told = ["message", "participants-changed"] if end == "lost" else ["participants-changed"]
    assert [frame["type"] for frame in jane.heard()] == told


async def test_pongs_that_nobody_reads(stage: Stage) -> None:
    """What answers control frames is held to the same bound; after our close the connection is aborted."""
    client = stage.connect()
    client.transport.fill(2 * limit(stage) + 1)
    for _ in range(3):
        client.transport.receive(client_frame(b"", PING))
    client.heard()
    assert len(client.transport.pongs) == 1
    client.transport.drain()
    await stage.idle()
    client.heard()
    assert len(client.transport.pongs) == 3
    client.transport.fill(2 * limit(stage) + 1)
    client.connection.outbox.close(4000, "the end")
    client.transport.receive(client_frame(b"", PING))
    await stage.idle()
    assert client.transport.is_aborted


async def test_a_client_that_reads_nothing(stage: Stage) -> None:
    """4408 after so many ticks in which nothing of what waits was taken; its seat is held. A byte in time is enough."""
    jane, joe = await joined(stage, "Jane", "Joe")
    joe.transport.fill(limit(stage) + 1)
    for unread in (3, 3, 2, 2, 1, 1):
        joe.transport.unread = unread
        joe.connection.tick(LONG, LONG, 2)
    assert joe.transport.close_code is None
    joe.connection.tick(LONG, LONG, 2)
    assert await joe.closed() == 4408
    await stage.idle()
    (changed,) = jane.heard()
    assert [person["isActive"] for person in changed["updated"]] == [False]
