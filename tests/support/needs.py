"""Tests that need a program of the system say so; where it is missing they are skipped with what to install."""

import os
import shutil

import pytest

SYSTEM_PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
"""Where programs are looked for, daemons included: the PATH of users of Debian lacks their folders."""


def needs(program: str, package: str) -> pytest.MarkDecorator:
    """Mark tests that run `program`, which comes with Debian's `package`."""
    return pytest.mark.skipif(
        shutil.which(program, path=SYSTEM_PATH) is None,
        reason=f"needs {program}: sudo apt-get install {package}, or `make test`",
    )
