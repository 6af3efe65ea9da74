"""`roomd restore`: a backup takes the place of the database, whole or not at all, and what was there is kept."""

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from roomd.config import DatabaseConfig
from roomd.storage.migrations import SCHEMA_VERSION
from roomd.storage.opening import open_store
from tests.support.commands import MISUSED, OK, REFUSED, as_json, roomd
from tests.support.daemon import Daemon
from tests.support.databases import opened, say_more, texts
from tests.support.limits import small_files
from tests.support.upgrades import make_version_2


@pytest.fixture
def backup(database: Path, tmp_path: Path) -> Path:
    """A backup of the database, which went on after it: one more message, in the log, and another secret."""
    file = tmp_path / "backup.db"
    assert roomd("backup", "--database", database, file).exit_code == OK
    say_more(database, "More")
    database.with_suffix(".secret").write_text("1" * 64)
    return file


def restore(file: Path, database: Path) -> str:
    """Restore, and return what was printed."""
    result = roomd("restore", "--database", database, file)
    assert (result.exit_code, result.stderr) == (OK, "")
    return result.stdout


def found(folder: Path) -> dict[str, str]:
    """Return the files of a folder by name, those with a time in it without the time: the last text, or the secret."""
    files = {}
    for file in folder.iterdir():
        name, _, kept = file.name.partition(".replaced-")
        is_secret = name.endswith(".secret")
        files[f"{name} (replaced)" if kept else name] = file.read_text()[:1] if is_secret else texts(file)[-1]
    return files


def test_the_backup_takes_the_place(database: Path, backup: Path) -> None:
    """The database and the secret are those of the backup, and what they replace is beside them, log and all."""
    printed = restore(backup, database).splitlines()
    assert printed[0] == f"{database}: restored from {backup}"
    assert printed[1].endswith(": what was replaced")
    assert printed[2].endswith(": the secret that was replaced")
    assert found(database.parent) == {
        "roomd.db": "Psst", "roomd.db (replaced)": "More", "roomd.secret": "0", "roomd.secret (replaced)": "1"
    }  # fmt: skip
    assert {file.stat().st_mode & 0o777 for file in database.parent.iterdir()} == {0o600}
    assert as_json(roomd("check", "--json", database))["problems"] == []
    assert texts(backup) == ["Hello", "Psst"]


def test_a_database_that_is_missing(database: Path, backup: Path, tmp_path: Path) -> None:
    """Nothing is replaced; the folder is created, and only its owner may look into it."""
    new = tmp_path / "new" / "other.db"
    assert restore(backup, new) == f"{new}: restored from {backup}\n"
    assert found(new.parent) == {"other.db": "Psst", "other.secret": "0"}
    assert new.parent.stat().st_mode & 0o777 == 0o700


def test_a_secret_stays_where_it_is_the_same_or_none_is_there(database: Path, backup: Path) -> None:
    """The same secret is not replaced; without one in the backup the one that is there stays, and that is said."""
    database.with_suffix(".secret").write_text("0" * 64 + "\n")
    assert len(restore(backup, database).splitlines()) == 2
    backup.with_suffix(".secret").unlink()
    printed = restore(backup, database)
    assert "the backup has no secret: tokens that were signed with another one" in printed
    assert not list(database.parent.glob("*.secret.*"))


def test_a_link_to_the_database(database: Path, backup: Path, tmp_path: Path) -> None:
    """Where the configured path is a link, what it leads to is replaced, as in the folder of a service."""
    link = tmp_path / "link"
    link.symlink_to(database.parent)
    restore(backup, link / "roomd.db")
    assert texts(database) == ["Hello", "Psst"]


async def test_a_served_database_is_not_replaced(
    tmp_path: Path, backup: Path, make_daemon: Callable[..., Daemon]
) -> None:
    """While the daemon serves it the restore is refused; afterwards the daemon serves what was restored."""
    daemon = make_daemon()
    await daemon.room(name="Not in the backup")
    result = roomd("restore", "--database", daemon.database, backup)
    assert (result.exit_code, result.stderr) == (
        REFUSED, f"roomd: {daemon.database}: a roomd is serving this database; stop it first\n"
    )  # fmt: skip
    daemon.stop()
    restore(backup, daemon.database)
    daemon.start()
    async with daemon.client("alice") as alice:
        rooms = (await alice.ask("list-rooms"))["rooms"]
        assert [room["name"] for room in rooms] == ["ended", "lobby", "talk"]


def test_another_program_has_it_open(database: Path, backup: Path) -> None:
    """What another program might write is not lost: the restore is refused."""
    with opened(database) as db:
        db.execute("BEGIN")
        db.execute("SELECT * FROM rooms").fetchall()
        result = roomd("restore", "--database", database, backup)
    assert result.exit_code == REFUSED
    assert result.stderr.endswith("another program has it open; end that program, and try again\n")
    assert found(database.parent) == {"roomd.db": "More", "roomd.secret": "1"}


def foreign(file: Path) -> None:
    """Make a database of another program."""
    file.unlink()
    with opened(file) as db:
        db.execute("CREATE TABLE songs (title TEXT)")


def newer(file: Path) -> None:
    """Make it one of a newer roomd."""
    with opened(file) as db:
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")


def damaged(file: Path) -> None:
    """Overwrite the page of an index."""
    with opened(file) as db:
        (page,) = db.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'public_messages'").fetchone()
    whole = file.read_bytes()
    file.write_bytes(whole[: (page - 1) * 4096] + bytes(4096) + whole[page * 4096 :])


UNFIT = [
    (foreign, "is a database of another program"),
    (newer, "made by a newer roomd (schema 7, this one knows 6)"),
    (damaged, "is damaged"),
    (lambda file: file.write_text("Hello" * 100), "is no database"),
    (lambda file: file.unlink(), "there is no such file"),
    (lambda file: (file.unlink(), file.symlink_to("data/roomd.db")), "is the database itself"),
]


@pytest.mark.parametrize(("spoil", "message"), UNFIT)
def test_a_backup_that_is_none(database: Path, backup: Path, spoil: Callable[[Path], object], message: str) -> None:
    """What cannot be served is refused before anything is changed."""
    spoil(backup)
    result = roomd("restore", "--database", database, backup)
    assert result.exit_code == MISUSED
    assert message in result.stderr
    assert found(database.parent) == {"roomd.db": "More", "roomd.secret": "1"}


def test_a_damaged_database_is_replaced(database: Path, backup: Path) -> None:
    """That is what a restore is for: the damaged file is kept with its log, and neither is read."""
    with opened(database) as db:
        db.execute("PRAGMA wal_autocheckpoint = 0")
        db.execute("UPDATE rooms SET name = 'x'")
        log = Path(f"{database}-wal").read_bytes()
    database.write_bytes(b"Hello" * 1000)
    Path(f"{database}-wal").write_bytes(log)
    restore(backup, database)
    assert texts(database) == ["Hello", "Psst"]
    [kept] = database.parent.glob("roomd.db.replaced-*Z")
    assert kept.read_bytes() == b"Hello" * 1000
    assert Path(f"{kept}-wal").read_bytes() == log
    assert not Path(f"{database}-wal").exists()


def test_a_full_disk_changes_nothing(database: Path, backup: Path) -> None:
    """A restore that cannot be written whole leaves the database, the secret and no other file."""
    with small_files(20_000):
        result = roomd("restore", "--database", database, backup)
    assert result.exit_code == REFUSED
    assert "the copy cannot be written" in result.stderr
    assert found(database.parent) == {"roomd.db": "More", "roomd.secret": "1"}


def test_a_step_that_fails_is_undone(database: Path, backup: Path, tmp_path: Path) -> None:
    """The database and its secret are both replaced or neither: here the place of a file is taken by a folder."""
    new = tmp_path / "new"
    new.mkdir()
    (new / "roomd.secret").write_text("1" * 64)
    before = (new / "roomd.secret").stat().st_ino
    (new / "roomd.db").mkdir()
    result = roomd("restore", "--database", new / "roomd.db", backup)
    assert result.exit_code == REFUSED
    assert sorted(file.name for file in new.iterdir()) == ["roomd.db", "roomd.secret"]
    assert (new / "roomd.secret").stat().st_ino == before
    (new / "roomd.db").rmdir()
    with contextlib.closing(sqlite3.connect(new / "other.db")):
        os.link(backup, new / "roomd.db")
    (new / "roomd.secret").unlink()
    (new / "roomd.secret").mkdir()
    result = roomd("restore", "--database", new / "roomd.db", backup)
    assert result.exit_code == REFUSED
    assert not list(new.glob("*replaced*"))
    assert not list(new.glob("*unfinished*"))


def test_a_lock_of_the_daemon_is_enough(database: Path, backup: Path) -> None:
    """The lock that the daemon takes keeps a restore out, also before the daemon has opened anything else."""
    lock = os.open(database, os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)
    assert "stop it first" in roomd("restore", "--database", database, backup).stderr
    os.close(lock)


async def test_a_backup_of_an_older_version(database: Path, tmp_path: Path) -> None:
    """It is restored as it is; the daemon migrates it at the start."""
    make_version_2(tmp_path / "old.db")
    restore(tmp_path / "old.db", database)
    store = await open_store(DatabaseConfig(path=str(database)))
    await store.close()
    assert as_json(roomd("check", "--json", database))["schema"] == SCHEMA_VERSION


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to others: run it as root")
@pytest.mark.parametrize("owner", ["the database", "the folder", "the folder alone"])
def test_root_gives_the_database_to_the_service(database: Path, backup: Path, owner: str) -> None:
    """The owner of the database has the new one; where a copy by root had left it to root, that of the folder."""
    user = 12_345
    if owner != "the database":
        os.chown(database.parent, user, user)
    if owner == "the database":
        os.chown(database, user, user)
    if owner == "the folder alone":
        database.unlink()
    restore(backup, database)
    for file in (database, database.with_suffix(".secret")):
        assert (file.stat().st_uid, file.stat().st_gid, file.stat().st_mode & 0o777) == (user, user, 0o600)
