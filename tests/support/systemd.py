"""A machine for a test: a real systemd in namespaces of its own (tests/systemd/boot.sh), thrown away in the end.

Inside, the checkout is in /opt/roomd with a `.venv`, as after `git clone` and `make install` there. The service's user
can read it wherever the checkout of the tests is, and /usr/local/bin/roomd is its command line.
"""

import contextlib
import ctypes
import itertools
import os
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.needs import SYSTEM_PATH
from tests.support.processes import PATIENCE, end, spawn

LONG = os.environ.get("TEST_ROOMD_SYSTEMD") == "all"
"""Whether `make systemd` runs the tests, and not `make test`: longer, and with more clients."""

CHECKOUT = Path(__file__).parents[2]
INSIDE = "/opt/roomd"
"""Where the checkout is in the machine: links to what it has, and a `.venv` of its own."""
_BOUND = "/opt/checkout"
"""Where the folder of the checkout is bound in the machine."""
_PYTHON = "/opt/python"
"""Where the interpreter is in the machine. Its folder may be in a home folder, which services cannot read."""
_SITE = f"{INSIDE}/.venv/lib/site-packages"
_ROOMD = f"""\
#!/bin/sh
export LD_LIBRARY_PATH={_PYTHON}/lib PYTHONPATH={_BOUND}:{_SITE} PYTHONSAFEPATH=1
exec {_PYTHON}/bin/python{sys.version_info.major}.{sys.version_info.minor} -c \
    'import sys; sys.argv[0] = "{INSIDE}/.venv/bin/roomd"; from roomd.__main__ import main; main()' "$@"
"""
"""The program, as pip would make it for an interpreter in this place."""
_ENVIRON = {
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "SYSTEMD_COLORS": "0",
    "SYSTEMD_PAGER": "",
    "TERM": "dumb",
}
_CLONE_NEWNET = 0x40000000
_numbers = itertools.count()


class CommandError(AssertionError):
    """A command in the machine ended with another exit code than 0. The text has its output."""


class Machine:
    """A systemd that runs. `pid` is its process, as the machine of the tests sees it."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def command(self, *command: str, **environ: str) -> list[str]:
        """Return the command that runs another inside, as root with an environment of its own."""
        variables = [f"{name}={value}" for name, value in {**_ENVIRON, **environ}.items()]
        enter = ["nsenter", "-t", str(self.pid), "-m", "-u", "-i", "-n", "-p", "-C", "-r", "-w", "--"]
        return [*enter, "env", "-i", *variables, *command]

    def run(self, *command: str, stdin: str = "", **environ: str) -> str:
        """Run a command inside, and return its output. Raises `CommandError` with both outputs."""
        done = self.tried(*command, stdin=stdin, **environ)
        if done.returncode:
            raise CommandError(f"{' '.join(command)}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def tried(self, *command: str, stdin: str = "", **environ: str) -> "subprocess.CompletedProcess[str]":
        """Run a command inside, and return its exit code and outputs."""
        return subprocess.run(
            self.command(*command, **environ),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def wait(self, *command: str, until: Callable[[str], bool] = lambda output: True, **environ: str) -> str:
        """Repeat a command until it ends with 0 and its output satisfies `until`; return that output."""
        deadline = time.monotonic() + PATIENCE
        while True:
            done = self.tried(*command, **environ)
            if done.returncode == 0 and until(done.stdout):
                return done.stdout
            assert time.monotonic() < deadline, f"{' '.join(command)}: {done.returncode}\n{done.stdout}{done.stderr}"
            time.sleep(0.05)

    def path(self, inside: str) -> Path:
        """Return the path by which the tests reach a file of the machine. An absolute link leads out of it."""
        return Path(f"/proc/{self.pid}/root{inside}")

    def write(self, inside: str, text: str, mode: int = 0o644) -> None:
        """Write a file of root, and the folders above it."""
        file = self.path(inside)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        file.chmod(mode)

    def properties(self, unit: str, *names: str) -> dict[str, str]:
        """Return properties of a unit, as `systemctl show` has them."""
        output = self.run("systemctl", "show", unit, f"--property={','.join(names)}")
        return dict(line.split("=", 1) for line in output.splitlines())

    def journal(self, unit: str, *options: str) -> list[str]:
        """Return the lines that a unit logged before this call, without times and names."""
        self.run("journalctl", "--sync")
        return self.run("journalctl", "--unit", unit, "--output=cat", "--no-pager", *options).splitlines()

    @contextlib.contextmanager
    def network(self) -> Iterator[None]:
        """Move the calling thread into the machine's network: 127.0.0.1 is the machine's, and its ports.

        Sockets that the thread makes meanwhile stay there, and so do processes and threads that it starts; `spawn` of
        tests.support.processes starts its processes in another thread, so those do not.
        """
        own_file, its_file = Path("/proc/thread-self/ns/net"), Path(f"/proc/{self.pid}/ns/net")
        with own_file.open("rb") as own, its_file.open("rb") as other:
            _set_network(other.fileno())
            try:
                yield
            finally:
                _set_network(own.fileno())


def _set_network(fd: int) -> None:
    """Move this thread into a network namespace. Python has `os.setns` since 3.12."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(fd, _CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def why_not() -> str | None:
    """Return why no systemd can be booted here, or None."""
    if os.geteuid() != 0:
        return "needs root, for namespaces of its own: sudo make systemd"
    if missing := [
        name for name in ("unshare", "nsenter", "ip", "setpriv") if not shutil.which(name, path=SYSTEM_PATH)
    ]:
        return f"needs {', '.join(missing)}: sudo apt-get install iproute2 util-linux"
    if not Path("/lib/systemd/systemd").exists():
        return "needs systemd: sudo apt-get install systemd, or `make test`"
    if not _cgroups().joinpath("cgroup.procs").exists():
        return "needs the cgroup2 hierarchy, in /sys/fs/cgroup or /sys/fs/cgroup/unified"
    command = "unshare --fork --pid --mount --cgroup --uts --ipc --net mount -t tmpfs tmpfs /tmp"
    done = subprocess.run(command.split(), capture_output=True, text=True, check=False)
    if done.returncode or not os.access(_cgroups(), os.W_OK):
        return f"namespaces, mounts or cgroups are not permitted here: {done.stderr.strip()}"
    return None


def _cgroups() -> Path:
    """Return the cgroup2 hierarchy, whether it is the only one or stands beside those of version 1."""
    top = Path("/sys/fs/cgroup")
    return top if (top / "cgroup.procs").exists() else top / "unified"


def _remove_group(group: Path) -> None:
    """Remove a cgroup and those below it, whose processes have ended or are about to."""
    deadline = time.monotonic() + PATIENCE
    while group.exists():
        for folder in [*sorted((path.parent for path in group.rglob("cgroup.procs")), reverse=True), group]:
            with contextlib.suppress(OSError):  # busy until the last process is gone
                folder.rmdir()
        assert time.monotonic() < deadline, f"{group} has processes"


@contextlib.contextmanager
def own_group() -> Iterator[Path]:
    """Make a cgroup. It is named for this process, so that a later one removes what a killed one left."""
    for old in _cgroups().glob("roomd-test-*"):
        if not Path(f"/proc/{old.name.split('-')[2]}").exists():
            _remove_group(old)
    group = _cgroups() / f"roomd-test-{os.getpid()}-{next(_numbers)}"
    group.mkdir()
    try:
        yield group
    finally:
        _remove_group(group)


@contextlib.contextmanager
def booted(
    folder: Path, bound: Mapping[Path, str] = {}, environ: Mapping[str, str] = {}, checkout: bool = True
) -> Iterator[Machine]:
    """Boot a machine, and throw it away in the end. Skips the test where that cannot be done.

    `folder` is an empty one. `bound` are folders that the machine shares, with where they are inside. `environ` are the
    variables of tests/systemd/boot.sh. Without the `checkout` nothing of roomd is in the machine.
    """
    if reason := why_not():
        pytest.skip(reason)
    shared = dict(bound)
    if checkout:
        shared |= {CHECKOUT: _BOUND, Path(sys.base_prefix): _PYTHON, Path(sysconfig.get_path("purelib")): _SITE}
    pairs = [str(path) for pair in shared.items() for path in pair]
    log = folder / "systemd.log"
    state = folder / "systemd"
    state.mkdir()
    with own_group() as group, log.open("wb") as output:
        process = spawn(
            ["bash", str(CHECKOUT / "tests/systemd/boot.sh"), str(state), str(group), *pairs],
            env={**os.environ, "PATH": SYSTEM_PATH, **environ}, stdout=output, stderr=output,
        )  # fmt: skip
        try:
            machine = Machine(first_process(process, log, "systemd"))
            if checkout:
                _install(machine)
            machine.wait("sh", "-c", "systemctl is-system-running || true", until=lambda state: state in UP)
            yield machine
        finally:
            end(process)  # and with it the machine: `unshare --kill-child`


def _install(machine: Machine) -> None:
    """Put the checkout where `make install` would have it."""
    machine.write(f"{INSIDE}/.venv/bin/roomd", _ROOMD, 0o755)
    machine.path("/usr/local/bin/roomd").symlink_to(f"{INSIDE}/.venv/bin/roomd")
    for path in CHECKOUT.iterdir():
        if not path.name.startswith("."):
            machine.path(f"{INSIDE}/{path.name}").symlink_to(f"{_BOUND}/{path.name}")


UP = ("running\n", "degraded\n")
"""What `systemctl is-system-running` says when every job of the boot is done."""


def first_process(process: "subprocess.Popen[Any]", log: Path, name: str) -> int:
    """Wait until `unshare` has a child that has become the program of this name; return its pid."""
    deadline = time.monotonic() + PATIENCE
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    while True:
        with contextlib.suppress(OSError):
            for child in children.read_text().split():
                if Path(f"/proc/{child}/comm").read_text() == f"{name}\n":
                    return int(child)
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.01)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine with the checkout in /opt/roomd, shared by the tests of a module that run in one process."""
    with booted(tmp_path_factory.mktemp("machine")) as machine:
        yield machine
