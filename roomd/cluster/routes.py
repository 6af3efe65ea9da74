"""What an edge knows of each room: who has it, what it was told last, and which of its clients are there."""

from collections.abc import Iterator

from roomd.cluster.calls import Call, EdgeSeat
from roomd.cluster.ports import Node
from roomd.engine.ports import Member

MOST_IDLE = 10_000
"""The rooms whose owner is remembered though no client of this node is there."""


class Route:
    """One room, as the edge knows it."""

    __slots__ = ("code", "is_searched", "number", "owner", "seats", "seats_there", "term", "waiting")

    def __init__(self, code: str) -> None:
        self.code = code
        self.owner: Node | None = None
        """Who has the room, as far as the edge knows; None while it does not know."""
        self.term = 0
        """The term of the last `News`."""
        self.number = 0
        """The number of the last `News` in that term."""
        self.seats: dict[int, EdgeSeat] = {}
        """The seats of clients of this node, by their claims."""
        self.seats_there = 0
        """The number of seats of the room."""
        self.waiting: list[Call] = []
        """What waits until the owner is known."""
        self.is_searched = False
        """Whether the owner is being looked for."""

    @property
    def is_needed(self) -> bool:
        """Whether the owner must be found."""
        return bool(self.waiting) or any(True for _ in self.attached())

    def attached(self) -> Iterator[EdgeSeat]:
        """Iterate over the seats that the room knows."""
        return (seat for seat in self.seats.values() if seat.is_attached)

    def seat_of(self, member: Member) -> EdgeSeat | None:
        """Return the seat of a member; None when it has none here."""
        return next((seat for seat in self.seats.values() if seat.member is member), None)

    def mark_stale(self) -> list[EdgeSeat]:
        """Note that the seats may have missed events, and return them."""
        stale = list(self.attached())
        for seat in stale:
            seat.is_stale = True
        return stale


class Routes:
    """The rooms that an edge knows something of, by their codes."""

    def __init__(self) -> None:
        self._routes: dict[str, Route] = {}

    def __iter__(self) -> Iterator[Route]:
        """Iterate over all of them, as they are now."""
        return iter(list(self._routes.values()))

    def of(self, code: str) -> Route:
        """Return what is known of a room, to add to it."""
        route = self._routes.get(code)
        if route is None:
            route = self._routes[code] = Route(code)
        return route

    def find(self, code: str) -> Route | None:
        """Return what is known of a room; None for nothing."""
        return self._routes.get(code)

    def tidy(self, route: Route, here: Node) -> None:
        """Forget a room for which nobody is there and nothing waits. The owners of some others are remembered."""
        if route.seats or route.waiting or route.is_searched:
            return
        if route.owner in (None, here):
            self._routes.pop(route.code, None)
        elif len(self._routes) > MOST_IDLE:
            idle = next(
                (one for one in self._routes.values() if not (one.seats or one.waiting or one.is_searched)), route
            )
            self._routes.pop(idle.code, None)
