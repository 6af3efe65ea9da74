"""Messages that are sent again, wrong clocks, and what newcomers read: issue 10, items 6, 7 and 12."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.daemon import Client, Daemon

JANE = {"guestName": "Jane"}
HOURS = 7200.0
MakeDaemon = Callable[..., Daemon]


async def texts(client: Client, code: str, **fields: Any) -> list[str]:
    """List messages; their texts."""
    return [message["text"] for message in (await client.ask("list-messages", code=code, **fields))["messages"]]


async def resumed(client: Client, token: str) -> dict[str, Any]:
    """Take a seat back; the reply with the `room-state` that follows it under `state`."""
    reply = await client.ask("resume", resumeToken=token)
    assert reply["type"] == "participant", reply
    return {**reply, "state": await client.receive()}


async def test_a_lost_acknowledgement(make_daemon: MakeDaemon) -> None:
    """Item 6: the daemon is killed before the sender reads `ok`; what is sent again is there once, also for others."""
    daemon = make_daemon()
    code = (await daemon.room())["code"]
    async with daemon.client() as jane, daemon.client("bob") as bob:
        token = (await jane.join(code, **JANE))["resumeToken"]
        await bob.join(code)
        await jane.receive()
        await jane.send("send-message", id=1, text="Hello", clientId="c1")
        told = await bob.receive()
        assert (told["message"]["text"], told["message"]["clientId"]) == ("Hello", "c1")
        await asyncio.to_thread(daemon.kill)
    daemon.start()
    async with daemon.client() as jane, daemon.client("bob") as bob:
        shown = (await resumed(jane, token))["state"]["messages"]
        assert shown == [told["message"]]
        await bob.join(code)
        await jane.events()
        for text in ("Hello", "another text"):
            assert await jane.ask("send-message", text=text, clientId="c1") == {"type": "ok"}
        await bob.nothing_more()
        await jane.nothing_more()
        assert await texts(jane, code) == ["Hello"]


async def test_a_clock_that_was_ahead(make_daemon: MakeDaemon) -> None:
    """Item 7: written two hours ahead, stopped, right clock, started: cursors stay good and nothing is out of order."""
    daemon = make_daemon(steered=True)
    daemon.set_clock(HOURS)
    alice = daemon.token("alice", ttl=4 * HOURS)
    async with daemon.client(token=alice) as host:
        rooms = [(await host.ask("create-room", name=f"ahead {n}"))["room"] for n in range(2)]
        code = rooms[0]["code"]
        joined = await host.join(code)
        for text in ("one", "two"):
            await host.send("send-message", text=text)
        last = [frame["message"] for frame in await host.events()][-1]
    daemon.stop()
    daemon.start()
    async with daemon.client(token=alice) as host, daemon.client() as guest:
        assert (await host.join(code))["participant"]["id"] == joined["participant"]["id"]
        await host.send("send-message", text="three")
        assert (await host.receive())["message"]["id"] > last["id"]
        assert await texts(host, code, cursor=last["id"]) == ["three"]
        state = (await guest.join(code, **JANE))["state"]
        assert [message["text"] for message in state["messages"]] == ["one", "two", "three"]
        assert [person["userId"] for person in state["participants"]] == ["alice", None]
        await host.receive()
        await host.ask("create-room", name="later")
        listed = await host.ask("list-rooms")
        assert [room["name"] for room in listed["rooms"]] == ["later", "ahead 1", "ahead 0"]
        page = await host.ask("list-rooms", cursor=rooms[1]["id"])
        assert [room["name"] for room in page["rooms"]] == ["ahead 0"]
        left = (await host.ask("leave-room"))["participant"]
        assert left["leftAt"] >= left["joinedAt"]


@pytest.mark.parametrize("setting", ["all", "since-joined", "none"])
async def test_what_newcomers_read(make_daemon: MakeDaemon, setting: str) -> None:
    """Item 12: the configuration sets it for new rooms; who waited reads what the room's setting says."""
    daemon = make_daemon(ROOMD_ROOMS_HISTORY_FOR_NEWCOMERS=setting)
    room = await daemon.room(waitingRoom=True)
    assert room["historyVisible"] == setting
    code = room["code"]
    async with contextlib.AsyncExitStack() as stack:
        host, bob, jane = [await stack.enter_async_context(daemon.client(user)) for user in ("alice", "bob", None)]
        await host.join(code)
        await host.send("send-message", text="before")
        waits = await jane.ask("join-room", code=code, **JANE)
        await host.send("send-message", text="while she waits")
        await host.events()
        await host.ask("admit-participant", participantId=waits["participantId"])
        admitted, state = await jane.receive(), await jane.receive()
        everything = ["before", "while she waits"]
        shown = everything if setting == "all" else []
        assert admitted["type"] == "participant"
        assert [message["text"] for message in state["messages"]] == shown
        assert await texts(jane, code) == shown
        await host.events()
        await host.send("send-message", text="to both")
        assert (await jane.receive())["message"]["text"] == "to both"
        await jane.ask("send-message", text="from her")
        await jane.events()
        both = ["to both", "from her"]
        later = {"all": [*everything, *both], "since-joined": both, "none": ["from her"]}
        assert await texts(jane, code) == later[setting]
        await jane.websocket.close()
        again = await stack.enter_async_context(daemon.client())
        back = await resumed(again, waits["resumeToken"])
        assert [message["text"] for message in back["state"]["messages"]] == later[setting]
        await host.events()
        assert await texts(host, code) == [*everything, *both], "the host reads everything"
        assert (await host.ask("update-room", code=code, historyVisible="all"))["room"]["historyVisible"] == "all"
        await again.events()
        assert await texts(again, code) == [*everything, *both]
        assert (await bob.ask("get-room", code=code))["room"]["historyVisible"] == "all"


async def test_hands_in_their_order(daemon: Daemon) -> None:
    """Section 8: `@now` is the server's time; everyone, newcomers too, sees hands in the order they went up."""
    code = (await daemon.room())["code"]
    async with contextlib.AsyncExitStack() as stack:
        people = [await stack.enter_async_context(daemon.client()) for _ in range(4)]
        keys = [(await one.join(code, guestName=f"guest {n}"))["participant"]["id"] for n, one in enumerate(people)]
        order = [2, 0, 3, 1]
        for number in order:
            await people[number].send("update-participant", state={"handRaised": "@now"})
            await people[number].events()
        newcomer = await stack.enter_async_context(daemon.client())
        state = (await newcomer.join(code, guestName="newcomer"))["state"]
        hands = {person["state"]["handRaised"]: person["id"] for person in state["participants"] if person["state"]}
        assert [hands[time] for time in sorted(hands)] == [keys[number] for number in order]
        assert all(time.endswith("Z") and len(time) == 24 for time in hands)


async def test_what_a_client_author_is_told(daemon: Daemon) -> None:
    """Sections 1, 4, 5 and 6: a second join repeats `room-state`, one hears one's own `updated`, connections last."""
    async with daemon.client("alice") as host:
        room = (await host.ask("create-room"))["room"]
        assert (room["name"], room["historyVisible"]) == ("Meeting", "all")
        first = await host.join(room["code"])
        second = await host.join(room["code"])
        assert second["participant"]["id"] == first["participant"]["id"]
        assert second["resumeToken"] != first["resumeToken"]
        before, after = first["state"], second["state"]
        assert (after["epoch"], after["seq"]) == (before["epoch"], before["seq"])
        await host.send("update-participant", state={"muted": True})
        changed = await host.receive()
        assert (changed["seq"], changed["updated"][0]["state"]) == (before["seq"] + 1, {"muted": True})
        await host.websocket.send('{"type": "send-message", "id": 1, "text": ')
        assert (await host.receive())["code"] == "bad_frame"
        assert (await host.ask("leave-room"))["participant"]["leftAt"]
        await host.join(room["code"])
        assert (await host.ask("end-room", code=room["code"]))["room"]["isActive"] is False
        assert (await host.receive())["type"] == "room-ended"
        other = (await host.ask("create-room"))["room"]
        await host.join(other["code"])
