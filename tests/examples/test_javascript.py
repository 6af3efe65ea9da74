"""The JavaScript programs of docs/how-to, run by Node beside the published packages that they import."""

import subprocess
from pathlib import Path

import pytest

from roomd.testing import Daemon
from tests.support.node import CLIENT, MODULES, needs_npm
from tests.support.programs import EXAMPLES, code_of_room

HERE = Path(__file__).parent
pytestmark = [
    needs_npm,
    pytest.mark.skipif(not (MODULES / "ws").exists(), reason="needs clients/js/node_modules: `make lint`"),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the programs, where the client and its packages are installed."""
    (tmp_path / "node_modules").mkdir()
    for package in ("react", "react-is", "react-test-renderer", "scheduler", "ws"):
        (tmp_path / "node_modules" / package).symlink_to(MODULES / package)
    (tmp_path / "node_modules" / "roomd").symlink_to(CLIENT)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    for file in [*(EXAMPLES / "js").iterdir(), *HERE.glob("*.mjs")]:
        (tmp_path / file.name).write_text(file.read_text())
    return tmp_path


def node(folder: Path, *arguments: str) -> list[str]:
    """Run Node, without the global WebSocket that newer ones have, and return the lines that it wrote."""
    (folder / "old.mjs").write_text("delete globalThis.WebSocket;\n")
    command = ["node", "--preserve-symlinks", "--import", "./old.mjs", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


def test_the_shim_for_socket_io(daemon: Daemon, folder: Path) -> None:
    """socket-io.md: `emit("join-room", …, ack)` is answered with the participant, or with `{statusCode, message}`."""
    assert node(folder, "socket-io.mjs", daemon.url, code_of_room(daemon), daemon.token("alice")) == ["done"]


def test_node_without_a_websocket(daemon: Daemon, folder: Path) -> None:
    """node.md: the client uses the WebSocket of the package `ws`."""
    assert node(folder, "join.js", daemon.url, code_of_room(daemon), "Jane") == ["Jane"]


def test_the_hook_for_react(daemon: Daemon, folder: Path) -> None:
    """react.md: components show who is there, join once in strict mode too, and leave when they go."""
    assert node(folder, "react.mjs", daemon.url, code_of_room(daemon), daemon.token("alice")) == ["done"]


def test_the_shim_is_short() -> None:
    """Whoever moves reads all of it."""
    assert len((EXAMPLES / "js" / "socket-io-shim.js").read_text().splitlines()) < 40
