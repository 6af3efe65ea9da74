"""A backup and a restore that end at any step, as by kill -9: what has a name is whole, and the next run completes."""

from pathlib import Path

import pytest

from tests.support.commands import OK, as_json, roomd
from tests.support.databases import say_more, texts
from tests.support.interrupted import run_interrupted


def last(database: Path) -> str:
    """Return the last text in a database in which everything is right."""
    assert as_json(roomd("check", "--json", database))["problems"] == []
    return texts(database)[-1]


@pytest.mark.long
def test_a_restore_that_is_interrupted(database: Path, tmp_path: Path) -> None:
    """The database is the old one or the new one; the old one is kept before it is replaced."""
    backup = tmp_path / "backup.db"
    assert roomd("backup", "--database", database, backup).exit_code == OK
    say_more(database, "More")
    database.with_suffix(".secret").write_text("1" * 64)
    copies = tmp_path / "copies"
    copies.mkdir()
    data = run_interrupted(database.parent, copies, "restore", "--database", "{}/roomd.db", str(backup))
    assert len(data) > 5
    found = []
    for copy in data:
        found.append(last(copy / "roomd.db"))
        kept = list(copy.glob("roomd.db.replaced-*Z"))
        assert found[-1] == "More" or last(kept[0]) == "More"
        assert (copy / "roomd.secret").read_text() in ("0" * 64, "1" * 64)
        assert roomd("restore", "--database", copy / "roomd.db", backup).exit_code == OK
        assert last(copy / "roomd.db") == "Psst"
        assert (copy / "roomd.secret").read_text() == "0" * 64
        assert not list(copy.glob("*.unfinished"))
    assert found == sorted(found), "once it is the new one it stays"
    assert {"More", "Psst"} == set(found)


def test_a_backup_that_is_interrupted(database: Path, tmp_path: Path) -> None:
    """A backup that has its name is whole and has its secret; the one before is there until then."""
    (tmp_path / "copies").mkdir()
    before = database.parent / "new.db"
    assert roomd("backup", "--database", database, before).exit_code == OK
    say_more(database, "More")
    command = ("backup", "--force", "--database", "{}/roomd.db", "{}/new.db")
    data = run_interrupted(database.parent, tmp_path / "copies", *command)
    assert len(data) > 5
    found = []
    for copy in data:
        found.append(last(copy / "new.db"))
        assert (copy / "new.secret").read_text() == "0" * 64
        assert roomd("backup", "--force", "--database", copy / "roomd.db", copy / "new.db").exit_code == OK
        assert last(copy / "new.db") == "More"
        assert not list(copy.glob("*.unfinished"))
    assert found == sorted(found, reverse=True)
    assert {"More", "Psst"} == set(found)
