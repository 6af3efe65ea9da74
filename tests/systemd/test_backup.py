"""Backups of the service: the units under a real systemd, and a restore that the service can open."""

import json
from collections.abc import Iterator

import pytest

from tests.support.systemd import Machine

WHERE = ("--config", "/etc/roomd/roomd.toml", "--database", "/var/lib/roomd/roomd.db")
UNITS = ("roomd.service", "roomd-backup.service", "roomd-backup.timer")


@pytest.fixture
def service(machine: Machine) -> Iterator[Machine]:
    """A machine that serves."""
    machine.write("/etc/roomd/roomd.toml", machine.run("roomd", "default-config"))
    for unit in UNITS:
        machine.run("cp", f"/opt/roomd/systemd/{unit}", "/etc/systemd/system/")
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "start", "roomd", "roomd-backup.timer")
    machine.wait("bash", "-c", "</dev/tcp/127.0.0.1/8765")
    yield machine
    machine.run("systemctl", "stop", "roomd", "roomd-backup.timer")


def rooms(machine: Machine) -> list[str]:
    """Return the names of the rooms that the service serves."""
    listed = json.loads(machine.wait("roomd", "room", "list", "--json", *WHERE))
    return [room["name"] for room in listed["rooms"]]


@pytest.mark.long
def test_a_backup_each_night_and_a_restore(service: Machine) -> None:
    """The timer's service backs up for root alone while roomd serves; a restore by root is the service's again."""
    assert "roomd-backup.service" in service.run("systemctl", "list-timers", "roomd-backup.timer")
    service.run("roomd", "room", "create", "--name", "Before", *WHERE)
    service.run("systemctl", "start", "roomd-backup.service")
    found = service.run("find", "/var/backups/roomd", "-type", "f", "-printf", "%u %m %f\n").split()
    assert found[0::3] == ["root", "root"]
    assert found[1::3] == ["600", "600"]
    (backup,) = (f"/var/backups/roomd/{name}" for name in found[2::3] if name.endswith(".db"))
    assert service.run("roomd", "check", backup).endswith(": fine (schema 6, 1 room)\n")
    assert any("the backup of /var/lib/roomd/roomd.db" in line for line in service.journal("roomd-backup"))
    service.run("roomd", "room", "create", "--name", "After", *WHERE)
    assert service.tried("roomd", "restore", backup, *WHERE).stderr.endswith(
        "is serving this database; stop it first\n"
    )

    service.run("systemctl", "stop", "roomd")
    service.run("rm", "/var/lib/private/roomd/roomd.secret")
    service.run("cp", backup, "/var/lib/private/roomd/roomd.db")  # as somebody does who copies it: it is root's now
    service.run("chown", "root:root", "/var/lib/private/roomd/roomd.db")
    service.run("roomd", "restore", backup, *WHERE)
    service.run("systemctl", "start", "roomd")
    assert rooms(service) == ["Before"]
    assert service.run("systemctl", "is-active", "roomd") == "active\n"
    assert service.run("systemctl", "show", "roomd", "--property=NRestarts") == "NRestarts=0\n"
