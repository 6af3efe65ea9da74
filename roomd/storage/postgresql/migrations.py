"""The schema in PostgreSQL, and the migrations from older versions."""

import logging
from importlib import resources

from roomd.storage.errors import StoreError
from roomd.storage.postgresql.connection import Connection

log = logging.getLogger("roomd.storage.postgresql.migrations")

SCHEMA_VERSION = 2
"""The version that schema.sql sets."""
MIGRATIONS: dict[int, str] = {
    1: """
        ALTER TABLE nodes ADD COLUMN is_leaving BOOLEAN NOT NULL DEFAULT false;
        CREATE TABLE duties (name TEXT COLLATE "C" PRIMARY KEY, generation BIGINT NOT NULL);
        UPDATE roomd_schema SET version = 2;
    """,
}
"""`MIGRATIONS[n]` is the SQL from version n to n + 1. It ends by setting the version."""

LOCK = 0x726F6F6D
"""The advisory lock of the daemon that serves a database: "room" in ASCII."""


async def is_empty(db: Connection) -> bool:
    """Return whether the database has no schema of roomd. Raises `DatabaseError`."""
    return await db.fetch("SELECT to_regclass('roomd_schema')") == [(None,)]


async def try_lock(db: Connection) -> bool:
    """Lock the database for this session; return False where another daemon has it. Raises `DatabaseError`."""
    ((is_locked,),) = await db.fetch("SELECT pg_try_advisory_lock($1)", LOCK)
    return bool(is_locked)


async def migrate(db: Connection, name: str) -> None:
    """Create the schema, or bring it to this version. `name` names the database in errors.

    The caller has the lock. Raises `DatabaseError`, and `StoreError` for a database that is not of this roomd.
    """
    await check_encoding(db, name)
    if await is_empty(db):
        if await db.fetch("SELECT 1 WHERE to_regclass('rooms') IS NOT NULL OR to_regclass('events') IS NOT NULL"):
            raise StoreError(f"{name}: has tables of another program; choose another database")
        await db.script(schema())
        return
    version = await check_version(db, name)
    while script := MIGRATIONS.get(version):
        await db.script(script)
        log.info("database migrated", {"from": version, "to": version + 1})
        version += 1


async def check_version(db: Connection, name: str) -> int:
    """Return the version of the schema. Raises `DatabaseError`, and `StoreError` for that of a newer roomd."""
    ((version,),) = await db.fetch("SELECT version FROM roomd_schema")
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"{name}: made by a newer roomd (schema {version}, this one knows {SCHEMA_VERSION}); install that version"
        )
    return int(version)


async def check_encoding(db: Connection, name: str) -> None:
    """Raise `StoreError` for a database that cannot store every character, or a server that is too old."""
    ((encoding, number),) = await db.fetch(
        "SELECT current_setting('server_encoding'), current_setting('server_version_num')::integer"
    )
    if encoding != "UTF8":
        raise StoreError(f"{name}: has the encoding {encoding}; create it with ENCODING 'UTF8' TEMPLATE template0")
    if number < 150_000:
        raise StoreError(f"{name}: is on PostgreSQL {number // 10_000}; roomd needs 15 or newer")


def schema() -> str:
    """Return the text of schema.sql."""
    return (resources.files("roomd.storage.postgresql") / "schema.sql").read_text(encoding="utf-8")
