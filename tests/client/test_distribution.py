"""The Python client as a distribution of its own: what is in it, and that it needs nothing of the daemon."""

import asyncio
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email import message_from_bytes
from pathlib import Path
from typing import Any

import pytest

from tests.support.daemon import Daemon
from tests.support.processes import PATIENCE

CHECKOUT = Path(__file__).parents[2]
PROJECT = CHECKOUT / "clients/python"
NEEDED = ("roomd", "msgspec", "websockets")
"""The packages, beside the standard library, that a program with the client's distribution alone has."""

PROGRAM = """
import asyncio, sys
from importlib.abc import MetaPathFinder

class Blocked(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in {*sys.stdlib_module_names, *sys.argv[3].split(",")}:
            raise ImportError(f"{name} is not there")

sys.meta_path.insert(0, Blocked())
import roomd.client

async def main():
    async with roomd.client.join(sys.argv[1], sys.argv[2], "Jane") as meeting:
        assert await meeting.wait_present()
        await meeting.say("Hello")
        async for event in meeting:
            if isinstance(event, roomd.client.Said):
                print(event.message.text)
                break
    print(meeting.over.code)

asyncio.run(main())
print(roomd.__file__)
"""


def build(project: Path, folder: Path, target: str) -> Path:
    """Build a distribution of a project; nothing is downloaded."""
    command = [sys.executable, "-m", "hatchling", "build", "--directory", str(folder), "--target", target]
    subprocess.run(command, cwd=project, check=True, capture_output=True, timeout=PATIENCE)
    (built,) = folder.glob("*.tar.gz" if target == "sdist" else "*.whl")
    return built


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that is built from the source distribution."""
    folder = tmp_path_factory.mktemp("client")
    source = build(PROJECT, folder, "sdist")
    with tarfile.open(source) as archive:
        archive.extractall(folder / "source", filter="data")
    return build(folder / "source" / source.name.removesuffix(".tar.gz"), folder, "wheel")


def project(path: Path) -> dict[str, Any]:
    """Read the table `project` of a pyproject.toml."""
    table: dict[str, Any] = tomllib.loads((path / "pyproject.toml").read_text())["project"]
    return table


def test_only_the_client_is_in_it(wheel: Path) -> None:
    """The wheel has the client and the protocol: all of it, and nothing else of the daemon."""
    parts = [CHECKOUT / "roomd/__init__.py", CHECKOUT / "roomd/py.typed"]
    parts += [file for part in ("client", "protocol") for file in (CHECKOUT / "roomd" / part).rglob("*.py")]
    with zipfile.ZipFile(wheel) as archive:
        files = {name for name in archive.namelist() if ".dist-info/" not in name}
        assert archive.testzip() is None
    assert files == {str(file.relative_to(CHECKOUT)) for file in parts}


def test_a_checkout_builds_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    """`pip install ./clients/python` installs what the published wheel has."""
    with zipfile.ZipFile(wheel) as published, zipfile.ZipFile(build(PROJECT, tmp_path, "wheel")) as direct:
        assert {name: published.read(name) for name in published.namelist()} == {
            name: direct.read(name) for name in direct.namelist()
        }


def test_what_it_needs(wheel: Path) -> None:
    """It depends on msgspec and websockets, in the daemon's versions, and has the daemon's version itself."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
        metadata = message_from_bytes(archive.read(name))
    daemon, client = project(CHECKOUT), project(PROJECT)
    assert (metadata["Name"], metadata["Version"]) == ("roomd-client", daemon["version"])
    assert [re.split("[<>=]", one)[0] for one in client["dependencies"]] == ["msgspec", "websockets"]
    assert set(client["dependencies"]) <= set(daemon["dependencies"])
    assert client["requires-python"] == daemon["requires-python"]
    assert (PROJECT / "LICENSE").read_text() == (CHECKOUT / "LICENSE").read_text()


def test_it_works_without_the_daemon_s_packages(wheel: Path, daemon: Daemon, tmp_path: Path) -> None:
    """A program with only the client's distribution joins a room, although nothing of the daemon can be imported."""
    code = asyncio.run(daemon.room("alice"))["code"]
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, daemon.url, code, ",".join(NEEDED)],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines() == ["Hello", "left", str(tmp_path / "roomd/__init__.py")]
