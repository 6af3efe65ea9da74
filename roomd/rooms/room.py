"""One room: its state, and the decisions about it.

`decide` reads and answers with changes, or raises `Refused`; `apply` writes one change. Nothing else moves a room, so
a log of changes replayed is the room, and a refused command has changed nothing. After every command's changes those
of `follow_up` are due (see `seats.py`).

Nothing here reads a clock, draws a number or waits: moments, ids and hashes come in as arguments, and `deadline` says
when the room has to be asked to expire seats.
"""

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar, Generic, NamedTuple, TypeVar

import msgspec

from roomd.protocol.errors import ROOM_NOT_FOUND, ErrorKind
from roomd.protocol.objects import Ban, Message, Participant
from roomd.protocol.objects import Room as RoomView
from roomd.rooms.answers import Changed
from roomd.rooms.changes import Change, MessageSent, RoomChanged, SeatChanged, UserBanned, UserUnbanned
from roomd.rooms.model import Caller, Moment, Seat, StoredRoom
from roomd.rooms.settings import Rules

MESSAGES_SHOWN = 50
"""Public messages in a `room-state` (docs/protocol.md, section 8)."""

A_co = TypeVar("A_co", covariant=True)
A = TypeVar("A")


class Decision(msgspec.Struct, Generic[A_co], frozen=True):
    """What a command comes to."""

    changes: Sequence[Change]
    """To apply and to keep, in this order."""
    answer: A_co
    """For the one who asked."""


class Command(msgspec.Struct, Generic[A_co], frozen=True):
    """Something that is asked of a room and answered with an `A_co`. A subclass is one operation."""

    without_room: ClassVar[ErrorKind] = ROOM_NOT_FOUND
    """The refusal when there is no such room."""
    is_alone: ClassVar[bool] = False
    """The command has a batch of its own."""

    @abstractmethod
    def decide(self, room: "Room", now: Moment) -> Decision[A_co]:
        """Decide what the command comes to, and change nothing.

        Raises `Refused`.
        """

    def delayed(self, seconds: float) -> "Command[A_co]":  # noqa: ARG002 - most commands mean the same at any time
        """Return what the command is after it has waited `seconds` for its batch."""
        return self


class Checkpoint(NamedTuple):
    """A room's whole state at one time; later changes do not reach it."""

    view: RoomView
    seats: Mapping[str, Seat]
    queue: Mapping[str, Seat]
    by_user: Mapping[str, str]
    held: Mapping[str, float]
    bans: Mapping[str, Ban]
    messages: Sequence[Message]
    last_id: str


class Room:
    """The state of one room. Seats and the queue are in the order they were taken."""

    def __init__(self, stored: StoredRoom, rules: Rules) -> None:
        self.rules = rules
        """What the configuration sets for every room."""
        self._view = stored.view
        self._seats: dict[str, Seat] = {}
        self._queue: dict[str, Seat] = {}
        self._by_user: dict[str, str] = {}
        self._held: dict[str, float] = {}
        self._bans = {ban.user_id: ban for ban in stored.bans}
        self._messages = tuple(stored.messages)
        self._last_id = stored.last_id
        for seat in stored.seats:
            self.apply(SeatChanged(seat))

    @property
    def settings(self) -> RoomView:
        """The room as it was last set up; its participant count is not kept up to date (see `view`)."""
        return self._view

    @property
    def seats(self) -> Mapping[str, Seat]:
        """Seats by participant id; read only."""
        return self._seats

    @property
    def queue(self) -> Mapping[str, Seat]:
        """Places in the queue by participant id; read only."""
        return self._queue

    @property
    def bans(self) -> Mapping[str, Ban]:
        """Bans by user id; read only."""
        return self._bans

    @property
    def messages(self) -> Sequence[Message]:
        """The last public messages, oldest first."""
        return self._messages

    @property
    def last_id(self) -> str:
        """The highest id of a participant or a message so far."""
        return self._last_id

    @property
    def free_seats(self) -> int:
        """How many seats are free; below zero when the limit was lowered under those who sit."""
        return self._view.max_participants - len(self._seats)

    def view(self) -> RoomView:
        """Describe the room as clients see it."""
        return msgspec.structs.replace(self._view, participant_count=len(self._seats))

    def participants(self) -> list[Participant]:
        """Return everyone who holds a seat, in the order they took it."""
        return [seat.participant for seat in self._seats.values()]

    def place_of(self, participant_id: str | None) -> Seat | None:
        """Find a seat, or a place in the queue, by its participant's id."""
        if participant_id is None:
            return None
        return self._seats.get(participant_id) or self._queue.get(participant_id)

    def place_of_caller(self, caller: Caller) -> Seat | None:
        """Find the caller's seat, or their place in the queue.

        A user is found by user id. A guest is never found by name, only while their connection has the seat.
        """
        if caller.user_id is not None and (key := self._by_user.get(caller.user_id)) is not None:
            return self.place_of(key)
        seat = self.place_of(caller.seat_id)
        return seat if seat is not None and seat.claim == caller.claim else None

    def deadline(self) -> float | None:
        """Return the time on the monotonic clock at which a held seat expires next; None without held seats."""
        return min(self._held.values()) if self._held else None

    def expired(self, clock: float) -> list[Seat]:
        """Return the seats whose hold has run out at `clock`."""
        due = (self.place_of(key) for key, until in self._held.items() if until <= clock)
        return [seat for seat in due if seat is not None]

    def decide(self, command: Command[A], now: Moment) -> Decision[A]:
        """Decide what a command comes to, and change nothing.

        Raises `Refused`.
        """
        return command.decide(self, now)

    def apply(self, change: Change) -> None:
        """Make a change true."""
        match change:
            case SeatChanged(seat=seat):
                self._place(seat)
            case RoomChanged(room=room):
                self._view = room
            case MessageSent(message=message):
                self._last_id = max(self._last_id, message.id)
                if message.to is None:
                    self._messages = (*self._messages, message)[-MESSAGES_SHOWN:]
            case UserBanned(ban=ban):
                self._bans[ban.user_id] = ban
            case UserUnbanned():  # pragma: no branch - there is no other change
                del self._bans[change.user_id]

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
            self._last_id,
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
        self._last_id = checkpoint.last_id

    def changed_since(self, before: Checkpoint, seats: Iterable[SeatChanged]) -> Changed:
        """Return the net effect of the changes that led from `before` to now, in the order they touched people."""
        changed = Changed([], [], [])
        touched = {change.seat.participant.id: change.seat for change in seats}
        for key, last in touched.items():
            old, new = before.seats.get(key), self._seats.get(key)
            if old is None and new is not None:
                changed.joined.append(new.participant)
            elif old is not None and new is None:
                changed.left.append(last.participant)
            elif old is not None and new is not None and not look_the_same(old.participant, new.participant):
                changed.updated.append(new.participant)
        return changed

    def _place(self, seat: Seat) -> None:
        """Put a participant where they are now: on a seat, in the queue, or out."""
        key, user_id = seat.participant.id, seat.participant.user_id
        self._last_id = max(self._last_id, key)
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
        if seat.claim is None:
            self._held[key] = seat.held_until


def look_the_same(one: Participant, other: Participant) -> bool:
    """Return whether two participants look the same to clients, which tell 1 from true."""
    return one == other and repr(one.state) == repr(other.state)
