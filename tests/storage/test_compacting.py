"""A database of before is written anew once, so that it can shrink: whole or not at all, and with room for it."""

import re
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from roomd.config import DatabaseConfig
from roomd.storage import compacting
from roomd.storage.checking import check
from roomd.storage.compacting import is_shrinkable
from roomd.storage.errors import StoreBusy
from roomd.storage.opening import open_store
from tests.support.databases import opened

GONE = "deleted before"


def dump(database: Path) -> list[str]:
    with opened(database) as db:
        return list(db.iterdump())


@pytest.fixture
def older(database: Path) -> Path:
    """A database that cannot shrink, with much that was deleted in it."""
    with opened(database) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        db.execute("PRAGMA journal_mode = DELETE")
        db.execute("PRAGMA auto_vacuum = NONE")
        db.execute("VACUUM")
        db.execute("PRAGMA secure_delete = OFF")
        db.execute("CREATE TABLE gone (text)")
        db.execute("BEGIN")
        db.executemany("INSERT INTO gone VALUES (?)", [(GONE * 100,)] * 1000)
        db.execute("COMMIT")
        db.execute("DROP TABLE gone")
    return database


async def test_it_is_compacted_at_the_start(older: Path) -> None:
    """Everything is there as before, what was deleted is not in the file, and it is smaller."""
    before, size = dump(older), older.stat().st_size
    assert GONE.encode() in older.read_bytes()
    for _ in range(2):
        await (await open_store(DatabaseConfig(path=str(older)))).close()
        with opened(older) as db:
            assert is_shrinkable(db)
            assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert (dump(older), check(older).problems) == (before, [])
    assert older.stat().st_size < size / 2
    assert GONE.encode() not in older.read_bytes()
    assert sorted(file.name for file in older.parent.iterdir()) == ["roomd.db", "roomd.secret"]


async def test_a_new_one_can_shrink(tmp_path: Path) -> None:
    """From its first page on."""
    await (await open_store(DatabaseConfig(path=str(tmp_path / "new.db")))).close()
    with opened(tmp_path / "new.db") as db:
        assert is_shrinkable(db)


@pytest.mark.parametrize("cut", ["VACUUM", "backup", "checkpoint"])
async def test_a_failure_leaves_the_old_file(older: Path, cut: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it fails; the next start does it."""

    class Failing(sqlite3.Connection):
        def execute(self, sql: str, *rest: Any) -> sqlite3.Cursor:
            if cut in sql:
                raise sqlite3.OperationalError("disk I/O error")
            return super().execute(sql, *rest)

        def backup(self, *rest: Any, **more: Any) -> None:
            if cut == "backup":
                raise sqlite3.OperationalError("disk I/O error")
            super().backup(*rest, **more)

    before = dump(older)
    with monkeypatch.context() as patched:
        connect = sqlite3.connect
        patched.setattr(sqlite3, "connect", lambda *rest, **more: connect(*rest, **{"factory": Failing, **more}))
        with pytest.raises(StoreBusy, match="cannot be written anew: disk I/O error; free some space there"):
            await open_store(DatabaseConfig(path=str(older)))
    assert dump(older) == before
    await (await open_store(DatabaseConfig(path=str(older)))).close()
    with opened(older) as db:
        assert is_shrinkable(db)
    assert dump(older) == before


async def test_too_little_space(older: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says how much is needed, and nothing was touched."""
    content = older.read_bytes()
    monkeypatch.setattr(compacting, "free_bytes", lambda _: 1000)
    text = re.escape(f"{2 * len(content):,} bytes must be free there, and 1,000 are; free some space, and start again")
    with pytest.raises(StoreBusy, match=text):
        await open_store(DatabaseConfig(path=str(older)))
    assert older.read_bytes() == content


async def test_what_a_crash_left_is_removed(older: Path) -> None:
    """A folder with a half copy."""
    left = older.with_name("roomd-compact.db.unfinished")
    left.mkdir()
    shutil.copy(older, left / "half")
    await (await open_store(DatabaseConfig(path=str(older)))).close()
    assert not left.exists()
