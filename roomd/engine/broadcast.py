"""Send the answers and the events of a batch to clients.

The answers are sent first, in the order of the batch, then what became of those who waited, and `removed` to those who
were removed. The events follow: at most one `participants-changed` and one `room-updated`, one event for each message,
and `waiting-changed` for hosts; or only `room-ended`. A snapshot contains the result of the whole batch. So a member
who gets a snapshot in this batch gets no public event of it, but still gets what is addressed to some members only.
A member who has left out events, because too many bytes waited for it, gets a new snapshot.
"""

import logging
from collections.abc import Iterable, Sequence, Set
from typing import NamedTuple, Protocol

from roomd.engine.audience import hide_user_ids
from roomd.engine.batch import Batch
from roomd.engine.host_queue import HostQueue
from roomd.engine.ports import Encode, Member, SeatLost
from roomd.protocol.errors import Refused
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
from roomd.rooms.changes import Change, MessageSent, RoomChanged, SeatChanged
from roomd.rooms.commands import Attach, SeatCommand
from roomd.rooms.model import Seat
from roomd.rooms.rights import carries_host_rights
from roomd.rooms.room import Checkpoint, Room
from roomd.rooms.seats import describe_queue
from roomd.rooms.user_ids import sees_user_ids

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

    def __init__(self, broadcast: "Broadcast", command: SeatCommand | Attach, member: Member) -> None:
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

    __slots__ = ("_batch", "_encode", "_late", "epoch", "hosts", "members", "seq", "waiters")

    def __init__(self, encode: Encode) -> None:
        self._encode = encode
        self._batch: Batch
        self._late: set[str] = set()  # those who get a snapshot, or their place in the queue, with the next batch
        self.epoch = ""
        """The name of the run of the room in which `seq` counts."""
        self.seq = 0
        """The number of the last numbered event."""
        self.members: dict[str, Member] = {}
        """The members who have a seat and a connection."""
        self.waiters: dict[str, SeatAsker] = {}
        """The askers of joins that wait in the queue."""
        self.hosts = HostQueue()
        """The members who get `waiting-changed`."""

    def unsubscribe(self, key: str, member: Member) -> None:
        """Send a member nothing more: its client has taken another seat."""
        if self.members.get(key) is member:
            self._forget(key)
        if (asker := self.waiters.get(key)) is not None and asker.member is member:
            del self.waiters[key]

    def refresh_later(self, key: str, member: Member) -> bool:
        """Send this member a snapshot, or its place in the queue, with the next batch. Return whether it is there."""
        asker = self.waiters.get(key)
        is_there = self.members.get(key) is member or (asker is not None and asker.member is member)
        if is_there:
            self._late.add(key)
        return is_there

    @property
    def is_idle(self) -> bool:
        """Whether nobody is to be sent anything later, so that `wake_at` is infinite."""
        return not self._late and self.hosts.is_idle

    def wake_at(self, clock: float) -> float:
        """Return the time at which `tell` must be called for what is sent later; infinite when there is nothing."""
        return clock if self._late else self.hosts.wake_at(clock)

    def tell(
        self,
        room: Room,
        answers: Iterable[PendingAnswer],
        changes: Sequence[Change],
        before: Checkpoint,
        clock: float,
    ) -> None:
        """Send the answers and the events of one batch.

        `before` is the room before the batch, `changes` are all its changes, and `room` is the room after them.
        `clock` is the time on the monotonic clock.
        """
        seats: list[SeatChanged] = []
        rooms: list[RoomChanged] = []
        messages: list[MessageSent] = []
        for change in changes:
            if isinstance(change, SeatChanged):
                seats.append(change)
            elif isinstance(change, MessageSent):
                messages.append(change)
            elif isinstance(change, RoomChanged):
                rooms.append(change)
        events, end = self._number(room, seats, rooms, before)
        batch = self._batch = Batch(room, seats, before, self._state)
        for pending in answers:
            pending.send_answer()
        late, self._late = self._late, set()
        self._inform_waiters(batch, late)
        del self._batch  # it holds the encoded snapshot, which a quiet room need not keep
        self._send_removals(batch)
        if end is not None:
            self._end_members(end)
            return
        self._follow_seats(batch, seats)
        self._refresh(batch, late)
        events += [_message(change) for change in messages]
        events += self._queue_for_hosts(room, before, batch.got_snapshot, clock)
        if former := self.hosts.take_former():
            events.append(Addressed(WaitingChanged(waiting=[]), former))
        self._announce(room, events, batch.got_snapshot)

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
            return [], RoomEnded(seq=self.seq, room_id=rooms[-1].room.id, reason=rooms[-1].reason)
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
        now = batch.room.place_of(key) or seat  # a later command of the batch may have handed the room over
        is_host = carries_host_rights(now, batch.room.settings)
        if batch.is_taken_over(key, asker.claim):  # in the same batch
            if self.waiters.get(key) is asker:
                del self.waiters[key]  # it is told once that it has lost the place
            member.seated(seat.participant, batch.state(seat, to_host=is_host))
            member.seat_lost(TAKEN_OVER)
            return
        waited = self.waiters.pop(key, None)
        previous = self.members.get(key, waited.member if waited is not None else None)
        self.members[key] = member
        self._note_host(now)
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
            if previous is not None and previous.member is not asker.member:
                previous.member.seat_lost(TAKEN_OVER)

    def _inform_waiters(self, batch: Batch, late: Set[str]) -> None:
        """Answer everyone who waits no longer, and those who are late or whose place in the queue has changed."""
        for key, asker in list(self.waiters.items()):
            if key not in batch.informed and (key in late or batch.has_moved(key)):
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

    def _send_removals(self, batch: Batch) -> None:
        for key, removal in batch.removals.items():
            member = self._forget(key)
            if member is not None:
                member.seat_lost(SeatLost("removed", removal.reason))

    def _follow_seats(self, batch: Batch, seats: Iterable[SeatChanged]) -> None:
        """Forget the members who have no seat any more, and note who has become a host, or is one no more."""
        for change in seats:
            key = change.seat.participant.id
            seat = batch.room.place_of(key)
            if seat is None or seat.claim is None:
                self._forget(key)
            elif key in self.members and key not in batch.got_snapshot:
                was_host = self.hosts.is_host(key)
                self._note_host(seat)
                if batch.room.queue and not was_host and self.hosts.is_host(key):
                    self.hosts.send_later(key)  # they have not been sent the queue yet

    def _refresh(self, batch: Batch, late: Set[str]) -> None:
        """Send a snapshot to the members who are late and did not get one in this batch."""
        for key in late:
            member, seat = self.members.get(key), batch.room.place_of(key)
            if member is not None and seat is not None and key not in batch.got_snapshot:
                batch.got_snapshot.add(key)
                member.refreshed(batch.state(seat, to_host=carries_host_rights(seat, batch.room.settings)))

    def _note_host(self, seat: Seat) -> None:
        if seat.participant.role != "member":
            self.hosts.add(seat.participant.id)
        else:
            self.hosts.demote(seat.participant.id)

    def _forget(self, key: str) -> Member | None:
        self.hosts.remove(key)
        return self.members.pop(key, None)

    def _end_members(self, end: RoomEnded) -> None:
        """Send every member that the room has ended, and forget them."""
        frame = self._encode(end)
        for member in self.members.values():
            member.events(frame, are_last=True)
            member.seat_lost(ROOM_ENDED)
        self.members.clear()
        self.hosts.clear()

    def _queue_for_hosts(self, room: Room, before: Checkpoint, got_snapshot: Set[str], clock: float) -> list[Addressed]:
        """Build `waiting-changed` for the hosts who are due."""
        if not (room.queue or before.queue) and self.hosts.is_idle:
            return []
        waiting = describe_queue(room.queue)
        to = self.hosts.take_due(waiting, describe_queue(before.queue), got_snapshot, self.members, clock)
        return [Addressed(WaitingChanged(waiting=waiting), to)] if to else []

    def _announce(self, room: Room, events: Sequence[Addressed], got_snapshot: Set[str]) -> None:
        """Send the events in order: public ones to members without a new snapshot, others to their addressees."""
        named: Set[str] = frozenset()
        for _, to in events:
            if to is not None:
                named |= to
        if not events or (not named and self.members.keys() <= got_snapshot):
            return
        frames = [(self._encode(event), to) for event, to in events]
        common, of_guests, common_of_guests, guests = _join(frames), frames, b"", set[str]()
        if not sees_user_ids(room.rules, None):
            of_guests = [(self._encode(hide_user_ids(event)), to) for event, to in events]
            common_of_guests = _join(of_guests)
            guests = {key for key, seat in room.seats.items() if seat.participant.user_id is None}
        if not named and not guests:  # the usual case, in which all get the same
            for key, member in self.members.items():
                if key not in got_snapshot:
                    member.events(common)
            return
        for key, member in self.members.items():
            if key in named:
                some = of_guests if key in guests else frames
                own = [frame for frame, to in some if (key not in got_snapshot if to is None else key in to)]
                member.events(b"".join(own))
            elif common and key not in got_snapshot:
                member.events(common_of_guests if key in guests else common)

    def _state(self, room: Room, messages: Sequence[Message], user_id: str | None) -> bytes:
        """Return the snapshot for a participant as a frame. `user_id` is theirs, None for a guest."""
        state = RoomState(
            epoch=self.epoch,
            seq=self.seq,
            room=room.view(),
            participants=room.participants(),
            messages=list(messages),
        )
        return self._encode(state if sees_user_ids(room.rules, user_id) else hide_user_ids(state))


def _join(frames: Iterable[tuple[bytes, Set[str] | None]]) -> bytes:
    """Join the frames that are for everybody."""
    return b"".join(frame for frame, to in frames if to is None)


def _message(change: MessageSent) -> Addressed:
    message = change.message
    return Addressed(
        MessageEvent(message=message), {message.participant_id or "", message.to} if message.to is not None else None
    )
