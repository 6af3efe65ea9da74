"""The image of the Containerfile, built and run without an engine: tests/support/image.py says what is in its place.

What is not shown: that an engine accepts the file, and the files of the base image themselves.
"""

import asyncio
import json
import stat
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from roomd import client
from tests.support.image import Image, build, container
from tests.support.processes import PATIENCE
from tests.support.systemd import LONG, why_not

pytestmark = pytest.mark.skipif(not LONG, reason="builds the image on a fresh Debian: make systemd")

URL = "ws://127.0.0.1:8765/ws"


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    """The image of this checkout."""
    if reason := why_not():
        pytest.skip(reason)
    return build(tmp_path_factory.mktemp("image"))


def test_the_image(image: Image, tmp_path: Path) -> None:
    """Its user serves a join with a read-only root, and commands run inside; its check of health says so.

    It stops in order, and the next container with the volume has its rooms.
    """

    async def join(code: str) -> str:
        async with asyncio.timeout(PATIENCE), client.join(URL, code, "Jane") as meeting:
            assert await meeting.wait_present()
            assert meeting.me is not None
            return meeting.me.display_name

    volume = tmp_path / "volume"
    with container(image, volume) as machine:
        status = dict(line.split(":\t") for line in machine.path("/proc/1/status").read_text().splitlines())
        assert status["Uid"].split() == [image.settings["USER"]] * 4
        assert int(status["CapBnd"], 16) == 0
        assert "Read-only file system" in machine.tried("touch", "/new").stderr
        code = json.loads(machine.run(*image.of_user("roomd", "room", "create", "--json")))["room"]["code"]
        with machine.network():
            assert asyncio.run(join(code)) == "Jane"
            browser = Request("http://127.0.0.1:8765/", headers={"Accept": "text/html"})
            with urlopen(browser, timeout=PATIENCE) as page:
                assert page.read().lower().startswith(b"<!doctype html>")
    for file in volume.iterdir():
        found = file.stat()
        assert (found.st_uid, stat.S_IMODE(found.st_mode) & 0o077) == (int(image.settings["USER"]), 0), file

    with container(image, volume) as machine, machine.network():
        assert asyncio.run(join(code)) == "Jane"


def test_everything_is_compiled(image: Image) -> None:
    """The image's user cannot write bytecode, so each start would compile what is not compiled."""
    modules = list((image.root / "opt/roomd/lib").glob("python*/site-packages/roomd/**/*.py"))
    assert modules
    assert not [file for file in modules if not list(file.parent.glob(f"__pycache__/{file.stem}.*.pyc"))]
