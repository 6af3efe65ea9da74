"""The units of systemd/ under a real systemd: restarts with clients, crashes, hangs, and starts that fail."""

import asyncio
import contextlib
import json
import random
import socket
import statistics
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from tests.support.processes import PATIENCE
from tests.support.systemd import LONG, Machine

CLIENTS = 200 if LONG else 50
URL = "http://127.0.0.1:8765"
ROOMD = "/opt/roomd/.venv/bin/roomd"
UNITS = ("roomd.socket", "roomd.service")
SOON = "" if LONG else "RestartSec=100ms"
DROP_IN = "/run/systemd/system/roomd.service.d/test.conf"
CONFIG = "/etc/roomd/roomd.toml"


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


class Attendee:
    """A client that comes back as docs/protocol.md says, and counts how often it is refused."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        """The id of its seat, each time it got it."""
        self.refused: list[str] = []
        self.outages: list[float] = []
        """The seconds from each loss of its connection until it had its seat again."""
        self._token = ""

    async def attend(self, code: str, seated: "asyncio.Queue[None]") -> None:
        """Join, and come back whenever the connection is lost, until cancelled. Each seat is put into `seated`."""
        lost, retry_after, attempts = 0.0, 0.0, 0
        while True:
            if lost:
                await asyncio.sleep(max(retry_after, random.uniform(0.5, 1) * 2**attempts))
            attempts, retry_after = attempts + 1, 0.0
            try:
                async with connect(f"ws{URL[4:]}/ws", ping_interval=None, open_timeout=PATIENCE, proxy=None) as socket:
                    self.ids.append(await self._sit_down(socket, code))
                    if lost:
                        self.outages.append(time.monotonic() - lost)
                    seated.put_nowait(None)
                    attempts = 0
                    async for text in socket:
                        retry_after = json.loads(text).get("retryAfter", retry_after)
            except (OSError, InvalidHandshake, EOFError) as exc:
                self.refused.append(repr(exc))
                continue
            except ConnectionClosed:
                pass
            lost = time.monotonic()

    async def _sit_down(self, socket: ClientConnection, code: str) -> str:
        request = {"type": "resume", "resumeToken": self._token}
        if not self._token:
            request = {"type": "join-room", "code": code, "guestName": "Jane"}
        await socket.send(json.dumps({**request, "id": 1}))
        reply = json.loads(await socket.recv())
        assert reply["type"] == "participant", reply
        self._token = reply["resumeToken"]
        return str(reply["participant"]["id"])


class Crowd:
    """Attendees of one room."""

    def __init__(self, size: int) -> None:
        self.attendees = [Attendee() for _ in range(size)]
        self._seated: asyncio.Queue[None] = asyncio.Queue()

    async def wait(self) -> None:
        """Wait until each has got a seat, once more."""
        async with asyncio.timeout(PATIENCE):
            for _ in self.attendees:
                await self._seated.get()

    @contextlib.asynccontextmanager
    async def meeting(self, code: str) -> AsyncIterator[None]:
        """Have all join; they stay, and come back, until the end of the block."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one.attend(code, self._seated)) for one in self.attendees]
            await self.wait()
            yield
            for task in tasks:
                task.cancel()

    def refusals(self) -> int:
        return sum(len(one.refused) for one in self.attendees)

    def report(self, what: str) -> None:
        """Print the figures, which `pytest -rP` and `make systemd` show."""
        outages = [outage for one in self.attendees for outage in one.outages]
        print(
            f"{what}: {len(self.attendees)} clients, {self.refusals()} refused, outage "
            f"{min(outages):.2f} to {max(outages):.2f} s, median {statistics.median(outages):.2f} s"
        )


def inside(machine: Machine, scene: Coroutine[Any, Any, None]) -> None:
    """Run a scene on a loop in a thread of its own, in the machine's network."""
    failures: list[BaseException] = []

    def run() -> None:
        try:
            with machine.network():
                asyncio.run(scene)
        except BaseException as exc:  # noqa: BLE001 - it is raised in the thread of the test
            failures.append(exc)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if failures:
        raise failures[0]


def room(machine: Machine) -> str:
    """Create a room by the command line, as root, who may read the secret."""
    files = ("--config", CONFIG, "--database", "/var/lib/roomd/roomd.db")
    command = (ROOMD, "room", "create", "--max", str(CLIENTS), "--as", "alice", "--json")
    created: dict[str, Any] = json.loads(machine.run(*command, *files))
    return str(created["room"]["code"])


EVENTS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "restart with the socket": (UNITS, ("restart", "roomd")),
    "restart without the socket": (("roomd.service",), ("restart", "roomd")),
    "kill -9 with the socket": (UNITS, ("kill", "--signal=KILL", "roomd")),
}


@pytest.mark.parametrize(("units", "command"), EVENTS.values(), ids=EVENTS.keys())
def test_everyone_comes_back(service: Service, units: tuple[str, ...], command: tuple[str, ...]) -> None:
    """After a restart or a crash everyone has their own seat again; with the socket nobody was refused meanwhile."""
    service.start(*units)
    crowd, name = Crowd(CLIENTS), f"{' '.join(command)}, {' and '.join(units)}"

    async def scene() -> None:
        async with crowd.meeting(await asyncio.to_thread(room, service.machine)):
            await asyncio.to_thread(service.machine.run, "systemctl", *command)
            await crowd.wait()

    inside(service.machine, scene())
    crowd.report(name)
    for one in crowd.attendees:
        assert len(one.ids) == 2, one.refused
        assert len(set(one.ids)) == 1
    assert len({one.ids[0] for one in crowd.attendees}) == CLIENTS
    assert crowd.refusals() == 0 or len(units) == 1, [one.refused for one in crowd.attendees if one.refused]


def test_a_daemon_that_hangs_is_restarted(service: Service) -> None:
    """The status has rooms and connections; the watchdog ends a stopped process, and the next one has the seats."""
    service.start(*UNITS, unit="WatchdogSec=3")
    crowd = Crowd(3)

    async def scene() -> None:
        async with crowd.meeting(await asyncio.to_thread(room, service.machine)):
            show = ("systemctl", "show", "roomd", "--property=StatusText")
            status = "StatusText=1 rooms, 3 connected\n"
            await asyncio.to_thread(service.machine.wait, *show, until=lambda text: text == status)
            stop = ("systemctl", "kill", "--signal=STOP", "--kill-who=main", "roomd")
            await asyncio.to_thread(service.machine.run, *stop)
            await crowd.wait()

    inside(service.machine, scene())
    crowd.report("SIGSTOP, WatchdogSec=3")
    assert [(len(one.ids), len(set(one.ids)), one.refused) for one in crowd.attendees] == [(2, 1, [])] * 3
    assert service.restarts() == 1


def test_a_wrong_configuration_heals(service: Service) -> None:
    """Clients of the socket get 503 soon; once the file is right, roomd serves, without `reset-failed`."""
    service.start(*UNITS, unit=SOON)
    service.machine.write(CONFIG, "[server]\nping_interval = 'often'\n")
    assert service.machine.tried("systemctl", "restart", "roomd").returncode == 1
    for _ in range(20 if LONG else 2):
        began = time.monotonic()
        assert service.ask("/healthz") == 503
        assert time.monotonic() - began < 15
        assert service.state("roomd.socket") == "active"
    if LONG:
        until(lambda: service.restarts() > 20, "roomd is not tried again")
    service.machine.write(CONFIG, "")
    until(lambda: service.ask("/healthz") == 200, "roomd does not serve")
    said = [line for line in service.machine.journal("roomd") if line.startswith("roomd: ")]
    assert f"{CONFIG}: server.ping_interval: Expected `float`, got `str`" in said[-1]


def test_a_program_that_is_missing_for_a_while(service: Service) -> None:
    """While an upgrade has no program (exit code 203), systemd tries again, and the socket stays."""
    service.start(*UNITS, unit=SOON)
    service.machine.run("mv", ROOMD, f"{ROOMD}.away")
    try:
        assert service.machine.tried("systemctl", "restart", "roomd").returncode == 1
        until(lambda: service.restarts() >= 6, "roomd is not tried again")
        assert service.state("roomd.socket") == "active"
    finally:
        service.machine.run("mv", f"{ROOMD}.away", ROOMD)
    assert service.ask("/healthz") == 200


def test_a_port_that_is_in_use_for_a_while(service: Service) -> None:
    """More starts than systemd allows by default in ten seconds, or 20 seconds; then roomd serves."""
    with service.machine.network():
        other = socket.create_server(("127.0.0.1", 8765))
    with other:
        service.machine.write(CONFIG, "")
        with pytest.raises(AssertionError, match=r"Job for roomd\.service failed"):
            service.start("roomd.service", unit=SOON)
        began = time.monotonic()
        until(lambda: service.restarts() >= 6 and time.monotonic() - began > 20 * LONG, "roomd is not tried again")
    service.wait_ready()
    assert service.state("roomd.service") == "active"


def test_the_socket_alone_starts_the_service(service: Service) -> None:
    """The first client starts roomd; after a stop it is reached again, because the socket stays."""
    service.start("roomd.socket")
    assert service.state("roomd.service") == "inactive"
    assert service.ask("/readyz") == 200
    service.machine.run("systemctl", "stop", "roomd.service")
    assert service.ask("/readyz") == 200


CONNECT = """use Socket;
socket(my $socket, PF_UNIX, SOCK_STREAM, 0) or die $!;
connect($socket, pack_sockaddr_un("/run/roomd/http.sock")) or die $!;
syswrite($socket, "GET /readyz HTTP/1.1\\r\\n\\r\\n");
print <$socket>;
"""


def test_a_proxy_of_another_user(service: Service) -> None:
    """It reaches a Unix socket in the service's folder in /run, unless its mode says otherwise."""
    command = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "perl", "-e", CONNECT)
    listen = "[server]\nlisten = ['unix:/run/roomd/http.sock']\n"
    service.start("roomd.service", settings=listen)
    assert service.machine.run(*command).startswith("HTTP/1.1 200 OK")
    service.stop()
    service.start("roomd.service", settings=f"{listen}socket_mode = '660'\n")
    assert "Permission denied" in service.machine.tried(*command).stderr


def test_what_the_service_is_kept_from(service: Service) -> None:
    """`systemd-analyze security` finds no more than before."""
    exposure = service.machine.run("systemd-analyze", "security", "roomd.service").splitlines()[-1]
    level = float(exposure.partition("roomd.service:")[2].split()[0])
    assert level <= 1.1


@pytest.mark.parametrize("unit", UNITS)
def test_the_units_are_right(service: Service, unit: str) -> None:
    """systemd finds no unknown key and no missing program."""
    done = service.machine.tried("systemd-analyze", "verify", f"/etc/systemd/system/{unit}")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
