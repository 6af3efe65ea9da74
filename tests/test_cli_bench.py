"""`roomd bench` against a real daemon: what it prints, what it leaves behind, and how it ends."""

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from tests.conftest import PATIENCE, UNMEASURED, Daemon, free_port

OK, REFUSED, MISUSED, UNREACHABLE = 0, 1, 2, 3


def bench(daemon: Daemon, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "roomd", "bench", *arguments]
    return subprocess.run(command, env=daemon.environ, capture_output=True, text=True, timeout=60, check=False)


def rooms(daemon: Daemon) -> list[bool]:
    """Whether each room there ever was is active."""
    listed = subprocess.run(
        [sys.executable, "-m", "roomd", "room", "list", "--json"],
        env=daemon.environ, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    return [room["isActive"] for room in json.loads(listed.stdout)["rooms"]]


def test_guests_join_and_leave_rooms_of_its_own(make_daemon: Callable[..., Daemon]) -> None:
    """It counts both, says how long they took, and ends the rooms it made."""
    daemon = make_daemon(**UNMEASURED)
    done = bench(daemon, "--clients", "10", "--seconds", "0.5", "--room-size", "3", "--json")
    assert (done.returncode, done.stderr) == (OK, "")
    found = json.loads(done.stdout)
    assert (found["clients"], found["rooms"], found["errors"]) == (10, 4, {})
    assert found["joins"]["count"] > 0
    assert found["leaves"]["count"] > 0
    assert 0 < found["joins"]["p50"] <= found["joins"]["p99"]
    assert rooms(daemon) == [False] * 4


def test_it_is_told_to_people(daemon: Daemon) -> None:
    done = bench(daemon, "--clients", "4", "--seconds", "0.2")
    assert (done.returncode, done.stderr) == (OK, "")
    words = [line[:16].strip() for line in done.stdout.splitlines()]
    assert words[:5] == ["clients", "joins + leaves", "a join takes", "a leave takes", "errors"]
    assert done.stdout.splitlines()[4].endswith("none")


async def test_a_room_that_is_there(daemon: Daemon) -> None:
    """It is not ended; where it is too small, that is an error that is counted."""
    room = await daemon.room(maxParticipants=2)
    arguments = ("--clients", "6", "--seconds", "0.7", "--code", room["code"], "--json")
    done = await asyncio.to_thread(bench, daemon, *arguments)
    found = json.loads(done.stdout)
    assert (done.returncode, found["rooms"], list(found["errors"])) == (OK, 1, ["room_full"])
    async with daemon.client() as guest:
        shown = await guest.ask("get-room", code=room["code"])
        assert (shown["room"]["isActive"], shown["room"]["participantCount"]) == (True, 0)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_early(make_daemon: Callable[..., Daemon], number: int) -> None:
    """It reports what there is, and cleans up."""
    daemon = make_daemon(**UNMEASURED)
    command = [sys.executable, "-m", "roomd", "bench", "--clients", "4", "--seconds", "600", "--json"]
    with subprocess.Popen(command, env=daemon.environ, stdout=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + PATIENCE
        while not any(rooms(daemon)):
            assert time.monotonic() < deadline
        time.sleep(1)  # it joins and leaves
        process.send_signal(number)
        output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == OK
    assert json.loads(output)["joins"]["count"] > 0
    assert rooms(daemon) == [False]


def test_whom_the_daemon_does_not_know_it_refuses(daemon: Daemon) -> None:
    done = bench(daemon, "--token", "x.y.z")
    assert (done.returncode, done.stdout) == (REFUSED, "")
    assert done.stderr.startswith("invalid_token: ")
    assert bench(daemon, "--code", "aaa-aaa-aaa").stderr == "room_not_found: Room not found\n"


def test_a_daemon_that_is_not_there(daemon: Daemon) -> None:
    done = bench(daemon, "--url", f"ws://127.0.0.1:{free_port()}/ws")
    assert (done.returncode, done.stdout) == (UNREACHABLE, "")


def test_more_clients_than_files(daemon: Daemon) -> None:
    done = bench(daemon, "--clients", "2000000000")
    assert done.returncode == MISUSED
    assert "open files" in done.stderr


def test_without_picows_it_says_what_to_install(daemon: Daemon) -> None:
    program = "import sys; sys.modules['picows'] = None; from roomd.__main__ import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, "bench"],
        env={**daemon.environ, "COLUMNS": "200"}, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert done.returncode == MISUSED
    assert done.stderr == "roomd: bench needs picows: pip install 'roomd[bench]'\n"
