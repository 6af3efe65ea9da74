"""The schema of the database, and the migrations from older versions."""

import logging
import sqlite3
from collections.abc import Mapping
from importlib import resources

log = logging.getLogger("roomd.storage.migrations")

APPLICATION_ID = 0x726F6F6D
"""The `application_id` that schema.sql sets: it marks a database of roomd."""
SCHEMA_VERSION = 3
"""The `user_version` that schema.sql sets."""

MIGRATIONS: dict[int, str] = {
    # The expiry of the tokens with which people joined was not stored. They keep their rights as if it were now.
    2: """
        ALTER TABLE rooms ADD COLUMN
            history_visible TEXT NOT NULL DEFAULT 'all' CHECK (history_visible IN ('all', 'since-joined', 'none'));
        ALTER TABLE participants ADD COLUMN previous_hash TEXT;
        ALTER TABLE participants ADD COLUMN is_admin INTEGER NOT NULL DEFAULT 0 CHECK (is_admin IN (0, 1));
        ALTER TABLE participants ADD COLUMN token_exp REAL;
        ALTER TABLE participants ADD COLUMN seated_id TEXT;
        ALTER TABLE messages ADD COLUMN client_id TEXT;
        UPDATE participants SET token_exp = strftime('%s', 'now') WHERE left_at IS NULL AND user_id IS NOT NULL;
        CREATE UNIQUE INDEX sent_messages ON messages (room_id, participant_id, client_id) WHERE client_id IS NOT NULL;
        PRAGMA user_version = 3;
    """,
}
"""`MIGRATIONS[n]` is the SQL from `user_version` n to n + 1. No release had version 1."""


def migrate(db: sqlite3.Connection, steps: Mapping[int, str]) -> int:
    """Apply the steps that follow from the database's `user_version`, and return the version after them.

    `steps` has SQL by the version that it begins with. Each step runs in one transaction and ends by setting `PRAGMA
    user_version`. An empty file has version 0. Raises `sqlite3.Error`.
    """
    while script := steps.get(version := user_version(db)):
        db.executescript(f"BEGIN IMMEDIATE;\n{script}\nCOMMIT;")
        if version:
            log.info("database migrated", {"from": version, "to": version + 1})
    return version


def user_version(db: sqlite3.Connection) -> int:
    """Return the version of a database's schema."""
    version: int = db.execute("PRAGMA user_version").fetchone()[0]
    return version


def schema() -> str:
    """Return the text of schema.sql. In a checkout it is a link to the file in the root folder."""
    return (resources.files("roomd.storage") / "schema.sql").read_text(encoding="utf-8")
