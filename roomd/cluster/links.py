"""What this node has for the others: parts that arise at about the same time are one message for each node.

A message costs both nodes more processor time than ten parts of it. So a node that was sent a message a moment ago is
sent the next one a little later, with all that arises meanwhile. One that was sent none is sent a part at once.

A part that somebody waits for, like a command and its answer, is sent `gather` seconds after the last message at the
latest. One that nobody waits for, like an event, has `LEISURE` times as long: mostly another part takes it along.
The order of parts stays as it was.
"""

import asyncio
import math
from collections.abc import Callable
from functools import partial

import msgspec

from roomd.cluster import wire
from roomd.cluster.lease import Lease
from roomd.cluster.ports import Bus, Node
from roomd.engine.ports import Clock, Timer

GATHER = 0.002
"""The least seconds between two messages to the same node: about what a commit takes that a part leads to."""
LEISURE = 5
"""How many times as long a part may wait that nobody waits for."""
MOST_BYTES = 512 << 10
"""The bytes after which a message is full. NATS takes 1 MiB by default; a larger part is a message of its own."""


class _Link:
    """What one node was sent, and is to be sent."""

    __slots__ = ("due", "parts", "sent_at", "timer")

    def __init__(self) -> None:
        self.sent_at = -math.inf
        """When it was sent its last message, on the monotonic clock."""
        self.parts: list[msgspec.Raw] = []
        """The parts that wait."""
        self.due = math.inf
        """When they are sent."""
        self.timer: Timer | None = None
        """What sends them then; None while nothing waits."""


class Links:
    """The messages that are not sent yet. `confirmed` is that of `wire.Envelope`, `gather` like `GATHER`."""

    def __init__(self, bus: Bus, lease: Lease, clock: Clock, gather: float, confirmed: Callable[[], int]) -> None:
        self._bus = bus
        self._lease = lease
        self._clock = clock
        self._gather = gather
        self._confirmed = confirmed
        self._links: dict[Node, _Link] = {}
        self.sent = 0
        """The messages that were sent."""

    def post(self, to: Node, item: wire.AnyItem, *, at_leisure: bool = False) -> None:
        """Send a part to a node: with all that this turn of the event loop has for it, or a little later.

        `at_leisure` is for what nobody waits for.
        """
        self._add(to, wire.encode_item(item), at_leisure=at_leisure)

    def post_all(self, item: wire.AnyItem) -> None:
        """Send a part, for which nobody waits, to all other nodes that are there."""
        part = wire.encode_item(item)
        for to in self._lease.others:
            self._add(to, part, at_leisure=True)

    def flush(self) -> None:
        """Send at once what waits."""
        for to in list(self._links):
            self._send(to)

    def gone(self, node: Node) -> None:
        """Send a node at once what waits for it, and forget when it was sent its last message: it is gone."""
        self._send(node)
        self._links.pop(node, None)

    def _add(self, to: Node, part: msgspec.Raw, *, at_leisure: bool) -> None:
        link = self._links.get(to)
        if link is None:
            link = self._links[to] = _Link()
        link.parts.append(part)
        due = link.sent_at + (self._gather * LEISURE if at_leisure else self._gather)
        if due >= link.due:
            return
        link.due = due
        if link.timer is not None:
            link.timer.cancel()
        pause = due - self._clock.monotonic()
        if pause > 0:
            link.timer = self._clock.call_later(pause, partial(self._send, to))
        else:
            link.timer = asyncio.get_running_loop().call_soon(self._send, to)

    def _send(self, to: Node) -> None:
        link = self._links.get(to)
        if link is None or link.timer is None:
            return  # nothing waits
        link.timer.cancel()
        parts, link.parts, link.due, link.timer = link.parts, [], math.inf, None
        link.sent_at = self._clock.monotonic()
        message: list[msgspec.Raw] = []
        size = 0
        for part in parts:
            if message and size + len(part) > MOST_BYTES:
                self._send_message(to, message)
                message, size = [], 0
            message.append(part)
            size += len(part)
        self._send_message(to, message)
        if to.generation not in self._lease.nodes:
            del self._links[to]  # it is gone, and this came after that

    def _send_message(self, to: Node, parts: list[msgspec.Raw]) -> None:
        node = self._lease.node
        envelope = wire.Envelope(node.name, node.generation, to.generation, self._confirmed(), parts)
        self._bus.send(to.name, wire.encode_envelope(envelope))
        self.sent += 1
