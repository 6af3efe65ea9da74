"""One room: who holds a seat in it, who may take one, who waits for one, and what becomes of them.

A seat is the whole of roomd's idea of being in a room, and a place in the queue is a seat to come. This file holds
every move they can make:

    state      | participant            | Join, Resume     | Admit, a free  | Leave, Remove, | Drop (by its | Expire, in
               |                        |                  | seat in turn   | End            | owner)       | time
    -----------|------------------------|------------------|----------------|----------------|--------------|-----------
    (none)     |                        | connected, or    |                |                |              |
               |                        | waiting          |                |                |              |
    waiting    | no seat; isActive      | waiting, new     | connected      | gone           | waiting,     |
               |                        | owner, new token |                |                | dropped      |
    waiting,   | no seat; not isActive  | waiting, new     | held           | gone           |              | gone
    dropped    |                        | owner, new token |                |                |              |
    connected  | isActive, leftAt null  | connected, new   |                | left           | held         |
               |                        | owner, new token |                |                |              |
    held       | not isActive, leftAt   | connected, new   |                | left           |              | left as of
               | null                   | owner, new token |                |                |              | the drop
    left       | not isActive, leftAt   |                  |                |                |              |

`Room.decide` reads and answers with events, or raises `Refused`; `Room.apply` (in `state.py`) writes one event. Nobody
else changes a room, so a log of events replayed is the room, and a refused command has changed nothing. After every
command's events those of `Room.follow_up` are due: whoever waits and now need not, sits before the next command is
looked at.

The *owner* of a seat is a number that stands for one sitting: every join, takeover and resume brings a new one.
Whatever comes late from the sitting before (a `Drop`, a `Leave` that storage kept waiting) finds that it owns nothing.

Nothing here reads a clock, draws a number or waits: moments, ids and hashes come in as arguments, and `deadline` says
when the room wants to be woken. It does not know where it runs.
"""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from roomd.protocol.errors import (
    BAD_FRAME,
    BANNED,
    DENIED,
    GUESTS_NOT_ALLOWED,
    NOT_HOST,
    NOT_IN_ROOM,
    PARTICIPANT_NOT_FOUND,
    ROOM_FULL,
    ROOM_INACTIVE,
    ROOM_LOCKED,
    SEAT_EXPIRED,
    WRONG_USER,
    ErrorKind,
    Refused,
)
from roomd.protocol.events import Removed
from roomd.protocol.objects import Ban, Message, Participant
from roomd.rooms.commands import (
    Admit,
    Caller,
    Command,
    Decision,
    Deny,
    Drop,
    End,
    Event,
    Expire,
    Get,
    Got,
    Join,
    Kept,
    Leave,
    List,
    ListBans,
    Listed,
    ListMessages,
    MessageSent,
    Moment,
    Mute,
    Present,
    Queued,
    Reader,
    Remove,
    Resume,
    RoomChanged,
    Say,
    Seat,
    SeatChanged,
    Unban,
    Update,
    UserBanned,
    UserUnbanned,
    WaitsFor,
)
from roomd.rooms.settings import Rules, change_settings
from roomd.rooms.state import RoomState, same

MOST_WAITING = 100
MOST_STATE_KEYS = 16
MOST_STATE_BYTES = 1024
"""Bounds of docs/protocol.md, section 8."""


class Room(RoomState):
    """One room: what it comes to when something is asked of it."""

    def __init__(self, kept: Kept, rules: Rules) -> None:
        super().__init__(kept)
        self._rules = rules

    def decide(self, command: Command, now: Moment) -> Decision:
        """Say what a command comes to, changing nothing.

        Raises `Refused`.
        """
        return _DECIDE[type(command)](self, command, now)

    def follow_up(self, now: Moment) -> list[Event]:
        """Say what has become of those who wait: first come, first served.

        While somebody waits for a seat there is no free one, so nobody overtakes them.
        """
        events: list[Event] = []
        free = self._free()
        for seat in self._queue.values():
            if seat.waits_for == "waiting_room" and self._view.waiting_room:
                why = self._barred(seat)
                events += [_left(seat, now, why)] if why else []
            elif why := self._barred(seat) or (ROOM_LOCKED if self._view.is_locked else None):
                events.append(_left(seat, now, why))
            elif free > 0:
                free -= 1
                events.append(_seated(seat, now))
            elif seat.waits_for == "waiting_room":
                events.append(_queued(seat, "room_full"))
        return events

    # Coming and going.

    def _join(self, command: Join, now: Moment) -> Decision:
        caller = command.caller
        found = self._check_entry(caller)
        if found is not None:
            return self._taken(found, command.owner, command.resume_hash)
        waits_for = self._obstacle(caller, command.wait)
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
        seat = Seat(participant, command.resume_hash, command.owner, waits_for=waits_for)
        return Decision([SeatChanged(seat)], _place(seat))

    def _check_entry(self, caller: Caller) -> Seat | None:
        """Check a join up to the lock, in the order of docs/protocol.md, section 4.

        Answers with the seat, or the place in the queue, that the caller already has. Raises `Refused`.
        """
        self._check_active()
        self._check_ban(caller)
        if caller.user_id is None and not self._view.allow_guest_access:
            raise Refused(GUESTS_NOT_ALLOWED)
        if found := self._found(caller):
            return found
        if self._view.is_locked:
            raise Refused(ROOM_LOCKED)
        return None

    def _obstacle(self, caller: Caller, wait: bool) -> WaitsFor | None:
        """Say what keeps a newcomer from sitting down at once.

        Raises `Refused` (400 `room_full`) when they would not wait for a seat, or too many wait already.
        """
        full = self._free() <= 0
        lobby = self._view.waiting_room and not self._is_host(caller)
        if full and not wait:
            raise Refused(ROOM_FULL)
        if (full or lobby) and len(self._queue) >= MOST_WAITING:
            raise Refused(ROOM_FULL, f"{MOST_WAITING} people wait already")
        return "waiting_room" if lobby else "room_full" if full else None

    def _taken(self, seat: Seat, owner: int, resume_hash: str) -> Decision:
        """Give a seat, or a place in the queue, to a connection."""
        participant = seat.participant
        if not participant.is_active:
            participant = msgspec.structs.replace(participant, is_active=True)
        taken = Seat(participant, resume_hash, owner, waits_for=seat.waits_for)
        return Decision([SeatChanged(taken)], _place(taken))

    def _resume(self, command: Resume, now: Moment) -> Decision:
        self._check_ban(command.caller)
        seat = self._place_of(command.participant_id)
        if seat is None or seat.resume_hash != command.token_hash:
            raise Refused(SEAT_EXPIRED)
        if command.caller.user_id is not None and command.caller.user_id != seat.participant.user_id:
            raise Refused(WRONG_USER)
        return self._taken(seat, command.owner, command.resume_hash)

    def _leave(self, command: Leave, now: Moment) -> Decision:
        seat = self._place_of(command.participant_id)
        if seat is None or seat.owner != command.owner:
            raise Refused(NOT_IN_ROOM)
        left = _left(seat, now)
        return Decision([left], left.seat.participant)

    def _drop(self, command: Drop, now: Moment) -> Decision:
        seat = self._place_of(command.participant_id)
        if seat is None or seat.owner != command.owner:
            return Decision([])  # taken over, resumed or left meanwhile
        held = msgspec.structs.replace(
            seat,
            participant=msgspec.structs.replace(seat.participant, is_active=False),
            owner=None,
            dropped_at=max(command.at.stamp, seat.participant.joined_at),  # a late drop may find a seat that is new
            held_until=command.at.clock + self._rules.seat_hold,
        )
        return Decision([SeatChanged(held)])

    def _expire(self, command: Expire, now: Moment) -> Decision:
        due = [self._place_of(key) for key, until in self._held.items() if until <= now.clock]
        return Decision([_left(seat, now) for seat in due if seat is not None])

    # What a participant does.

    def _present(self, command: Present, now: Moment) -> Decision:
        seat = self._own(command)
        merged = {**seat.participant.state, **command.state}
        state = {key: value for key, value in merged.items() if value is not None}
        if len(state) > MOST_STATE_KEYS or len(msgspec.json.encode(state)) > MOST_STATE_BYTES:
            raise Refused(
                BAD_FRAME, f"{BAD_FRAME.message}: state may have {MOST_STATE_KEYS} keys, {MOST_STATE_BYTES} bytes"
            )
        participant = msgspec.structs.replace(seat.participant, state=state)
        if same(participant, seat.participant):
            return Decision([])
        return Decision([SeatChanged(msgspec.structs.replace(seat, participant=participant))])

    def _say(self, command: Say, now: Moment) -> Decision:
        sender = self._own(command).participant
        addressee = self._seats.get(command.to) if command.to is not None else None
        if command.to is not None and addressee is None:
            raise Refused(PARTICIPANT_NOT_FOUND)
        message = Message(
            id=command.message_id,
            participant_id=sender.id,
            display_name=sender.display_name,
            text=command.text,
            sent_at=now.stamp,
            to=command.to,
        )
        to_user_id = addressee.participant.user_id if addressee is not None else None
        return Decision([MessageSent(self._view.id, message, sender.user_id, to_user_id)])

    def _own(self, command: Present | Say) -> Seat:
        seat = self._seats.get(command.participant_id)
        if seat is None or seat.owner != command.owner:
            raise Refused(NOT_IN_ROOM)
        return seat

    # What may be seen.

    def _get(self, command: Get, now: Moment) -> Decision:
        try:
            if self._check_entry(command.caller) is None:
                self._obstacle(command.caller, wait=False)
        except Refused as refusal:
            return Decision([], Got(self.view(), refusal))
        return Decision([], Got(self.view(), None))

    def _list(self, command: List, now: Moment) -> Decision:
        if command.history:
            self._check_host(command.caller)
        else:
            self._check_presence(command.caller)
        return Decision([], Listed(self._view, self.participants()))

    def _list_messages(self, command: ListMessages, now: Moment) -> Decision:
        seat = self._check_presence(command.caller)
        key = seat.participant.id if seat is not None else None
        return Decision([], Reader(self._view.id, key, command.caller.user_id))

    def _list_bans(self, command: ListBans, now: Moment) -> Decision:
        self._check_host(command.caller)
        return Decision([], sorted(self._bans.values(), key=lambda ban: ban.user_id))

    # What hosts do.

    def _update(self, command: Update, now: Moment) -> Decision:
        self._check_host(command.caller)
        self._check_active()
        room = change_settings(self._view, command.settings, self._rules)
        events = [RoomChanged(room)] if room != self._view else []
        return Decision(events, msgspec.structs.replace(room, participant_count=len(self._seats)))

    def _end(self, command: End, now: Moment) -> Decision:
        self._check_host(command.caller)
        self._check_active()
        room = msgspec.structs.replace(self._view, is_active=False, ended_at=now.stamp)
        seated = [_left(seat, now) for seat in self._seats.values()]
        waiting = [_left(seat, now, ROOM_INACTIVE) for seat in self._queue.values()]
        return Decision([*seated, *waiting, RoomChanged(room)], room)

    def _remove(self, command: Remove, now: Moment) -> Decision:
        seat = self._target(command)
        person = seat.participant
        events: list[Event] = [_left(seat, now, DENIED if seat.waits_for else Removed(reason=command.reason))]
        if command.ban and person.user_id is not None:
            ban = Ban(
                user_id=person.user_id,
                display_name=person.display_name,
                reason=command.reason,
                banned_at=now.stamp,
            )
            events.append(UserBanned(self._view.id, ban))
        return Decision(events)

    def _mute(self, command: Mute, now: Moment) -> Decision:
        if self._target(command).participant.id not in self._seats:
            raise Refused(PARTICIPANT_NOT_FOUND)
        return Decision([])

    def _unban(self, command: Unban, now: Moment) -> Decision:
        self._check_host(command.caller)
        if command.user_id == command.caller.user_id:
            raise Refused(WRONG_USER, "Nobody lifts their own ban")
        if command.user_id not in self._bans:
            raise Refused(PARTICIPANT_NOT_FOUND, "This user is not banned")
        return Decision([UserUnbanned(self._view.id, command.user_id)])

    def _admit(self, command: Admit, now: Moment) -> Decision:
        self._check_host(command.caller)
        self._check_active()
        chosen = [self._waits(command.participant_id)] if command.participant_id is not None else self._queue.values()
        free = self._free()
        events: list[Event] = []
        for seat in chosen:
            if seat.waits_for != "waiting_room":
                continue  # admitted already: it waits for a seat
            if free > 0:
                free -= 1
                events.append(_seated(seat, now))
            elif not self._view.is_locked:
                events.append(_queued(seat, "room_full"))
            elif command.participant_id is not None:  # a locked room has no queue for seats
                raise Refused(ROOM_FULL)
        return Decision(events)

    def _deny(self, command: Deny, now: Moment) -> Decision:
        self._check_host(command.caller)
        return Decision([_left(self._waits(command.participant_id), now, DENIED)])

    def _waits(self, participant_id: str) -> Seat:
        seat = self._queue.get(participant_id)
        if seat is None:
            raise Refused(PARTICIPANT_NOT_FOUND)
        return seat

    def _target(self, command: Remove | Mute) -> Seat:
        """Find whom a host means; hosts act on anyone but themselves."""
        self._check_host(command.caller)
        seat = self._place_of(command.participant_id)
        if seat is None:
            raise Refused(PARTICIPANT_NOT_FOUND)
        if seat is self._found(command.caller):
            raise Refused(WRONG_USER, "Hosts cannot do this to themselves")
        return seat

    # Who may.

    def _barred(self, seat: Seat) -> ErrorKind | None:
        """Say why somebody who waits could no longer come in at all."""
        return GUESTS_NOT_ALLOWED if seat.participant.user_id is None and not self._view.allow_guest_access else None

    def _is_host(self, caller: Caller) -> bool:
        return caller.admin or (caller.user_id is not None and caller.user_id == self._view.host_id)

    def _check_host(self, caller: Caller) -> None:
        if not self._is_host(caller):
            raise Refused(NOT_HOST)

    def _check_presence(self, caller: Caller) -> Seat | None:
        """Answer with the caller's seat; only hosts may have none."""
        seat = self._found(caller)
        if seat is not None and seat.waits_for is None:
            return seat
        if not self._is_host(caller):
            raise Refused(NOT_IN_ROOM)
        return None

    def _check_active(self) -> None:
        if not self._view.is_active:
            raise Refused(ROOM_INACTIVE)

    def _check_ban(self, caller: Caller) -> None:
        if caller.user_id in self._bans:
            raise Refused(BANNED)


def _place(seat: Seat) -> Participant | Queued:
    """Answer whoever takes a seat, or a place in the queue."""
    return Queued(seat.participant) if seat.waits_for else seat.participant


def _queued(seat: Seat, waits_for: WaitsFor) -> SeatChanged:
    """Let somebody wait for something else, at the same place in the queue."""
    return SeatChanged(msgspec.structs.replace(seat, waits_for=waits_for))


def _seated(seat: Seat, now: Moment) -> SeatChanged:
    """Turn a place in the queue into a seat, held where its connection is gone: the hold runs on from the drop."""
    participant = msgspec.structs.replace(seat.participant, joined_at=now.stamp)
    dropped_at = now.stamp if seat.owner is None else None  # nobody leaves before they joined
    return SeatChanged(msgspec.structs.replace(seat, participant=participant, dropped_at=dropped_at, waits_for=None))


def _left(seat: Seat, now: Moment, told: ErrorKind | Removed | None = None) -> SeatChanged:
    """Give a seat up; `leftAt` is when its connection was last there."""
    participant = msgspec.structs.replace(seat.participant, is_active=False, left_at=seat.dropped_at or now.stamp)
    return SeatChanged(msgspec.structs.replace(seat, participant=participant, owner=None), told)


_DECIDE: Mapping[type[Any], Callable[[Room, Any, Moment], Decision]] = {
    Join: Room._join,
    Resume: Room._resume,
    Leave: Room._leave,
    Drop: Room._drop,
    Expire: Room._expire,
    Present: Room._present,
    Say: Room._say,
    Get: Room._get,
    List: Room._list,
    ListMessages: Room._list_messages,
    ListBans: Room._list_bans,
    Update: Room._update,
    End: Room._end,
    Remove: Room._remove,
    Mute: Room._mute,
    Unban: Room._unban,
    Admit: Room._admit,
    Deny: Room._deny,
}
