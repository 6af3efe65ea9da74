"""500 clients storm a room with 37 seats: never a 38th seat, and nobody is told "full" beside a free one.

Shown three ways. By counting: in a round where nobody leaves, exactly as many sit down as there were free seats. From
the frames: a member's view, rebuilt from `room-state` and `participants-changed`, never exceeds 37. From the committed
history: the stays in the database never overlap more than 37 deep, and every refusal falls into a moment in which
they did overlap 37 deep. Whoever ran the storm prints its seed; STORM_SEED repeats it.
"""

import asyncio
import contextlib
import json
import math
import os
import random
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack
from datetime import datetime
from typing import Any, NamedTuple

import pytest
from websockets.exceptions import ConnectionClosed

from tests.support.daemon import Client, Daemon, error
from tests.support.processes import PATIENCE

pytestmark = pytest.mark.usefixtures("untraced")

CROWD = 500
SEATS = 37
HOLD = 0.6
"""Seconds a dropped seat is held."""
ROUNDS = 7
FULL = error("room_full")
EXPIRED = error("seat_expired")
QUICK = {"compression": None, "max_queue": None, "ping_interval": None, "proxy": None}
"""Client options: a member reads its events when it next asks, however many there are."""

Frame = dict[str, Any]


def seconds(stamp: str) -> float:
    """Read a time of the wire or the database."""
    return datetime.fromisoformat(stamp).timestamp()


class View:
    """A room as one client knows it from the frames it got; every frame is checked as it comes."""

    def __init__(self) -> None:
        self.seats: dict[str, Frame] = {}
        self.seq = 0

    def take(self, frame: Frame) -> None:
        """Apply an event of the room."""
        if frame["type"] == "room-state":
            self.seats = {person["id"]: person for person in frame["participants"]}
        else:
            assert frame["type"] == "participants-changed", frame
            assert frame["seq"] == self.seq + 1, "an event is missing or came twice"
            for person in frame["left"]:
                del self.seats[person["id"]]
            for person in frame["updated"]:
                assert person["id"] in self.seats
            assert self.seats.keys().isdisjoint(person["id"] for person in frame["joined"])
            self.seats |= {person["id"]: person for person in (*frame["updated"], *frame["joined"])}
        self.seq = frame["seq"]
        assert len(self.seats) <= SEATS


class Refusal(NamedTuple):
    """When a join that met a full room was sent, and when its refusal came."""

    asked: float
    answered: float


class Storm:
    """What everyone was told, and what the database has to account for."""

    def __init__(self, daemon: Daemon, code: str, stack: AsyncExitStack, seed: int) -> None:
        self.daemon = daemon
        self.code = code
        self.stack = stack
        self.random = random.Random(seed)
        self.told: dict[str, Frame] = {}
        """Participants by id, as last told to themselves."""
        self.refusals: list[Refusal] = []
        self.players = [Player(self, i) for i in range(CROWD)]

    def seated(self) -> list["Player"]:
        """Everyone who believes they have a seat."""
        return [player for player in self.players if player.seat is not None]

    def standing(self) -> list["Player"]:
        """Everyone else, in random order."""
        return self.random.sample(rest := [p for p in self.players if p.seat is None], len(rest))

    def some_seated(self) -> list["Player"]:
        """Choose at least one of those who have a seat."""
        return self.random.sample(seated := self.seated(), self.random.randint(1, len(seated)))


class Player:
    """One of the crowd: a guest, or a user for every odd number. Over as many connections as it takes."""

    def __init__(self, storm: Storm, number: int) -> None:
        self.storm = storm
        self.user = f"user-{number}" if number % 2 else None
        self.name = f"Guest {number}"
        self.view = View()
        self.seat: Frame | None = None
        self.token = ""
        self._client: Client | None = None
        self._last = 0

    @property
    def client(self) -> Client:
        """The connection that is in use."""
        assert self._client is not None
        return self._client

    async def connect(self) -> None:
        """Open a connection, leaving the one there is to itself."""
        self._client = await self.storm.stack.enter_async_context(self.storm.daemon.client(self.user, **QUICK))

    async def ask(self, type_: str, **fields: Any) -> Frame:
        """Send a request and return its reply, applying the events before it."""
        self._last += 1
        await self.client.send(type_, id=self._last, **fields)
        while "id" not in (frame := await self.client.receive()):
            self.view.take(frame)
        assert frame.pop("id") == self._last
        return frame

    async def _sit(self, reply: Frame) -> None:
        assert reply["type"] == "participant", reply
        self.seat, self.token = reply["participant"], reply["resumeToken"]
        self.storm.told[reply["participant"]["id"]] = reply["participant"]
        self.view.take(await self.client.receive())
        assert self.view.seats[reply["participant"]["id"]] == reply["participant"]

    async def join(self) -> bool:
        """Try to take a seat; say whether there was one."""
        asked = time.time()
        reply = await self.ask("join-room", code=self.storm.code, guestName=self.name)
        if reply == FULL:
            self.storm.refusals.append(Refusal(asked, time.time()))
            return False
        await self._sit(reply)
        return True

    async def leave(self) -> None:
        """Give the seat up."""
        reply = await self.ask("leave-room")
        left = reply["participant"]
        assert left == (self.seat or {}) | {"isActive": False, "leftAt": left["leftAt"]}
        self.storm.told[left["id"]], self.seat = left, None

    async def drop(self) -> None:
        """Lose the connection, as a train in a tunnel does."""
        self.client.websocket.transport.abort()
        await self.client.websocket.wait_closed()

    async def lapse(self) -> None:
        """Lose the connection and never ask for the seat again."""
        await self.drop()
        self.seat = None
        await self.connect()

    async def resume(self) -> None:
        """Come back over a new connection."""
        gone = time.monotonic()
        await self.drop()
        await self._return(gone)

    async def take_over(self) -> None:
        """Come back over a second connection while the first is alive: the same seat, and the first is closed."""
        first = self.client
        await self._return(math.inf)
        assert await first.closed() == 4409

    async def race(self) -> None:
        """Come back over a second connection while the first one goes: the late drop takes nothing from the second."""
        first, gone = self.client, time.monotonic()
        asyncio.get_running_loop().call_later(self.storm.random.random() / 100, first.websocket.transport.abort)
        await self._return(gone)
        await first.websocket.wait_closed()

    async def _return(self, gone: float) -> None:
        """Take the same seat again; there may be none only if the hold can have run out since the drop."""
        before = self.seat
        await self.connect()
        if self.user is not None:
            self.seat = None
            came_back = await self.join() and self.seat == before
        else:
            reply = await self.ask("resume", resumeToken=self.token)
            came_back = reply != EXPIRED
            self.seat = None
            if came_back:
                await self._sit(reply)
                assert self.seat == before
        assert came_back or time.monotonic() - gone >= HOLD, "the seat was not held for its window"

    async def churn(self, turns: list[str]) -> None:
        """Do as the dice say; whoever has no seat tries to get one."""
        deeds = {"leave": self.leave, "resume": self.resume, "take over": self.take_over, "race": self.race}
        for turn in turns:
            if self.seat is None:
                await self.join()
            elif turn in deeds:
                await deeds[turn]()


class Observer:
    """The host, in the room throughout: a member whose events are read as they come."""

    def __init__(self, client: Client, state: Frame) -> None:
        self.client = client
        self.view = View()
        self.view.take(state)
        self.gone: dict[str, float] = {}
        """When the observer heard that a participant left, by id."""
        self._changed = asyncio.Event()

    async def watch(self) -> None:
        """Follow the room."""
        with contextlib.suppress(ConnectionClosed):
            async for text in self.client.websocket:
                frame = json.loads(text)
                self.view.take(frame)
                self.gone |= {person["id"]: time.time() for person in frame["left"]}
                self._changed.set()

    async def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait for an event after which the condition holds."""
        async with asyncio.timeout(PATIENCE):
            while not condition():
                self._changed.clear()
                await self._changed.wait()


@contextlib.asynccontextmanager
async def observed(storm: Storm) -> AsyncIterator[Observer]:
    """Have the host watch the room; what the watcher finds wrong fails the test."""
    async with storm.daemon.client("alice", **QUICK) as client:
        joined = await client.join(storm.code)
        storm.told[joined["participant"]["id"]] = joined["participant"]
        observer = Observer(client, joined["state"])
        watching = asyncio.create_task(observer.watch())
        try:
            yield observer
        finally:
            await client.websocket.close()
            await watching


async def rush(storm: Storm, players: list[Player], free: int) -> None:
    """All join at once while nobody leaves: exactly the free seats are taken, whoever is refused came too late."""
    seen = len(storm.refusals)
    got = await asyncio.gather(*(player.join() for player in players))
    assert sum(got) == min(free, len(players)), "seats taken while this many were free"
    first = min((refusal.answered for refusal in storm.refusals[seen:]), default=float("inf"))
    last = max((seconds(player.seat["joinedAt"]) for player in players if player.seat is not None), default=0.0)
    assert last <= first, "somebody sat down after another was told that the room is full"


async def settled(storm: Storm, auditor: Client, observer: Observer) -> list[Frame]:
    """Compare, in a quiet moment, who is told to be in the room with who believes to be."""
    listed: list[Frame] = (await auditor.ask("list-participants", code=storm.code, limit=200))["participants"]
    by_id = {person["id"]: person for person in listed}
    await observer.wait_until(lambda: observer.view.seats == by_id)
    assert by_id == {p.seat["id"]: p.seat for p in storm.seated() if p.seat} | {
        person["id"]: person for person in listed if person["isHost"]
    }
    return listed


async def play(storm: Storm, auditor: Client, observer: Observer) -> None:
    """One round of each kind; a free seat is always known to be free by the time somebody asks for it."""
    dice = storm.random
    # More than fit, and now and then exactly as many as fit, none of whom may be refused.
    free = SEATS - 1 - len(storm.seated())
    await rush(storm, storm.standing()[: dice.choice([free, CROWD])], free)
    await rush(storm, storm.standing(), SEATS - 1 - len(storm.seated()))
    leaving = storm.some_seated()  # so many leave, as many or more come
    await asyncio.gather(*(player.leave() for player in leaving))
    await rush(storm, storm.standing()[: len(leaving) + dice.choice([0, 0, 1, 40])], len(leaving))
    # All at once: leaves, drops, resumes, takeovers, and the crowd at the door.
    kinds = ["leave", "leave", "leave", "resume", "take over", "race", "race", "stay"]
    await asyncio.gather(*(player.churn(dice.choices(kinds, k=4)) for player in storm.players))
    await settled(storm, auditor, observer)
    # So many drop for good; when their time has run out, their seats are free.
    if storm.seated():
        lost = storm.some_seated()
        ids = {player.seat["id"] for player in lost if player.seat is not None}
        free = SEATS - 1 - len(storm.seated())
        await asyncio.gather(*(player.lapse() for player in lost))
        others = [player for player in storm.standing() if player not in lost]  # a user would get their own seat back
        await rush(storm, others[:free], free)
        await observer.wait_until(lambda: ids <= observer.gone.keys())
        await rush(storm, storm.standing()[: len(lost)], len(lost))


class Stay(NamedTuple):
    """From when to when a seat was taken, as the database tells it."""

    begin: float
    earliest_end: float
    latest_end: float


def stays(rows: Iterable[sqlite3.Row], gone: dict[str, float]) -> list[Stay]:
    """Read the intervals. `left_at` of a seat that ran out is when it was dropped: it was taken until HOLD later."""
    found = []
    for row in rows:
        begin = seconds(row["joined_at"])
        if row["left_at"] is None:
            found.append(Stay(begin, float("inf"), float("inf")))
        elif row["dropped_at"] is None:
            found.append(Stay(begin, seconds(row["left_at"]), seconds(row["left_at"])))
        else:
            assert row["left_at"] == row["dropped_at"]
            # Two clocks and milliseconds: 10 ms of tolerance. Given up at the latest when it was told.
            found.append(Stay(begin, seconds(row["dropped_at"]) + HOLD - 0.01, gone[row["id"]]))
    return found


def deepest(stays: list[Stay]) -> int:
    """Count how many stays overlapped at most; one that ends when another begins makes room for it."""
    changes = sorted([(stay.begin, 1) for stay in stays] + [(stay.earliest_end, -1) for stay in stays])
    depth = most = 0
    for _, change in changes:
        depth += change
        most = max(most, depth)
    return most


def unexplained(refusals: list[Refusal], stays: list[Stay]) -> list[Refusal]:
    """Find refusals during which the room was at no moment full, ends included: a turn decides many at one stamp."""
    tick = 0.001  # stamps are cut to milliseconds
    changes = sorted([(stay.begin, 0, 1) for stay in stays] + [(stay.latest_end + tick, 1, -1) for stay in stays])
    full: list[tuple[float, float]] = []
    depth = 0
    for at, _, change in changes:
        if change > 0 and depth == SEATS - 1:
            full.append((at, float("inf")))
        if change < 0 and depth == SEATS:
            full[-1] = (full[-1][0], at)
        depth += change
    return [r for r in refusals if not any(start <= r.answered and r.asked <= end for start, end in full)]


def committed(daemon: Daemon) -> list[sqlite3.Row]:
    """Read the participants there ever were from the database."""
    with contextlib.closing(sqlite3.connect(f"file:{daemon.database}?mode=ro", uri=True)) as db:
        db.row_factory = sqlite3.Row
        return db.execute("SELECT * FROM participants").fetchall()


def as_told(row: sqlite3.Row) -> Frame:
    """Put a row of the database as the wire would."""
    keys = ("id", "roomId", "userId", "guestName", "joinedAt", "leftAt", "displayName")
    columns = ("id", "room_id", "user_id", "guest_name", "joined_at", "left_at", "display_name")
    texts = {key: row[column] for key, column in zip(keys, columns, strict=True)}
    state = json.loads(row["state"])
    return {**texts, "isActive": bool(row["is_active"]), "isHost": bool(row["is_host"]), "state": state}


async def test_storm(make_daemon: Callable[..., Daemon]) -> None:
    """However many join at once, seats never exceed maxParticipants, and no one is told "full" while a seat is free.

    Every event reaches every member once and in order, and the database holds exactly what was told.
    """
    seed = int(os.environ.get("STORM_SEED") or random.SystemRandom().randrange(2**32))
    print(f"STORM_SEED={seed}")
    daemon = make_daemon(ROOMD_ROOMS_SEAT_HOLD=str(HOLD))
    room = await daemon.room(maxParticipants=SEATS)
    async with AsyncExitStack() as stack:
        storm = Storm(daemon, room["code"], stack, seed)
        await asyncio.gather(*(player.connect() for player in storm.players))
        auditor = await stack.enter_async_context(daemon.client("alice"))
        async with observed(storm) as observer:
            for _ in range(ROUNDS):
                await play(storm, auditor, observer)
            listed = await settled(storm, auditor, observer)
            for player in storm.seated():
                assert await player.ask("ping") == {"type": "pong"}
                assert player.view.seats == {person["id"]: person for person in listed}
            rows = committed(daemon)
            for player in storm.players:
                player.client.websocket.transport.abort()

    assert {row["id"] for row in rows} == storm.told.keys(), "somebody is in the database who was never told"
    for row in rows:
        told = storm.told[row["id"]]
        lapsed = told["leftAt"] is None and row["left_at"] is not None
        assert as_told(row) == told | ({"isActive": False, "leftAt": row["dropped_at"]} if lapsed else {})
    history = stays(rows, observer.gone)
    assert deepest(history) == SEATS
    assert unexplained(storm.refusals, history) == []
    assert len(storm.refusals) > ROUNDS * CROWD / 2
