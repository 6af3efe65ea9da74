"""One room in memory: the commands that wait, and the batch that serves them.

    under the room's lock, for every command that waits:
      1 decide → changes and an answer, or Refused      2 apply
    3 append the changes and log events of the whole batch: the only await of a batch whose room is loaded
    4 send the answers in order, then the events (see `broadcast.py`)

Nothing is sent before it is stored. When the append fails, the room is set back to its checkpoint and every command of
the batch is answered with 503. That includes refused commands, because they were decided after changes that are undone.
When a message of the batch was stored earlier, under the same client id, the batch is decided once more without it.
"""

import asyncio
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Generic, TypeVar

import msgspec

from roomd.counters import Counters
from roomd.engine.broadcast import Broadcast
from roomd.engine.moving import Moved, RoomLost
from roomd.engine.ports import RETRY_AFTER, AlreadySent, Asker, Clock, Encode, Ids, StorageFailed, Store, Timer
from roomd.protocol.errors import INTERNAL_ERROR, STORAGE_LOW, UNAVAILABLE, Refused
from roomd.rooms.changes import Change, MessageSent
from roomd.rooms.commands import DropNodes, Expire
from roomd.rooms.commands.ending import note_emptiness
from roomd.rooms.denials import Denial
from roomd.rooms.event_log import log_events
from roomd.rooms.model import Moment, PersonKey, StoredRoom
from roomd.rooms.room import Checkpoint, Command, Room
from roomd.rooms.seats import apply_changes
from roomd.rooms.settings import Rules

log = logging.getLogger("roomd.engine.live_room")

A_co = TypeVar("A_co", covariant=True)


class Pending(Generic[A_co]):
    """A command that waits for its batch, and then for its answer to be sent."""

    __slots__ = ("_asked_at", "_asker", "_command", "_send", "done", "is_alone")

    def __init__(self, command: Command[A_co], asker: Asker[A_co], done: asyncio.Future[None], asked_at: float) -> None:
        """Keep a command for its batch. `asked_at` is a time of the monotonic clock."""
        self._command = command
        self._asked_at = asked_at
        self._asker = asker
        self._send: Callable[[], None]  # set when the command is decided or refused
        self.done = done
        """The future that is done when the asker was answered."""
        self.is_alone = command.is_alone
        """Whether the command needs a batch of its own."""

    def decide(self, room: Room, now: Moment, is_nearly_full: bool) -> Sequence[Change]:
        """Decide the command, keep its answer or refusal for `send_answer`, and return its changes.

        Messages are refused while the storage `is_nearly_full`. One that is sent again is no change, and is not.
        """
        try:
            decision = self._command.delayed(now.clock - self._asked_at).decide(room, now)
            if is_nearly_full and any(isinstance(change, MessageSent) for change in decision.changes):
                raise Refused(STORAGE_LOW)
        except Refused as refused:
            self._send = partial(self._asker.refused, refused)
        except Exception as exc:  # the edge of a batch: a decision only reads, so a bug in it affects one command
            log.exception("decision failed", {"error": type(exc).__name__})
            self._send = partial(self._asker.refused, Refused(INTERNAL_ERROR))
        else:
            self._send = partial(self._asker.answered, decision.answer)
            return decision.changes
        return ()

    def send_answer(self) -> None:
        """Send the answer or the refusal to the asker, and complete `done`. Raises nothing."""
        try:
            self._send()
        except Exception as exc:  # the edge of a batch: the other replies must be sent
            log.exception("reply failed", {"error": type(exc).__name__})
        if not self.done.done():
            self.done.set_result(None)

    def refuse(self, refused: Refused) -> None:
        """Send a refusal to the asker in place of the answer."""
        self._send = partial(self._asker.refused, refused)
        self.send_answer()

    def refuse_without_room(self) -> None:
        """Send the refusal of a command whose room does not exist."""
        self.refuse(Refused(self._command.without_room))


class RoomServices:
    """What all live rooms share: the store, the rules, the clock, the ids, the encoder of events, and the counters.

    `is_shared` is whether other processes may take rooms over, so that each batch has to ask the store whether the room
    is still here.
    """

    __slots__ = (
        "clock",
        "counters",
        "encode",
        "ids",
        "is_shared",
        "on_deleted",
        "on_loaded",
        "on_lost",
        "on_unloaded",
        "rules",
        "store",
    )

    def __init__(
        self,
        store: Store,
        rules: Rules,
        clock: Clock,
        ids: Ids,
        encode: Encode,
        counters: Counters,
        *,
        is_shared: bool = False,
    ) -> None:
        self.store = store
        self.rules = rules
        self.clock = clock
        self.ids = ids
        self.encode = encode
        self.counters = counters
        self.on_deleted: Callable[[], None] = _nothing
        """Called when a room was deleted."""
        self.is_shared = is_shared
        self.on_loaded: Callable[[str], None] = _ignore
        """Called with its code when a room was loaded in which somebody has a seat or waits."""
        self.on_lost: Callable[[str], None] = _ignore
        """Called with its code when a room that another process may have now is not in memory any more."""
        self.on_unloaded: Callable[[str], None] = _ignore
        """Called with the code of a room that is not in memory any more, because nobody is in it."""

    def moment(self) -> Moment:
        """Return the time on both clocks and a source of ids, for one batch."""
        wall = self.clock.wall()
        return Moment(wall, self.clock.monotonic(), partial(self.ids.new_id, wall))


def _nothing() -> None:
    """Do nothing."""


def _ignore(_: str) -> None:
    """Do nothing."""


class LiveRoom:
    """A room in memory: its state, its members, and the commands for its next batch."""

    __slots__ = (
        "_denials",
        "_drop_nodes",
        "_services",
        "_timer",
        "broadcast",
        "broadcast_seat_count",
        "code",
        "commands",
        "inbox",
        "is_lost",
        "lock",
        "room",
    )

    def __init__(self, code: str, services: RoomServices, denials: Mapping[PersonKey, Denial]) -> None:
        """Prepare to load a room. `denials` are those that it had when it was in memory before."""
        self._services = services
        self._denials = denials
        self._drop_nodes: DropNodes | None = None  # to be decided in the first batch after the room was loaded
        self._timer: Timer | None = None
        self.code = code
        self.lock = asyncio.Lock()
        """The lock that the running batch holds."""
        self.inbox: list[Pending[object]] = []
        """The commands for the next batch."""
        self.room: Room | None = None
        """The room; None until the first batch has loaded it, and for a code without a room."""
        self.broadcast = Broadcast(services.encode)
        self.broadcast_seat_count = 0
        """The number of seats after the last batch that clients were told of."""
        self.commands = 0
        """The number of commands that were served."""
        self.is_lost = False
        """Whether the room must be dropped from memory, because another process may have it."""

    @property
    def denials(self) -> Mapping[PersonKey, Denial]:
        """The denials of the room, also while it is not loaded."""
        return self.room.denials if self.room is not None else self._denials

    def is_hidden(self, participant_id: str) -> bool:
        """Return whether a participant is there unseen."""
        return self.room is not None and participant_id in self.room.hidden

    def take_batch(self) -> list[Pending[object]]:
        """Remove the commands of the next batch from the inbox and return them.

        A command that needs a batch of its own is alone in it; those before and behind it are in other batches.
        """
        alone = [i for i, pending in enumerate(self.inbox) if pending.is_alone]
        cut = max(alone[0], 1) if alone else len(self.inbox)
        batch, self.inbox = self.inbox[:cut], self.inbox[cut:]
        self.commands += len(batch)
        self._services.counters.batches.add(len(batch))
        return batch

    def open_stored(self, stored: StoredRoom) -> Room:
        """Begin to serve a stored room, with a new epoch for its events.

        Its holds begin now, because seats could not be resumed before.
        """
        held_until = self._services.clock.monotonic() + self._services.rules.seat_hold
        seats = [
            msgspec.structs.replace(seat, held_until=held_until, is_held_since_start=True)
            if seat.claim is None
            else seat
            for seat in stored.seats
        ]
        self.room = room = Room(stored._replace(seats=seats), self._services.rules, self._denials)
        self._drop_nodes = DropNodes(stored.live_nodes) if stored.live_nodes is not None else None
        self.broadcast.epoch = self._services.ids.new_id(self._services.clock.wall())
        self.broadcast_seat_count = len(room.seats)
        return room

    async def serve(self, batch: list[Pending[object]]) -> bool:
        """Serve a batch and answer every asker. Return whether it succeeded; False means that it is not stored."""
        try:
            await self._serve(batch)
        except RoomLost as lost:
            self.lose(batch, is_in_doubt=lost.is_in_doubt)
        except StorageFailed:
            self._refuse(batch, Refused(UNAVAILABLE, retry_after=RETRY_AFTER))
            return False
        except Exception as exc:  # the edge of a batch
            log.exception("batch failed", {"error": type(exc).__name__})
            self._refuse(batch, Refused(INTERNAL_ERROR))
            return False
        return True

    def lose(self, batch: list[Pending[object]], *, is_in_doubt: bool = False) -> None:
        """Have the room dropped from memory, and its commands submitted again where it is now."""
        self.is_lost = True
        self._refuse(batch, Moved(is_in_doubt=is_in_doubt))
        batch, self.inbox = self.inbox, []
        self._refuse(batch, Moved())

    async def _serve(self, batch: list[Pending[object]]) -> None:
        room = self.room or await self._load()
        if room is None:
            for pending in batch:
                pending.refuse_without_room()
            return
        before = room.checkpoint()
        try:
            try:
                changes = await self._decide_and_store(room, batch, before)
            except AlreadySent as stored:  # older than what the room has in memory
                room.restore(before)
                room.add_sent(stored.sent)
                changes = await self._decide_and_store(room, batch, before)
        except BaseException:
            room.restore(before)
            raise
        self._drop_nodes = None
        self.broadcast.tell(room, batch, changes, before, self._services.clock.monotonic())
        self.broadcast_seat_count = len(room.seats)
        if room.is_deleted:
            self.room = None  # the next command finds no room with the code
            self._services.on_deleted()

    async def _decide_and_store(self, room: Room, batch: list[Pending[object]], before: Checkpoint) -> list[Change]:
        now, rules = self._services.moment(), room.rules
        changes = self._decide(room, batch, now)
        if changes or self._services.is_shared:
            logs = rules.log_events
            events = log_events(before, changes, now.stamp, with_messages=rules.log_messages) if logs else ()
            await self._services.store.append(room.settings.id, changes, events)
        return changes

    async def _load(self) -> Room | None:
        stored = await self._services.store.load(self.code)
        if stored is None:
            return None
        room = self.open_stored(stored)
        if stored.seats:
            self._services.on_loaded(self.code)
        return room

    def _decide(self, room: Room, batch: list[Pending[object]], now: Moment) -> list[Change]:
        """Decide and apply every command in order, after the seats whose hold is over have expired."""
        is_nearly_full = self._services.store.is_nearly_full()
        changes: list[Change] = []
        deadline = room.deadline()
        if deadline is not None and deadline <= now.clock:
            changes += apply_changes(room, room.decide(Expire(), now).changes, now)
        if self._drop_nodes is not None:
            changes += apply_changes(room, room.decide(self._drop_nodes, now).changes, now)
        for pending in batch:
            changes += apply_changes(room, pending.decide(room, now, is_nearly_full), now)
        if room.settings.end_when_empty is not None or room.empty_since is not None:
            changes += apply_changes(room, note_emptiness(room, changes, now), now)
        return changes

    def _refuse(self, batch: list[Pending[object]], refused: Refused) -> None:
        for pending in batch:
            if not pending.done.done():
                pending.refuse(refused)

    def set_timer(self, wake: Callable[[str], None], at_least: float = 0.0) -> None:
        """Call `wake` with the room's code when the next hold is over, or when a member is to be sent something later.

        The call is made after at least `at_least` seconds. An earlier timer of the room is cancelled.
        """
        self.stop_timer()
        deadline = self.room.deadline() if self.room is not None else None
        if deadline is None and self.broadcast.is_idle:
            return
        now = self._services.clock.monotonic()
        deadline = min(math.inf if deadline is None else deadline, self.broadcast.wake_at(now))
        self._timer = self._services.clock.call_later(max(deadline - now, at_least), partial(wake, self.code))

    def stop_timer(self) -> None:
        """Cancel the timer, if there is one."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
