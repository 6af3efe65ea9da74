"""The machine in which the other tests here run."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.support.processes import PATIENCE, spawned
from tests.support.systemd import CHECKOUT, CommandError, Machine, own_group, why_not


def test_it_is_a_real_systemd(machine: Machine) -> None:
    """It is process 1, everything that it starts has started, and what this machine starts at boot is off."""
    assert machine.run("systemctl", "is-system-running") == "running\n"
    assert machine.run("cat", "/proc/1/comm") == "systemd\n"
    assert machine.run("hostname") == "roomd-test\n"


def test_a_command_that_fails_says_why(machine: Machine) -> None:
    """The output and the exit code are in the error."""
    with pytest.raises(CommandError, match=r"systemctl start none: exit code 5\nFailed to start none\.service: Unit "):
        machine.run("systemctl", "start", "none")


def test_the_checkout_runs_as_a_service(machine: Machine) -> None:
    """The unit of the checkout starts, and the test's clients reach it on the machine's own network."""
    machine.write("/etc/roomd/roomd.toml", machine.run("roomd", "default-config"))
    machine.run("cp", "/opt/roomd/systemd/roomd.service", "/etc/systemd/system/")
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "start", "roomd")
    machine.wait("bash", "-c", "</dev/tcp/127.0.0.1/8765")
    with machine.network(), urlopen("http://127.0.0.1:8765/healthz", timeout=PATIENCE) as answer:
        assert answer.status == 200
    journal = ("journalctl", "--unit=roomd", "--output=cat")
    machine.wait(*journal, until=lambda text: '"event":"listening"' in text)
    machine.run("systemctl", "stop", "roomd")


async def test_a_loop_reaches_the_machines_network(machine: Machine) -> None:
    """Connections of asyncio that are made in its network go there."""
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        with machine.network(), pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()
        await writer.wait_closed()


def test_nothing_outlives_a_killed_test(tmp_path: Path) -> None:
    """When the test process is killed, its machine's processes end; the next boot removes the cgroup."""
    if reason := why_not():
        pytest.skip(reason)
    code = (
        "import pathlib, sys, time; from tests.support.systemd import booted\n"
        "with booted(pathlib.Path(sys.argv[1]), checkout=False) as machine:\n"
        "    print(machine.pid, flush=True); time.sleep(600)"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with spawned(command, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        group = Path(f"/proc/{pid}/cgroup").read_text().rpartition("0::")[2].strip().partition("/init.scope")[0]
        os.kill(process.pid, signal.SIGKILL)
    deadline = time.monotonic() + PATIENCE
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    with own_group() as own:
        assert group.startswith("/roomd-test-")
        assert not own.with_name(group.removeprefix("/")).exists()
