"""What the commands that measure have in common: their options, and what is set before they measure."""

import argparse
import gc
from pathlib import Path
from typing import Any, NamedTuple

from bench import report
from bench.processes import pin_generator, raise_file_limit


class Place(NamedTuple):
    """Where measurements are made."""

    machine: dict[str, Any]
    """What a report says of the machine."""
    cores: set[int]
    """The cores of the servers: this process has others, if there are any."""


def parser(name: str, description: str | None, rounds: int, seconds: float) -> argparse.ArgumentParser:
    """Return the parser of a command with the options that each command has."""
    options = argparse.ArgumentParser(prog=f"python -m {name}", description=description)
    options.add_argument("--rounds", type=int, default=rounds, help=f"how often to measure (default {rounds})")
    options.add_argument(
        "--seconds", type=float, default=seconds, help=f"length of a rate measurement (default {seconds:g})"
    )
    options.add_argument(
        "--folder", type=Path, default=Path("var"), help="where databases go: a real disk (default var)"
    )
    return options


def make_ready(folder: Path) -> Place:
    """Make the folder of the databases, and set this process up as the one that makes load."""
    folder.mkdir(parents=True, exist_ok=True)
    raise_file_limit()
    machine = report.machine(folder)
    cores = pin_generator()
    gc.disable()  # a pause here would count as the server's
    return Place(machine, cores)
