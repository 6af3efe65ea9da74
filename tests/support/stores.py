"""The stores that keep the contracts of `roomd/engine/ports.py`: SQLite, PostgreSQL, and the fake."""

import contextlib
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from roomd.config import DatabaseConfig
from roomd.storage.kinds import Storage, open_storage
from roomd.storage.postgresql.store import PostgresqlStore
from roomd.storage.sqlite import SqliteStore
from tests.support.fakes import FakeStore
from tests.support.postgresql import Server

RealStore = SqliteStore | PostgresqlStore
AnyStore = RealStore | FakeStore

REAL = ["sqlite", "postgresql"]
ALL = [*REAL, "fake"]


@contextlib.asynccontextmanager
async def opened(config: DatabaseConfig) -> AsyncIterator[Storage]:
    """Open the database with all its parts, and close it whatever comes."""
    storage = await open_storage(config)
    try:
        yield storage
    finally:
        await storage.store.close()


@contextlib.asynccontextmanager
async def served(config: DatabaseConfig) -> AsyncIterator[RealStore]:
    """Open the database, and close it whatever comes."""
    async with opened(config) as storage:
        assert isinstance(storage.store, RealStore)
        yield storage.store


def new_database(kind: str, request: pytest.FixtureRequest, number: int = 0) -> DatabaseConfig:
    """Return the settings of a database that is not there yet, or is empty; one for each number of a test."""
    folder: Path = request.getfixturevalue("tmp_path")
    url: str | None = None
    if kind == "postgresql":
        server: Server = request.getfixturevalue("postgresql")
        url = server.create()
        request.addfinalizer(partial(server.give_back, url))
    return DatabaseConfig(path=str(folder / f"roomd{number or ''}.db"), url=url, busy_timeout=0.1)


async def query(store: RealStore, sql: str) -> list[tuple[Any, ...]]:
    """Run a statement that both kinds understand, and return its rows."""
    if isinstance(store, PostgresqlStore):
        return [tuple(row) for row in await store.fetch(sql)]
    return await store.write(lambda db: db.execute(sql).fetchall())
