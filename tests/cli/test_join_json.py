"""`roomd join --json`: what a script with two pipes sees of a room."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from typing import Any

from tests.support.daemon import Daemon
from tests.support.processes import PATIENCE, child


async def event(process: Process) -> dict[str, Any]:
    """Wait for the next line, which is one JSON object."""
    assert process.stdout is not None
    found: dict[str, Any] = json.loads(await asyncio.wait_for(process.stdout.readline(), PATIENCE))
    return found


async def type_line(process: Process, text: str) -> None:
    """Send a line."""
    assert process.stdin is not None
    process.stdin.write(f"{text}\n".encode())
    await process.stdin.drain()


async def test_one_object_a_line(daemon: Daemon) -> None:
    """The room, then every event with the objects of the protocol, then the end; what is typed is served as usual."""
    code = (await daemon.room(name="Weekly"))["code"]
    command = [sys.executable, "-m", "roomd", "join", code, "--guest", "Jane", "--json"]
    pipes = {"stdin": PIPE, "stdout": PIPE, "stderr": PIPE}
    async with daemon.client("alice") as alice, child(*command, **pipes, env=daemon.environ) as process:
        entered = await event(process)
        assert (entered["type"], entered["room"]["name"], entered["messages"]) == ("entered", "Weekly", [])
        assert entered["participants"] == [entered["me"]]
        assert (entered["me"]["guestName"], entered["me"]["role"]) == ("Jane", "member")
        seat = (await alice.join(code))["participant"]
        assert await event(process) == {"type": "joined", "participant": seat}
        await type_line(process, "Hello")
        said = await event(process)
        assert (said["type"], said["message"]["text"]) == ("said", "Hello")
        await type_line(process, "/who")
        assert [await event(process) for _ in range(2)] == [
            {"type": "text", "text": "  Jane (you, guest)"},
            {"type": "text", "text": "  alice (host)"},
        ]
        await type_line(process, "/nonsense")
        await alice.send("update-room", code=code, isLocked=True)
        changed = await event(process)
        assert (changed["type"], changed["before"]["isLocked"], changed["room"]["isLocked"]) == (
            "room-changed",
            False,
            True,
        )
        await alice.send("remove-participant", participantId=entered["me"]["id"], reason="Bye")
        assert await event(process) == {
            "type": "over",
            "code": "removed",
            "message": "You were removed from this room",
            "reason": "Bye",
        }
        assert await asyncio.wait_for(process.wait(), PATIENCE) == 1
        assert process.stderr is not None
        errors = (await process.stderr.read()).decode().splitlines()
        assert errors[0].startswith("There is no such command")
        assert errors[1] == "The host removed you from the room: Bye"


async def test_leaving(daemon: Daemon) -> None:
    """The end of the input leaves, and the last line says so."""
    code = (await daemon.room())["code"]
    command = [sys.executable, "-m", "roomd", "join", code, "--as", "bob", "--json"]
    async with child(*command, stdin=PIPE, stdout=PIPE, stderr=PIPE, env=daemon.environ) as process:
        assert (await event(process))["type"] == "entered"
        assert process.stdin is not None
        process.stdin.close()
        assert (await event(process))["code"] == "left"
        assert await asyncio.wait_for(process.wait(), PATIENCE) == 0
