"""Steerable stand-ins for what the hub and the connections need of the outside; see members.py for clients."""

import asyncio
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from roomd.auth.tokens import Key
from roomd.engine.ports import AlreadySent, ExternalIdTaken, StorageFailed
from roomd.protocol.errors import UNAVAILABLE, Refused
from roomd.protocol.log_events import LogEvent
from roomd.protocol.objects import Ban, Message, Participant, Room
from roomd.protocol.paging import page
from roomd.protocol.timestamps import stamp
from roomd.rooms.answers import Reader
from roomd.rooms.changes import (
    Banned,
    Change,
    MessagesDeleted,
    MessageSent,
    RoomChanged,
    RoomDeleted,
    RoomEmptied,
    SeatChanged,
    Unbanned,
)
from roomd.rooms.event_log import dropped_at_start
from roomd.rooms.lifetime import ends_at
from roomd.rooms.model import PastStay, PersonKey, Seat, StoredRoom
from roomd.rooms.room import MESSAGES_SHOWN, MOST_SENT
from tests.support.fake_log import FakeLog

SECRET = b"a secret for tests only, 32 bytes and more"

START = 1_772_534_100.0
"""2026-03-03T10:35:00.000Z"""


class FakeTimer:
    """A call that a fake clock makes when it gets there."""

    def __init__(self, due: float, function: Callable[[], None]) -> None:
        self.due = due
        self.function = function
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class FakeClock:
    """A clock that moves when told to, and then calls what is due."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.wall_offset = 0.0
        """Seconds by which the wall clock was set forward."""
        self.timers: list[FakeTimer] = []

    def wall(self) -> float:
        return START + self.seconds + self.wall_offset

    def monotonic(self) -> float:
        return self.seconds

    def call_later(self, delay: float, function: Callable[[], None]) -> FakeTimer:
        timer = FakeTimer(self.seconds + delay, function)
        self.timers.append(timer)
        return timer

    def advance(self, seconds: float) -> None:
        self.seconds += seconds
        due = [timer for timer in self.timers if timer.due <= self.seconds]
        self.timers = [timer for timer in self.timers if timer.due > self.seconds]
        for timer in due:
            if not timer.cancelled:
                timer.function()

    def stamp(self) -> str:
        return stamp(self.wall())


class FakeStore:
    """Keeps rooms and seats in memory; the same contract as the real store (tests/storage runs both).

    `hold` makes appends wait at a gate, `failing` makes everything fail, `fails_once` the next append.
    """

    def __init__(self) -> None:
        self.rooms: dict[str, Room] = {}
        self.people: dict[tuple[str, str], Seat] = {}
        self.said: dict[str, list[MessageSent]] = {}
        self.deleted: dict[str, MessagesDeleted] = {}
        self.bans: dict[tuple[str, str], tuple[PersonKey, Ban]] = {}
        self.log = FakeLog()
        self.empty: dict[str, str | None] = {}
        self.appends = 0
        self.failing = False
        self.fails_once = False
        self.nearly_full = False
        self.used: dict[str, float] = {}
        self.broken: Exception | None = None
        self.reached = asyncio.Event()
        self._gate = asyncio.Event()
        self._gate.set()

    def hold(self) -> None:
        """Stop appends from now on; `reached` is set when one waits."""
        self.reached.clear()
        self._gate.clear()

    def let_go(self) -> None:
        """Let the appends that wait go on."""
        self._gate.set()

    async def append(self, room_id: str, changes: Sequence[Change], events: Sequence[LogEvent] = ()) -> None:
        self.appends += 1
        self.reached.set()
        for _ in range(3):
            await asyncio.sleep(0)  # places to be cut at, even with the gate open
        await self._gate.wait()
        if self.broken is not None:
            raise self.broken
        stored = set(map(_sent_id, self.said.get(room_id, [])))
        sent = [_sent_id(event) for event in changes if isinstance(event, MessageSent)]
        if again := [(sender, client_id) for sender, client_id in sent if client_id and (sender, client_id) in stored]:
            raise AlreadySent(again)
        if self.failing or self.fails_once:
            self.fails_once = False
            raise StorageFailed
        self.log.add(room_id, events)
        for event in changes:
            if isinstance(event, RoomChanged):
                if any(
                    r.id != room_id and r.external_id == event.room.external_id is not None for r in self.rooms.values()
                ):
                    raise ExternalIdTaken
                if any(r.code == event.room.code and r.id != event.room.id for r in self.rooms.values()):
                    raise StorageFailed
                self.rooms[event.room.id] = msgspec.structs.replace(event.room, participant_count=0)
            elif isinstance(event, SeatChanged):
                person = event.seat.participant
                self.people[person.room_id, person.id] = event.seat
                if event.seat.waits_for and person.left_at:
                    del self.people[person.room_id, person.id]
            elif isinstance(event, MessageSent):
                self.said.setdefault(room_id, []).append(event)
            elif isinstance(event, MessagesDeleted):
                self.said[room_id] = [one for one in self.said[room_id] if one.message.id > event.through]
                self.deleted[room_id] = event
            elif isinstance(event, Banned):
                self.bans[room_id, event.ban.id] = (event.who, event.ban)
            elif isinstance(event, Unbanned):
                del self.bans[room_id, event.ban_id]
            elif isinstance(event, RoomEmptied):
                self.empty[room_id] = event.since
            elif isinstance(event, RoomDeleted):
                del self.rooms[room_id]
                self.said.pop(room_id, None)
                self.people = {key: seat for key, seat in self.people.items() if key[0] != room_id}
                self.bans = {key: ban for key, ban in self.bans.items() if key[0] != room_id}

    def is_failing(self) -> bool:
        return self.failing

    def is_nearly_full(self) -> bool:
        return self.nearly_full

    async def load(self, code: str) -> StoredRoom | None:
        if self.failing:
            raise StorageFailed
        room = next((r for r in self.rooms.values() if r.code == code), None)
        return self._kept(room) if room is not None else None

    async def hold_seats(self, restarted_at: str, *, log_events: bool = False) -> list[StoredRoom]:
        found: dict[str, list[Seat]] = {}
        order = sorted(
            self.people.items(),
            key=lambda item: ("" if item[1].waits_for else item[1].since, item[0][1]),
        )
        for key, seat in order:
            if seat.participant.left_at is None:
                if log_events and seat.participant.is_active and not seat.waits_for:
                    drop = dropped_at_start(self.rooms[key[0]], seat.participant, restarted_at)
                    self.log.add(key[0], [drop])
                participant = msgspec.structs.replace(seat.participant, is_active=False)
                self.people[key] = msgspec.structs.replace(
                    seat,
                    participant=participant,
                    claim=None,
                    dropped_at=seat.dropped_at or restarted_at,
                    held_until=0.0,
                    connection=None,
                    address_key=seat.address_key if participant.user_id is None else None,
                    here_since=-math.inf,
                )
                found.setdefault(key[0], []).append(self.people[key])
        return [self._kept(self.rooms[room_id], seats) for room_id, seats in found.items()]

    def _kept(self, room: Room, seats: Sequence[Seat] = ()) -> StoredRoom:
        bans = [ban for (room_id, _), ban in sorted(self.bans.items()) if room_id == room.id]
        public = [event.message for event in self.said.get(room.id, []) if event.message.to is None]
        ids = [key for room_id, key in self.people if room_id == room.id]
        ids += [event.message.id for event in self.said.get(room.id, [])]
        last = map(_sent_id, self.said.get(room.id, [])[-MOST_SENT:])
        sent = [(sender, client_id) for sender, client_id in last if client_id is not None] if seats else ()
        deleted = self.deleted.get(room.id, MessagesDeleted("", 0))
        ids.append(deleted.through)
        total = next((event.total_bytes for event in reversed(self.said.get(room.id, []))), deleted.total_bytes)
        empty = self.empty.get(room.id)
        return StoredRoom(
            room, seats, bans, public[-MESSAGES_SHOWN:], max(ids), sent, total, deleted.total_bytes, empty
        )

    async def last_room_id(self) -> str:
        if self.failing:
            raise StorageFailed
        return max(self.rooms, default="")

    async def next_ends(self, limit: int) -> list[tuple[str, str]]:
        if self.failing:
            raise StorageFailed
        ends = [(ends_at(room, self.empty.get(room.id)), room.code) for room in self.rooms.values()]
        return sorted((at, code) for at, code in ends if at is not None)[:limit]

    async def messages(self, reader: Reader, cursor: str | None, limit: int) -> tuple[list[Message], str | None, int]:
        if self.failing:
            raise StorageFailed
        found = [
            event.message
            for event in self.said.get(reader.room_id, [])
            if event.message.id > max(cursor or "", reader.after)
            and ((reader.sees_public and event.message.to is None) or _concerns(event, reader))
        ]
        messages, following = page(found, limit)
        return messages, following, len(self.said.get(reader.room_id, []))

    async def rooms_of(
        self,
        host_id: str | None,
        is_active: bool | None,
        cursor: str | None,
        limit: int,
        external_id: str | None = None,
    ) -> tuple[list[Room], str | None]:
        if self.broken is not None:
            raise self.broken
        if self.failing:
            raise StorageFailed
        found = [
            room
            for room in sorted(self.rooms.values(), key=lambda r: r.id, reverse=True)
            if host_id in (None, room.host_id)
            and is_active in (None, room.is_active)
            and external_id in (None, room.external_id)
            and (cursor is None or room.id < cursor)
        ]
        return page(found, limit)

    async def history(self, room_id: str, cursor: str | None, limit: int) -> tuple[list[Participant], str | None]:
        found = [
            seat.participant
            for (room, key), seat in sorted(self.people.items(), key=lambda item: item[0][1])
            if room == room_id and key > (cursor or "") and seat.waits_for is None and not seat.participant.is_hidden
        ]
        return page(found, limit)

    async def use_ticket(self, key: str, valid_until: float, now: float) -> bool:
        if self.failing:
            raise StorageFailed
        self.used = {known: until for known, until in self.used.items() if until >= now}
        is_new = key not in self.used
        self.used.setdefault(key, valid_until)
        return is_new

    async def past_stay(self, code: str, participant_id: str) -> PastStay | None:
        for (room_id, key), seat in self.people.items():
            if (self.rooms[room_id].code, key, seat.waits_for) == (code, participant_id, None):
                return PastStay(seat.participant, seat.address_key if seat.participant.user_id is None else None)
        return None

    async def close(self) -> None:
        pass


def _sent_id(event: MessageSent) -> tuple[str, str | None]:
    """Return what a message has in common with one that is sent again, if it has a client id."""
    return event.message.participant_id or "", event.message.client_id


def _concerns(event: MessageSent, reader: Reader) -> bool:
    """Whether a private message is to or from a reader, by this participant or by an earlier one of the same user."""
    mine = {reader.participant_id, reader.user_id} - {None}
    return bool(mine & {event.message.participant_id, event.message.to, event.user_id, event.to_user_id})


class FakeTransport:
    """Collects what is written; `unread` is what an outbox sees as waiting."""

    def __init__(self) -> None:
        self.written = b""
        self.unread = 0

    def write(self, data: bytes, /) -> None:
        self.written += data

    def writelines(self, list_of_data: Iterable[bytes], /) -> None:
        self.written += b"".join(list_of_data)

    def get_write_buffer_size(self) -> int:
        return self.unread

    def frames(self) -> list[Any]:
        """Take the frames written since the last call, decoded."""
        data, self.written = self.written, b""
        found = []
        while data:
            assert data[0] == 0x81, "an unfragmented text frame"
            size, start = data[1], 2
            if size == 126:
                size, start = int.from_bytes(data[2:4], "big"), 4
            elif size == 127:
                size, start = int.from_bytes(data[2:10], "big"), 10
            found.append(msgspec.json.decode(data[start : start + size]))
            data = data[start + size :]
        return found


class FakeState:
    """A connection that is open until told otherwise."""

    def __init__(self) -> None:
        self.is_open = True
        self.is_full = False
        self.bytes_written = 0
        self.holds = 0
        """How often it was to wait until everything was sent."""
        self.held = 0.0
        """The seconds for which nothing was to be read."""

    def hold_until_drained(self) -> None:
        self.holds += 1

    def hold_reading(self, seconds: float) -> None:
        self.held += seconds


class FakeKeys:
    """One secret for every token, or nothing to check them with. Keys that are not `at_hand` must be fetched first."""

    def __init__(self) -> None:
        self.at_hand = True
        self.unavailable = False
        self.broken: Exception | None = None

    def keys_at_hand(self, token: str) -> Sequence[Key] | None:
        return self._keys() if self.at_hand else None

    async def keys_for(self, token: str) -> Sequence[Key]:
        await asyncio.sleep(0)
        return self._keys()

    def _keys(self) -> Sequence[Key]:
        if self.broken is not None:
            raise self.broken
        if self.unavailable:
            raise Refused(UNAVAILABLE, retry_after=5)
        return [Key(SECRET, "HS256")]

    async def close(self) -> None:
        pass
