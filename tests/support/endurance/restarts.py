"""`make restarts`: a daemon with 1,000 clients in 50 full rooms is restarted five times; all must be back in time."""

import argparse
import asyncio
import contextlib
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from tests.support.daemon import QUICK, Daemon, serving
from tests.support.processes import PATIENCE

SPARE = 2.0
"""Seconds after the time that a client was told until it must have its seat again."""
RETRY = 0.1
"""Seconds between two tries of a client that finds no daemon."""


class Outcome(msgspec.Struct):
    """What came of it."""

    clients: int
    hints: list[float] = []
    """The seconds that clients were told to wait, each time."""
    late: list[float] = []
    """The seconds after that until they had their seat again."""
    away: list[float] = []
    """The seconds for which they had none."""
    faults: list[str] = []

    def line(self) -> str:
        """Return the figures as a line."""
        late, away = sorted(self.late), sorted(self.away)
        return (
            f"{self.clients} clients came back {len(late)} times: after the hint p50 {late[len(late) // 2]:.2f}, "
            f"most {late[-1]:.2f} s; without a seat p50 {away[len(away) // 2]:.2f}, most {away[-1]:.2f} s"
        )


class Person:
    """A client that takes its seat again after each restart, when it was told to."""

    def __init__(self, url: str, code: str, name: str, outcome: Outcome) -> None:
        self.code = code
        self._url, self._name, self._outcome = url, name, outcome
        self.id = ""
        """The id of its participant."""
        self.is_seated = asyncio.Event()
        """Set while it has its seat."""
        self._token = ""
        self._hint = 0.0

    async def live(self) -> None:
        """Join, and stay until this is cancelled."""
        lost = 0.0
        options: dict[str, Any] = {"open_timeout": PATIENCE, **QUICK}
        while True:
            with contextlib.suppress(OSError, InvalidHandshake, ConnectionClosed, EOFError):
                async with connect(self._url, **options) as websocket:
                    await self._enter(websocket)
                    if lost:
                        now = time.monotonic()
                        self._outcome.late.append(now - lost - self._hint)
                        self._outcome.away.append(now - lost)
                    self.is_seated.set()
                    await self._read(websocket)
            if self.is_seated.is_set():
                self.is_seated.clear()
                lost = time.monotonic()
                self._outcome.hints.append(self._hint)
                await asyncio.sleep(self._hint)
            else:
                await asyncio.sleep(RETRY)

    async def _enter(self, websocket: ClientConnection) -> None:
        request: dict[str, Any] = {"type": "join-room", "code": self.code, "guestName": self._name}
        if self._token:
            request = {"type": "resume", "code": self.code, "resumeToken": self._token}
        await websocket.send(json.dumps(request))
        reply = json.loads(await websocket.recv())
        if reply["type"] != "participant":
            self._outcome.faults.append(f"{self._name} got {reply}")
            raise EOFError
        if self.id and reply["participant"]["id"] != self.id:
            self._outcome.faults.append(f"{self._name} is another participant")
        self.id, self._token = reply["participant"]["id"], reply["resumeToken"]

    async def _read(self, websocket: ClientConnection) -> None:
        async for frame in websocket:
            if isinstance(frame, str) and frame.startswith('{"type":"server-restarting"'):
                self._hint = json.loads(frame)["retryAfter"]


async def run(daemon: Daemon, clients: int, rooms: int, restarts: int) -> Outcome:
    """Restart a daemon under clients in rooms that are full with them, and see that each is back in time."""
    outcome = Outcome(clients)
    codes = [(await daemon.room(maxParticipants=clients // rooms))["code"] for _ in range(rooms)]
    people = [Person(daemon.url, codes[number % rooms], f"Guest {number}", outcome) for number in range(clients)]
    tasks = [asyncio.create_task(person.live()) for person in people]
    try:
        for _ in range(restarts):
            await everybody(people)
            await asyncio.to_thread(daemon.stop)
            await asyncio.to_thread(daemon.start)
        await everybody(people)
        async with daemon.client("alice") as host:
            for code in codes:
                listed = (await host.ask("list-participants", code=code, limit=200))["participants"]
                seats = {participant["id"] for participant in listed}
                owners = {person.id for person in people if person.code == code}
                if seats != owners:
                    outcome.faults.append(f"{code}: {len(seats)} seats, {len(seats & owners)} of {len(owners)} clients")
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    if len(outcome.late) != clients * restarts:
        outcome.faults.append(f"{len(outcome.late)} of {clients * restarts} came back")
    outcome.faults += [f"back {late:.1f} s after the hint" for late in outcome.late if late > SPARE]
    return outcome


async def everybody(people: list[Person]) -> None:
    """Wait until all have their seats."""
    async with asyncio.timeout(PATIENCE):
        for person in people:
            await person.is_seated.wait()


def main() -> int:
    """Run it, and print the figures and what went wrong."""
    parser = argparse.ArgumentParser(prog="make restarts", description=__doc__)
    parser.add_argument("--clients", type=int, default=1_000)
    parser.add_argument("--rooms", type=int, default=50)
    parser.add_argument("--restarts", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder)) as daemon:
        outcome = asyncio.run(run(daemon, given.clients, given.rooms, given.restarts))
    sys.stdout.write(f"{outcome.line()}\n{''.join(f'FAILED: {fault}{chr(10)}' for fault in outcome.faults[:20])}")
    return 1 if outcome.faults else 0


if __name__ == "__main__":
    sys.exit(main())
