"""The commands on a database in PostgreSQL: those that copy it, read it, and those that name what to do instead."""

import csv
import json
import re
from pathlib import Path

import pytest

from tests.support.commands import roomd
from tests.support.daemon import SECRET, Daemon
from tests.support.databases import people
from tests.support.postgresql import Server

FAILED, MISUSED = 1, 2


@pytest.fixture
async def served(tmp_path: Path, postgresql: Server) -> dict[str, str]:
    """The environment of a daemon on PostgreSQL that was killed in the middle of a meeting."""
    url = postgresql.create()
    told = {"ROOMD_LIMITS_TOLD_RATE": "1e9", "ROOMD_LIMITS_TOLD_BURST": "1000000000"}
    daemon = Daemon(tmp_path, ROOMD_DATABASE_URL=url, **told)
    daemon.start()
    try:
        await people(daemon)
    finally:
        daemon.close()
    return {"ROOMD_DATABASE_URL": url, "ROOMD_AUTH_SECRET": SECRET}


def test_a_database_is_checked_and_copied(served: dict[str, str], tmp_path: Path, postgresql: Server) -> None:
    """`roomd check` finds it fine; so is the copy that `roomd migrate` makes, and one that goes back again."""
    result = roomd("check", environ=served)
    assert result.exit_code == 0, result.stdout
    assert re.match(r"postgresql:///[^@?]+/roomd-pg-\w+/roomd_\d+: fine", result.stdout)
    assert result.stdout.endswith(": fine (schema 2, 3 rooms)\n")
    url, file = served["ROOMD_DATABASE_URL"], tmp_path / "back.db"
    result = roomd("migrate", "--from", url, "--to", f"sqlite:{file}")
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["rooms:", "3"]
    assert lines[-1] == "copied and compared"
    assert roomd("check", file).exit_code == 0
    (tmp_path / "back.secret").write_text(SECRET)
    result = roomd("migrate", "--from", f"sqlite:{file}", "--to", url)
    assert result.exit_code != 0
    assert "has rooms or events already" in result.stderr
    result = roomd("migrate", "--from", f"sqlite:{file}", "--to", postgresql.create())
    assert f"set auth.secret_file = '{tmp_path / 'back.secret'}'" in result.stdout
    assert result.stdout.splitlines()[2:] == lines
    result = roomd("migrate", "--from", f"sqlite:{file}", "--to", postgresql.url("missing"))
    assert result.exit_code != 0
    assert "does not exist" in result.stderr


def test_two_of_one_kind(tmp_path: Path) -> None:
    """A file is copied to a server, or the other way round."""
    for source, target in (("sqlite:x", "sqlite:y"), ("postgresql:///x", "postgresql:///y"), ("x", "sqlite:y")):
        assert roomd("migrate", "--from", source, "--to", target).exit_code == MISUSED
    result = roomd("migrate", "--from", f"sqlite:{tmp_path / 'none.db'}", "--to", "postgresql:///x")
    assert "there is no such file" in result.stderr
    assert not (tmp_path / "none.db").exists()


def test_exports(served: dict[str, str]) -> None:
    """They are those of a file."""
    found = json.loads(roomd("export", "--user", "alice", environ=served).stdout)
    assert [one["message"]["text"] for one in found["messages"]] == ["Hello", "Psst"]
    code = next(room["code"] for room in found["rooms"] if room["name"] == "talk")
    rows = list(csv.DictReader(roomd("export", "--room", code, environ=served).stdout.splitlines()))
    assert [row["name"] for row in rows] == ["alice", "bob", "Jane"]


def test_backups_are_the_server_s(served: dict[str, str], tmp_path: Path) -> None:
    """`roomd backup` and `roomd restore` are for files, and say what to use."""
    for command, program in (("backup", "pg_dump"), ("restore", "pg_restore")):
        result = roomd(command, tmp_path / "x.db", environ=served)
        assert result.exit_code != 0
        assert program in result.stderr
    assert not (tmp_path / "x.db").exists()


def test_the_configuration_is_checked(served: dict[str, str]) -> None:
    """`roomd check-config` says where rooms would be kept, without user and password."""
    secret = served | {"ROOMD_DATABASE_URL": "postgresql://roomd:geheim@db.example/roomd"}
    result = roomd("check-config", environ=secret)
    assert "keep its rooms in postgresql://db.example/roomd" in result.stdout
    assert "geheim" not in result.output
