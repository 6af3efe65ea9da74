"""What the daemon does now, for `roomd top`: totals, the busiest rooms, and the clients that read slowly."""

import heapq
import os

from roomd import __version__
from roomd.admin.server import Operation
from roomd.counters import Counters, Histogram
from roomd.engine.ports import Clock, RoomFigures, Rooms
from roomd.gateway.listener import Listener
from roomd.protocol import admin
from roomd.system.memory import resident

BUSIEST = 50
"""The rooms that are listed."""
SLOWEST = 20
"""The slow clients that are listed."""


class ActivityView:
    """Reads the activity of the daemon.

    The rate of a room is that since the last reading, so two who read at the same time get rates of shorter times.
    """

    def __init__(self, rooms: Rooms, listener: Listener, counters: Counters, clock: Clock) -> None:
        self._rooms = rooms
        self._listener = listener
        self._counters = counters
        self._clock = clock
        self._began = self._read_at = clock.monotonic()
        self._commands: dict[str, int] = {}  # those of each room at the last reading

    def read(self) -> admin.Activity:
        """Return the activity."""
        counters, now = self._counters, self._clock.monotonic()
        rooms = list(self._rooms.in_use())
        open_now = self._listener.connections
        slow = [connection for connection in open_now if connection.socket.is_full]
        return admin.Activity(
            version=__version__,
            pid=os.getpid(),
            uptime=round(now - self._began, 3),
            is_draining=self._rooms.is_draining,
            rooms=len(rooms),
            members=sum(room.members for room in rooms),
            held=sum(room.held for room in rooms),
            waiting=sum(room.waiting for room in rooms),
            connections=len(open_now),
            strangers=self._listener.strangers,
            limit=self._listener.limit,
            requests=sum(counters.requests.values()),
            joins=sum(counters.joins.values()),
            resumes=sum(counters.resumes.values()),
            refusals=sum(counters.refusals.values()),
            received=counters.received,
            sent=self._listener.bytes_sent(),
            commits=_distribution(counters.commits),
            lag=_distribution(counters.lag),
            memory=resident(),
            busiest=self._find_busiest(rooms, now),
            slow=len(slow),
            slowest=[one.status(now) for one in heapq.nlargest(SLOWEST, slow, key=lambda one: one.outbox.unsent())],
        )

    def _find_busiest(self, rooms: list[RoomFigures], now: float) -> list[admin.BusyRoom]:
        seconds, self._read_at = max(now - self._read_at, 1e-3), now
        before, self._commands = self._commands, {room.code: room.commands for room in rooms}
        rates = {room.code: max(0, room.commands - before.get(room.code, 0)) / seconds for room in rooms}
        busiest = heapq.nlargest(BUSIEST, rooms, key=lambda room: (rates[room.code], room.members))
        return [
            admin.BusyRoom(
                code=room.code,
                members=room.members,
                held=room.held,
                waiting=room.waiting,
                rate=round(rates[room.code], 3),
            )
            for room in busiest
        ]


def activity_operations(view: ActivityView) -> dict[str, Operation]:
    """Return the operation that answers with the activity."""
    return {"GET /activity": lambda _: view.read()}


def _distribution(histogram: Histogram) -> admin.Distribution:
    return admin.Distribution(
        bounds=[float(bound) for bound in histogram.bounds], counts=list(histogram.counts), total=histogram.total
    )
