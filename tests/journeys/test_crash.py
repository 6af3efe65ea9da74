"""kill -9 and SIGTERM while many clients join and leave: what was sent to a client is still true after the restart.

Messages, presence, the queue and bans are in test_crash_in_a_meeting.py.

Each signal is sent at a reply chosen at random, so that it may come in any phase of a batch. CRASH_SEED repeats one.
"""

import asyncio
import os
import random
import signal
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import pytest

from tests.support.daemon import QUICK, SEAT_HOLD, Daemon, error
from tests.support.processes import PATIENCE
from tests.support.views import View, as_sent, committed, seconds
from tests.support.visitors import Countdown, Visitor

pytestmark = [pytest.mark.usefixtures("untraced"), pytest.mark.both_stores]

VISITORS = 60
ROOMS = 3
MOST = 37
"""No room ever has more participants than this, those included whose seats are held for nobody."""
KILLS = 3


class World:
    """A daemon that is ended and started again, its rooms, visitors, and a source of random choices."""

    def __init__(self, daemon: Daemon, codes: list[str], stack: AsyncExitStack) -> None:
        seed = int(os.environ.get("CRASH_SEED") or random.SystemRandom().randrange(2**32))
        print(f"CRASH_SEED={seed}")
        self.daemon = daemon
        self.codes = codes
        self.stack = stack
        self.rng = random.Random(seed)
        self.visitors = [Visitor(i, codes[i % ROOMS], self.rng) for i in range(VISITORS)]

    async def storm(self, number: int) -> Countdown:
        """Have the visitors join and leave until a signal ends the daemon."""
        countdown = Countdown(self.daemon, number, self.rng.randint(1, 4 * VISITORS))
        await asyncio.gather(*(visitor.storm(countdown) for visitor in self.visitors))
        await asyncio.to_thread(self.daemon.process.wait, PATIENCE)
        return countdown

    async def connect(self) -> None:
        """Connect every visitor."""
        await asyncio.gather(*(visitor.connect(self.daemon, self.stack) for visitor in self.visitors))

    def rows(self) -> dict[str, sqlite3.Row]:
        """Read the participants from the database of a daemon that has ended, by id."""
        return {row["id"]: row for row in committed(self.daemon)}

    def check_sent(self, rows: dict[str, sqlite3.Row]) -> None:
        """Check that every participant that was sent to its client is in the database, as it was sent."""
        for visitor in self.visitors:
            for key, sent in visitor.sent.items():
                assert key in rows, "a client was sent a participant who was never committed"
                if visitor.leaving and visitor.seat == sent and rows[key]["left_at"] is not None:
                    continue  # the leave was committed, and its reply was not sent
                assert as_sent(rows[key]) | {"isActive": sent["isActive"]} == sent

    async def check_resumed(self, visitors: list[Visitor], rows: dict[str, sqlite3.Row]) -> None:
        """Have every visitor with a seat resume it, and check that it has the same id and joinedAt."""
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
                visitor.sent[seat["id"]] = as_sent(rows[seat["id"]])  # the leave whose reply was not sent
                visitor.seat, visitor.leaving = None, False


@pytest.fixture
async def world(make_daemon: Callable[..., Daemon]) -> AsyncIterator[World]:
    """A daemon with empty rooms, and visitors who are connected."""
    daemon = make_daemon(steered=True)
    codes = [(await daemon.room())["code"] for _ in range(ROOMS)]
    async with AsyncExitStack() as stack:
        world = World(daemon, codes, stack)
        await world.connect()
        yield world
        await asyncio.gather(*(visitor.close() for visitor in world.visitors))


async def check_holds_run_out(world: World, code: str, present: set[str], ready: asyncio.Barrier) -> None:
    """Check as the host that every seat without a client is released, and none before its hold has run out.

    Waits at `ready` three times: when the host has joined; for half of the hold to pass; and when it has received that
    no seat was released by then.
    """
    async with world.daemon.client("alice", **QUICK) as host:
        joined = await host.join(code)
        view = View(MOST)
        view.take(joined["state"])
        expected = present | {joined["participant"]["id"]}
        assert expected <= view.seats.keys()
        await ready.wait()
        await ready.wait()
        for event in await host.events():
            view.take(event)
            assert not event["left"], "a seat was released before its hold had run out"
        await ready.wait()
        while view.seats.keys() != expected:
            view.take(await host.receive())
        listed = await host.ask("list-participants", code=code, limit=200)
        assert {person["id"] for person in listed["participants"]} == expected
        await host.ask("leave-room")


async def check_empty(world: World, code: str) -> None:
    """Wait until a room to which nobody came back is empty, by `list-rooms`, which does not load the room."""
    deadline = time.monotonic() + PATIENCE
    while True:
        async with world.daemon.client("alice") as host:
            rooms = (await host.ask("list-rooms"))["rooms"]
        if next(room["participantCount"] for room in rooms if room["code"] == code) == 0:
            return
        assert time.monotonic() < deadline, "a seat without a client is still taken"


async def test_kill_while_clients_join_and_leave(world: World) -> None:
    """After kill -9 every participant that was sent is there; every seat is held once more, and then released."""
    answered = 0.0
    for cycle in range(KILLS):
        countdown = await world.storm(signal.SIGKILL)
        world.daemon.kill()  # it has ended; this forgets the process
        rows = world.rows()
        world.check_sent(rows)
        world.daemon.start()
        answered = time.time()
        await world.connect()
        back = world.visitors
        if cycle == KILLS - 1:  # half of them return to two of the rooms, nobody to the third
            back = [visitor for visitor in back if visitor.code != world.codes[0] and world.rng.random() < 0.5]
        await world.check_resumed(back, rows)
    present = {code: {v.seat["id"] for v in back if v.seat and v.code == code} for code in world.codes[1:]}
    ready = asyncio.Barrier(len(present) + 1)
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
        for code, ids in present.items():
            group.create_task(check_holds_run_out(world, code, ids, ready))
        await ready.wait()
        world.daemon.advance(SEAT_HOLD / 2)
        await ready.wait()
        await ready.wait()
        world.daemon.advance(SEAT_HOLD / 2)
    await check_empty(world, world.codes[0])

    rows = world.rows()
    assert {key for key, row in rows.items() if row["left_at"] is None} == set().union(*present.values())
    for visitor in world.visitors:
        if visitor not in back and visitor.seat is not None and not visitor.leaving:
            left_at = seconds(rows[visitor.seat["id"]]["left_at"])
            assert countdown.sent_at - 0.001 <= left_at <= answered, "leftAt is when the connection was last open"


async def test_stop_while_clients_join_and_leave(world: World) -> None:
    """After SIGTERM every client is sent when to return and closed with 1012; seats are held and can be resumed."""
    await world.storm(signal.SIGTERM)
    assert world.daemon.stop() == 0
    pauses = set()
    for visitor in world.visitors:
        assert visitor.close_code == 1012
        assert visitor.restarting is not None
        assert visitor.restarting.keys() == {"type", "retryAfter"}
        pauses.add(visitor.restarting["retryAfter"])
    assert len(pauses) > 1, "all would return at once"
    rows = world.rows()
    world.check_sent(rows)
    for row in rows.values():
        assert not row["is_active"]
        assert row["left_at"] or row["dropped_at"]
    world.daemon.start()
    await world.connect()
    await world.check_resumed(world.visitors, rows)
