"""The fixtures of the command line's tests."""

from pathlib import Path

import pytest

from tests.support.processes import free_port


@pytest.fixture
def nowhere(tmp_path: Path) -> dict[str, str]:
    """The environment of a daemon that is not running and never was."""
    return {"ROOMD_SERVER_PORT": str(free_port()), "ROOMD_DATABASE_PATH": str(tmp_path / "roomd.db")}
