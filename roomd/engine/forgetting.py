"""Forget somebody: delete or rewrite everything that is stored about them, a little at a time.

What a room has in memory is changed by a command of the room, the rest by the store. Messages are deleted before the
stays are rewritten, so that after an interruption `roomd check` finds nothing wrong. A call that is made again goes on
with the same pseudonym.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from typing import Any, Literal, NamedTuple, Protocol

import msgspec

from roomd.engine.retention import MOST_ROWS, PAUSE, Commands
from roomd.protocol.errors import ROOM_NOT_FOUND, Refused
from roomd.rooms.commands import Forget

log = logging.getLogger("roomd.engine.forgetting")

Key = tuple[Any, ...]
"""The values of the primary key of a row."""


class Person(NamedTuple):
    """Whom to forget: a user, or the guest of one stay."""

    kind: Literal["user", "guest"]
    """Which of them."""
    id: str
    """The user id, or the participant id of the guest."""

    @property
    def user_id(self) -> str | None:
        """The user id; None for a guest."""
        return self.id if self.kind == "user" else None


class InRoom(NamedTuple):
    """A message or a ban of a room."""

    code: str
    """The code of the room."""
    id: str
    """Its id."""


class Forgotten(msgspec.Struct, frozen=True):
    """How much was forgotten, or would be."""

    pseudonym: str | None
    """What stands in place of the user id and the names; None when there was nothing to forget, and for a try."""
    stays: int
    """The stays that were rewritten."""
    messages: int
    """The messages, sent and private ones received, that were deleted."""
    bans: int
    """The bans that were deleted."""
    rooms: int
    """The ended rooms of a host that were rewritten."""
    events: int
    """The log events that were rewritten or, with the text of a message, deleted."""
    is_wiped: bool
    """Whether nothing of it is left in the write-ahead log."""


class IsThere(Exception):  # noqa: N818 - a state, not a mistake
    """Somebody cannot be forgotten now: they sit or wait in a room, or host one. The text says what to do."""


class PersonalRows(Protocol):
    """What is stored about people. Every method may raise `StorageFailed`. A walk gives a few at a time."""

    async def open_places(self, person: Person) -> tuple[list[str], list[str]]:
        """Return the codes of rooms in which somebody has a place, and of those that go on and that they host."""
        ...

    async def pseudonym(self, person: Person) -> str:
        """Return the pseudonym, which is kept until `finish`."""
        ...

    async def hosted(self, user_id: str) -> list[str]:
        """Return the codes of rooms of a host."""
        ...

    async def bans(self, person: Person) -> Sequence[InRoom]:
        """Return the bans of a user; of a guest those of their address under their name, in the room of the stay."""
        ...

    def stays(self, person: Person) -> AsyncIterator[list[Key]]:
        """Walk through the stays of somebody: the ids of the rooms and of the participants."""
        ...

    def messages(self, person: Person) -> AsyncIterator[list[InRoom]]:
        """Walk through the messages that somebody sent, or got privately."""
        ...

    async def rewrite_stays(self, stays: Sequence[Key], pseudonym: str) -> None:
        """Rewrite some stays."""

    def rewrite_events(
        self, person: Person, bans: Collection[str], stays: set[str], messages: set[str], pseudonym: str | None
    ) -> AsyncIterator[int]:
        """Walk through the log: rewrite the events about somebody, delete those with their messages, yield how many.

        `bans`, `stays` and `messages` are the ids of theirs. Without a `pseudonym` they are only counted.
        """
        ...

    async def finish(self, person: Person) -> bool:
        """Forget the pseudonym, and write the log into the file. Return whether nothing is left in the log."""
        ...


class Forgetter:
    """Forgets people. `events_changed` is called when events were rewritten that a reader may have in memory."""

    def __init__(self, rows: PersonalRows, rooms: Commands, events_changed: Callable[[], Awaitable[None]]) -> None:
        self._rows = rows
        self._rooms = rooms
        self._events_changed = events_changed
        self._lock = asyncio.Lock()

    async def forget(self, person: Person, *, is_try: bool) -> Forgotten:
        """Forget somebody, or with `is_try` only count what would be forgotten.

        Raises `IsThere`, `StorageFailed`, and `Refused` (503 `unavailable`). After a failure, call it again.
        """
        async with self._lock:
            await self._check_absence(person)
            rows = self._rows
            pseudonym = None if is_try else await rows.pseudonym(person)
            stays = [key async for some in rows.stays(person) for key in some]
            bans = await rows.bans(person)
            hosted = await rows.hosted(person.user_id) if person.user_id is not None else []
            if pseudonym is not None:
                for ban in bans:
                    await self._ask(ban.code, Forget(bans=frozenset([ban.id])))
                for code in hosted:
                    await self._ask(code, Forget(host_id=person.user_id, pseudonym=pseudonym))
            messages: set[str] = set()
            async for found in rows.messages(person):
                messages.update(message.id for message in found)
                if pseudonym is not None:
                    await self._delete_messages(found)
            ids = {participant_id for _, participant_id in stays}
            events = 0
            async for count in rows.rewrite_events(person, [ban.id for ban in bans], ids, messages, pseudonym):
                events += count
                await asyncio.sleep(PAUSE)
            is_wiped = True
            if pseudonym is not None:
                await self._events_changed()
                for start in range(0, len(stays), MOST_ROWS):
                    await rows.rewrite_stays(stays[start : start + MOST_ROWS], pseudonym)
                    await asyncio.sleep(PAUSE)
                is_wiped = await rows.finish(person)
            counts = len(stays), len(messages), len(bans), len(hosted), events
            done = Forgotten(pseudonym if any(counts) else None, *counts, is_wiped)
            log.info("forgotten" if pseudonym is not None else "would be forgotten", msgspec.structs.asdict(done))
            return done

    async def _check_absence(self, person: Person) -> None:
        seats, hosted = await self._rows.open_places(person)
        if seats:
            raise IsThere(
                f"has a seat, or waits, in {', '.join(seats)}: remove them with `roomd room remove`, or wait until "
                "they have left, and try again"
            )
        if hosted:
            raise IsThere(
                f"hosts {', '.join(hosted)}: end the room with `roomd room end`, or hand it over with `roomd room "
                "update --host-id`, and try again"
            )

    async def _delete_messages(self, some: Sequence[InRoom]) -> None:
        by_room: dict[str, list[str]] = defaultdict(list)
        for code, message_id in some:
            by_room[code].append(message_id)
        for code, ids in by_room.items():
            await self._ask(code, Forget(messages=frozenset(ids)))
            await asyncio.sleep(PAUSE)

    async def _ask(self, code: str, command: Forget) -> None:
        try:
            await self._rooms.ask(code, command)
        except Refused as refused:
            if refused.kind is not ROOM_NOT_FOUND:  # it was deleted meanwhile
                raise
