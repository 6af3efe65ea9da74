"""`roomd backup`: the database at one moment, checked before it has its name, while the daemon serves or not."""

import asyncio
import fcntl
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from roomd.config import DatabaseConfig
from roomd.storage.errors import StoreBusy, StoreError
from roomd.storage.opening import open_store
from roomd.storage.snapshot import STEP, copy, reading
from tests.support.commands import MISUSED, OK, REFUSED, as_json, roomd
from tests.support.daemon import Daemon
from tests.support.databases import opened, say_more, texts
from tests.support.limits import small_files
from tests.support.processes import child
from tests.support.upgrades import make_version_2


def backup(database: Path, *arguments: object) -> str:
    """Back up, and return what was printed."""
    result = roomd("backup", "--database", database, *arguments)
    assert (result.exit_code, result.stderr) == (OK, "")
    return result.stdout


def mode(file: Path) -> int:
    """Return who may do what with a file."""
    return file.stat().st_mode & 0o777


def test_the_backup_is_whole(database: Path, tmp_path: Path) -> None:
    """It is one file with what was in the log too, its secret is beside it, and only the owner reads either."""
    file = tmp_path / "new.db"
    assert backup(database, file) == f"{file}: the backup of {database}\n{tmp_path}/new.secret: its secret\n"
    assert texts(file) == ["Hello", "Psst"]
    assert (tmp_path / "new.secret").read_text() == "0" * 64
    assert sorted(one.name for one in tmp_path.iterdir()) == ["data", "new.db", "new.secret"]
    assert (mode(file), mode(tmp_path / "new.secret")) == (0o600, 0o600)
    assert as_json(roomd("check", "--json", file))["problems"] == []


def test_an_existing_backup_is_replaced_only_by_force(database: Path, tmp_path: Path) -> None:
    """Neither the file nor the secret beside it is overwritten; by force both are, with a secret that is none now."""
    file = tmp_path / "new.db"
    backup(database, file)
    say_more(database, "More")
    for _ in range(2):
        result = roomd("backup", "--database", database, file)
        assert result.exit_code == MISUSED
        assert result.stderr.endswith("exists already; give --force to replace it\n")
        assert not file.exists() or texts(file) == ["Hello", "Psst"]
        file.unlink(missing_ok=True)  # now only the secret is there
    database.with_suffix(".secret").unlink()
    assert "there is no secret beside the database" in backup(database, file, "--force")
    assert texts(file) == ["Hello", "Psst", "More"]
    assert not file.with_suffix(".secret").exists()


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("data/roomd.db", "is the database itself; choose another file"),
        ("new.secret", "its secret would have this name; choose another one, like new.db"),
        ("nowhere/new.db", "cannot be written: No such file or directory"),
        ("nowhere/new/", "cannot be created: No such file or directory"),
    ],
)
def test_targets_that_are_refused(database: Path, tmp_path: Path, target: str, message: str) -> None:
    """The message says what to do, and nothing is written."""
    result = roomd("backup", "--database", database, f"{tmp_path}/{target}")
    assert result.exit_code in (REFUSED, MISUSED)
    assert message in result.stderr
    assert sorted(one.name for one in tmp_path.iterdir()) == ["data"]


def test_a_folder_keeps_the_last(database: Path, tmp_path: Path) -> None:
    """In a folder a backup has a name with the time; the oldest go with their secrets, and other files stay."""
    folder = tmp_path / "backups"
    names = [f"roomd-2026010{day}T000000Z" for day in range(1, 4)]
    folder.mkdir(mode=0o700)
    for name in names:
        (folder / f"{name}.db").touch()
        (folder / f"{name}.secret").touch()
    others = ["other-20260101T000000Z.db", "roomd-2026.db", "roomd-schema-3.db"]
    for name in others:
        (folder / name).touch()
    printed = backup(database, "--keep", 2, folder)
    removed = [line for line in printed.splitlines() if line.endswith(": removed")]
    assert removed == [f"{folder}/{name}.db: removed" for name in names[:2]]
    new = [file.stem for file in folder.iterdir() if file.name not in others and file.stem != names[2]]
    assert len(set(new)) == 1
    assert re.fullmatch(r"roomd-\d{8}T\d{6}Z", new[0])
    kept = [f"{stem}{ending}" for stem in (names[2], new[0]) for ending in (".db", ".secret")]
    assert sorted(file.name for file in folder.iterdir()) == sorted([*others, *kept])


def test_a_folder_is_created(database: Path, tmp_path: Path) -> None:
    """With --keep, or a / at the end, the name is that of a folder; only its owner may look into it."""
    for name, arguments in (("one", ("--keep", 1)), ("two/", ())):
        backup(database, *arguments, f"{tmp_path}/{name}")
        assert len(list((tmp_path / name).glob("roomd-*.db"))) == 1
        assert mode(tmp_path / name) == 0o700


def test_secrets_that_are_elsewhere(database: Path, tmp_path: Path) -> None:
    """What the configuration names is in no backup, and that is said."""
    result = roomd(
        "backup",
        "--database",
        database,
        tmp_path / "new.db",
        environ={"ROOMD_AUTH_SECRET": "a secret of 32 bytes and more, no less"},
    )
    assert result.stdout.endswith("not in the backup: what auth.secret names; keep it elsewhere\n")


def test_a_full_disk_leaves_nothing(database: Path, tmp_path: Path) -> None:
    """A backup that cannot be written whole leaves no file, and the one before stays."""
    file = tmp_path / "new.db"
    backup(database, file)
    say_more(database, "More")
    roomd("check", database)  # which ends the log
    with small_files(40_000):
        for arguments in ((file, "--force"), (tmp_path / "other.db",)):
            result = roomd("backup", "--database", database, *arguments)
            assert result.exit_code == REFUSED
            assert "the copy cannot be written" in result.stderr
            assert "free some space" in result.stderr
    assert sorted(one.name for one in tmp_path.iterdir()) == ["data", "new.db", "new.secret"]
    assert texts(file) == ["Hello", "Psst"]


def test_a_damaged_database_is_no_backup(database: Path, tmp_path: Path) -> None:
    """A copy that is not right gets no name."""
    with opened(database) as db:
        db.execute("PRAGMA journal_mode = DELETE")
        (page,) = db.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'public_messages'").fetchone()
    whole = database.read_bytes()
    database.write_bytes(whole[: (page - 1) * 4096] + bytes(4096) + whole[page * 4096 :])
    result = roomd("backup", "--database", database, tmp_path / "new.db")
    assert result.exit_code == MISUSED
    assert "is damaged" in result.stderr
    assert [one.name for one in tmp_path.iterdir()] == ["data"]


def test_two_backups_at_once(database: Path, tmp_path: Path) -> None:
    """A second backup into the same folder is refused, so that no two write the same file."""
    folder = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    result = roomd("backup", "--database", database, tmp_path / "new.db")
    os.close(folder)
    assert (result.exit_code, result.stderr) == (
        REFUSED, f"roomd: {tmp_path}: another backup is being written here; wait until it is done\n"
    )  # fmt: skip


def test_what_an_interrupted_backup_left_is_replaced(database: Path, tmp_path: Path) -> None:
    """Also where it is a link that leads elsewhere."""
    (tmp_path / "elsewhere").write_text("mine")
    (tmp_path / "new.db.unfinished").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "new.secret.unfinished").mkdir()
    (tmp_path / "new.secret.unfinished" / "half").touch()
    backup(database, tmp_path / "new.db")
    assert (tmp_path / "elsewhere").read_text() == "mine"
    (tmp_path / "roomd-20260101T000000Z.db.unfinished").mkdir()  # which no later backup has the name of
    backup(database, "--force", tmp_path / "new.db")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["data", "elsewhere", "new.db", "new.secret"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to others: run it as root")
def test_root_gives_the_backup_to_the_owner_of_the_folder(database: Path, tmp_path: Path) -> None:
    """So somebody can fetch the backup from a folder of their own; nobody else can read it."""
    folder = tmp_path / "backups"
    folder.mkdir(mode=0o700)
    os.chown(folder, 12_345, 23_456)
    backup(database, "--keep", 1, folder)
    backup(database, f"{folder}/in-it/")
    found = [file for file in folder.rglob("*") if file.is_file()]
    assert len(found) == 4
    for file in (*found, folder / "in-it"):
        assert (file.stat().st_uid, file.stat().st_gid) == (12_345, 23_456)
        assert mode(file) == (0o700 if file.is_dir() else 0o600)


PAIRS = 200
"""Rows in each of two tables that a copy takes many steps for."""


def test_a_copy_ends_while_others_write(database: Path, tmp_path: Path) -> None:
    """It is of one moment, though the database changes at every step; and nobody who writes waits for it."""
    commits = steps = 0
    with opened(database) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = OFF")
        db.execute("PRAGMA busy_timeout = 0")  # a commit that had to wait fails

        def commit() -> None:
            """Write two rows that belong together."""
            nonlocal commits
            commits += 1
            assert commits < 10 * steps, "the copy begins again and again"
            db.execute("BEGIN IMMEDIATE")
            for table in ("one", "two"):
                db.execute(f"INSERT INTO {table} VALUES (?, zeroblob(20000))", (commits,))
            db.execute("COMMIT")

        for table in ("one", "two"):
            db.execute(f"CREATE TABLE {table} (number INTEGER, filler BLOB)")
            db.execute(
                f"WITH n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < {PAIRS}) "
                f"INSERT INTO {table} SELECT -i, zeroblob(50000) FROM n"
            )
        steps = db.execute("PRAGMA page_count").fetchone()[0] // STEP
        assert steps > 10
        new = tmp_path / "new.db"
        new.touch()
        commit()
        with reading(database) as source:
            copy(source, new, between=commit)
        assert commits > steps
    with opened(new) as copied:
        one, two = (copied.execute(f"SELECT max(number), count(*) FROM {table}").fetchone() for table in ("one", "two"))
    assert one == two == (1, PAIRS + 1)


async def test_joins_while_a_backup_is_made(tmp_path: Path, make_daemon: Callable[..., Daemon]) -> None:
    """A large database is backed up by another process beside the daemon: people join and leave meanwhile.

    What was acknowledged before the backup began is in it, and it has no broken rule.
    """
    daemon = make_daemon()
    code = (await daemon.room())["code"]
    async with daemon.client("bob") as bob:
        await bob.join(code)
        await bob.send("send-message", text="Before")
        await bob.events()
        with opened(daemon.database) as db:  # messages that a copy takes seconds for
            db.execute(
                "WITH n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 20000) INSERT INTO messages "
                "(room_id, id, participant_id, user_id, display_name, text, sent_at, total_bytes) SELECT room_id, "
                "id || printf('%06d', i), participant_id, user_id, display_name, hex(zeroblob(1000)), sent_at, "
                "total_bytes FROM messages, n"
            )
        joins = 0
        command = (
            sys.executable,
            "-m",
            "roomd",
            "backup",
            "--database",
            str(daemon.database),
            str(tmp_path / "new.db"),
        )
        environ = {name: value for name, value in os.environ.items() if not name.startswith("ROOMD_")}
        async with daemon.client() as jane, child(*command, env=environ, stdout=subprocess.DEVNULL) as process:
            while process.returncode is None:
                await jane.join(code, guestName="Jane")
                await jane.ask("leave-room")
                await bob.events()
                joins += 1
            assert process.returncode == 0
    assert joins > 20
    found = as_json(await asyncio.to_thread(roomd, "check", "--json", tmp_path / "new.db"))
    assert found["problems"] == []
    assert texts(tmp_path / "new.db")[0] == "Before"


async def test_a_migration_is_preceded_by_a_backup(tmp_path: Path) -> None:
    """It is beside the database, named by the old schema, and stays until the next migration."""
    database = tmp_path / "roomd.db"
    tokens = make_version_2(database)
    (tmp_path / "roomd-schema-1.db").touch()
    (tmp_path / "roomd-schemas.db").touch()
    store = await open_store(DatabaseConfig(path=str(database)))
    await store.close()
    assert sorted(one.name for one in tmp_path.iterdir()) == ["roomd-schema-2.db", "roomd-schemas.db", "roomd.db"]
    kept = tmp_path / "roomd-schema-2.db"
    with opened(kept) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (2,)
        assert db.execute("SELECT count(*) FROM participants").fetchone() == (len(tokens),)
    assert mode(kept) == 0o600
    store = await open_store(DatabaseConfig(path=str(database)))  # nothing to migrate: it stays
    await store.close()
    assert kept.exists()


async def test_no_migration_without_a_backup(tmp_path: Path) -> None:
    """Where the disk has no room for it the start is refused with what to do, and the database is as it was."""
    database = tmp_path / "roomd.db"
    make_version_2(database)
    with small_files(20_000), pytest.raises(StoreBusy) as caught:
        await open_store(DatabaseConfig(path=str(database)))
    assert "cannot be backed up before its migration from schema 2" in str(caught.value)
    assert "free some space" in str(caught.value)
    assert not list(tmp_path.glob("*schema*"))
    with opened(database) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (2,)
        db.execute("PRAGMA writable_schema = ON")
        db.execute("UPDATE sqlite_schema SET rootpage = 9999 WHERE name = 'public_messages'")
    with pytest.raises((StoreError, sqlite3.Error)):
        await open_store(DatabaseConfig(path=str(database)))
    assert not list(tmp_path.glob("*schema*"))
