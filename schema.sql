-- The schema of roomd's database, version 5. Times are ISO 8601 in UTC with milliseconds, as on the wire.
-- Whoever changes this file adds a migration to roomd/storage/migrations.py and raises user_version.

-- `external_id` is the id that an application gave the room. `metadata` is its JSON object. `empty_since` is set while
-- nobody is in a room with `end_when_empty` seconds. `ends_at` is when the room ends by itself (roomd/rooms/lifetime.py).
-- A deleted room has no code that can be looked up; its row is the last to go (roomd/storage/deleting.py).
-- `deleted_message` and `deleted_stay` are the highest ids of messages and of participants that were deleted because they
-- were old; new ids sort after them. `deleted_bytes` is the `total_bytes` of the last such message.
CREATE TABLE rooms (
    id                 TEXT PRIMARY KEY,
    code               TEXT NOT NULL UNIQUE,
    name               TEXT NOT NULL,
    host_id            TEXT NOT NULL,
    is_active          INTEGER NOT NULL CHECK (is_active IN (0, 1)),
    is_locked          INTEGER NOT NULL CHECK (is_locked IN (0, 1)),
    max_participants   INTEGER NOT NULL CHECK (max_participants >= 2),
    allow_guest_access INTEGER NOT NULL CHECK (allow_guest_access IN (0, 1)),
    waiting_room       INTEGER NOT NULL CHECK (waiting_room IN (0, 1)),
    created_at         TEXT NOT NULL,
    ended_at           TEXT,
    history_visible    TEXT NOT NULL DEFAULT 'all' CHECK (history_visible IN ('all', 'since-joined', 'none')),
    external_id        TEXT,
    metadata           TEXT NOT NULL DEFAULT '{}',
    expires_at         TEXT,
    end_when_empty     INTEGER CHECK (end_when_empty >= 1),
    empty_since        TEXT,
    is_deleted         INTEGER NOT NULL DEFAULT 0 CHECK (is_deleted IN (0, 1)),
    deleted_message    TEXT NOT NULL DEFAULT '',
    deleted_stay       TEXT NOT NULL DEFAULT '',
    deleted_bytes      INTEGER NOT NULL DEFAULT 0,
    ends_at            TEXT GENERATED ALWAYS AS (iif(is_active, nullif(min(coalesce(expires_at, '~'),
        coalesce(strftime('%Y-%m-%dT%H:%M:%fZ', empty_since, end_when_empty || ' seconds'), '~')), '~'), NULL)) VIRTUAL
) STRICT, WITHOUT ROWID;

-- Index that keeps two rooms from having the same id of an application, also rooms that have ended.
CREATE UNIQUE INDEX rooms_by_external_id ON rooms (external_id) WHERE external_id IS NOT NULL;

-- Indexes for the few rooms that end by themselves, and for those whose deletion goes on.
CREATE INDEX rooms_by_end ON rooms (ends_at) WHERE ends_at IS NOT NULL;
CREATE INDEX deleted_rooms ON rooms (id) WHERE is_deleted;

-- Index for the rooms that ended first, which are deleted first where rooms are kept for a time.
CREATE INDEX ended_rooms ON rooms (ended_at) WHERE ended_at IS NOT NULL AND NOT is_deleted;

-- Indexes for pages of rooms: of one host or of all, with or without a selection by is_active.
CREATE INDEX rooms_of_host ON rooms (host_id, id);
CREATE INDEX rooms_of_host_by_state ON rooms (host_id, is_active, id);
CREATE INDEX rooms_by_state ON rooms (is_active, id);

-- One row for each participant; it stays after they left, as the history of the room. Ids grow with time, so the
-- primary key gives the history in the order in which people came. `waits_for` is set while somebody waits for a seat.
-- The row of somebody who leaves the queue without a seat is deleted. `resume_hash` and `previous_hash` are those of the
-- current resume token and of the previous one, while that is valid too. `is_admin`, `is_cohost`, `metadata` and
-- `token_exp` are of the last token that was presented for the seat: whether it is an admin's, whether it makes its user
-- a co-host, its metadata as a JSON object, and its claim `exp`, in seconds since the epoch. `is_hidden` is set for an
-- admin who is there unseen.
-- `seated_id` is the id that was drawn when somebody who had waited got a seat: seats are in the order of these ids, and
-- of `id` for those who did not wait. `address_key` is the key of a guest's network address, as in `bans`.
CREATE TABLE participants (
    room_id      TEXT NOT NULL REFERENCES rooms (id),
    id           TEXT NOT NULL,
    user_id      TEXT,
    guest_name   TEXT,
    display_name TEXT NOT NULL,
    is_active    INTEGER NOT NULL CHECK (is_active IN (0, 1)),
    is_host      INTEGER NOT NULL CHECK (is_host IN (0, 1)),
    joined_at    TEXT NOT NULL,
    left_at      TEXT,
    dropped_at   TEXT,
    resume_hash  TEXT NOT NULL,
    state        TEXT NOT NULL DEFAULT '{}',
    waits_for    TEXT CHECK (waits_for IN ('waiting_room', 'room_full')),
    previous_hash TEXT,
    is_admin     INTEGER NOT NULL DEFAULT 0 CHECK (is_admin IN (0, 1)),
    token_exp    REAL,
    seated_id    TEXT,
    address_key  TEXT,
    is_cohost    INTEGER NOT NULL DEFAULT 0 CHECK (is_cohost IN (0, 1)),
    is_hidden    INTEGER NOT NULL DEFAULT 0 CHECK (is_hidden IN (0, 1)),
    metadata     TEXT,
    PRIMARY KEY (room_id, id),
    CHECK ((user_id IS NULL) <> (guest_name IS NULL)),
    CHECK (left_at IS NULL OR is_active = 0)
) STRICT, WITHOUT ROWID;

-- The seats and the places in queues: few rows of many, and at most one for each user and room.
CREATE UNIQUE INDEX seats ON participants (room_id, user_id) WHERE left_at IS NULL;

-- Messages. The user ids of sender and addressee are stored too: a user who joins again is another participant and may
-- still read the message. `participant_id` is empty for a message of the service. `client_id` is the id that the sender's client gave the message; a message that is sent again
-- with the same one is the same message. `sender` and `recipient` are who reads a private message: `u` and a user id, or
-- `g` and the participant id of a guest. `total_bytes` is about how many bytes the messages of the room have, up to this
-- one; messages from before version 4 do not count.
CREATE TABLE messages (
    room_id        TEXT NOT NULL REFERENCES rooms (id),
    id             TEXT NOT NULL,
    participant_id TEXT NOT NULL,
    user_id        TEXT,
    display_name   TEXT NOT NULL,
    text           TEXT NOT NULL,
    sent_at        TEXT NOT NULL,
    to_id          TEXT,
    to_user_id     TEXT,
    client_id      TEXT,
    sender         TEXT GENERATED ALWAYS AS (iif(user_id IS NULL, 'g' || participant_id, 'u' || user_id)) VIRTUAL,
    recipient      TEXT GENERATED ALWAYS AS (iif(to_user_id IS NULL, 'g' || to_id, 'u' || to_user_id)) VIRTUAL,
    total_bytes    INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (room_id, id)
) STRICT, WITHOUT ROWID;

-- Index for the last public messages of a room, without reading the private ones between them.
CREATE INDEX public_messages ON messages (room_id, id) WHERE to_id IS NULL;

-- Indexes for the private messages that one reader sent or got. They cost a public message nothing.
CREATE INDEX messages_from ON messages (room_id, sender, id) WHERE to_id IS NOT NULL;
CREATE INDEX messages_to ON messages (room_id, recipient, id) WHERE to_id IS NOT NULL;

-- Index that keeps a message that is sent again from being stored twice.
CREATE UNIQUE INDEX sent_messages ON messages (room_id, participant_id, client_id) WHERE client_id IS NOT NULL;

-- Those who cannot join a room again: users, and guests by the address that a banned guest had, until `expires_at`.
-- `address_key` is a keyed hash of the address. Its key is below, so it hides addresses from whoever reads a table or a
-- log, and not from whoever has the whole file and tries all addresses.
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

-- The tickets that were used, until they are not valid any more. `id` is a hash of a ticket's issuer and its claim `jti`;
-- `valid_until` is in seconds since the epoch.
CREATE TABLE used_tickets (
    id          TEXT PRIMARY KEY,
    valid_until REAL NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX used_tickets_by_time ON used_tickets (valid_until);
-- Random keys of this database, by what they are for.
CREATE TABLE secrets (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO secrets VALUES ('address', randomblob(32));

-- The event log: what happened in all rooms, in one order. `position` is never given twice. `body` is the event as JSON, as
-- every reader gets it: it begins with its id and its position, so that nothing is left to do for one who reads much.
-- Rooms may be deleted, and their events stay.
CREATE TABLE events (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    room_id  TEXT NOT NULL,
    at       TEXT NOT NULL,
    type     TEXT NOT NULL,
    body     TEXT NOT NULL
) STRICT;
-- The id of the log, one row. A restored backup gets a new one, so that no reader misses events without being told. Up to
-- the event `renewed_at`, the positions in `body` have an earlier id.
CREATE TABLE event_log (id BLOB NOT NULL, renewed_at INTEGER NOT NULL DEFAULT 0) STRICT;
INSERT INTO event_log (id) VALUES (randomblob(6));

-- How far the log was pushed to the endpoints of webhooks, by their names: up to the event with this `number`, in the log
-- with this id.
CREATE TABLE webhooks (
    name         TEXT PRIMARY KEY,
    log_id       TEXT NOT NULL,
    number       INTEGER NOT NULL,
    delivered_at TEXT,
    is_gone      INTEGER NOT NULL CHECK (is_gone IN (0, 1))
) STRICT, WITHOUT ROWID;

PRAGMA application_id = 0x726f6f6d; -- "room" in ASCII: marks a database of roomd
PRAGMA user_version = 6;
