"""`roomd install-service`: the units of systemd and the configuration, for a roomd that is not Debian's package."""

import os
import re
import stat
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from roomd.cli.output import say
from roomd.cli.units import enabled, units
from roomd.config import ConfigError, default_config

UNIT_FOLDER = "etc/systemd/system"
CONFIG = "etc/roomd/roomd.toml"
PACKAGED = Path("/usr/bin/roomd")
"""The program of the Debian package, which comes with its units."""
HIDDEN = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")  # noqa: S108  # compared with, not used
"""What a service does not see (ProtectHome and PrivateTmp, systemd.exec(5))."""


@dataclass(frozen=True)
class Step:
    """One file to write, or to leave as it is."""

    path: Path
    text: str
    replaces: bool
    """Whether an older file is replaced. It is kept beside the new one, with `.old` after its name."""
    is_needed: bool
    """Whether anything is to be done."""

    def describe(self) -> str:
        """Say what is done, in one line."""
        if not self.is_needed:
            return f"keep    {self.path}"
        return f"replace {self.path}, and keep {old(self.path).name}" if self.replaces else f"write   {self.path}"


def install_service(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be done, and do nothing.")] = False,
    root: Annotated[
        Path,
        typer.Option(metavar="DIR", exists=True, file_okay=False, help="Install into the system in this folder."),
    ] = Path("/"),
) -> None:
    """Install roomd as a service of systemd: its units, and a configuration where there is none.

    Run it again after an upgrade that changes the units. Your configuration is never changed. Write your own settings
    of a unit with `systemctl edit`, because its file is replaced.
    """
    program = find_program()
    check_program(program)
    install(program, root, dry_run, os.geteuid())


def install(program: Path, root: Path, dry_run: bool, user: int) -> None:
    """Write what is missing below `root`, as `user`, a user id, and print it. Raises `ConfigError`."""
    steps = plan(root, program)
    if not dry_run:
        if root == Path("/") and user != 0:
            raise ConfigError(
                f"only root can install a service: sudo {program} install-service (--dry-run shows what it would do)"
            )
        try:
            for step in steps:
                carry_out(step)
        except OSError as error:
            raise ConfigError(f"{error.filename}: cannot be written: {error.strerror}") from None
    for step in steps:
        say(step.describe())
    say("\nNothing was changed." if dry_run else next_steps(program, steps))


def find_program() -> Path:
    """Return the absolute path of the `roomd` that runs. Raises `ConfigError` where there is none to start."""
    beside = Path(sysconfig.get_path("scripts"), "roomd")
    for program in (Path(sys.argv[0]).absolute(), beside):
        if program.name == "roomd" and os.access(program, os.X_OK):
            return program
    raise ConfigError(f"{beside} does not exist: install roomd there first, by `pip install` or `make install`")


def check_program(program: Path) -> None:
    """Check that the service can run a program: its user is neither root nor the owner of the files.

    Raises `ConfigError`, which says what is in the way.
    """
    if program == PACKAGED:
        raise ConfigError("the Debian package has installed the service: systemctl status roomd")
    if not re.fullmatch(r"[\w./+~:@=,-]+", str(program)):
        raise ConfigError(
            f"{program}: a unit of systemd cannot have such a path; install roomd elsewhere, e.g. in /opt"
        )
    for file in (program, Path(sys.executable), Path(__file__)):
        for path in (file.absolute(), file.resolve()):
            if hidden := next((folder for folder in HIDDEN if path.is_relative_to(folder)), None):
                raise ConfigError(
                    f"{path}: a service sees no files in {hidden}; install roomd and its Python elsewhere, e.g. in /opt"
                )
            for closed in closed_to_others(path):
                raise ConfigError(f"{closed}: the service's user cannot read it; run `chmod o+rX {closed}`")


def closed_to_others(path: Path) -> Iterator[Path]:
    """Return what not everybody may enter or read: folders on the way to a file, and the file."""
    for folder in reversed(path.parents):
        if not folder.stat().st_mode & stat.S_IXOTH:
            yield folder
    if not path.stat().st_mode & stat.S_IROTH:
        yield path


def plan(root: Path, program: Path) -> list[Step]:
    """Return what is to be done below `root`. Nothing is changed. Raises `ConfigError`."""
    try:
        steps = [_step(root / UNIT_FOLDER / name, text, replaces=True) for name, text in units(str(program)).items()]
        return [*steps, _step(root / CONFIG, default_config(), replaces=False)]
    except OSError as error:
        raise ConfigError(f"{error.filename}: cannot be read: {error.strerror}") from None


def _step(path: Path, text: str, replaces: bool) -> Step:
    if path.is_symlink():
        raise ConfigError(
            f"{path} is a link, as of a masked unit: remove it first, e.g. by `systemctl unmask {path.name}`"
        )
    if not path.exists():
        return Step(path, text, replaces=False, is_needed=True)
    return Step(path, text, replaces, is_needed=replaces and path.read_bytes() != text.encode())


def carry_out(step: Step) -> None:
    """Write a file whole or not at all, and the folders above it. Raises `OSError`."""
    if not step.is_needed:
        return
    step.path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    new = step.path.with_name(f"{step.path.name}.new")
    new.write_text(step.text, encoding="utf-8")
    new.chmod(0o644)
    if step.replaces:
        step.path.replace(old(step.path))
    new.replace(step.path)


def old(path: Path) -> Path:
    """Return where the file is kept that another replaces."""
    return path.with_name(f"{path.name}.old")


def next_steps(program: Path, steps: list[Step]) -> str:
    """Say what the operator does next."""
    names = " ".join(enabled({step.path.name: step.text for step in steps}))
    return (
        f"\nNext:\n  edit {steps[-1].path}, and check it: {program} check-config --config /{CONFIG}"
        f"\n  systemctl daemon-reload && systemctl enable --now {names}"
        f"\nAfter an upgrade:\n  systemctl daemon-reload && systemctl restart roomd"
    )
