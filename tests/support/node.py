"""Running Node and npm: the tests of the JavaScript client and of the page."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
CLIENT = CHECKOUT / "clients" / "js"
MODULES = CLIENT / "node_modules"
TSC = str(MODULES / ".bin" / "tsc")
LONGEST = 900
"""Seconds that a file of tests may take, each of which has bounds of its own."""

needs_npm = pytest.mark.skipif(shutil.which("npm") is None, reason="needs npm: `make lint`")
needs_tsc = pytest.mark.skipif(not Path(TSC).exists(), reason="needs clients/js/node_modules: `make lint`")


def run(
    *command: str, cwd: Path = CLIENT, environ: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program, in clients/js unless told otherwise, and return what it wrote."""
    env = {**os.environ, **(environ or {})}
    return subprocess.run(command, cwd=cwd, env=env, timeout=LONGEST, capture_output=True, text=True, check=False)


def node(*arguments: str, cwd: Path = CLIENT, **environ: str) -> str:
    """Run Node, with a global `WebSocket` where it has one to give; fails with its output."""
    # Node 20 has a WebSocket behind this flag, 22 and later without; 18, which has none, does not know the flag.
    flag = ["--experimental-websocket"] if run("node", "--experimental-websocket", "--version").returncode == 0 else []
    done = run("node", *flag, *arguments, cwd=cwd, environ=environ)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout
