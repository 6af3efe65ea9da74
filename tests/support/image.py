"""Build the image of the Containerfile without an engine, and run it, as root: on a fresh Debian, in namespaces.

Each instruction does what an engine would have it do; one that is not known here fails. In place of the base image
there is the Debian of its release. The interpreter in it is that of the base image's version if this machine has one,
else Debian's own. The machine's devices are seen inside, and no limit of an engine holds (seccomp, cgroups).
"""

import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import string
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.containerfile import CHECKOUT, Stage, context, stages
from tests.support.debian import fresh
from tests.support.needs import SYSTEM_PATH
from tests.support.processes import PATIENCE, spawned
from tests.support.systemd import Machine, first_process

PACKAGES = ("ca-certificates", "python3", "python3-venv", "python-is-python3")
"""What the base image has besides Debian: an interpreter, the libraries that it uses, and certificates."""
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SETTINGS = ("USER", "VOLUME", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT", "CMD")
"""The instructions that change no file: they say how the image is run."""
_UNSHARE = ("unshare", "--fork", "--kill-child", "--pid", "--mount", "--uts", "--ipc")
_ENTER = """\
set -e
root=$1 python=$2; shift 2
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
[ -z "$python" ] || mount --bind "$python" "$root/usr/local"
while [ "$1" != run ]; do
    case $1 in
    read-only) mount -o remount,bind,ro "$root"; shift ;;
    volume) mount --bind "$2" "$root$3"; shift 3 ;;
    loopback) ip link set lo up; shift ;;
    esac
done
shift
exec chroot "$root" "$@"
"""


@dataclass
class Image:
    """The root folder of a stage, and how its processes run."""

    root: Path
    python: Path | None
    """The folder that is in /usr/local: the interpreter. None is Debian's own."""
    environ: dict[str, str] = field(default_factory=lambda: {"PATH": PATH})
    folder: str = "/"
    """The working directory."""
    settings: dict[str, str] = field(default_factory=dict)
    """The arguments of each of `SETTINGS`."""

    def command(self, *command: str) -> list[str]:
        """Return a command with the environment and the working directory of the image."""
        variables = [f"{name}={value}" for name, value in self.environ.items()]
        return ["env", "--chdir", self.folder, "-i", *variables, *command]

    def of_user(self, *command: str) -> list[str]:
        """Return a command as the image's user runs it, who has no capability."""
        user = self.settings["USER"]
        entries = (line.split(":") for line in (self.root / "etc/passwd").read_text().splitlines())
        group = next(entry[3] for entry in entries if entry[2] == user)
        ids = (f"--reuid={user}", f"--regid={group}", "--clear-groups")
        return ["setpriv", *ids, "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs", *self.command(*command)]

    def enter(self, *command: str, mounts: tuple[str, ...] = ()) -> list[str]:
        """Return the arguments of bash that run a command in the root."""
        return ["bash", "-c", _ENTER, "enter", str(self.root), str(self.python or ""), *mounts, "run", *command]

    def run(self, *command: str, **environ: str) -> None:
        """Run a command of the build as root, with more variables."""
        variables = [f"{name}={value}" for name, value in environ.items()]
        enter = self.enter(*self.command("env", *variables, *command))
        done = subprocess.run(
            [*_UNSHARE, *enter], capture_output=True, text=True, timeout=600, env={**os.environ, "PATH": SYSTEM_PATH}
        )
        assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-4000:]}"


def build(folder: Path) -> Image:
    """Build the image in an empty folder; return its last stage. Skips the test without `debootstrap`."""
    version, release = _versions(stages())
    debian = fresh(folder / "debian", release, *PACKAGES)
    for file in ("/etc/resolv.conf", "/etc/hosts"):
        shutil.copy(file, debian / file[1:])
    python = _interpreter(version)
    print(f"Python of the image: {python or 'that of Debian'}; the Containerfile has {version}")
    built: dict[str, Image] = {}
    for number, stage in enumerate(stages()):
        root = folder / f"stage-{number}"
        subprocess.run(["cp", "--archive", "--reflink=auto", debian, root], check=True)
        built[stage.name] = image = Image(root, python)
        if python is not None:
            image.run("ldconfig")
        for instruction, arguments in stage.steps:
            _carry_out(image, instruction, arguments, built)
    return image


def _carry_out(image: Image, instruction: str, arguments: str, built: dict[str, Image]) -> None:
    if instruction == "RUN":
        image.run("/bin/sh", "-c", arguments, **_network(image))
    elif instruction == "WORKDIR":
        image.folder = arguments
        (image.root / arguments[1:]).mkdir(parents=True, exist_ok=True)
    elif instruction == "ENV":
        for pair in shlex.split(string.Template(arguments).substitute(image.environ)):
            name, _, value = pair.partition("=")
            image.environ[name] = value
    elif instruction == "COPY":
        _copy(image, arguments.split(), built)
    elif instruction in SETTINGS:
        image.settings[instruction] = arguments
    else:
        raise ValueError(f"unknown instruction: {instruction}")


def _copy(image: Image, arguments: list[str], built: dict[str, Image]) -> None:
    if arguments == [".", "."]:
        for path in context():
            copy = image.root / image.folder[1:] / path
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(CHECKOUT / path, copy, follow_symlinks=False)
        return
    option, source, target = arguments
    stage = built[option.removeprefix("--from=")]
    shutil.copytree(stage.root / source[1:], image.root / target[1:], symlinks=True)


def _versions(found: list[Stage]) -> tuple[str, str]:
    """Return the version of Python and the release of Debian that all stages begin with."""
    (base,) = {stage.base for stage in found}
    match = re.fullmatch(r"docker\.io/library/python:(\d+\.\d+)-slim-(\w+)", base)
    assert match is not None, base
    return match[1], match[2]


def _interpreter(version: str) -> Path | None:
    """Return the folder of an interpreter of a version that is not Debian's own, or None where there is none."""
    if (program := shutil.which(f"python{version}")) is None:
        return None
    command = [program, "-c", "import sys; print(sys.base_prefix)"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    prefix = done.stdout.strip()
    return Path(prefix) if done.returncode == 0 and prefix != "/usr" else None


def _network(image: Image) -> dict[str, str]:
    """Return the variables with which pip reaches in the image what it reaches here: the index, its certificates."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    found = {match[1]: match[2] for line in lines if (match := re.fullmatch(r"\S+?\.(\S+)='(.*)'", line))}
    environ = {"PIP_INDEX_URL": found["index-url"]} if "index-url" in found else {}
    if "cert" in found:
        shutil.copy(found["cert"], image.root / "tmp/certificates.pem")
        environ["PIP_CERT"] = "/tmp/certificates.pem"
    return environ


@contextlib.contextmanager
def container(image: Image, volume: Path) -> Iterator[Machine]:
    """Run the image as its user with a read-only root, wait until it is healthy, and stop it in order in the end.

    `volume` is a folder for its volume. One that does not exist yet begins with what the image has there.
    """
    where = image.settings["VOLUME"]
    if not volume.exists():
        subprocess.run(["cp", "--archive", image.root / where[1:], volume], check=True)
    command = [*json.loads(image.settings["ENTRYPOINT"]), *json.loads(image.settings["CMD"])]
    mounts = ("read-only", "volume", str(volume), where, "loopback")
    enter = image.enter(*image.of_user(*command), mounts=mounts)
    log = volume.with_suffix(".log")
    with (
        log.open("wb") as output,
        spawned(
            [*_UNSHARE, "--net", *enter], stdout=output, stderr=output, env={**os.environ, "PATH": SYSTEM_PATH}
        ) as process,
    ):
        machine = Machine(first_process(process, log, "roomd"))
        _, _, check = image.settings["HEALTHCHECK"].partition(" CMD ")
        deadline = time.monotonic() + PATIENCE
        while machine.tried(*image.of_user(*json.loads(check))).returncode:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
        yield machine
        os.kill(machine.pid, signal.Signals[image.settings["STOPSIGNAL"]])
        assert process.wait(PATIENCE) == 0, log.read_text()
