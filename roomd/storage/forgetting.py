"""What is stored about people, for `engine/forgetting.py`: found by walks through the tables, and rewritten."""

import asyncio
import secrets
import sqlite3
from collections.abc import AsyncIterator, Collection, Sequence
from typing import Any

import msgspec

from roomd.engine.forgetting import InRoom, Person
from roomd.storage.sqlite import SqliteStore
from roomd.storage.walking import Key, step

CHECKPOINTS, CHECKPOINT_PAUSE = 50, 0.1
"""How often the write-ahead log is written into the file in the end, and the seconds between two attempts."""

_STAYS = {"user": "user_id = ?", "guest": "user_id IS NULL AND id = ?"}
_MESSAGES = {
    "user": "(user_id = ? OR to_user_id = ?)",
    "guest": "(user_id IS NULL AND participant_id = ? OR to_user_id IS NULL AND to_id = ?)",
}
_BANS = {
    "user": "bans.user_id = ?",
    "guest": (
        "EXISTS (SELECT 1 FROM participants AS one WHERE one.room_id = bans.room_id AND one.id = ? "
        "AND one.address_key = bans.address_key AND one.display_name = bans.display_name)"
    ),
}
_EVENTS = {
    "user": "(body ->> '$.participant.userId' = ? OR body ->> '$.ban.userId' = ? OR body ->> '$.room.hostId' = ?)",
    "guest": (
        "(body ->> '$.participant.id' = ? AND body ->> '$.participant.userId' IS NULL "
        "OR body ->> '$.ban.id' IN (SELECT value FROM json_each(?)))"
    ),
}
_SENT = (
    "type = 'message-sent' AND (body ->> '$.message.participantId' IN (SELECT value FROM json_each(?)) "
    "OR body ->> '$.message.id' IN (SELECT value FROM json_each(?)))"
)
_REWRITE_STAY = (
    "UPDATE participants SET user_id = iif(user_id IS NULL, NULL, :name), "
    "guest_name = iif(guest_name IS NULL, NULL, :name), display_name = :name, state = '{}', metadata = NULL, "
    "address_key = NULL, resume_hash = '', previous_hash = NULL WHERE room_id = :room AND id = :id"
)
_REWRITE_EVENT = """
    UPDATE events SET body = CASE
        WHEN json_type(body, '$.participant') IS NOT NULL THEN json_remove(json_replace(body,
            '$.participant.displayName', :name, '$.participant.state', json('{}'),
            iif(body ->> '$.participant.userId' IS NULL, '$.participant.guestName', '$.participant.userId'), :name),
            '$.participant.metadata')
        WHEN json_type(body, '$.ban') IS NOT NULL THEN json_replace(body, '$.ban.displayName', :name,
            '$.ban.reason', NULL, iif(body ->> '$.ban.userId' IS NULL, '$.ban.none', '$.ban.userId'), :name)
        ELSE json_replace(body, '$.room.hostId', :name) END
    WHERE position = :position
"""


class StoredPeople:
    """What an open database has about people. It implements `forgetting.PersonalRows`."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store

    async def open_places(self, person: Person) -> tuple[list[str], list[str]]:
        """Return the codes of rooms in which somebody has a place, and of those that go on and that they host.

        Raises `StorageFailed`.
        """
        condition = _STAYS[person.kind]

        def read(db: sqlite3.Connection) -> tuple[list[str], list[str]]:
            sql = f"SELECT DISTINCT room_id FROM participants INDEXED BY seats WHERE left_at IS NULL AND {condition}"  # noqa: S608
            places = [_code(db, room_id) for (room_id,) in db.execute(sql, (person.id,))]
            hosted = db.execute("SELECT code FROM rooms WHERE host_id = ? AND is_active", (person.id,)).fetchall()
            return places, [code for (code,) in hosted if person.kind == "user"]

        return await self._store.read(read)

    async def pseudonym(self, person: Person) -> str:
        """Return the pseudonym, which is kept until `finish`.

        Raises `StorageFailed`.
        """
        new = f"forgotten-{secrets.token_hex(6)}"

        def write(db: sqlite3.Connection) -> str:
            db.execute("INSERT OR IGNORE INTO secrets VALUES (?, ?)", (_name(person), new.encode()))
            ((kept,),) = db.execute("SELECT value FROM secrets WHERE name = ?", (_name(person),)).fetchall()
            return str(kept.decode())

        return await self._store.write(write)

    async def hosted(self, user_id: str) -> list[str]:
        """Return the codes of rooms of a host.

        Raises `StorageFailed`.
        """
        sql = "SELECT code FROM rooms WHERE host_id = ? AND NOT is_deleted"
        return await self._store.read(lambda db: [code for (code,) in db.execute(sql, (user_id,))])

    async def bans(self, person: Person) -> list[InRoom]:
        """Return the bans of a user; of a guest those of their address under their name, in the room of the stay.

        Raises `StorageFailed`.
        """
        sql = f"SELECT room_id, id FROM bans WHERE {_BANS[person.kind]}"  # noqa: S608 - our own names
        return await self._store.read(
            lambda db: [InRoom(_code(db, room_id), ban_id) for room_id, ban_id in db.execute(sql, (person.id,))]
        )

    def stays(self, person: Person) -> AsyncIterator[list[Key]]:
        """Walk through the stays of somebody: the ids of the rooms and of the participants.

        Raises `StorageFailed`.
        """
        return self._walk("participants", "room_id, id", _STAYS[person.kind], (person.id,))

    async def messages(self, person: Person) -> AsyncIterator[list[InRoom]]:
        """Walk through the messages that somebody sent, or got privately.

        Raises `StorageFailed`.
        """
        async for found in self._walk("messages", "room_id, id", _MESSAGES[person.kind], (person.id, person.id)):
            some = found
            yield await self._store.read(lambda db: [InRoom(_code(db, room), key) for room, key in some])  # noqa: B023

    async def rewrite_stays(self, stays: Sequence[Key], pseudonym: str) -> None:
        """Rewrite stays in one transaction.

        Raises `StorageFailed`.
        """
        rows = [{"name": pseudonym, "room": room_id, "id": key} for room_id, key in stays]
        await self._store.write(lambda db: db.executemany(_REWRITE_STAY, rows).rowcount)

    async def rewrite_events(
        self, person: Person, bans: Collection[str], stays: set[str], messages: set[str], pseudonym: str | None
    ) -> AsyncIterator[int]:
        """Walk through the log twice: rewrite the events about somebody, and delete those with their messages.

        Yields the numbers of them. `stays` gets the ids of stays that are in the log alone. Without a `pseudonym` they
        are only counted. Raises `StorageFailed`.
        """
        about = (person.id,) * 3 if person.kind == "user" else (person.id, _json(bans))
        async for found in self._walk("events", "position", _EVENTS[person.kind], about):
            stays |= await self._participants(found, person)
            if pseudonym is not None:
                rows = [{"name": pseudonym, "position": position} for (position,) in found]
                await self._store.write(lambda db: db.executemany(_REWRITE_EVENT, rows).rowcount)  # noqa: B023
            yield len(found)
        async for found in self._walk("events", "position", _SENT, (_json(stays), _json(messages))):
            if pseudonym is not None:
                some = found
                await self._store.write(
                    lambda db: db.executemany("DELETE FROM events WHERE position = ?", some).rowcount  # noqa: B023
                )
            yield len(found)

    async def finish(self, person: Person) -> bool:
        """Forget the pseudonym, and write the write-ahead log into the file. Return whether the log is empty then.

        Raises `StorageFailed`.
        """
        await self._store.write(lambda db: _end(db, person))
        for _ in range(CHECKPOINTS):
            if await self._store.maintain(_checkpoint):
                return True
            await asyncio.sleep(CHECKPOINT_PAUSE)
        return False

    async def _participants(self, positions: Sequence[Key], person: Person) -> set[str]:
        sql = (
            "SELECT body ->> '$.participant.id' FROM events WHERE position IN (SELECT value FROM json_each(?)) "
            "AND body ->> '$.participant.userId' IS ?"
        )
        values = _json([position for (position,) in positions]), person.user_id
        return await self._store.read(lambda db: {key for (key,) in db.execute(sql, values) if key is not None})

    async def _walk(self, table: str, key: str, where: str, values: Sequence[Any]) -> AsyncIterator[list[Key]]:
        cursor: Key | None = None
        is_first = True
        while is_first or cursor is not None:
            start, is_first = cursor, False
            found, cursor = await self._store.read(lambda db: step(db, table, key, start, where, values))  # noqa: B023
            if found:
                yield found


def _name(person: Person) -> str:
    """Return the name under which the pseudonym is kept among the secrets."""
    return f"pseudonym of {person.kind} {person.id}"


def _code(db: sqlite3.Connection, room_id: str) -> str:
    ((code,),) = db.execute("SELECT code FROM rooms WHERE id = ?", (room_id,)).fetchall()
    return str(code)


def _json(values: Collection[str] | Collection[int]) -> str:
    return msgspec.json.encode(list(values)).decode()


def _end(db: sqlite3.Connection, person: Person) -> None:
    db.execute("DELETE FROM secrets WHERE name = ?", (_name(person),))
    if db.execute("SELECT 1 FROM sqlite_schema WHERE name = 'sqlite_stat4'").fetchone():  # it has samples of keys
        db.execute("DELETE FROM sqlite_stat4")


def _checkpoint(db: sqlite3.Connection) -> bool:
    """Write the write-ahead log into the file and empty it. Return False while a reader of another program needs it."""
    ((timeout,),) = db.execute("PRAGMA busy_timeout").fetchall()
    db.execute("PRAGMA busy_timeout = 0")  # joins do not wait for the other program
    try:
        ((is_busy, _, _),) = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    finally:
        db.execute(f"PRAGMA busy_timeout = {timeout}")
    return not is_busy
