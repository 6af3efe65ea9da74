"""`roomd top` on a pseudo-terminal, and where there is none."""

import asyncio
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from roomd.cli.top import duration, render, size, times
from roomd.protocol.admin import Activity, BusyRoom, ConnectionStatus, Distribution, NodeActivity
from tests.support.commands import roomd
from tests.support.daemon import Daemon, serving
from tests.support.processes import PATIENCE, end

UNREACHABLE = 3
QUIET = Distribution(bounds=[0.001, 0.1], counts=[0, 0, 0], total=0.0)


@pytest.fixture
def operated(tmp_path: Path) -> Iterator[Daemon]:
    """A daemon of its own."""
    with serving(tmp_path) as daemon:
        yield daemon


class Screen:
    """`roomd top` on a pseudo-terminal of 100 columns and 30 lines."""

    def __init__(self, daemon: Daemon) -> None:
        self.controller, terminal = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
        self.before = termios.tcgetattr(terminal)
        command = [sys.executable, "-m", "roomd", "top", "--interval", "0.2", "--database", str(daemon.database)]
        environ = {**os.environ, "TERM": "xterm-256color"}
        self.process = subprocess.Popen(
            command, stdin=terminal, stdout=terminal, stderr=terminal, env=environ, start_new_session=True
        )
        self.terminal = terminal
        self.text = ""

    def wait_for(self, pattern: str) -> None:
        """Read what is drawn until a pattern is in it; then forget it."""
        deadline = time.monotonic() + PATIENCE
        while not (found := re.search(pattern, self.text)):
            assert time.monotonic() < deadline, self.text
            if select.select([self.controller], [], [], 1)[0]:
                drawn = os.read(self.controller, 65_536).decode(errors="replace")
                self.text += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", drawn)
        self.text = self.text[found.end() :]

    def type(self, keys: bytes) -> None:
        """Press keys."""
        os.write(self.controller, keys)

    def ended(self) -> int:
        """Wait for the end; return the exit code. What is still drawn is read, so that nothing waits for it."""
        deadline = time.monotonic() + PATIENCE
        while self.process.poll() is None:
            assert time.monotonic() < deadline, "it does not end"
            self._read(0.1)
        while self._read(0):  # what it has drawn last
            pass
        return self.process.returncode

    def _read(self, seconds: float) -> bool:
        """Read what is drawn within so many seconds. Return whether anything was."""
        if not select.select([self.controller], [], [], seconds)[0]:
            return False
        self.text += os.read(self.controller, 65_536).decode(errors="replace")
        return True

    def close(self) -> None:
        end(self.process)
        os.close(self.controller)
        os.close(self.terminal)


@pytest.fixture
def screen(operated: Daemon) -> Iterator[Screen]:
    """What an operator has before them."""
    shown = Screen(operated)
    try:
        yield shown
    finally:
        shown.close()


async def test_it_follows_the_daemon_until_q(operated: Daemon, screen: Screen) -> None:
    """Who joins appears at the next look. q ends it, and the terminal is as it was."""
    await asyncio.to_thread(screen.wait_for, r"rooms: +0 with 0 people")
    code = (await operated.room())["code"]
    async with operated.client("alice") as alice:
        await alice.join(code)
        await asyncio.to_thread(screen.wait_for, r"rooms: +1 with 1 people")
        await asyncio.to_thread(screen.wait_for, rf"{code} +1 +0 +0 ")
        for _ in range(5):
            await alice.ask("ping")
        await asyncio.to_thread(screen.wait_for, r"a second: +[1-9][0-9.]* requests")
        screen.type(b"xq")
        assert await asyncio.to_thread(screen.ended) == 0
    assert termios.tcgetattr(screen.terminal) == screen.before
    assert "\x1b[?1049l" in screen.text, "the screen from before is shown again"


def test_ctrl_c_ends_it(screen: Screen) -> None:
    """As an orderly end, without a traceback."""
    screen.wait_for("serving")
    screen.process.send_signal(signal.SIGINT)
    assert screen.ended() == 0
    assert "Traceback" not in screen.text
    assert termios.tcgetattr(screen.terminal) == screen.before


def test_a_daemon_that_goes_away(operated: Daemon, screen: Screen) -> None:
    """It ends with the reason, and gives the terminal back."""
    screen.wait_for("serving")
    operated.stop()
    assert screen.ended() == UNREACHABLE
    assert termios.tcgetattr(screen.terminal) == screen.before


def test_no_terminal(operated: Daemon) -> None:
    """It is printed once, without a control character."""
    result = roomd("top", "--interval", "0.1", "--database", operated.database)
    assert result.exit_code == 0
    assert "0 with 0 people" in result.output
    assert "\x1b" not in result.output
    assert roomd("top", "--interval", "0", "--database", operated.database).exit_code == 2


def text_of(before: Activity, after: Activity, rows: int = 10) -> str:
    """Draw two looks on 100 columns."""
    console = Console(width=100, color_system=None)
    with console.capture() as drawn:
        console.print(render(before, after, rows))
    return drawn.get()


IDLE = Activity(
    version="1.2.3", pid=7, uptime=100.0, is_draining=False, rooms=2, members=9, held=1, waiting=3, connections=10,
    strangers=1, limit=100, requests=50, joins=10, resumes=2, refusals=0, received=1000, sent=5000, commits=QUIET,
    lag=QUIET, memory=60 << 20, busiest=[], slow=0, slowest=[],
)  # fmt: skip


def test_rates_of_two_looks() -> None:
    """Totals become rates; busy rooms are listed as many as fit, and slow clients without control characters."""
    slow = ConnectionStatus(
        number=17, user_id="[red]al\x1bice", seat="abc-def-ghi", waits=None, participant_id="p", seconds=5.0,
        unsent=3 << 20, is_full=True,
    )  # fmt: skip
    rooms = [BusyRoom(code=f"room-{number}", members=4, held=0, waiting=0, rate=2.5) for number in range(5)]
    after = msgspec.structs.replace(
        IDLE, uptime=104.0, is_draining=True, requests=90, joins=14, refusals=2, received=5096, sent=13192,
        commits=Distribution(bounds=QUIET.bounds, counts=[99, 1, 0], total=0.2), slow=1, slowest=[slow], busiest=rooms,
        lag=Distribution(bounds=QUIET.bounds, counts=[0, 0, 1], total=0.3),
    )  # fmt: skip
    text = text_of(IDLE, after, rows=3)
    assert "1.2.3, draining, process 7, for 1 min 44 s" in text
    assert "10.0 requests, 1.0 joins, 0.0 resumes, 0.5 refusals" in text
    assert "1.0 KiB/s received, 2.0 KiB/s sent" in text
    assert "25.0 transactions/s, 2.0 ms on average, 99 % below 1 ms" in text
    assert "300.0 ms on average, 99 % above 100 ms" in text
    assert ("room-2" in text, "room-3" in text) == (True, False)
    assert r"[red]al\x1bice" in text
    assert "3.0 MiB" in text


def test_a_daemon_that_was_started_again() -> None:
    """Its totals have begun anew: no rate is below 0."""
    for pid in (8, IDLE.pid):  # in a container each has the same id
        again = msgspec.structs.replace(IDLE, pid=pid, uptime=1.0, requests=3)
        assert "0.0 requests" in text_of(IDLE, again)
        assert "late by:      -" in text_of(IDLE, again)


def test_a_cluster() -> None:
    """A line for each node, and the sums of those that answer; one that was started again has no rates."""
    busy = msgspec.structs.replace(
        IDLE, uptime=104.0, requests=90, busiest=[BusyRoom(code="room-b", members=4, held=0, waiting=0, rate=2.5)]
    )
    again = msgspec.structs.replace(busy, pid=9, uptime=1.0, busiest=[])
    before = msgspec.structs.replace(IDLE, nodes=[nodes_activity(name, IDLE) for name in "abc"])
    after = msgspec.structs.replace(
        busy,
        busiest=[],
        nodes=[nodes_activity("a", busy), nodes_activity("b", busy), nodes_activity("c", again), *LOST],
    )
    text = text_of(before, after)
    assert "3 of 5 answer" in text
    assert "6 with 27 people; 3 seats held, 9 people wait" in text
    assert "20.0 requests" in text
    assert [line.split() for line in text.splitlines() if " 10.0 " in line or line.startswith(("c ", "d ", "e "))] == [
        ["a", "serving", "2", "9", "10", "10.0", "60.0", "MiB"],
        ["b", "serving", "2", "9", "10", "10.0", "60.0", "MiB"],
        ["c", "serving", "2", "9", "10", "0.0", "60.0", "MiB"],
        ["d", "no", "answer", *"-----"],
        ["e", "lost", *"-----"],
    ]
    assert text.count("room-b") == 2
    silent = msgspec.structs.replace(IDLE, nodes=[*LOST])
    assert "2 with 9 people" in text_of(silent, silent)


def nodes_activity(name: str, activity: Activity) -> NodeActivity:
    return NodeActivity(name=name, state="serving", activity=activity)


LOST = (
    NodeActivity(name="d", state="no answer", activity=None),
    NodeActivity(name="e", state="lost", activity=None),
)


def test_figures_for_people() -> None:
    """Sizes and times have the units that fit."""
    assert [size(count) for count in (0, 1023, 1536, 5 << 20, 3 << 30)] == [
        "0 B", "1023 B", "1.5 KiB", "5.0 MiB", "3.0 GiB",
    ]  # fmt: skip
    assert [duration(seconds) for seconds in (0.4, 61, 7200, 90_000)] == ["0 s", "1 min 1 s", "2 h 0 min", "1 d 1 h"]
    assert times(QUIET) == ""
