"""A server that does what a test says, and meetings with it."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec
from websockets.asyncio.server import ServerConnection, serve

from roomd.client import AnyMeetingEvent, Meeting, Token
from roomd.client.meeting import open_meeting
from roomd.client.settings import Settings
from roomd.protocol.objects import Participant
from roomd.protocol.requests import JoinRoom
from tests.support.people import JANE, ROOM
from tests.support.processes import PATIENCE

JOIN = JoinRoom(code=ROOM.code, guest_name="Jane")
Script = Callable[["Server"], Awaitable[None]]


class Server:
    """One connection, as the daemon would see it."""

    def __init__(self, websocket: ServerConnection) -> None:
        self.websocket = websocket
        self.asked: list[dict[str, Any]] = []

    async def take(self, type_: str | None = None) -> dict[str, Any]:
        """Wait for the next request, which must be of that type."""
        request: dict[str, Any] = json.loads(await self.websocket.recv())
        assert type_ in (None, request["type"]), request
        self.asked.append({key: value for key, value in request.items() if value is not None})
        return request

    async def send(self, type_: str, **fields: Any) -> None:
        """Send a frame."""
        await self.websocket.send(json.dumps({"type": type_, **msgspec.to_builtins(fields)}))

    async def answer(self, type_: str, **fields: Any) -> dict[str, Any]:
        """Answer the next request."""
        request = await self.take()
        await self.send(type_, id=request["id"], **fields)
        return request

    async def refuse(self, status: int, code: str, message: str = "No", **fields: Any) -> dict[str, Any]:
        """Answer the next request with an error."""
        return await self.answer("error", statusCode=status, code=code, message=message, **fields)

    async def seat(self, *others: Participant, seq: int = 1, me: Participant = JANE, **fields: Any) -> dict[str, Any]:
        """Answer the next request with a seat in the room."""
        request = await self.answer("participant", participant=me, resumeToken=f"after {seq}")
        await self.state(me, *others, seq=seq, **fields)
        return request

    async def state(self, *people: Participant, seq: int = 1, **fields: Any) -> None:
        """Tell the room's state."""
        room = msgspec.structs.replace(ROOM, participant_count=len(people))
        await self.send("room-state", **{"epoch": "e", "seq": seq, "room": room, "messages": [], **fields,
                                         "participants": people})  # fmt: skip

    async def left(self) -> None:
        """Take a `leave-room`, and answer it."""
        request = await self.take("leave-room")
        gone = msgspec.structs.replace(JANE, is_active=False, left_at="2026-03-03T10:40:00.000Z")
        await self.send("participant", id=request["id"], participant=gone)

    async def gone(self) -> None:
        """Wait until the client closes."""
        await self.websocket.wait_closed()


@contextlib.asynccontextmanager
async def serving(*scripts: Script) -> AsyncIterator[str]:
    """Serve each connection by the next script; the last one serves the rest. A script that fails fails the test."""
    left = list(scripts)
    failed: list[Exception] = []

    async def handler(websocket: ServerConnection) -> None:
        try:
            await (left.pop(0) if len(left) > 1 else left[0])(Server(websocket))
        except Exception as exc:  # noqa: BLE001 - told below
            failed.append(exc)

    async with serve(handler, "127.0.0.1", 0) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/ws"
    assert not failed, failed


class Sleep:
    """Sleeping as a test wants it: every sleep is written down, and ends at once or when the gate opens."""

    def __init__(self, *, asleep: bool = False) -> None:
        self.delays: list[float] = []
        self.began = asyncio.Event()
        self.gate = asyncio.Event()
        if not asleep:
            self.gate.set()

    async def __call__(self, seconds: float) -> None:
        self.delays.append(seconds)
        self.began.set()
        await self.gate.wait()

    def let_one_pass(self) -> None:
        """End the sleep that has begun, and let the next one wait."""
        gate, self.gate = self.gate, asyncio.Event()
        gate.set()


def settings(sleep: Sleep | None = None, **changes: Any) -> Settings:
    """Settings without chance: every random number is 1."""
    limits = {"patience": PATIENCE, "leave_patience": PATIENCE, **changes}
    return Settings(**limits, sleep=sleep or Sleep(), random=lambda: 1.0)


@contextlib.asynccontextmanager
async def meeting_with(
    *scripts: Script, token: Token = None, sleep: Sleep | None = None, **changes: Any
) -> AsyncIterator[Meeting]:
    """Be in a meeting with a scripted server."""
    async with serving(*scripts) as url, open_meeting(url, JOIN, token, settings(sleep, **changes)) as meeting:
        async with asyncio.timeout(PATIENCE):
            yield meeting


async def rest(meeting: Meeting) -> list[AnyMeetingEvent]:
    """Take every event until the meeting is over."""
    return [event async for event in meeting]


async def closing(server: Server) -> None:
    """Take no more connections."""
    await server.websocket.close(1013)


def drop(code: int = 1011, *others: Participant) -> Script:
    """Give a seat, and close the connection."""

    async def script(server: Server) -> None:
        await server.seat(*others)
        await server.websocket.close(code)

    return script


def end(*others: Participant, **seat: Any) -> Script:
    """Give a seat to somebody who comes back, say what was said meanwhile, and end the room."""

    async def script(server: Server) -> None:
        await server.seat(*others, **seat)
        await server.answer("messages", messages=seat.get("messages", []), nextCursor=None)
        await server.send("room-ended", seq=seat.get("seq", 1) + 1, roomId="r")
        await server.gone()

    return script


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something is true."""
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.to_thread(time.sleep, 0.001)
