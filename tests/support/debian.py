"""A fresh Debian in a folder, by `debootstrap`."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.needs import SYSTEM_PATH


def fresh(folder: Path, release: str, *packages: str) -> Path:
    """Install the smallest Debian of a release, by its code name, with some packages; return its root folder.

    Skips the test where that cannot be done.
    """
    if shutil.which("debootstrap", path=SYSTEM_PATH) is None:
        pytest.skip("needs debootstrap: sudo apt-get install debootstrap, or `make systemd`")
    command = ["debootstrap", "--variant=minbase", f"--include={','.join(packages)}", release, str(folder)]
    done = subprocess.run(command, env={**os.environ, "PATH": SYSTEM_PATH}, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    return folder
