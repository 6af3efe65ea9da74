"""Who sees the user ids of participants and hosts: the setting `rooms.show_user_ids` (docs/protocol.md, section 3).

setting | users | guests, and people outside without a token
--------|-------|-------------------------------------------
all     | yes   | yes
users   | yes   | no
"""

from collections.abc import Iterable

import msgspec

from roomd.protocol.objects import Participant
from roomd.protocol.objects import Room as RoomView
from roomd.rooms.settings import Rules


def sees_user_ids(rules: Rules, user_id: str | None) -> bool:
    """Return whether somebody sees the user ids of others. `user_id` is theirs, None for a guest."""
    return user_id is not None or rules.show_user_ids == "all"


def without_host_id(room: RoomView) -> RoomView:
    """Return the room as those see it who do not see user ids."""
    return msgspec.structs.replace(room, host_id="")


def without_user_ids(participants: Iterable[Participant]) -> list[Participant]:
    """Return participants as those see them who do not see user ids."""
    return [msgspec.structs.replace(one, user_id=None) for one in participants]
