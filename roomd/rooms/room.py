"""The state of one room, and how it changes.

`decide` reads the state and returns changes, or raises `Refused`; `apply` writes one change. Nothing else changes a
room. So a refused command has changed nothing, and all changes of a room, applied again in order, give the same room.
`seats.apply_changes` applies the changes of a command, and those of the queue that follow from them.

Nothing here reads a clock, draws a random number or waits: times, ids and hashes are arguments. `deadline` returns the
time at which `Expire` is due.
"""

from abc import abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import ClassVar, Generic, NamedTuple, TypeVar

import msgspec

from roomd.protocol.errors import ROOM_NOT_FOUND, ErrorKind
from roomd.protocol.objects import Ban, Message, Participant
from roomd.protocol.objects import Room as RoomView
from roomd.rooms.answers import ParticipantChanges
from roomd.rooms.changes import (
    Banned,
    Change,
    KnockDenied,
    MessagesDeleted,
    MessageSent,
    RoomChanged,
    RoomDeleted,
    RoomEmptied,
    SeatChanged,
    Unbanned,
)
from roomd.rooms.denials import Denial
from roomd.rooms.lifetime import ends_at
from roomd.rooms.model import Caller, Moment, PersonKey, Seat, SentId, StoredRoom
from roomd.rooms.settings import Rules

MESSAGE_BYTES = 600
"""About how many bytes a message has in the database without its text, with its place in the indexes."""

MESSAGES_SHOWN = 50
"""The number of public messages in a `room-state` (docs/protocol.md, section 8)."""

MOST_SENT = 500
"""The number of messages whose client ids a room has in memory. The store finds those of older ones."""

MOST_DENIALS = 1000
"""The number of denials that a room remembers; then it forgets the oldest one."""

A_co = TypeVar("A_co", covariant=True)
A = TypeVar("A")


class Decision(msgspec.Struct, Generic[A_co], frozen=True):
    """The result of a command that is not refused."""

    changes: Sequence[Change]
    """The changes to apply and to store, in this order."""
    answer: A_co
    """The answer for the asker."""


class Command(msgspec.Struct, Generic[A_co], frozen=True, tag=True):
    """One operation on a room, with its arguments; its answer is an `A_co`. Each is a subclass, its name the tag."""

    without_room: ClassVar[ErrorKind] = ROOM_NOT_FOUND
    """The error when there is no room with the code."""
    is_alone: ClassVar[bool] = False
    """Whether the command needs a batch of its own."""
    is_repeatable: ClassVar[bool] = False
    """Whether the command may be submitted again when it may have had its effect already: twice does no harm."""

    @abstractmethod
    def decide(self, room: "Room", now: Moment) -> Decision[A_co]:
        """Return the changes and the answer of the command, and change nothing.

        Raises `Refused`.
        """

    def delayed(self, seconds: float) -> "Command[A_co]":  # noqa: ARG002 - the age of most commands does not matter
        """Return the command as it is after it has waited `seconds` for its batch."""
        return self

    def repeated(self) -> "Command[A_co] | None":
        """Return the command to submit when it is not known whether this one had its effect; None for none."""
        return self if self.is_repeatable else None


class Checkpoint(NamedTuple):
    """The whole state of a room at one time. Later changes of the room do not change it.

    The attributes are those of `Room`. `by_user` has the participant id of each user; `held` has, by participant id,
    the time on the monotonic clock at which a held seat or place expires.
    """

    view: RoomView
    seats: Mapping[str, Seat]
    queue: Mapping[str, Seat]
    hidden: Mapping[str, Seat]
    by_user: Mapping[str, str]
    held: Mapping[str, float]
    bans: Mapping[PersonKey, Ban]
    denials: Mapping[PersonKey, Denial]
    messages: Sequence[Message]
    last_id: str
    sent: Sequence[SentId]
    message_bytes: int
    deleted_bytes: int
    empty_since: str | None
    is_deleted: bool


class Room:
    """The state of one room. Seats and places in the queue are in the order in which they were taken.

    Everybody is in one of three mappings. What clients see is made of the seats, and of the queue for hosts. So nobody
    sees, and nothing counts, those who are hidden.

    `denials` are those that the room had before, which are not stored.
    """

    def __init__(self, stored: StoredRoom, rules: Rules, denials: Mapping[PersonKey, Denial] | None = None) -> None:
        self.rules = rules
        """What the configuration sets for every room."""
        self._view = stored.view
        self._seats: dict[str, Seat] = {}
        self._queue: dict[str, Seat] = {}
        self._hidden: dict[str, Seat] = {}
        self._by_user: dict[str, str] = {}
        self._held: dict[str, float] = {}
        self._bans = dict(stored.bans)
        self._denials = denials or {}
        self._messages = tuple(stored.messages)
        self._last_id = stored.last_id
        self._sent = dict.fromkeys(stored.sent)
        self._message_bytes = stored.message_bytes
        self._deleted_bytes = stored.deleted_bytes
        self.empty_since = stored.empty_since
        """The stamp of the time since when nobody has been in a room that ends when it is empty; else None."""
        self.is_deleted = False
        """Whether the room was deleted."""
        self.ends_at: str | None = None
        """The stamp of the time at which the room ends by itself, unless something changes; None for never."""
        self._set_end()
        for seat in stored.seats:
            self.apply(SeatChanged(seat))

    @property
    def settings(self) -> RoomView:
        """The room's settings, in the form that clients see. The participant count in it is always 0: see `view`."""
        return self._view

    @property
    def seats(self) -> Mapping[str, Seat]:
        """The seats by participant id; the caller must not change the mapping."""
        return self._seats

    @property
    def queue(self) -> Mapping[str, Seat]:
        """The places in the queue by participant id; the caller must not change the mapping."""
        return self._queue

    @property
    def hidden(self) -> Mapping[str, Seat]:
        """The admins who are there unseen, by participant id; the caller must not change the mapping."""
        return self._hidden

    @property
    def is_empty(self) -> bool:
        """Whether nobody is in the room, waits for a seat, or is there unseen."""
        return not (self._seats or self._queue or self._hidden)

    @property
    def held(self) -> list[Seat]:
        """The held seats and the dropped places of others, in the order in which they were dropped."""
        return [seat for key in self._held if (seat := self.place_of(key)) is not None]

    @property
    def bans(self) -> Mapping[PersonKey, Ban]:
        """The bans by whom they keep out; the caller must not change the mapping."""
        return self._bans

    @property
    def denials(self) -> Mapping[PersonKey, Denial]:
        """The last denials of those who were denied a seat; the caller must not change the mapping."""
        return self._denials

    @property
    def messages(self) -> Sequence[Message]:
        """The last public messages, at most 50, oldest first."""
        return self._messages

    @property
    def last_id(self) -> str:
        """The highest id of anything in the room so far; empty for none."""
        return self._last_id

    @property
    def sent(self) -> Collection[SentId]:
        """Who sent the last messages under which client id; the caller must not change it."""
        return self._sent.keys()

    @property
    def message_bytes(self) -> int:
        """About how many bytes all messages of the room had in the database, with those that were deleted."""
        return self._message_bytes

    @property
    def deleted_bytes(self) -> int:
        """About how many of them were deleted because they were old."""
        return self._deleted_bytes

    @property
    def free_seats(self) -> int:
        """The number of free seats; negative when the limit is now lower than the number of taken seats."""
        return self._view.max_participants - len(self._seats)

    def view(self) -> RoomView:
        """Return the room as clients see it, with its participant count."""
        return msgspec.structs.replace(self._view, participant_count=len(self._seats))

    def participants(self) -> list[Participant]:
        """Return everyone who has a seat, in the order in which they took it."""
        return [seat.participant for seat in self._seats.values()]

    @property
    def places(self) -> list[Seat]:
        """Every seat, place in the queue and hidden place."""
        return [*self._seats.values(), *self._queue.values(), *self._hidden.values()]

    def place_of(self, participant_id: str | None) -> Seat | None:
        """Return the seat, the place in the queue, or the hidden place of a participant id; None without one."""
        if participant_id is None:
            return None
        return self._seats.get(participant_id) or self._queue.get(participant_id) or self._hidden.get(participant_id)

    def place_of_user(self, user_id: str | None) -> Seat | None:
        """Return the seat, or the place in the queue, of a user; None when there is none, and for no user."""
        return self.place_of(self._by_user.get(user_id)) if user_id is not None else None

    def place_of_caller(self, caller: Caller) -> Seat | None:
        """Return the caller's seat, or their place in the queue; None when they have none.

        A user is found by user id. A guest is found only by the connection that has the seat, never by name.
        """
        if (own := self.place_of_user(caller.user_id)) is not None:
            return own
        seat = self.place_of(caller.seat_id)
        return seat if seat is not None and seat.claim == caller.claim else None

    def deadline(self) -> float | None:
        """Return the time on the monotonic clock at which the next held seat or place expires; None without one."""
        return min(self._held.values()) if self._held else None

    def expired(self, clock: float) -> list[Seat]:
        """Return the seats and places whose hold is over at `clock`, a time of the monotonic clock."""
        return [seat for seat in self.held if seat.held_until <= clock]

    def decide(self, command: Command[A], now: Moment) -> Decision[A]:
        """Return the changes and the answer of a command, and change nothing.

        Raises `Refused`.
        """
        return command.decide(self, now)

    def apply(self, change: Change) -> None:
        """Write one change into the room."""
        match change:
            case SeatChanged(seat=seat):
                self._place(seat)
            case MessageSent(message=message):
                self._message_bytes = change.total_bytes
                self._last_id = max(self._last_id, message.id)
                if message.client_id is not None:
                    self._sent[message.participant_id or "", message.client_id] = None
                if message.to is None:
                    self._messages = (*self._messages, message)[-MESSAGES_SHOWN:]
            case RoomChanged(room=room):
                self._view = room
                self._set_end()
            case RoomEmptied(since=since):
                self.empty_since = since
                self._set_end()
            case RoomDeleted():
                self.is_deleted = True
            case MessagesDeleted(through=through, total_bytes=total_bytes, ids=ids):
                kept = (one for one in self._messages if one.id > through and one.id not in ids)
                self._messages = tuple(kept)
                self._deleted_bytes = total_bytes
            case Banned(who=who, ban=ban):
                self._bans[who] = ban
            case Unbanned(who=who):
                del self._bans[who]
            case KnockDenied():  # pragma: no branch - there is no other change
                self._deny(change)

    def checkpoint(self) -> Checkpoint:
        """Return a copy of the state, for `restore` and `changed_since`.

        It is made before a batch, so that no client id is forgotten within one.
        """
        while len(self._sent) > MOST_SENT:
            del self._sent[next(iter(self._sent))]
        return Checkpoint(
            self._view,
            self._seats.copy(),
            self._queue.copy(),
            self._hidden.copy(),
            self._by_user.copy(),
            self._held.copy(),
            self._bans.copy(),
            self._denials,
            self._messages,
            self._last_id,
            tuple(self._sent),
            self._message_bytes,
            self._deleted_bytes,
            self.empty_since,
            self.is_deleted,
        )

    def restore(self, checkpoint: Checkpoint) -> None:
        """Set the state back to a checkpoint."""
        self._view = checkpoint.view
        self._seats = dict(checkpoint.seats)
        self._queue = dict(checkpoint.queue)
        self._hidden = dict(checkpoint.hidden)
        self._by_user = dict(checkpoint.by_user)
        self._held = dict(checkpoint.held)
        self._bans = dict(checkpoint.bans)
        self._denials = checkpoint.denials
        self._messages = tuple(checkpoint.messages)
        self._last_id = checkpoint.last_id
        self._sent = dict.fromkeys(checkpoint.sent)
        self._message_bytes = checkpoint.message_bytes
        self._deleted_bytes = checkpoint.deleted_bytes
        self.empty_since = checkpoint.empty_since
        self.is_deleted = checkpoint.is_deleted
        self._set_end()

    def add_sent(self, sent: Iterable[SentId]) -> None:
        """Add client ids of older messages, which the store has found."""
        self._sent.update(dict.fromkeys(sent))

    def changed_since(self, before: Checkpoint, seats: Iterable[SeatChanged]) -> ParticipantChanges:
        """Return the net effect on participants since `before`, in the order of `seats`.

        `seats` are all seat changes that were applied since `before`.
        """
        changed = ParticipantChanges([], [], [])
        touched = {change.seat.participant.id: change.seat for change in seats}
        for key, last in touched.items():
            old, new = before.seats.get(key), self._seats.get(key)
            if old is None and new is not None:
                changed.joined.append(new.participant)
            elif old is not None and new is None:
                changed.left.append(last.participant)
            elif old is not None and new is not None and not is_same_to_clients(old.participant, new.participant):
                changed.updated.append(new.participant)
        return changed

    def _set_end(self) -> None:
        self.ends_at = ends_at(self._view, self.empty_since)

    def _place(self, seat: Seat) -> None:
        """Write a seat into its mapping, or remove it when the participant has left."""
        key, user_id = seat.participant.id, seat.participant.user_id
        self._last_id = max(self._last_id, key, seat.seated_id or key)  # `seat.since`, on the way of every join
        self._held.pop(key, None)
        if seat.participant.is_hidden:
            here = self._hidden
        else:
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
        if seat.claim is None:
            self._held[key] = seat.held_until

    def _deny(self, change: KnockDenied) -> None:
        """Write a denial, and forget those that are over, and the oldest one when there are too many."""
        clock = change.denial.denied_at
        kept = {who: one for who, one in self._denials.items() if who != change.who and not one.is_forgotten(clock)}
        for who in list(kept)[: max(0, len(kept) + 1 - MOST_DENIALS)]:
            del kept[who]
        self._denials = {**kept, change.who: change.denial}


def is_same_to_clients(one: Participant, other: Participant) -> bool:
    """Return whether clients see no difference between two participants. 1 and true are different."""
    return one == other and repr(one.state) == repr(other.state) and repr(one.metadata) == repr(other.metadata)
