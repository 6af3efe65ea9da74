"""Leaving, dropping, and the events about both that others receive: docs/protocol.md, sections 5 and 6."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from tests.support.daemon import SEAT_HOLD, Client, Daemon, error
from tests.support.in_process import InProcess, MakeInProcess
from tests.support.wire import changed, now

JANE = {"guestName": "Jane"}


@pytest.fixture
def steered(make_in_process: MakeInProcess) -> InProcess:
    """A daemon whose clock the test can move, past the end of a hold."""
    return make_in_process()


def follow(view: dict[str, dict[str, Any]], event: dict[str, Any]) -> None:
    """Apply a `participants-changed` to a member's view, which has participants by id."""
    assert event["type"] == "participants-changed"
    lists = [[who["id"] for who in event[key]] for key in ("joined", "updated", "left")]
    assert len({key for keys in lists for key in keys}) == sum(map(len, lists)), "in more than one list"
    assert not view.keys() & set(lists[0]), "joined twice"
    assert view.keys() >= set(lists[1] + lists[2]), "changed without having joined"
    view.update({who["id"]: who for who in event["joined"] + event["updated"]})
    for key in lists[2]:
        del view[key]


async def hang_up(client: Client) -> None:
    """Abort a client's connection."""
    client.websocket.transport.abort()


DROPS: dict[str, Callable[[Client], Coroutine[Any, Any, None]]] = {
    "close 1000": lambda client: client.websocket.close(1000),
    "close 1001": lambda client: client.websocket.close(1001),
    "abort": hang_up,
}


async def test_leave_room(daemon: Daemon) -> None:
    """`leave-room` releases the seat at once: the client gets `participant` with `leftAt`, the others get `left`."""
    room = await daemon.room(maxParticipants=2)
    async with daemon.client("alice") as host, daemon.client() as guest, daemon.client() as next_one:
        state = (await host.join(room["code"]))["state"]
        before = await guest.join(room["code"], **JANE)
        assert await host.receive() == changed(state["seq"] + 1, joined=[before["participant"]])
        earliest = now()
        reply = await guest.ask("leave-room")
        left = {**before["participant"], "isActive": False, "leftAt": reply["participant"]["leftAt"]}
        assert reply == {"type": "participant", "participant": left}
        assert earliest <= left["leftAt"] <= now()
        assert await host.receive() == changed(state["seq"] + 2, left=[left])
        assert (await next_one.join(room["code"], **JANE))["state"]["room"]["participantCount"] == 2
        assert await guest.ask("leave-room") == error("not_in_room")
        assert await guest.ask("resume", resumeToken=before["resumeToken"]) == error("seat_expired")


@pytest.mark.parametrize("drop", DROPS.values(), ids=DROPS.keys())
async def test_drop_and_end_of_the_hold(
    steered: InProcess, drop: Callable[[Client], Coroutine[Any, Any, None]]
) -> None:
    """However a connection ends, its seat is held: others receive `updated`, then `left` with the time of the drop."""
    room = await steered.room(maxParticipants=2)
    async with steered.client("alice") as host, steered.client() as guest, steered.client() as other:
        seq = (await host.join(room["code"]))["state"]["seq"]
        before = await guest.join(room["code"], **JANE)
        participant = before["participant"]
        await host.receive()
        earliest = now()
        await drop(guest)
        held = {**participant, "isActive": False}
        assert await host.receive() == changed(seq + 2, updated=[held])
        latest = now()
        full = await other.ask("join-room", code=room["code"], **JANE)
        assert full == error("room_full")
        assert (await host.ask("list-participants", code=room["code"]))["participants"][1] == held
        steered.advance(SEAT_HOLD)
        event = await host.receive()
        assert event == changed(seq + 3, left=[{**held, "leftAt": event["left"][0]["leftAt"]}])
        assert earliest <= event["left"][0]["leftAt"] <= latest
        assert await other.ask("resume", resumeToken=before["resumeToken"]) == error("seat_expired")
        assert (await other.join(room["code"], **JANE))["participant"]["id"] != participant["id"]


async def test_views_rebuilt_from_events(daemon: Daemon) -> None:
    """Each member's view, rebuilt from `room-state` and the events after it, is equal to what the server lists."""
    room = await daemon.room()
    code = room["code"]
    async with contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(daemon.client()) for _ in range(24)]
        host = await stack.enter_async_context(daemon.client("alice"))

        async def begin_join(number: int) -> Client:
            client = clients[number]
            await client.send("join-room", id="join", code=code, guestName=f"guest {number}")
            return client

        await asyncio.gather(*map(begin_join, range(12)))
        for number in range(12, 24):  # each joins while another leaves or drops
            await (hang_up(clients[number - 12]) if number % 2 else clients[number - 12].send("leave-room"))
            await begin_join(number)
            if number % 3 == 0:
                await host.ask("get-room", code=code)  # the batches of what was sent before are done
        epochs: set[str] = set()
        for client in clients[12:]:
            await client.send("ping", id="reached")
        lists = [await view_until_pong(client, epochs) for client in clients[12:]]
        assert len(epochs) == 1
        listed = {
            who["id"]: who for who in (await host.ask("list-participants", code=code, history=True))["participants"]
        }
        seats = {key: who for key, who in listed.items() if who["leftAt"] is None}
        for client, (view, seq) in zip(clients[12:], lists, strict=True):
            await catch_up(client, view, seq)
            assert view == seats


async def view_until_pong(client: Client, epochs: set[str]) -> tuple[dict[str, dict[str, Any]], list[int]]:
    """Read a client's frames up to the reply to its ping; return its view of the room and the last `seq`."""
    reply, state = await client.receive(), await client.receive()
    assert (reply["type"], reply["id"], state["type"]) == ("participant", "join", "room-state")
    epochs.add(state["epoch"])
    view = {who["id"]: who for who in state["participants"]}
    assert view[reply["participant"]["id"]] == reply["participant"]
    seq = [state["seq"]]
    while (frame := await client.receive()).get("id") != "reached":
        advance(view, seq, frame)
    return view, seq


def advance(view: dict[str, dict[str, Any]], seq: list[int], event: dict[str, Any]) -> None:
    """Apply the next event, which must carry the next number."""
    assert event["seq"] == seq[0] + 1
    seq[0] += 1
    follow(view, event)


async def catch_up(client: Client, view: dict[str, dict[str, Any]], seq: list[int]) -> None:
    """Apply every event that was sent by now."""
    for event in await client.events():
        advance(view, seq, event)


async def test_joins_in_one_batch_share_an_event(daemon: Daemon) -> None:
    """Changes of one batch are sent in one `participants-changed`."""
    room = await daemon.room()
    async with contextlib.AsyncExitStack() as stack:
        host = await stack.enter_async_context(daemon.client("alice"))
        seq = (await host.join(room["code"]))["state"]["seq"]
        guests = [await stack.enter_async_context(daemon.client()) for _ in range(60)]
        replies = await asyncio.gather(*(guest.ask("join-room", code=room["code"], **JANE) for guest in guests))
        events = await host.events()
        assert [event["seq"] for event in events] == list(range(seq + 1, seq + 1 + len(events)))
        joined = [who["id"] for event in events for who in event["joined"]]
        assert sorted(joined) == sorted(reply["participant"]["id"] for reply in replies)
        assert len(events) < 60


async def test_no_events_about_oneself(daemon: Daemon) -> None:
    """A client receives no events about its own join and its own leave."""
    room = await daemon.room()
    async with daemon.client() as guest, daemon.client("bob") as bob:
        await bob.join(room["code"])
        await guest.join(room["code"], **JANE)
        await guest.nothing_more()
        await guest.ask("leave-room")
        await guest.nothing_more()


async def test_drop_before_the_reply_to_a_join(daemon: Daemon) -> None:
    """The seat of a client that drops before the reply to its join is held, and not active for ever."""
    room = await daemon.room()
    view: dict[str, dict[str, Any]] = {}
    async with daemon.client("alice") as host:
        await host.join(room["code"])
        async with daemon.client("bob") as bob:
            await bob.send("join-room", code=room["code"])
            await hang_up(bob)
        while not view or any(who["isActive"] for who in view.values()):
            follow(view, await host.receive())
        assert [who["userId"] for who in view.values()] == ["bob"]


async def test_the_holds_of_many_seats_run_out(steered: InProcess) -> None:
    """Nine holds run out at the same time, and only the host is left in the room."""
    room = await steered.room(maxParticipants=10)
    async with steered.client("alice") as host:
        await host.join(room["code"])
        view: dict[str, dict[str, Any]] = {}
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(9):
                await (await stack.enter_async_context(steered.client())).join(room["code"], **JANE)
        while len(view) < 9 or any(who["isActive"] for who in view.values()):
            follow(view, await host.receive())
        steered.advance(SEAT_HOLD)
        gone = 0
        while gone < 9:
            event = await host.receive()
            follow(view, event)
            gone += len(event["left"])
        assert view == {}
        state = await host.ask("get-room", code=room["code"])
        assert state["room"]["participantCount"] == 1
