"""`roomd events`: the event log in the shell."""

import asyncio
import json
import sys
from collections.abc import Callable
from typing import Any

from tests.support.commands import MISUSED, OK, REFUSED, UNREACHABLE, roomd
from tests.support.daemon import Daemon
from tests.support.processes import PATIENCE


async def run(daemon: Daemon, *arguments: object) -> Any:
    """Run `roomd events` with the daemon's local secret."""
    return await asyncio.to_thread(roomd, "events", *arguments, environ=daemon.environ)


def printed(text: str) -> list[dict[str, Any]]:
    """Read the lines of `--json`."""
    return [json.loads(line) for line in text.splitlines()]


async def test_what_there_is(make_daemon: Callable[..., Daemon]) -> None:
    """All of it, from a position on, of a room, of some types; for people and for programs."""
    daemon = make_daemon()
    codes = [(await daemon.room())["code"] for _ in range(2)]
    async with daemon.client() as jane:
        await jane.join(codes[0], guestName="Jane Smith")
        await jane.ask("leave-room")
    done = await run(daemon, "--json")
    assert (done.exit_code, done.stderr) == (OK, "")
    everything = printed(done.stdout)
    assert [event["type"] for event in everything] == [
        "room-created", "room-created", "participant-joined", "participant-left",
    ]  # fmt: skip
    rest = await run(daemon, "--json", "--after", everything[1]["position"])
    assert printed(rest.stdout) == everything[2:]
    one = await run(daemon, "--json", "--room", codes[1], "--types", "room-created,room-ended")
    assert printed(one.stdout) == everything[1:2]
    own = await run(daemon, "--json", "--room", codes[1], "--as", "alice")
    assert printed(own.stdout) == everything[1:2]
    assert (await run(daemon, "--after", "latest")).stdout == ""
    left = everything[3]
    lines = (await run(daemon)).stdout.splitlines()
    assert lines[3] == f"{left['at']} {codes[0]} participant-left Jane Smith (left, {left['duration']:g} s)"


async def test_refusals(make_daemon: Callable[..., Daemon]) -> None:
    """Each has its exit code, and says what to do."""
    daemon = make_daemon()
    await daemon.room()
    cases = [
        (["--as", "bob"], REFUSED, "not_host: Only an admin may watch all rooms; give the rooms that you host\n"),
        (["--after", "42"], REFUSED, "bad_frame: Malformed frame: after must be the position of an event, or a next"),
        (["--follow", "--after", "f" * 24], REFUSED, "position_expired: Events after this position are missing; read"),
        (["--token", "x"], REFUSED, "invalid_token: "),
        (["--types", "joined"], MISUSED, "'joined' is no type of event; there are room-created"),
        (["--room", "x"], MISUSED, "is no room code"),
        (["--follow", "--url", "ws://127.0.0.1:1"], UNREACHABLE, "Connection refused"),
    ]
    for arguments, code, text in cases:
        done = await run(daemon, *arguments)
        assert done.exit_code == code, arguments
        assert text in done.stderr
    expired = await run(daemon, "--after", "f" * 24)
    oldest = expired.stderr.split("--after ")[1].split()[0]
    assert (await run(daemon, "--after", oldest)).exit_code == OK


async def test_following_over_restarts(make_daemon: Callable[..., Daemon]) -> None:
    """It prints each event once, as it happens, also when the daemon is killed and started again meanwhile."""
    daemon = make_daemon()
    command = [sys.executable, "-m", "roomd", "events", "--follow", "--json"]
    process = await asyncio.create_subprocess_exec(*command, env=daemon.environ, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    expected, found = [], []
    try:
        for end in (daemon.kill, daemon.stop, None):
            expected.append((await daemon.room())["code"])
            async with asyncio.timeout(PATIENCE):
                found.append(json.loads(await process.stdout.readline())["room"]["code"])
            if end is not None:
                await asyncio.to_thread(end)
                daemon.start()
        assert found == expected
    finally:
        process.terminate()
        rest = await process.stdout.read()
        await process.wait()
    assert rest == b""
