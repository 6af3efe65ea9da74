"""The result of a batch, as `broadcast.py` sends it: who waits, who is refused or removed, who was told."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from roomd.protocol.errors import DENIED, ErrorKind
from roomd.protocol.objects import Message
from roomd.rooms.changes import Removal, SeatChanged
from roomd.rooms.history import shown_messages
from roomd.rooms.model import Seat, WaitsFor
from roomd.rooms.room import Checkpoint, Room
from roomd.rooms.user_ids import sees_user_ids


class Batch:
    """The result of a batch, and who has been sent what of it."""

    __slots__ = (
        "_before",
        "_snapshot",
        "_states",
        "got_snapshot",
        "informed",
        "places",
        "refusals",
        "removals",
        "room",
    )

    def __init__(
        self,
        room: Room,
        seats: Iterable[SeatChanged],
        before: Checkpoint,
        snapshot: Callable[[Room, Sequence[Message], str | None], bytes],
    ) -> None:
        self.room = room
        self.got_snapshot: set[str] = set()
        """The members who got a snapshot."""
        self.informed: set[str] = set()
        """Those who got their place in the queue as an answer."""
        self.refusals: dict[str, ErrorKind] = {}
        """The errors of those who wait no longer and got no seat."""
        self.removals: dict[str, Removal] = {}
        """Those whom a host removed from their seat."""
        self.places = _places(room.queue) if room.queue else {}
        """The position and the reason of everyone in the queue."""
        self._before = _places(before.queue) if before.queue else {}
        self._snapshot = snapshot
        # By the ids of the messages in it (None: all that the room shows), and by whether it has user ids.
        self._states: dict[tuple[tuple[str, ...] | None, bool], bytes] = {}
        for change in seats:
            key = change.seat.participant.id
            if change.removal is not None:
                self.removals[key] = change.removal
                self.refusals[key] = DENIED  # for somebody who waited when the batch began
            elif change.refusal is not None:
                self.refusals[key] = change.refusal

    def has_moved(self, key: str) -> bool:
        """Return whether somebody waits no longer, or whether their position or reason has changed."""
        place = self.room.queue.get(key)
        return place is None or place.claim is None or self.places[key] != self._before.get(key, self.places[key])

    def is_taken_over(self, key: str, claim: int) -> bool:
        """Return whether the seat has another claim now."""
        seat = self.room.place_of(key)
        return seat is not None and seat.claim is not None and seat.claim != claim

    def state(self, seat: Seat, *, to_host: bool) -> bytes:
        """Return the snapshot for a participant as a frame. It is encoded once for all who see the same messages."""
        messages = shown_messages(self.room, seat, to_host=to_host)
        user_id = seat.participant.user_id
        shown = None if messages is self.room.messages else tuple(message.id for message in messages)
        key = shown, sees_user_ids(self.room.rules, user_id)
        if key not in self._states:
            self._states[key] = self._snapshot(self.room, messages, user_id)
        return self._states[key]


def _places(queue: Mapping[str, Seat]) -> dict[str, tuple[int, WaitsFor]]:
    return {key: (position, seat.waits_for or "room_full") for position, (key, seat) in enumerate(queue.items(), 1)}
