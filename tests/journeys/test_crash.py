"""kill -9 and SIGTERM in the middle of a storm: whatever a client was told is still true after the restart.

Here everybody comes and goes; what is said, shown, waited for and banned in a meeting stands in test_store_crash.py.

Each storm ends at a reply drawn by lot, so a death falls into any phase of a turn. CRASH_SEED repeats one.
"""

import asyncio
import contextlib
import json
import os
import random
import signal
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from tests.journeys.test_storm import QUICK, View, as_told, committed, seconds
from tests.support.daemon import UNHURRIED, Client, Daemon, error
from tests.support.processes import PATIENCE

pytestmark = pytest.mark.usefixtures("untraced")

HOLD = float(UNHURRIED["ROOMD_ROOMS_SEAT_HOLD"])
"""Seconds a seat is held; all visitors are back within them after a restart, however busy the machine is."""
VISITORS = 60
ROOMS = 3
KILLS = 3
RESTARTING = error("restarting", "The server is restarting", retryAfter=2.0) | {"statusCode": 503}

Frame = dict[str, Any]


def put(row: sqlite3.Row) -> Frame:
    """Put a participant's row as the wire would, presence with it."""
    return as_told(row) | {"state": json.loads(row["state"])}


class Fuse:
    """Sends the daemon a signal with the n-th reply, of those that are counted, that anybody gets."""

    def __init__(self, daemon: Daemon, number: int, replies: int) -> None:
        self._daemon = daemon
        self._number = number
        self._left = replies
        self.burned_at = 0.0

    def burn(self) -> None:
        """Count a reply."""
        self._left -= 1
        if self._left == 0:
            self.burned_at = time.time()
            self._daemon.process.send_signal(self._number)


class Visitor:
    """A client that comes and goes as the dice say, and remembers what it was told, across the daemon's deaths."""

    def __init__(self, number: int, code: str, dice: random.Random) -> None:
        self.user = f"user-{number}" if number % 2 else None
        self.name = f"Guest {number}"
        self.code = code
        self.told: dict[str, Frame] = {}
        """Each stay by its id, as told last."""
        self.seat: Frame | None = None
        """The stay that was not told to be over."""
        self.leaving = False
        """Asked to leave it, and heard nothing yet."""
        self.farewell: Frame | None = None
        self.close_code: int | None = None
        self._token = ""
        self._asked = 0
        self._dice = dice
        self._client: Client | None = None

    async def connect(self, daemon: Daemon, stack: AsyncExitStack) -> None:
        """Open a connection."""
        self._client = await stack.enter_async_context(daemon.client(self.user, **QUICK))
        self.farewell = None

    async def ask(self, type_: str, **fields: Any) -> Frame:
        """Send a request and return its reply, passing over the room's events."""
        assert self._client is not None
        self._asked += 1
        await self._client.send(type_, id=self._asked, **fields)
        while (frame := await self.receive()).pop("id", None) != self._asked:
            pass
        return frame

    async def receive(self) -> Frame:
        """Take the next frame, and remember what it tells."""
        assert self._client is not None
        frame = await self._client.receive()
        if frame["type"] == "participant":
            self._hear(frame["participant"], frame.get("resumeToken", ""))
        elif frame["type"] == "server-restarting":
            self.farewell = frame
        return frame

    def _hear(self, person: Frame, token: str) -> None:
        self.told[person["id"]] = person
        self.seat = person if person["leftAt"] is None else None
        self._token = token
        self.leaving = self.leaving and self.seat is not None  # admitted while it gives its place up

    async def storm(self, fuse: Fuse) -> None:
        """Join and leave and join until the connection ends, and read what came before its end."""
        with contextlib.suppress(ConnectionClosed):
            await self._come_and_go(fuse)
        with contextlib.suppress(ConnectionClosed):
            while True:
                await self.receive()
        assert self._client is not None
        self.close_code = self._client.websocket.close_code

    async def _come_and_go(self, fuse: Fuse) -> None:
        while True:
            if self.seat is None:
                reply = await self.ask("join-room", code=self.code, guestName=self.name)
            elif self._dice.random() < 0.5:
                self.leaving = True
                reply = await self.ask("leave-room")
            else:
                await self.ask("ping")
                continue
            if reply["type"] == "participant":
                fuse.burn()
            else:  # a restart was begun: nothing was changed
                assert reply == RESTARTING
                self.leaving = False
                return

    async def resume(self) -> Frame:
        """Take the seat back."""
        return await self.ask("resume", resumeToken=self._token)


class World:
    """A daemon that dies and comes back, rooms, visitors, and the dice."""

    def __init__(self, daemon: Daemon, codes: list[str], stack: AsyncExitStack) -> None:
        seed = int(os.environ.get("CRASH_SEED") or random.SystemRandom().randrange(2**32))
        print(f"CRASH_SEED={seed}")
        self.daemon = daemon
        self.codes = codes
        self.stack = stack
        self.dice = random.Random(seed)
        self.visitors = [Visitor(i, codes[i % ROOMS], self.dice) for i in range(VISITORS)]

    async def storm(self, number: int) -> Fuse:
        """Let the visitors come and go until a signal ends the daemon."""
        fuse = Fuse(self.daemon, number, self.dice.randint(1, 4 * VISITORS))
        await asyncio.gather(*(visitor.storm(fuse) for visitor in self.visitors))
        await asyncio.to_thread(self.daemon.process.wait, PATIENCE)
        return fuse

    async def connect(self) -> None:
        """Let every visitor connect."""
        await asyncio.gather(*(visitor.connect(self.daemon, self.stack) for visitor in self.visitors))

    def rows(self) -> dict[str, sqlite3.Row]:
        """Read the participants from the database of a dead daemon."""
        return {row["id"]: row for row in committed(self.daemon)}

    def check_told(self, rows: dict[str, sqlite3.Row]) -> None:
        """Find every participant that anybody was told of in the database, those who left having left."""
        for visitor in self.visitors:
            for key, told in visitor.told.items():
                assert key in rows, "a client was told of a participant who was never committed"
                if visitor.leaving and visitor.seat == told and rows[key]["left_at"] is not None:
                    continue  # the leave was committed, its reply did not come
                assert put(rows[key]) | {"isActive": told["isActive"]} == told

    async def check_resumed(self, visitors: list[Visitor], rows: dict[str, sqlite3.Row]) -> None:
        """Have everyone who was told of a seat take it back, under the same id and joinedAt."""
        waiting = [visitor for visitor in visitors if visitor.seat is not None]
        before = [visitor.seat for visitor in waiting]
        replies = await asyncio.gather(*(visitor.resume() for visitor in waiting))
        for visitor, seat, reply in zip(waiting, before, replies, strict=True):
            assert seat is not None
            if rows[seat["id"]]["left_at"] is None:
                assert reply.get("participant") == seat, reply
                assert reply["resumeToken"]
            else:
                assert reply == error("seat_expired")
                visitor.told[seat["id"]] = put(rows[seat["id"]])  # the leave that was not told
                visitor.seat, visitor.leaving = None, False


@pytest.fixture
async def world(make_daemon: Callable[..., Daemon]) -> AsyncIterator[World]:
    """A daemon with empty rooms and visitors at the door."""
    daemon = make_daemon(steered=True)
    codes = [(await daemon.room())["code"] for _ in range(ROOMS)]
    async with AsyncExitStack() as stack:
        world = World(daemon, codes, stack)
        await world.connect()
        yield world
        await asyncio.gather(*(v._client.websocket.close() for v in world.visitors if v._client))


async def check_no_ghost(world: World, code: str, present: set[str], ready: asyncio.Barrier) -> None:
    """See every seat without a client given up, none before the window ran out; the host watches.

    They are `ready` when the host has joined; when half of the window is over; and when nothing had happened by then.
    """
    async with world.daemon.client("alice", **QUICK) as host:
        joined = await host.join(code)
        view = View()
        view.take(joined["state"])
        expected = present | {joined["participant"]["id"]}
        assert expected <= view.seats.keys()
        await ready.wait()
        await ready.wait()
        for event in await host.events():
            view.take(event)
            assert not event["left"], "a seat was given up before its window ran out"
        await ready.wait()
        while view.seats.keys() != expected:
            view.take(await host.receive())
        listed = await host.ask("list-participants", code=code, limit=200)
        assert {person["id"] for person in listed["participants"]} == expected
        await host.ask("leave-room")


async def check_empty(world: World, code: str) -> None:
    """See a room that nobody came back to empty itself; `list-rooms` is a look at it that wakes nothing."""
    deadline = time.monotonic() + PATIENCE
    while True:
        async with world.daemon.client("alice") as host:
            rooms = (await host.ask("list-rooms"))["rooms"]
        if next(room["participantCount"] for room in rooms if room["code"] == code) == 0:
            return
        assert time.monotonic() < deadline, "a seat without a client outlives the window"


async def test_kill(world: World) -> None:
    """A participant a client was told of survives kill -9, every seat is held anew, no ghost outlives the window."""
    answered = 0.0
    for cycle in range(KILLS):
        fuse = await world.storm(signal.SIGKILL)
        world.daemon.kill()  # it is dead; this forgets it
        rows = world.rows()
        world.check_told(rows)
        world.daemon.start()
        answered = time.time()
        await world.connect()
        back = world.visitors
        if cycle == KILLS - 1:  # half of them to two of the rooms, nobody to the third
            back = [visitor for visitor in back if visitor.code != world.codes[0] and world.dice.random() < 0.5]
        await world.check_resumed(back, rows)
    present = {code: {v.seat["id"] for v in back if v.seat and v.code == code} for code in world.codes[1:]}
    ready = asyncio.Barrier(len(present) + 1)
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
        for code, ids in present.items():
            group.create_task(check_no_ghost(world, code, ids, ready))
        await ready.wait()
        world.daemon.advance(HOLD / 2)
        await ready.wait()
        await ready.wait()
        world.daemon.advance(HOLD / 2)
    await check_empty(world, world.codes[0])

    rows = world.rows()
    assert {key for key, row in rows.items() if row["left_at"] is None} == set().union(*present.values())
    for visitor in world.visitors:
        if visitor not in back and visitor.seat is not None and not visitor.leaving:
            left_at = seconds(rows[visitor.seat["id"]]["left_at"])
            assert fuse.burned_at - 0.001 <= left_at <= answered, "leftAt: when the connection was last there"


async def test_terminate(world: World) -> None:
    """After SIGTERM everyone is sent away to come back, seats are kept as held, and whoever had one resumes."""
    await world.storm(signal.SIGTERM)
    assert world.daemon.stop() == 0
    pauses = set()
    for visitor in world.visitors:
        assert visitor.close_code == 1012
        assert visitor.farewell is not None
        assert visitor.farewell.keys() == {"type", "retryAfter"}
        pauses.add(visitor.farewell["retryAfter"])
    assert len(pauses) > 1, "all would come back at once"
    rows = world.rows()
    world.check_told(rows)
    for row in rows.values():
        assert not row["is_active"]
        assert row["left_at"] or row["dropped_at"]
    world.daemon.start()
    await world.connect()
    await world.check_resumed(world.visitors, rows)
