"""Commands about the whole room: show it, change its settings, end it."""

from typing import ClassVar

import msgspec

from roomd.protocol.errors import ROOM_INACTIVE, Refused
from roomd.protocol.objects import Admission
from roomd.protocol.objects import Room as RoomView
from roomd.rooms import seats
from roomd.rooms.answers import RoomAnswer
from roomd.rooms.changes import RoomChanged
from roomd.rooms.commands.joining import check_entry, check_space
from roomd.rooms.model import Caller, Moment
from roomd.rooms.rights import check_active, check_host, is_banned, user_of
from roomd.rooms.room import Command, Decision, Room
from roomd.rooms.settings import Settings, change_settings
from roomd.rooms.user_ids import sees_user_ids, without_host_id


class GetRoom(Command[RoomAnswer], frozen=True):
    """Return the room, and whether the caller could join it now. Who may never enter is not shown the room."""

    caller: Caller
    """Who sends the command."""

    def decide(self, room: Room, now: Moment) -> Decision[RoomAnswer]:
        """Run the checks of a join."""
        return Decision([], RoomAnswer(self._shown(room, now), self._admission(room, now)))

    def _admission(self, room: Room, now: Moment) -> Admission:
        try:
            if check_entry(room, self.caller, now) is None:
                check_space(room, self.caller, wait=False)
        except Refused as refused:
            return not_admitted(refused)
        return Admission(allowed=True)

    def _shown(self, room: Room, now: Moment) -> RoomView | None:
        user_id = user_of(room, self.caller)
        if is_banned(room, self.caller, now) or (user_id is None and not room.settings.allow_guest_access):
            return None
        view = room.view()
        return view if sees_user_ids(room.rules, user_id) else without_host_id(view)


class UpdateRoom(Command[RoomView], frozen=True):
    """Change the room's settings. The answer is the room after the queue has been served by the new settings."""

    caller: Caller
    """Who sends the command."""
    settings: Settings
    """The settings to change."""

    def decide(self, room: Room, now: Moment) -> Decision[RoomView]:
        """Return the change of the room and those of its queue.

        Raises `Refused` for anybody but hosts (403), for an ended room (400), and for settings out of bounds (400).
        """
        check_host(room, self.caller, now)
        check_active(room)
        changed = change_settings(room.settings, self.settings, room.rules)
        if changed == room.settings:
            return Decision([], room.view())
        waiting = seats.follow_up(room, now, changed)
        seated = [change.seat.participant.left_at is None for change in waiting if not change.seat.waits_for]
        count = len(room.seats) + seated.count(True) - seated.count(False)
        answer = msgspec.structs.replace(changed, participant_count=count)
        return Decision([RoomChanged(changed), *waiting], answer)


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
        ended_at = max(now.stamp, room.settings.created_at)
        ended = msgspec.structs.replace(room.settings, is_active=False, ended_at=ended_at)
        seated = [seats.leave(seat, now) for seat in (*room.seats.values(), *room.hidden.values())]
        waiting = [seats.leave(seat, now, refusal=ROOM_INACTIVE) for seat in room.queue.values()]
        return Decision([*seated, *waiting, RoomChanged(ended)], ended)


def not_admitted(refused: Refused) -> Admission:
    """Build the admission of a caller whose join would be refused with this error."""
    kind = refused.kind
    return Admission(allowed=False, status_code=kind.status_code, code=kind.code, message=refused.message)
