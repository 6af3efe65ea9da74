"""`roomd check`: what is wrong in a database is found, with the ids that it is about, and nothing else."""

import json
import shutil
from pathlib import Path

import pytest

from tests.support.commands import MISUSED, OK, REFUSED, as_json, roomd
from tests.support.daemon import serving
from tests.support.databases import opened, texts
from tests.support.upgrades import make_version_2

_KIM = "guest_name = 'Kim'"

_BOB = "SELECT id FROM participants WHERE user_id = 'bob'"
_JOINED = "WHERE type = 'participant-joined' AND body ->> '$.participant.userId' = 'bob'"
_JOINED_ID = f"SELECT substr(body, 8, 24) FROM events {_JOINED}"
_NOBODY = "SELECT 1 WHERE false"

# SQL that breaks something, the room, and what is said of whom: the ids are those that the statement finds.
BROKEN = [
    ("a missing index", "DROP INDEX seats", None, "the index seats is missing", _NOBODY),
    ("banned", "UPDATE bans SET user_id = 'bob'",
        "talk", "is banned, and has a place", _BOB),
    ("in a room that has ended", "UPDATE participants SET left_at = NULL, dropped_at = joined_at WHERE left_at > ''",
        "ended", "has a place in a room that has ended", "SELECT id FROM participants WHERE dropped_at > ''"),
    ("waits for a free seat", f"UPDATE participants SET waits_for = 'room_full' WHERE {_KIM}",
        "lobby", "waits for a seat, and one is free", f"SELECT id FROM participants WHERE {_KIM}"),
    ("no waiting room", "UPDATE rooms SET waiting_room = 0",
        "lobby", "waits to be admitted, and nobody has to",
        "SELECT id FROM participants WHERE waits_for > '' ORDER BY id"),
    ("a host waits", "UPDATE participants SET is_admin = 1 WHERE user_id = 'carol'",
        "lobby", "waits to be admitted, and is a host", "SELECT id FROM participants WHERE user_id = 'carol'"),
    ("a guest waits", "UPDATE rooms SET allow_guest_access = 0",
        "lobby", "waits as a guest where guests are not allowed", f"SELECT id FROM participants WHERE {_KIM}"),
    ("no host", "UPDATE participants SET is_host = 1 WHERE user_id = 'bob'",
        "talk", "is shown as host and is not, or the other way round", _BOB),
    ("neither here nor dropped", "UPDATE participants SET is_active = 0 WHERE user_id = 'bob'",
        "talk", "is both connected and dropped, or neither", _BOB),
    ("left and waits", "UPDATE participants SET waits_for = 'room_full' WHERE left_at > ''",
        "ended", "has left, and still waits", "SELECT id FROM participants WHERE left_at > ''"),
    ("left before joining", "UPDATE participants SET left_at = '2000-01-01T00:00:00.000Z' WHERE left_at > ''",
        "ended", "left before joining", "SELECT id FROM participants WHERE left_at > ''"),
    ("a bad time", "UPDATE messages SET sent_at = 'yesterday' WHERE to_id IS NULL",
        "talk", "has a time that cannot be read", "SELECT id FROM messages WHERE to_id IS NULL"),
    ("a bad state", "UPDATE participants SET state = '{' WHERE user_id = 'bob'",
        "talk", "has a state that cannot be read", _BOB),
    ("a state that is a list", "UPDATE participants SET state = '[]' WHERE user_id = 'bob'",
        "talk", "has a state that cannot be read", _BOB),
    ("bad metadata", "UPDATE participants SET metadata = '[]' WHERE user_id = 'bob'",
        "talk", "has metadata that cannot be read", _BOB),
    ("hidden, and no admin", "UPDATE participants SET is_hidden = 1 WHERE user_id = 'bob'",
        "talk", "is hidden, and is no admin", _BOB),
    ("a bad hash", "UPDATE participants SET resume_hash = 'x' WHERE user_id = 'bob'",
        "talk", "has a hash that is none", _BOB),
    ("no expiry", "UPDATE participants SET token_exp = NULL WHERE user_id = 'bob'",
        "talk", "has no expiry of a user's token, or that of a guest", _BOB),
    ("seated too early", "UPDATE participants SET seated_id = '0' WHERE user_id = 'bob'",
        "talk", "got a seat before it came", _BOB),
    ("an end of an active room", "UPDATE rooms SET ended_at = created_at WHERE name = 'lobby'",
        "lobby", "is active and has an end, or the other way round", "SELECT id FROM rooms WHERE name = 'lobby'"),
    ("past its end", "UPDATE rooms SET expires_at = '2020-01-01T00:00:00.000Z' WHERE name = 'lobby'",
        "lobby", "is active past its end", "SELECT id FROM rooms WHERE name = 'lobby'"),
    ("not empty", "UPDATE rooms SET empty_since = created_at WHERE name = 'talk'",
        "talk", "is empty and has no time since when, or the other way round",
        "SELECT id FROM rooms WHERE name = 'talk'"),
    ("bad metadata", "UPDATE rooms SET metadata = '[]' WHERE name = 'ended'",
        "ended", "has metadata that cannot be read", "SELECT id FROM rooms WHERE name = 'ended'"),
    ("a bad end", "UPDATE rooms SET expires_at = 'tomorrow' WHERE name = 'ended'",
        "ended", "has a time that cannot be read", "SELECT id FROM rooms WHERE name = 'ended'"),
    ("an unknown sender", "UPDATE messages SET participant_id = 'nobody' WHERE to_id IS NULL",
        "talk", "is of a sender who was not in the room", "SELECT id FROM messages WHERE to_id IS NULL"),
    ("another user's message", "UPDATE messages SET user_id = 'bob' WHERE to_id IS NULL",
        "talk", "is of a sender who was not in the room", "SELECT id FROM messages WHERE to_id IS NULL"),
    ("an unknown addressee", "UPDATE messages SET to_id = 'nobody' WHERE to_id > ''",
        "talk", "is to somebody who was not in the room", "SELECT id FROM messages WHERE to_id > ''"),
    ("bytes that shrink", "UPDATE messages SET total_bytes = 1 WHERE to_id > ''",
        "talk", "counts fewer bytes than the message before", "SELECT id FROM messages WHERE to_id > ''"),
    ("banned twice", "INSERT INTO bans SELECT room_id, id || 'z', user_id, address_key, display_name, reason, "
        "banned_at, expires_at FROM bans",
        "talk", "bans whom another ban of the room bans", "SELECT id FROM bans ORDER BY id"),
    ("another position", f"UPDATE events SET body = substr(body, 1, 57) || '{0:012x}' || substr(body, 70) {_JOINED}",
        "talk", "is an event whose JSON says something else than its row", _JOINED_ID),
    ("no key", "DELETE FROM secrets", None, "the key of the network addresses is missing", _NOBODY),
    ("no log id", "DELETE FROM event_log", None, "the id of the event log is missing", _NOBODY),
    ("a strange table", "CREATE TABLE songs (title TEXT)", None, "the table songs is not of roomd", _NOBODY),
    ("a row of no room", "UPDATE bans SET room_id = 'nowhere'",
        None, "a row of bans names a missing row of rooms", _NOBODY),
]  # fmt: skip


@pytest.mark.parametrize(("sql", "room", "problem", "ids"), [case[1:] for case in BROKEN], ids=[c[0] for c in BROKEN])
def test_what_is_wrong_is_found(database: Path, sql: str, room: str | None, problem: str, ids: str) -> None:
    """Each rule that is broken is named once, with the room's code and whom it is about; the exit code is 1."""
    with opened(database) as db:
        db.executescript(sql)
        code = db.execute("SELECT code FROM rooms WHERE name = ?", (room,)).fetchone()
        expected = {"problem": problem, "room": code and code[0], "ids": [key for (key,) in db.execute(ids)]}
    result = roomd("check", "--json", database)
    assert result.exit_code == REFUSED
    assert json.loads(result.stdout)["problems"] == [expected]
    lines = roomd("check", database).stdout.splitlines()
    assert lines[0] == ": ".join(filter(None, (code and f"room {code[0]}", problem, ", ".join(expected["ids"]))))
    assert lines[1:] == [f"{database}: 1 problem (schema 6, 3 rooms)"]


def test_a_user_with_two_places(database: Path) -> None:
    """The index keeps a user from having two places; without it the rule is still checked."""
    with opened(database) as db:
        (sql,) = db.execute("SELECT sql FROM sqlite_schema WHERE name = 'seats'").fetchone()
        (first,) = db.execute(_BOB).fetchone()
        db.execute("DROP INDEX seats")
        db.execute(
            "INSERT INTO participants (room_id, id, user_id, display_name, is_active, is_host, joined_at, resume_hash, "
            "token_exp) SELECT room_id, id || 'z', user_id, display_name, is_active, is_host, joined_at, resume_hash, "
            "token_exp FROM participants WHERE user_id = 'bob'"
        )
        db.execute(sql.replace("UNIQUE", ""))
    problems = json.loads(roomd("check", "--json", database).stdout)["problems"]
    assert [(one["problem"], one["ids"]) for one in problems] == [
        ("has the place of a user who has another one", [first])
    ]


def test_a_locked_room(database: Path) -> None:
    """Only hosts wait for a seat of a locked room."""
    with opened(database) as db:
        db.execute(f"UPDATE participants SET room_id = (SELECT id FROM rooms WHERE name = 'talk') WHERE {_KIM}")
        db.execute(f"UPDATE participants SET waits_for = 'room_full' WHERE {_KIM}")
        assert as_json(roomd("check", "--json", database))["problems"] == []
        db.execute("UPDATE rooms SET is_locked = 1 WHERE name = 'talk'")
    problems = json.loads(roomd("check", "--json", database).stdout)["problems"]
    assert [one["problem"] for one in problems] == ["waits for a seat of a locked room"]


def test_a_limit_that_was_lowered_is_noted(database: Path) -> None:
    """More seats than allowed are right after a host has lowered the limit, so that is no problem."""
    with opened(database) as db:
        db.execute("UPDATE rooms SET max_participants = 2 WHERE name = 'talk'")
        (code,) = db.execute("SELECT code FROM rooms WHERE name = 'talk'").fetchone()
    result = roomd("check", database)
    assert result.exit_code == OK
    note = f"note: room {code}: 3 seats of 2 are taken: right if a host lowered the limit"
    assert result.stdout.splitlines() == [note, f"{database}: fine (schema 6, 3 rooms)"]


def test_a_damaged_file(database: Path) -> None:
    """Pages that were overwritten are found, and of a file that is no database any more that is said."""
    with opened(database) as db:
        db.execute("PRAGMA journal_mode = DELETE")
        (page,) = db.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'messages'").fetchone()
    whole = database.read_bytes()
    database.write_bytes(whole[: (page - 1) * 4096] + b"\xff" * 4096 + whole[page * 4096 :])
    result = roomd("check", database)
    assert result.exit_code == REFUSED
    assert "is damaged" in result.stdout or "Tree" in result.stdout
    database.write_bytes(whole[:20_480])
    assert roomd("check", database).exit_code == REFUSED
    database.write_bytes(b"Hello" * 1000)
    result = roomd("check", database)
    assert (result.exit_code, result.stderr) == (
        MISUSED, f"roomd: {database}: is no database; name a file that roomd made\n"
    )  # fmt: skip
    assert "there is no such file" in roomd("check", database.with_name("nowhere.db")).stderr


def test_an_older_schema(tmp_path: Path) -> None:
    """Of a backup that an older version made the file is checked, and that is said."""
    make_version_2(tmp_path / "old.db")
    result = as_json(roomd("check", "--json", tmp_path / "old.db"))
    assert (result["schema"], result["problems"]) == (2, [])
    assert result["notes"][0]["problem"] == "the rows were not checked: schema 2 is older than 6"


def test_nothing_is_changed(database: Path) -> None:
    """A check leaves no file behind, and the rows as they are."""
    before = texts(database)
    assert roomd("check", environ={"ROOMD_DATABASE_PATH": str(database)}).exit_code == OK
    assert sorted(file.name for file in database.parent.iterdir()) == ["roomd.db", "roomd.secret"]
    assert texts(database) == before


async def test_a_served_database(tmp_path: Path) -> None:
    """While the daemon serves, the check sees what was committed, and the daemon notices nothing."""
    with serving(tmp_path) as daemon:
        room = await daemon.room()
        async with daemon.client("bob") as bob:
            await bob.join(room["code"])
            found = as_json(roomd("check", "--json", daemon.database))
            assert (found["rooms"], found["problems"]) == (1, [])
            assert (await bob.ask("leave-room"))["participant"]["leftAt"]


def test_a_read_only_copy(database: Path, tmp_path: Path) -> None:
    """A file in a folder that may not be written is checked without one beside it."""
    with opened(database) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    folder = tmp_path / "read-only"
    folder.mkdir()
    shutil.copy(database, folder)
    folder.chmod(0o500)
    assert roomd("check", folder / "roomd.db").exit_code == OK
    assert [file.name for file in folder.iterdir()] == ["roomd.db"]
