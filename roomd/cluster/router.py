"""The way of what is asked of a room: to its owner, by the hub of this node or over the bus (rule 13).

    asked ──→ the owner is known? ──no──→ look into `owners` ──→ nobody has the room: the hub here claims it
                   │ yes                          └─→ its owner
                   ├─ this node: hub.submit
                   └─ another one: `Ask` ──→ `News` with the answer
                            └─ no such node, `Elsewhere`, its lease is over ──→ look again

What nobody has answered after `PATIENCE` is refused with 503, or, if an owner may have served it, ends the connection.
A client that has a seat keeps its connection: the seat is attached to the next owner.
"""

import asyncio
import logging
from collections.abc import Callable
from zlib import crc32

from roomd.cluster.calls import Call, CommandCall, EdgeSeat, LocalAsker, RelayCall, SeatCall
from roomd.cluster.lease import Lease
from roomd.cluster.links import Links
from roomd.cluster.ports import Node, Owners
from roomd.cluster.routes import Route, Routes
from roomd.counters import Counters
from roomd.engine.hub import Hub
from roomd.engine.moving import Uncertain
from roomd.engine.ports import Clock, StorageFailed, Timer
from roomd.rooms.commands import Attach

log = logging.getLogger("roomd.cluster.router")

PATIENCE = 5.0
"""The seconds beyond a lease after which a call that nobody has answered is given up."""
SEND_AGAIN = 1.0
"""The seconds after which an item is sent again whose answer has not come."""
LOOK_AGAIN = 0.05
"""The seconds between two looks for the owner of a room that cannot be reached."""


class Router:
    """Sends calls to the owners of their rooms."""

    def __init__(self, hub: Hub, owners: Owners, lease: Lease, clock: Clock, counters: Counters) -> None:
        self._counters = counters
        self._hub = hub
        self._owners = owners
        self._lease = lease
        self._clock = clock
        self._calls: dict[int, Call] = {}  # on the wire, by their numbers
        self._number = 0
        self._absent: dict[Node, float] = {}  # nodes that a message has not found, and when, on the monotonic clock
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: Timer | None = None
        self._is_closed = False
        self.links: Links
        """What sends to other nodes. It is set before the first call."""
        self.on_abandoned: Callable[[EdgeSeat], None] = _ignore
        """Called with a seat that may have been given, though nobody was told of it."""
        self.routes = Routes()
        """What is known of the rooms."""

    @property
    def here(self) -> Node:
        """This node."""
        return self._lease.node

    def confirmed(self, owner: Node) -> int:
        """Return the number up to which every call that was sent to an owner has its answer."""
        waiting = (number for number, call in self._calls.items() if call.owner == owner)
        return next(waiting, self._number + 1) - 1  # numbers rise, so the first is the lowest

    def route(self, call: Call) -> None:
        """Send a call to the owner of its room, as soon as that is known."""
        if call.done.done():
            return  # an earlier owner's answer came after all
        route = self.routes.of(call.code)
        if route.owner is None and self._hub.has(call.code):
            route.owner = self.here
        if route.owner is None:
            route.waiting.append(call)
            self._find(route)
        elif route.owner == self.here:
            self._serve_here(call)
            self.routes.tidy(route, self.here)
        else:
            self._send(call, route.owner)

    def take(self, number: int) -> Call | None:
        """Return the call with this number, which is answered now; None when it is not waited for any more."""
        return self._calls.pop(number, None)

    def finished(self, call: Call) -> None:
        """Note that a call is answered, though not by its number."""
        if self._calls.pop(call.number, None) is not None:
            self.count(call)

    def count(self, call: Call) -> None:
        """Count a call that another node has answered."""
        self._counters.forwarded.add(self._clock.monotonic() - call.asked_at)

    def moved(self, call: Call, *, is_in_doubt: bool) -> None:
        """Find the room of a call again, and send the call there; or give it up."""
        self._calls.pop(call.number, None)
        call.number, call.owner = 0, None
        if is_in_doubt:
            call.is_in_doubt = True
            if not call.repeat():
                call.refused(Uncertain())
                return
        route = self.routes.of(call.code)
        route.waiting.append(call)
        self.lose(route)

    def attach(self, seat: EdgeSeat, after: float = 0.0) -> None:
        """Have the owner send a seat the state of its room, after so many seconds."""
        if after:
            self._clock.call_later(after, lambda: self.attach(seat))
            return
        if self._is_closed or seat.call is not None or not seat.is_attached:
            return
        seat.is_stale = True
        seat.call = SeatCall(self._clock.monotonic(), Attach(seat.participant_id, seat.claim), seat)
        self.route(seat.call)

    def forget(self, code: str, claim: int) -> None:
        """Forget a seat, which gets nothing more. An `Attach` for it is not waited for: its answer finds no seat."""
        route = self.routes.find(code)
        seat = route.seats.pop(claim, None) if route is not None else None
        if route is None or seat is None:
            return
        if seat.is_attached and seat.call is not None:
            self._calls.pop(seat.call.number, None)
            seat.call.finish(_nothing)
        self.routes.tidy(route, self.here)

    def abandon(self, seat: EdgeSeat) -> None:
        """Have the seat held that may have been given, though nobody was told of it."""
        self.on_abandoned(seat)

    def lose(self, route: Route) -> None:
        """Find the owner of a room again, and attach its seats there."""
        route.owner = None
        route.mark_stale()
        self._find(route, LOOK_AGAIN)

    def resync(self, route: Route) -> None:
        """Have every seat of a room sent the state: events were missed, or another node has the room (rule 9)."""
        for seat in route.mark_stale():
            self.attach(seat)

    def lost_here(self, code: str) -> None:
        """Note that the hub of this node does not have a room any more."""
        route = self.routes.find(code)
        if route is not None and route.owner in (None, self.here):
            self.lose(route)

    def gone(self, node: Node, *, is_absent: bool = False) -> None:
        """Note that a node is not there: its lease is over, or, if it `is_absent`, a message has not found it."""
        if is_absent:
            self._absent[node] = self._clock.monotonic()
        else:
            self._absent.pop(node, None)
        for route in self.routes:
            if route.owner == node:
                self.lose(route)
        for call in [one for one in self._calls.values() if one.owner == node]:
            self.moved(call, is_in_doubt=True)

    def reconnected(self) -> None:
        """Note that messages of other nodes may have been missed."""
        for route in self.routes:
            if route.owner != self.here:
                self.resync(route)

    def problems(self) -> list[str]:
        """Return why rooms cannot be reached as they should be now."""
        drained = ["drained: other nodes have its rooms"] if self._lease.is_leaving else []
        return [*self._lease.problems(), *drained]

    async def close(self) -> None:
        """Look for nothing more."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _serve_here(self, call: Call) -> None:
        match call:
            case SeatCall():
                self._hub.take_seat(call.code, call.command, call.seat)
            case CommandCall():
                self._hub.submit(call.code, call.delayed(self._clock.monotonic()), LocalAsker(self, call))
            case RelayCall():
                self._hub.relay_frame(call.code, call.participant_id, call.frame, call)

    def _send(self, call: Call, owner: Node) -> None:
        self._number += 1
        call.number, call.owner = self._number, owner
        self._calls[call.number] = call
        self.links.awaits(len(self._calls))
        self.links.post(owner, call.item(self._clock.monotonic()))
        if self._timer is None:
            self._timer = self._clock.call_later(SEND_AGAIN, self._send_again)

    def _send_again(self) -> None:
        """Send what waits for its answer once more, or give it up. The owner knows the numbers (rule 14)."""
        self._timer = None
        now = self._clock.monotonic()
        for number, call in list(self._calls.items()):
            if self._is_late(call):
                del self._calls[number]
                call.is_in_doubt = True
                call.give_up()
            elif call.owner is not None:
                self.links.post(call.owner, call.item(now))
        if self._calls:
            self._timer = self._clock.call_later(SEND_AGAIN, self._send_again)

    def _is_late(self, call: Call) -> bool:
        return self._clock.monotonic() - call.asked_at >= PATIENCE + self._lease.length

    def _find(self, route: Route, pause: float = 0.0) -> None:
        if route.is_searched or self._is_closed or not route.is_needed:
            return
        route.is_searched = True
        task = asyncio.get_running_loop().create_task(self._search(route, pause))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _search(self, route: Route, pause: float) -> None:
        """Find the owner of a room, as long as somebody needs it, and send there what waits."""
        while route.is_needed:
            if pause:
                await self._sleep(pause)
            self._give_up_late(route)
            if self._hub.has(route.code):
                route.owner = self.here
            route.owner = route.owner or await self._look(route.code)
            if route.owner is not None:
                break
            pause = LOOK_AGAIN
        route.is_searched = False
        waiting, route.waiting = route.waiting, []
        for seat in list(route.attached()):
            if seat.is_stale:
                self.attach(seat)
        for call in waiting:
            self.route(call)
        self.routes.tidy(route, self.here)

    async def _look(self, code: str) -> Node | None:
        """Return the owner of a room; this node where nobody has it; None when it cannot be reached now."""
        try:
            found = await self._owners.find(code)
        except StorageFailed:
            return None
        if found is None or (found.owner is None and self._lease.takes_rooms):
            return self.here
        if found.owner is None:
            return self._another(code)
        missed_at = self._absent.get(found.owner)
        if missed_at is not None and self._clock.monotonic() - missed_at < SEND_AGAIN:
            return None
        return found.owner

    def _another(self, code: str) -> Node:
        """Return the node that is to claim a room which this one does not take."""
        takers = self._lease.takers
        return takers[crc32(code.encode()) % len(takers)]

    def _give_up_late(self, route: Route) -> None:
        late = [call for call in route.waiting if self._is_late(call)]
        route.waiting = [call for call in route.waiting if not self._is_late(call)]
        for call in late:
            call.give_up()

    async def _sleep(self, seconds: float) -> None:
        over = asyncio.Event()
        self._clock.call_later(seconds, over.set)
        await over.wait()


def _nothing() -> None:
    """Do nothing."""


def _ignore(_: EdgeSeat) -> None:
    """Do nothing."""
