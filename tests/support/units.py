"""The service of the checkout in a machine: its units, settings, and what systemd and HTTP say of it."""

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import jwt
import pytest

from tests.support.processes import PATIENCE
from tests.support.systemd import LONG, Machine

URL = "http://127.0.0.1:8765"
ROOMD = "/opt/roomd/.venv/bin/roomd"
UNITS = ("roomd.socket", "roomd.service")
SOON = "" if LONG else "RestartSec=100ms"
DROP_IN = "/run/systemd/system/roomd.service.d/test.conf"
CONFIG = "/etc/roomd/roomd.toml"
STATE = "/var/lib/private/roomd"
DATABASE = f"{STATE}/roomd.db"
SECRET = f"{STATE}/roomd.secret"


class Service:
    """The units of the checkout, installed in the machine."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    def start(self, *units: str, settings: str = "", unit: str = "") -> None:
        """Start units, with settings of roomd and of its unit."""
        self.machine.write(CONFIG, settings)
        self.machine.write(DROP_IN, f"[Service]\n{unit}\n")
        self.machine.run("systemctl", "daemon-reload")
        self.machine.run("systemctl", "start", *units)

    def stop(self) -> None:
        self.machine.run("systemctl", "stop", *UNITS)

    def state(self, unit: str) -> str:
        return self.machine.properties(unit, "ActiveState")["ActiveState"]

    def restarts(self) -> int:
        return int(self.machine.properties("roomd", "NRestarts")["NRestarts"])

    def ask(self, path: str, patience: float = PATIENCE) -> int:
        """Request a path; return the status of the answer. Raises `OSError` for none in time."""
        with self.machine.network():
            try:
                with urlopen(URL + path, timeout=patience) as answer:
                    return int(answer.status)
            except HTTPError as refused:
                with refused:
                    return refused.code

    def reasons(self) -> list[str]:
        """Return why new clients should not come, as /readyz says."""
        with self.machine.network():
            try:
                with urlopen(f"{URL}/readyz", timeout=PATIENCE):
                    return []
            except HTTPError as refused:
                with refused:
                    reasons: list[str] = json.load(refused)["reasons"]
                    return reasons

    def status(self) -> dict[str, Any]:
        """Return what `roomd status` says to root, without any option."""
        status: dict[str, Any] = json.loads(self.machine.run("roomd", "status", "--json"))
        return status

    def token(self, user: str, exp: float) -> str:
        """Make a token with the service's own secret; `exp` is when it expires."""
        return jwt.encode({"sub": user, "exp": int(exp)}, self.machine.path(SECRET).read_text().strip(), "HS256")

    def check(self) -> None:
        """Check the database by `roomd check`, which must find nothing wrong."""
        self.machine.run("roomd", "check", DATABASE)

    def wait_ready(self) -> None:
        """Wait until it serves."""
        until(lambda: self._is_ready(), "roomd does not serve")

    def _is_ready(self) -> bool:
        with contextlib.suppress(URLError, OSError):
            return self.ask("/readyz") == 200
        return False


def until(is_so: Callable[[], bool], what: str) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


@pytest.fixture(scope="module")
def installed(machine: Machine) -> Service:
    """Install the units as docs/how-to/systemd.md says."""
    machine.run("mkdir", "-p", "/etc/roomd")
    machine.run("cp", *(f"/opt/roomd/systemd/{unit}" for unit in UNITS), "/etc/systemd/system/")
    return Service(machine)


@pytest.fixture
def service(installed: Service) -> Iterator[Service]:
    """The service, stopped, without a database; stopped again in the end."""
    installed.stop()
    installed.machine.run("systemctl", "clean", "--what=state", "roomd.service")
    yield installed
    installed.stop()
