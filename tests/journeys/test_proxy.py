"""roomd below a path prefix of a real nginx, as docs/how-to/reverse-proxy.md sets it up."""

import asyncio
import json
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin
from urllib.request import Request, urlopen

import pytest
from websockets.asyncio.client import connect

from tests.support.daemon import Client, Daemon
from tests.support.forking import completed
from tests.support.needs import SYSTEM_PATH, needs
from tests.support.nginx import configuration, listens
from tests.support.processes import PATIENCE, free_port, spawned

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to" / "reverse-proxy.md"

pytestmark = needs("nginx", "nginx")


@pytest.fixture(scope="module", params=["tcp", "unix"])
def behind(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """The daemon behind the proxy: the shared one, or one that also listens on a Unix socket."""
    if request.param == "tcp":
        yield request.getfixturevalue("daemon")
        return
    folder = tmp_path_factory.mktemp("unix")
    daemon = Daemon(folder)
    del daemon.environ["ROOMD_SERVER_PORT"]
    daemon.environ["ROOMD_SERVER_LISTEN"] = f"127.0.0.1:{daemon.port}, unix:{socket_of(daemon)}"
    daemon.start()
    yield daemon
    daemon.close()


def socket_of(daemon: Daemon) -> Path:
    """Return the Unix socket of a daemon that has one."""
    return daemon.database.parent / "http.sock"


def documented(daemon: Daemon) -> tuple[str, str]:
    """Return the `map` of the how-to and its location with a prefix, for this daemon.

    For one with a Unix socket the first has the `upstream` of the how-to, too.
    """
    blocks = re.findall(r"```nginx\n(.*?)```", HOW_TO.read_text(encoding="utf-8"), re.DOTALL)
    upgrade = next(found.group() for block in blocks if (found := re.search(r"^map .*?^\}", block, re.M | re.S)))
    location = next(block for block in blocks if block.startswith("location /meet/"))
    if not socket_of(daemon).exists():
        return upgrade, location.replace("127.0.0.1:8765", f"127.0.0.1:{daemon.port}")
    upstream = next(block for block in blocks if block.startswith("upstream roomd"))
    upstream = upstream.replace("/run/roomd/http.sock", str(socket_of(daemon)))
    return f"{upgrade}\n{upstream}", location.replace("http://127.0.0.1:8765", "http://roomd")


@pytest.fixture(scope="module")
def page(behind: Daemon, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the meeting page behind an nginx with the prefix /meet/."""
    folder, port = tmp_path_factory.mktemp("nginx"), free_port()
    upgrade, location = documented(behind)
    file = folder / "nginx.conf"
    alone = "daemon off;\nmaster_process off;"
    file.write_text(configuration(folder, port, location, http=upgrade, top=alone))
    nginx = shutil.which("nginx", path=SYSTEM_PATH)
    assert nginx is not None
    log = folder / "nginx.log"
    with spawned([nginx, "-p", str(folder), "-e", str(log), "-c", str(file)]) as process:
        deadline = time.monotonic() + PATIENCE
        while not listens(port):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, "nginx does not listen"
            time.sleep(0.02)
        yield f"http://127.0.0.1:{port}/meet/"


def fetch(url: str) -> tuple[str, bytes]:
    """Fetch a file as a browser does; return its content type and its bytes."""
    with urlopen(Request(url, headers={"Accept": "text/html,*/*"}), timeout=PATIENCE) as answer:
        return answer.headers["Content-Type"], answer.read()


def test_page_and_its_files(page: str) -> None:
    """The page and everything that it names is found below the prefix, modules that import modules too."""
    waiting, seen = [page], dict[str, str]()
    while waiting:
        url = waiting.pop()
        if url in seen:
            continue
        kind, body = fetch(url)
        seen[url] = kind
        named = re.findall(r"""(?:src|href)="([^"#]+)"|(?:from|import)\s*\(?"([^"]+)\"""", body.decode())
        waiting += [urljoin(url, "".join(names)) for names in named]
    assert all(url.startswith(page) for url in seen)
    assert {url.removeprefix(page) for url in seen} >= {"", "page.js", "page.css", "icon.svg", "client/meeting.js"}
    assert seen[page] == "text/html; charset=utf-8"


async def test_join(page: str, behind: Daemon) -> None:
    """The WebSocket is found beside the page, and a token in the handshake arrives."""
    room = await behind.room()
    headers = {"Authorization": f"Bearer {behind.token('bob')}"}
    async with connect(urljoin(page, "ws").replace("http", "ws", 1), additional_headers=headers) as websocket:
        joined = await Client(websocket).join(room["code"])
        assert joined["participant"]["userId"] == "bob"


async def test_command_line(page: str, behind: Daemon) -> None:
    """`--url` takes the address of the page, and a code may be a whole link."""
    room = await behind.room()
    link = f"{page}#code={room['code']}&token=x"
    done = await asyncio.to_thread(completed, ["room", "show", link, "--url", page, "--json"], behind.environ)
    assert done.stderr == ""
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["room"]["code"] == room["code"]


async def test_address_of_a_client(page: str, behind: Daemon) -> None:
    """The address that the proxy names is believed, also by a Unix socket, and logged."""
    async with connect(urljoin(page, "ws").replace("http", "ws", 1)):
        await asyncio.to_thread(behind.wait_for_log, '"event":"connected"')
    connected = [json.loads(line) for line in behind.log.read_text().splitlines() if '"event":"connected"' in line]
    assert connected[-1]["address"] == "127.0.0.1"
