"""Check a database in PostgreSQL, and export from it: of a copy in SQLite, so that the rules are there once.

The copy is of one moment, while a daemon serves or not. It is in a temporary folder that only this user can read.
"""

import asyncio
import contextlib
import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from roomd.config import DatabaseConfig, database_name
from roomd.storage import checking
from roomd.storage.checking import Findings, Problem
from roomd.storage.errors import StoreError
from roomd.storage.postgresql.copying import copy_to_sqlite, opened
from roomd.storage.postgresql.migrations import SCHEMA_VERSION, is_empty, schema

_OBJECT = re.compile(r"^CREATE (?:UNIQUE )?(TABLE|INDEX|SEQUENCE) (\w+)", re.MULTILINE)
_NONE = ("false",)


def check(url: str) -> Findings:
    """Check a database, and change nothing. Raises `StoreError`."""
    missing = asyncio.run(_missing(url))
    if missing:
        return Findings(SCHEMA_VERSION, 0, missing, [])
    with copied(url) as file:
        return msgspec.structs.replace(checking.check(file), schema=SCHEMA_VERSION)


def of_user(user_id: str) -> Mapping[str, tuple[str, ...]]:
    """Return which rows an export of a user needs."""
    mine = "user_id = $1"
    said = f"{mine} OR to_user_id = $1"
    rooms = " UNION ".join(
        f"SELECT room_id FROM {table} WHERE {where}"
        for table, where in (("participants", mine), ("messages", said), ("bans", mine))
    )
    return {
        "rooms": (f"host_id = $1 OR id IN ({rooms})", user_id),
        "participants": (mine, user_id),
        "messages": (said, user_id),
        "bans": (mine, user_id),
        **dict.fromkeys(("used_tickets", "secrets", "webhooks"), _NONE),
    }


def of_room(code: str) -> Mapping[str, tuple[str, ...]]:
    """Return which rows an export of a room needs."""
    return {
        "rooms": ("code = $1", code),
        "participants": ("room_id IN (SELECT id FROM rooms WHERE code = $1)", code),
        **dict.fromkeys(("messages", "bans", "used_tickets", "secrets", "events", "webhooks"), _NONE),
    }


@contextlib.contextmanager
def copied(url: str, only: Mapping[str, tuple[str, ...]] | None = None) -> Iterator[Path]:
    """Copy a database, or only some rows of its tables, to a file that is there for the block. Raises `StoreError`."""
    with tempfile.TemporaryDirectory(prefix="roomd-") as folder:
        file = Path(folder) / "copy.db"
        asyncio.run(_copy(url, file, only))
        yield file


async def _copy(url: str, file: Path, only: Mapping[str, tuple[str, ...]] | None) -> None:
    async with opened(url) as source:
        await copy_to_sqlite(source, file, database_name(DatabaseConfig(url=url)), only)


async def _missing(url: str) -> list[Problem]:
    """Compare the tables and indexes with those of schema.sql. Raises `StoreError`, also for one without any."""
    async with opened(url) as db:
        if await is_empty(db):
            raise StoreError(f"{database_name(DatabaseConfig(url=url))}: is no database of roomd")
        found = {row[0] for row in await db.fetch("SELECT relname FROM pg_class WHERE pg_table_is_visible(oid)")}
    return [
        Problem(f"the {kind.lower()} {name} is missing")
        for kind, name in _OBJECT.findall(schema())
        if name not in found
    ]
