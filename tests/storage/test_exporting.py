"""`roomd export`: everything about a user as JSON, who was in a room as CSV; nothing of others, and no secret."""

import csv
import io
import json
import stat
from pathlib import Path

import pytest

from roomd.cli.data import attendance_csv
from roomd.storage.exporting import Attendance
from tests.support.commands import MISUSED, OK, REFUSED, as_json, roomd
from tests.support.databases import opened
from tests.support.views import seconds


@pytest.fixture
def code(database: Path) -> str:
    with opened(database) as db:
        ((code,),) = db.execute("SELECT code FROM rooms WHERE name = 'talk'").fetchall()
        return str(code)


def test_everything_about_a_user(database: Path, code: str) -> None:
    """Stays, messages sent and private ones received, rooms, bans and events, as on the wire."""
    found = as_json(roomd("export", "--user", "alice", "--database", database))
    assert found["userId"] == "alice"
    assert {stay["userId"] for stay in found["stays"]} == {"alice"}
    assert [(one["roomCode"], one["isOwn"], one["message"]["text"]) for one in found["messages"]] == [
        (code, True, "Hello"), (code, True, "Psst"),
    ]  # fmt: skip
    assert {room["name"] for room in found["rooms"]} == {"talk", "lobby", "ended"}
    assert {event["type"] for event in found["events"]} >= {"room-created", "participant-joined", "room-ended"}
    whole = json.dumps(found)
    with opened(database) as db:
        for (secret,) in db.execute("SELECT resume_hash FROM participants"):
            assert secret not in whole
    assert "Jane" not in json.dumps(found["stays"])
    (ban,) = as_json(roomd("export", "--user", "eve", "--database", database))["bans"]
    assert (ban["roomCode"], ban["ban"]["userId"]) == (code, "eve")
    nobody = as_json(roomd("export", "--user", "nobody", "--database", database))
    assert [key for key, value in nobody.items() if value] == ["userId"]


def test_the_attendance_of_a_room(database: Path, code: str) -> None:
    """Who, from, to, minutes; in JSON the same."""
    found = roomd("export", "--room", code, "--database", database)
    rows = list(csv.DictReader(io.StringIO(found.stdout, newline="")))
    assert [(row["name"], row["user"], row["to"], row["minutes"]) for row in rows] == [
        ("alice", "alice", "", ""), ("bob", "bob", "", ""), ("Jane", "", "", ""),
    ]  # fmt: skip
    same = as_json(roomd("export", "--room", code, "--json", "--database", database))
    assert [one["joinedAt"] for one in same] == [row["from"] for row in rows]
    with opened(database) as db:
        ((ended,),) = db.execute("SELECT code FROM rooms WHERE name = 'ended'").fetchall()
    (stay,) = as_json(roomd("export", "--room", ended, "--json", "--database", database))
    stayed = seconds(stay["leftAt"]) - seconds(stay["joinedAt"])
    assert stayed >= 0
    assert stay["minutes"] == pytest.approx(stayed / 60, abs=0.05)


NAMES = ["=1+1", "+1", "-1", "@x", "\tx", "＝1", 'say "hi", you\nand me', "Zoë 😀", "plain"]


def test_what_a_spreadsheet_makes_of_it() -> None:
    """RFC 4180: CRLF, quotes doubled; no cell is a formula; everything comes back."""
    stays = [
        Attendance(name=name, user_id=name, participant_id="p", joined_at="2026", left_at="2027", minutes=62.45)
        for name in NAMES
    ]
    text = attendance_csv(stays)
    assert (
        text.startswith("name,user,participant,from,to,minutes\r\n'=1+1,'=1+1,p,2026,2027,62.5\r\n") or "62.4" in text
    )
    rows = list(csv.reader(io.StringIO(text, newline="")))[1:]
    assert [row[0].removeprefix("'") for row in rows] == NAMES
    assert [row[0].startswith("'") for row in rows] == [True] * 6 + [False] * 3
    assert text.count("\r\n") == len(NAMES) + 1


def test_to_a_file(database: Path, tmp_path: Path) -> None:
    """That only its owner can read, and that is not replaced unasked."""
    file = tmp_path / "alice.json"
    arguments = ("export", "--user", "alice", "--database", database, "--output", file)
    found = roomd(*arguments)
    assert (found.exit_code, found.stdout) == (OK, "")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert json.loads(file.read_text())["userId"] == "alice"
    again = roomd(*arguments)
    assert (again.exit_code, again.stderr) == (MISUSED, f"roomd: {file}: exists already; give --force to replace it\n")
    assert roomd(*arguments, "--force").exit_code == OK
    assert roomd(*arguments[:-1], tmp_path / "none" / "x").exit_code == REFUSED
    assert sorted(one.name for one in tmp_path.iterdir()) == ["alice.json", "data"]


def test_wrong_usage(database: Path) -> None:
    """Both, neither, a room that is not there, and a database of before."""
    for options in ((), ("--user", "a", "--room", "abc-def-ghi")):
        assert roomd("export", *options, "--database", database).exit_code == MISUSED
    found = roomd("export", "--room", "zzz-zzz-zzz", "--database", database)
    assert (found.exit_code, found.stderr) == (REFUSED, "room_not_found: Room not found\n")
    with opened(database) as db:
        db.execute("PRAGMA user_version = 4")
    found = roomd("export", "--user", "a", "--database", database)
    assert found.exit_code == MISUSED
    assert "start `roomd serve` once, to migrate it" in found.stderr
