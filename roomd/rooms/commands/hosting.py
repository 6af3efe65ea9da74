"""Commands about the whole room: show it, change its settings."""

from typing import ClassVar

import msgspec

from roomd.protocol.errors import INVALID_SETTINGS, Refused
from roomd.protocol.objects import Admission
from roomd.protocol.objects import Room as RoomView
from roomd.rooms import seats
from roomd.rooms.answers import RoomAnswer
from roomd.rooms.changes import RoomChanged, SeatChanged
from roomd.rooms.commands.joining import check_entry, check_space
from roomd.rooms.model import Caller, Moment, PersonKey, Seat
from roomd.rooms.rights import check_active, check_host, is_banned, role_of, user_of
from roomd.rooms.room import Command, Decision, Room
from roomd.rooms.settings import Settings, change_settings
from roomd.rooms.user_ids import sees_user_ids, without_host_id


class GetRoom(Command[RoomAnswer], frozen=True):
    """Return the room, and whether the caller could join it now. Who may never enter is not shown the room."""

    is_repeatable: ClassVar[bool] = True

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


class CheckHost(Command[str], frozen=True):
    """Check that the caller is a host. The answer is the id of the room."""

    is_repeatable: ClassVar[bool] = True

    caller: Caller
    """Who sends the command."""

    def decide(self, room: Room, now: Moment) -> Decision[str]:
        """Return the id of the room.

        Raises `Refused` like `check_host`.
        """
        check_host(room, self.caller, now)
        return Decision([], room.settings.id)


class UpdateRoom(Command[RoomView], frozen=True):
    """Change the room's settings. The answer is the room after the queue has been served by the new settings.

    With another host the room is handed over: whoever was the host keeps the seat.
    """

    is_repeatable: ClassVar[bool] = True

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
        changed = change_settings(room.settings, self.settings, room.rules, now.stamp)
        if changed == room.settings and repr(changed.metadata) == repr(room.settings.metadata):  # 1 and true differ
            return Decision([], room.view())
        if changed.host_id != room.settings.host_id and PersonKey("user", changed.host_id) in room.bans:
            raise Refused(INVALID_SETTINGS, "hostId is banned; lift the ban first")
        rehosted = [SeatChanged(new) for seat in room.places if (new := _for_host(seat, changed)) is not seat]
        waiting = [
            msgspec.structs.replace(change, seat=_for_host(change.seat, changed))
            for change in seats.follow_up(room, now, changed)
        ]
        seated = [change.seat.participant.left_at is None for change in waiting if not change.seat.waits_for]
        count = len(room.seats) + seated.count(True) - seated.count(False)
        answer = msgspec.structs.replace(changed, participant_count=count)
        return Decision([RoomChanged(changed), *rehosted, *waiting], answer)


def _for_host(seat: Seat, settings: RoomView) -> Seat:
    """Return a place as it is under the host of `settings`; the same place if that makes no difference to it."""
    is_host = seat.participant.user_id == settings.host_id
    if seat.participant.is_host == is_host:
        return seat
    role = role_of(is_host=is_host, is_admin=seat.is_admin, is_cohost=seat.is_cohost)
    participant = msgspec.structs.replace(seat.participant, is_host=is_host, role=role)
    return msgspec.structs.replace(seat, participant=participant)


def not_admitted(refused: Refused) -> Admission:
    """Build the admission of a caller whose join would be refused with this error."""
    kind = refused.kind
    return Admission(allowed=False, status_code=kind.status_code, code=kind.code, message=refused.message)
