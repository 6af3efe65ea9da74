"""One room in memory: commands that wait, and the batch that serves them.

    under the room's lock, for every command that waits:
      1 decide → changes and an answer, or Refused      2 apply
    3 append the changes of the whole batch: the only await on the outside
    4 the answers in order, then the events (see `broadcast.py`)

Nothing is told before it is kept. When the append fails, the room goes back to its checkpoint and every command of the
batch is answered 503, refused ones included: they were judged by what is now undone.
"""

import asyncio
import logging
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Generic, TypeVar

from roomd.engine.broadcast import Broadcast
from roomd.engine.ports import RETRY_AFTER, Asker, Clock, Encode, Ids, StorageFailed, Store, Timer
from roomd.protocol.errors import INTERNAL_ERROR, UNAVAILABLE, Refused
from roomd.rooms.changes import Change
from roomd.rooms.commands import Expire
from roomd.rooms.model import Moment, StoredRoom
from roomd.rooms.room import Command, Room
from roomd.rooms.seats import follow_up
from roomd.rooms.settings import Rules

log = logging.getLogger("roomd.engine.live_room")

A_co = TypeVar("A_co", covariant=True)


class Pending(Generic[A_co]):
    """A command that waits for its batch, and then for its answer to be told."""

    __slots__ = ("_asked_at", "_asker", "_command", "_tell", "done")

    def __init__(self, command: Command[A_co], asker: Asker[A_co], done: asyncio.Future[None], asked_at: float) -> None:
        """`asked_at` is a time of the monotonic clock."""
        self._command = command
        self._asked_at = asked_at
        self._asker = asker
        self._tell: Callable[[], None] = partial(asker.refused, Refused(INTERNAL_ERROR))
        self.done = done
        """Done when the asker has been told."""

    @property
    def is_alone(self) -> bool:
        """Whether the command has a batch of its own."""
        return self._command.is_alone

    def decide(self, room: Room, now: Moment) -> Sequence[Change]:
        """Decide the command and remember what to tell; return the changes."""
        try:
            decision = room.decide(self._command.delayed(now.clock - self._asked_at), now)
        except Refused as refused:
            self._tell = partial(self._asker.refused, refused)
        except Exception as exc:  # the edge of a batch: a decision only reads, so a bug in it costs one answer
            log.exception("decision failed", {"error": type(exc).__name__})
        else:
            self._tell = partial(self._asker.answered, decision.answer)
            return decision.changes
        return ()

    def settle(self) -> None:
        """Tell the asker what was decided."""
        try:
            self._tell()
        except Exception as exc:  # the edge of a batch: one client's reply must not cost the others theirs
            log.exception("reply failed", {"error": type(exc).__name__})
        if not self.done.done():
            self.done.set_result(None)

    def refuse(self, refused: Refused) -> None:
        """Tell the asker that the command was refused, whatever was decided."""
        self._tell = partial(self._asker.refused, refused)
        self.settle()

    def refuse_without_room(self) -> None:
        """Tell the asker that there is no such room."""
        self.refuse(Refused(self._command.without_room))


class Outside:
    """What all live rooms share: where they are kept, the time, ids, and how events are written."""

    __slots__ = ("clock", "encode", "ids", "rules", "store")

    def __init__(self, store: Store, rules: Rules, clock: Clock, ids: Ids, encode: Encode) -> None:
        self.store = store
        self.rules = rules
        self.clock = clock
        self.ids = ids
        self.encode = encode

    def moment(self) -> Moment:
        """Read both clocks, for one batch."""
        wall = self.clock.wall()
        return Moment(wall, self.clock.monotonic(), partial(self.ids.new_id, wall))


class LiveRoom:
    """A room in memory: its state, its members, and what waits for its next batch."""

    __slots__ = ("_outside", "_timer", "broadcast", "code", "inbox", "lock", "room", "seats_told")

    def __init__(self, code: str, outside: Outside) -> None:
        self._outside = outside
        self._timer: Timer | None = None
        self.code = code
        self.lock = asyncio.Lock()
        """Held by the batch under way."""
        self.inbox: list[Pending[object]] = []
        """Commands for the next batch."""
        self.room: Room | None = None
        """None until the first batch has loaded the room, and for a code without a room."""
        self.broadcast = Broadcast(outside.encode)
        self.seats_told = 0
        """The seats there are as far as clients have been told."""

    def take_batch(self) -> list[Pending[object]]:
        """Take what waits, up to a command that has a batch of its own."""
        alone = [i for i, pending in enumerate(self.inbox) if pending.is_alone]
        cut = max(alone[0], 1) if alone else len(self.inbox)
        batch, self.inbox = self.inbox[:cut], self.inbox[cut:]
        return batch

    def adopt(self, stored: StoredRoom) -> Room:
        """Begin to serve a room that storage had; its events are numbered anew, under a new epoch."""
        self.room = room = Room(stored, self._outside.rules)
        self.broadcast.epoch = self._outside.ids.new_id(self._outside.clock.wall())
        self.seats_told = len(room.seats)
        return room

    async def serve(self, batch: list[Pending[object]]) -> bool:
        """Serve a batch; whatever happens, everyone who asked is answered. Return False when storage failed."""
        try:
            await self._serve(batch)
        except StorageFailed:
            self._refuse(batch, Refused(UNAVAILABLE, retry_after=RETRY_AFTER))
            return False
        except Exception as exc:  # the edge of a batch
            log.exception("batch failed", {"error": type(exc).__name__})
            self._refuse(batch, Refused(INTERNAL_ERROR))
            return False
        return True

    async def _serve(self, batch: list[Pending[object]]) -> None:
        room = self.room or await self._load()
        if room is None:
            for pending in batch:
                pending.refuse_without_room()
            return
        before = room.checkpoint()
        try:
            changes = self._decide(room, batch)
            if changes:
                await self._outside.store.append(room.settings.id, changes)
        except BaseException:
            room.restore(before)
            raise
        self.broadcast.tell(room, batch, changes, before)
        self.seats_told = len(room.seats)

    async def _load(self) -> Room | None:
        stored = await self._outside.store.load(self.code)
        return self.adopt(stored) if stored is not None else None

    def _decide(self, room: Room, batch: list[Pending[object]]) -> list[Change]:
        """Decide and apply every command in order; a seat whose hold has run out is free before anyone asks."""
        now = self._outside.moment()
        changes: list[Change] = []
        deadline = room.deadline()
        if deadline is not None and deadline <= now.clock:
            changes += _apply(room, room.decide(Expire(), now).changes, now)
        for pending in batch:
            changes += _apply(room, pending.decide(room, now), now)
        return changes

    def _refuse(self, batch: list[Pending[object]], refused: Refused) -> None:
        for pending in batch:
            if not pending.done.done():
                pending.refuse(refused)

    def set_timer(self, wake: Callable[[str], None], at_least: float = 0.0) -> None:
        """Have `wake` called with the code when a hold runs out, or a host is still to be told of the queue.

        The call comes after `at_least` seconds or more.
        """
        self.stop_timer()
        deadline = self.room.deadline() if self.room is not None else None
        now = self._outside.clock.monotonic()
        if self.broadcast.overdue:
            deadline = min(deadline or math.inf, now + RETRY_AFTER)
        if deadline is not None:
            self._timer = self._outside.clock.call_later(max(deadline - now, at_least), partial(wake, self.code))

    def stop_timer(self) -> None:
        """Call the next waking off."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _apply(room: Room, changes: Sequence[Change], now: Moment) -> Sequence[Change]:
    """Make changes true, and what follows from them for those who wait; return all of them."""
    for change in changes:
        room.apply(change)
    if not (changes and room.queue):
        return changes
    more = follow_up(room, now)
    for change in more:
        room.apply(change)
    return [*changes, *more]
