-- The schema of roomd in PostgreSQL, version 2. Whoever changes this file adds a migration to
-- roomd/storage/postgresql/migrations.py and raises its SCHEMA_VERSION.
--
-- The tables and columns are those of SQLite, which roomd/storage/schema.sql explains. What is different:
-- * Texts sort by their bytes (COLLATE "C"), as ids need it, whatever the locale of the database is.
-- * There are no foreign keys: they take half of the server's time. `roomd check` looks for what they would refuse.
-- * PostgreSQL stores no character U+0000. It is escaped in every text (connection.py).
-- * `fence` says who may write.

-- One row. `generation` is that of the daemon that serves: each start draws the next one. `version` is the number of
-- commits. Each commit raises it from the number that the daemon knows, in the statement that stores the changes. So a
-- daemon that another one has replaced stores nothing, and one that lost its connection learns whether its last commit
-- was stored.
CREATE TABLE fence (
    generation BIGINT NOT NULL,
    version    BIGINT NOT NULL
);
INSERT INTO fence VALUES (0, 0);

-- The nodes of a cluster. `generation` is that of the last run of a node: each start of any node draws the next one. The
-- lease is over at `lease_until`, by the clock of this server; docs/decisions/0034-rooms-on-several-nodes.md has the rules.
CREATE SEQUENCE node_generations;
CREATE TABLE nodes (
    name        TEXT COLLATE "C" PRIMARY KEY,
    generation  BIGINT NOT NULL UNIQUE,
    address     TEXT COLLATE "C" NOT NULL,
    lease_until TIMESTAMPTZ NOT NULL,
    is_leaving  BOOLEAN NOT NULL DEFAULT false -- it gives its rooms to others
);

-- Which node has which room; a room that no node had yet has no row. `generation` is 0 for a room that was given up.
-- Each append raises the version from the one that the node knows, in the statement that stores the changes; each claim
-- raises it, too. So a node that another one has replaced stores nothing.
CREATE TABLE owners (
    room_id    TEXT COLLATE "C" PRIMARY KEY,
    generation BIGINT NOT NULL,
    version    BIGINT NOT NULL
) WITH (fillfactor = 50); -- a row is updated with each commit of its room

-- What one node at a time does for the whole database, and the node that does it, as long as its lease is not over.
CREATE TABLE duties (
    name       TEXT COLLATE "C" PRIMARY KEY,
    generation BIGINT NOT NULL
);

-- Returns when a room ends by itself. A stamp is in UTC, so that this depends on no setting.
CREATE FUNCTION room_ends_at(is_active BOOLEAN, expires_at TEXT, empty_since TEXT, end_when_empty INTEGER)
RETURNS TEXT LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN is_active THEN least(
        expires_at COLLATE "C",
        to_char(
            (empty_since::timestamptz + make_interval(secs => end_when_empty)) AT TIME ZONE 'UTC',
            'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'
        ) COLLATE "C"
    ) END
$$;

CREATE TABLE rooms (
    id                 TEXT COLLATE "C" PRIMARY KEY,
    code               TEXT COLLATE "C" NOT NULL UNIQUE,
    name               TEXT COLLATE "C" NOT NULL,
    host_id            TEXT COLLATE "C" NOT NULL,
    is_active          BOOLEAN NOT NULL,
    is_locked          BOOLEAN NOT NULL,
    max_participants   INTEGER NOT NULL CHECK (max_participants >= 2),
    allow_guest_access BOOLEAN NOT NULL,
    waiting_room       BOOLEAN NOT NULL,
    created_at         TEXT COLLATE "C" NOT NULL,
    ended_at           TEXT COLLATE "C",
    history_visible    TEXT COLLATE "C" NOT NULL DEFAULT 'all'
        CHECK (history_visible IN ('all', 'since-joined', 'none')),
    external_id        TEXT COLLATE "C",
    metadata           TEXT COLLATE "C" NOT NULL DEFAULT '{}',
    expires_at         TEXT COLLATE "C",
    end_when_empty     INTEGER CHECK (end_when_empty >= 1),
    empty_since        TEXT COLLATE "C",
    is_deleted         BOOLEAN NOT NULL DEFAULT false,
    deleted_message    TEXT COLLATE "C" NOT NULL DEFAULT '',
    deleted_stay       TEXT COLLATE "C" NOT NULL DEFAULT '',
    deleted_bytes      BIGINT NOT NULL DEFAULT 0,
    ends_at            TEXT COLLATE "C" GENERATED ALWAYS AS
        (room_ends_at(is_active, expires_at, empty_since, end_when_empty)) STORED
);
CREATE UNIQUE INDEX rooms_by_external_id ON rooms (external_id) WHERE external_id IS NOT NULL;
CREATE INDEX rooms_by_end ON rooms (ends_at) WHERE ends_at IS NOT NULL;
CREATE INDEX deleted_rooms ON rooms (id) WHERE is_deleted;
CREATE INDEX ended_rooms ON rooms (ended_at) WHERE ended_at IS NOT NULL AND NOT is_deleted;
CREATE INDEX rooms_of_host ON rooms (host_id, id);
CREATE INDEX rooms_of_host_by_state ON rooms (host_id, is_active, id);
CREATE INDEX rooms_by_state ON rooms (is_active, id);

CREATE TABLE participants (
    room_id       TEXT COLLATE "C" NOT NULL,
    id            TEXT COLLATE "C" NOT NULL,
    user_id       TEXT COLLATE "C",
    guest_name    TEXT COLLATE "C",
    display_name  TEXT COLLATE "C" NOT NULL,
    is_active     BOOLEAN NOT NULL,
    is_host       BOOLEAN NOT NULL,
    joined_at     TEXT COLLATE "C" NOT NULL,
    left_at       TEXT COLLATE "C",
    dropped_at    TEXT COLLATE "C",
    resume_hash   TEXT COLLATE "C" NOT NULL,
    state         TEXT COLLATE "C" NOT NULL DEFAULT '{}',
    waits_for     TEXT COLLATE "C" CHECK (waits_for IN ('waiting_room', 'room_full')),
    previous_hash TEXT COLLATE "C",
    is_admin      BOOLEAN NOT NULL DEFAULT false,
    token_exp     DOUBLE PRECISION,
    seated_id     TEXT COLLATE "C",
    address_key   TEXT COLLATE "C",
    is_cohost     BOOLEAN NOT NULL DEFAULT false,
    is_hidden     BOOLEAN NOT NULL DEFAULT false,
    metadata      TEXT COLLATE "C",
    claim         BIGINT, -- of the connection that has the seat; written by nodes of a cluster only
    PRIMARY KEY (room_id, id),
    CHECK ((user_id IS NULL) <> (guest_name IS NULL)),
    CHECK (left_at IS NULL OR NOT is_active)
) WITH (fillfactor = 80); -- a stay is written again when it drops and when it leaves
CREATE UNIQUE INDEX seats ON participants (room_id, user_id) WHERE left_at IS NULL;

CREATE TABLE messages (
    room_id        TEXT COLLATE "C" NOT NULL,
    id             TEXT COLLATE "C" NOT NULL,
    participant_id TEXT COLLATE "C" NOT NULL,
    user_id        TEXT COLLATE "C",
    display_name   TEXT COLLATE "C" NOT NULL,
    text           TEXT COLLATE "C" NOT NULL,
    sent_at        TEXT COLLATE "C" NOT NULL,
    to_id          TEXT COLLATE "C",
    to_user_id     TEXT COLLATE "C",
    client_id      TEXT COLLATE "C",
    sender         TEXT COLLATE "C" GENERATED ALWAYS AS
        (CASE WHEN user_id IS NULL THEN 'g' || participant_id ELSE 'u' || user_id END) STORED,
    recipient      TEXT COLLATE "C" GENERATED ALWAYS AS
        (CASE WHEN to_user_id IS NULL THEN 'g' || to_id ELSE 'u' || to_user_id END) STORED,
    total_bytes    BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (room_id, id)
);
CREATE INDEX public_messages ON messages (room_id, id) WHERE to_id IS NULL;
CREATE INDEX messages_from ON messages (room_id, sender, id) WHERE to_id IS NOT NULL;
CREATE INDEX messages_to ON messages (room_id, recipient, id) WHERE to_id IS NOT NULL;
CREATE UNIQUE INDEX sent_messages ON messages (room_id, participant_id, client_id) WHERE client_id IS NOT NULL;

CREATE TABLE bans (
    room_id      TEXT COLLATE "C" NOT NULL,
    id           TEXT COLLATE "C" NOT NULL,
    user_id      TEXT COLLATE "C",
    address_key  TEXT COLLATE "C",
    display_name TEXT COLLATE "C" NOT NULL,
    reason       TEXT COLLATE "C",
    banned_at    TEXT COLLATE "C" NOT NULL,
    expires_at   TEXT COLLATE "C",
    PRIMARY KEY (room_id, id),
    CHECK ((user_id IS NULL) <> (address_key IS NULL))
);

CREATE TABLE used_tickets (
    id          TEXT COLLATE "C" PRIMARY KEY,
    valid_until DOUBLE PRECISION NOT NULL
);
CREATE INDEX used_tickets_by_time ON used_tickets (valid_until);

-- A random UUID has 122 random bits.
CREATE TABLE secrets (
    name  TEXT COLLATE "C" PRIMARY KEY,
    value BYTEA NOT NULL
);
INSERT INTO secrets VALUES ('address', uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()));

-- Positions have gaps: a commit that fails has drawn its own. Several commits that run at the same time may become
-- visible in another order than that of their positions; `events.py` says how the log is read in spite of that.
CREATE SEQUENCE event_positions;
CREATE TABLE events (
    position BIGINT PRIMARY KEY,
    room_id  TEXT COLLATE "C" NOT NULL,
    at       TEXT COLLATE "C" NOT NULL,
    type     TEXT COLLATE "C" NOT NULL,
    body     TEXT COLLATE "C" NOT NULL
);
ALTER SEQUENCE event_positions OWNED BY events.position;
CREATE TABLE event_log (id BYTEA NOT NULL, renewed_at BIGINT NOT NULL);
INSERT INTO event_log VALUES (substring(uuid_send(gen_random_uuid()) FOR 6), 0);

CREATE TABLE webhooks (
    name         TEXT COLLATE "C" PRIMARY KEY,
    log_id       TEXT COLLATE "C" NOT NULL,
    number       BIGINT NOT NULL,
    delivered_at TEXT COLLATE "C",
    is_gone      BOOLEAN NOT NULL
);

-- The version of this schema. Its comment marks a database of roomd.
CREATE TABLE roomd_schema (version INTEGER NOT NULL);
INSERT INTO roomd_schema VALUES (2);
