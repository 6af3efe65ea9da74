"""Which messages a participant may read, by the room's setting `historyVisible` (docs/protocol.md, section 7).

    historyVisible | in `room-state` and `list-messages`
    ---------------|------------------------------------------------------------------------------------
    all            | every public message
    since-joined   | those sent since the participant got the seat
    none           | those that the participant sent

Private messages are read by the two whom they concern, under the same rule: not those of an earlier stay, unless all
are visible. A seat that is resumed or taken over is the same seat, so what was sent meanwhile is read. A user who joins
again is another participant. Hosts read everything, because they may change the setting.
"""

from collections.abc import Sequence

from roomd.protocol.objects import Message
from roomd.rooms.answers import Reader
from roomd.rooms.model import Caller, Moment, Seat
from roomd.rooms.rights import is_host, member_or_host, user_of
from roomd.rooms.room import Room


def reader(room: Room, caller: Caller, now: Moment) -> Reader:
    """Return what the caller may read in `list-messages`.

    Raises `Refused` (400 `not_in_room`) for a caller without a seat who is no host.
    """
    seat, user_id = member_or_host(room, caller, now), user_of(room, caller)
    participant_id = seat.participant.id if seat is not None else None
    if seat is None or is_host(room, caller) or room.settings.history_visible == "all":
        return Reader(room.settings.id, participant_id, user_id)
    sees_public = room.settings.history_visible == "since-joined"
    return Reader(room.settings.id, participant_id, user_id, seat.since, sees_public)


def shown_messages(room: Room, seat: Seat, *, to_host: bool) -> Sequence[Message]:
    """Return the messages for the `room-state` of a participant: of the last public ones those that they may read.

    `to_host` is whether the participant has host rights.
    """
    if to_host or room.settings.history_visible == "all":
        return room.messages
    if room.settings.history_visible == "since-joined":
        return [message for message in room.messages if message.id > seat.since]
    return [message for message in room.messages if message.participant_id == seat.participant.id]
