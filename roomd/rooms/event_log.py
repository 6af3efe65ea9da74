"""The log events of a batch, from the room before it and its changes.

What a change of a seat or a place writes:

    before      | waits           | has a seat, connected      | has a seat, held           | left
    ------------|-----------------|----------------------------|----------------------------|-----------------
    (none)      | waiting-started | participant-joined         | participant-joined         |
    waiting     |                 | waiting-ended,             | waiting-ended,             | waiting-ended
                |                 | participant-joined         | participant-joined         |
    connected   |                 |                            | participant-dropped        | participant-left
    held        |                 | participant-returned       |                            | participant-left

All else writes nothing: takeovers, states, rights, resume tokens, and what happens to the connection of somebody who
waits. So the log, read in order, gives everybody who was in the room, with the times and the reasons.
"""

from collections.abc import Mapping, Sequence
from typing import cast

import msgspec

from roomd.protocol.log_events import (
    LeftReason,
    LogEvent,
    LoggedMessageSent,
    LoggedParticipantDropped,
    LoggedParticipantJoined,
    LoggedParticipantLeft,
    LoggedParticipantReturned,
    LoggedRoomCreated,
    LoggedRoomDeleted,
    LoggedRoomEnded,
    LoggedRoomUpdated,
    LoggedUserBanned,
    LoggedUserUnbanned,
    LoggedWaitingEnded,
    LoggedWaitingStarted,
    RoomReference,
    WaitingEndReason,
)
from roomd.protocol.objects import Ban, Participant
from roomd.protocol.objects import Room as RoomView
from roomd.protocol.timestamps import seconds_between
from roomd.rooms.changes import Banned, Change, MessageSent, RoomChanged, RoomDeleted, SeatChanged, Unbanned
from roomd.rooms.model import PersonKey, Seat
from roomd.rooms.room import Checkpoint


def log_events(
    before: Checkpoint, changes: Sequence[Change], at: str, *, with_messages: bool = False
) -> list[LogEvent]:
    """Return the log events of changes that were made since `before`, in their order.

    `at` is the stamp of the batch. Messages to everyone are among them only `with_messages`.
    """
    batch = _Batch(before, at, with_messages)
    for change in changes:
        if isinstance(change, SeatChanged):
            batch.add_seat(change)
        else:
            batch.add(change)
    return batch.events


def created(room: RoomView) -> LogEvent:
    """Return the log event of a new room."""
    return LoggedRoomCreated(room.created_at, room)


def dropped_at_start(room: RoomView, participant: Participant, at: str) -> LogEvent:
    """Return the log event of somebody whose connection was lost because the daemon ended. `at` is a stamp."""
    return LoggedParticipantDropped(at, reference(room), msgspec.structs.replace(participant, is_active=False))


def reference(room: RoomView) -> RoomReference:
    """Return what a log event says of its room."""
    return RoomReference(id=room.id, code=room.code, external_id=room.external_id, metadata=room.metadata)


class _Batch:
    """A walk over the changes of one batch. What is left of the state before it is changed on the way."""

    __slots__ = (
        "_at",
        "_bans",
        "_before",
        "_count",
        "_known",
        "_room",
        "_view",
        "_with_messages",
        "events",
    )

    def __init__(self, before: Checkpoint, at: str, with_messages: bool) -> None:
        self._view = before.view
        self._room = reference(before.view)
        self._before = before
        self._known: dict[str, Seat] = {}  # the seats and places that an earlier change of the batch has set
        self._bans: Mapping[PersonKey, Ban] = before.bans
        self._count = len(before.seats)  # without those who are hidden
        self._at = at
        self._with_messages = with_messages
        self.events: list[LogEvent] = []

    def add(self, change: Change) -> None:
        """Add the events of the next change, which is none of a seat."""
        match change:
            case RoomChanged():
                self._add_room(change)
            case MessageSent(message=message):
                if self._with_messages and message.to is None:
                    self.events.append(LoggedMessageSent(self._at, self._room, message))
            case Banned(who=who, ban=ban):
                self._bans = {**self._bans, who: ban}
                self.events.append(LoggedUserBanned(self._at, self._room, ban))
            case Unbanned(who=who):
                self.events.append(LoggedUserUnbanned(self._at, self._room, self._bans[who]))
            case RoomDeleted(room=room):
                self.events.append(LoggedRoomDeleted(self._at, room))
            case _:
                pass  # a denial is not stored, and that a room is empty is no event

    def add_seat(self, change: SeatChanged) -> None:
        """Add the events of the next change, which is one of a seat or a place in the queue."""
        seat = change.seat
        participant = seat.participant
        key = participant.id
        if participant.left_at is not None:
            self._known[key] = seat
            self._add_leave(participant, change)
            return
        before = self._place_before(key)
        self._known[key] = seat
        if seat.waits_for is not None:
            if before is None:
                self.events.append(LoggedWaitingStarted(self._at, self._room, participant, seat.waits_for))
        elif before is None:
            self._count += not participant.is_hidden
            self.events.append(LoggedParticipantJoined(self._at, self._room, participant))
        elif before.waits_for is not None:
            self._count += 1
            self.events.append(LoggedWaitingEnded(self._at, self._room, before.participant, "admitted"))
            self.events.append(LoggedParticipantJoined(self._at, self._room, participant))
        elif before.participant.is_active is not participant.is_active:
            kind = LoggedParticipantReturned if participant.is_active else LoggedParticipantDropped
            self.events.append(kind(self._at, self._room, participant))

    def _place_before(self, key: str) -> Seat | None:
        before = self._before
        return self._known.get(key) or before.seats.get(key) or before.queue.get(key) or before.hidden.get(key)

    def _add_leave(self, participant: Participant, change: SeatChanged) -> None:
        if change.seat.waits_for is not None:
            waiting_reason = cast("WaitingEndReason", change.reason)
            self.events.append(LoggedWaitingEnded(self._at, self._room, participant, waiting_reason))
            return
        self._count -= not participant.is_hidden
        reason, duration = cast("LeftReason", change.reason), _seconds_in(participant)
        self.events.append(LoggedParticipantLeft(self._at, self._room, participant, reason, duration))

    def _add_room(self, change: RoomChanged) -> None:
        was_active, self._view, self._room = self._view.is_active, change.room, reference(change.room)
        shown = msgspec.structs.replace(change.room, participant_count=self._count)
        if was_active and not shown.is_active:
            self.events.append(LoggedRoomEnded(self._at, shown, change.reason))
        elif was_active:  # in a room that has ended nothing happens but that its host is forgotten
            self.events.append(LoggedRoomUpdated(self._at, shown))


def _seconds_in(participant: Participant) -> float:
    """Return the seconds between coming and leaving, as `seconds_between` does."""
    if participant.left_at is None or participant.left_at == participant.joined_at:
        return 0.0
    return seconds_between(participant.joined_at, participant.left_at)
