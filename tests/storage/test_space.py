"""Free space below the reserve: new rooms and messages are refused, everything else is still stored."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from roomd.storage.space import LOOK_AFTER, Space, free_bytes
from tests.support.daemon import Client, Daemon, error, serving

RESERVE = 8 << 20


class Disk:
    """A file system whose free space is set, and a clock; it counts how often it is looked at."""

    def __init__(self, free: int) -> None:
        self.free = free
        self.looks = 0
        self.now = 0.0
        self.broken = False

    def look(self, _: Path) -> int:
        self.looks += 1
        if self.broken:
            raise OSError(5, "Input/output error")
        return self.free


def space(disk: Disk, reserve: int = RESERVE) -> Space:
    """Watch a disk."""
    return Space(Path("/nowhere"), reserve, lambda: disk.now, disk.look)


def test_it_is_looked_at_seldom() -> None:
    """However often somebody asks: once a second, and after each sixteenth of the reserve that was written."""
    disk = Disk(RESERVE)
    watched = space(disk)
    assert not any(watched.is_low() for _ in range(1000))
    assert disk.looks == 1
    disk.free -= 1
    watched.wrote(RESERVE // 16 - 1)
    assert not watched.is_low()
    watched.wrote(1)
    assert watched.is_low()
    assert disk.looks == 2
    disk.free += 1
    assert watched.is_low()
    disk.now += LOOK_AFTER
    assert not watched.is_low()
    assert disk.looks == 3


def test_a_change_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """An operator reads when it began and when it was over, and why it is not known."""
    disk = Disk(0)
    watched = space(disk)
    with caplog.at_level("INFO"):
        for free, broken in [(0, False), (0, False), (RESERVE, True), (RESERVE, False), (RESERVE, False)]:
            disk.free, disk.broken = free, broken
            disk.now += LOOK_AFTER
            watched.is_low()
    assert caplog.messages == [
        "storage is nearly full",
        "cannot read the free space",
        "storage has space again",
    ]


def test_no_reserve_is_never_low() -> None:
    """With 0 nothing is refused before the disk is full."""
    assert not space(Disk(0), 0).is_low()


def test_the_free_space_is_that_of_the_file_system(tmp_path: Path) -> None:
    """It is what this user may still write."""
    status = os.statvfs(tmp_path)
    assert 0 < free_bytes(tmp_path) <= status.f_blocks * status.f_frsize


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m,mode=0700", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("needs the right to mount a file system: run it as root")
    (folder / "other").write_bytes(bytes(12 << 20))  # half of it, so that messages fill the rest sooner
    yield folder
    subprocess.run(["umount", folder], check=True)


async def test_joins_still_commit_on_a_disk_that_messages_filled(small_disk: Path) -> None:
    """Somebody fills the disk with messages: then nothing new is stored, and people still come, go and are removed."""
    told = {"ROOMD_LIMITS_TOLD_RATE": "1e9", "ROOMD_LIMITS_TOLD_BURST": "1000000000"}
    with serving(small_disk, ROOMD_DATABASE_RESERVE=str(RESERVE), **told) as daemon:
        await fill(daemon, small_disk)


async def say(client: Client, text: str, **fields: Any) -> dict[str, Any]:
    """Send a message and return the reply, which may stand between events."""
    await client.send("send-message", id="said", text=text, **fields)
    while (frame := await client.receive()).get("id") != "said":
        pass
    return {key: value for key, value in frame.items() if key != "id"}


async def fill(daemon: Daemon, disk: Path) -> None:
    """Fill the disk of a daemon and check what it still serves."""
    room = await daemon.room()
    async with daemon.client("alice") as host, daemon.client() as guest:
        me = (await host.join(room["code"]))["participant"]["id"]
        number, reply = 0, {"type": "ok"}
        while reply == {"type": "ok"}:
            number += 1
            reply = await say(host, "😀" * 2000, to=me, clientId=str(number))
        assert reply == error("storage_low")
        assert RESERVE // 2 < free_bytes(disk) < RESERVE
        assert await say(host, "Hello", to=me, clientId=str(number - 1)) == {"type": "ok"}, "it is stored"
        jane = (await guest.join(room["code"], guestName="Jane"))["participant"]["id"]
        await host.events()
        assert await host.ask("create-room") == error("storage_low")
        for number in range(20):
            async with daemon.client() as newcomer:
                seat = await newcomer.join(room["code"], guestName=f"Guest {number}")
                assert (await newcomer.ask("leave-room"))["participant"]["id"] == seat["participant"]["id"]
        await host.events()
        assert (await host.ask("update-room", code=room["code"], isLocked=True))["room"]["isLocked"]
        await host.events()
        assert await host.ask("remove-participant", participantId=jane, ban=True) == {"type": "ok"}
        await host.events()
        assert (await host.ask("end-room", code=room["code"]))["room"]["isActive"] is False
