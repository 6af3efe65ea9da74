"""What systemd is told: sd_notify(3) and the watchdog."""

import asyncio
import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from roomd.system.notify import Notifier
from tests.support.processes import PATIENCE


class Systemd:
    """The socket that systemd listens on."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.settimeout(PATIENCE)
        self.socket.bind(address.replace("@", "\0"))

    def read(self) -> list[str]:
        """Return the assignments of the next message."""
        return self.socket.recv(4096).decode().split("\n")

    async def wait(self) -> list[str]:
        """The same, while the loop runs on."""
        return await asyncio.to_thread(self.read)

    async def silence(self) -> None:
        """Read what was sent, until nothing comes for the time of the socket."""
        with contextlib.suppress(TimeoutError):
            for _ in range(20):
                await self.wait()
            pytest.fail("it goes on")


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Systemd]:
    address = str(tmp_path / "notify") if request.param == "path" else f"@roomd-test-{os.getpid()}"
    systemd = Systemd(address)
    yield systemd
    systemd.socket.close()


def test_states(systemd: Systemd) -> None:
    """Ready, reloading with the time, and stopping; a reload that ends later is not told."""
    notifier = Notifier({"NOTIFY_SOCKET": systemd.address})
    notifier.ready()
    notifier.reloading()
    notifier.stopping()
    notifier.ready()
    notifier.close()
    assert systemd.read() == ["READY=1"]
    reloading, since = systemd.read()
    assert (reloading, since.startswith("MONOTONIC_USEC=")) == ("RELOADING=1", True)
    assert systemd.read() == ["STOPPING=1"]
    systemd.socket.setblocking(False)
    with pytest.raises(BlockingIOError):
        systemd.socket.recv(100)


async def test_watchdog_and_status(systemd: Systemd) -> None:
    """The watchdog is fed while the other threads answer, in half of its time; the status is sent when it changes."""
    gate, status = asyncio.Event(), "1 rooms, 2 connected"
    gate.set()

    async def answers() -> None:
        await gate.wait()

    notifier = Notifier({"NOTIFY_SOCKET": systemd.address, "WATCHDOG_USEC": "40000", "WATCHDOG_PID": str(os.getpid())})
    reporting = asyncio.create_task(notifier.report(lambda: status, answers))
    assert await systemd.wait() == ["WATCHDOG=1", "STATUS=1 rooms, 2 connected"]
    assert await systemd.wait() == ["WATCHDOG=1"]
    status = "0 rooms, 0 connected"
    while (message := await systemd.wait()) == ["WATCHDOG=1"]:
        pass
    assert message == ["WATCHDOG=1", "STATUS=0 rooms, 0 connected"]
    gate.clear()
    systemd.socket.settimeout(0.5)  # more than ten times the interval
    await systemd.silence()
    systemd.socket.settimeout(PATIENCE)
    gate.set()
    assert await systemd.wait() == ["WATCHDOG=1"]
    reporting.cancel()
    await asyncio.wait([reporting])
    notifier.close()


WATCHDOGS = {"none": {}, "of another process": {"WATCHDOG_USEC": "40000", "WATCHDOG_PID": "1"},
             "no number": {"WATCHDOG_USEC": "soon"}}  # fmt: skip


@pytest.mark.parametrize("environ", WATCHDOGS.values(), ids=WATCHDOGS.keys())
async def test_without_a_watchdog(systemd: Systemd, environ: dict[str, str]) -> None:
    """The next message comes after ten seconds."""

    async def answers() -> None:
        pass

    notifier = Notifier({"NOTIFY_SOCKET": systemd.address, **environ})
    reporting = asyncio.create_task(notifier.report(lambda: "x", answers))
    assert await systemd.wait() == ["WATCHDOG=1", "STATUS=x"]
    systemd.socket.settimeout(0.5)
    with pytest.raises(TimeoutError):
        await systemd.wait()
    reporting.cancel()
    await asyncio.wait([reporting])
    notifier.close()


@pytest.mark.parametrize("address", ["", "vsock:2:1234", "/nowhere/at/all"], ids=["none", "unknown", "gone"])
def test_without_systemd(address: str) -> None:
    """Nothing is sent, and nothing fails."""
    notifier = Notifier({"NOTIFY_SOCKET": address} if address else {})
    notifier.ready()
    notifier.close()
