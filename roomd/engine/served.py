"""What the daemon needs of all rooms, besides what the gateway does."""

from collections.abc import Callable
from typing import Protocol

from roomd.engine.ports import Rooms
from roomd.rooms.settings import Rules


class ServedRooms(Rooms, Protocol):
    """All rooms: the hub of a single daemon, or those of a cluster."""

    def problems(self) -> list[str]:
        """Return why rooms cannot be served as they should be now; nothing when all is well."""
        ...

    def use(self, rules: Rules) -> None:
        """Use other rules from now on, for all rooms. What was promised before stays, like the end of a hold."""

    def when_deleted(self, call: Callable[[], None]) -> None:
        """Call `call` each time that a room was deleted."""

    async def drain(self) -> None:
        """Stop the timers and finish the running batches. Drops are still accepted."""
