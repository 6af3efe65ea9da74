"""One room: who holds a seat in it, who may take one, and what becomes of a seat.

A seat is the whole of roomd's idea of being in a room. This file holds every move a seat can make:

    state      | participant             | Join, Resume      | Leave | Drop (by its owner) | Expire, in time | End
    -----------|-------------------------|-------------------|-------|---------------------|-----------------|-----
    (none)     |                         | connected         |       |                     |                 |
    connected  | isActive, leftAt null   | connected, new    | left  | held                |                 | left
               |                         | owner, new token  |       |                     |                 |
    held       | not isActive, leftAt    | connected, new    | left  |                     | left, as of the | left
               | null                    | owner, new token  |       |                     | drop            |
    left       | not isActive, leftAt    |                   |       |                     |                 |

`Room.decide` reads and answers with events, or raises `Refused`; `Room.apply` writes one event. Nobody else
changes a room, so a log of events replayed is the room, and a refused command has changed nothing.

The *owner* of a seat is a number that stands for one sitting: every join, takeover and resume brings a new one.
Whatever comes late from the sitting before (a `Drop`, a `Leave` that storage kept waiting) finds that it owns nothing.

Nothing here reads a clock, draws a number or waits: moments, ids and hashes come in as arguments, and `deadline` says
when the room wants to be woken. It does not know where it runs.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import msgspec

from roomd.commands import (
    Caller,
    Changes,
    Command,
    Decision,
    Drop,
    End,
    Event,
    Expire,
    Get,
    Got,
    Join,
    Leave,
    List,
    Listed,
    Moment,
    Resume,
    RoomChanged,
    Seat,
    SeatChanged,
    Settings,
    Update,
)
from roomd.errors import (
    GUESTS_NOT_ALLOWED,
    INVALID_SETTINGS,
    NOT_HOST,
    NOT_IN_ROOM,
    ROOM_FULL,
    ROOM_INACTIVE,
    ROOM_LOCKED,
    SEAT_EXPIRED,
    WRONG_USER,
    Refused,
)
from roomd.frames import Participant
from roomd.frames import Room as RoomView
from roomd.names import clean_name

DEFAULT_MAX_PARTICIPANTS = 100


class Rules(msgspec.Struct, frozen=True):
    """What the configuration lays down for every room."""

    seat_hold: float
    """Seconds a dropped seat is held."""
    max_participants: int
    """The most a host may choose."""


class Checkpoint(NamedTuple):
    """A room's whole state at one time; later changes do not reach it."""

    view: RoomView
    seats: Mapping[str, Seat]
    by_user: Mapping[str, str]
    held: Mapping[str, float]


def open_room(settings: Settings, rules: Rules, *, room_id: str, code: str, host_id: str, created_at: str) -> RoomView:
    """Describe a new room.

    Raises `Refused` (400 `invalid_settings`).
    """
    room = RoomView(
        id=room_id,
        code=code,
        name="Meeting",
        host_id=host_id,
        is_active=True,
        is_locked=False,
        max_participants=min(DEFAULT_MAX_PARTICIPANTS, rules.max_participants),
        allow_guest_access=True,
        waiting_room=False,
        participant_count=0,
        created_at=created_at,
        ended_at=None,
    )
    return change_settings(room, settings, rules)


def change_settings(room: RoomView, settings: Settings, rules: Rules) -> RoomView:
    """Apply a host's choices to a room.

    Raises `Refused` (400 `invalid_settings`) naming what is allowed (docs/protocol.md, section 7).
    """
    changes = {key: value for key, value in msgspec.structs.asdict(settings).items() if value is not None}
    if settings.name is not None and (name := clean_name(settings.name, 100)) is None:
        raise Refused(INVALID_SETTINGS, "name must be 1 to 100 printable characters")
    if settings.name is not None:
        changes["name"] = name
    if settings.max_participants is not None and not 2 <= settings.max_participants <= rules.max_participants:
        raise Refused(INVALID_SETTINGS, f"maxParticipants must be 2 to {rules.max_participants}")
    if settings.waiting_room:
        raise Refused(INVALID_SETTINGS, "waitingRoom is not supported by this server")
    return msgspec.structs.replace(room, **changes)


class Room:
    """The state of one room: its settings and its seats, in the order they were taken."""

    def __init__(self, view: RoomView, rules: Rules, seats: Iterable[Seat] = ()) -> None:
        self._view = view
        self._rules = rules
        self._seats: dict[str, Seat] = {}
        self._by_user: dict[str, str] = {}
        self._held: dict[str, float] = {}
        for seat in seats:
            self.apply(SeatChanged(seat))

    @property
    def seats(self) -> Mapping[str, Seat]:
        """Seats by participant id; to read, not to write."""
        return self._seats

    def view(self) -> RoomView:
        """Describe the room as clients see it."""
        return msgspec.structs.replace(self._view, participant_count=len(self._seats))

    def participants(self) -> list[Participant]:
        """Everyone who holds a seat, in the order they took it."""
        return [seat.participant for seat in self._seats.values()]

    def deadline(self) -> float | None:
        """Say at which clock time the room wants to be sent `Expire`; None for never."""
        return min(self._held.values(), default=None)

    def checkpoint(self) -> Checkpoint:
        """Remember the state, to compare with it or to go back to it."""
        return Checkpoint(self._view, self._seats.copy(), self._by_user.copy(), self._held.copy())

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go back to a remembered state."""
        self._view = checkpoint.view
        self._seats = dict(checkpoint.seats)
        self._by_user = dict(checkpoint.by_user)
        self._held = dict(checkpoint.held)

    def decide(self, command: Command, now: Moment) -> Decision:
        """Say what a command comes to, changing nothing.

        Raises `Refused`.
        """
        return _DECIDE[type(command)](self, command, now)

    def apply(self, event: Event) -> None:
        """Make an event true."""
        if isinstance(event, RoomChanged):
            self._view = event.room
            return
        seat = event.seat
        key, user_id = seat.participant.id, seat.participant.user_id
        self._held.pop(key, None)
        if seat.participant.left_at is not None:
            del self._seats[key]
            if user_id is not None:
                del self._by_user[user_id]
            return
        self._seats[key] = seat
        if user_id is not None:
            self._by_user[user_id] = key
        if seat.owner is None:
            self._held[key] = seat.held_until

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
            elif old is not None and new is not None and old.participant != new.participant:
                changes.updated.append(new.participant)
        return changes

    def _join(self, command: Join, now: Moment) -> Decision:
        seat = self._admit(command.caller)
        if seat is not None:
            return self._seated(seat, command.owner, command.resume_hash)
        caller = command.caller
        participant = Participant(
            id=command.participant_id,
            room_id=self._view.id,
            user_id=caller.user_id,
            guest_name=command.guest_name,
            is_active=True,
            is_host=caller.user_id is not None and caller.user_id == self._view.host_id,
            joined_at=now.stamp,
            left_at=None,
            display_name=command.guest_name if command.guest_name is not None else caller.display_name,
        )
        seat = Seat(participant, command.resume_hash, command.owner)
        return Decision([SeatChanged(seat)], participant)

    def _admit(self, caller: Caller) -> Seat | None:
        """Check a join in the order of docs/protocol.md, section 4; answer with the seat the caller already has.

        Raises `Refused`.
        """
        if not self._view.is_active:
            raise Refused(ROOM_INACTIVE)
        if caller.user_id is None and not self._view.allow_guest_access:
            raise Refused(GUESTS_NOT_ALLOWED)
        if seat := self._seat_of(caller):
            return seat
        if self._view.is_locked:
            raise Refused(ROOM_LOCKED)
        if len(self._seats) >= self._view.max_participants:
            raise Refused(ROOM_FULL)
        return None

    def _seat_of(self, caller: Caller) -> Seat | None:
        """Find the caller's seat: a user's by user id; a guest's, never by name, only while their connection has it."""
        if caller.user_id is not None and (key := self._by_user.get(caller.user_id)) is not None:
            return self._seats[key]
        seat = self._seats.get(caller.seat_id) if caller.seat_id is not None else None
        return seat if seat is not None and seat.owner == caller.owner else None

    def _seated(self, seat: Seat, owner: int, resume_hash: str) -> Decision:
        participant = seat.participant
        if not participant.is_active:
            participant = msgspec.structs.replace(participant, is_active=True)
        return Decision([SeatChanged(Seat(participant, resume_hash, owner))], participant)

    def _resume(self, command: Resume, now: Moment) -> Decision:
        seat = self._seats.get(command.participant_id)
        if seat is None or seat.resume_hash != command.token_hash:
            raise Refused(SEAT_EXPIRED)
        if command.caller.user_id is not None and command.caller.user_id != seat.participant.user_id:
            raise Refused(WRONG_USER)
        return self._seated(seat, command.owner, command.resume_hash)

    def _leave(self, command: Leave, now: Moment) -> Decision:
        seat = self._seats.get(command.participant_id)
        if seat is None or seat.owner != command.owner:
            raise Refused(NOT_IN_ROOM)
        left = _left(seat, now)
        return Decision([left], left.seat.participant)

    def _drop(self, command: Drop, now: Moment) -> Decision:
        seat = self._seats.get(command.participant_id)
        if seat is None or seat.owner != command.owner:
            return Decision([])  # taken over, resumed or left meanwhile
        held = msgspec.structs.replace(
            seat,
            participant=msgspec.structs.replace(seat.participant, is_active=False),
            owner=None,
            dropped_at=command.at.stamp,
            held_until=command.at.clock + self._rules.seat_hold,
        )
        return Decision([SeatChanged(held)])

    def _expire(self, command: Expire, now: Moment) -> Decision:
        due = [key for key, until in self._held.items() if until <= now.clock]
        return Decision([_left(self._seats[key], now) for key in due])

    def _get(self, command: Get, now: Moment) -> Decision:
        try:
            self._admit(command.caller)
        except Refused as refusal:
            return Decision([], Got(self.view(), refusal))
        return Decision([], Got(self.view(), None))

    def _list(self, command: List, now: Moment) -> Decision:
        if command.history:
            self._check_host(command.caller)
        elif not self._is_host(command.caller) and self._seat_of(command.caller) is None:
            raise Refused(NOT_IN_ROOM)
        return Decision([], Listed(self._view, self.participants()))

    def _update(self, command: Update, now: Moment) -> Decision:
        self._check_host(command.caller)
        if not self._view.is_active:
            raise Refused(ROOM_INACTIVE)
        room = change_settings(self._view, command.settings, self._rules)
        events = [RoomChanged(room)] if room != self._view else []
        return Decision(events, msgspec.structs.replace(room, participant_count=len(self._seats)))

    def _end(self, command: End, now: Moment) -> Decision:
        self._check_host(command.caller)
        if not self._view.is_active:
            raise Refused(ROOM_INACTIVE)
        room = msgspec.structs.replace(self._view, is_active=False, ended_at=now.stamp)
        return Decision([*(_left(seat, now) for seat in self._seats.values()), RoomChanged(room)], room)

    def _is_host(self, caller: Caller) -> bool:
        return caller.admin or (caller.user_id is not None and caller.user_id == self._view.host_id)

    def _check_host(self, caller: Caller) -> None:
        if not self._is_host(caller):
            raise Refused(NOT_HOST)


def _left(seat: Seat, now: Moment) -> SeatChanged:
    """Give a seat up; `leftAt` is when its connection was last there."""
    participant = msgspec.structs.replace(seat.participant, is_active=False, left_at=seat.dropped_at or now.stamp)
    return SeatChanged(msgspec.structs.replace(seat, participant=participant, owner=None))


_DECIDE: Mapping[type[Any], Callable[[Room, Any, Moment], Decision]] = {
    Join: Room._join,
    Resume: Room._resume,
    Leave: Room._leave,
    Drop: Room._drop,
    Expire: Room._expire,
    Get: Room._get,
    List: Room._list,
    Update: Room._update,
    End: Room._end,
}
