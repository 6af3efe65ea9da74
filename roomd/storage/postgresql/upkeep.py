"""The rows of an open database that may be old, for `engine/retention.py`: found and deleted, a few at a time.

`roomd/storage/deleting.py` says in which order, and why there is no index by time.
"""

from typing import Any

from roomd.engine.retention import MOST_MESSAGES, MOST_ROWS, OldMessages, oldest_messages
from roomd.storage.postgresql.store import PostgresqlStore
from roomd.storage.postgresql.walking import step
from roomd.storage.walking import MOST_LOOKED_AT, Key

_ROOMS = "SELECT id FROM rooms WHERE id >= $1 AND NOT is_deleted ORDER BY id"
_WITH_OLD_MESSAGES = f"""
    SELECT rooms.id, rooms.code FROM ({_ROOMS} LIMIT $3) AS part JOIN rooms ON rooms.id = part.id
    WHERE (SELECT sent_at FROM messages WHERE room_id = rooms.id ORDER BY id LIMIT 1) < $2 ORDER BY rooms.id LIMIT 1
"""
_OLDEST = "SELECT id, sent_at, total_bytes FROM messages WHERE room_id = $1 ORDER BY id LIMIT $2"
_DELETE_STAYS = """
    WITH old AS (SELECT * FROM unnest($1::text[], $2::text[]) AS old (room_id, id)),
    noted AS (
        UPDATE rooms SET deleted_stay = greatest(deleted_stay, last.id)
        FROM (SELECT room_id, max(id COLLATE "C") AS id FROM old GROUP BY room_id) AS last WHERE rooms.id = last.room_id
    )
    DELETE FROM participants USING old WHERE participants.room_id = old.room_id AND participants.id = old.id
"""


class StoredRows:
    """The rows of an open database. It implements `retention.OldRows`."""

    def __init__(self, store: PostgresqlStore) -> None:
        self._store = store

    async def old_rooms(self, before: str, limit: int) -> list[str]:
        """Return the codes of rooms that ended before a stamp, the first that ended first.

        Raises `StorageFailed`.
        """
        sql = "SELECT code FROM rooms WHERE ended_at < $1 AND NOT is_deleted ORDER BY ended_at LIMIT $2"
        return [code for (code,) in await self._store.fetch(sql, before, limit)]

    async def old_messages(self, before: str, cursor: str | None) -> tuple[OldMessages | None, str | None]:
        """Return some messages of one room from before a stamp, and where to look on.

        Raises `StorageFailed`.
        """
        start = cursor or ""
        async with self._store.reading() as db:
            if rooms := await db.fetch(_WITH_OLD_MESSAGES, start, before, MOST_LOOKED_AT):
                ((room_id, code),) = rooms
                oldest = await db.fetch(_OLDEST, room_id, MOST_MESSAGES)
                return oldest_messages(code, oldest, before), room_id
            following = await db.fetch(f"{_ROOMS} LIMIT 1 OFFSET $2", start, MOST_LOOKED_AT)
        return None, following[0][0] if following else None

    async def delete_stays(self, before: str, cursor: Key | None) -> tuple[Any, ...] | None:
        """Delete some stays that ended before a stamp; their messages stay. Return where to look on.

        Raises `StorageFailed`.
        """
        async with self._store.reading() as db:
            found, following = await step(db, "participants", "room_id, id", cursor, "left_at < $3", before)
            if found:
                await db.execute(_DELETE_STAYS, *zip(*found, strict=True))
        return following

    async def purge(self) -> bool:
        """Delete some rows of a deleted room. Return whether there were any.

        Raises `StorageFailed`.
        """
        async with self._store.reading() as db:
            rooms = await db.fetch("SELECT id FROM rooms WHERE is_deleted LIMIT 1")
            if not rooms:
                return False
            room_id = rooms[0][0]
            for table in ("messages", "bans", "participants"):
                some = f"SELECT id FROM {table} WHERE room_id = $1 LIMIT {MOST_ROWS}"
                if await db.execute(f"DELETE FROM {table} WHERE room_id = $1 AND id IN ({some})", room_id):
                    return True
            await db.execute("DELETE FROM owners WHERE room_id = $1", room_id)
            await db.execute("DELETE FROM rooms WHERE id = $1", room_id)
        return True

    async def checkpoint(self) -> None:
        """Do nothing: the server has a process for that."""

    async def shrink(self) -> bool:
        """Return False: autovacuum frees what is deleted."""
        return False

    async def optimize(self, *, is_first: bool) -> None:
        """Do nothing: autovacuum counts what the server chooses its plans by."""
