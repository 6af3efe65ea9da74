"""The rows of an open database that may be old, for `engine/retention.py`, and the size of the file."""

import sqlite3
import time

from roomd.engine.retention import OldMessages
from roomd.storage import deleting
from roomd.storage.sqlite import SqliteStore
from roomd.storage.walking import Key

FREE_PAGES = 256
"""The free pages that the file keeps for what is stored next: 1 MiB."""
ROWS_ANALYZED = 400
"""The rows of each index that are counted: it takes some milliseconds, however large the table is."""
FREEING = 0.002
"""The seconds for which one transaction gives pages back. SQLite looks for each in the list of free pages, so that a
page takes 10 to 200 microseconds with up to 70,000 free ones."""


class StoredRows:
    """The rows of an open database. It implements `retention.OldRows`."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store

    async def old_rooms(self, before: str, limit: int) -> list[str]:
        """Return the codes of rooms that ended before a stamp.

        Raises `StorageFailed`.
        """
        return await self._store.read(lambda db: deleting.old_rooms(db, before, limit))

    async def old_messages(self, before: str, cursor: str | None) -> tuple[OldMessages | None, str | None]:
        """Return some messages of one room from before a stamp, and where to look on.

        Raises `StorageFailed`.
        """
        return await self._store.read(lambda db: deleting.old_messages(db, before, cursor or ""))

    async def delete_stays(self, before: str, cursor: Key | None) -> Key | None:
        """Delete some stays that ended before a stamp. Return where to look on.

        Raises `StorageFailed`.
        """
        found, following = await self._store.read(lambda db: deleting.old_stays(db, before, cursor))
        if found:
            await self._store.write(lambda db: deleting.delete_stays(db, found))
        return following

    async def purge(self) -> bool:
        """Delete some rows of a deleted room. Return whether there were any.

        Raises `StorageFailed`.
        """
        if await self._store.read(deleting.next_deleted) is None:
            return False  # nothing is written, and no join waits for it
        await self._store.write(deleting.purge_some)
        return True

    async def shrink(self) -> bool:
        """Give some free pages back to the file system. Return whether there were enough of them.

        Raises `StorageFailed`.
        """
        if await self._store.read(_free_pages) <= FREE_PAGES:
            return False
        await self._store.write(_free_some)
        return True

    async def checkpoint(self) -> None:
        """Write what was deleted from the write-ahead log into the file, so that no join does.

        Raises `StorageFailed`.
        """
        await self._store.checkpoint()

    async def optimize(self, *, is_first: bool) -> None:
        """Let SQLite count what it chooses its plans by, where that may help; at first in all tables.

        Raises `StorageFailed`.
        """
        mask = "=0x10002" if is_first else ""  # as sqlite.org/pragma.html#pragma_optimize advises
        script = f"PRAGMA analysis_limit = {ROWS_ANALYZED}; PRAGMA optimize{mask}"
        await self._store.maintain(lambda db: db.executescript(script))


def _free_pages(db: sqlite3.Connection) -> int:
    ((pages,),) = db.execute("PRAGMA freelist_count").fetchall()
    return int(pages)


def _free_some(db: sqlite3.Connection) -> None:
    """Free pages at the end of the file, one with each statement, for some time."""
    until = time.perf_counter() + FREEING
    for _ in range(_free_pages(db) - FREE_PAGES):
        db.execute("PRAGMA incremental_vacuum(1)")
        if time.perf_counter() >= until:
            break
