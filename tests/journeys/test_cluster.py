"""Three daemons on one PostgreSQL and one NATS: people at different nodes are in one room, whatever happens to one."""

import asyncio
import signal
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.cluster.daemons import Trio, trio, until
from tests.support.daemon import Client
from tests.support.postgresql import Server

LEASE = 3.0


@pytest.fixture
def three(tmp_path: Path, postgresql: Server) -> Iterator[Trio]:
    """Three daemons that are ready."""
    with trio(tmp_path, postgresql) as made:
        yield made


async def meet(three: Trio, stack: AsyncExitStack, **settings: Any) -> tuple[str, dict[str, Client], dict[str, Any]]:
    """A room, and one guest at each node, who have read everything: the code, the clients, and their replies."""
    room = await three.daemons["a"].room(maxParticipants=4, **settings)
    clients = {name: await stack.enter_async_context(one.client()) for name, one in three.daemons.items()}
    replies = {name: await client.join(room["code"], guestName=name) for name, client in clients.items()}
    for client in clients.values():
        await client.events()
    return room["code"], clients, replies


async def test_a_meeting_at_three_nodes(three: Trio) -> None:
    """Everybody sees everybody; messages and signals pass; the limit holds; who leaves is told of."""
    async with AsyncExitStack() as stack:
        code, clients, replies = await meet(three, stack)
        late = await stack.enter_async_context(three.daemons["b"].client("bob"))
        state = (await late.join(code))["state"]
        assert [person["displayName"] for person in state["participants"][:3]] == ["a", "b", "c"]
        refused = await stack.enter_async_context(three.daemons["c"].client())
        assert (await refused.ask("join-room", code=code, guestName="d"))["code"] == "room_full"
        await clients["a"].send("send-message", id="m", text="hello", clientId="1")
        assert (await until(clients["a"], "ok"))["id"] == "m"
        for name in "abc":
            assert (await until(clients[name], "message"))["message"]["text"] == "hello"
        to = replies["c"]["participant"]["id"]
        await clients["b"].send("signal", id="s", to=to, data={"sdp": 1})
        signal_ = await until(clients["c"], "signal")
        assert signal_["data"] == {"sdp": 1}
        await clients["c"].websocket.close()
        changed = await until(clients["a"], "participants-changed")
        while not changed["updated"]:
            changed = await until(clients["a"], "participants-changed")
        assert changed["updated"][0]["isActive"] is False


async def test_the_owner_is_killed(three: Trio) -> None:
    """Members at other nodes keep their connections, get an unasked state, and the meeting goes on."""
    async with AsyncExitStack() as stack:
        code, clients, replies = await meet(three, stack)
        owner = three.owner(code)
        one, other = (name for name in "abc" if name != owner)
        three.daemons[owner].kill()
        began = time.monotonic()
        await clients[one].send("send-message", id="m", text="still here", clientId="1")
        await until(clients[one], "room-state")
        print(f"owner loss to the state: {time.monotonic() - began:.2f} s")
        await until(clients[other], "room-state")
        back = await stack.enter_async_context(three.daemons[one].client())
        reply = await back.ask("resume", resumeToken=replies[owner]["resumeToken"])
        assert reply["participant"]["id"] == replies[owner]["participant"]["id"]
        state = await back.receive()
        assert [person["isActive"] for person in state["participants"]] == [True] * 3
        assert [message["text"] for message in state["messages"]] == ["still here"]
        assert three.owner(code) in (one, other)


async def test_a_frozen_owner_is_a_zombie(three: Trio) -> None:
    """SIGSTOP past the lease, then SIGCONT: another node has the room, and the limit holds for both."""
    async with AsyncExitStack() as stack:
        code, _, _ = await meet(three, stack)
        owner = three.owner(code)
        one = next(name for name in "abc" if name != owner)
        late = await stack.enter_async_context(three.daemons[owner].client())
        frozen = three.daemons[owner].process
        frozen.send_signal(signal.SIGSTOP)
        await late.send("join-room", id="late", code=code, guestName="late")
        quick = await stack.enter_async_context(three.daemons[one].client())
        await quick.join(code, guestName="quick")
        frozen.send_signal(signal.SIGCONT)
        frame = await late.receive()
        while frame.get("id") != "late":
            frame = await late.receive()
        assert frame["code"] == "room_full"
        listed = await quick.ask("get-room", code=code)
        assert listed["room"]["participantCount"] == 4


async def test_a_node_is_stopped(three: Trio) -> None:
    """SIGTERM hands its rooms over; its clients are told to come back and do so at another node."""
    async with AsyncExitStack() as stack:
        code, clients, replies = await meet(three, stack)
        owner = three.owner(code)
        one = next(name for name in "abc" if name != owner)
        assert await asyncio.to_thread(three.daemons[owner].stop) == 0
        back = await stack.enter_async_context(three.daemons[one].client())
        reply = await back.ask("resume", resumeToken=replies[owner]["resumeToken"])
        assert reply["type"] == "participant"
        assert await clients[owner].closed() == 1012
        three.daemons[owner].start()
        again = await stack.enter_async_context(three.daemons[owner].client("bob"))
        assert len((await again.join(code))["state"]["participants"]) == 4
