"""A room, people and changes as storage tests write and read them."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from roomd.engine.ports import Store
from roomd.protocol.objects import Participant, Room
from roomd.rooms.changes import Change, RoomChanged, SeatChanged
from roomd.rooms.model import Seat

ROOM = Room(
    id="r1", code="abc-def-ghi", name="Weekly", host_id="alice", is_active=True, is_locked=False, max_participants=3,
    allow_guest_access=True, waiting_room=False, participant_count=0, created_at="2026-03-03T10:00:00.000Z",
    ended_at=None,
)  # fmt: skip
JANE = Participant(
    id="p1", room_id="r1", user_id=None, guest_name="Jane 😀", is_active=True, is_host=False,
    joined_at="2026-03-03T10:00:01.000Z", left_at=None, display_name="Jane 😀",
)  # fmt: skip
BOB = msgspec.structs.replace(JANE, id="p2", user_id="bob", guest_name=None, display_name="Bob", is_host=True)
LATER = "2026-03-03T11:00:00.000Z"


def seat(participant: Participant, *, claim: int | None = 1, dropped_at: str | None = None) -> SeatChanged:
    """A seat as it was taken, or changed."""
    return SeatChanged(Seat(participant, f"hash-{participant.id}", claim, dropped_at))


class InRoom(NamedTuple):
    """A change of another room than `ROOM`, where the change itself does not say which."""

    room_id: str
    change: Change


async def append(store: Store, changes: Sequence[Change | InRoom]) -> None:
    """Append changes, those of each room together, all rooms at the same time."""
    by_room: dict[str, list[Change]] = defaultdict(list)
    for change in changes:
        match change:
            case InRoom():
                by_room[change.room_id].append(change.change)
            case SeatChanged():
                by_room[change.seat.participant.room_id].append(change)
            case RoomChanged():
                by_room[change.room.id].append(change)
            case _:
                by_room[ROOM.id].append(change)
    await asyncio.gather(*(store.append(room_id, some) for room_id, some in by_room.items()))
