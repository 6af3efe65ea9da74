"""Who is told what of a batch.

Answers come first, in the batch's order, then the events: at most one of a kind, and every message. A snapshot is taken
when the batch is over, so whoever got one in this batch is told none of it again; what is addressed to them alone still
is.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from typing import NamedTuple, Protocol

from roomd.engine.ports import Encode, Member, SeatLost
from roomd.protocol.errors import DENIED, ErrorKind, Refused
from roomd.protocol.events import (
    Event,
    MessageEvent,
    ParticipantsChanged,
    RoomEnded,
    RoomState,
    RoomUpdated,
    WaitingChanged,
)
from roomd.rooms.changes import Change, MessageSent, Removal, RoomChanged, SeatChanged
from roomd.rooms.commands import SeatCommand
from roomd.rooms.model import Seat, WaitsFor
from roomd.rooms.room import Checkpoint, Room
from roomd.rooms.seats import describe_queue

log = logging.getLogger("roomd.engine.broadcast")

TAKEN_OVER = SeatLost("taken_over")
ROOM_ENDED = SeatLost("room_ended")


class Addressed(NamedTuple):
    """An event, and for whom it is."""

    event: Event
    to: Set[str] | None = None
    """Participant ids; None for every member."""


class Settling(Protocol):
    """A command of the batch whose answer is still to be told."""

    def settle(self) -> None:
        """Tell the asker what was decided."""


class Entry:
    """A join or a resume on its way: the asker whose answer makes a member."""

    __slots__ = ("_broadcast", "claim", "is_admin", "member")

    def __init__(self, broadcast: "Broadcast", command: SeatCommand, member: Member) -> None:
        self._broadcast = broadcast
        self.claim = command.claim
        self.is_admin = command.caller.admin
        self.member = member

    def answered(self, seat: Seat) -> None:
        """Enter the room, or its queue."""
        self._broadcast.enter(self, seat)

    def refused(self, refused: Refused) -> None:
        """Get no seat."""
        self.member.refused(refused)


class Broadcast:
    """Everyone a room has to tell something. All keys are participant ids."""

    __slots__ = ("_batch", "_encode", "_hosts", "epoch", "members", "overdue", "seq", "waiters")

    def __init__(self, encode: Encode) -> None:
        self._encode = encode
        self._batch: _Batch
        self._hosts: set[str] = set()  # the members who are told of the queue
        self.epoch = ""
        """Names the run of the room that `seq` counts in."""
        self.seq = 0
        """The number of the last event that has one."""
        self.members: dict[str, Member] = {}
        """Who has a seat and a connection."""
        self.waiters: dict[str, Entry] = {}
        """The joins that wait: the last answer they got is their place in the queue."""
        self.overdue: set[str] = set()
        """Hosts who are to be told of the queue when they have read what waits for them."""

    def silence(self, key: str, member: Member) -> None:
        """Tell a member nothing more: its client takes another seat."""
        if self.members.get(key) is member:
            self._forget(key)
        if (entry := self.waiters.get(key)) is not None and entry.member is member:
            del self.waiters[key]

    def tell(self, room: Room, answers: Iterable[Settling], changes: Sequence[Change], before: Checkpoint) -> None:
        """Tell what came of a batch that led from `before` to the room as it is."""
        seats = [change for change in changes if isinstance(change, SeatChanged)]
        rooms = [change for change in changes if isinstance(change, RoomChanged)]
        messages = [change for change in changes if isinstance(change, MessageSent)]
        events, end = self._number(room, seats, rooms, before)
        batch = self._batch = _Batch(room, seats, before, self._state)
        for pending in answers:
            pending.settle()
        self._inform_waiters(batch)
        self._send_removed_away(batch)
        if end is not None:
            self._announce([Addressed(end)], batch.fresh)
            self._disband()
            return
        self._forget_absent(room, seats)
        events += [_message(change) for change in messages]
        events += self._queue_for_hosts(room, before, batch.fresh)
        self._announce(events, batch.fresh)

    def enter(self, entry: Entry, seat: Seat) -> None:
        """Answer a join or a resume, inside the batch that decided it."""
        if seat.waits_for is None:
            self._seat(entry, seat)
        else:
            self._queue(entry, seat)

    def _number(
        self, room: Room, seats: Sequence[SeatChanged], rooms: Sequence[RoomChanged], before: Checkpoint
    ) -> tuple[list[Addressed], RoomEnded | None]:
        """Make numbered events of the batch's changes; the end of a room makes the others needless."""
        if rooms and not rooms[-1].room.is_active:
            self.seq += 1
            return [], RoomEnded(seq=self.seq, room_id=rooms[-1].room.id)
        events: list[Addressed] = []
        joined, updated, left = room.changed_since(before, seats)
        if joined or updated or left:
            self.seq += 1
            events.append(Addressed(ParticipantsChanged(seq=self.seq, joined=joined, updated=updated, left=left)))
        if rooms:
            self.seq += 1
            events.append(Addressed(RoomUpdated(seq=self.seq, room=room.view())))
        return events, None

    def _seat(self, entry: Entry, seat: Seat) -> None:
        """Give a seat's events to a member; another that had them, or waited for them, has lost the seat."""
        batch, key, member = self._batch, seat.participant.id, entry.member
        if batch.is_taken_over(key, entry.claim):  # in the very batch that gave it
            if self.waiters.get(key) is entry:
                del self.waiters[key]  # it has lost the place, and is not to be told so again
            member.seated(seat.participant, batch.state())
            member.seat_lost(TAKEN_OVER)
            return
        waited = self.waiters.pop(key, None)
        previous = self.members.get(key, waited.member if waited is not None else None)
        self.members[key] = member
        if seat.participant.is_host or entry.is_admin:
            self._hosts.add(key)
        else:
            self._hosts.discard(key)
        batch.fresh.add(key)
        try:
            member.seated(seat.participant, batch.state())
        finally:  # the other one is told even when this reply fails
            if previous is not None and previous is not member:
                previous.seat_lost(TAKEN_OVER)

    def _queue(self, entry: Entry, seat: Seat) -> None:
        """Tell a join of its place until its waiting ends; another that waited at the same place has lost it."""
        key = seat.participant.id
        previous = self.waiters.get(key)
        self.waiters[key] = entry
        self._batch.informed.add(key)
        try:
            self._inform(entry, key)
        finally:  # the other one is told even when this reply fails
            if previous is not None:
                previous.member.seat_lost(TAKEN_OVER)

    def _inform_waiters(self, batch: "_Batch") -> None:
        """Tell those whose waiting came to something, or whose place has changed."""
        for key, entry in list(self.waiters.items()):
            if key not in batch.informed and batch.has_moved(key):
                try:
                    self._inform(entry, key)
                except Exception as exc:  # the edge of a batch: one client's reply must not cost the others theirs
                    log.exception("reply failed", {"error": type(exc).__name__})

    def _inform(self, entry: Entry, key: str) -> None:
        """Tell somebody who waits what has become of it."""
        batch = self._batch
        if (seat := batch.room.seats.get(key)) is not None:
            self._seat(entry, seat)
        elif (place := batch.room.queue.get(key)) is None or place.claim is None:
            del self.waiters[key]
            if (why := batch.refusals.get(key)) is not None:
                entry.member.refused(Refused(why))
        else:
            position, reason = batch.places[key]
            entry.member.queued(place.participant, position, reason)

    def _send_removed_away(self, batch: "_Batch") -> None:
        for key, removal in batch.removals.items():
            member = self._forget(key)
            if member is not None:
                member.seat_lost(SeatLost("removed", removal.reason))

    def _forget_absent(self, room: Room, seats: Iterable[SeatChanged]) -> None:
        for change in seats:
            key = change.seat.participant.id
            seat = room.seats.get(key)
            if seat is None or seat.claim is None:
                self._forget(key)

    def _forget(self, key: str) -> Member | None:
        self._hosts.discard(key)
        self.overdue.discard(key)
        return self.members.pop(key, None)

    def _disband(self) -> None:
        """Let everyone go: the room has ended."""
        for member in self.members.values():
            member.seat_lost(ROOM_ENDED)
        self.members.clear()
        self._hosts.clear()
        self.overdue.clear()

    def _queue_for_hosts(self, room: Room, before: Checkpoint, fresh: Set[str]) -> list[Addressed]:
        """Show the queue to the hosts when it has changed, and to those who come in when there is one.

        The event has the whole queue, so a host who is behind with reading gets only the last one: a guest who joins
        and leaves the queue again and again must not cost the host their connection.
        """
        if not self._hosts or not (room.queue or before.queue or self.overdue):
            return []
        waiting = describe_queue(room.queue)
        changed = waiting != describe_queue(before.queue)
        due = self._hosts if changed else (self._hosts & fresh if waiting else set()) | self.overdue
        self.overdue = {key for key in due if self.members[key].is_behind}
        to = due - self.overdue
        return [Addressed(WaitingChanged(waiting=waiting), to)] if to else []

    def _announce(self, events: Sequence[Addressed], fresh: Set[str]) -> None:
        """Send every member but the `fresh` what is for everyone, and the addressed what is for them, in order."""
        named = {key for _, to in events if to is not None for key in to}
        if not events or (not named and self.members.keys() <= fresh):
            return
        frames = [(self._encode(event), to) for event, to in events]
        common = b"".join(frame for frame, to in frames if to is None)
        for key, member in self.members.items():
            if key in named:
                own = [frame for frame, to in frames if (key not in fresh if to is None else key in to)]
                member.events(b"".join(own))
            elif common and key not in fresh:
                member.events(common)

    def _state(self, room: Room) -> bytes:
        return self._encode(
            RoomState(
                epoch=self.epoch,
                seq=self.seq,
                room=room.view(),
                participants=room.participants(),
                messages=list(room.messages),
            )
        )


class _Batch:
    """What a batch came to, for those who are told."""

    __slots__ = ("_before", "_snapshot", "_state", "fresh", "informed", "places", "refusals", "removals", "room")

    def __init__(
        self, room: Room, seats: Iterable[SeatChanged], before: Checkpoint, snapshot: Callable[[Room], bytes]
    ) -> None:
        self.room = room
        self.fresh: set[str] = set()
        """Who got the room's state."""
        self.informed: set[str] = set()
        """Who got their place in the queue as an answer."""
        self.refusals: dict[str, ErrorKind] = {}
        """What ended somebody's waiting without a seat."""
        self.removals: dict[str, Removal] = {}
        """Who was removed from their seat."""
        self.places = _places(room.queue)
        """Position and reason of everyone in the queue."""
        self._before = _places(before.queue)
        self._snapshot = snapshot
        self._state = b""
        for change in seats:
            key = change.seat.participant.id
            if change.removal is not None:
                self.removals[key] = change.removal
                self.refusals[key] = DENIED  # to somebody who waited when the batch began
            elif change.refusal is not None:
                self.refusals[key] = change.refusal

    def has_moved(self, key: str) -> bool:
        """Return whether somebody waits otherwise than before the batch, or no more."""
        place = self.room.queue.get(key)
        return place is None or place.claim is None or self.places[key] != self._before.get(key, self.places[key])

    def is_taken_over(self, key: str, claim: int) -> bool:
        """Return whether another claim has the seat by now."""
        seat = self.room.seats.get(key)
        return seat is not None and seat.claim is not None and seat.claim != claim

    def state(self) -> bytes:
        """Encode the room's state, once for all who get it."""
        self._state = self._state or self._snapshot(self.room)
        return self._state


def _places(queue: Mapping[str, Seat]) -> dict[str, tuple[int, WaitsFor]]:
    return {key: (position, seat.waits_for or "room_full") for position, (key, seat) in enumerate(queue.items(), 1)}


def _message(change: MessageSent) -> Addressed:
    message = change.message
    return Addressed(
        MessageEvent(message=message), {message.participant_id, message.to} if message.to is not None else None
    )
