"""The units of systemd/ under a real systemd: restarts with clients, crashes, hangs, and starts that fail."""

import asyncio
import socket
import time

import pytest

from tests.support.crowds import CLIENTS, Crowd, inside, room
from tests.support.systemd import LONG, CommandError
from tests.support.units import CONFIG, DROP_IN, ROOMD, SOON, UNITS, Service, until

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


@pytest.mark.long
def test_a_daemon_that_hangs_is_restarted(service: Service) -> None:
    """The status has rooms and connections; the watchdog ends a stopped process, and the next one has the seats."""
    service.start(*UNITS, unit="WatchdogSec=6")
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
    crowd.report("SIGSTOP, WatchdogSec=6")
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


def test_the_configuration_is_checked_first(service: Service) -> None:
    """The service's own user checks it, so a secret that only root can read is refused; `systemctl status` says so."""
    machine, secret = service.machine, "/etc/roomd/auth.secret"
    machine.write(secret, "a secret for tests only, 32 bytes and more", 0o600)
    settings = f"[auth]\nsecret_file = '{secret}'\n"
    with pytest.raises(CommandError, match=r"Job for roomd\.service failed"):
        service.start(*UNITS, settings=settings, unit=SOON)
    machine.run("roomd", "check-config", "--config", CONFIG)  # root may read it
    check = ("systemctl", "show", "roomd", "--property=ExecStartPre")
    machine.wait(*check, until=lambda text: "code=exited ; status=2" in text)
    assert service.ask("/healthz") == 503
    assert any(f"auth.secret_file: {secret}" in line for line in machine.journal("roomd"))
    machine.write(DROP_IN, f"[Service]\n{SOON}\nLoadCredential=auth.secret:{secret}\n")
    machine.write(CONFIG, settings.replace("/etc/roomd", "/run/credentials/roomd.service"))
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "restart", "roomd")
    assert service.ask("/healthz") == 200
    assert "code=exited ; status=0" in machine.run(*check)


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
