"""The JavaScript client: its own tests under Node's test runner, against real daemons, and what npm would publish."""

import asyncio
import contextlib
import json
import re
import shutil
import signal
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.support.daemon import Daemon, faults
from tests.support.needs import needs
from tests.support.node import CHECKOUT, CLIENT, MODULES, TSC, needs_npm, needs_tsc, node, run

pytestmark = needs("node", "nodejs")

ALONE = sorted(file.name for file in (CLIENT / "test").glob("*.test.js"))
"""The tests that need no daemon."""


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


@pytest.mark.parametrize("name", ALONE)
def test_the_client_by_itself(name: str) -> None:
    """What a client knows and does follows from the frames, with a network and a clock that obey the test."""
    print(node("--test", "--test-reporter=spec", f"test/{name}"))


@pytest.mark.parametrize(
    ("name", "settings"), [("journeys", {}), ("eventlog", {}), ("seats", {"ROOMD_ROOMS_SEAT_HOLD": "1"})]
)
@pytest.mark.long
def test_the_client_with_a_daemon(make_daemon: Callable[..., Daemon], name: str, settings: dict[str, str]) -> None:
    """Whole stays against a real daemon, over wires that break, through restarts and crashes."""
    daemon = make_daemon(**settings)
    with controlled(daemon) as control:
        print(node("--test", "--test-reporter=spec", f"test/journeys/{name}.test.js", TEST_ROOMD_CONTROL=control))
    assert faults(daemon) == []


def test_the_example_in_the_readme_works(make_daemon: Callable[..., Daemon], tmp_path: Path) -> None:
    """The README's programs, with another address and room in them: one joins, speaks and leaves, one reads the log."""
    daemon = make_daemon()
    room = asyncio.run(daemon.room())
    program, follower = re.findall(r"```js\n(.*?)```", (CLIENT / "README.md").read_text(), re.DOTALL)
    for there, here in {
        '"roomd"': json.dumps((CLIENT / "src" / "roomd.js").as_uri()),
        "wss://meet.example/ws": daemon.url,
        "abc-def-ghi": room["code"],
    }.items():
        assert there in program
        program = program.replace(there, here)
        follower = follower.replace(there, here)
    file = tmp_path / "example.mjs"
    file.write_text(
        f"const adminToken = {json.dumps(daemon.token('service', roomd={'admin': True}))}; let stored = null;\n"
        + follower.replace("stored = next;", "stored = next; break;")
    )
    assert node(str(file)).split() == ["room-created", room["code"], "undefined", "undefined"]
    file.write_text(program)
    if node("-p", "typeof WebSocket").strip() == "undefined":
        pytest.skip("this Node has no global WebSocket")
    said = node(str(file)).splitlines()
    assert (said[0], said[-1]) == ("Jane is here", "It is over: You left the room")


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What npm would publish, installed for a project that uses it; gives that project's folder."""
    folder = tmp_path_factory.mktemp("consumer")
    copy = folder / "js"
    shutil.copytree(CLIENT, copy, ignore=shutil.ignore_patterns("node_modules"))  # so that nothing of it can be needed
    done = run("npm", "pack", "--pack-destination", str(folder), cwd=copy)
    assert done.returncode == 0, done.stderr
    (packed,) = folder.glob("roomd-*.tgz")
    installed = folder / "node_modules" / "roomd"
    with tarfile.open(packed) as archive:
        for member in archive:
            content = archive.extractfile(member)
            assert content is not None
            path = installed / Path(member.name).relative_to("package")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.read())
    return folder


@needs_npm
def test_only_what_belongs_is_published(package: Path) -> None:
    """The package holds the modules, their types, and what says how to use them."""
    installed = package / "node_modules" / "roomd"
    files = {path.relative_to(installed).as_posix() for path in installed.rglob("*") if path.is_file()}
    modules = [path.stem for path in (CLIENT / "src").iterdir()]
    types = {f"types/{name}.d.ts" for name in modules}
    assert files == {"LICENSE", "README.md", "package.json", *(f"src/{name}.js" for name in modules), *types}
    assert (installed / "LICENSE").read_text() == (CHECKOUT / "LICENSE").read_text()


@needs_npm
def test_the_package_is_imported_by_its_name(package: Path) -> None:
    """`import "roomd"` finds what the package exports."""
    (package / "package.json").write_text('{"type": "module"}')
    program = "import * as roomd from 'roomd'; console.log(Object.keys(roomd).join())"
    assert node("--input-type=module", "--eval", program, cwd=package) == "Meeting,Refusal,View,followLog\n"


@needs_npm
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
    shutil.copy(CLIENT / "test/consumer.ts", package)
    for name in ("@types", "undici-types"):
        if not (package / "node_modules" / name).exists():
            (package / "node_modules" / name).symlink_to(MODULES / name)
    done = run(TSC, "--strict", "--noEmit", "--target", "es2022", *options, "consumer.ts", cwd=package)
    assert done.returncode == 0, done.stdout


def test_the_types_of_the_protocol_are_current() -> None:
    """src/protocol.js is what the AsyncAPI document gives: `make types` writes it."""
    done = run(sys.executable, "generate_types.py", "--check")
    assert done.returncode == 0, done.stderr


@needs_tsc
def test_the_types_in_the_package_are_current(tmp_path: Path) -> None:
    """types/ is what TypeScript makes of the modules: `make types` writes it."""
    done = run(TSC, "--project", "tsconfig.types.json", "--outDir", str(tmp_path))
    assert done.returncode == 0, done.stdout
    made, kept = ({file.name: file.read_text() for file in folder.iterdir()} for folder in (tmp_path, CLIENT / "types"))
    assert made == kept
