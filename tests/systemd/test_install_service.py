"""`roomd install-service` on a machine with a systemd: from nothing to a service that answers."""

from roomd.cli.units import enabled, units
from tests.support.systemd import INSIDE, Machine


def test_install_service(machine: Machine) -> None:
    """What it says to do next starts the service; run again it changes nothing, and keeps a changed configuration."""
    dry = machine.run("roomd", "install-service", "--dry-run")
    assert dry.endswith("write   /etc/roomd/roomd.toml\n\nNothing was changed.\n")
    assert not machine.path("/etc/roomd").exists()

    done = machine.run("roomd", "install-service")
    assert done.partition("\n\n")[0] == dry.partition("\n\n")[0]
    (step,) = (line for line in done.splitlines() if line.startswith("  systemctl daemon-reload && systemctl enable"))
    assert step.endswith(" ".join(["enable --now", *enabled(units(""))]))
    machine.run("bash", "-c", step)
    machine.wait("bash", "-c", "</dev/tcp/127.0.0.1/8765")
    assert machine.properties("roomd.service", "ExecStart")["ExecStart"].startswith(
        f"{{ path={INSIDE}/.venv/bin/roomd ; argv[]={INSIDE}/.venv/bin/roomd serve "
    )

    machine.write("/etc/roomd/roomd.toml", "[rooms]\nseat_hold = 99.0\n")
    again = machine.run("roomd", "install-service")
    assert {line.split()[0] for line in again.partition("\n\n")[0].splitlines()} == {"keep"}
    assert machine.path("/etc/roomd/roomd.toml").read_text() == "[rooms]\nseat_hold = 99.0\n"
    machine.run("systemctl", "stop", *enabled(units("")))


def test_only_root_installs(machine: Machine) -> None:
    """Somebody else is told what to run, and may look at what it would do."""
    nobody = ("setpriv", "--reuid", "65534", "--clear-groups", "roomd", "install-service")
    refused = machine.tried(*nobody)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith(
        f"roomd: only root can install a service: sudo {INSIDE}/.venv/bin/roomd install-se"
    )
    assert machine.run(*nobody, "--dry-run").endswith("\nNothing was changed.\n")
