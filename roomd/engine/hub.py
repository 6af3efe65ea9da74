"""The rooms in memory. Every change of a room is a batch of its live room.

Flat combining: the first command to wait starts the next batch; whatever arrives while the batch before it commits is
served by it too. So batches grow as load does, without a timer and without delay when idle. A batch is a task of the
hub: cancelling a client cancels nothing that others wait for.

Answers are written inside the batch, before its events and before the room's next batch. So a client that has
`room-state` at `seq` n has missed nothing and gets every later event once.
"""

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

import msgspec

from roomd.engine.broadcast import Entry
from roomd.engine.live_room import LiveRoom, Outside, Pending
from roomd.engine.ports import RETRY_AFTER, Asker, Clock, Encode, Ids, Member, StorageFailed, Store
from roomd.protocol.errors import PARTICIPANT_NOT_FOUND, RATE_LIMITED, UNAVAILABLE, Refused
from roomd.protocol.events import Event
from roomd.protocol.objects import Participant
from roomd.protocol.objects import Room as RoomView
from roomd.protocol.timestamps import stamp
from roomd.rooms.changes import RoomChanged
from roomd.rooms.commands import Drop, Expire, Leave, SeatCommand
from roomd.rooms.model import StoredRoom
from roomd.rooms.room import Command
from roomd.rooms.settings import Rules, Settings, open_room

A = TypeVar("A")

MOST_IDLE = 1000
"""Rooms that stay in memory though nobody is in them, a few KiB each."""


class Hub:
    """Every live room. A room is live while somebody has a seat in it or waits for one, or a command waits.

    Offers `ports.Rooms`.
    """

    def __init__(self, store: Store, rules: Rules, clock: Clock, ids: Ids, encode: Encode) -> None:
        self._outside = Outside(store, rules, clock, ids, encode)
        self._rooms: dict[str, LiveRoom] = {}
        self._idle: dict[str, None] = {}  # codes of rooms with nobody in them, the longest idle first
        self._tasks: set[asyncio.Task[None]] = set()
        self.is_draining = False
        """Whether the server is about to stop: no more requests are taken."""

    async def open(self) -> None:
        """Adopt every room that somebody has a seat in, each seat held anew.

        Raises `StorageFailed`.
        """
        outside = self._outside
        for stored in await outside.store.hold_seats(stamp(outside.clock.wall())):
            self._adopt(stored)

    async def drain(self) -> None:
        """Stop the timers and finish the batches that were begun; drops are still taken.

        What cannot be kept now is mended by the next start, which holds every seat anew.
        """
        self.is_draining = True
        for live in self._rooms.values():
            live.stop_timer()
        while self._tasks:
            await asyncio.wait(self._tasks)

    def statistics(self) -> dict[str, int]:
        """Count live rooms and their members."""
        return {
            "rooms": len(self._rooms) - len(self._idle),
            "listeners": sum(len(live.broadcast.members) for live in self._rooms.values()),
        }

    async def create(self, settings: Settings, host_id: str) -> RoomView:
        """Make a room and keep it.

        Raises `Refused` (400 `invalid_settings`, 503 `unavailable`).
        """
        outside = self._outside
        wall = outside.clock.wall()
        view = open_room(
            settings,
            outside.rules,
            room_id=outside.ids.new_id(wall),
            code=outside.ids.new_code(),
            host_id=host_id,
            created_at=stamp(wall),
        )
        try:
            await outside.store.append(view.id, [RoomChanged(view)])
        except StorageFailed:
            raise Refused(UNAVAILABLE, retry_after=RETRY_AFTER) from None
        return view

    def submit(self, code: str, command: Command[A], asker: Asker[A]) -> asyncio.Future[None]:
        """Put a command before the room `code`; the future is done when the asker has been told."""
        return self._submit(self._live(code), command, asker)

    async def ask(self, code: str, command: Command[A]) -> A:
        """Put a command before the room `code` and return the answer.

        Raises `Refused`.
        """
        answer: _Answer[A] = _Answer()
        await self.submit(code, command, answer)
        return answer.get()

    def take_seat(self, code: str, command: SeatCommand, member: Member) -> asyncio.Future[None]:
        """Put a join or a resume before the room `code`; the future is done when the member has been told.

        From then on the member is told of the room's events.
        """
        live = self._live(code)
        return self._submit(live, command, Entry(live.broadcast, command, member))

    def leave(self, code: str, participant_id: str, claim: int) -> None:
        """Give a seat up, however long storage fails."""

        def leave() -> Command[Participant]:
            return Leave(participant_id, claim)

        self._keep_asking(code, leave)

    def drop(self, code: str, participant_id: str, claim: int) -> None:
        """Hold a seat whose connection is gone from now on, however long storage fails."""
        clock = self._outside.clock
        lost_at = clock.monotonic()

        def drop() -> Command[None]:
            return Drop(participant_id, claim, clock.monotonic() - lost_at)

        self._keep_asking(code, drop)

    def silence(self, code: str, participant_id: str, member: Member) -> None:
        """Send a member no more events of this room: its client takes another seat."""
        live = self._rooms.get(code)
        if live is not None:
            live.broadcast.silence(participant_id, member)

    def relay(self, code: str, participant_id: str, event: Event) -> None:
        """Send an event straight to one participant who is connected.

        Raises `Refused`: 404 `participant_not_found`; 429 `rate_limited` while the participant is behind with reading,
        so that the one who floods them hears of it.
        """
        live = self._rooms.get(code)
        member = live.broadcast.members.get(participant_id) if live is not None else None
        if member is None or not member.is_open:
            raise Refused(PARTICIPANT_NOT_FOUND)
        if member.is_behind:
            raise Refused(RATE_LIMITED, retry_after=RETRY_AFTER)
        member.events(self._outside.encode(event))

    def seats_in(self, code: str) -> int:
        """Count the seats of a room that clients have been told of; 0 for a room that is not in memory."""
        live = self._rooms.get(code)
        return live.seats_told if live is not None else 0

    def _live(self, code: str) -> LiveRoom:
        live = self._rooms.get(code)
        if live is None:
            live = self._rooms[code] = LiveRoom(code, self._outside)
        self._idle.pop(code, None)
        return live

    def _submit(self, live: LiveRoom, command: Command[A], asker: Asker[A]) -> asyncio.Future[None]:
        done = asyncio.get_running_loop().create_future()
        pending = Pending(command, asker, done, self._outside.clock.monotonic())
        live.inbox.append(pending)
        if len(live.inbox) == 1:
            self._start_batch(live)
        return pending.done

    def _keep_asking(self, code: str, make: Callable[[], Command[A]]) -> None:
        self.submit(code, make(), _Insistent(self, code, make))

    def ask_again(self, code: str, make: Callable[[], Command[A]]) -> None:
        """Ask something again after a while, unless the server is about to stop."""
        if not self.is_draining:
            self._outside.clock.call_later(RETRY_AFTER, lambda: self._keep_asking(code, make))

    def _start_batch(self, live: LiveRoom) -> None:
        task = asyncio.get_running_loop().create_task(self._batch(live))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _batch(self, live: LiveRoom) -> None:
        """Serve every command that waits. Started by the first of them, it may itself have to wait for the lock."""
        async with live.lock:
            batch = live.take_batch()
            if live.inbox:
                self._start_batch(live)
            pause = 0.0 if await live.serve(batch) else RETRY_AFTER
            self._set_timer(live, pause)
            if not live.inbox:
                self._retire(live)

    def _set_timer(self, live: LiveRoom, at_least: float = 0.0) -> None:
        if self.is_draining:
            live.stop_timer()
        else:
            live.set_timer(self._expire, at_least)

    def _expire(self, code: str) -> None:
        self.submit(code, Expire(), _Nobody())

    def _adopt(self, stored: StoredRoom) -> None:
        """Take a room over after a start; its holds run from now on, when seats can be taken back."""
        held_until = self._outside.clock.monotonic() + self._outside.rules.seat_hold
        held = [msgspec.structs.replace(seat, held_until=held_until) for seat in stored.seats]
        live = self._live(stored.view.code)
        live.adopt(stored._replace(seats=held))
        self._set_timer(live)

    def _retire(self, live: LiveRoom) -> None:
        """Forget a room with nobody in it. A small one is kept for a while, so that it need not be read again."""
        if live.room is not None and (live.room.seats or live.room.queue):
            return
        self._idle[live.code] = None
        oldest = next(iter(self._idle)) if len(self._idle) > MOST_IDLE else None
        forgotten = live.code if live.room is None or live.room.bans or live.room.messages else oldest
        if forgotten is not None:
            del self._idle[forgotten], self._rooms[forgotten]


class _Answer(Generic[A]):
    """An asker that keeps the answer."""

    def __init__(self) -> None:
        self._answers: list[A] = []
        self._refused: Refused | None = None

    def answered(self, answer: A) -> None:
        """Take the answer."""
        self._answers.append(answer)

    def refused(self, refused: Refused) -> None:
        """Take the refusal."""
        self._refused = refused

    def get(self) -> A:
        """Return the answer, or raise the refusal."""
        if self._refused is not None:
            raise self._refused
        return self._answers[0]


class _Insistent(Generic[A]):
    """An asker that asks again when storage failed."""

    def __init__(self, hub: Hub, code: str, make: Callable[[], Command[A]]) -> None:
        self._hub = hub
        self._code = code
        self._make = make

    def answered(self, answer: A) -> None:
        """Be content."""

    def refused(self, refused: Refused) -> None:
        """Ask again after a failure; what else is refused needs doing no more."""
        if refused.kind.status_code >= 500:
            self._hub.ask_again(self._code, self._make)


class _Nobody:
    """An asker that needs no answer."""

    def answered(self, answer: object) -> None:
        """Do nothing."""

    def refused(self, refused: Refused) -> None:
        """Do nothing."""
