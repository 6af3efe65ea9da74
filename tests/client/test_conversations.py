"""The conversations of `clients/vectors/comeback.json`, which both clients have. Their README has the format."""

import asyncio
import json
from typing import Any

import pytest

from roomd.client import Closed, KeptSeat, Meeting, NoAnswer, Refused
from roomd.protocol.requests import JoinRoom
from tests.support.people import ROOM
from tests.support.processes import PATIENCE
from tests.support.scripted import Server, serving, settings, until
from tests.support.vectors import expander, load

COMEBACK = load("comeback")
expand = expander({**load("view")["objects"], **COMEBACK["objects"]})


class Kept:
    """A store in memory."""

    def __init__(self, seat: dict[str, str] | None) -> None:
        self.seat = KeptSeat(ROOM.code, seat["participantId"], seat["resumeToken"]) if seat else None

    def load(self) -> KeptSeat | None:
        """Return the seat."""
        return self.seat

    def save(self, seat: KeptSeat) -> None:
        """Keep a seat."""
        self.seat = seat

    def forget(self) -> None:
        """Keep nothing."""
        self.seat = None


class Conversation:
    """One client and its server."""

    def __init__(self, url: str, connections: asyncio.Queue[Server], vector: dict[str, Any]) -> None:
        token = COMEBACK["tokens"][vector["token"]] if "token" in vector else None
        entry = JoinRoom(
            code=ROOM.code,
            guest_name=None if token else "Jane",
            take_over=None if vector.get("takeOver", True) else False,
        )
        self.kept = Kept(vector.get("kept"))
        self.meeting = Meeting(url, entry, token, settings(leave_patience=0.05), self.kept)
        self.connections = connections
        self.server: Server
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def take(self, step: dict[str, Any]) -> None:
        """Take a step, and check what it says."""
        if "do" in step:
            self.do(**step)
        if "opens" in step:
            self.server = await self.connections.get()
        if "sends" in step:
            await self.answer([step])
        if "seated" in step:
            request = await self.server.take("join-room")
            await self.reply(request, {"seat": step["seated"], "resumeToken": step["resumeToken"]})
            await asyncio.wait_for(self.tasks["join"], PATIENCE)
        await self.answer(step.get("unordered", []))
        if "frame" in step:
            await self.server.websocket.send(json.dumps(expand(step["frame"])))
        if "closes" in step:
            self.server.websocket.transport.abort()
        await self.check(step)

    def do(self, do: str, text: str = "", clientId: str = "", seconds: float = 0, **_: Any) -> None:  # noqa: N803
        """Do what the application does."""
        doing = {
            "join": lambda: self.meeting.open(),
            "leave": lambda: self.meeting.leave(),
            "hold": lambda: self.meeting.update_connection(hold=seconds),
            "say": lambda: self.meeting.say(text, client_id=clientId),
        }
        self.tasks[clientId or do] = asyncio.create_task(doing[do]())

    async def answer(self, steps: list[dict[str, Any]]) -> None:
        """Take a request for each step, in any order, and answer it."""
        left = list(steps)
        while left:
            request = await self.server.take()
            (step,) = [step for step in left if step["sends"]["type"] == request["type"]]
            left.remove(step)
            expected = dict(step["sends"])
            if "token" in expected:
                expected["token"] = COMEBACK["tokens"][expected["token"]]
            assert {key: request.get(key) for key in expected} == expected
            await self.reply(request, step.get("reply"))

    async def reply(self, request: dict[str, Any], reply: dict[str, Any] | None) -> None:
        """Answer a request, if there is an answer."""
        if reply is None:
            return
        if "seat" not in reply:
            await self.server.websocket.send(json.dumps({"id": request["id"], **expand(reply)}))
            return
        me = expand({"use": reply["seat"]})
        await self.server.send("participant", id=request["id"], participant=me, resumeToken=reply["resumeToken"])
        await self.server.websocket.send(json.dumps({**expand({"use": "state"}), "participants": [me]}))

    async def check(self, step: dict[str, Any]) -> None:
        """Check what the client shows in the end."""
        meeting, kept = self.meeting, self.kept
        if "said" in step:
            await asyncio.wait_for(self.tasks[step["said"]], PATIENCE)
        if "unsaid" in step:
            with pytest.raises((Closed, NoAnswer, Refused)):
                await asyncio.wait_for(self.tasks[step["unsaid"]], PATIENCE)
        if "raises" in step:
            with pytest.raises(Refused, match=step["raises"]):
                await asyncio.wait_for(self.tasks["join"], PATIENCE)
        if "status" in step:
            await until(lambda: meeting.status == step["status"])
        if "me" in step:
            await until(lambda: meeting.me is not None and meeting.me.id == step["me"])
        if "over" in step:
            await until(lambda: meeting.over is not None)
            assert meeting.over is not None
            assert meeting.over.code == step["over"]
        if "kept" in step:
            await until(lambda: (kept.seat and kept.seat.resume_token) == step["kept"])

    async def end(self) -> None:
        """Stop."""
        await self.meeting.close()
        await asyncio.gather(*self.tasks.values(), return_exceptions=True)


@pytest.mark.parametrize("vector", COMEBACK["vectors"], ids=lambda vector: vector["what"][:60])
async def test_conversation(vector: dict[str, Any]) -> None:
    """What is sent, and when."""
    connections: asyncio.Queue[Server] = asyncio.Queue()

    async def script(server: Server) -> None:
        connections.put_nowait(server)
        await server.gone()

    async with serving(script) as url, asyncio.timeout(PATIENCE):
        conversation = Conversation(url, connections, vector)
        try:
            for step in vector["steps"]:
                await conversation.take(step)
        finally:
            await conversation.end()
