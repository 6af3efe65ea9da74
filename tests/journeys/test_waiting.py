"""The waiting room and waiting for a seat, as clients see it: docs/protocol.md, section 8, "Waiting"."""

import asyncio
import contextlib
from typing import Any

import pytest

from tests.support.daemon import Daemon, error
from tests.support.scenes import FULL, JANE, LOBBY, OK, Scene, events_of, seated


@pytest.fixture
async def full(daemon: Daemon, stack: contextlib.AsyncExitStack) -> Scene:
    """A full room."""
    return await Scene(daemon, stack).set(FULL)


@pytest.fixture
async def lobby(daemon: Daemon, stack: contextlib.AsyncExitStack) -> Scene:
    """A room with its waiting room on."""
    return await Scene(daemon, stack).set(LOBBY)


@pytest.mark.parametrize("user", [None, "bob"], ids=["guest", "user"])
async def test_wait_and_get_a_seat(scene: Scene, user: str | None) -> None:
    """`waiting` answers the join; then come `participant`, with its `id` and the same token, and `room-state`."""
    client, answer = await scene.waiter(user)
    key, token = answer["participantId"], answer["resumeToken"]
    expected = {"type": "waiting", "id": "join", "participantId": key, "position": 1, "reason": scene.why}
    assert answer == {**expected, "resumeToken": token}
    (told,) = await events_of(scene.host, "waiting-changed")
    entry = told["waiting"][0]
    name = "bob" if user else "Jane"
    assert told == {
        "type": "waiting-changed",
        "waiting": [
            {
                "participantId": key,
                "userId": user,
                "guestName": None if user else "Jane",
                "displayName": name,
                "isActive": True,
                "position": 1,
                "reason": scene.why,
                "waitingSince": entry["waitingSince"],
            }
        ],
    }
    assert (await scene.do("get-room"))["room"]["participantCount"] == 2
    await scene.free()
    reply = await seated(client)
    person = reply["participant"]
    assert (person["id"], person["isActive"], person["leftAt"], person["displayName"]) == (key, True, None, name)
    assert person["joinedAt"] >= entry["waitingSince"]
    assert reply == {"type": "participant", "participant": person, "resumeToken": token, "state": reply["state"]}
    if scene.why == FULL:
        events = await scene.host.events()
        assert [event["type"] for event in events] == ["participants-changed", "waiting-changed"]
        assert (events[0]["joined"], events[1]["waiting"]) == ([person], [])
    async with scene.daemon.client(user) as back:
        assert (await back.ask("resume", resumeToken=token))["participant"]["id"] == key
        assert await client.closed() == 4409


async def test_hosts_and_admins_do_not_wait_in_the_waiting_room(lobby: Scene) -> None:
    """The host and admins join at once, also over a second connection; in a full room they wait like others."""
    admin = lobby.daemon.token("root", roomd={"admin": True})
    async with lobby.daemon.client("alice") as again, lobby.daemon.client(token=admin) as boss:
        await again.join(lobby.code)
        await boss.join(lobby.code)
        await again.events()
        await again.ask("update-room", code=lobby.code, maxParticipants=2)
        await again.events()
        await boss.events()
        await boss.ask("leave-room")
        assert (await boss.ask("join-room", code=lobby.code)) == error("room_full")
        answer = await lobby.wait(boss)
        assert (answer["type"], answer["reason"]) == ("waiting", FULL)


async def test_refused_joins_do_not_wait(lobby: Scene) -> None:
    """A join that would be refused does not wait: a banned user's, a guest's without guest access, in a locked room."""
    bob, answer = await lobby.waiter("bob")
    assert await lobby.do("remove-participant", answer, ban=True) == OK
    assert await bob.receive() == error("denied", id="join")
    assert await lobby.wait(bob) == error("banned", id="join")
    guest = await lobby.connect()
    await lobby.do("update-room", isLocked=True)
    assert await lobby.wait(guest) == error("room_locked", id="join")
    await lobby.do("update-room", allowGuestAccess=False)
    assert await lobby.wait(guest) == error("guests_not_allowed", id="join")
    assert await lobby.queue() == []


# How waiting ends.


async def test_denied(scene: Scene) -> None:
    """403 with the `id` of the join; the connection stays open and waits before it knocks again; the token is void."""
    client, answer = await scene.waiter()
    other, _ = await scene.waiter()
    assert await scene.do("deny-participant", answer) == OK
    assert await client.receive() == error("denied", id="join")
    assert await other.receive() == {"type": "waiting", **only(await scene.queue(), 1, scene.why)}
    assert await client.ask("resume", resumeToken=answer["resumeToken"]) == error("seat_expired")
    assert await client.ask("leave-room") == error("not_in_room")
    signed_in = await client.ask("authenticate", token=scene.daemon.token("bob"))
    assert signed_in["type"] == "authenticated", "the connection has no guest any more and may become a user's"
    again = await scene.wait(client)
    assert (again["statusCode"], again["code"], again["id"]) == (429, "rate_limited", "join")
    assert 0 < again["retryAfter"] <= 30


def only(queue: list[str], position: int, reason: str) -> dict[str, Any]:
    """Build a `waiting` event, but for its type."""
    return {"participantId": queue[position - 1], "position": position, "reason": reason}


SETTINGS: dict[str, tuple[dict[str, Any], dict[str, str | None], dict[str, str | None]]] = {
    "no guests": (
        {"allowGuestAccess": False},
        {FULL: "guests_not_allowed", LOBBY: "guests_not_allowed"},
        {FULL: None, LOBBY: None},
    ),
    "locked": ({"isLocked": True}, {FULL: "room_locked", LOBBY: None}, {FULL: "room_locked", LOBBY: None}),
}


@pytest.mark.parametrize(("settings", "guests", "users"), SETTINGS.values(), ids=SETTINGS.keys())
async def test_settings_that_end_waiting(
    scene: Scene, settings: dict[str, Any], guests: dict[str, Any], users: dict[str, Any]
) -> None:
    """Whoever can no longer join gets the error, with the `id` of the join; the others move up."""
    guest, _ = await scene.waiter()
    bob, place = await scene.waiter("bob")
    await scene.do("update-room", **settings)
    for client, code in ((guest, guests[scene.why]), (bob, users[scene.why])):
        expected = [error(code, id="join")] if code else []
        if client is bob and not code and guests[scene.why]:
            expected = [{"type": "waiting", **only([place["participantId"]], 1, scene.why)}]
        assert await client.events() == expected


async def test_the_room_ends(scene: Scene) -> None:
    """400 `room_inactive` with the `id` of the join; the token is no longer valid."""
    client, answer = await scene.waiter()
    assert (await scene.do("end-room"))["type"] == "room"
    assert await client.receive() == error("room_inactive", id="join")
    await client.nothing_more()
    assert await client.ask("resume", resumeToken=answer["resumeToken"]) == error("seat_expired")


async def test_leaving_the_queue(scene: Scene) -> None:
    """`leave-room` ends waiting: `participant` with `leftAt`; the others move up; the history lists no participant."""
    client, answer = await scene.waiter("bob")
    other, _ = await scene.waiter()
    reply = await client.ask("leave-room")
    assert (reply["type"], reply["participant"]["id"]) == ("participant", answer["participantId"])
    assert (reply["participant"]["isActive"], reply["participant"]["leftAt"] is not None) == (False, True)
    assert await other.receive() == {"type": "waiting", **only(await scene.queue(), 1, scene.why)}
    history = await scene.do("list-participants", history=True)
    assert answer["participantId"] not in [who["id"] for who in history["participants"]]
    assert await client.ask("leave-room") == error("not_in_room")
    assert await client.ask("resume", resumeToken=answer["resumeToken"]) == error("seat_expired")


async def test_the_waiting_room_is_turned_off(lobby: Scene) -> None:
    """Clients in the waiting room get the free seats in order; the others wait for one."""
    people = [await lobby.waiter() for _ in range(4)]
    await lobby.do("update-room", waitingRoom=False, maxParticipants=4)
    for client, answer in people[:2]:
        assert (await seated(client))["participant"]["id"] == answer["participantId"]
    queue = await lobby.queue()
    assert queue == [answer["participantId"] for _, answer in people[2:]]
    for position, (client, _) in enumerate(people[2:], 1):
        assert await client.receive() == {"type": "waiting", **only(queue, position, FULL)}


async def test_admit_all(lobby: Scene) -> None:
    """`admit-all` admits the whole waiting room in one batch; with an empty waiting room it is `ok`."""
    people = [await lobby.waiter() for _ in range(5)]
    assert await lobby.do("admit-all") == OK
    event = await lobby.host.receive()
    assert await lobby.queue() == []
    assert [who["id"] for who in event["joined"]] == [answer["participantId"] for _, answer in people]
    for client, _ in people:
        assert len((await seated(client))["state"]["participants"]) == 7
    assert await lobby.do("admit-all") == OK
    for type_ in ("admit-participant", "deny-participant"):
        assert await lobby.do(type_, people[0][1]) == error("participant_not_found")
    await lobby.host.nothing_more()


async def test_the_order_of_those_admitted(lobby: Scene) -> None:
    """`room-state` is in the order in which seats were taken, lists and history in the order of the joins."""
    people = [await lobby.waiter() for _ in range(3)]
    for _, answer in reversed(people):
        assert await lobby.do("admit-participant", answer) == OK
    order = [answer["participantId"] for _, answer in reversed(people)]
    async with lobby.daemon.client("alice") as again:
        seat = await again.join(lobby.code)
        assert [who["id"] for who in seat["state"]["participants"]][2:] == order
        await again.events()
        for history in (False, True):
            listed = (await again.ask("list-participants", code=lobby.code, history=history))["participants"]
            assert [who["id"] for who in listed][2:] == order[::-1]


async def test_waiting_room_of_a_full_room(lobby: Scene) -> None:
    """A client waits for the host first and then, in its place, for a seat; without `wait` it gets `room_full`."""
    await lobby.do("update-room", maxParticipants=2)
    impatient = await lobby.connect()
    assert await impatient.ask("join-room", code=lobby.code, **JANE) == error("room_full")
    client, answer = await lobby.waiter()
    other, _ = await lobby.waiter()
    key = answer["participantId"]
    assert answer["reason"] == LOBBY
    assert await lobby.do("admit-participant", answer) == OK
    assert await client.receive() == {"type": "waiting", **only([key], 1, FULL)}
    await lobby.guest.events()
    await lobby.guest.ask("leave-room")
    assert (await seated(client))["participant"]["id"] == key
    assert [event["position"] for event in await other.events()] == [1]


async def test_first_come_first_served(full: Scene) -> None:
    """Seats go to clients in the order of the queue, each new `position` is sent, and newcomers get no seat."""
    people = [await full.waiter() for _ in range(4)]
    assert [answer["position"] for _, answer in people] == [1, 2, 3, 4]
    keys = [answer["participantId"] for _, answer in people]
    sitting = full.guest
    for number, (client, _) in enumerate(people):
        newcomer = await full.connect()
        await sitting.events()
        await asyncio.gather(sitting.send("leave-room"), newcomer.send("join-room", id=1, code=full.code, **JANE))
        assert await newcomer.receive() == error("room_full", id=1)
        assert (await seated(client))["participant"]["id"] == keys[number]
        for behind, (other, _) in enumerate(people[number + 1 :], 1):
            assert await other.events() == [{"type": "waiting", **only(keys[number + 1 :], behind, FULL)}]
        sitting = client


async def test_waiting_clients_are_not_in_the_room(scene: Scene) -> None:
    """Waiting clients receive no events of the room and may do nothing in it; participants receive none about them."""
    client, _ = await scene.waiter()
    guest, _ = await scene.waiter()
    seq = len(await events_of(scene.guest, "participants-changed"))
    await scene.guest.ask("send-message", text="hello")
    await scene.guest.events()
    await scene.guest.ask("update-participant", state={"muted": True})
    for type_, fields in (
        ("send-message", {"text": "x"}),
        ("update-participant", {"state": {}}),
        ("signal", {"to": "x", "data": 1}),
        ("get-ice-servers", {}),
        ("list-bans", {}),
        ("list-participants", {"code": scene.code}),
        ("list-messages", {"code": scene.code}),
    ):
        assert await client.ask(type_, **fields) == error("not_in_room"), type_
    assert (seq, await guest.events()) == (0, [])
    assert await client.ask("admit-all", code=scene.code) == error("not_host")
    assert {event["type"] for event in await scene.guest.events()} <= {"participants-changed"}
    state = (await scene.guest.ask("list-participants", code=scene.code))["participants"]
    assert len(state) == 2


async def test_a_hundred_wait(lobby: Scene) -> None:
    """A hundred may wait; the next gets `room_full`, until one is denied; `admit-all` admits all of them."""
    await lobby.do("update-room", maxParticipants=200)
    clients = [await lobby.connect(f"u{number}") for number in range(101)]
    answers = [await lobby.wait(client) for client in clients]
    assert [answer["position"] for answer in answers[:100]] == list(range(1, 101))
    assert answers[100] == error("room_full", "100 people wait already", id="join") | {
        "message": "100 people wait already"
    }
    await lobby.host.events()
    await lobby.host.ask("deny-participant", participantId=answers[0]["participantId"])
    assert (await lobby.wait(clients[100]))["position"] == 100
    assert await lobby.do("admit-all") == OK
    for client in clients[1:]:
        frames = await client.events()
        assert [frame["type"] for frame in frames][-2:] == ["participant", "room-state"]
        assert len(frames[-1]["participants"]) == 102
