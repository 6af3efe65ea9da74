"""A room as a whole: see it, change its settings, end it."""

from typing import ClassVar

import msgspec

from roomd.protocol.errors import ROOM_INACTIVE, Refused
from roomd.protocol.objects import Admission
from roomd.protocol.objects import Room as RoomView
from roomd.rooms import seats
from roomd.rooms.answers import RoomSeen
from roomd.rooms.changes import RoomChanged
from roomd.rooms.commands.joining import check_entry, check_space
from roomd.rooms.model import Caller, Moment
from roomd.rooms.rights import check_active, check_host
from roomd.rooms.room import Command, Decision, Room
from roomd.rooms.settings import Settings, change_settings


class GetRoom(Command[RoomSeen], frozen=True):
    """See the room, and whether the caller could join it now."""

    caller: Caller

    def decide(self, room: Room, now: Moment) -> Decision[RoomSeen]:
        """Try the checks of a join."""
        try:
            if check_entry(room, self.caller) is None:
                check_space(room, self.caller, wait=False)
        except Refused as refused:
            return Decision([], RoomSeen(room.view(), not_admitted(refused)))
        return Decision([], RoomSeen(room.view(), Admission(allowed=True)))


class UpdateRoom(Command[RoomView], frozen=True):
    """Change the room's settings. The answer is the room when those who could then come in have done so."""

    caller: Caller
    settings: Settings

    def decide(self, room: Room, now: Moment) -> Decision[RoomView]:
        """Refuse anyone but hosts (403), an ended room (400), and settings out of bounds (400)."""
        check_host(room, self.caller)
        check_active(room)
        changed = change_settings(room.settings, self.settings, room.rules)
        if changed == room.settings:
            return Decision([], room.view())
        waiting = seats.follow_up(room, now, changed)
        seated = sum(change.seat.participant.left_at is None and not change.seat.waits_for for change in waiting)
        answer = msgspec.structs.replace(changed, participant_count=len(room.seats) + seated)
        return Decision([RoomChanged(changed), *waiting], answer)


class EndRoom(Command[RoomView], frozen=True):
    """End the room for everyone. It has a batch of its own, so that nobody joins a room that ends under them."""

    is_alone: ClassVar[bool] = True

    caller: Caller

    def decide(self, room: Room, now: Moment) -> Decision[RoomView]:
        """Refuse anyone but hosts (403), and an ended room (400)."""
        check_host(room, self.caller)
        check_active(room)
        ended = msgspec.structs.replace(room.settings, is_active=False, ended_at=now.stamp)
        seated = [seats.leave(seat, now) for seat in room.seats.values()]
        waiting = [seats.leave(seat, now, refusal=ROOM_INACTIVE) for seat in room.queue.values()]
        return Decision([*seated, *waiting, RoomChanged(ended)], ended)


def not_admitted(refused: Refused) -> Admission:
    """Describe the error that a join would get."""
    kind = refused.kind
    return Admission(allowed=False, status_code=kind.status_code, code=kind.code, message=refused.message)
