"""The edge's side of what owners send (rule 9).

term of the news | number        | what the edge does
-----------------|---------------|----------------------------------------------------------------------------
lower            |               | nothing: it is of an earlier owner
the same         | the next      | tell its clients
the same         | one of before | nothing: it is known
the same         | a later one   | some are missing: have every seat sent the state, tell what was just answered
higher           |               | the same, for the next owner
"""

from roomd.cluster import wire
from roomd.cluster.ports import Node
from roomd.cluster.router import Router
from roomd.cluster.routes import Route
from roomd.counters import Counters


class Receiving:
    """What owners send, and what becomes of it."""

    def __init__(self, router: Router, counters: Counters) -> None:
        self._router = router
        self._counters = counters

    def elsewhere(self, item: wire.Elsewhere) -> None:
        """Find the room of a call again."""
        call = self._router.take(item.number)
        if call is not None:
            self._router.moved(call, is_in_doubt=item.is_in_doubt)

    def answer(self, told: wire.Answered | wire.Declined) -> None:
        """Send an answer, or a refusal, to its asker."""
        call = self._router.take(told.number)
        if call is not None:
            self._router.count(call)
            if isinstance(told, wire.Answered):
                call.answered(told.answer)
            else:
                call.refused(told.refusal.refused())

    def news(self, owner: Node, news: wire.News) -> None:
        """Tell the clients of this node what happened in a room."""
        route = self._router.routes.of(news.code)
        if not self._is_next(route, owner, news):
            return
        route.seats_there = news.seats
        for told in news.told:
            self._tell(route, told, news.frames)
        self._router.routes.tidy(route, self._router.here)

    def owned(self, owner: Node, item: wire.Owned) -> None:
        """Attach the seats of a room that another node has got."""
        route = self._router.routes.find(item.code)
        if route is not None and item.term > route.term:
            route.owner, route.term, route.number = owner, item.term, 0
            self._router.resync(route)

    def released(self, owner: Node, item: wire.Released) -> None:
        """Find a room again that its owner has given up."""
        route = self._router.routes.find(item.code)
        if route is not None and route.owner == owner and item.term >= route.term:
            self._router.lose(route)

    def beacon(self, owner: Node, item: wire.Beacon) -> None:
        """Notice that the last news of a room did not come."""
        for code, (term, number) in item.rooms.items():
            route = self._router.routes.find(code)
            if route is not None and (term, number) > (route.term, route.number):
                self._missed(route, owner, term, number)

    def _is_next(self, route: Route, owner: Node, news: wire.News) -> bool:
        if (news.term, news.number) <= (route.term, route.number):
            return False
        if news.term == route.term and news.number == route.number + 1:
            route.number = news.number
        else:
            self._missed(route, owner, news.term, news.number)
        return True

    def _missed(self, route: Route, owner: Node, term: int, number: int) -> None:
        """Go on with this number, and have every seat that was told earlier ones sent the state."""
        route.owner, route.term, route.number = owner, term, number
        stale = [seat for seat in route.mark_stale() if seat.call is None]
        if stale:
            self._counters.resyncs += 1
        for seat in stale:
            self._router.attach(seat)

    def _tell(self, route: Route, told: wire.Told, frames: list[bytes]) -> None:
        match told:
            case wire.Answered() | wire.Declined():
                self.answer(told)
            case wire.Events(claims=claims, frames=index, are_last=are_last):
                for claim in claims:
                    if (seat := route.seats.get(claim)) is not None:
                        seat.events(frames[index], are_last=are_last)
            case _:
                self._tell_seat(route, told, frames)

    def _tell_seat(
        self,
        route: Route,
        told: wire.Seated | wire.Queued | wire.Unseated | wire.Lost | wire.Refreshed,
        frames: list[bytes],
    ) -> None:
        seat = route.seats.get(told.claim)
        if seat is None:
            return
        match told:
            case wire.Seated():
                seat.seated(told.participant, frames[told.state])
            case wire.Queued():
                seat.queued(told.participant, told.position, told.reason)
            case wire.Unseated():
                seat.refused(told.refusal.refused())
            case wire.Lost():
                seat.seat_lost(told.lost)
            case wire.Refreshed():
                seat.refreshed(frames[told.state])
