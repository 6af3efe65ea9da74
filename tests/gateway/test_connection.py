"""A conversation on a fake socket, where every await can be cut and every outage staged."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
from roomd.gateway.desk import Services

from roomd.auth.tokens import Policy, mint
from roomd.config import LimitsConfig
from roomd.engine.hub import Hub
from roomd.gateway.connection import BAD_TOKEN_GRACE, Connection
from roomd.gateway.websocket import Door
from roomd.ice import Ice
from roomd.rooms import commands
from roomd.rooms.commands import Caller, Settings
from roomd.rooms.settings import Rules
from roomd.storage.sqlite import Store
from roomd.system.ids import Ids
from tests.support.fakes import SECRET, START, FakeClock, FakeKeys, FakeStore, FakeWebsocket

HOLD = 30.0


class Stage:
    """Everything a connection shares, steerable, and a room of Alice's for three."""

    def __init__(self, **limits: Any) -> None:
        self.store = FakeStore()
        self.clock = FakeClock()
        self.keys = FakeKeys()
        self.hub = Hub(self.store, Rules(HOLD, 100), self.clock, Ids())
        self.services = Services(
            self.hub,
            cast("Store", self.store),
            self.keys,
            Policy(["HS256"], leeway=10),
            self.clock,
            Ids(),
            LimitsConfig(**limits),
            Ice(),
            itertools.count(1),
        )
        self.code = ""
        self.clients: list[Client] = []

    async def open(self) -> "Stage":
        self.code = (await self.hub.create(Settings(max_participants=3), "alice")).code
        return self

    def connect(self, token: str | None = None) -> "Client":
        self.clients.append(Client(self, token))
        return self.clients[-1]

    async def close(self) -> None:
        """End every conversation."""
        for client in self.clients:
            client.task.cancel()
        await asyncio.gather(*(client.task for client in self.clients), return_exceptions=True)
        await self.idle()

    async def idle(self) -> None:
        """Wait until no turn is under way."""
        for _ in range(5):
            await asyncio.sleep(0)
        while self.hub._tasks:
            await asyncio.wait(self.hub._tasks, timeout=5)

    async def people(self) -> dict[str, Any]:
        """Who has a seat, as the room says."""
        listed = await self.hub.ask(self.code, commands.List(Caller(user_id="alice"), history=False))
        return {p.id: p for p in listed.participants}

    async def kept(self) -> dict[str, Any]:
        """Who has a seat, as the store says."""
        room_id = next(iter(self.store.rooms))
        people, _ = await self.store.history(room_id, None, 1000)
        return {p.id: p for p in people if p.left_at is None}

    def queues(self) -> dict[str, list[str]]:
        """Who waits in which room, as the rooms say; whoever is gone is in no place to be told."""
        lives = [live for live in self.hub._rooms.values() if live.room is not None]
        for live in lives:
            assert live.room is not None
            assert live.audience.waiters.keys() <= live.room.queue.keys()
        return {live.code: list(live.room.queue) for live in lives if live.room is not None and live.room.queue}

    def kept_queues(self) -> dict[str, list[str]]:
        """Who waits in which room, as the store says."""
        queues: dict[str, list[str]] = {}
        for (room_id, key), seat in sorted(self.store.people.items(), key=lambda item: item[0][1]):
            if seat.waits_for is not None and seat.participant.left_at is None:
                queues.setdefault(self.store.rooms[room_id].code, []).append(key)
        return queues

    def token(self, user: str, ttl: float = 3600) -> str:
        return mint(SECRET, user=user, ttl=ttl, now=START)


class Client:
    """A connection under test and the client at its other end."""

    def __init__(self, stage: Stage, token: str | None) -> None:
        self.stage = stage
        self.websocket = FakeWebsocket()
        self.connection = Connection(len(stage.clients) + 1, cast("Door", self.websocket), stage.services, token)
        self.task = asyncio.create_task(self.connection.serve())
        self.view: dict[str, Any] = {}

    async def ask(self, type_: str, **fields: Any) -> list[dict[str, Any]]:
        """Send a frame and return all that was written since the last look."""
        self.websocket.send(type_, **fields)
        await self.stage.idle()
        return self.heard()

    def heard(self) -> list[dict[str, Any]]:
        """Take what was written; keep the view of the room up to date."""
        frames = self.websocket.transport.frames()
        for frame in frames:
            if frame["type"] == "room-state":
                self.view = {p["id"]: p for p in frame["participants"]}
            elif frame["type"] == "participants-changed":
                self.view |= {p["id"]: p for p in frame["joined"] + frame["updated"]}
                for p in frame["left"]:
                    del self.view[p["id"]]
        return frames

    async def end(self) -> None:
        self.websocket.go()
        await self.task
        await self.stage.idle()


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    stage = await Stage().open()
    yield stage
    await stage.close()


JOURNEYS: list[list[tuple[str, dict[str, Any]]]] = [
    [("join-room", {"guestName": "Jane"})],
    [("join-room", {"guestName": "Jane"}), ("leave-room", {})],
    [("join-room", {"guestName": "Jane"}), ("join-room", {"guestName": "Jane"})],
]


@pytest.mark.parametrize("journey", JOURNEYS, ids=["join", "join and leave", "join twice"])
@pytest.mark.parametrize("token", [None, "alice"], ids=["guest", "user"])
async def test_cancelling_a_client_at_every_await(journey: list[tuple[str, Any]], token: str | None) -> None:
    """Wherever a client is cut off, room, store and the others' views agree, and no ghost outlives the window."""
    done = False
    steps = 0
    while not done:
        stage = await Stage().open()
        other = stage.connect()
        await other.ask("join-room", code=stage.code, guestName="Other")
        cut = stage.connect(stage.token(token) if token else None)
        for type_, fields in journey:
            cut.websocket.send(type_, **({"code": stage.code} if type_ == "join-room" else {}), **fields)
        cut.websocket.send("ping")
        for _ in range(steps):
            await asyncio.sleep(0)
        done = any(frame["type"] == "pong" for frame in cut.heard())
        cut.task.cancel()
        await asyncio.gather(cut.task, return_exceptions=True)
        await stage.idle()
        other.heard()
        await _agrees(stage, other)
        assert sum(not p.is_active for p in (await stage.people()).values()) <= 1
        stage.clock.advance(HOLD)
        await stage.idle()
        other.heard()
        await _agrees(stage, other)
        assert [p.guest_name for p in (await stage.people()).values()] == ["Other"]
        (reply, _) = await stage.connect().ask("join-room", code=stage.code, guestName="Next")
        assert reply["type"] == "participant"
        await stage.close()
        steps += 1
    assert steps > 6, "there were awaits to be cut at"


async def test_what_was_read_is_served_before_what_comes_later(stage: Stage) -> None:
    """A frame that waits for the one before it is not overtaken by one that comes just when that is done."""
    jane = stage.connect()
    await jane.ask("join-room", code=stage.code, guestName="Jane")
    stage.store.hold()
    assert jane.connection.take(b'{"type": "update-participant", "id": 1, "state": {"muted": true}}')
    first, taken = jane.connection._under_way, []
    assert first is not None
    first.add_done_callback(lambda _: taken.append(jane.connection.take(b'{"type": "ping", "id": 3}')))
    jane.websocket.send("ping", id=2)
    for _ in range(5):
        await asyncio.sleep(0)
    stage.store.let_go()
    await stage.idle()
    assert taken == [False]
    assert [frame["id"] for frame in jane.heard() if "id" in frame] == [1, 2]
    assert jane.connection.take(b'{"type": "ping", "id": 3}')


@pytest.mark.parametrize(
    ("request_", "answer"),
    [({"type": "create-room"}, "unauthenticated"), ({"type": "authenticate", "token": "x"}, "invalid_token")],
)
async def test_an_error_comes_before_what_was_asked_later(stage: Stage, request_: dict[str, Any], answer: str) -> None:
    """A request that fails is answered before the next is served, and after a bad token none is."""
    jane = stage.connect()
    jane.websocket.send(type_=request_["type"], id=1, token=request_.get("token"))
    ping = b'{"type": "ping", "id": 2}'
    while not (heard := jane.heard()):
        assert not jane.connection.take(ping), "something is under way, or about to be"
        await asyncio.sleep(0)
    assert [(frame["id"], frame["code"]) for frame in heard] == [(1, answer)]
    assert jane.connection.take(ping) is (answer == "unauthenticated")


async def _agrees(stage: Stage, other: Client) -> None:
    people = await stage.people()
    assert people == await stage.kept()
    assert stage.queues() == stage.kept_queues()
    assert other.view == {
        p.id: {
            "id": p.id, "roomId": p.room_id, "userId": p.user_id, "guestName": p.guest_name, "isActive": p.is_active,
            "isHost": p.is_host, "joinedAt": p.joined_at, "leftAt": p.left_at, "displayName": p.display_name,
            "state": p.state,
        }
        for p in people.values()
    }  # fmt: skip


# What the one who is cut sends; {here} and {there} stand for the codes. The host admits, and lets the room be full.
WAITS: dict[str, tuple[dict[str, Any], list[dict[str, Any]], list[dict[str, Any]]]] = {
    "for a seat": ({}, [{"type": "join-room", "code": "{here}", "wait": True}], []),
    "for the host": ({"waitingRoom": True, "maxParticipants": 9}, [{"type": "join-room", "code": "{here}"}], []),
    "and leaves": (
        {"waitingRoom": True, "maxParticipants": 9},
        [{"type": "join-room", "code": "{here}"}, {"type": "leave-room"}],
        [],
    ),
    "and is admitted": (
        {"waitingRoom": True, "maxParticipants": 9},
        [{"type": "join-room", "code": "{here}"}, {"type": "ping"}],
        [{"type": "ping"}] * 2 + [{"type": "admit-all"}] * 3,
    ),
    "and gets a seat": (
        {"maxParticipants": 2},
        [{"type": "join-room", "code": "{here}", "wait": True}],
        [{"type": "ping"}, {"type": "update-room", "code": "{here}", "maxParticipants": 9}],
    ),
    "and is denied by a lock": (
        {},
        [{"type": "join-room", "code": "{here}", "wait": True}, {"type": "join-room", "code": "{here}", "wait": True}],
        [{"type": "update-room", "code": "{here}", "isLocked": True}],
    ),
    "and goes elsewhere": (
        {"waitingRoom": True, "maxParticipants": 9},
        [{"type": "join-room", "code": "{here}"}, {"type": "join-room", "code": "{there}"}],
        [{"type": "admit-all"}] * 2,
    ),
    "and sits elsewhere": (
        {"waitingRoom": True, "maxParticipants": 9},
        [{"type": "join-room", "code": "{there}"}, {"type": "join-room", "code": "{here}"}],
        [{"type": "ping"}, {"type": "admit-all"}, {"type": "admit-all"}],
    ),
}


@pytest.mark.parametrize(("settings", "journey", "host"), WAITS.values(), ids=WAITS.keys())
@pytest.mark.parametrize("user", [None, "bob"], ids=["guest", "user"])
async def test_cutting_off_one_who_waits_at_every_await(
    settings: dict[str, Any], journey: list[dict[str, Any]], host: list[dict[str, Any]], user: str | None
) -> None:
    """Wherever one who waits is cut off, rooms, store and views agree, and no ghost outlives the window."""
    done = False
    steps = 0
    while not done:
        stage = await Stage().open()
        there = (await stage.hub.create(Settings(), "zoe")).code
        alice = stage.connect(stage.token("alice"))
        await alice.ask("join-room", code=stage.code)
        for name in ("carol", "dave"):
            await stage.connect(stage.token(name)).ask("join-room", code=stage.code)
        await alice.ask("update-room", code=stage.code, **settings)
        cut = stage.connect(stage.token(user) if user else None)
        for client, frames in ((cut, journey), (alice, host)):
            for frame in frames:
                fields = {key: value for key, value in frame.items() if key not in ("type", "code")}
                code = {"code": frame["code"].format(here=stage.code, there=there)} if "code" in frame else {}
                client.websocket.send(frame["type"], guestName="Jane", **code, **fields)
        cut.websocket.send("ping", id="end")
        for _ in range(steps):
            await asyncio.sleep(0)
        done = any(frame.get("id") == "end" for frame in cut.heard()) and steps > 30
        cut.task.cancel()
        await asyncio.gather(cut.task, return_exceptions=True)
        for _ in range(2):
            await stage.idle()
            alice.heard()
            await _agrees(stage, alice)
            stage.clock.advance(HOLD)
        assert {p.user_id for p in (await stage.people()).values()} == {"alice", "carol", "dave"}
        assert (stage.queues(), stage.hub.statistics()) == ({}, {"rooms": 1, "listeners": 3})
        await stage.close()
        steps += 1


async def test_a_client_that_goes_while_its_join_commits(stage: Stage) -> None:
    """The seat it is given is dropped at once: held for the window, then left."""
    stage.store.hold()
    client = stage.connect()
    client.websocket.send("join-room", code=stage.code, guestName="Jane")
    await asyncio.wait_for(stage.store.reached.wait(), 5)
    client.task.cancel()
    await asyncio.gather(client.task, return_exceptions=True)
    stage.store.let_go()
    await stage.idle()
    ((person,),) = [(await stage.people()).values()]
    assert (person.is_active, person.left_at) == (False, None)
    stage.clock.advance(HOLD)
    await stage.idle()
    assert await stage.people() == {}


async def test_requests_during_a_restart(stage: Stage) -> None:
    """Section 9: 503 `restarting` with `retryAfter`, and nothing is begun."""
    client = stage.connect()
    await client.ask("ping")
    await stage.hub.drain()
    assert await client.ask("join-room", id=1, code=stage.code, guestName="Jane") == [
        {"type": "error", "id": 1, "statusCode": 503, "code": "restarting", "message": "The server is restarting",
         "retryAfter": 2.0}
    ]  # fmt: skip
    assert await stage.people() == {}


async def test_a_bug_costs_one_reply(stage: Stage) -> None:
    """Section 9: 500 `internal_error`, never the text of the exception, and the conversation goes on."""
    client = stage.connect(stage.token("alice"))

    stage.store.broken = RuntimeError("secret text")
    assert await client.ask("list-rooms", id=1) == [
        {"type": "error", "id": 1, "statusCode": 500, "code": "internal_error", "message": "Internal error"}
    ]
    stage.store.broken = None
    assert await client.ask("ping") == [{"type": "pong"}]


async def test_pages_need_storage(stage: Stage) -> None:
    """Section 9: 503 `unavailable` when a page cannot be read; the next one can."""
    client = stage.connect(stage.token("alice"))
    stage.store.failing = True
    assert await client.ask("list-rooms", id=1) == [
        {"type": "error", "id": 1, "statusCode": 503, "code": "unavailable",
         "message": "Storage is unavailable, nothing was changed", "retryAfter": 1.0}
    ]  # fmt: skip
    stage.store.failing = False
    assert (await client.ask("list-rooms", id=1))[0]["type"] == "rooms"


async def test_keys_that_cannot_be_had(stage: Stage) -> None:
    """While the issuer's keys cannot be had a token is neither good nor bad: 503 and 1013, come back later."""
    stage.keys.unavailable = True
    client = stage.connect(stage.token("alice"))
    assert await client.ask("ping", id=1) == [
        {"type": "error", "id": 1, "statusCode": 503, "code": "unavailable",
         "message": "Storage is unavailable, nothing was changed", "retryAfter": 5.0}
    ]  # fmt: skip
    await client.task
    assert client.websocket.close_code == 1013


async def test_being_in_a_room_outlives_the_token(stage: Stage) -> None:
    """Section 2: past `exp` and leeway the token still serves the room the connection is in, and nothing else."""
    client = stage.connect(stage.token("alice", ttl=60))
    assert (await client.ask("join-room", code=stage.code))[0]["type"] == "participant"
    other = await stage.hub.create(Settings(), "alice")
    stage.clock.seconds += 71
    refused = {"type": "error", "statusCode": 401, "code": "unauthenticated", "message": "Authentication required"}
    assert await client.ask("create-room") == [refused]
    assert await client.ask("join-room", code=other.code) == [refused]
    (looked,) = await client.ask("get-room", code=other.code)
    admission = {key: value for key, value in refused.items() if key != "type"}
    assert looked["admission"] == {"allowed": False, **admission}
    assert (await client.ask("update-room", code=stage.code, isLocked=True))[0]["room"]["isLocked"] is True
    assert [f["type"] for f in await client.ask("join-room", code=stage.code)] == ["participant", "room-state"]
    assert [f["type"] for f in await client.ask("leave-room")] == ["participant"]
    assert await client.ask("join-room", code=stage.code) == [refused]
    renewed = mint(SECRET, user="alice", ttl=60, now=stage.clock.wall())
    assert (await client.ask("authenticate", token=renewed))[0]["type"] == "authenticated"
    assert (await client.ask("create-room"))[0]["type"] == "room"


async def test_a_bad_token_and_silence(stage: Stage) -> None:
    """Section 2: never a guest; who says nothing is told after a moment."""
    assert BAD_TOKEN_GRACE <= 1
    client = stage.connect("garbage")
    await asyncio.wait_for(client.task, 5)
    assert client.heard() == [
        {"type": "error", "statusCode": 401, "code": "invalid_token", "message": "Token is not valid"}
    ]
    assert client.websocket.close_code == 4401


async def test_nothing_is_written_after_a_close(stage: Stage) -> None:
    """RFC 6455, section 5.5.1: no data after the close frame, whatever the room still has to tell."""
    first, second = stage.connect(stage.token("alice")), stage.connect()
    await first.ask("join-room", code=stage.code)
    first.websocket.state = first.websocket.state.CLOSING
    await second.ask("join-room", code=stage.code, guestName="Jane")
    assert first.heard() == []


async def test_a_rate_that_is_kept_past_the_limit() -> None:
    """Section 9: 429 with `retryAfter` and the request's id, then 4429."""
    stage = await Stage(request_rate=10.0, request_burst=20).open()
    client = stage.connect()
    for number in range(23):
        client.websocket.send("ping", id=number)
    await stage.idle()
    for _ in range(100):
        await asyncio.sleep(0)
    refused = {"type": "error", "statusCode": 429, "code": "rate_limited", "message": "Too many requests"}
    frames = client.heard()
    assert frames[:20] == [{"type": "pong", "id": n} for n in range(20)]
    assert frames[20:] == [{**refused, "retryAfter": 0.1, "id": n} for n in range(20, 23)]
    await client.task
    assert client.websocket.close_code == 4429
