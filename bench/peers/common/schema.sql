-- The tables of the peers, in SQLite and in PostgreSQL: the part of roomd's schema that joins, leaves and messages need,
-- with the same keys and indexes.
CREATE TABLE IF NOT EXISTS rooms (
    id               TEXT PRIMARY KEY,
    code             TEXT NOT NULL UNIQUE,
    name             TEXT NOT NULL,
    host_id          TEXT NOT NULL,
    is_active        INTEGER NOT NULL,
    is_locked        INTEGER NOT NULL,
    max_participants INTEGER NOT NULL,
    created_at       TEXT NOT NULL
);

CREATE TABLE IF NOT EXISTS participants (
    room_id      TEXT NOT NULL REFERENCES rooms (id),
    id           TEXT NOT NULL,
    user_id      TEXT,
    guest_name   TEXT,
    display_name TEXT NOT NULL,
    is_active    INTEGER NOT NULL,
    is_host      INTEGER NOT NULL,
    joined_at    TEXT NOT NULL,
    left_at      TEXT,
    PRIMARY KEY (room_id, id)
);

CREATE UNIQUE INDEX IF NOT EXISTS seats ON participants (room_id, user_id) WHERE left_at IS NULL;

CREATE TABLE IF NOT EXISTS messages (
    room_id        TEXT NOT NULL REFERENCES rooms (id),
    id             TEXT NOT NULL,
    participant_id TEXT NOT NULL,
    display_name   TEXT NOT NULL,
    text           TEXT NOT NULL,
    sent_at        TEXT NOT NULL,
    PRIMARY KEY (room_id, id)
);
