"""What a newcomer sees: `roomd serve --demo` prints the lines that join, and they do."""

import asyncio
import json
import re
import shlex
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.daemon import Daemon
from tests.support.processes import PATIENCE, at_most, end, free_port, spawn


class Demo:
    """A running `roomd serve --demo`, and what it printed."""

    def __init__(self, daemon: Daemon, *options: str) -> None:
        self.process = spawn(
            [str(Path(sys.executable).with_name("roomd")), "serve", "--demo", *options],
            env=daemon.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def read(self, wanted: int) -> list[str]:
        """Read what is printed until it has `wanted` lines to paste."""
        assert self.process.stdout is not None
        lines: list[str] = []
        with at_most(PATIENCE, self.process):
            while sum(line.startswith("    ") for line in lines) < wanted:
                line = self.process.stdout.readline()
                assert line, "the daemon ended"
                lines.append(line)
        return lines

    def stop(self) -> None:
        self.process.terminate()
        assert self.process.wait(PATIENCE) == 0

    def close(self) -> None:
        """End it, however the test went."""
        assert self.process.stdout is not None
        end(self.process)
        self.process.stdout.close()


@pytest.fixture
def start() -> Iterator[Callable[..., Demo]]:
    """Run demos that end with the test."""
    demos: list[Demo] = []

    def make(daemon: Daemon, *options: str) -> Demo:
        demos.append(Demo(daemon, *options))
        return demos[-1]

    yield make
    for demo in demos:
        demo.close()


Start = Callable[..., Demo]


def paste(line: str) -> list[str]:
    """Do what the newcomer does with a line, and leave at once; return what was shown."""
    done = subprocess.run(
        shlex.split(line), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE, check=True
    )
    return done.stdout.splitlines()


def exchange(daemon: Daemon, ticket: str) -> list[str]:
    """Use a ticket twice; return the user whom it names, and the type of the second reply."""

    async def ask() -> dict[str, Any]:
        async with daemon.client() as client:
            return await client.ask("authenticate", ticket=ticket)

    return [asyncio.run(ask())["userId"], asyncio.run(ask())["type"]]


def browse(link: str) -> str:
    """Fetch what a browser fetches first."""
    request = urllib.request.Request(link, headers={"Accept": "text/html"})
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        text: str = answer.read().decode()
        return text


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_the_printed_lines_join(start: Start, tmp_path: Path, host: str) -> None:
    """The address, the code, two links and two lines, for a guest and the host each; the room stays over a restart."""
    daemon = Daemon(tmp_path, ROOMD_SERVER_HOST=host)
    codes = []
    for _ in range(2):
        demo = start(daemon)
        lines = demo.read(4)
        guest_link, host_link, guest, host_line = (line.strip() for line in lines if line.startswith("    "))
        text = "".join(lines)
        assert f"ws://127.0.0.1:{daemon.port}/ws" in text
        codes.append(re.findall(r"The demo room is ([a-z]{3}-[a-z]{3}-[a-z]{3})", text)[0])
        assert guest_link == f"http://127.0.0.1:{daemon.port}/#{codes[-1]}"
        assert "&token=" not in text
        start_of_link = f"http://127.0.0.1:{daemon.port}/#code={codes[-1]}&ticket="
        assert exchange(daemon, host_link.removeprefix(start_of_link)) == ["demo-host", "error"]
        page = f"http://127.0.0.1:{daemon.port}/"
        assert f"token --link --user demo-host --room {codes[-1]} --page {page} makes a new link" in text
        assert "<title>roomd</title>" in browse(guest_link)
        assert any("Jane Smith" in line for line in paste(guest))
        assert any("Demo Host" in line and "host" in line for line in paste(host_line))
        demo.stop()
    assert codes[0] == codes[1]


@pytest.mark.parametrize("option", ["--config", "--database"])
@pytest.mark.sqlite
def test_a_new_link_for_the_host(start: Start, tmp_path: Path, option: str) -> None:
    """The command that makes one finds the secret and the page of this daemon, which are not where others look."""
    daemon = Daemon(tmp_path)
    del daemon.environ["ROOMD_AUTH_SECRET"]
    file = tmp_path / "roomd.toml"
    file.write_text(f"[database]\npath = '{daemon.database}'\n")
    demo = start(daemon, option, str({"--config": file, "--database": daemon.database}[option]))
    text = "".join(demo.read(4))
    [command] = re.findall(r"\((.*) makes a new link\)", text)
    [link] = paste(command)
    page, _, ticket = link.partition("&ticket=")
    assert page.startswith(f"http://127.0.0.1:{daemon.port}/#code=")
    assert exchange(daemon, ticket) == ["demo-host", "error"]
    demo.stop()


@pytest.mark.sqlite
def test_without_a_secret_there_is_no_host_line(start: Start, tmp_path: Path) -> None:
    """With the issuer's keys elsewhere only the guest's line can be printed."""
    daemon = Daemon(tmp_path, ROOMD_AUTH_JWKS_URL=f"http://127.0.0.1:{free_port()}/keys")
    del daemon.environ["ROOMD_AUTH_SECRET"]
    demo = start(daemon)
    assert not any("token" in line for line in demo.read(2))
    demo.stop()


def test_without_a_page_there_is_no_link(start: Start, tmp_path: Path) -> None:
    """With `server.demo` off the lines for a terminal are printed alone."""
    demo = start(Daemon(tmp_path, ROOMD_SERVER_DEMO="false"))
    assert not any("http://" in line for line in demo.read(2))
    demo.stop()


async def test_the_system_s_choice_of_a_port(start: Start, tmp_path: Path) -> None:
    """Port 0: the printed address has the real one."""
    daemon = Daemon(tmp_path, ROOMD_SERVER_PORT="0")
    demo = start(daemon)
    text = "".join(demo.read(4))
    port = re.findall(r"ws://127.0.0.1:(\d+)/ws", text)[0]

    def health() -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=PATIENCE) as answer:
            return json.load(answer)

    assert (await asyncio.to_thread(health))["status"] == "ok"
    demo.stop()


def listening(folder: Path, *addresses: str) -> Daemon:
    """A daemon on these addresses alone."""
    daemon = Daemon(folder, ROOMD_SERVER_LISTEN=",".join(addresses))
    del daemon.environ["ROOMD_SERVER_PORT"]
    return daemon


def test_a_tcp_address_beside_a_unix_socket(start: Start, tmp_path: Path) -> None:
    """The lines name the TCP address, wherever it is in the list."""
    port = free_port()
    demo = start(listening(tmp_path, f"unix:{tmp_path}/http.sock", f"127.0.0.1:{port}"))
    guest_link = next(line.strip() for line in demo.read(1) if line.startswith("    "))
    assert "<title>roomd</title>" in browse(guest_link)
    assert guest_link.startswith(f"http://127.0.0.1:{port}/#")
    demo.stop()


def test_unix_sockets_alone(start: Start, tmp_path: Path) -> None:
    """There is no address to print: the code is, and where to find one. The socket goes with the daemon."""
    demo = start(listening(tmp_path, f"unix:{tmp_path}/http.sock"))
    with at_most(PATIENCE, demo.process):
        assert demo.process.stdout is not None
        line = demo.process.stdout.readline()
    form = r"The demo room is [a-z-]{11}\. roomd listens on Unix sockets only: join it by the proxy's address\.\n"
    assert re.fullmatch(form, line)
    assert (tmp_path / "http.sock").is_socket()
    demo.stop()
    assert not (tmp_path / "http.sock").exists()
