"""Clients that wait drop and return, or are in two rooms at once, as clients see it: docs/protocol.md, section 8."""

import asyncio
import contextlib
import signal
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.daemon import SEAT_HOLD, Client, Daemon, error
from tests.support.in_process import MakeInProcess
from tests.support.scenes import FULL, JANE, LOBBY, OK, Scene, events_of, seated

MakeDaemon = Callable[..., Daemon]


# Returning.


@pytest.mark.parametrize("user", [None, "bob"], ids=["guest", "user"])
async def test_drop_and_resume_while_waiting(scene: Scene, user: str | None) -> None:
    """The token takes the place back at its position; hosts receive who is away; an old token is superseded."""
    client, answer = await scene.waiter(user)
    other, _ = await scene.waiter()
    await scene.queue()
    client.websocket.transport.abort()
    assert [who["isActive"] for who in (await scene.host.receive())["waiting"]] == [False, True]
    async with scene.daemon.client(user) as back:
        reply = await back.ask("resume", resumeToken=answer["resumeToken"])
        again = {"participantId": answer["participantId"], "position": 1, "reason": scene.why}
        assert reply == {"type": "waiting", **again, "resumeToken": reply["resumeToken"]}
        assert [who["isActive"] for who in (await scene.host.receive())["waiting"]] == [True, True]
        assert await other.events() == []
        last = await back.ask("resume", resumeToken=reply["resumeToken"])
        async with scene.daemon.client(user) as late:
            assert await late.ask("resume", resumeToken=answer["resumeToken"]) == error("taken_over")
        await scene.free()
        frame = await back.receive()
        assert (frame["type"], frame["id"], frame["resumeToken"]) == ("participant", 2, last["resumeToken"])


async def test_a_waiting_user_joins_again(scene: Scene) -> None:
    """A user who joins again takes the place over; the connection that had it is closed with 4409."""
    first, answer = await scene.waiter("bob")
    second, again = await scene.waiter("bob")
    assert again == {**answer, "resumeToken": again["resumeToken"]}
    assert again["resumeToken"] != answer["resumeToken"]
    assert await first.closed() == 4409
    third = await scene.wait(second)
    assert third == {**answer, "resumeToken": third["resumeToken"]}, "the connection that waits may join again"
    await scene.free()
    assert (await seated(second))["resumeToken"] == third["resumeToken"]


async def test_a_waiting_guest_joins_again(scene: Scene) -> None:
    """The connection that waits may join again and keeps its place; a guest of the same name gets another one."""
    client, answer = await scene.waiter()
    again = await scene.wait(client)
    assert again == {**answer, "resumeToken": again["resumeToken"]}
    other, another = await scene.waiter()
    assert (another["position"], another["participantId"] != answer["participantId"]) == (2, True)
    await scene.free()
    await seated(client)
    assert [event["position"] for event in await other.events()] == [1]


async def test_the_hold_of_a_place_runs_out(make_in_process: MakeInProcess, stack: contextlib.AsyncExitStack) -> None:
    """After the hold a place is released and the others move up; so is a seat that was given to an absent client."""
    daemon = make_in_process()
    scene = await Scene(daemon, stack).set(FULL)
    gone, answer = await scene.waiter()
    other, _ = await scene.waiter()
    last, _ = await scene.waiter()
    gone.websocket.transport.abort()
    while [one["isActive"] for one in (await scene.host.receive())["waiting"]] != [False, True, True]:
        pass
    daemon.advance(SEAT_HOLD)
    assert [(await client.receive())["position"] for client in (other, last)] == [1, 2]
    assert await other.ask("resume", resumeToken=answer["resumeToken"]) == error("seat_expired")
    await scene.queue()
    other.websocket.transport.abort()
    while [one["isActive"] for one in (await scene.host.receive())["waiting"]] != [False, True]:
        pass
    await scene.free()
    assert (await last.receive())["position"] == 1, "the seat is held for the one who was first"
    daemon.advance(SEAT_HOLD)
    assert (await seated(last))["participant"]["isActive"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["SIGTERM", "kill -9"])
async def test_waiting_over_a_restart(
    make_daemon: MakeDaemon, stack: contextlib.AsyncExitStack, number: signal.Signals
) -> None:
    """After a restart and after a crash clients have their positions in the queue, and can be admitted."""
    daemon = make_daemon()
    scenes = [await Scene(daemon, stack).set(why) for why in (FULL, LOBBY)]
    people = [[await scene.waiter(user) for user in (None, "bob", None)] for scene in scenes]
    await asyncio.to_thread(daemon.stop, number)
    daemon.start()
    for scene, waiting in zip(scenes, people, strict=True):
        await check_all_come_back(scene, waiting)


async def check_all_come_back(scene: Scene, people: list[tuple[Client, dict[str, Any]]]) -> None:
    """Have three who waited, a user between two guests, return, check their positions, and admit them."""
    back: dict[int, Client] = {}
    for place in (2, 0):
        back[place] = await scene.connect()
        reply = await back[place].ask("resume", resumeToken=people[place][1]["resumeToken"])
        assert (reply["participantId"], reply["position"]) == (people[place][1]["participantId"], place + 1)
    back[1] = await scene.connect("bob")
    assert (await scene.wait(back[1]))["position"] == 2
    scene.host = await scene.connect("alice")
    seat = await scene.host.join(scene.code)
    assert await scene.queue() == [answer["participantId"] for _, answer in people]
    assert len(seat["state"]["participants"]) == 2
    await scene.do("update-room", maxParticipants=50, waitingRoom=False)
    joined = (await scene.host.receive())["joined"]
    assert [who["id"] for who in joined] == [answer["participantId"] for _, answer in people]
    assert [(await back[place].receive())["type"] for place in range(3)] == ["participant"] * 3


# Two rooms at once.


async def test_a_seat_in_one_room_and_a_place_in_another(scene: Scene) -> None:
    """A connection may have a seat in one room and wait in another; when it gets a seat there, it leaves the first."""
    room = await scene.daemon.room("zoe")
    client = await scene.connect()
    watch = await scene.connect("zoe")
    await watch.join(room["code"])
    seat = (await client.join(room["code"], **JANE))["participant"]
    answer = await scene.wait(client)
    assert answer["type"] == "waiting"
    assert await client.ask("send-message", text="still here") == OK
    assert (await client.receive())["message"]["participantId"] == seat["id"]
    await scene.free()
    assert (await seated(client))["participant"]["id"] == answer["participantId"]
    changes = await events_of(watch, "participants-changed")
    while not changes[-1]["left"]:
        changes += await events_of(watch, "participants-changed")
    assert [who["id"] for who in changes[-1]["left"]] == [seat["id"]]
    await watch.ask("send-message", text="heard by those who are in it")
    assert await events_of(client, "message") == []


async def test_waiting_in_one_room_after_another(scene: Scene) -> None:
    """A connection waits in one room at most; joining a second queue or taking a seat elsewhere ends its waiting."""
    room, third = await scene.daemon.room("zoe", waitingRoom=True), await scene.daemon.room("zoe")
    client, first = await scene.waiter()
    second = await scene.wait(client, room["code"])
    assert second["type"] == "waiting"
    assert await client.ask("resume", resumeToken=first["resumeToken"]) == error("seat_expired")
    assert await scene.queue() == []
    async with scene.daemon.client("zoe") as zoe:
        await zoe.join(room["code"])
        assert [one["participantId"] for one in (await zoe.receive())["waiting"]] == [second["participantId"]]
        await client.join(third["code"], **JANE)
        assert (await zoe.receive())["waiting"] == []
    assert await client.ask("resume", resumeToken=second["resumeToken"]) == error("seat_expired")


async def test_leaving_a_seat_and_then_a_place(scene: Scene) -> None:
    """The first `leave-room` releases the seat, the second one the place in the queue of another room."""
    room = await scene.daemon.room("zoe")
    client = await scene.connect()
    seat = (await client.join(room["code"], **JANE))["participant"]
    place = await scene.wait(client)
    left = [(await client.ask("leave-room"))["participant"]["id"] for _ in range(2)]
    assert left == [seat["id"], place["participantId"]]
    assert await client.ask("leave-room") == error("not_in_room")
