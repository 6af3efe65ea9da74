"""The first join as README.md shows it: raw JSON over a WebSocket library, as a guest."""

import asyncio
import json
import re
import sys
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.support.daemon import Daemon
from tests.support.processes import PATIENCE

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def adapted(text: str, daemon: Daemon, code: str) -> str:
    """Put the address and the room of the test in the place of the README's."""
    for there, here in {"ws://127.0.0.1:8765/ws": daemon.url, "abc-def-ghi": code}.items():
        assert there in text
        text = text.replace(there, here)
    return text


@asynccontextmanager
async def running(*command: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a program, and end it afterwards."""
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, stderr=STDOUT)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def lines_with(process: asyncio.subprocess.Process, *marks: str) -> list[str]:
    """Read a program's output until every mark was in a line, each after the one before."""
    assert process.stdout is not None
    found: list[str] = []
    for mark in marks:
        async with asyncio.timeout(PATIENCE):
            while mark not in (line := (await process.stdout.readline()).decode()):
                assert line, (mark, found)
        found.append(line)
    return found


async def test_the_program_of_the_readme(daemon: Daemon) -> None:
    """It prints its seat, then the state of the room, then what happens in the room."""
    [program] = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    code = (await daemon.room("alice"))["code"]
    async with running(sys.executable, "-u", "-c", adapted(program, daemon, code)) as process:
        seat, state = await lines_with(process, "'type': 'participant'", "'type': 'room-state'")
        assert "'guestName': 'Jane Smith'" in seat
        assert "'participantCount': 1" in state
        async with daemon.client("bob") as bob:
            await bob.join(code)
            [joined] = await lines_with(process, "'type': 'participants-changed'")
            assert "'userId': 'bob'" in joined


async def test_the_typed_frames_of_the_readme(daemon: Daemon) -> None:
    """The frame typed into the library's interactive client is answered as the README shows."""
    [command, frame] = re.findall(r"^    \.venv/bin/(websockets .*)\n    > (\{.*\})$", README, re.MULTILINE)[0]
    code = (await daemon.room("alice"))["code"]
    _, url = adapted(f"{command} abc-def-ghi", daemon, code).split()[:2]
    async with running(sys.executable, "-m", "websockets", url) as process:
        assert process.stdin is not None
        process.stdin.write(f"{frame.replace('abc-def-ghi', code)}\n".encode())
        answers = await lines_with(process, '"type":"participant"', '"type":"room-state"')
    shown = [keys_of(line) for line in re.findall(r"^\{.*\}$", README, re.MULTILINE)]
    for answer, keys in zip(answers, shown, strict=True):
        assert keys <= json.loads(answer[answer.index("{") : answer.rindex("}") + 1]).keys()


def keys_of(shown: str) -> Any:
    """Return the top-level keys of a frame as the README shows it, with … for what is left out."""
    return json.loads(re.sub(r", …|…", "", shown)).keys()
