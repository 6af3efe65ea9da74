"""Tests that need a program of the system say so; where it is missing they are skipped with what to install."""

import shutil

import pytest


def needs(program: str, package: str) -> pytest.MarkDecorator:
    """Mark tests that run `program`, which comes with Debian's `package`."""
    return pytest.mark.skipif(
        shutil.which(program) is None, reason=f"needs {program}: sudo apt-get install {package}, or `make test`"
    )
