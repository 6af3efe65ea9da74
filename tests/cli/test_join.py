"""`roomd join`: what a person at a terminal, or a script with a pipe, sees of a room."""

import asyncio
import contextlib
import os
import pty
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import jwt
import pytest

from roomd.cli.meeting_text import HELLO
from tests.support.daemon import SECRET, Daemon
from tests.support.processes import PATIENCE, child


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
    command = [sys.executable, "-m", "roomd", "join", code, *options]
    pipes = {"stdin": stdin, "stdout": PIPE, "stderr": asyncio.subprocess.STDOUT}
    async with child(*command, **pipes, env=daemon.environ) as process:
        yield Visitor(process)


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
    """/leave gives the seat up at once; a command that is none is answered with where to find them."""
    room = await daemon.room()
    async with visiting(daemon, room["code"].upper(), "--as", "bob") as bob:
        await bob.until("  bob (you)")
        await bob.type("/nonsense")
        await bob.expect("There is no such command; /help lists them. Use /say to send text that begins with /.")
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
    daemon = make_daemon(measured=True)
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
        assert (await jane.line()).startswith("Connection lost; reconnecting in ")
        daemon.start()
        await jane.until("You are back.")
        assert await people(daemon, room["code"]) == before
        await jane.type("/leave")
        await jane.until("You left.")
        assert await jane.exit_code() == 0


async def test_takes_its_seat_back_after_it_was_killed(daemon: Daemon, tmp_path: Path) -> None:
    """With --seat, the command started again is the same participant, also in a room that was locked meanwhile."""
    room = await daemon.room()
    seat = ["--token", daemon.token("bob"), "--seat", str(tmp_path / "seat")]
    async with visiting(daemon, room["code"], *seat) as bob:
        await bob.until("  bob (you)")
        bob.process.kill()
        assert await bob.exit_code() == -signal.SIGKILL
    before = await people(daemon, room["code"])
    async with daemon.client("alice") as alice:
        assert (await alice.ask("update-room", code=room["code"], isLocked=True))["type"] == "room"
    async with visiting(daemon, room["code"], *seat) as bob:
        await bob.until("  bob (you)")
        assert [one["id"] for one in await people(daemon, room["code"])] == [one["id"] for one in before]
        await bob.type("/leave")
        await bob.until("You left.")
        assert await bob.exit_code() == 0
    assert not (tmp_path / "seat").exists()


async def test_a_seat_that_cannot_be_kept(daemon: Daemon, tmp_path: Path) -> None:
    """A place for the file that does not exist is an error, before anything is done."""
    room = await daemon.room()
    async with visiting(daemon, room["code"], "--guest", "Jane", "--seat", str(tmp_path / "no" / "seat")) as jane:
        assert await jane.exit_code() == 2
    assert await people(daemon, room["code"]) == []


async def test_comes_back_after_a_restart(make_daemon: Callable[..., Daemon]) -> None:
    """A daemon that restarts says when to come back; a seat that was not held that long is taken anew."""
    daemon = make_daemon(ROOMD_ROOMS_SEAT_HOLD="0")
    room = await daemon.room()
    async with visiting(daemon, room["code"], "--guest", "Jane") as jane:
        await jane.until("  Jane (you, guest)")
        assert daemon.stop() == 0
        await jane.expect("* The daemon restarts")
        assert (await jane.line()).startswith("Connection lost; reconnecting in ")
        daemon.start()
        await jane.until("Your seat is no longer held; joining again.")
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
        assert (await jane.line()).startswith("Connection lost; reconnecting in ")
        await jane.type("/leave")
        assert await jane.exit_code() == 0


async def test_taken_over(daemon: Daemon) -> None:
    """Whoever joins again from elsewhere hears it here, and the two do not fight over the seat."""
    room = await daemon.room()
    async with visiting(daemon, room["code"], "--as", "bob") as bob, daemon.client("bob") as elsewhere:
        await bob.until("  bob (you)")
        await elsewhere.join(room["code"])
        await bob.until("Your seat is in use on another device. Join again to use it here.")
        assert await bob.exit_code() == 1
        await elsewhere.nothing_more()


async def test_talks(daemon: Daemon) -> None:
    """What is typed is said, to all or to one; names and texts steer no terminal."""
    room = await daemon.room()
    async with daemon.client("alice") as alice, visiting(daemon, room["code"], "--guest", "Jane") as jane:
        await jane.until("  Jane (you, guest)")
        me = (await alice.join(room["code"]))["participant"]
        await jane.expect("+ alice (host) joined")
        await alice.send("send-message", text="Hello\n\x1b[2J")
        await jane.expect("alice: Hello\\n\\x1b[2J")
        await jane.type("Good morning")
        await jane.expect("you: Good morning")
        await jane.type("/msg ALICE between us")
        await jane.expect("you to alice alone: between us")
        said = [frame["message"] for frame in await alice.events() if frame["type"] == "message"]
        assert [(one["text"], one["to"]) for one in said[1:]] == [("Good morning", None), ("between us", me["id"])]
        await alice.send("update-participant", state={"muted": True})
        await jane.expect('~ alice is now {"muted":true}')
        await jane.type("/lock")
        await jane.expect("not_host: Only the host can do this")
    async with visiting(daemon, room["code"], "--guest", "Joe") as joe:
        await joe.until("alice: Hello\\n\\x1b[2J")
        await joe.expect("Jane: Good morning")


async def test_the_lobby(daemon: Daemon) -> None:
    """A host sees who waits, lets in and sends away by name; each hears it in clear words."""
    code = (await daemon.room(waitingRoom=True))["code"]
    async with (
        visiting(daemon, code, "--as", "alice") as alice,
        visiting(daemon, code, "--guest", "Jane Smith") as jane,
    ):
        await jane.expect("You wait for the host to let you in, at position 1.")
        await alice.until("* In the queue: Jane Smith (guest)")
        async with visiting(daemon, code, "--as", "bob") as bob:
            await bob.expect("You wait for the host to let you in, at position 2.")
            await alice.until("* In the queue: Jane Smith (guest), bob")
            await alice.type("/deny jane smith")
            await jane.until("The host declined to let you in.")
            assert await jane.exit_code() == 1
            await alice.type("/admit all")
            await bob.until("  bob (you)")


async def test_hosts(daemon: Daemon) -> None:
    """A host removes, bans, locks and ends from the keyboard; who is sent away hears why, and that is a failure."""
    code = (await daemon.room())["code"]
    async with visiting(daemon, code, "--as", "alice") as alice:
        await alice.until("  alice (you, host)")
        for command, words in (("/remove bob too loud", ": too loud"), ("/ban bob", ".")):
            async with visiting(daemon, code, "--as", "bob") as bob:
                await alice.until("+ bob joined")
                await alice.type(command)
                await bob.until(f"The host removed you from the room{words}")
                assert await bob.exit_code() == 1
        async with visiting(daemon, code, "--as", "bob") as bob:
            await bob.expect("banned: You were removed from this room", "")
            assert await bob.exit_code() == 1
        for command, line in (("/lock", "locked"), ("/unlock", "open again")):
            await alice.type(command)
            await alice.until(f"* The room is {line}")
        await alice.type("/end")
        await alice.until("The room has ended.")
        assert await alice.exit_code() == 0


async def test_waits_for_a_seat(daemon: Daemon) -> None:
    """With --wait a full room is waited for, and the place is told as it changes; without it, full is full."""
    room = await daemon.room(maxParticipants=2)
    code = room["code"]
    async with daemon.client("alice") as alice, daemon.client("bob") as bob:
        await alice.join(code)
        await bob.join(code)
        async with visiting(daemon, code, "--guest", "Jane") as jane:
            await jane.expect("room_full: Room is full", "")
            assert await jane.exit_code() == 1
        async with visiting(daemon, code, "--guest", "Jane", "--wait") as jane:
            await jane.expect("You wait for a seat, at position 1.")
            async with visiting(daemon, code, "--guest", "Joe", "--wait") as joe:
                await joe.expect("You wait for a seat, at position 2.")
                await joe.type("anybody there?")
                await joe.expect("You cannot send messages while you wait.")
                await bob.ask("leave-room")
                await jane.expect(HELLO)
                await joe.expect("You wait for a seat, at position 1.")
                await joe.type("/leave")
                await joe.expect("You left.", "")
                assert await joe.exit_code() == 0
            await alice.send("end-room", code=code)
            await jane.until("The room has ended.")
            assert await jane.exit_code() == 0


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


async def test_a_link_with_a_ticket(daemon: Daemon) -> None:
    """The ticket is exchanged, and the link serves once."""
    code = (await daemon.room())["code"]
    now = time.time()
    ticket = jwt.encode({"sub": "bob", "exp": now + 300, "jti": "t1", "roomd": {"ticket": 3600}}, SECRET, "HS256")
    link = f"https://meet.example/#code={code}&ticket={ticket}"
    async with visiting(daemon, link, "--url", daemon.url) as visitor:
        await visitor.until(HELLO)
        async with daemon.client("alice") as host:
            people = (await host.join(code))["state"]["participants"]
            assert [person["userId"] for person in people] == ["bob", "alice"]
        await visitor.type("/leave")
        assert await visitor.exit_code() == 0
    async with visiting(daemon, link, "--url", daemon.url) as visitor:
        await visitor.expect("invalid_token: The ticket was used before", "")  # no word of another daemon
        assert await visitor.exit_code() == 1
    async with visiting(daemon, link, "--guest", "Jane") as visitor:
        assert await visitor.exit_code() == 2
