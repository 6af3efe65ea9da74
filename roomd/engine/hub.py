"""The rooms that are live: every change of a room is a turn of its hub.

    under the room's lock, for EVERY command that waits:
      1 decide → events, or Refused      2 apply
    3 append all events, the turn's only await on the outside world
    4 the replies in order, then what the others are told (see delivery)

Flat combining: the first command to wait starts the next turn; whatever arrives while the turn before it commits is
served by it too, so batches grow exactly as load does, without a timer and without delay when idle. A turn is a task of
the hub: cancelling a client cancels nothing that others wait for.

Nothing is told before it is kept. When the append fails, the room goes back to its checkpoint and every command of
the turn, refused ones included (they were judged by what is now undone), is answered 503.

Replies are written inside the turn, before its events and before the room's next turn, so a client that has
`room-state` at `seq` n has missed nothing and gets every later event once.
"""

import asyncio
import logging
import math
from collections.abc import Coroutine, Sequence
from typing import Any, Protocol

import msgspec

from roomd.engine.broadcast import Audience, Listener, Pending, Respond
from roomd.protocol.errors import (
    INTERNAL_ERROR,
    PARTICIPANT_NOT_FOUND,
    RATE_LIMITED,
    ROOM_NOT_FOUND,
    SEAT_EXPIRED,
    UNAVAILABLE,
    Refused,
)
from roomd.protocol.objects import Room as RoomView
from roomd.rooms.commands import Command, Drop, End, Event, Expire, Kept, Leave, Moment, Resume, RoomChanged, Settings
from roomd.rooms.room import Room
from roomd.rooms.settings import Rules, open_room
from roomd.storage.sqlite import StorageFailed
from roomd.system.clock import Clock, Timer
from roomd.system.ids import Ids

log = logging.getLogger("roomd.engine.hub")

RETRY_AFTER = 1.0
"""Seconds until something that must be kept is tried again after storage failed."""

MOST_IDLE = 1000
"""Rooms that stay in memory though nobody is in them, a few KiB each."""


class Store(Protocol):
    """What the hub needs of storage; every method may raise `StorageFailed`."""

    async def append(self, events: Sequence[Event]) -> None:
        """Make events durable, all or none."""

    async def load(self, code: str) -> Kept | None:
        """Read a room that nobody has a seat in."""
        ...

    async def seats(self, restarted_at: str) -> list[Kept]:
        """Hold every seat, and every place in a queue, anew after a start; answer with their rooms."""
        ...


class LiveRoom:
    """A room in memory: its state, who listens, and what waits for its next turn."""

    __slots__ = ("audience", "code", "inbox", "lock", "room", "seats_told", "timer")

    def __init__(self, code: str) -> None:
        self.code = code
        self.lock = asyncio.Lock()
        self.inbox: list[Pending] = []
        self.room: Room | None = None  # until the first turn has loaded it
        self.audience = Audience()
        self.seats_told = 0
        self.timer: Timer | None = None


class Hub:
    """Every live room. A room is live while somebody has a seat in it or waits for one, or a command waits."""

    def __init__(self, store: Store, rules: Rules, clock: Clock, ids: Ids) -> None:
        self._store = store
        self._rules = rules
        self._clock = clock
        self._ids = ids
        self._rooms: dict[str, LiveRoom] = {}
        self._idle: dict[str, None] = {}  # codes of rooms with nobody in them, the longest idle first
        self._tasks: set[asyncio.Task[None]] = set()
        self.is_draining = False
        """The server is about to stop: connections take no more requests."""

    async def open(self) -> None:
        """Hold every seat anew after a start.

        Raises `StorageFailed`.
        """
        kept = await self._store.seats(self._clock.now().stamp)
        held_until = self._clock.monotonic() + self._rules.seat_hold  # from now on, when they can be taken back
        for one in kept:
            live = self._rooms[one.view.code] = LiveRoom(one.view.code)
            held = [msgspec.structs.replace(seat, held_until=held_until) for seat in one.seats]
            self._adopt(live, Room(one._replace(seats=held), self._rules))
            self._wake_at_deadline(live)

    async def drain(self) -> None:
        """Stop the timers and finish the turns that were begun; drops are still taken.

        What cannot be kept now is mended by the next start, which holds every seat anew.
        """
        self.is_draining = True
        for live in self._rooms.values():
            if live.timer is not None:
                live.timer.cancel()
        while self._tasks:
            await asyncio.wait(self._tasks)

    def statistics(self) -> dict[str, int]:
        """Count live rooms and those who listen."""
        return {
            "rooms": len(self._rooms) - len(self._idle),
            "listeners": sum(len(live.audience.listeners) for live in self._rooms.values()),
        }

    async def create(self, settings: Settings, host_id: str) -> RoomView:
        """Make a room and keep it.

        Raises `Refused` (400 `invalid_settings`, 503 `unavailable`).
        """
        wall = self._clock.wall()
        view = open_room(
            settings,
            self._rules,
            room_id=self._ids.new_id(wall),
            code=self._ids.new_code(),
            host_id=host_id,
            created_at=self._clock.now().stamp,
        )
        try:
            await self._store.append([RoomChanged(view)])
        except StorageFailed:
            raise Refused(UNAVAILABLE, retry_after=RETRY_AFTER) from None
        return view

    def submit(
        self, code: str, command: Command, respond: Respond, listener: Listener | None = None
    ) -> asyncio.Future[None]:
        """Put a command before the room `code`; the future is done once `respond` was called the first time.

        `listener` gets the room's events when the command takes a seat.
        """
        live = self._rooms.get(code)
        if live is None:
            live = self._rooms[code] = LiveRoom(code)
        self._idle.pop(code, None)
        pending = Pending(command, respond, asyncio.get_running_loop().create_future(), listener)
        live.inbox.append(pending)
        if len(live.inbox) == 1:
            self._spawn(self._turn(live))
        return pending.done

    async def ask(self, code: str, command: Command) -> Any:
        """Put a command before the room and wait for the answer.

        Raises `Refused`.
        """
        outcomes: list[Any] = []
        await self.submit(code, command, lambda outcome, _: outcomes.append(outcome))
        if isinstance(outcomes[0], Refused):
            raise outcomes[0]
        return outcomes[0]

    def release(self, code: str, command: Leave | Drop) -> None:
        """Give a seat up or let go of it, and see to it that it is kept, however long storage fails."""

        def respond(outcome: Any, _: bytes) -> None:
            failed = isinstance(outcome, Refused) and outcome.kind.status_code >= 500
            if failed and not self.is_draining:
                self._clock.call_later(RETRY_AFTER, lambda: self.release(code, command))

        self.submit(code, command, respond)

    def silence(self, code: str, participant_id: str, listener: Listener) -> None:
        """Tell a listener nothing more of this room; it moves to another."""
        live = self._rooms.get(code)
        if live is not None:
            live.audience.silence(participant_id, listener)

    def relay(self, code: str, participant_id: str, frame: bytes) -> None:
        """Pass a frame straight to a participant who is connected.

        Raises `Refused`: 404 `participant_not_found`; 429 `rate_limited` while much waits for them unread, so that a
        flood meets who makes it.
        """
        live = self._rooms.get(code)
        listener = live.audience.listeners.get(participant_id) if live is not None else None
        if listener is None or listener.outbox.closed:
            raise Refused(PARTICIPANT_NOT_FOUND)
        if listener.outbox.is_busy():
            raise Refused(RATE_LIMITED, retry_after=RETRY_AFTER)
        listener.outbox.send(frame)

    def seats_in(self, code: str) -> int:
        """Count the seats of a room as far as they were told."""
        live = self._rooms.get(code)
        return live.seats_told if live is not None else 0

    def _spawn(self, turn: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(turn)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _turn(self, live: LiveRoom) -> None:
        """Serve every command that waits. Started by the first of them, it may itself have to wait for the lock."""
        async with live.lock:
            batch = self._take(live)
            pause = RETRY_AFTER
            try:
                await self._serve(live, batch)
                pause = 0.0
            except StorageFailed:
                self._fail(batch, Refused(UNAVAILABLE, retry_after=RETRY_AFTER))
            except Exception as exc:
                log.exception("turn failed", {"error": type(exc).__name__})
                self._fail(batch, Refused(INTERNAL_ERROR))
            self._wake_at_deadline(live, at_least=pause)
            if not live.inbox:
                self._retire(live)

    def _retire(self, live: LiveRoom) -> None:
        """Forget a room with nobody in it, but not yet if it is small: who comes next is spared reading it."""
        if live.room is not None and (live.room.seats or live.room.queue):
            return
        self._idle[live.code] = None
        oldest = next(iter(self._idle)) if len(self._idle) > MOST_IDLE else None
        forgotten = live.code if live.room is None or live.room.bans or live.room.messages else oldest
        if forgotten is not None:
            del self._idle[forgotten], self._rooms[forgotten]

    def _take(self, live: LiveRoom) -> list[Pending]:
        """Take what waits, up to an `End`, which has a turn of its own: nobody joins a room that ends under them."""
        ends = [i for i, waiting in enumerate(live.inbox) if isinstance(waiting.command, End)]
        cut = max(ends[0], 1) if ends else len(live.inbox)
        batch, live.inbox = live.inbox[:cut], live.inbox[cut:]
        if live.inbox:
            self._spawn(self._turn(live))
        return batch

    async def _serve(self, live: LiveRoom, batch: list[Pending]) -> None:
        room = live.room or await self._load(live)
        if room is None:
            for waiting in batch:
                missing = SEAT_EXPIRED if isinstance(waiting.command, Resume) else ROOM_NOT_FOUND
                waiting.settle(Refused(missing))
            return
        before = room.checkpoint()
        try:
            events, outcomes = self._decide(room, batch)
            if events:
                await self._store.append(events)
        except BaseException:
            room.restore(before)
            raise
        live.audience.tell(room, zip(batch, outcomes, strict=True), events, before)
        live.seats_told = len(room.seats)

    async def _load(self, live: LiveRoom) -> Room | None:
        kept = await self._store.load(live.code)
        return self._adopt(live, Room(kept, self._rules)) if kept is not None else None

    def _decide(self, room: Room, batch: list[Pending]) -> tuple[list[Event], list[Any]]:
        """Decide and apply every command in order; a seat whose hold has run out is free before anyone asks."""
        now = self._clock.now()
        events: list[Event] = []
        outcomes: list[Any] = []
        deadline = room.deadline()
        if deadline is not None and deadline <= now.clock:
            events += _apply(room, room.decide(Expire(), now).events, now)
        for waiting in batch:
            try:
                decision = room.decide(waiting.command, now)
            except Refused as refused:
                outcomes.append(refused)
                continue
            except Exception as exc:  # a decision only reads: a bug in it costs one answer
                log.exception("decision failed", {"error": type(exc).__name__})
                outcomes.append(Refused(INTERNAL_ERROR))
                continue
            events += _apply(room, decision.events, now)
            outcomes.append(room.view() if isinstance(decision.answer, RoomView) else decision.answer)
        return events, outcomes

    def _fail(self, batch: list[Pending], refused: Refused) -> None:
        for waiting in batch:
            if not waiting.done.done():
                waiting.settle(refused)

    def _adopt(self, live: LiveRoom, room: Room) -> Room:
        live.room = room
        live.audience.epoch = self._ids.new_id(self._clock.wall())
        live.seats_told = len(room.seats)
        return room

    def _wake_at_deadline(self, live: LiveRoom, at_least: float = 0.0) -> None:
        """Have `Expire` sent when the room wants it, or somebody is still to be told something."""
        if live.timer is not None:
            live.timer.cancel()
            live.timer = None
        deadline = live.room.deadline() if live.room is not None else None
        if live.audience.overdue:
            deadline = min(deadline or math.inf, self._clock.monotonic() + RETRY_AFTER)
        if deadline is not None and not self.is_draining:
            delay = max(deadline - self._clock.monotonic(), at_least)
            live.timer = self._clock.call_later(delay, lambda: self._expire(live.code))

    def _expire(self, code: str) -> None:
        self.submit(code, Expire(), lambda *_: None)


def _apply(room: Room, events: Sequence[Event], now: Moment) -> Sequence[Event]:
    """Make events true, and what follows from them for those who wait."""
    for event in events:
        room.apply(event)
    if not (events and room.queue):
        return events
    more = room.follow_up(now)
    for event in more:
        room.apply(event)
    return [*events, *more]
