"""The seats that a room can give out: the free ones, and in a room that is just full those of held guests.

    who needs a seat | whose place they take in a full room
    -----------------|--------------------------------------------------------------------------------------
    the room's host  | the held guest who joined last
    anybody          | of an address that holds more than a quarter of the seats, the guest who dropped first

A hold that a restart began does not count: all guests of the room are held then. An address with a single held seat
keeps it, though it may be more than a quarter of a very small room. In a room with more seats taken than allowed nobody
gets a seat.
"""

from collections import Counter

from roomd.protocol.objects import Room as RoomView
from roomd.rooms.model import Seat
from roomd.rooms.room import Room

SHARE = 4
"""An address may hold one in so many seats of a full room without losing one to a newcomer."""


class Space:
    """The seats that one decision can give out. `settings` replace the room's."""

    def __init__(self, room: Room, settings: RoomView | None = None) -> None:
        self._settings = settings or room.settings
        self._free = self._settings.max_participants - len(room.seats)
        self._room = room
        self._added: list[Seat] = []
        self._gone: set[str] = set()  # the participant ids of those who have given up their seats
        self._found: tuple[Seat | None, Seat | None] | None = None  # what `_find` returns, until it would change

    def add(self, seat: Seat) -> None:
        """Add a seat that is taken now. It can be given up if it is that of a guest who has dropped."""
        self._added.append(seat)
        self._found = None

    def take(self, user_id: str | None, *, is_connected: bool = True) -> list[Seat] | None:
        """Take a seat for somebody. Return the seats that are given up for it; None when there is no seat for them.

        `user_id` is theirs, None for a guest. Without a connection they take no place of a guest, unless they are the
        host.
        """
        if self._free > 0:
            self._free -= 1
            return []
        if self._free < 0:
            return None
        for_host, for_others = self._found = self._found or self._find()
        seat = for_host if user_id == self._settings.host_id else for_others if is_connected else None
        if seat is None:
            return None
        self._gone.add(seat.participant.id)
        self._found = None
        return [seat]

    def _find(self) -> tuple[Seat | None, Seat | None]:
        """Return the held seats that the host and that others would take; None where there is none for them."""
        held = self._held()
        newest = max(held, key=lambda seat: (seat.participant.joined_at, seat.participant.id), default=None)
        counts = Counter(seat.address_key for seat in held)
        counts[None] = 0  # not known, so perhaps different ones
        most = max(1, self._settings.max_participants // SHARE)
        greedy = [seat for seat in held if counts[seat.address_key] > most]
        return newest, min(greedy, key=lambda seat: (seat.dropped_at or "", seat.participant.id), default=None)

    def _held(self) -> list[Seat]:
        return [
            seat
            for seat in (*self._room.held, *self._added)
            if seat.claim is None
            and seat.waits_for is None
            and seat.participant.user_id is None
            and not seat.is_held_since_start
            and seat.participant.id not in self._gone
        ]
