"""`roomd bench` against a real daemon: what it prints, what it leaves behind, and how it ends."""

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime

import pytest

from roomd.load.runner import WARM_UP
from tests.support.daemon import Daemon, serving
from tests.support.forking import completed
from tests.support.processes import PATIENCE, free_port, spawned

OK, REFUSED, MISUSED, UNREACHABLE = 0, 1, 2, 3


def bench(daemon: Daemon, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return completed(["bench", *arguments], daemon.environ)


@pytest.fixture(scope="module")
def swift(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon that runs as fast as it can."""
    with serving(tmp_path_factory.mktemp("swift")) as daemon:
        yield daemon


def rooms(daemon: Daemon, user: str) -> list[bool]:
    """Whether each room that a user ever made is active."""

    async def listed() -> list[bool]:
        async with daemon.client(user) as client:
            return [room["isActive"] for room in (await client.ask("list-rooms"))["rooms"]]

    return asyncio.run(listed())


POLL = 0.02
"""Seconds between two looks, so that they stay below the rate limit."""


async def until_it_counts(daemon: Daemon, user: str) -> None:
    """Wait until somebody joined the user's room well after the first, when it has warmed up, and has left."""
    first = 0.0
    later: set[str] = set()
    async with asyncio.timeout(PATIENCE), daemon.client(user) as client:
        while not (rooms := (await client.ask("list-rooms"))["rooms"]):  # noqa: ASYNC110 - of another process
            await asyncio.sleep(POLL)
        while True:
            await asyncio.sleep(POLL)
            seen = await client.ask("list-participants", code=rooms[0]["code"])
            joined = {one["id"]: datetime.fromisoformat(one["joinedAt"]).timestamp() for one in seen["participants"]}
            if later - joined.keys():
                return
            first = first or min(joined.values(), default=0.0)
            later |= {key for key, at in joined.items() if at > first + 2 * WARM_UP}


def test_guests_join_and_leave_rooms_of_its_own(swift: Daemon) -> None:
    """It counts both, says how long they took, and ends the rooms it made."""
    done = bench(swift, "--clients", "10", "--seconds", "2", "--room-size", "3", "--json", "--as", "ann")
    assert (done.returncode, done.stderr) == (OK, "")
    found = json.loads(done.stdout)
    assert (found["clients"], found["rooms"], found["errors"]) == (10, 4, {})
    assert found["joins"]["count"] > 0
    assert found["leaves"]["count"] > 0
    assert 0 < found["joins"]["p50"] <= found["joins"]["p99"]
    assert rooms(swift, "ann") == [False] * 4


def test_it_is_told_to_people(daemon: Daemon) -> None:
    done = bench(daemon, "--clients", "4", "--seconds", "2")
    assert (done.returncode, done.stderr) == (OK, "")
    words = [line[:16].strip() for line in done.stdout.splitlines()]
    assert words[:5] == ["clients", "joins + leaves", "a join takes", "a leave takes", "errors"]
    assert done.stdout.splitlines()[4].endswith("none")


async def test_a_room_that_is_there(daemon: Daemon) -> None:
    """It is not ended; where it is too small, that is an error that is counted."""
    room = await daemon.room(maxParticipants=2)
    arguments = ("--clients", "6", "--seconds", "2", "--code", room["code"], "--json")
    done = await asyncio.to_thread(bench, daemon, *arguments)
    found = json.loads(done.stdout)
    assert (done.returncode, found["rooms"], list(found["errors"])) == (OK, 1, ["room_full"])
    async with daemon.client() as guest:
        shown = await guest.ask("get-room", code=room["code"])
        assert (shown["room"]["isActive"], shown["room"]["participantCount"]) == (True, 0)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_early(swift: Daemon, number: int) -> None:
    """It reports what there is, and cleans up."""
    user = f"bob-{number}"
    command = [sys.executable, "-m", "roomd", "bench", "--clients", "4", "--seconds", "600", "--json", "--as", user]
    with spawned(command, env=swift.environ, stdout=subprocess.PIPE, text=True) as process:
        asyncio.run(until_it_counts(swift, user))
        process.send_signal(number)
        output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == OK
    assert json.loads(output)["joins"]["count"] > 0
    assert rooms(swift, user) == [False]


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
        env={**daemon.environ, "COLUMNS": "200"}, capture_output=True, text=True, timeout=PATIENCE,
        check=False,
    )  # fmt: skip
    assert done.returncode == MISUSED
    assert done.stderr == "roomd: bench needs picows: pip install 'roomd[bench]'\n"
