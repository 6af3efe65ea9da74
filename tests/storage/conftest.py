"""The fixtures of the tests of backups."""

import shutil
from pathlib import Path

import pytest

from tests.support.databases import make_database


@pytest.fixture(scope="session")
def left_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database as a daemon that was killed left it, with its log. Tests copy it."""
    return make_database(tmp_path_factory.mktemp("left"))


@pytest.fixture
def database(left_database: Path, tmp_path: Path) -> Path:
    """A copy of it, with a secret beside it."""
    folder = tmp_path / "data"
    folder.mkdir()
    for suffix in ("", "-wal"):
        shutil.copy(f"{left_database}{suffix}", folder)
    secret = folder / "roomd.secret"
    secret.write_text("0" * 64)
    secret.chmod(0o600)
    return folder / "roomd.db"
