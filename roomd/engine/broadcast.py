"""Send the answers and the events of a batch to clients.

The answers are sent first, in the order of the batch, then what became of those who waited, and `removed` to those who
were removed. The events follow: at most one `participants-changed` and one `room-updated`, one event for each message,
and `waiting-changed` for hosts; or only `room-ended`. A snapshot contains the result of the whole batch. So a member
who gets a snapshot in this batch gets no public event of it, but still gets what is addressed to some members only.
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
from roomd.protocol.objects import Message
from roomd.rooms.changes import Change, MessageSent, Removal, RoomChanged, SeatChanged
from roomd.rooms.commands import SeatCommand
from roomd.rooms.history import shown_messages
from roomd.rooms.model import Seat, WaitsFor
from roomd.rooms.rights import carries_host_rights
from roomd.rooms.room import Checkpoint, Room
from roomd.rooms.seats import describe_queue

log = logging.getLogger("roomd.engine.broadcast")

TAKEN_OVER = SeatLost("taken_over")
ROOM_ENDED = SeatLost("room_ended")


class Addressed(NamedTuple):
    """An event with its addressees."""

    event: Event
    """The event."""
    to: Set[str] | None = None
    """The participant ids of the addressees; None for every member."""


class PendingAnswer(Protocol):
    """A command of a batch that was decided and whose answer was not sent yet."""

    def send_answer(self) -> None:
        """Send the answer or the refusal to the asker. Raises nothing."""


class SeatAsker:
    """The asker of a join or a resume: when it is answered, its member gets the room's events.

    `claim` is the claim of the new sitting.
    """

    __slots__ = ("_broadcast", "claim", "member")

    def __init__(self, broadcast: "Broadcast", command: SeatCommand, member: Member) -> None:
        self._broadcast = broadcast
        self.claim = command.claim
        self.member = member

    def answered(self, seat: Seat) -> None:
        """Add the member to the room or to its queue, and send the answer."""
        self._broadcast.enter(self, seat)

    def refused(self, refused: Refused) -> None:
        """Send the refusal."""
        self.member.refused(refused)


class Broadcast:
    """The members of one room, those who wait for it, and what they are sent. All keys are participant ids."""

    __slots__ = ("_batch", "_encode", "_hosts", "epoch", "hosts_behind", "members", "seq", "waiters")

    def __init__(self, encode: Encode) -> None:
        self._encode = encode
        self._batch: _Batch
        self._hosts: set[str] = set()  # the members who get `waiting-changed`
        self.epoch = ""
        """The name of the run of the room in which `seq` counts."""
        self.seq = 0
        """The number of the last numbered event."""
        self.members: dict[str, Member] = {}
        """The members who have a seat and a connection."""
        self.waiters: dict[str, SeatAsker] = {}
        """The askers of joins that wait in the queue."""
        self.hosts_behind: set[str] = set()
        """The hosts who get the queue later, because too many bytes wait for them now."""

    def unsubscribe(self, key: str, member: Member) -> None:
        """Send a member nothing more: its client has taken another seat."""
        if self.members.get(key) is member:
            self._forget(key)
        if (asker := self.waiters.get(key)) is not None and asker.member is member:
            del self.waiters[key]

    def tell(self, room: Room, answers: Iterable[PendingAnswer], changes: Sequence[Change], before: Checkpoint) -> None:
        """Send the answers and the events of one batch.

        `before` is the room before the batch, `changes` are all its changes, and `room` is the room after them.
        """
        seats = [change for change in changes if isinstance(change, SeatChanged)]
        rooms = [change for change in changes if isinstance(change, RoomChanged)]
        messages = [change for change in changes if isinstance(change, MessageSent)]
        events, end = self._number(room, seats, rooms, before)
        batch = self._batch = _Batch(room, seats, before, self._state)
        for pending in answers:
            pending.send_answer()
        self._inform_waiters(batch)
        del self._batch  # it holds the encoded snapshot, which a quiet room need not keep
        self._send_removals(batch)
        if end is not None:
            self._announce([Addressed(end)], batch.got_snapshot)
            self._end_members()
            return
        self._follow_seats(batch, seats)
        events += [_message(change) for change in messages]
        events += self._queue_for_hosts(room, before, batch.got_snapshot)
        self._announce(events, batch.got_snapshot)

    def enter(self, asker: SeatAsker, seat: Seat) -> None:
        """Answer a join or a resume. It may be called only while `tell` runs."""
        if seat.waits_for is None:
            self._seat(asker, seat)
        else:
            self._queue(asker, seat)

    def _number(
        self, room: Room, seats: Sequence[SeatChanged], rooms: Sequence[RoomChanged], before: Checkpoint
    ) -> tuple[list[Addressed], RoomEnded | None]:
        """Build the numbered events of a batch. If the room has ended, that is the only one."""
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

    def _seat(self, asker: SeatAsker, seat: Seat) -> None:
        """Make a member get the events of its seat. The member that had the seat or the place before has lost it."""
        batch, key, member = self._batch, seat.participant.id, asker.member
        is_host = carries_host_rights(seat, batch.room.settings)
        if batch.is_taken_over(key, asker.claim):  # in the same batch
            if self.waiters.get(key) is asker:
                del self.waiters[key]  # it is told once that it has lost the place
            member.seated(seat.participant, batch.state(seat, to_host=is_host))
            member.seat_lost(TAKEN_OVER)
            return
        waited = self.waiters.pop(key, None)
        previous = self.members.get(key, waited.member if waited is not None else None)
        self.members[key] = member
        self._note_host(seat)
        batch.got_snapshot.add(key)
        try:
            member.seated(seat.participant, batch.state(seat, to_host=is_host))
        finally:  # the other member is told even when this reply fails
            if previous is not None and previous is not member:
                previous.seat_lost(TAKEN_OVER)

    def _queue(self, asker: SeatAsker, seat: Seat) -> None:
        """Send the place in the queue to a member. The member that waited at this place before has lost it."""
        key = seat.participant.id
        previous = self.waiters.get(key)
        self.waiters[key] = asker
        self._batch.informed.add(key)
        try:
            self._inform(asker, key)
        finally:  # the other member is told even when this reply fails
            if previous is not None:
                previous.member.seat_lost(TAKEN_OVER)

    def _inform_waiters(self, batch: "_Batch") -> None:
        """Answer everyone who waits no longer, or whose place in the queue has changed."""
        for key, asker in list(self.waiters.items()):
            if key not in batch.informed and batch.has_moved(key):
                try:
                    self._inform(asker, key)
                except Exception as exc:  # the edge of a batch: the other replies must be sent
                    log.exception("reply failed", {"error": type(exc).__name__})

    def _inform(self, asker: SeatAsker, key: str) -> None:
        """Answer a join that waits: with its seat, with a refusal, or with its place in the queue."""
        batch = self._batch
        if (seat := batch.room.seats.get(key)) is not None:
            self._seat(asker, seat)
        elif (place := batch.room.queue.get(key)) is None or place.claim is None:
            del self.waiters[key]
            if (why := batch.refusals.get(key)) is not None:
                asker.member.refused(Refused(why))
        else:
            position, reason = batch.places[key]
            asker.member.queued(place.participant, position, reason)

    def _send_removals(self, batch: "_Batch") -> None:
        for key, removal in batch.removals.items():
            member = self._forget(key)
            if member is not None:
                member.seat_lost(SeatLost("removed", removal.reason))

    def _follow_seats(self, batch: "_Batch", seats: Iterable[SeatChanged]) -> None:
        """Forget the members who have no seat any more, and note whose new token has made them a host, or no host."""
        for change in seats:
            key = change.seat.participant.id
            seat = batch.room.seats.get(key)
            if seat is None or seat.claim is None:
                self._forget(key)
            elif key in self.members and key not in batch.got_snapshot:
                was_host = key in self._hosts
                self._note_host(seat)
                if batch.room.queue and not was_host and key in self._hosts:
                    self.hosts_behind.add(key)  # they have not been sent the queue yet

    def _note_host(self, seat: Seat) -> None:
        if seat.participant.is_host or seat.is_admin:
            self._hosts.add(seat.participant.id)
        else:
            self._hosts.discard(seat.participant.id)
            self.hosts_behind.discard(seat.participant.id)

    def _forget(self, key: str) -> Member | None:
        self._hosts.discard(key)
        self.hosts_behind.discard(key)
        return self.members.pop(key, None)

    def _end_members(self) -> None:
        """Send every member that the room has ended, and forget them."""
        for member in self.members.values():
            member.seat_lost(ROOM_ENDED)
        self.members.clear()
        self._hosts.clear()
        self.hosts_behind.clear()

    def _queue_for_hosts(self, room: Room, before: Checkpoint, got_snapshot: Set[str]) -> list[Addressed]:
        """Build `waiting-changed`: for all hosts when the queue has changed, else for new hosts if somebody waits.

        The event has the whole queue, so a host who reads slowly gets only the last one. Otherwise a guest who joins
        and leaves the queue repeatedly could fill the host's outbox, and the host would be disconnected.
        """
        if not self._hosts or not (room.queue or before.queue or self.hosts_behind):
            return []
        waiting = describe_queue(room.queue)
        changed = waiting != describe_queue(before.queue)
        due = self._hosts if changed else (self._hosts & got_snapshot if waiting else set()) | self.hosts_behind
        self.hosts_behind = {key for key in due if self.members[key].is_behind}
        to = due - self.hosts_behind
        return [Addressed(WaitingChanged(waiting=waiting), to)] if to else []

    def _announce(self, events: Sequence[Addressed], got_snapshot: Set[str]) -> None:
        """Send the events in order: public ones to members without a new snapshot, others to their addressees."""
        named = {key for _, to in events if to is not None for key in to}
        if not events or (not named and self.members.keys() <= got_snapshot):
            return
        frames = [(self._encode(event), to) for event, to in events]
        common = b"".join(frame for frame, to in frames if to is None)
        for key, member in self.members.items():
            if key in named:
                own = [frame for frame, to in frames if (key not in got_snapshot if to is None else key in to)]
                member.events(b"".join(own))
            elif common and key not in got_snapshot:
                member.events(common)

    def _state(self, room: Room, messages: Sequence[Message]) -> bytes:
        return self._encode(
            RoomState(
                epoch=self.epoch,
                seq=self.seq,
                room=room.view(),
                participants=room.participants(),
                messages=list(messages),
            )
        )


class _Batch:
    """The result of a batch, and who has been sent what of it."""

    __slots__ = (
        "_before",
        "_snapshot",
        "_states",
        "got_snapshot",
        "informed",
        "places",
        "refusals",
        "removals",
        "room",
    )

    def __init__(
        self,
        room: Room,
        seats: Iterable[SeatChanged],
        before: Checkpoint,
        snapshot: Callable[[Room, Sequence[Message]], bytes],
    ) -> None:
        self.room = room
        self.got_snapshot: set[str] = set()
        """The members who got a snapshot."""
        self.informed: set[str] = set()
        """Those who got their place in the queue as an answer."""
        self.refusals: dict[str, ErrorKind] = {}
        """The errors of those who wait no longer and got no seat."""
        self.removals: dict[str, Removal] = {}
        """Those whom a host removed from their seat."""
        self.places = _places(room.queue)
        """The position and the reason of everyone in the queue."""
        self._before = _places(before.queue)
        self._snapshot = snapshot
        self._states: dict[tuple[str, ...], bytes] = {}  # by the ids of the messages in it
        for change in seats:
            key = change.seat.participant.id
            if change.removal is not None:
                self.removals[key] = change.removal
                self.refusals[key] = DENIED  # for somebody who waited when the batch began
            elif change.refusal is not None:
                self.refusals[key] = change.refusal

    def has_moved(self, key: str) -> bool:
        """Return whether somebody waits no longer, or whether their position or reason has changed."""
        place = self.room.queue.get(key)
        return place is None or place.claim is None or self.places[key] != self._before.get(key, self.places[key])

    def is_taken_over(self, key: str, claim: int) -> bool:
        """Return whether the seat has another claim now."""
        seat = self.room.seats.get(key)
        return seat is not None and seat.claim is not None and seat.claim != claim

    def state(self, seat: Seat, *, to_host: bool) -> bytes:
        """Return the snapshot for a participant as a frame. It is encoded once for all who see the same messages."""
        messages = shown_messages(self.room, seat, to_host=to_host)
        key = tuple(message.id for message in messages)
        if key not in self._states:
            self._states[key] = self._snapshot(self.room, messages)
        return self._states[key]


def _places(queue: Mapping[str, Seat]) -> dict[str, tuple[int, WaitsFor]]:
    return {key: (position, seat.waits_for or "room_full") for position, (key, seat) in enumerate(queue.items(), 1)}


def _message(change: MessageSent) -> Addressed:
    message = change.message
    return Addressed(
        MessageEvent(message=message), {message.participant_id, message.to} if message.to is not None else None
    )
