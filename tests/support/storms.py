"""A crowd of clients that take, leave, lose and resume the seats of one room, each checking the frames it receives."""

import asyncio
import contextlib
import json
import math
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any, NamedTuple

from websockets.exceptions import ConnectionClosed

from tests.support.daemon import QUICK, Client, Daemon, error
from tests.support.processes import PATIENCE
from tests.support.views import Frame, View

CROWD = 500
SEATS = 37
HOLD = 0.6
"""Seconds for which a dropped seat is held."""
FULL = error("room_full")
EXPIRED = error("seat_expired")


class Refusal(NamedTuple):
    """When a join that met a full room was sent, and when its refusal came."""

    asked: float
    answered: float


class Storm:
    """A room, its crowd, and what was sent to them, which the database is compared with."""

    def __init__(self, daemon: Daemon, code: str, stack: AsyncExitStack, seed: int) -> None:
        self.daemon = daemon
        self.code = code
        self.stack = stack
        self.random = random.Random(seed)
        self.sent: dict[str, Frame] = {}
        """Each participant as the daemon last sent it to that client, by id."""
        self.refusals: list[Refusal] = []
        self.players = [Player(self, i) for i in range(CROWD)]

    def seated(self) -> list["Player"]:
        """Return the players who have a seat."""
        return [player for player in self.players if player.seat is not None]

    def unseated(self) -> list["Player"]:
        """Return the players without a seat, in random order."""
        return self.random.sample(rest := [p for p in self.players if p.seat is None], len(rest))

    def some_seated(self) -> list["Player"]:
        """Choose at random one or more of those who have a seat."""
        return self.random.sample(seated := self.seated(), self.random.randint(1, len(seated)))


class Player:
    """One of the crowd: a user if the number is odd, else a guest. It may use many connections."""

    def __init__(self, storm: Storm, number: int) -> None:
        self.storm = storm
        self.user = f"user-{number}" if number % 2 else None
        self.name = f"Guest {number}"
        self.view = View(SEATS)
        self.seat: Frame | None = None
        self.token = ""
        self._client: Client | None = None
        self._last = 0

    @property
    def client(self) -> Client:
        """The latest connection."""
        assert self._client is not None
        return self._client

    async def connect(self) -> None:
        """Open a new connection; the one before stays as it is."""
        self._client = await self.storm.stack.enter_async_context(self.storm.daemon.client(self.user, **QUICK))

    async def ask(self, type_: str, **fields: Any) -> Frame:
        """Send a request and return its reply; apply the events before it."""
        self._last += 1
        await self.client.send(type_, id=self._last, **fields)
        while "id" not in (frame := await self.client.receive()):
            self.view.take(frame)
        assert frame.pop("id") == self._last
        return frame

    async def _take_seat(self, reply: Frame) -> None:
        assert reply["type"] == "participant", reply
        self.seat, self.token = reply["participant"], reply["resumeToken"]
        self.storm.sent[reply["participant"]["id"]] = reply["participant"]
        self.view.take(await self.client.receive())
        assert self.view.seats[reply["participant"]["id"]] == reply["participant"]

    async def join(self) -> bool:
        """Join the room; return whether there was a free seat."""
        asked = time.time()
        reply = await self.ask("join-room", code=self.storm.code, guestName=self.name)
        if reply == FULL:
            self.storm.refusals.append(Refusal(asked, time.time()))
            return False
        await self._take_seat(reply)
        return True

    async def leave(self) -> None:
        """Leave the room."""
        reply = await self.ask("leave-room")
        left = reply["participant"]
        assert left == (self.seat or {}) | {"isActive": False, "leftAt": left["leftAt"]}
        self.storm.sent[left["id"]], self.seat = left, None

    async def drop(self) -> None:
        """Abort the connection."""
        self.client.websocket.transport.abort()
        await self.client.websocket.wait_closed()

    async def lapse(self) -> None:
        """Abort the connection, and never ask for the seat again."""
        await self.drop()
        self.seat = None
        await self.connect()

    async def resume(self) -> None:
        """Abort the connection and take the seat back over a new one."""
        gone = time.monotonic()
        await self.drop()
        await self._take_back(gone)

    async def take_over(self) -> None:
        """Take the seat over from a second connection while the first is open; the first must be closed."""
        first = self.client
        await self._take_back(math.inf)
        assert await first.closed() == 4409

    async def race(self) -> None:
        """Take the seat from a second connection while the first one is aborted; the second must keep the seat."""
        first, gone = self.client, time.monotonic()
        asyncio.get_running_loop().call_later(self.storm.random.random() / 100, first.websocket.transport.abort)
        await self._take_back(gone)
        await first.websocket.wait_closed()

    async def _take_back(self, gone: float) -> None:
        """Take the same seat back. It may be lost only if the hold has run out since `gone`, the time of the drop.

        A guest may lose it to a newcomer: all come from one address, and it may hold more than a quarter of the seats.
        """
        before = self.seat
        await self.connect()
        if self.user is not None:
            self.seat = None
            has_seat = await self.join() and self.seat == before
        else:
            reply = await self.ask("resume", resumeToken=self.token)
            has_seat = reply != EXPIRED
            self.seat = None
            if has_seat:
                await self._take_seat(reply)
                assert self.seat == before
        assert has_seat or self.user is None or time.monotonic() - gone >= HOLD, "the seat was not held for its window"

    async def act(self, actions: list[str]) -> None:
        """Take these actions in turn; without a seat, join instead."""
        methods = {"leave": self.leave, "resume": self.resume, "take over": self.take_over, "race": self.race}
        for action in actions:
            if self.seat is None:
                await self.join()
            elif action in methods:
                await methods[action]()


class Observer:
    """The host, who is in the room all the time; its events are read as they arrive."""

    def __init__(self, client: Client, state: Frame) -> None:
        self.client = client
        self.view = View(SEATS)
        self.view.take(state)
        self.gone: dict[str, float] = {}
        """When the observer received that a participant left, by id."""
        self._changed = asyncio.Event()

    async def watch(self) -> None:
        """Apply the room's events until the connection ends."""
        with contextlib.suppress(ConnectionClosed):
            async for text in self.client.websocket:
                frame = json.loads(text)
                self.view.take(frame)
                self.gone |= {person["id"]: time.time() for person in frame["left"]}
                self._changed.set()

    async def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait until the condition holds, which is evaluated after every event."""
        async with asyncio.timeout(PATIENCE):
            while not condition():
                self._changed.clear()
                await self._changed.wait()


@contextlib.asynccontextmanager
async def observed(storm: Storm) -> AsyncIterator[Observer]:
    """Have the host observe the room; a failed check of its view fails the test."""
    async with storm.daemon.client("alice", **QUICK) as client:
        joined = await client.join(storm.code)
        storm.sent[joined["participant"]["id"]] = joined["participant"]
        observer = Observer(client, joined["state"])
        watching = asyncio.create_task(observer.watch())
        try:
            yield observer
        finally:
            await client.websocket.close()
            await watching
