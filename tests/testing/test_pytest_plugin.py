"""The plugin of pytest, in the modes of pytest-asyncio and without it."""

import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from tests.support.processes import PATIENCE

CHECKOUT = Path(__file__).parents[2]
EXAMPLES = CHECKOUT / "examples" / "testing"
TESTS = """
import asyncio, json, urllib.request
import pytest
import roomd.client

def create(roomd):
    headers = {"Authorization": f"Bearer {roomd.token('alice')}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{roomd.http_url}/api/v1/create-room", b"{}", headers)
    with urllib.request.urlopen(request) as response:
        return json.load(response)["room"]

async def meet(daemon):
    code = (await asyncio.to_thread(create, daemon))["code"]
    async with roomd.client.join(daemon.url, code, "Jane") as meeting:
        await meeting.say("Hello")

@pytest.fixture
def roomd_settings():
    return {"limits": {"max_participants": 7}}

def test_without_a_loop(roomd):
    assert create(roomd)["maxParticipants"] == 7

"""
ASYNC = "async def test_in_a_loop(roomd):\n    await meet(roomd)\n"
SCOPE = ["-o", "asyncio_default_fixture_loop_scope=function"]
MODES = {
    "auto": ([*SCOPE, "-o", "asyncio_mode=auto"], ASYNC),
    "strict": ([*SCOPE, "-o", "asyncio_mode=strict"], f"@pytest.mark.asyncio\n{ASYNC}"),
    "none": (["-p", "no:asyncio"], "def test_in_a_loop(roomd):\n    asyncio.run(meet(roomd))\n"),
}


def run(folder: Path, *arguments: str, plugin: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run pytest in a folder without the settings of roomd's own tests."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:hypothesispytest", *arguments]
    environ = {**os.environ, "PYTHONPATH": f"{plugin or folder}:{CHECKOUT}", "PYTEST_ADDOPTS": ""}
    return subprocess.run(
        command, cwd=folder, env=environ, capture_output=True, text=True, timeout=PATIENCE, check=False
    )


@pytest.mark.parametrize("mode", MODES)
def test_the_fixture(tmp_path: Path, mode: str) -> None:
    """`roomd` is a running daemon with the settings of the fixture `roomd_settings`; no warning comes of it."""
    options, test = MODES[mode]
    (tmp_path / "test_meeting.py").write_text(TESTS + test)
    (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    installed(tmp_path)
    done = run(tmp_path, *options)
    assert "2 passed" in done.stdout, done.stdout + done.stderr


def test_the_program_of_the_how_to(tmp_path: Path) -> None:
    """The tests of docs/how-to/testing.md pass, as they stand there."""
    installed(tmp_path)
    done = run(EXAMPLES, *SCOPE, "-o", "addopts=", "-p", "no:anyio", plugin=tmp_path)
    assert "3 passed" in done.stdout, done.stdout + done.stderr


def installed(folder: Path) -> None:
    """Write the metadata of an installed roomd as pip does, with the entry points of pyproject.toml."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    info = folder / "roomd-0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: roomd-of-this-test\nVersion: 0\n")
    points = project["entry-points"]["pytest11"]
    (info / "entry_points.txt").write_text("[pytest11]\n" + "".join(f"{key} = {to}\n" for key, to in points.items()))


def test_pytest_starts_as_fast_as_before(tmp_path: Path) -> None:
    """Tests that do not use the fixture do not pay for it: the plugin imports nothing of the daemon."""
    (tmp_path / "test_other.py").write_text(
        "import sys\n\n\ndef test_other():\n"
        "    found = {name for name in sys.modules if name.startswith('roomd')}\n"
        "    assert found == {'roomd', 'roomd.pytest_plugin'}\n"
    )
    installed(tmp_path)
    done = run(tmp_path)
    assert "1 passed" in done.stdout, done.stdout + done.stderr


def test_the_package_has_it(tmp_path: Path) -> None:
    """Whoever installs roomd has the daemon for tests, and pytest finds the plugin."""
    command = [sys.executable, "-m", "hatchling", "build", "--directory", str(tmp_path), "--target", "wheel"]
    subprocess.run(command, cwd=CHECKOUT, check=True, capture_output=True, timeout=PATIENCE)
    (wheel,) = tmp_path.glob("roomd-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        assert {"roomd/testing/daemon.py", "roomd/pytest_plugin.py"} <= set(archive.namelist())
        (points,) = (name for name in archive.namelist() if name.endswith("/entry_points.txt"))
        assert "[pytest11]\nroomd = roomd.pytest_plugin" in archive.read(points).decode()
