"""Run a command again and again, each time on a new copy of a folder, and end it one step later, as kill -9 would.

A step is a file that gets a name, loses one, or is removed: Python reports each to audit hooks (sys.addaudithook). The
copies are folders with numbers; in the last one the command came to its end. `{}` in an argument is the copy's path.
"""

import os
import shutil
import subprocess
import sys
from itertools import count
from pathlib import Path

from roomd.auth import secret_files  # noqa: F401 - imported once here, and not in each child
from roomd.cli.app import command_line
from roomd.storage import backup, restore  # noqa: F401

STEPS = ("os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir")
MOST = 100
KILLED = 9


def run_interrupted(source: Path, copies: Path, *arguments: str) -> list[Path]:
    """Run the command in a process of its own, and return the copies."""
    command = [sys.executable, "-m", __name__, str(source), str(copies), *arguments]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("ROOMD_")}
    subprocess.run(command, env=environ, stdout=subprocess.DEVNULL, check=True)
    return sorted(copies.iterdir(), key=lambda copy: int(copy.name))


def main() -> None:
    """Make the copies."""
    source, copies, *arguments = sys.argv[1:]
    for step in range(MOST):
        copy = Path(copies) / str(step)
        shutil.copytree(source, copy)
        child = os.fork()
        if child == 0:
            _end_at(step)
            command_line()([argument.format(copy) for argument in arguments], prog_name="roomd")
            os._exit(1)  # not reached: the command exits
        _, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        if code != KILLED:
            sys.exit(code)
    sys.exit("the command has more steps than expected")


def _end_at(step: int) -> None:
    """End this process before a step."""
    steps = count()

    def hook(event: str, _: object) -> None:
        if event in STEPS and next(steps) == step:
            os._exit(KILLED)

    sys.addaudithook(hook)


if __name__ == "__main__":
    main()
