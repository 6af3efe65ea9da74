"""The denials of rooms that are not in memory, so that who was denied waits also when everybody has left meanwhile.

They are not stored: a restart forgets them. Their number has a bound, because every user can create rooms, and deny
their own guests there.
"""

from collections.abc import Mapping

from roomd.rooms.denials import Denial
from roomd.rooms.model import PersonKey

MOST_PAST_DENIALS = 10_000
"""The number of denials that are kept for all rooms together. Beyond it the room that was unloaded first is dropped."""


class PastDenials:
    """The denials of unloaded rooms, by room code. Times are of the monotonic clock, in seconds."""

    __slots__ = ("_count", "_rooms")

    def __init__(self) -> None:
        self._rooms: dict[str, Mapping[PersonKey, Denial]] = {}  # the room that was unloaded first is first
        self._count = 0

    def __len__(self) -> int:
        """Return the number of denials."""
        return self._count

    def keep(self, code: str, denials: Mapping[PersonKey, Denial], clock: float) -> None:
        """Keep the denials of a room that is unloaded at `clock`. Drop the rooms whose denials are all forgotten."""
        self._rooms[code] = denials
        self._count += len(denials)
        while self._rooms and (self._count > MOST_PAST_DENIALS or self._is_over(next(iter(self._rooms)), clock)):
            self.take(next(iter(self._rooms)))

    def take(self, code: str) -> Mapping[PersonKey, Denial]:
        """Return the denials of a room that is loaded, and keep them no longer."""
        denials = self._rooms.pop(code, {})
        self._count -= len(denials)
        return denials

    def _is_over(self, code: str, clock: float) -> bool:
        return all(denial.is_forgotten(clock) for denial in self._rooms[code].values())
