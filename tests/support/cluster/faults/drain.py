"""Nodes that are drained, or stopped in order, one after another, while many rooms have people in them."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from random import Random
from typing import NamedTuple

from tests.support.attacks.line import Line, Lost, dial, handshake
from tests.support.cluster.faults.probe import all_answer
from tests.support.cluster.faults.rig import NODES, Rig
from tests.support.cluster.waiting import comes_true
from tests.support.commands import OK, roomd
from tests.support.processes import PATIENCE

HOST = "drained"
_VERSIONS = """
    SELECT rooms.code, owners.version FROM rooms JOIN owners ON owners.room_id = rooms.id
    JOIN nodes ON nodes.generation = owners.generation WHERE rooms.host_id = '{}' AND nodes.name = '{}'
"""
_VERSIONS_NOW = """
    SELECT rooms.code, owners.version FROM rooms JOIN owners ON owners.room_id = rooms.id WHERE rooms.host_id = '{}'
"""


class HandOver(NamedTuple):
    """What it took to drain or to stop one node."""

    rooms: int
    """The rooms that the node had."""
    commits: float
    """Commits of a room, on average, until it has answered at its next owner: the drop of a seat, the release, the
    claim, the resume, and the answer itself are one each."""
    most: int
    """The most of one room."""
    giving_up: float
    """Seconds until the node had given its rooms up, or had ended."""
    answered: float
    """Seconds until every room had answered."""


class Sitter:
    """A user who stays in a room, and comes back at another node where its own is stopped."""

    def __init__(self, rig: Rig, code: str, number: int, hold: float, random: Random) -> None:
        self.seat = ""
        """The participant id; empty without a seat."""
        self._rig = rig
        self._code = code
        self._random = random
        self._user = f"sitter-{number}"
        self._hold = hold
        self._alive_at = 0.0  # when it asked last over its connection, and was answered
        self._token = ""
        self._line: Line | None = None

    @property
    def is_seated(self) -> bool:
        """Whether it has a connection with its seat."""
        return self._line is not None and self._line.is_open

    async def live(self) -> None:
        """Sit there, until this is cancelled. Raises `AssertionError` when the seat is lost while it is to be held."""
        try:
            while True:
                with contextlib.suppress(Lost, OSError):
                    await self._come()
                    assert self._line is not None
                    await self._stay(self._line)
                await asyncio.sleep(self._random.random() / 10)
        finally:
            if self._line is not None:
                self._line.cut()

    async def _stay(self, line: Line) -> None:
        """Stay until the connection is lost. Raises `Lost`.

        It may be noticed late, so what counts is until when it was there for certain.
        """
        while True:
            asked_at = time.monotonic()
            await line.ask("ping")
            self._alive_at = asked_at
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._hold / 3):
                    await line.lost.wait()

    async def _come(self) -> None:
        daemon = self._rig.daemons[self._random.choice(NODES)]
        line = await dial(daemon.port, handshake("10.2.0.1", daemon.token(self._user)))
        if not await line.upgraded():
            raise Lost(line.status)
        asked_at = time.monotonic()
        if self._token:
            reply = await line.ask("resume", resumeToken=self._token)
        else:
            reply = await line.ask("join-room", code=self._code)
        if reply["type"] != "participant":
            line.cut()
            if reply["code"] == "seat_expired":
                away = time.monotonic() - self._alive_at
                assert away >= self._hold, f"{self._user} has lost the seat after {away:.2f} s"
                self.seat, self._token = "", ""
            raise Lost(reply["code"])
        found, self._alive_at = reply["participant"]["id"], asked_at
        assert self.seat in ("", found), f"{self._user} has another seat"
        self.seat, self._token, self._line = found, reply["resumeToken"], line


@contextlib.asynccontextmanager
async def sitting(rig: Rig, count: int, hold: float, random: Random) -> AsyncIterator[list[str]]:
    """Have so many rooms, with one user in each, and return their codes. A seat is held for `hold` seconds.

    Raises an `ExceptionGroup` when somebody loses a seat sooner.
    """
    codes: list[str] = []
    for name in NODES:
        async with rig.daemons[name].client(HOST, compression=None, proxy=None) as client:
            share = len(range(NODES.index(name), count, len(NODES)))
            codes += [(await client.ask("create-room"))["room"]["code"] for _ in range(share)]
    sitters = [Sitter(rig, code, number, hold, Random(random.random())) for number, code in enumerate(codes)]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one.live()) for one in sitters]
        await comes_true(lambda: all(one.is_seated for one in sitters))
        try:
            yield codes
            await comes_true(lambda: all(one.is_seated for one in sitters))
        finally:
            for task in tasks:
                task.cancel()


def drain(rig: Rig, name: str, *more: str) -> None:
    """Run `roomd cluster drain` for a node at another one; `more` are further arguments.

    It is refused until the node knows that another one takes rooms, which had been drained before.
    """
    socket = rig.daemons[NODES[NODES.index(name) - 1]].database.with_name("roomd.sock")
    deadline = time.monotonic() + PATIENCE
    while (done := roomd("cluster", "drain", name, "--socket", socket, *more)).exit_code != OK:
        assert "there is no other node" in done.output and time.monotonic() < deadline, done.output  # noqa: PT018
        time.sleep(0.1)


def stop(rig: Rig, name: str) -> None:
    """Stop a node (SIGTERM)."""
    assert rig.daemons[name].stop() == 0


async def hand_over(rig: Rig, name: str, give_up: Callable[[Rig, str], None]) -> HandOver:
    """Have a node give its rooms up, and wait until each of those of `sitting` has answered at another one."""
    before = await _versions(rig, _VERSIONS.format(HOST, name))
    began = time.monotonic()
    await asyncio.to_thread(give_up, rig, name)
    giving_up = time.monotonic() - began
    await all_answer(rig.daemons[NODES[NODES.index(name) - 1]], before)
    answered = time.monotonic() - began
    now = await _versions(rig, _VERSIONS_NOW.format(HOST))
    commits = [now[code] - version for code, version in before.items()]
    return HandOver(len(before), sum(commits) / max(1, len(commits)), max(commits, default=0), giving_up, answered)


async def _versions(rig: Rig, sql: str) -> dict[str, int]:
    rows = (await asyncio.to_thread(rig.engine.run_sql, sql)).splitlines()
    return {code: int(version) for code, _, version in (row.partition("|") for row in rows)}
