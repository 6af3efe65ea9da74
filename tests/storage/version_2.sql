-- A database of schema version 2, as a daemon left it that was killed while people sat in a room and waited for two.
-- The resume tokens that they had been given:
-- token alice trs-phw-kho.01a21a311836c92de864f5fc.631a1c1388a77f354d6f6748e093ad3c
-- token jane trs-phw-kho.01a21a3118381b6474dcac39.6a5cb3656ea5f0a55edc5fc0f74baa54
-- token bob trs-phw-kho.01a21a31183c183b1551441f.4ed9aff4ed7af12289a04ff9e7de2853
-- token joe trs-phw-kho.01a21a31183e8e46681b5614.4bf3efe4b821708b506ab03f580521b8
-- token kim bpz-qyv-kog.01a21a31183ff19444da845e.9779fd367e7b1d7c3de841550c8291e4
-- token carol bpz-qyv-kog.01a21a3118416551acc605cf.58e225fc4ce649090e2af5ac2b40a26f
BEGIN TRANSACTION;
CREATE TABLE bans (
    room_id      TEXT NOT NULL REFERENCES rooms (id),
    user_id      TEXT NOT NULL,
    display_name TEXT NOT NULL,
    reason       TEXT,
    banned_at    TEXT NOT NULL,
    PRIMARY KEY (room_id, user_id)
) STRICT, WITHOUT ROWID;
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
    PRIMARY KEY (room_id, id)
) STRICT, WITHOUT ROWID;
INSERT INTO "messages" VALUES('01a21a311831462f84b83b8d','01a21a31183aab84605f7555','01a21a311836c92de864f5fc','alice','alice','Hello','2026-11-26T23:29:14.810Z',NULL,NULL);
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
    PRIMARY KEY (room_id, id),
    CHECK ((user_id IS NULL) <> (guest_name IS NULL)),
    CHECK (left_at IS NULL OR is_active = 0)
) STRICT, WITHOUT ROWID;
INSERT INTO "participants" VALUES('01a21a311831462f84b83b8d','01a21a311836c92de864f5fc','alice',NULL,'alice',1,1,'2026-11-26T23:29:14.806Z',NULL,NULL,'b28700f91438ff39783ecbd9611c8c262886649d077a02a315f5d1b296da5aad','{}',NULL);
INSERT INTO "participants" VALUES('01a21a311831462f84b83b8d','01a21a3118381b6474dcac39',NULL,'Jane Smith','Jane Smith',1,0,'2026-11-26T23:29:14.808Z',NULL,NULL,'198106657e025cf50b1586769c3f94b536ca7083da8e2435b9a1a9cb7ebe6eb8','{}',NULL);
INSERT INTO "participants" VALUES('01a21a311831462f84b83b8d','01a21a31183c183b1551441f','bob',NULL,'bob',1,0,'2026-11-26T23:29:14.812Z',NULL,NULL,'da6fe6a9931b3dbab5e60cc840bd8539f1c9008dc32427f99e7e2c11f28c4347','{}','room_full');
INSERT INTO "participants" VALUES('01a21a311831462f84b83b8d','01a21a31183e8e46681b5614',NULL,'Joe','Joe',1,0,'2026-11-26T23:29:14.814Z',NULL,NULL,'2f55aa1bd1abbbc451c6706a37135c371de0a10323194955084ee912270e3f93','{}','room_full');
INSERT INTO "participants" VALUES('01a21a3118332998f5ce2d01','01a21a31183ff19444da845e',NULL,'Kim','Kim',1,0,'2026-11-26T23:29:14.815Z',NULL,NULL,'c8bb4cefd5351e000629a0b8f218ec8af10bd4379a965f36c64487b23ff30a78','{}','waiting_room');
INSERT INTO "participants" VALUES('01a21a3118332998f5ce2d01','01a21a3118416551acc605cf','carol',NULL,'carol',1,0,'2026-11-26T23:29:14.817Z',NULL,NULL,'f740bfa60e8a1e56bd9ffdbbe747e9550c3fa7d45fda4ce7a34ff8ea6ad4d026','{}','waiting_room');
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
    ended_at           TEXT
) STRICT, WITHOUT ROWID;
INSERT INTO "rooms" VALUES('01a21a311831462f84b83b8d','trs-phw-kho','Weekly','alice',1,0,2,1,0,'2026-11-26T23:29:14.801Z',NULL);
INSERT INTO "rooms" VALUES('01a21a3118332998f5ce2d01','bpz-qyv-kog','Office hour','alice',1,0,100,1,1,'2026-11-26T23:29:14.803Z',NULL);
CREATE INDEX rooms_of_host ON rooms (host_id, id);
CREATE INDEX rooms_of_host_by_state ON rooms (host_id, is_active, id);
CREATE INDEX rooms_by_state ON rooms (is_active, id);
CREATE UNIQUE INDEX seats ON participants (room_id, user_id) WHERE left_at IS NULL;
CREATE INDEX public_messages ON messages (room_id, id) WHERE to_id IS NULL;
COMMIT;
PRAGMA application_id = 0x726f6f6d;
PRAGMA user_version = 2;
