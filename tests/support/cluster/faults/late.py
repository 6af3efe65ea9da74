"""An append that arrives after another node has taken the room: what the fence is for."""

import asyncio
import signal
import time
from collections.abc import Coroutine

from roomd.protocol.replies import ParticipantReply
from roomd.protocol.requests import JoinRoom, Request, Resume
from roomd.verify.audit import audit
from roomd.verify.driver.host import Host
from roomd.verify.driver.lines import Line
from roomd.verify.driver.log_readers import LogReader, reading
from roomd.verify.records import History, Kind, Operation
from roomd.verify.report import Report
from tests.support.cluster.faults.rig import NODES, Rig
from tests.support.cluster.waiting import comes_true
from tests.support.processes import PATIENCE

SEATS = 2


class User:
    """A user with one connection at a time."""

    def __init__(self, rig: Rig, history: History, name: str, node: str) -> None:
        self._daemon = rig.daemons[node]
        self._history = history
        self._name = name
        self._seat: str | None = None
        self._resume_token = ""
        self._line: Line

    async def connect(self) -> None:
        """Connect."""
        number = len(self._history.tracks) + len(self._history.operations)
        self._line = Line(self._history, number, self._name, self._daemon.url)
        await self._line.open(self._daemon.token(self._name), PATIENCE)

    async def join(self, code: str) -> None:
        """Ask for a seat."""
        await self._ask("join", code, JoinRoom(code=code))

    async def come_back(self, code: str) -> None:
        """If it has a seat, take it on another connection."""
        if self._seat is not None:
            await self.close()
            await self.connect()
            await self._ask("resume", code, Resume(resume_token=self._resume_token))

    async def close(self) -> None:
        """End the connection."""
        await self._line.close()

    async def _ask(self, kind: Kind, code: str, request: Request) -> None:
        line = self._line
        line.enter(code, self._name)
        operation = Operation(
            kind=kind, room=code, person=self._name, connection=line.number, sent=0.0, seat=self._seat
        )
        reply = await line.ask(request, operation)
        if isinstance(reply, ParticipantReply):
            self._seat, self._resume_token = reply.participant.id, reply.resume_token or ""
            operation.seat = operation.seat or self._seat
            operation.given = self._seat if kind == "resume" else None


async def late_join(rig: Rig, hold: float) -> Report:
    """Hold an append and stop its owner until another node has filled the room. Audit what three users saw.

    A seat is held for at least so many seconds.
    """
    history, run = History(SEATS, hold), f"late-{time.monotonic()}"
    nodes = [one.url for one in rig.daemons.values()]
    token = rig.daemons["a"].token("backend", ttl=86_400, roomd={"admin": True})
    host = Host(history, nodes, token, run, PATIENCE)
    readers = [LogReader(node, token, run) for node in nodes]
    async with reading(readers):
        code = await host.make()
        owner = await rig.owner(code)
        other = next(name for name in NODES if name != owner)
        first, late, quick = users = [
            User(rig, history, name, node) for name, node in (("first", other), ("late", owner), ("quick", other))
        ]
        for user in users:
            await user.connect()
        await first.join(code)
        await _join_late(rig, owner, late.join(code), quick.join(code))
        for user in users:
            await user.come_back(code)
        await host.end(code)
        await comes_true(lambda: all(code in reader.ended for reader in readers))
        for user in users:
            await user.close()
    history.logs = [reader.record for reader in readers]
    history.finals[code] = await host.final(code)
    return audit(history)


async def _join_late(
    rig: Rig, owner: str, late: Coroutine[None, None, None], quick: Coroutine[None, None, None]
) -> None:
    """Let the append of one join arrive when the other join was answered by the next owner."""
    wires = rig.wires[owner].engine
    for wire in wires:
        wire.hold()
    arriving = asyncio.create_task(late)
    try:
        await comes_true(lambda: any(wire.keeps(b"late") for wire in wires))
        rig.signal(owner, signal.SIGSTOP)
        await quick
    finally:
        for wire in wires:
            wire.let_go()
        rig.signal(owner, signal.SIGCONT)
        await arriving
    await rig.ready()
