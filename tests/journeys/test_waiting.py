"""The waiting room and waiting for a seat: docs/protocol.md, section 8, "Waiting", from a client's side."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.support.daemon import Client, Daemon, error

JANE = {"guestName": "Jane"}
OK = {"type": "ok"}
FULL = "room_full"
LOBBY = "waiting_room"
ROOM_REQUESTS = {"update-room", "end-room", "get-room", "list-participants"}


class Scene:
    """A room with its host and a guest in it, full or with its waiting room on."""

    def __init__(self, daemon: Daemon, stack: contextlib.AsyncExitStack) -> None:
        self.daemon = daemon
        self.stack = stack

    async def set(self, why: str) -> "Scene":
        self.code = (await self.daemon.room(maxParticipants=2 if why == FULL else 50, waitingRoom=why == LOBBY))["code"]
        self.why = why
        self.shown: list[str] = []
        self.host = await self.connect("alice")
        await self.host.join(self.code)
        self.guest = await self.connect()
        await self.guest.ask("join-room", code=self.code, guestName="Joan")
        await self.do("admit-all")
        await self.guest.events()
        await self.queue()
        return self

    async def connect(self, user: str | None = None) -> Client:
        return await self.stack.enter_async_context(self.daemon.client(user))

    async def waiter(self, user: str | None = None) -> tuple[Client, dict[str, Any]]:
        """A client that waits, by the join with id "join", and the answer it got."""
        client = await self.connect(user)
        return client, await self.wait(client)

    async def wait(self, client: Client, code: str | None = None) -> dict[str, Any]:
        await client.send("join-room", id="join", code=code or self.code, wait=True, **JANE)
        return await client.receive()

    async def do(self, type_: str, who: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
        """Have the host ask for something, about one who waits or not."""
        await self.queue()
        if who is not None:
            fields["participantId"] = who["participantId"]
        return await self.host.ask(type_, **({"code": self.code} if type_ in ROOM_REQUESTS else {}), **fields)

    async def queue(self) -> list[str]:
        """Who waits, as the host was told by now."""
        for event in await heard(self.host, "waiting-changed"):
            assert [one["position"] for one in event["waiting"]] == list(range(1, len(event["waiting"]) + 1))
            self.shown = [one["participantId"] for one in event["waiting"]]
        return self.shown

    async def free(self) -> None:
        """Let whoever is first come in."""
        if self.why == FULL:
            await self.guest.events()
            await self.guest.ask("leave-room")
        else:
            assert await self.do("admit-participant", {"participantId": (await self.queue())[0]}) == OK


@pytest.fixture
async def stack() -> AsyncIterator[contextlib.AsyncExitStack]:
    async with contextlib.AsyncExitStack() as stack:
        yield stack


@pytest.fixture(params=[FULL, LOBBY])
async def scene(daemon: Daemon, stack: contextlib.AsyncExitStack, request: Any) -> Scene:
    """Both kinds of waiting."""
    return await Scene(daemon, stack).set(request.param)


@pytest.fixture
async def full(daemon: Daemon, stack: contextlib.AsyncExitStack) -> Scene:
    """A full room."""
    return await Scene(daemon, stack).set(FULL)


@pytest.fixture
async def lobby(daemon: Daemon, stack: contextlib.AsyncExitStack) -> Scene:
    """A room with its waiting room on."""
    return await Scene(daemon, stack).set(LOBBY)


async def heard(client: Client, *lists: str) -> list[dict[str, Any]]:
    """Take the events of these types."""
    return [event for event in await client.events() if event["type"] in lists]


async def seated(client: Client) -> dict[str, Any]:
    """Wait for the answer that lets a waiter in, with the `id` of the join, and the `room-state` after it."""
    reply = await client.receive()
    assert (reply["type"], reply.pop("id")) == ("participant", "join"), reply
    reply["state"] = await client.receive()
    assert reply["participant"] in reply["state"]["participants"]
    return reply


@pytest.mark.parametrize("user", [None, "bob"], ids=["guest", "user"])
async def test_waiting(scene: Scene, user: str | None) -> None:
    """`waiting` answers the join; then come `participant`, with its `id` and the same token, and `room-state`."""
    client, answer = await scene.waiter(user)
    key, token = answer["participantId"], answer["resumeToken"]
    expected = {"type": "waiting", "id": "join", "participantId": key, "position": 1, "reason": scene.why}
    assert answer == {**expected, "resumeToken": token}
    (told,) = await heard(scene.host, "waiting-changed")
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
    scene.shown = [key]
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


async def test_the_host_need_not_wait(lobby: Scene) -> None:
    """The host, an admin and who has a seat already come in at once; in a full room hosts wait like anyone."""
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


async def test_checks_come_first(lobby: Scene) -> None:
    """Who would be refused is refused, and does not wait: a banned one, a guest where none may come, a locked door."""
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


# The ways out.


async def test_denied(scene: Scene) -> None:
    """403 with the `id` of the join; the connection lives on and may ask again; the token is dead."""
    client, answer = await scene.waiter()
    other, _ = await scene.waiter()
    assert await scene.do("deny-participant", answer) == OK
    assert await client.receive() == error("denied", id="join")
    assert await other.receive() == {"type": "waiting", **only(await scene.queue(), 1, scene.why)}
    assert await client.ask("resume", resumeToken=answer["resumeToken"]) == error("seat_expired")
    assert await client.ask("leave-room") == error("not_in_room")
    signed_in = await client.ask("authenticate", token=scene.daemon.token("bob"))
    assert signed_in["type"] == "authenticated", "no guest's any more, the connection may be a user's"
    again = await scene.wait(client)
    assert (again["position"], again["participantId"] != answer["participantId"]) == (2, True)


def only(queue: list[str], position: int, reason: str) -> dict[str, Any]:
    """Word the rest of a `waiting` event."""
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
async def test_settings(scene: Scene, settings: dict[str, Any], guests: dict[str, Any], users: dict[str, Any]) -> None:
    """Who can no longer come in is told why, with the `id` of the join; the others move up."""
    guest, _ = await scene.waiter()
    bob, place = await scene.waiter("bob")
    await scene.do("update-room", **settings)
    for client, code in ((guest, guests[scene.why]), (bob, users[scene.why])):
        expected = [error(code, id="join")] if code else []
        if client is bob and not code and guests[scene.why]:
            expected = [{"type": "waiting", **only([place["participantId"]], 1, scene.why)}]
        assert await client.events() == expected


async def test_the_room_ends(scene: Scene) -> None:
    """400 `room_inactive` with the `id` of the join; the token is dead."""
    client, answer = await scene.waiter()
    assert (await scene.do("end-room"))["type"] == "room"
    assert await client.receive() == error("room_inactive", id="join")
    await client.nothing_more()
    assert await client.ask("resume", resumeToken=answer["resumeToken"]) == error("seat_expired")


async def test_leaving(scene: Scene) -> None:
    """`leave-room` gives the place up: `participant` with `leftAt`; the others move up; nobody was ever in the room."""
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
    """Those who waited for the host come in, as many as there are seats; the rest wait for one."""
    people = [await lobby.waiter() for _ in range(4)]
    await lobby.do("update-room", waitingRoom=False, maxParticipants=4)
    for client, answer in people[:2]:
        assert (await seated(client))["participant"]["id"] == answer["participantId"]
    queue = await lobby.queue()
    assert queue == [answer["participantId"] for _, answer in people[2:]]
    for position, (client, _) in enumerate(people[2:], 1):
        assert await client.receive() == {"type": "waiting", **only(queue, position, FULL)}


async def test_admit_all(lobby: Scene) -> None:
    """Everybody who waits for the host comes in, in one turn; then there is nobody to admit, which is fine."""
    people = [await lobby.waiter() for _ in range(5)]
    assert await lobby.do("admit-all") == OK
    events = await lobby.host.events()
    assert [event["type"] for event in events] == ["participants-changed", "waiting-changed"]
    assert [who["id"] for who in events[0]["joined"]] == [answer["participantId"] for _, answer in people]
    for client, _ in people:
        assert len((await seated(client))["state"]["participants"]) == 7
    assert await lobby.do("admit-all") == OK
    for type_ in ("admit-participant", "deny-participant"):
        assert await lobby.do(type_, people[0][1]) == error("participant_not_found")
    await lobby.host.nothing_more()


async def test_the_order_of_those_admitted(lobby: Scene) -> None:
    """`room-state` has the order they took their seats in, lists and history the order they came in."""
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


async def test_both(lobby: Scene) -> None:
    """Who meets both waits for the host first and then, at the same place, for a seat; without `wait` it is full."""
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
    """Seats go to the longest waiting, in order, and `position` is told as it changes; nobody overtakes."""
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


# Seeing and being seen.


async def test_outside(scene: Scene) -> None:
    """Those who wait see nothing of the room, may do nothing in it, and the room sees nothing of them."""
    client, _ = await scene.waiter()
    guest, _ = await scene.waiter()
    seq = len(await heard(scene.guest, "participants-changed"))
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


# Many.


async def test_a_hundred(lobby: Scene) -> None:
    """A hundred wait; the next is refused with `room_full`; one who is denied makes room; all come in at once."""
    await lobby.do("update-room", maxParticipants=200)
    clients = [await lobby.connect() for _ in range(101)]
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
