"""Who listens in a room, and what a turn tells whom.

Replies are written first, in the turn's order, then what the others are told: at most one event of a kind, and every
message. A snapshot is taken when the turn is over, so whoever got one in this turn is told none of it again; what is
addressed to them alone still is.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence, Set
from typing import Any, Protocol, cast

import msgspec

from roomd.gateway.outbox import Outbox, text_frame
from roomd.protocol.codec import encode
from roomd.protocol.errors import DENIED, Close, ErrorKind, Refused
from roomd.protocol.events import (
    MessageEvent,
    ParticipantsChanged,
    Removed,
    RoomEnded,
    RoomState,
    RoomUpdated,
    WaitingChanged,
)
from roomd.protocol.objects import Participant
from roomd.rooms.commands import Command, Event, Join, MessageSent, Queued, Resume, RoomChanged, SeatChanged
from roomd.rooms.room import Room
from roomd.rooms.state import Checkpoint, waiting

log = logging.getLogger("roomd.engine.broadcast")


class Listener(Protocol):
    """A client, as the room sees it."""

    outbox: Outbox

    def unseated(self, participant_id: str) -> None:
        """Hear that the seat, or the place in the queue, is another connection's now, or nobody's."""


Respond = Callable[[Any, bytes], None]
"""Takes a command's answer, or the `Refused` it met, and the frame that must follow the reply: the `room-state` for
who takes a seat, else nothing. Called inside the turn, and after `Queued` in later ones too; must not wait."""


class Pending(msgspec.Struct, frozen=True):
    """A command that waits for its turn."""

    command: Command
    respond: Respond
    done: asyncio.Future[None]
    listener: Listener | None

    def settle(self, outcome: Any, state: bytes = b"") -> None:
        """Answer who asked."""
        try:
            self.respond(outcome, state)
        except Exception as exc:  # a client's reply must not cost the others theirs
            log.exception("reply failed", {"error": type(exc).__name__})
        if not self.done.done():
            self.done.set_result(None)


class Audience:
    """Everyone a room has to tell something; all keys are participant ids."""

    __slots__ = ("epoch", "hosts", "listeners", "overdue", "seq", "waiters")

    def __init__(self) -> None:
        self.epoch = ""
        self.seq = 0
        self.listeners: dict[str, Listener] = {}
        self.hosts: set[str] = set()
        """Those of the listeners who are told of the queue."""
        self.overdue: set[str] = set()
        """Hosts who are to be told of the queue when they have read what waits for them."""
        self.waiters: dict[str, tuple[Pending, Listener]] = {}
        """The joins that wait: the last answer they got is `Queued`."""

    def silence(self, participant_id: str, listener: Listener) -> None:
        """Tell a listener nothing more; it goes to another room."""
        if self.listeners.get(participant_id) is listener:
            self._forget(participant_id)
        if self.waiters.get(participant_id, (None, None))[1] is listener:
            del self.waiters[participant_id]

    def tell(
        self, room: Room, answers: Iterable[tuple[Pending, Any]], events: Sequence[Event], before: Checkpoint
    ) -> None:
        """Tell what came of a turn that led from `before` to the room as it is."""
        seats, rooms, messages = _sorted(events)
        changes, end = self._number(room, seats, rooms, before)
        outcome = _Outcome(room, seats, before, lambda: self._state(room))
        self._answer(answers, outcome)
        self._send_removed_away(outcome)
        if end is not None:
            self._announce([(None, end)], outcome.fresh)
            self._disband()
            return
        self._forget_absent(room, seats)
        said = [_message(event) for event in messages]
        self._announce([*changes, *said, *self._queue_for_hosts(room, before, outcome.fresh)], outcome.fresh)

    def _number(
        self, room: Room, seats: Sequence[SeatChanged], rooms: Sequence[RoomChanged], before: Checkpoint
    ) -> tuple[list["_Word"], RoomEnded | None]:
        """Put the turn's changes into numbered events; an end says all there is to say."""
        if rooms and not rooms[-1].room.is_active:
            self.seq += 1
            return [], RoomEnded(seq=self.seq, room_id=rooms[-1].room.id)
        words: list[_Word] = []
        joined, updated, left = room.changes_since(before, seats)
        if joined or updated or left:
            self.seq += 1
            words.append((None, ParticipantsChanged(seq=self.seq, joined=joined, updated=updated, left=left)))
        if rooms:
            self.seq += 1
            words.append((None, RoomUpdated(seq=self.seq, room=room.view())))
        return words, None

    def _answer(self, answers: Iterable[tuple[Pending, Any]], outcome: "_Outcome") -> None:
        """Answer everyone in order, and those whose waiting came to something."""
        for pending, answer in answers:
            if pending.listener is not None and isinstance(answer, Participant):
                self._sit(pending, pending.listener, answer, outcome)
            elif pending.listener is not None and isinstance(answer, Queued):
                self._wait(pending, pending.listener, answer.participant.id, outcome)
            else:
                pending.settle(answer)
        if self.waiters:
            for key, (pending, listener) in list(self.waiters.items()):
                if key not in outcome.informed and outcome.has_moved(key):
                    self._inform(pending, listener, key, outcome)

    def _sit(self, pending: Pending, listener: Listener, participant: Participant, outcome: "_Outcome") -> None:
        """Give a seat's events to a client; another that had them, or waited for them, has lost the seat."""
        key = participant.id
        if outcome.is_taken_over(key, pending):  # in the very turn that gave it
            pending.settle(participant, outcome.state())
            if self.listeners.get(key) is not listener:
                _take_over(listener, key)
            return
        _, waited = self.waiters.pop(key, (None, None))
        before = self.listeners.get(key, waited)
        self.listeners[key] = listener
        if participant.is_host or _sitting(pending.command).caller.admin:
            self.hosts.add(key)
        else:
            self.hosts.discard(key)
        if before is not None and before is not listener:
            _take_over(before, key)
        outcome.fresh.add(key)
        pending.settle(participant, outcome.state())

    def _wait(self, pending: Pending, listener: Listener, key: str, outcome: "_Outcome") -> None:
        """Have a join answered until its waiting ends; another client that waited at its place has lost it."""
        _, before = self.waiters.get(key, (None, listener))
        self.waiters[key] = pending, listener
        outcome.informed.add(key)
        self._inform(pending, listener, key, outcome)
        if before is not listener:
            _take_over(before, key)

    def _inform(self, pending: Pending, listener: Listener, key: str, outcome: "_Outcome") -> None:
        """Tell somebody who waits what has become of it."""
        room = outcome.room
        if (seat := room.seats.get(key)) is not None:
            self._sit(pending, listener, seat.participant, outcome)
        elif (queued := room.queue.get(key)) is None or queued.owner is None:
            del self.waiters[key]
            if (why := outcome.told.get(key)) is not None:
                listener.unseated(key)
                pending.settle(Refused(why if isinstance(why, ErrorKind) else DENIED))
        else:
            position, reason = outcome.places[key]
            pending.settle(Queued(queued.participant, position, reason))

    def _send_removed_away(self, outcome: "_Outcome") -> None:
        for key, told in outcome.told.items():
            listener = self._forget(key) if isinstance(told, Removed) else None
            if listener is not None:
                listener.unseated(key)
                listener.outbox.send(text_frame(encode(told)))
                listener.outbox.close(Close.REMOVED, "removed by the host")

    def _forget_absent(self, room: Room, seats: Iterable[SeatChanged]) -> None:
        for event in seats:
            key = event.seat.participant.id
            seat = room.seats.get(key)
            if seat is None or seat.owner is None:
                self._forget(key)

    def _forget(self, key: str) -> Listener | None:
        self.hosts.discard(key)
        self.overdue.discard(key)
        return self.listeners.pop(key, None)

    def _disband(self) -> None:
        """Let go of everyone: the room has ended."""
        for key, listener in self.listeners.items():
            listener.unseated(key)
        self.listeners.clear()
        self.hosts.clear()
        self.overdue.clear()

    def _queue_for_hosts(self, room: Room, before: Checkpoint, fresh: Set[str]) -> list["_Word"]:
        """Show the queue to the hosts when it has changed, and to those who come in when there is one.

        It is shown whole, so a host who is behind with reading gets the last one only: a guest who joins and leaves
        the queue over and over must not cost them their connection.
        """
        if not self.hosts or not (room.queue or before.queue or self.overdue):
            return []
        now = waiting(room.queue)
        changed = now != waiting(before.queue)
        due = self.hosts if changed else (self.hosts & fresh if now else set()) | self.overdue
        self.overdue = {key for key in due if self.listeners[key].outbox.is_busy()}
        to = due - self.overdue
        return [(to, WaitingChanged(waiting=now))] if to else []

    def _announce(self, words: Sequence["_Word"], fresh: Set[str]) -> None:
        """Tell everyone but the `fresh` what is for everyone, and the addressed what is for them, in order."""
        named = {key for to, _ in words if to is not None for key in to}
        if not words or (not named and self.listeners.keys() <= fresh):
            return
        frames = [(to, text_frame(encode(event))) for to, event in words]
        common = b"".join(frame for to, frame in frames if to is None)
        for key, listener in self.listeners.items():
            if key in named:
                own = [frame for to, frame in frames if (key not in fresh if to is None else key in to)]
                listener.outbox.send(b"".join(own))
            elif common and key not in fresh:
                listener.outbox.send(common)

    def _state(self, room: Room) -> bytes:
        state = RoomState(
            epoch=self.epoch,
            seq=self.seq,
            room=room.view(),
            participants=room.participants(),
            messages=list(room.messages),
        )
        return text_frame(encode(state))


_Word = tuple[Set[str] | None, Any]
"""An event, and for whom it is: None means everyone."""


class _Outcome:
    """What a turn came to, for those who are answered."""

    def __init__(
        self, room: Room, seats: Iterable[SeatChanged], before: Checkpoint, snapshot: Callable[[], bytes]
    ) -> None:
        self.room = room
        self.fresh: set[str] = set()
        """Who got the room's state."""
        self.informed: set[str] = set()
        """Who got their place in the queue as an answer."""
        self.told = {event.seat.participant.id: event.told for event in seats if event.told is not None}
        self.places = _places(room.queue)
        """Position and reason of everyone in the queue."""
        self._before = _places(before.queue)
        self._snapshot = snapshot
        self._state = b""

    def has_moved(self, key: str) -> bool:
        """Say whether somebody waits otherwise than before the turn, or no more."""
        queued = self.room.queue.get(key)
        return queued is None or queued.owner is None or self.places[key] != self._before.get(key, self.places[key])

    def is_taken_over(self, key: str, pending: Pending) -> bool:
        """Say whether somebody else owns the seat by now."""
        seat = self.room.seats.get(key)
        return seat is not None and seat.owner is not None and seat.owner != _sitting(pending.command).owner

    def state(self) -> bytes:
        """Encode the room's state, once for all who get it."""
        self._state = self._state or self._snapshot()
        return self._state


def _sorted(events: Iterable[Event]) -> tuple[list[SeatChanged], list[RoomChanged], list[MessageSent]]:
    """Sort a turn's events by what is told of them; of a ban nobody is told."""
    seats: list[SeatChanged] = []
    rooms: list[RoomChanged] = []
    messages: list[MessageSent] = []
    for event in events:
        match event:
            case SeatChanged():
                seats.append(event)
            case RoomChanged():
                rooms.append(event)
            case MessageSent():
                messages.append(event)
    return seats, rooms, messages


def _places(queue: Any) -> dict[str, tuple[int, Any]]:
    if not queue:
        return {}
    return {key: (position, seat.waits_for) for position, (key, seat) in enumerate(queue.items(), 1)}


def _message(event: MessageSent) -> _Word:
    message = event.message
    return ({message.participant_id, message.to} if message.to is not None else None), MessageEvent(message=message)


def _sitting(command: Command) -> Join | Resume:
    """Narrow a command that came with a listener: only those that take a seat do."""
    return cast("Join | Resume", command)


def _take_over(listener: Listener, participant_id: str) -> None:
    listener.unseated(participant_id)
    listener.outbox.close(Close.TAKEN_OVER, "taken over by another connection")
