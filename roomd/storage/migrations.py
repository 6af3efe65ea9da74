"""The schema, and how a database of an older version is brought to it."""

import logging
import sqlite3
from collections.abc import Mapping
from importlib import resources

log = logging.getLogger("roomd.storage.migrations")

APPLICATION_ID = 0x726F6F6D
"""How schema.sql marks a database as roomd's."""
SCHEMA_VERSION = 2
"""The `user_version` that schema.sql sets."""

MIGRATIONS: dict[int, str] = {}
"""`MIGRATIONS[n]` is the SQL from `user_version` n to n + 1. There is none yet: no release had another version."""


def migrate(db: sqlite3.Connection, steps: Mapping[int, str]) -> int:
    """Take a database from its `user_version` as far as there are steps, one transaction each; return the version.

    A step is SQL that ends by setting `PRAGMA user_version`. An empty file is at 0.
    """
    while script := steps.get(version := user_version(db)):
        db.executescript(f"BEGIN IMMEDIATE;\n{script}\nCOMMIT;")
        if version:
            log.info("database migrated", {"from": version, "to": version + 1})
    return version


def user_version(db: sqlite3.Connection) -> int:
    """Read the version of a database's schema."""
    version: int = db.execute("PRAGMA user_version").fetchone()[0]
    return version


def schema() -> str:
    """Read schema.sql; in a checkout it is a link to the file at the top."""
    return (resources.files("roomd.storage") / "schema.sql").read_text(encoding="utf-8")
