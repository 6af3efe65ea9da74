"""A room, people and changes as storage tests write and read them."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from roomd.engine.ports import LoggedEvents, Store
from roomd.protocol.logged import number_of
from roomd.protocol.objects import Message, Participant, Room
from roomd.rooms.changes import Banned, Change, MessageSent, RoomChanged, SeatChanged
from roomd.rooms.model import PersonKey, Seat, StoredRoom, WaitsFor
from tests.support.rooms import user_ban

ROOM = Room(
    id="r1", code="abc-def-ghi", name="Weekly", host_id="alice", is_active=True, is_locked=False, max_participants=3,
    allow_guest_access=True, waiting_room=False, history_visible="all", participant_count=0,
    created_at="2026-03-03T10:00:00.000Z", ended_at=None,
)  # fmt: skip
OTHER = msgspec.structs.replace(ROOM, id="r2", code="zzz-zzz-zzz")
JANE = Participant(
    id="p1", room_id="r1", user_id=None, guest_name="Jane 😀", is_active=True, is_host=False,
    joined_at="2026-03-03T10:00:01.000Z", left_at=None, display_name="Jane 😀",
)  # fmt: skip
BOB = msgspec.structs.replace(
    JANE, id="p2", user_id="bob", guest_name=None, display_name="Bob", is_host=True, role="host"
)
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


class Said(InRoom):
    """A message in a room."""

    change: MessageSent

    @property
    def message(self) -> Message:
        """What was sent."""
        return self.change.message


def said(
    number: int,
    text: str = "Hello",
    *,
    by: tuple[str, str | None] = ("p1", None),
    to: tuple[str | None, str | None] = (None, None),
    room: str = "r1",
) -> "Said":
    """Something said `by` a participant and the user they are, `to` another or to everyone."""
    message = Message(
        id=f"m{number:06}", participant_id=by[0], display_name="Jane 😀", text=text, sent_at=LATER, to=to[0]
    )
    return Said(room, MessageSent(message, by[1], to[1]))


def queued(
    number: int, waits_for: WaitsFor | None, *, dropped_at: str | None = None, left: bool = False
) -> SeatChanged:
    """A guest in the queue, or, having waited for nothing, on a seat."""
    person = msgspec.structs.replace(
        JANE, id=f"p{number:03}", is_active=not (dropped_at or left), left_at=LATER if left else None
    )
    claim = None if dropped_at or left else number
    return SeatChanged(Seat(person, f"hash-{number}", claim, dropped_at, waits_for=waits_for))


async def kept(store: Store, code: str = ROOM.code) -> StoredRoom:
    """A room that is there."""
    found = await store.load(code)
    assert found is not None
    return found


def with_id(message: Said, client_id: str | None) -> Said:
    """The message with a client id."""
    change = msgspec.structs.replace(message.message, client_id=client_id)
    return Said(message.room_id, msgspec.structs.replace(message.change, message=change))


# Who sees which of these: 0 to everyone; 1 from guest p1 to guest p2; 2 from guest p1 to bob, then p3; 3 from bob, then
# p3, to guest p2; 4 from carol, then p5, to dave, then p6; 5 to everyone in another room.
TALK = [
    said(0),
    said(1, to=("p2", None)),
    said(2, to=("p3", "bob")),
    said(3, by=("p3", "bob"), to=("p2", None)),
    said(4, by=("p5", "carol"), to=("p6", "dave")),
    said(5, room="r2"),
]


def lived_in(count: int) -> list[Change | InRoom]:
    """Return a room with messages, stays and a ban."""
    people = [msgspec.structs.replace(JANE, id=f"p{n:04}", is_active=False, left_at=LATER) for n in range(count)]
    return [
        RoomChanged(msgspec.structs.replace(ROOM, external_id="x", is_active=False, ended_at=LATER)),
        *(seat(person, claim=None) for person in people),
        *(said(number, by=("p0001", None)) for number in range(count)),
        Banned(PersonKey("user", "bob"), user_ban("bob")),
    ]


def numbers(part: LoggedEvents) -> list[int]:
    """Return the numbers of the events."""
    return [number_of(event) for event in part.events]
