"""What is stored about people, for `engine/forgetting.py`: found by walks through the tables, and rewritten.

Events are looked at in Python: PostgreSQL cannot read JSON with an escaped U+0000, which a text of people may have.
"""

import secrets
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from typing import Any

import msgspec

from roomd.engine.forgetting import InRoom, Person
from roomd.engine.retention import MOST_ROWS
from roomd.storage.postgresql.store import PostgresqlStore
from roomd.storage.postgresql.walking import step
from roomd.storage.walking import Key

_STAYS = {"user": "user_id = $3", "guest": "user_id IS NULL AND id = $3"}
_MESSAGES = {
    "user": "(user_id = $3 OR to_user_id = $3)",
    "guest": "(user_id IS NULL AND participant_id = $3 OR to_user_id IS NULL AND to_id = $3)",
}
_BANS = {
    "user": "bans.user_id = $1",
    "guest": (
        "EXISTS (SELECT 1 FROM participants AS one WHERE one.room_id = bans.room_id AND one.id = $1 "
        "AND one.address_key = bans.address_key AND one.display_name = bans.display_name)"
    ),
}
_PLACES = {"user": "user_id = $1", "guest": "user_id IS NULL AND id = $1"}
_REWRITE_STAYS = """
    UPDATE participants SET user_id = CASE WHEN user_id IS NOT NULL THEN $3 END,
        guest_name = CASE WHEN guest_name IS NOT NULL THEN $3 END, display_name = $3, state = '{}', metadata = NULL,
        address_key = NULL, resume_hash = '', previous_hash = NULL
    FROM unnest($1::text[], $2::text[]) AS one (room_id, id)
    WHERE participants.room_id = one.room_id AND participants.id = one.id
"""
_REWRITE_EVENTS = """
    UPDATE events SET body = one.body FROM unnest($1::bigint[], $2::text[]) AS one (position, body)
    WHERE events.position = one.position
"""
_Body = dict[str, Any]


class StoredPeople:
    """What an open database has about people. It implements `forgetting.PersonalRows`."""

    def __init__(self, store: PostgresqlStore) -> None:
        self._store = store

    async def open_places(self, person: Person) -> tuple[list[str], list[str]]:
        """Return the codes of rooms in which somebody has a place, and of those that go on and that they host.

        Raises `StorageFailed`.
        """
        seats = f"SELECT room_id FROM participants WHERE left_at IS NULL AND {_PLACES[person.kind]}"
        places = f"SELECT code FROM rooms WHERE id IN ({seats}) ORDER BY id"
        hosted = "SELECT code FROM rooms WHERE host_id = $1 AND is_active AND $2"
        return (
            [code for (code,) in await self._store.fetch(places, person.id)],
            [code for (code,) in await self._store.fetch(hosted, person.id, person.kind == "user")],
        )

    async def pseudonym(self, person: Person) -> str:
        """Return the pseudonym, which is kept until `finish`.

        Raises `StorageFailed`.
        """
        new = f"forgotten-{secrets.token_hex(6)}"
        sql = (
            "INSERT INTO secrets VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = secrets.value RETURNING value"
        )
        ((kept,),) = await self._store.fetch(sql, _name(person), new.encode())
        return str(kept.decode())

    async def hosted(self, user_id: str) -> list[str]:
        """Return the codes of rooms of a host.

        Raises `StorageFailed`.
        """
        sql = "SELECT code FROM rooms WHERE host_id = $1 AND NOT is_deleted"
        return [code for (code,) in await self._store.fetch(sql, user_id)]

    async def bans(self, person: Person) -> list[InRoom]:
        """Return the bans of a user; of a guest those of their address under their name, in the room of the stay.

        Raises `StorageFailed`.
        """
        sql = f"SELECT rooms.code, bans.id FROM bans JOIN rooms ON rooms.id = bans.room_id WHERE {_BANS[person.kind]}"
        return [InRoom(*row) for row in await self._store.fetch(sql, person.id)]

    def stays(self, person: Person) -> AsyncIterator[list[Key]]:
        """Walk through the stays of somebody: the ids of the rooms and of the participants.

        Raises `StorageFailed`.
        """
        return self._walk("participants", "room_id, id", _STAYS[person.kind], person.id)

    async def messages(self, person: Person) -> AsyncIterator[list[InRoom]]:
        """Walk through the messages that somebody sent, or got privately.

        Raises `StorageFailed`.
        """
        sql = "SELECT id, code FROM rooms WHERE id = ANY($1::text[])"
        async for found in self._walk("messages", "room_id, id", _MESSAGES[person.kind], person.id):
            codes = {row[0]: row[1] for row in await self._store.fetch(sql, [room_id for room_id, _ in found])}
            yield [InRoom(codes[room_id], key) for room_id, key in found]

    async def rewrite_stays(self, stays: Sequence[Key], pseudonym: str) -> None:
        """Rewrite some stays in one transaction.

        Raises `StorageFailed`.
        """
        if stays:
            await self._store.fetch(_REWRITE_STAYS, *zip(*stays, strict=True), pseudonym)

    async def rewrite_events(
        self, person: Person, bans: Collection[str], stays: set[str], messages: set[str], pseudonym: str | None
    ) -> AsyncIterator[int]:
        """Walk through the log: rewrite the events about somebody, delete those with their messages, yield how many.

        The log may have stays of theirs whose rows are deleted: they are added to `stays`. Without a `pseudonym` they
        are only counted. Raises `StorageFailed`.
        """
        async for found in self._events(lambda body: _is_about(body, person, bans)):
            stays |= {
                body["participant"]["id"]
                for _, body in found
                if "participant" in body and body["participant"].get("userId") == person.user_id
            }
            if pseudonym is not None:
                rows = [(position, _rewritten(body, pseudonym)) for position, body in found]
                await self._store.fetch(_REWRITE_EVENTS, *zip(*rows, strict=True))
            yield len(found)
        async for found in self._events(lambda body: _is_of_message(body, stays, messages)):
            if pseudonym is not None:
                positions = [position for position, _ in found]
                await self._store.fetch("DELETE FROM events WHERE position = ANY($1::bigint[])", positions)
            yield len(found)

    async def finish(self, person: Person) -> bool:
        """Forget the pseudonym. Return True: what the server's own log still has is up to its operator.

        Raises `StorageFailed`.
        """
        await self._store.fetch("DELETE FROM secrets WHERE name = $1", _name(person))
        return True

    async def _events(self, is_wanted: Callable[[_Body], bool]) -> AsyncIterator[list[tuple[int, _Body]]]:
        """Walk through the log: yield the events that are wanted, with their positions, `MOST_ROWS` at most."""
        async for rows in self._walk("events", "position", "true", columns="position, body"):
            found = [(row[0], body) for row in rows if is_wanted(body := msgspec.json.decode(row[1]))]
            for start in range(0, len(found), MOST_ROWS):
                yield found[start : start + MOST_ROWS]

    async def _walk(
        self, table: str, key: str, where: str, *values: Any, columns: str = ""
    ) -> AsyncIterator[list[Key]]:
        cursor: Key | None = None
        is_first = True
        while is_first or cursor is not None:
            is_first = False
            async with self._store.reading() as db:
                found, cursor = await step(db, table, key, cursor, where, *values, columns=columns)
            if found:
                yield found


def _name(person: Person) -> str:
    """Return the name under which the pseudonym is kept among the secrets."""
    return f"pseudonym of {person.kind} {person.id}"


def _is_about(body: _Body, person: Person, bans: Collection[str]) -> bool:
    one, ban = body.get("participant"), body.get("ban")
    if person.kind == "guest":
        is_theirs = one is not None and one["id"] == person.id and one.get("userId") is None
        return is_theirs or (ban is not None and ban["id"] in bans)
    ids = (one and one.get("userId"), ban and ban.get("userId"), body["room"].get("hostId"))
    return person.id in ids


def _is_of_message(body: _Body, stays: Collection[str], messages: Collection[str]) -> bool:
    message = body.get("message")
    return message is not None and (message.get("participantId") in stays or message["id"] in messages)


def _rewritten(body: _Body, pseudonym: str) -> str:
    """Return the event with the pseudonym in place of who it is about."""
    if (one := body.get("participant")) is not None:
        one["displayName"], one["state"] = pseudonym, {}
        one["userId" if one.get("userId") is not None else "guestName"] = pseudonym
        one.pop("metadata", None)
    elif (ban := body.get("ban")) is not None:
        ban["displayName"], ban["reason"] = pseudonym, None
        if ban.get("userId") is not None:
            ban["userId"] = pseudonym
    else:
        body["room"]["hostId"] = pseudonym
    return msgspec.json.encode(body).decode()
