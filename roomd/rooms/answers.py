"""What commands answer with, where a participant or a room is not enough. All of it is data."""

from typing import NamedTuple

from roomd.protocol.objects import Admission, Participant
from roomd.protocol.objects import Room as RoomView


class RoomSeen(NamedTuple):
    """The answer to `GetRoom`."""

    room: RoomView
    admission: Admission
    """Whether the caller could join now, and if not, why."""


class Participants(NamedTuple):
    """The answer to `ListParticipants`."""

    room_id: str
    participants: list[Participant]
    """Everyone who holds a seat, in the order they took it."""


class Reader(NamedTuple):
    """The answer to `ListMessages`: who reads. Beside the public messages they see those from and to these ids."""

    room_id: str
    participant_id: str | None
    user_id: str | None


class Changed(NamedTuple):
    """The net effect of changes on who is in a room; a participant stands in at most one list."""

    joined: list[Participant]
    updated: list[Participant]
    left: list[Participant]
