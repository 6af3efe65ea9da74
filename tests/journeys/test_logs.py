"""The log as an operator has it: priorities for the journal, and few lines whatever clients do."""

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from tests.support.daemon import PATIENT, Daemon
from tests.support.processes import PATIENCE, end, free_port, spawn

MakeDaemon = Callable[..., Daemon]
LINE = re.compile(r"<(\d)>(.*)")
PRIORITY = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}
"""The priorities of syslog(3) by level."""


class Journal:
    """The other end of a service's standard error, like the journal: a stream socket that JOURNAL_STREAM names."""

    def __init__(self) -> None:
        self.text = ""
        self.grown = threading.Condition()
        self._reading, self.stream = socket.socketpair()
        status = os.fstat(self.stream.fileno())
        self.environ = {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        while data := self._reading.recv(65_536):
            with self.grown:
                self.text += data.decode()
                self.grown.notify_all()

    def wait_for(self, text: str) -> None:
        """Wait until a text was written."""
        with self.grown:
            assert self.grown.wait_for(lambda: text in self.text, PATIENCE), self.text

    def close(self) -> list[tuple[int, str]]:
        """Return the priority and the rest of each line, when the service has ended."""
        self.stream.close()
        self._thread.join(PATIENCE)
        self._reading.close()
        matches = [LINE.fullmatch(line) for line in self.text.splitlines()]
        assert all(matches), self.text
        return [(int(match[1]), match[2]) for match in matches if match]


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """The environment of a service with a configuration file."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("ROOMD_")}
    paths = {"ROOMD_DATABASE_PATH": str(tmp_path / "roomd.db"), "ROOMD_CONFIG": str(tmp_path / "roomd.toml")}
    return {**clean, **paths, "ROOMD_SERVER_PORT": str(free_port()), "ROOMD_SERVER_LOG_LEVEL": "debug"}


@contextlib.contextmanager
def served(environ: dict[str, str], journal: Journal, *arguments: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a service, or another command of one, and kill it in the end if it still runs."""
    command = [sys.executable, "-m", "roomd", *(arguments or ["serve"])]
    process = spawn(command, env={**environ, **journal.environ}, stdout=journal.stream, stderr=journal.stream)
    try:
        yield process
    finally:
        end(process)


def test_each_line_for_the_journal_has_its_priority(environ: dict[str, str]) -> None:
    """`<N>` stands before the JSON, which is as always, on one line: so `journalctl -p err` shows the errors."""
    file, journal = Path(environ["ROOMD_CONFIG"]), Journal()
    file.touch(0o600)
    with served(environ, journal) as process:
        journal.wait_for('"listening"')
        file.write_text("[limits]\nframe = 'large'")
        process.send_signal(signal.SIGHUP)
        journal.wait_for('"not reloaded"')
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
    lines = [(number, json.loads(text)) for number, text in journal.close()]
    assert all(number == PRIORITY[line["level"]] for number, line in lines)
    assert [line["event"] for number, line in lines if number <= 3] == ["not reloaded"]
    assert {"listening", "stopped"} <= {line["event"] for number, line in lines if number == 6}


@pytest.mark.parametrize("text", ["[limits]\nframe = 'large'", "[auth]\nsecret_file = '/nowhere'"])
def test_the_reason_of_a_failed_start_is_an_error(environ: dict[str, str], text: str) -> None:
    """It is for people and has no JSON, and `journalctl -p err` shows it, too."""
    file, journal = Path(environ["ROOMD_CONFIG"]), Journal()
    file.write_text(text)
    with served(environ, journal) as process:
        assert process.wait(PATIENCE) == 2
    ((priority, line),) = journal.close()
    assert (priority, line[:7]) == (3, "roomd: ")


@pytest.mark.parametrize("arguments", [("reload",), ("backup", "/nowhere/roomd.db")], ids=" ".join)
def test_the_failure_of_a_command_is_an_error(environ: dict[str, str], arguments: tuple[str, ...]) -> None:
    """The reload and the backup of a service say in its journal why they failed, and `journalctl -p err` shows it."""
    journal = Journal()
    Path(environ["ROOMD_CONFIG"]).touch(0o600)
    with served(environ, journal, *arguments) as process:
        assert process.wait(PATIENCE) > 0
    assert {(priority, line[:7]) for priority, line in journal.close()} == {(3, "roomd: ")}


def test_another_stream_has_no_priorities(environ: dict[str, str]) -> None:
    """A service that redirects its standard error to a file still has JOURNAL_STREAM, which then names another one."""
    journal = Journal()
    Path(environ["ROOMD_CONFIG"]).write_text("[limits]\nframe = 'large'")
    command = [sys.executable, "-m", "roomd", "serve"]
    done = subprocess.run(command, env={**environ, **journal.environ}, capture_output=True, timeout=PATIENCE)
    assert (done.returncode, done.stderr[:7]) == (2, b"roomd: ")
    assert journal.close() == []


def lines_of(daemon: Daemon) -> list[dict[str, Any]]:
    """Return the lines of the log."""
    return [json.loads(line) for line in daemon.log.read_text().splitlines()]


REQUESTS = {
    "an unknown room": {"type": "join-room", "code": "aaa-bbb-ccc", "guestName": "Jane"},
    "no room": {"type": "leave-room"},
    "an unknown type": {"type": "shout"},
}


async def test_refusals_are_summed_up(make_daemon: MakeDaemon) -> None:
    """Four guests whose requests are all refused have one line each: how many, by the code of the error."""
    daemon = make_daemon(**PATIENT)

    async def flood() -> Counter[str]:
        async with daemon.client() as client:
            for number in range(1000):
                await client.websocket.send(json.dumps([*REQUESTS.values()][number % len(REQUESTS)]))
            return Counter([(await client.receive())["code"] for _ in range(1000)])

    codes = await asyncio.gather(*(flood() for _ in range(4)))
    assert [sum(one.values()) for one in codes] == [1000] * 4
    await asyncio.to_thread(daemon.stop)
    lines = lines_of(daemon)
    refusals = [line["codes"] for line in lines if line["event"] == "refusals"]
    assert refusals == codes
    assert Counter(line["event"] for line in lines)["refused"] == 0
    assert len(lines) < 4 * 3 + 10


async def test_refusals_of_a_long_connection_are_logged_each_minute(make_daemon: MakeDaemon) -> None:
    """A client that stays has a line a minute with what was refused in it, and none for a minute without."""
    daemon = make_daemon(steered=True)
    async with daemon.client() as client:
        for count in (3, 2):
            for _ in range(count):
                await client.ask("leave-room")
            daemon.advance(60)
            await asyncio.to_thread(daemon.wait_for_log, f'{{"not_in_room":{count}}}')
        daemon.advance(60)
    await asyncio.to_thread(daemon.stop)
    refusals = [line["codes"] for line in lines_of(daemon) if line["event"] == "refusals"]
    assert refusals == [{"not_in_room": 3}, {"not_in_room": 2}]


async def test_each_refused_request_is_a_line_of_debug(make_daemon: MakeDaemon) -> None:
    """Who looks for the reason sets the level to debug."""
    daemon = make_daemon(ROOMD_SERVER_LOG_LEVEL="debug")
    async with daemon.client() as client:
        await client.ask("leave-room")
        await client.ask("leave-room")
    await asyncio.to_thread(daemon.stop)
    refused = [(line["level"], line["code"]) for line in lines_of(daemon) if line["event"] == "refused"]
    assert refused == [("debug", "not_in_room")] * 2


async def test_joins_without_end_do_not_fill_the_log(make_daemon: MakeDaemon) -> None:
    """A guest who joins again and again is in the log a thousand times, then seldom; errors are never left out."""
    daemon = make_daemon(**PATIENT)
    room = await daemon.room()
    async with daemon.client() as guest:
        join = json.dumps({"type": "join-room", "code": room["code"], "guestName": "Jane"})
        with contextlib.suppress(ConnectionClosed):
            for _ in range(2000):
                await guest.websocket.send(join)
        for _ in range(2000):
            while (await guest.receive())["type"] != "participant":
                pass
    await asyncio.to_thread(daemon.stop)
    joined = [line for line in lines_of(daemon) if line["event"] == "joined"]
    assert 1000 <= len(joined) < 2000
    assert len(joined) + sum(line.get("left_out", 0) for line in joined) <= 2000
