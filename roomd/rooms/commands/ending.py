"""Commands that end a room: for everyone, by itself when that is due, and with all that belongs to it."""

from collections.abc import Iterable
from typing import ClassVar

import msgspec

from roomd.protocol.errors import ROOM_INACTIVE
from roomd.protocol.objects import EndReason
from roomd.protocol.objects import Room as RoomView
from roomd.rooms import seats
from roomd.rooms.changes import Change, RoomChanged, RoomDeleted, RoomEmptied, SeatChanged
from roomd.rooms.lifetime import end_due
from roomd.rooms.model import Caller, Moment
from roomd.rooms.rights import check_active, check_host
from roomd.rooms.room import Command, Decision, Room


class EndRoom(Command[RoomView], frozen=True):
    """End the room for everyone. It has a batch of its own, so that nobody joins in the batch that ends the room."""

    is_alone: ClassVar[bool] = True

    caller: Caller
    """Who sends the command."""

    def decide(self, room: Room, now: Moment) -> Decision[RoomView]:
        """Let everyone leave, and end the room.

        Raises `Refused` for anybody but hosts (403), and for an ended room (400).
        """
        check_host(room, self.caller, now)
        check_active(room)
        ended = _ended(room, now)
        return Decision(_end(room, now, ended), ended)


class EndDue(Command[bool], frozen=True):
    """End the room if it has to end by itself now. The answer is whether it had to."""

    is_alone: ClassVar[bool] = True
    is_repeatable: ClassVar[bool] = True

    def decide(self, room: Room, now: Moment) -> Decision[bool]:
        """Let everyone leave, and end the room, unless something has changed since it was due."""
        reason = end_due(room.settings, room.empty_since, now.stamp)
        if reason is None:
            return Decision([], False)
        return Decision(_end(room, now, _ended(room, now), reason), True)


class DeleteRoom(Command[None], frozen=True):
    """End the room if it is active, and delete it with all that belongs to it."""

    is_alone: ClassVar[bool] = True

    caller: Caller
    """Who sends the command."""

    def decide(self, room: Room, now: Moment) -> Decision[None]:
        """Let everyone leave, end the room, and delete it.

        Raises `Refused` for anybody but hosts (403).
        """
        check_host(room, self.caller, now)
        if not room.settings.is_active:
            return Decision([RoomDeleted(room.settings)], None)
        ended = _ended(room, now)
        return Decision([*_end(room, now, ended, "deleted"), RoomDeleted(ended)], None)


class DeleteOld(Command[None], frozen=True):
    """Delete the room if it ended long ago. Nobody asks for it, so nothing is refused."""

    is_alone: ClassVar[bool] = True
    is_repeatable: ClassVar[bool] = True

    before: str
    """The stamp before which it must have ended."""

    def decide(self, room: Room, now: Moment) -> Decision[None]:
        """Delete the room, unless it ended later or has not ended."""
        ended_at = room.settings.ended_at
        return Decision([RoomDeleted(room.settings)] if ended_at is not None and ended_at < self.before else [], None)


def note_emptiness(room: Room, changes: Iterable[Change], now: Moment) -> list[RoomEmptied]:
    """Return the change when a room that ends when it is empty became empty, or is empty no longer.

    `changes` are all changes of a batch, which are applied: whoever came and left in it was there.
    """
    is_empty = not (room.seats or room.queue)
    if not (is_empty and room.settings.is_active and room.settings.end_when_empty is not None):
        return [RoomEmptied(None)] if room.empty_since is not None else []
    if room.empty_since is None or any(isinstance(change, SeatChanged) for change in changes):
        return [RoomEmptied(now.stamp)]
    return []


def _ended(room: Room, now: Moment) -> RoomView:
    return msgspec.structs.replace(room.settings, is_active=False, ended_at=max(now.stamp, room.settings.created_at))


def _end(room: Room, now: Moment, ended: RoomView, reason: EndReason | None = None) -> list[Change]:
    seated = [seats.leave(seat, now, "room-ended") for seat in (*room.seats.values(), *room.hidden.values())]
    waiting = [seats.leave(seat, now, "room-ended", refusal=ROOM_INACTIVE) for seat in room.queue.values()]
    return [*seated, *waiting, RoomChanged(ended, reason)]
