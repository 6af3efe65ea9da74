"""The JavaScript client: its own tests under Node's test runner, against real daemons, and what npm would publish."""

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import tarfile
import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.support.daemon import Daemon, faults
from tests.support.needs import needs

WEB = Path(__file__).parents[2] / "web"
LONGEST = 900
"""Seconds that a file of tests may take, each of which has bounds of its own."""

pytestmark = needs("node", "nodejs")

needs_tsc = pytest.mark.skipif(
    not (WEB / "node_modules/.bin/tsc").exists() or shutil.which("npm") is None,
    reason="needs npm and web/node_modules: `make lint`",
)


@contextlib.contextmanager
def controlled(daemon: Daemon) -> Iterator[str]:
    """Let the tests in Node start and stop the daemon, and get rooms and tokens; gives the address to ask at."""

    def again(number: signal.Signals) -> None:
        daemon.stop(number)
        daemon.start()

    def do(what: str, body: dict[str, Any]) -> Any:
        match what:
            case "/url":
                return daemon.url
            case "/room":
                return asyncio.run(daemon.room(**body))
            case "/token":
                return daemon.token(body["user"], ttl=body["ttl"])
            case "/restart":
                return again(signal.SIGTERM)
            case "/crash":
                return again(signal.SIGKILL)
        raise ValueError(what)

    class Control(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            answer = json.dumps(do(self.path, body)).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Control) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def node(*arguments: str, **environ: str) -> str:
    """Run Node in web/, with a global `WebSocket` where it has one to give; fails with its output."""
    # Node 20 has a WebSocket behind this flag, 22 and later without; 18, which has none, does not know the flag.
    flag = ["--experimental-websocket"] if _run("node", "--experimental-websocket", "--version").returncode == 0 else []
    done = _run("node", *flag, *arguments, environ=environ)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def _run(*command: str, cwd: Path = WEB, environ: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, **(environ or {})}
    return subprocess.run(command, cwd=cwd, env=env, timeout=LONGEST, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", ["view", "meeting", "words"])
def test_the_client_by_itself(name: str) -> None:
    """What a client knows and does follows from the frames, with a network and a clock that obey the test; and what
    the page says follows from codes."""
    print(node("--test", "--test-reporter=spec", f"test/{name}.test.js"))


@pytest.mark.parametrize(("name", "settings"), [("journeys", {}), ("seats", {"ROOMD_ROOMS_SEAT_HOLD": "1"})])
def test_the_client_with_a_daemon(make_daemon: Callable[..., Daemon], name: str, settings: dict[str, str]) -> None:
    """Whole stays against a real daemon, over wires that break, through restarts and crashes."""
    daemon = make_daemon(**settings)
    with controlled(daemon) as control:
        print(node("--test", "--test-reporter=spec", f"test/{name}.test.js", ROOMD_TEST_CONTROL=control))
    assert faults(daemon) == []


def test_the_example_in_the_readme_works(make_daemon: Callable[..., Daemon], tmp_path: Path) -> None:
    """The README's program, with another address and room in it, joins, speaks and leaves."""
    daemon = make_daemon()
    room = asyncio.run(daemon.room())
    (program,) = re.findall(r"```js\n(.*?)```", (WEB / "README.md").read_text(), re.DOTALL)
    for there, here in {
        '"roomd"': json.dumps((WEB / "roomd.js").as_uri()),
        "wss://meet.example/ws": daemon.url,
        "abc-def-ghi": room["code"],
    }.items():
        assert there in program
        program = program.replace(there, here)
    file = tmp_path / "example.mjs"
    file.write_text(program)
    if node("-p", "typeof WebSocket").strip() == "undefined":
        pytest.skip("this Node has no global WebSocket")
    said = node(str(file)).splitlines()
    assert (said[0], said[-1]) == ("Jane is here", "It is over: You left")


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What npm would publish, installed for a project that uses it; gives that project's folder."""
    folder = tmp_path_factory.mktemp("consumer")
    copy = folder / "web"
    shutil.copytree(WEB, copy, ignore=shutil.ignore_patterns("node_modules"))
    (copy / "node_modules").symlink_to(WEB / "node_modules")
    shutil.copy(WEB.parent / "LICENSE", folder)
    done = _run("npm", "pack", "--pack-destination", str(folder), cwd=copy)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in copy.iterdir()} == {path.name for path in WEB.iterdir()}, "something stays behind"
    (packed,) = folder.glob("roomd-*.tgz")
    modules = folder / "node_modules"
    (modules / "roomd").mkdir(parents=True)
    with tarfile.open(packed) as archive:
        for member in archive:
            content = archive.extractfile(member)
            assert content is not None
            (modules / "roomd" / Path(member.name).relative_to("package")).write_bytes(content.read())
    (modules / "@types").symlink_to(WEB / "node_modules/@types")
    (modules / "undici-types").symlink_to(WEB / "node_modules/undici-types")
    return folder


@needs_tsc
def test_only_what_belongs_is_published(package: Path) -> None:
    """The package holds the module, its types, and what says how to use it."""
    files = {path.name for path in (package / "node_modules/roomd").iterdir()}
    assert files == {"LICENSE", "README.md", "package.json", "roomd.d.ts", "roomd.js"}


@needs_tsc
@pytest.mark.parametrize(
    ("world", "options"),
    [
        ("a browser", ["--lib", "es2022,dom", "--module", "esnext", "--moduleResolution", "bundler", "--types", ""]),
        ("Node", ["--lib", "es2022", "--module", "nodenext", "--types", "node"]),
    ],
)
def test_a_typescript_project_has_the_types(package: Path, world: str, options: list[str]) -> None:
    """A strict project type-checks against the packed types, in a browser's world and in Node's."""
    (package / "package.json").write_text('{"type": "module"}')
    shutil.copy(WEB / "test/consumer.ts", package)
    tsc = str(WEB / "node_modules/.bin/tsc")
    done = _run(tsc, "--strict", "--noEmit", "--target", "es2022", *options, "consumer.ts", cwd=package)
    assert done.returncode == 0, done.stdout
