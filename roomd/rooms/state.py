"""What is true of one room: who sits, who waits, who is banned, what was said last; and how an event changes it.

`apply` is the only way in, so a log of events replayed is the room. Which events come of what is asked: see `room.py`.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from roomd.protocol.objects import Ban, Message, Participant, Room, Waiting
from roomd.rooms.commands import (
    Caller,
    Changes,
    Event,
    Kept,
    MessageSent,
    RoomChanged,
    Seat,
    SeatChanged,
    UserBanned,
    UserUnbanned,
)

MESSAGES_SHOWN = 50
"""Public messages in a `room-state` (docs/protocol.md, section 8)."""


class Checkpoint(NamedTuple):
    """A room's whole state at one time; later changes do not reach it."""

    view: Room
    seats: Mapping[str, Seat]
    queue: Mapping[str, Seat]
    by_user: Mapping[str, str]
    held: Mapping[str, float]
    bans: Mapping[str, Ban]
    messages: Sequence[Message]


class RoomState:
    """The state of one room; seats and the queue are in the order they were taken."""

    def __init__(self, kept: Kept) -> None:
        self._view = kept.view
        self._seats: dict[str, Seat] = {}
        self._queue: dict[str, Seat] = {}
        self._by_user: dict[str, str] = {}
        self._held: dict[str, float] = {}
        self._bans = {ban.user_id: ban for ban in kept.bans}
        self._messages = tuple(kept.messages)
        for seat in kept.seats:
            self.apply(SeatChanged(seat))

    @property
    def seats(self) -> Mapping[str, Seat]:
        """Seats by participant id; to read, not to write."""
        return self._seats

    @property
    def queue(self) -> Mapping[str, Seat]:
        """Who waits, by participant id; to read, not to write."""
        return self._queue

    @property
    def bans(self) -> Mapping[str, Ban]:
        """Bans by user id; to read, not to write."""
        return self._bans

    @property
    def messages(self) -> Sequence[Message]:
        """The last public messages, oldest first."""
        return self._messages

    def view(self) -> Room:
        """Describe the room as clients see it."""
        return msgspec.structs.replace(self._view, participant_count=len(self._seats))

    def participants(self) -> list[Participant]:
        """Everyone who holds a seat, in the order they took it."""
        return [seat.participant for seat in self._seats.values()]

    def deadline(self) -> float | None:
        """Say at which clock time the room wants to be sent `Expire`; None for never."""
        return min(self._held.values()) if self._held else None

    def checkpoint(self) -> Checkpoint:
        """Remember the state, to compare with it or to go back to it."""
        return Checkpoint(
            self._view,
            self._seats.copy(),
            self._queue.copy(),
            self._by_user.copy(),
            self._held.copy(),
            self._bans.copy(),
            self._messages,
        )

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go back to a remembered state."""
        self._view = checkpoint.view
        self._seats = dict(checkpoint.seats)
        self._queue = dict(checkpoint.queue)
        self._by_user = dict(checkpoint.by_user)
        self._held = dict(checkpoint.held)
        self._bans = dict(checkpoint.bans)
        self._messages = tuple(checkpoint.messages)

    def apply(self, event: Event) -> None:
        """Make an event true."""
        match event:
            case SeatChanged(seat=seat):
                self._place(seat)
            case RoomChanged(room=room):
                self._view = room
            case MessageSent(message=message):
                if message.to is None:
                    self._messages = (*self._messages, message)[-MESSAGES_SHOWN:]
            case UserBanned(ban=ban):
                self._bans[ban.user_id] = ban
            case UserUnbanned():  # pragma: no branch - there is no other event
                del self._bans[event.user_id]

    def changes_since(self, before: Checkpoint, events: Iterable[Event]) -> Changes:
        """Net effect of the `events` that led from `before` to now, in the order they touched participants."""
        changes = Changes([], [], [])
        touched = {event.seat.participant.id: event.seat for event in events if isinstance(event, SeatChanged)}
        for key, last in touched.items():
            old, new = before.seats.get(key), self._seats.get(key)
            if old is None and new is not None:
                changes.joined.append(new.participant)
            elif old is not None and new is None:
                changes.left.append(last.participant)
            elif old is not None and new is not None and not same(old.participant, new.participant):
                changes.updated.append(new.participant)
        return changes

    def _place(self, seat: Seat) -> None:
        """Put a participant where they are now: on a seat, in the queue, or out."""
        key, user_id = seat.participant.id, seat.participant.user_id
        self._held.pop(key, None)
        here, elsewhere = (self._queue, self._seats) if seat.waits_for else (self._seats, self._queue)
        elsewhere.pop(key, None)
        if seat.participant.left_at is not None:
            del here[key]
            if user_id is not None:
                del self._by_user[user_id]
            return
        here[key] = seat
        if user_id is not None:
            self._by_user[user_id] = key
        if seat.owner is None:
            self._held[key] = seat.held_until

    def _place_of(self, key: str | None) -> Seat | None:
        """Find a seat or a place in the queue by its participant's id."""
        return (self._seats.get(key) or self._queue.get(key)) if key is not None else None

    def _found(self, caller: Caller) -> Seat | None:
        """Find the caller's seat or place in the queue.

        A user's by user id; a guest's, never by name, only while their connection has it.
        """
        if caller.user_id is not None and (key := self._by_user.get(caller.user_id)) is not None:
            return self._place_of(key)
        seat = self._place_of(caller.seat_id)
        return seat if seat is not None and seat.owner == caller.owner else None

    def _free(self) -> int:
        """Count the free seats; below zero when the limit was lowered under those who sit."""
        return self._view.max_participants - len(self._seats)


def same(one: Participant, other: Participant) -> bool:
    """Say whether two participants look the same to clients, who tell 1 from true."""
    return one == other and repr(one.state) == repr(other.state)


def waiting(queue: Mapping[str, Seat]) -> list[Waiting]:
    """Describe everyone in a queue as hosts see them, in the order they came."""
    return [
        Waiting(
            participant_id=key,
            user_id=seat.participant.user_id,
            guest_name=seat.participant.guest_name,
            display_name=seat.participant.display_name,
            is_active=seat.participant.is_active,
            position=position,
            reason=seat.waits_for or "",
            waiting_since=seat.participant.joined_at,
        )
        for position, (key, seat) in enumerate(queue.items(), 1)
    ]
