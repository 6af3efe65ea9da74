"""The fixtures of the tests of stores, and of backups."""

import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from roomd.storage.kinds import Storage
from roomd.storage.postgresql.connection import Connection, connect
from roomd.storage.sqlite import SqliteStore
from tests.support.databases import make_database
from tests.support.fakes import FakeStore
from tests.support.postgresql import Server
from tests.support.stores import ALL, REAL, AnyStore, RealStore, new_database, opened, served


@pytest.fixture(params=ALL)
async def store(request: pytest.FixtureRequest) -> AsyncIterator[AnyStore]:
    """A store of each kind, with nothing in it."""
    if request.param == "fake":
        yield FakeStore()
        return
    async with served(new_database(request.param, request)) as store:
        yield store


@pytest.fixture(params=REAL)
async def storage(request: pytest.FixtureRequest) -> AsyncIterator[Storage]:
    """A real store of each kind with all its parts, with nothing in it."""
    async with opened(new_database(request.param, request)) as storage:
        yield storage


@pytest.fixture(params=REAL)
async def real(request: pytest.FixtureRequest) -> AsyncIterator[RealStore]:
    """A store of each real kind, with nothing in it."""
    async with served(new_database(request.param, request)) as store:
        yield store


@pytest.fixture
async def sqlite(request: pytest.FixtureRequest) -> AsyncIterator[SqliteStore]:
    """A store in SQLite, with nothing in it."""
    async with served(new_database("sqlite", request)) as store:
        assert isinstance(store, SqliteStore)
        yield store


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


@pytest.fixture
def url(postgresql: Server) -> Iterator[str]:
    """The URL of an empty database in PostgreSQL."""
    url = postgresql.create()
    yield url
    postgresql.give_back(url)


@pytest.fixture
async def other(url: str) -> AsyncIterator[Connection]:
    """A connection of another program."""
    connection = await connect(url)
    yield connection
    await connection.close()
