"""The Debian package: installed, upgraded under load, removed and purged on a machine with a systemd of its own."""

import asyncio
import contextlib
import io
import json
import os
import platform
import shutil
import subprocess
import sys
import tarfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from roomd import __version__, client
from roomd.cli.units import units
from tests.support.daemon import PATIENT
from tests.support.debian import fresh
from tests.support.needs import needs
from tests.support.processes import PATIENCE
from tests.support.systemd import CHECKOUT, LONG, Machine, booted, why_not

pytestmark = [needs("dpkg-deb", "dpkg"), needs("python3", "python3")]

URL = "ws://127.0.0.1:8765/ws"
CLIENTS = 200 if LONG else 20
ENVIRONMENT = "".join(f"{name}={value}\n" for name, value in PATIENT.items())
"""Settings with which so many may come from one address."""
HAS_SOCKET = "roomd.socket" in units("")
WHERE = ("--config", "/etc/roomd/roomd.toml", "--database", "/var/lib/roomd/roomd.db")
NOTED = ("/var/lib/dpkg/", "/var/cache/", "/var/log/")
"""Where dpkg and others note something of each package, also after it was purged."""


def built(checkout: Path, folder: Path) -> Path:
    """Build the package of a checkout."""
    command = [sys.executable, "-m", "debian.build", "--directory", str(folder), "--compression", "gzip"]
    done = subprocess.run(
        command,
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": str(checkout)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    (package,) = folder.glob("*.deb")
    return package


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package of this checkout."""
    if reason := why_not():
        pytest.skip(reason)
    return built(CHECKOUT, tmp_path_factory.mktemp("package"))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Debian that the machine runs: this one, or in the long form a fresh one with systemd and Python only."""
    if not LONG:
        return Path("/")
    code = platform.freedesktop_os_release()["VERSION_CODENAME"]
    return fresh(tmp_path_factory.mktemp("debian"), code, "systemd-sysv", "python3")


@pytest.fixture
def bare(root: Path, package: Path, tmp_path: Path) -> Iterator[Machine]:
    """A machine without roomd, and with the package in /mnt/new."""
    with booted(tmp_path, {package.parent: "/mnt/new"}, {"LOWER": str(root)}, checkout=False) as machine:
        yield machine


def files(machine: Machine) -> set[str]:
    """Return every file and folder of a machine in which a package may leave something."""
    found = machine.run("find", "/etc", "/opt", "/srv", "/usr", "/var").splitlines()
    return {file for file in found if not file.startswith(NOTED)}


def install(machine: Machine, folder: str) -> str:
    """Install the package in a folder, as an operator does it who answers no question."""
    return machine.run("sh", "-c", f"dpkg --force-unsafe-io --install {folder}/*.deb", DEBIAN_FRONTEND="noninteractive")


@contextlib.asynccontextmanager
async def people(machine: Machine, number: int) -> AsyncIterator[list[client.Meeting]]:
    """Have guests join a room of the machine. Its limits must let so many come from one address."""
    code = json.loads(machine.run("roomd", "room", "create", "--max", "1000", "--json", *WHERE))["room"]["code"]
    async with contextlib.AsyncExitStack() as stack:
        meetings = [await stack.enter_async_context(client.join(URL, code, f"Guest {n}")) for n in range(number)]
        for meeting in meetings:
            assert await meeting.wait_present()
        yield meetings


async def refusals(until: asyncio.Event) -> int:
    """Connect to the daemon's port again and again; return how often that was refused."""
    refused = 0
    while not until.is_set():
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", 8765)
        except ConnectionRefusedError:
            refused += 1
        else:
            writer.close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(until.wait(), 0.01)
    return refused


async def upgrade(machine: Machine, folder: str) -> None:
    """Install a package over another with people in a room: they keep their seats; with a socket none is refused."""
    had_socket = machine.tried("systemctl", "is-active", "roomd.socket").returncode == 0
    with machine.network():
        async with people(machine, CLIENTS) as meetings:
            ids = [meeting.me.id for meeting in meetings if meeting.me]
            before = machine.properties("roomd.service", "MainPID")
            done = asyncio.Event()
            refused = asyncio.create_task(refusals(done))
            await asyncio.to_thread(install, machine, folder)
            assert machine.properties("roomd.service", "MainPID") != before
            async with asyncio.timeout(PATIENCE):
                for meeting in meetings:
                    await meeting.say("back")  # waits until its client is back
            done.set()
            assert [meeting.me.id for meeting in meetings if meeting.me] == ids
            assert not await refused or not had_socket
            assert not HAS_SOCKET or machine.run("systemctl", "is-active", "roomd.socket")
            for meeting in meetings:
                await meeting.leave()


def assert_complete(machine: Machine) -> None:
    """Check the daemon, the command line, its manual page and its completions, and that everything is compiled."""
    with machine.network(), urlopen("http://127.0.0.1:8765/healthz", timeout=PATIENCE) as answer:
        assert json.load(answer)["version"] == __version__
    assert machine.run("roomd", "--version").startswith(f"roomd {__version__}\n")
    machine.run("bash", "-c", ". /usr/share/bash-completion/completions/roomd && complete -p roomd")
    completed = machine.run("roomd", _ROOMD_COMPLETE="complete_bash", COMP_WORDS="roomd room cr", COMP_CWORD="2")
    assert completed == "create\n"
    assert machine.path("/usr/share/zsh/vendor-completions/_roomd").read_text().startswith("#compdef roomd\n")
    assert "complete --command roomd" in machine.path("/usr/share/fish/vendor_completions.d/roomd.fish").read_text()
    assert ".SH NAME" in machine.run("zcat", "/usr/share/man/man1/roomd.1.gz")
    modules = list(machine.path("/usr/lib/roomd").rglob("*.py"))
    assert modules
    assert not [file for file in modules if not list(file.parent.glob(f"__pycache__/{file.stem}.*.pyc"))]
    assert machine.run("dpkg", "--verify", "roomd") == ""


def remove_and_install_again(machine: Machine) -> None:
    """Remove the package, which stops it and keeps configuration and database; a new one serves with both."""
    machine.write("/etc/roomd/roomd.toml", "[rooms]\nseat_hold = 99.0\n")
    kept = files(machine)
    machine.run("dpkg", "--remove", "roomd")
    assert machine.tried("systemctl", "is-active", "roomd.service").stdout == "inactive\n"
    assert machine.tried("bash", "-c", "</dev/tcp/127.0.0.1/8765").returncode == 1
    assert {"/etc/roomd/roomd.toml", "/var/lib/private/roomd/roomd.db"} <= files(machine) < kept
    install(machine, "/mnt/new")
    assert machine.path("/etc/roomd/roomd.toml").read_text() == "[rooms]\nseat_hold = 99.0\n"
    assert machine.wait("systemctl", "is-active", "roomd.service") == "active\n"


@pytest.mark.skipif(not LONG, reason="builds the package, which takes a while: make systemd")
async def test_install_upgrade_remove_purge(bare: Machine) -> None:
    """The whole life of the package; in the end nothing of it is left."""
    before = files(bare)
    bare.write("/etc/roomd/environment", ENVIRONMENT, 0o600)
    install(bare, "/mnt/new")
    for unit in ("roomd.service", "roomd.socket") if HAS_SOCKET else ("roomd.service",):
        assert bare.run("systemctl", "is-enabled", unit) == "enabled\n"
        assert bare.wait("systemctl", "is-active", unit) == "active\n"
    bare.wait("bash", "-c", "</dev/tcp/127.0.0.1/8765")
    assert_complete(bare)

    if LONG:  # half of the time of this test
        await upgrade(bare, "/mnt/new")
    bare.run("systemctl", "enable", "--now", "roomd-backup.timer")
    bare.run("rm", "-rf", "/var/backups")  # which not every Linux has
    bare.run("systemctl", "start", "roomd-backup.service")
    assert bare.run("find", "/var/backups/roomd", "-name", "*.db")

    if LONG:
        remove_and_install_again(bare)
    bare.run("dpkg", "--purge", "roomd")
    left = {file for file in files(bare) - before if not file.startswith("/var/backups/roomd")}
    # systemd's, for every service with DynamicUser and for every timer with Persistent
    assert left <= {"/var/lib/private", "/var/lib/systemd/timers"}


@pytest.fixture
def package_before(tmp_path: Path) -> Path:
    """The package of the commit before this one."""
    shown = subprocess.run(["git", "archive", "HEAD~1"], cwd=CHECKOUT, capture_output=True, check=False)
    if shown.returncode:
        pytest.skip("needs the history of the checkout: git fetch --unshallow")
    old = tmp_path / "old"
    with tarfile.open(fileobj=io.BytesIO(shown.stdout)) as archive:
        archive.extractall(old, filter="tar")
    if not (old / "debian/build.py").exists():
        pytest.skip("the commit before has no package")
    return built(old, tmp_path / "built")


@pytest.mark.skipif(not LONG, reason="builds a second package: make systemd")
async def test_upgrade_from_the_commit_before(bare: Machine, package_before: Path) -> None:
    """This package replaces that of the commit before, under load."""
    shutil.copy(package_before, bare.path("/tmp"))
    bare.write("/etc/roomd/environment", ENVIRONMENT, 0o600)
    install(bare, "/tmp")
    bare.wait("bash", "-c", "</dev/tcp/127.0.0.1/8765")
    await upgrade(bare, "/mnt/new")
