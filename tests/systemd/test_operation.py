"""What an operator and a machine do to a service that runs: reloads, a full disk, a clock that is set."""

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.crowds import Meeting, client, inside
from tests.support.daemon import error
from tests.support.processes import PATIENCE
from tests.support.systemd import LONG, Machine
from tests.support.units import CONFIG, SECRET, STATE, UNITS, Service, until

RELOAD = ("systemctl", "reload", "roomd")
WATCHDOG = 10
"""The seconds of the watchdog. It is notified in half of that, which leaves a busy machine the other half."""


def lives(service: Service) -> dict[str, str]:
    """Return which process runs; it is the same as long as systemd has not started another one."""
    found = service.machine.properties("roomd", "ActiveState", "InvocationID", "MainPID", "NRestarts")
    assert found["ActiveState"] == "active"
    assert found["NRestarts"] == "0"
    return found


def until_watchdog(machine: Machine) -> None:
    """Wait until the daemon has notified the watchdog once more."""
    show = ("systemctl", "show", "roomd", "--property=WatchdogTimestampMonotonic")
    before = machine.run(*show)
    machine.wait(*show, until=lambda now: now != before)


def test_a_reload(service: Service) -> None:
    """A lower limit, another log level and another secret hold from then on, and who has a seat keeps it."""
    service.start(*UNITS)
    before, machine = lives(service), service.machine

    async def scene() -> None:
        old = service.token("bob", time.time() + 3600)
        async with Meeting(service).held() as meeting:
            machine.write(CONFIG, "[server]\nlog_level = 'debug'\n[limits]\nconnections = 2\n")
            machine.run("sh", "-c", f"head -c 32 /dev/urandom | base64 > {SECRET}")
            began = time.monotonic()
            machine.run(*RELOAD)
            print(f"systemctl reload: {time.monotonic() - began:.2f} s")
            status = service.status()
            assert (status["limit"], status["logLevel"], status["connections"]) == (2, "debug", 2)
            assert service.reasons() == ["at the connection limit"]
            await meeting.talk()

            machine.write(CONFIG, "[limits]\nconnections = 20\n")
            hang_up(machine)
            status = service.status()
            assert (status["limit"], status["logLevel"]) == (20, "info")
            await meeting.talk()
            async with client(old) as bob:
                assert await bob.ask("ping") == error("invalid_token")
            async with client(service.token("bob", time.time() + 3600)) as bob:
                await bob.join(meeting.code)

    inside(machine, scene())
    assert lives(service) == before


WRONG = {
    "[server]\nping_interval = 'often'\n": "server.ping_interval: Expected `float`, got `str`",
    "[limits]\nconnections = 2\n[server]\nport = 9000\n": "server.port: cannot change while roomd runs",
    "[auth]\nsecret_file = '/etc/roomd/none'\n": "auth.secret_file",
}
"""Settings that cannot be used, and what is said of them."""


def test_a_reload_that_is_refused(service: Service) -> None:
    """It fails with the reason, by `systemctl reload` and by SIGHUP, and nothing has changed."""
    service.start(*UNITS)
    before, machine = lives(service), service.machine
    status, known = service.status(), 0

    def lines(text: str) -> list[str]:
        return [line for line in machine.journal("roomd")[known:] if text in line]

    async def scene(settings: str, reason: str) -> None:
        async with Meeting(service).held() as meeting:
            machine.write(CONFIG, settings)
            done = machine.tried(*RELOAD)
            assert (done.returncode, "Job for roomd.service failed" in done.stderr) == (1, True)
            assert any(line.startswith("roomd: ") for line in lines(reason))
            told = len(lines("not reloaded"))
            hang_up(machine)
            until(lambda: len(lines("not reloaded")) > told, "the daemon does not say what is wrong")
            assert all(reason in line for line in lines("not reloaded"))
            await meeting.talk()
            assert (await meeting.newcomer())["type"] == "participant"

    for settings, reason in WRONG.items():
        known = len(machine.journal("roomd"))
        inside(machine, scene(settings, reason))
    after = service.status()
    assert (after["limit"], after["logLevel"], after["addresses"]) == (status["limit"], "info", status["addresses"])
    assert lives(service) == before


def hang_up(machine: Machine) -> None:
    """Send SIGHUP to the daemon, and wait until systemd saw it reload (RELOADING) and serve again (READY)."""
    show = ("systemctl", "show", "roomd", "--property=ActiveState,StateChangeTimestampMonotonic")
    before = machine.run(*show)
    assert "ActiveState=active\n" in before
    machine.run("systemctl", "kill", "--signal=HUP", "--kill-who=main", "roomd")
    machine.wait(*show, until=lambda now: now != before and "ActiveState=active\n" in now)


def journal(service: Service, *options: str) -> list[tuple[int, str]]:
    """Return the priority and the text of each line of roomd, and not of systemd, in the journal of the service."""
    lines = service.machine.journal("roomd", "--identifier=roomd", "--output=json", *options)
    return [(int(line["PRIORITY"]), line["MESSAGE"]) for line in map(json.loads, lines)]


def test_the_journal_finds_errors(service: Service) -> None:
    """`journalctl -p err` shows every error, also of commands and of a start, and no other line."""
    machine = service.machine
    before, errors_before = len(journal(service)), len(journal(service, "--priority=err"))
    service.start(*UNITS, settings="[server]\nlog_level = 'debug'\n", unit="RestartSec=100ms")

    async def scene() -> None:
        async with Meeting(service).held() as meeting:
            await meeting.tried("no token")
            await meeting.talk()

    inside(machine, scene())
    machine.write(CONFIG, "[server]\nport = 9000\n")
    for _ in range(20 if LONG else 2):
        assert machine.tried(*RELOAD).returncode == 1
    machine.write(CONFIG, "[server]\nport = 'none'\n")
    assert machine.tried("systemctl", "restart", "roomd").returncode == 1
    service.stop()
    lines = journal(service)[before:]
    found = [text for _, text in journal(service, "--priority=err")[errors_before:]]
    assert found == [text for _, text in lines if text.startswith("roomd: ") or json.loads(text)["level"] == "error"]
    assert sum("not reloaded" in text for text in found) == (20 if LONG else 2)
    assert "server.port: Expected `int`, got `str`" in found[-1]
    levels = {(number, json.loads(text)["level"]) for number, text in lines if text.startswith("{")}
    assert levels == {(3, "error"), (6, "info"), (7, "debug")}


@pytest.fixture
def small_disk(service: Service) -> Iterator[Service]:
    """The service, with its state on a file system of 16 MiB."""
    service.machine.run("mkdir", "-p", STATE)
    service.machine.run("mount", "-t", "tmpfs", "-o", "size=16m,mode=700", "tmpfs", STATE)
    try:
        yield service
    finally:
        service.stop()
        service.machine.run("umount", STATE)


FILLER = f"{STATE}/filler"


async def fill(meeting: Meeting, service: Service) -> None:
    """Fill the disk to the last byte while people talk and join, and go on until both are refused."""
    command = ("dd", "if=/dev/zero", f"of={FILLER}", "oflag=append", "conv=notrunc", "bs=64k")
    full = asyncio.create_task(asyncio.to_thread(service.machine.tried, *command))
    said, joined = 0, 0
    while (await meeting.say())["type"] == "ok":
        said += 1
    while (reply := await meeting.newcomer())["type"] == "participant":
        joined += 1
    assert "No space left on device" in (await full).stderr
    assert reply == error("unavailable", retryAfter=1.0)
    print(f"full disk: {said} messages and {joined} joins were stored while it became full")


def test_a_full_disk(small_disk: Service) -> None:
    """Nothing that was acknowledged is lost, /readyz has the reason, and roomd serves again when there is space."""
    service = small_disk
    service.start(*UNITS, settings="[database]\nreserve = 1048576\n", unit=f"WatchdogSec={WATCHDOG}")
    before = lives(service)

    async def scene() -> None:
        async with Meeting(service).held() as meeting:
            await meeting.talk()
            free = int(service.machine.run("df", "--output=avail", "--block-size=1", STATE).split()[1])
            service.machine.run("fallocate", "--length", str(free - 524_288), FILLER)
            until(lambda: service.reasons() == ["storage is nearly full"], "the low space is not seen")
            assert await meeting.say() == error("storage_low")
            assert (await meeting.newcomer())["type"] == "participant"

            await fill(meeting, service)
            both = ["the last commit failed", "storage is nearly full"]
            until(lambda: service.reasons() == both, "the full disk is not seen")
            assert await meeting.say() == error("storage_low")
            assert service.ask("/healthz") == 200
            for number in range(10 if LONG else 2):
                service.machine.run("rm", FILLER)
                began = time.monotonic()
                until(lambda: service.reasons() == [], "roomd does not serve")
                print(f"full disk: served again {time.monotonic() - began:.2f} s after the end, time {number + 1}")
                await meeting.talk()
                assert (await meeting.newcomer())["type"] == "participant"
                await fill(meeting, service)
            service.machine.run("rm", FILLER)
            until(lambda: service.reasons() == [], "roomd does not serve")
            assert [one["text"] for one in await meeting.messages()] == meeting.said
            assert meeting.joined <= await meeting.participants()

    inside(service.machine, scene())
    assert lives(service) == before
    service.check()


LIBFAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
CLOCK = "/run/clock"
FAKED_CLOCK = f"""\
WatchdogSec={WATCHDOG}
Environment=LD_PRELOAD={LIBFAKETIME} FAKETIME_TIMESTAMP_FILE={CLOCK}
Environment=FAKETIME_NO_CACHE=1 FAKETIME_DONT_FAKE_MONOTONIC=1
"""


def set_clock(machine: Machine, ahead: int) -> None:
    """Set the service's clock so many seconds ahead of the right time, in one step."""
    machine.write(f"{CLOCK}.new", f"{ahead:+d}\n")
    machine.path(f"{CLOCK}.new").rename(machine.path(CLOCK))


@pytest.mark.skipif(LIBFAKETIME is None, reason="needs libfaketime: sudo apt-get install libfaketime, or `make test`")
@pytest.mark.long
def test_a_clock_that_is_set(service: Service) -> None:
    """Nobody in a room notices an hour ahead and an hour back, nor a restart after that; tokens expire by it."""
    machine = service.machine
    set_clock(machine, 0)
    service.start(*UNITS, settings="[rooms]\nseat_hold = 600\n", unit=FAKED_CLOCK)
    before = lives(service)

    async def scene() -> None:
        async with Meeting(service).held() as meeting:
            rooms = [meeting.room_id]
            assert abs(await meeting.talk() - time.time()) < PATIENCE
            short, old = service.token("bob", time.time() + 1800), service.token("bob", time.time() - 1800)
            assert (await meeting.tried(short), await meeting.tried(old)) == ("pong", "token_expired")
            for ahead, of_short, of_old in ((3600, "token_expired", "token_expired"), (-3600, "pong", "pong")):
                set_clock(machine, ahead)
                assert abs(await meeting.talk() - time.time() - ahead) < PATIENCE
                assert (await meeting.tried(short), await meeting.tried(old)) == (of_short, of_old)
                rooms.append(await meeting.another_room())
            for ahead in (3600, -3600):
                await meeting.drop_jane()
                set_clock(machine, ahead)
                await meeting.come_back("jane")
                await meeting.talk()
            await asyncio.to_thread(until_watchdog, machine)
            assert lives(service) == before

            lost = time.monotonic()
            await asyncio.to_thread(machine.run, "systemctl", "restart", "roomd")
            await meeting.come_back("alice", "jane")
            print(f"restart after a step of two hours back: everybody back within {time.monotonic() - lost:.2f} s")
            await meeting.talk()
            rooms.append(await meeting.another_room())
            assert rooms == sorted(rooms)
            messages = await meeting.messages()
            assert [one["text"] for one in messages] == meeting.said
            assert [one["id"] for one in messages] == sorted(one["id"] for one in messages)
            assert messages != sorted(messages, key=lambda one: str(one["sentAt"]))
            set_clock(machine, 0)
            await meeting.talk()

    inside(machine, scene())
    service.check()
