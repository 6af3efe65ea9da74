"""`roomd join`: what a person at a terminal, or a script with a pipe, sees of a room."""

import asyncio
import contextlib
import os
import pty
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from tests.conftest import PATIENCE, Daemon

HELLO = "You are in. Type /who to see who is here, /leave (or Ctrl-D) to go."


class Visitor:
    """A running `roomd join`, standard error joined to standard output."""

    def __init__(self, process: Process) -> None:
        self.process = process

    async def line(self) -> str:
        """Wait for the next line; empty at the end."""
        assert self.process.stdout is not None
        return (await asyncio.wait_for(self.process.stdout.readline(), PATIENCE)).decode().removesuffix("\n")

    async def expect(self, *lines: str) -> None:
        """Check the next lines."""
        assert [await self.line() for _ in lines] == list(lines)

    async def until(self, line: str) -> None:
        """Skip the lines before this one."""
        while (seen := await self.line()) != line:
            assert seen, f"the end came before {line!r}"

    async def type(self, text: str) -> None:
        """Send a line."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{text}\n".encode())
        await self.process.stdin.drain()

    async def exit_code(self) -> int:
        """Wait for the end."""
        return await asyncio.wait_for(self.process.wait(), PATIENCE)


@contextlib.asynccontextmanager
async def visiting(daemon: Daemon, code: str, *options: str, stdin: int = PIPE) -> AsyncIterator[Visitor]:
    """Run `roomd join`."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "roomd", "join", code, *options,
        stdin=stdin, stdout=PIPE, stderr=asyncio.subprocess.STDOUT, env=daemon.environ,
    )  # fmt: skip
    try:
        yield Visitor(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_sees_the_room(daemon: Daemon) -> None:
    """A guest sees who is there, who comes, drops, returns and goes, and what the host changes."""
    room = await daemon.room(name="Weekly", maxParticipants=5)
    async with daemon.client("alice") as alice, visiting(daemon, room["code"], "--guest", "Jane") as jane:
        await jane.expect(HELLO, f"Weekly ({room['code']}), 1 of 5 seats taken:", "  Jane (you, guest)")
        await alice.join(room["code"])
        await jane.expect("+ alice (host) joined")
        async with daemon.client("bob") as bob:
            await bob.join(room["code"])
            await jane.expect("+ bob joined")
        await jane.expect("~ bob dropped, the seat is held")
        await jane.type("/who")
        await jane.expect("  Jane (you, guest)", "  alice (host)", "  bob (away)")
        async with daemon.client("bob") as bob:
            await bob.join(room["code"])
            await jane.expect("~ bob is back")
            await bob.send("leave-room")
            await jane.expect("- bob left")
        await alice.send("update-room", code=room["code"], isLocked=True)
        await jane.expect("* The room is locked")
        await alice.send("end-room", code=room["code"])
        await jane.expect("The room has ended.", "")
        assert await jane.exit_code() == 0


async def test_leaves(daemon: Daemon) -> None:
    """/leave gives the seat up at once; anything else typed is answered with what can be typed."""
    room = await daemon.room()
    async with visiting(daemon, room["code"].upper(), "--as", "bob") as bob:
        await bob.until("  bob (you)")
        await bob.type("hello")
        await bob.expect("Type /who to see who is here, /leave (or Ctrl-D) to go.")
        await bob.type("")
        await bob.type("/leave")
        await bob.expect("You left.", "")
        assert await bob.exit_code() == 0
    assert await seats(daemon, room["code"]) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_leaves_on_a_signal(daemon: Daemon, number: signal.Signals) -> None:
    """Ctrl-C and a polite kill give the seat up too."""
    room = await daemon.room()
    async with visiting(daemon, room["code"], "--token", daemon.token("bob")) as bob:
        await bob.until("  bob (you)")
        bob.process.send_signal(number)
        await bob.expect("You left.", "")
        assert await bob.exit_code() == 0
    assert await seats(daemon, room["code"]) == 0


async def test_a_pipe(daemon: Daemon) -> None:
    """Lines that wait in a pipe are served once the room is known; its end leaves."""
    room = await daemon.room(name="Pipe")
    async with visiting(daemon, room["code"], "--guest", "Jane") as jane:
        assert jane.process.stdin is not None
        jane.process.stdin.write(b"/who\n")
        jane.process.stdin.close()
        listed = "  Jane (you, guest)"
        await jane.expect(HELLO, f"Pipe ({room['code']}), 1 of 100 seats taken:", listed, listed, "You left.", "")
        assert await jane.exit_code() == 0


async def test_no_input(daemon: Daemon) -> None:
    """With nothing to read, not even a pipe, it joins, shows the room and leaves."""
    room = await daemon.room()
    async with visiting(daemon, room["code"], "--guest", "Jane", stdin=asyncio.subprocess.DEVNULL) as jane:
        await jane.until("You left.")
        assert await jane.exit_code() == 0


async def test_a_terminal(daemon: Daemon) -> None:
    """Ctrl-D on a terminal leaves, and the terminal is left as it was: reads of others still wait."""
    room = await daemon.room()
    ours, theirs = pty.openpty()
    try:
        async with visiting(daemon, room["code"], "--guest", "Jane", stdin=theirs) as jane:
            await jane.until("  Jane (you, guest)")
            os.write(ours, b"/who\n")
            await jane.expect("  Jane (you, guest)")
            assert os.get_blocking(theirs)
            os.write(ours, b"\x04")
            await jane.expect("You left.", "")
            assert await jane.exit_code() == 0
    finally:
        os.close(ours)
        os.close(theirs)


async def test_asks_for_a_name(make_daemon: Callable[..., Daemon]) -> None:
    """Where there is no token to be had, a terminal is asked for a guest name."""
    daemon = make_daemon()
    room = await daemon.room()
    del daemon.environ["ROOMD_AUTH_SECRET"]
    ours, theirs = pty.openpty()
    try:
        async with visiting(daemon, room["code"], stdin=theirs) as jane:
            os.write(ours, b"Jane\n")
            while "Jane (you, guest)" not in await jane.line():
                pass
            os.write(ours, b"/leave\n")
            await jane.until("You left.")
            assert await jane.exit_code() == 0
    finally:
        os.close(ours)
        os.close(theirs)


async def test_comes_back_after_a_crash(make_daemon: Callable[..., Daemon]) -> None:
    """After kill -9 and a restart, the same participant is back without being asked."""
    daemon = make_daemon()
    room = await daemon.room()
    async with visiting(daemon, room["code"], "--guest", "Jane") as jane:
        await jane.until("  Jane (you, guest)")
        before = await people(daemon, room["code"])
        daemon.kill()
        assert (await jane.line()).startswith("Connection lost; coming back in ")
        daemon.start()
        await jane.until("You are back.")
        assert await people(daemon, room["code"]) == before
        await jane.type("/leave")
        await jane.until("You left.")
        assert await jane.exit_code() == 0


async def test_comes_back_after_a_restart(make_daemon: Callable[..., Daemon]) -> None:
    """A daemon that restarts says when to come back; a seat that was not held that long is taken anew."""
    daemon = make_daemon(ROOMD_ROOMS_SEAT_HOLD="0")
    room = await daemon.room()
    async with visiting(daemon, room["code"], "--guest", "Jane") as jane:
        await jane.until("  Jane (you, guest)")
        assert daemon.stop() == 0
        await jane.expect("* The daemon restarts.")
        assert (await jane.line()).startswith("Connection lost; coming back in ")
        daemon.start()
        await jane.until("Your seat is no longer held, joining anew.")
        await jane.until("  Jane (you, guest)")
        await jane.type("/leave")
        await jane.until("You left.")
        assert await jane.exit_code() == 0


async def test_leaves_while_the_daemon_is_away(make_daemon: Callable[..., Daemon]) -> None:
    """Nobody has to wait for a daemon that does not come back."""
    daemon = make_daemon()
    room = await daemon.room()
    async with visiting(daemon, room["code"], "--guest", "Jane") as jane:
        await jane.until("  Jane (you, guest)")
        daemon.kill()
        assert (await jane.line()).startswith("Connection lost; coming back in ")
        await jane.type("/leave")
        assert await jane.exit_code() == 0


async def test_taken_over(daemon: Daemon) -> None:
    """Whoever joins again from elsewhere hears it here, and the two do not fight over the seat."""
    room = await daemon.room()
    async with visiting(daemon, room["code"], "--as", "bob") as bob, daemon.client("bob") as elsewhere:
        await bob.until("  bob (you)")
        await elsewhere.join(room["code"])
        await bob.until("Your seat was taken over by another connection of yours.")
        assert await bob.exit_code() == 1
        await elsewhere.nothing_more()


async def test_refused(daemon: Daemon) -> None:
    """A join that is refused ends with the code and the message."""
    room = await daemon.room(allowGuestAccess=False)
    async with visiting(daemon, room["code"], "--guest", "Jane") as jane:
        await jane.expect("guests_not_allowed: Guests are not allowed in this room", "")
        assert await jane.exit_code() == 1


async def people(daemon: Daemon, code: str) -> list[dict[str, Any]]:
    """Ask who is in a room."""
    async with daemon.client("alice") as alice:
        reply = await alice.ask("list-participants", code=code)
    listed: list[dict[str, Any]] = reply["participants"]
    return listed


async def seats(daemon: Daemon, code: str) -> int:
    """Ask how many seats of a room are taken."""
    return len(await people(daemon, code))
