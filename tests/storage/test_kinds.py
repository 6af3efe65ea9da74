"""Which kind of storage a daemon opens, and what it loads for that."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.postgresql import Server
from tests.support.processes import PATIENCE

PROGRAM = """
import asyncio, sys
import roomd.daemon
from roomd.config import DatabaseConfig
from roomd.storage.kinds import open_storage

async def run():
    await (await open_storage(DatabaseConfig(path=sys.argv[1], url=sys.argv[2] or None))).store.close()

asyncio.run(run())
print(*sorted({"asyncpg", "aiosqlite", "roomd.storage.postgresql"} & set(sys.modules)))
"""


@pytest.mark.parametrize(
    ("kind", "loaded"), [("sqlite", "aiosqlite"), ("postgresql", "asyncpg roomd.storage.postgresql")]
)
def test_only_what_is_needed_is_loaded(kind: str, loaded: str, tmp_path: Path, postgresql: Server) -> None:
    """A daemon with a file pays nothing for PostgreSQL, and the other way round."""
    url = postgresql.create() if kind == "postgresql" else ""
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "roomd.db"), url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert done.stdout == f"{loaded}\n"
