"""Conversations on sockets without a network, a steerable store and a clock, and whether all of them agree."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import msgspec

from roomd.auth.orders import TokenOrder
from roomd.auth.tokens import mint
from roomd.engine.hub import Hub
from roomd.gateway.connection import Connection
from roomd.gateway.connection_log import ConnectionLog
from roomd.gateway.outbox import encode_frame
from roomd.limits.addresses import Proxies
from roomd.limits.ledgers import Ledgers
from roomd.limits.usage import Usage
from roomd.rooms import commands
from roomd.rooms.model import Caller
from roomd.rooms.settings import Rules, Settings
from roomd.system.ids import Ids
from tests.support.fakes import SECRET, START, FakeClock, FakeKeys, FakeStore
from tests.support.services import services
from tests.support.sockets import SocketTransport, client_frame

ADDRESS = Proxies(()).client("192.0.2.1", (), ())

HOLD = 30.0


class Stage:
    """Everything a connection shares, steerable, and a room of Alice's for three."""

    def __init__(self, **limits: Any) -> None:
        self.store = FakeStore()
        self.clock = FakeClock()
        self.keys = FakeKeys()
        self.hub = Hub(self.store, Rules(HOLD, 100), self.clock, Ids(), encode_frame)
        self.services = services(self.hub, self.store, self.keys, self.clock, **limits)
        self.ledgers = Ledgers(self.services.limits)
        self.code = ""
        self.clients: list[Client] = []
        self.tasks: set[asyncio.Task[None]] = set()
        self.lost: list[int] = []

    async def open(self) -> "Stage":
        self.code = (await self.hub.create(Settings(max_participants=3), "alice")).code
        return self

    def connect(self, token: str | None = None) -> "Client":
        self.clients.append(Client(self, token))
        return self.clients[-1]

    async def close(self) -> None:
        """End every conversation."""
        for client in self.clients:
            client.transport.lose()
        await self.idle()
        assert sorted(self.lost) == [client.connection.number for client in self.clients]

    def spawn(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    def forget(self, connection: Connection) -> None:
        """Note that a connection was lost, and end its use, as the listener does."""
        self.lost.append(connection.number)
        connection.usage.close(self.clock.monotonic())

    async def idle(self) -> None:
        """Wait until no turn is under way."""
        for _ in range(5):
            await asyncio.sleep(0)
        while self.hub._tasks or self.tasks:
            await asyncio.wait(self.hub._tasks | self.tasks, timeout=5)
            await asyncio.sleep(0)

    async def people(self) -> dict[str, Any]:
        """Who has a seat, as the room says."""
        listed = await self.hub.ask(self.code, commands.ListParticipants(Caller(user_id="alice"), history=False))
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
            assert live.broadcast.waiters.keys() <= live.room.queue.keys()
        return {live.code: list(live.room.queue) for live in lives if live.room is not None and live.room.queue}

    def kept_queues(self) -> dict[str, list[str]]:
        """Who waits in which room, as the store says."""
        queues: dict[str, list[str]] = {}
        for (room_id, key), seat in sorted(self.store.people.items(), key=lambda item: item[0][1]):
            if seat.waits_for is not None and seat.participant.left_at is None:
                queues.setdefault(self.store.rooms[room_id].code, []).append(key)
        return queues

    def token(self, user: str, ttl: float = 3600) -> str:
        return mint(SECRET, TokenOrder(user=user, ttl=ttl), START)


class Client:
    """A connection under test and the client at its other end."""

    def __init__(self, stage: Stage, token: str | None) -> None:
        self.stage = stage
        self.transport = SocketTransport()
        self.connection = Connection(
            ConnectionLog(len(stage.clients) + 1),
            self.transport.as_transport(),
            Usage(stage.ledgers, ADDRESS),
            stage.services,
            stage.spawn,
            lambda _: None,
            stage.forget,
        )
        self.connection.admit(token)
        self.connection.start(b"")
        self.view: dict[str, Any] = {}
        self.before_close: list[dict[str, Any]] = []

    def send(self, type_: str, **fields: Any) -> None:
        """Have the client send a frame."""
        self.transport.receive(client_frame(msgspec.json.encode({"type": type_, **fields})))

    async def ask(self, type_: str, **fields: Any) -> list[dict[str, Any]]:
        """Send a frame and return all that was written since the last look."""
        self.send(type_, **fields)
        await self.stage.idle()
        return self.heard()

    def heard(self) -> list[dict[str, Any]]:
        """Take what was written; keep the view of the room up to date."""
        frames = self.transport.frames()
        for frame in frames:
            if frame["type"] == "room-state":
                self.view = {p["id"]: p for p in frame["participants"]}
            elif frame["type"] == "participants-changed":
                self.view |= {p["id"]: p for p in frame["joined"] + frame["updated"]}
                for p in frame["left"]:
                    del self.view[p["id"]]
        return frames

    async def closed(self) -> int:
        """Wait for the daemon's close frame; return its code, and leave what came before it for `before_close`."""
        async with asyncio.timeout(60):
            await self.transport.closing.wait()
        self.before_close = self.heard()
        assert self.transport.close_code is not None
        return self.transport.close_code


async def check_agreement(stage: Stage, other: Client) -> None:
    """Check that room, store, queues and a member's view say the same."""
    people = await stage.people()
    assert people == await stage.kept()
    assert stage.queues() == stage.kept_queues()
    assert other.view == {
        p.id: {
            "id": p.id, "roomId": p.room_id, "userId": p.user_id, "guestName": p.guest_name, "isActive": p.is_active,
            "isHost": p.is_host, "joinedAt": p.joined_at, "leftAt": p.left_at, "displayName": p.display_name,
            "role": p.role, "state": p.state,
        }
        for p in people.values()
    }  # fmt: skip
