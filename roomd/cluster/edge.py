"""The edge: all rooms, as the clients of this node see them, wherever they are. The router finds them."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

from roomd.cluster import wire
from roomd.cluster.calls import CommandCall, EdgeSeat, LeavingAsker, RelayCall, SeatCall
from roomd.cluster.links import Links
from roomd.cluster.notices import DELETED, Notices
from roomd.cluster.router import Router
from roomd.engine.askers import IgnoringAsker, KeptAnswer, submit_until_stored
from roomd.engine.hub import Hub
from roomd.engine.ports import Asker, Clock, Encode, Member, RoomFigures
from roomd.protocol.events import Event
from roomd.protocol.objects import Room as RoomView
from roomd.rooms.changes import LeaveReason
from roomd.rooms.commands import Attach, Confirm, Drop, Leave, SeatCommand
from roomd.rooms.room import Command
from roomd.rooms.settings import Rules, Settings

A = TypeVar("A")


class ClusterRooms:
    """All rooms of the cluster; `hub` has those of this node. It implements `engine.ports.Rooms`."""

    def __init__(
        self,
        hub: Hub,
        router: Router,
        links: Links,
        notices: Notices,
        clock: Clock,
        encode: Encode,
        drain: Callable[[], Awaitable[None]],
    ) -> None:
        self._hub = hub
        self._router = router
        self._routes = router.routes
        self._links = links
        self._notices = notices
        self._clock = clock
        self._encode = encode
        self._drain = drain
        router.on_abandoned = lambda seat: self.drop(seat.code, "", seat.claim)

    # What is the same for the rooms of this node and of others.

    @property
    def is_draining(self) -> bool:
        """Whether newcomers are refused at this node."""
        return self._hub.is_draining

    @is_draining.setter
    def is_draining(self, value: bool) -> None:
        self._hub.is_draining = value

    @property
    def is_stopping(self) -> bool:
        """Whether this node stops and serves no more requests."""
        return self._hub.is_stopping

    def statistics(self) -> dict[str, int]:
        """Return the number of rooms that this node has, and of their connected members."""
        return self._hub.statistics()

    def in_use(self) -> Iterator[RoomFigures]:
        """Iterate over the rooms of this node that are in use."""
        return self._hub.in_use()

    def problems(self) -> list[str]:
        """Return why rooms cannot be served as they should be now; nothing when all is well."""
        return [*self._hub.problems(), *self._router.problems()]

    def use(self, rules: Rules) -> None:
        """Use other rules from now on, for all rooms."""
        self._hub.use(rules)

    def when_deleted(self, call: Callable[[], None]) -> None:
        """Call `call` each time that a room was deleted, here or, as far as this node is told, elsewhere."""

        def deleted() -> None:
            call()
            self._notices.tell(DELETED)

        self._hub.when_deleted(deleted)
        self._notices.on(DELETED, call)

    async def drain(self) -> None:
        """Finish the running batches, and give up the rooms of this node. Drops are still accepted."""
        await self._drain()

    async def create(self, settings: Settings, host_id: str, external_id: str | None = None) -> RoomView:
        """Create a room; see `engine.ports.Rooms`. Whoever serves its first command gets it."""
        return await self._hub.create(settings, host_id, external_id)

    def submit(self, code: str, command: Command[A], asker: Asker[A]) -> asyncio.Future[None]:
        """Submit a command to the room `code`. The future is done when the asker was answered."""
        if isinstance(command, Leave):
            asker = LeavingAsker(self._router, code, command.claim, asker)
        call = CommandCall(code, self._clock.monotonic(), command, asker)
        self._router.route(call)
        return call.done

    async def ask(self, code: str, command: Command[A]) -> A:
        """Submit a command to the room `code` and return the answer.

        Raises `Refused`.
        """
        answer: KeptAnswer[A] = KeptAnswer()
        await self.submit(code, command, answer)
        return answer.get()

    def take_seat(self, code: str, command: SeatCommand | Attach, member: Member) -> asyncio.Future[None]:
        """Submit a join or a resume to the room `code`. The future is done when the member was answered."""
        seats = self._routes.of(code).seats
        before = seats.get(command.caller.claim or 0) if isinstance(command, SeatCommand) else None
        seat = seats[command.claim] = EdgeSeat(self._router, code, command.claim, member, before)
        call = seat.call = SeatCall(self._clock.monotonic(), command, seat)
        self._router.route(call)
        return call.done

    def leave(self, code: str, participant_id: str, claim: int, reason: LeaveReason) -> None:
        """Give up a seat for this reason. When storage fails, this is tried again until it succeeds."""
        self._router.forget(code, claim)
        submit_until_stored(self, self._clock, code, Leave(participant_id, claim, reason))

    def drop(
        self, code: str, participant_id: str, claim: int, hold: float = math.inf, *, is_late: bool = False
    ) -> None:
        """Hold a seat whose connection was lost now, for at most `hold` seconds; see `Drop` for `is_late`.

        When storage fails, this is tried again until it succeeds.
        """
        self._router.forget(code, claim)
        submit_until_stored(self, self._clock, code, Drop(participant_id, claim, 0.0, hold, is_late))

    def confirm(self, code: str, participant_id: str, claim: int) -> None:
        """Void the previous resume token of a seat: its client has the current one."""
        if not self.is_stopping:
            self.submit(code, Confirm(participant_id, claim), IgnoringAsker())

    def unsubscribe(self, code: str, participant_id: str, member: Member) -> None:
        """Send a member no more events of the room: its client has taken another seat."""
        route = self._routes.find(code)
        seat = route.seat_of(member) if route is not None else None
        if route is None or seat is None:
            return
        self._router.forget(code, seat.claim)
        if route.owner == self._router.here:
            self._hub.unsubscribe(code, participant_id, seat)
        elif route.owner is not None:
            self._links.post(route.owner, wire.Unsubscribe(code, participant_id, seat.claim))

    def refresh(self, code: str, participant_id: str, member: Member) -> None:
        """Send a member that has left out events a new snapshot, or its place in the queue."""
        route = self._routes.find(code)
        seat = route.seat_of(member) if route is not None else None
        if route is None or seat is None:
            return
        if route.owner == self._router.here:
            self._hub.refresh(code, participant_id, seat)
        else:
            self._router.attach(seat)

    def relay(self, code: str, participant_id: str, event: Event, asker: Asker[None]) -> asyncio.Future[None] | None:
        """Send an event to one connected participant at once; see `engine.ports.Rooms`.

        That too many bytes wait for a participant of another node is not known: there the event is left out.
        """
        route = self._routes.find(code)
        if route is not None and route.owner == self._router.here:
            self._hub.relay(code, participant_id, event, asker)
            return None
        call = RelayCall(code, self._clock.monotonic(), participant_id, self._encode(event), asker)
        self._router.route(call)
        return call.done

    def seats_in(self, code: str) -> int:
        """Return the number of seats of a room as this node was last told; 0 for a room that it knows nothing of."""
        route = self._routes.find(code)
        return self._hub.seats_in(code) or (route.seats_there if route is not None else 0)
