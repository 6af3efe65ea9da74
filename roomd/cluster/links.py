"""What this node has for the others: parts that arise at about the same time are one message for each node.

A message costs both nodes more processor time than ten parts of it. So all parts that can wait are sent together,
`gather` seconds after the last messages at the earliest. A part that cannot wait is sent at once, with all that waits.
The order of parts stays as it was.
"""

import asyncio
import logging
import math
from collections.abc import Callable

from roomd.cluster import wire
from roomd.cluster.lease import Lease
from roomd.cluster.ports import Bus, Node
from roomd.engine.ports import Clock, Timer

log = logging.getLogger("roomd.cluster.links")

GATHER = 0.02
"""The least seconds between two messages to a node where their parts can wait: as long as a packet of audio."""
FEW = 4
"""The most answers that may be waited for as long as commands and answers cannot wait."""
BUSY = 0.1
"""The seconds for which they can wait after more were."""
MOST_BYTES = 512 << 10
"""The bytes after which a message is full. NATS takes 1 MiB by default; a larger part is a message of its own."""


class Links:
    """The messages that are not sent yet. `confirmed` returns that of `wire.Message` for a node.

    `gather` is like `GATHER`.
    """

    def __init__(self, bus: Bus, lease: Lease, clock: Clock, gather: float, confirmed: Callable[[Node], int]) -> None:
        self._bus = bus
        self._lease = lease
        self._clock = clock
        self._gather = gather
        self._confirmed = confirmed
        self._parts: dict[Node, list[wire.AnyItem]] = {}  # those that wait
        self._due = math.inf  # when they are sent, on the monotonic clock
        self._timer: Timer | None = None  # what sends them then; None while nothing waits
        self._sent_at = -math.inf  # when messages were sent last
        self._busy_until = -math.inf  # when commands and answers cannot wait any more
        self.sent = 0
        """The messages that were sent."""

    def awaits(self, answers: int) -> None:
        """Note how many answers are waited for, from other nodes or by one, each time that there is one more."""
        if answers > FEW:
            self._busy_until = self._clock.monotonic() + BUSY

    def post(self, to: Node, item: wire.AnyItem, *, can_wait: bool = False) -> None:
        """Send a part to a node: with all that this turn of the event loop has for it, or later if it can wait.

        `can_wait` is for what nobody waits for. Under load everything can wait.
        """
        self._add(to, item)
        now = self._clock.monotonic()
        can_wait = can_wait or now < self._busy_until
        self._send_at(self._sent_at + self._gather if can_wait else now, now)

    def post_all(self, item: wire.AnyItem) -> None:
        """Send a part that can wait to all other nodes that are there, with what they are sent meanwhile."""
        now = self._clock.monotonic()
        for to in self._lease.others:
            self._add(to, item)
            self._send_at(now + self._gather, now)

    def flush(self) -> None:
        """Send at once what waits."""
        if self._timer is None:
            return
        self._timer.cancel()
        waiting, self._parts, self._due, self._timer = self._parts, {}, math.inf, None
        self._sent_at = self._clock.monotonic()
        for to, parts in waiting.items():
            try:
                self._send(to, parts)
            except Exception as exc:  # the edge of a message: other nodes must be sent theirs
                log.exception("message not sent", {"node": to.name, "error": type(exc).__name__})

    def _add(self, to: Node, item: wire.AnyItem) -> None:
        parts = self._parts.get(to)
        if parts is None:
            self._parts[to] = [item]
        else:
            parts.append(item)

    def _send_at(self, due: float, now: float) -> None:
        """Send what waits at this time, unless it is sent before."""
        if due >= self._due:
            return
        self._due = due
        if self._timer is not None:
            self._timer.cancel()
        if due > now:
            self._timer = self._clock.call_later(due - now, self.flush)
        else:
            self._timer = asyncio.get_running_loop().call_soon(self.flush)

    def _send(self, to: Node, parts: list[wire.AnyItem]) -> None:
        """Send the parts for a node: as one message, or as two halves where that is too large."""
        node = self._lease.node
        data = wire.encode(wire.Message(node.name, node.generation, to.generation, self._confirmed(to), parts))
        if len(data) > MOST_BYTES and len(parts) > 1:
            half = len(parts) // 2
            self._send(to, parts[:half])
            self._send(to, parts[half:])
            return
        self._bus.send(to.name, data)
        self.sent += 1
