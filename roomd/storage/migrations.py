"""The schema of the database, and the migrations from older versions."""

import logging
import sqlite3
from collections.abc import Mapping
from importlib import resources

log = logging.getLogger("roomd.storage.migrations")

APPLICATION_ID = 0x726F6F6D
"""The `application_id` that schema.sql sets: it marks a database of roomd."""
SCHEMA_VERSION = 6
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
    3: """
        ALTER TABLE messages ADD COLUMN
            sender TEXT GENERATED ALWAYS AS (iif(user_id IS NULL, 'g' || participant_id, 'u' || user_id)) VIRTUAL;
        ALTER TABLE messages ADD COLUMN
            recipient TEXT GENERATED ALWAYS AS (iif(to_user_id IS NULL, 'g' || to_id, 'u' || to_user_id)) VIRTUAL;
        ALTER TABLE messages ADD COLUMN total_bytes INTEGER NOT NULL DEFAULT 0;
        CREATE INDEX messages_from ON messages (room_id, sender, id) WHERE to_id IS NOT NULL;
        CREATE INDEX messages_to ON messages (room_id, recipient, id) WHERE to_id IS NOT NULL;
        CREATE TABLE used_tickets (id TEXT PRIMARY KEY, valid_until REAL NOT NULL) STRICT, WITHOUT ROWID;
        CREATE INDEX used_tickets_by_time ON used_tickets (valid_until);
        ALTER TABLE participants ADD COLUMN address_key TEXT;
        ALTER TABLE bans RENAME TO user_bans;
        CREATE TABLE bans (
            room_id      TEXT NOT NULL REFERENCES rooms (id),
            id           TEXT NOT NULL,
            user_id      TEXT,
            address_key  TEXT,
            display_name TEXT NOT NULL,
            reason       TEXT,
            banned_at    TEXT NOT NULL,
            expires_at   TEXT,
            PRIMARY KEY (room_id, id),
            CHECK ((user_id IS NULL) <> (address_key IS NULL))
        ) STRICT, WITHOUT ROWID;
        INSERT INTO bans (room_id, id, user_id, display_name, reason, banned_at)
            SELECT room_id, lower(hex(randomblob(12))), user_id, display_name, reason, banned_at FROM user_bans;
        DROP TABLE user_bans;
        CREATE TABLE secrets (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
        INSERT INTO secrets VALUES ('address', randomblob(32));
        PRAGMA user_version = 4;
    """,
    4: """
        CREATE TABLE events (
            position INTEGER PRIMARY KEY AUTOINCREMENT,
            id       BLOB NOT NULL DEFAULT (randomblob(12)),
            room_id  TEXT NOT NULL,
            at       TEXT NOT NULL,
            type     TEXT NOT NULL,
            body     TEXT NOT NULL
        ) STRICT;
        CREATE TABLE event_log (id BLOB NOT NULL) STRICT;
        INSERT INTO event_log VALUES (randomblob(6));
        ALTER TABLE rooms ADD COLUMN external_id TEXT;
        ALTER TABLE rooms ADD COLUMN metadata TEXT NOT NULL DEFAULT '{}';
        ALTER TABLE rooms ADD COLUMN expires_at TEXT;
        ALTER TABLE rooms ADD COLUMN end_when_empty INTEGER CHECK (end_when_empty >= 1);
        ALTER TABLE rooms ADD COLUMN empty_since TEXT;
        ALTER TABLE rooms ADD COLUMN is_deleted INTEGER NOT NULL DEFAULT 0 CHECK (is_deleted IN (0, 1));
        ALTER TABLE rooms ADD COLUMN deleted_message TEXT NOT NULL DEFAULT '';
        ALTER TABLE rooms ADD COLUMN deleted_stay TEXT NOT NULL DEFAULT '';
        ALTER TABLE rooms ADD COLUMN deleted_bytes INTEGER NOT NULL DEFAULT 0;
        ALTER TABLE rooms ADD COLUMN ends_at TEXT GENERATED ALWAYS AS
            (iif(is_active, nullif(min(coalesce(expires_at, '~'),
            coalesce(strftime('%Y-%m-%dT%H:%M:%fZ', empty_since, end_when_empty || ' seconds'), '~')), '~'), NULL))
            VIRTUAL;
        CREATE UNIQUE INDEX rooms_by_external_id ON rooms (external_id) WHERE external_id IS NOT NULL;
        CREATE INDEX rooms_by_end ON rooms (ends_at) WHERE ends_at IS NOT NULL;
        CREATE INDEX deleted_rooms ON rooms (id) WHERE is_deleted;
        ALTER TABLE participants ADD COLUMN is_cohost INTEGER NOT NULL DEFAULT 0 CHECK (is_cohost IN (0, 1));
        ALTER TABLE participants ADD COLUMN is_hidden INTEGER NOT NULL DEFAULT 0 CHECK (is_hidden IN (0, 1));
        ALTER TABLE participants ADD COLUMN metadata TEXT;
        CREATE TABLE webhooks (
            name         TEXT PRIMARY KEY,
            log_id       TEXT NOT NULL,
            number       INTEGER NOT NULL,
            delivered_at TEXT,
            is_gone      INTEGER NOT NULL CHECK (is_gone IN (0, 1))
        ) STRICT, WITHOUT ROWID;
        CREATE INDEX ended_rooms ON rooms (ended_at) WHERE ended_at IS NOT NULL AND NOT is_deleted;
        PRAGMA user_version = 5;
    """,
    # The one character is a fault of version 5: it stood for the id of the last message that was deleted.
    5: """
        ALTER TABLE event_log ADD COLUMN renewed_at INTEGER NOT NULL DEFAULT 0;
        UPDATE events SET body = '{"id":"' || lower(hex(id)) || '","position":"'
            || (SELECT lower(hex(id)) FROM event_log) || printf('%012x', position) || '",' || substr(body, 2);
        ALTER TABLE events DROP COLUMN id;
        UPDATE rooms SET deleted_message = '' WHERE length(deleted_message) = 1;
        PRAGMA user_version = 6;
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


def rewrite_version(db: sqlite3.Connection) -> None:
    """Write the version of the schema as it is: the smallest change that a commit writes to the disk."""
    db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def schema() -> str:
    """Return the text of schema.sql. In a checkout it is a link to the file in the root folder."""
    return (resources.files("roomd.storage") / "schema.sql").read_text(encoding="utf-8")
