"""What members see of an event who do not see user ids (`roomd/rooms/user_ids.py`)."""

import msgspec

from roomd.protocol.events import Event, ParticipantsChanged, RoomState, RoomUpdated
from roomd.rooms.user_ids import without_host_id, without_user_ids


def hide_user_ids(event: Event) -> Event:
    """Return an event without the user ids of participants and hosts. Events for hosts alone keep them."""
    match event:
        case RoomState(room=room, participants=participants):
            return msgspec.structs.replace(
                event, room=without_host_id(room), participants=without_user_ids(participants)
            )
        case RoomUpdated(room=room):
            return msgspec.structs.replace(event, room=without_host_id(room))
        case ParticipantsChanged(joined=joined, updated=updated, left=left):
            return msgspec.structs.replace(
                event,
                joined=without_user_ids(joined),
                updated=without_user_ids(updated),
                left=without_user_ids(left),
            )
        case _:
            return event
