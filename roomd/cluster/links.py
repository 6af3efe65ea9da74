"""What this node has for the others: parts that arise at about the same time are one message for each node.

A message costs both nodes more processor time than ten parts of it. So a node that was sent a message a moment ago is
sent the next one a little later, with all that arises meanwhile. One that was sent none is sent a part at once.
"""

import asyncio
import math
from collections.abc import Callable
from functools import partial

import msgspec

from roomd.cluster import wire
from roomd.cluster.lease import Lease
from roomd.cluster.ports import Bus, Node
from roomd.engine.ports import Clock

GATHER = 0.002
"""The least seconds between two messages to the same node: about what a commit takes that a part leads to."""
MOST_BYTES = 512 << 10
"""The bytes after which a message is full. NATS takes 1 MiB by default; a larger part is a message of its own."""

ALL = 0
"""The generation to which a message for all nodes is addressed."""


class Links:
    """The messages that are not sent yet. `confirmed` is that of `wire.Envelope`, `gather` like `GATHER`."""

    def __init__(self, bus: Bus, lease: Lease, clock: Clock, gather: float, confirmed: Callable[[], int]) -> None:
        self._bus = bus
        self._lease = lease
        self._clock = clock
        self._gather = gather
        self._confirmed = confirmed
        self._waiting: dict[Node, list[msgspec.Raw]] = {}
        self._sent_at: dict[Node, float] = {}  # when each node was sent its last message, on the monotonic clock
        self.sent = 0
        """The messages that were sent."""

    def post(self, to: Node, item: wire.AnyItem) -> None:
        """Send a part to a node: with all that this turn of the event loop has for it, or a little later."""
        waiting = self._waiting.get(to)
        if waiting is None:
            waiting = self._waiting[to] = []
            pause = self._sent_at.get(to, -math.inf) + self._gather - self._clock.monotonic()
            if pause > 0:
                self._clock.call_later(pause, partial(self._send, to))
            else:
                asyncio.get_running_loop().call_soon(self._send, to)
        waiting.append(wire.encode_item(item))

    def post_all(self, item: wire.AnyItem) -> None:
        """Send a part to all other nodes, at once."""
        self._bus.send_all(self._message(ALL, [wire.encode_item(item)]))
        self.sent += 1

    def flush(self) -> None:
        """Send at once what waits."""
        for to in list(self._waiting):
            self._send(to)

    def gone(self, node: Node) -> None:
        """Forget when a node was sent its last message, which is gone."""
        self._sent_at.pop(node, None)

    def _send(self, to: Node) -> None:
        items = self._waiting.pop(to, None)
        if items is None:
            return  # it was sent by `flush`
        self._sent_at[to] = self._clock.monotonic()
        part: list[msgspec.Raw] = []
        size = 0
        for item in items:
            if part and size + len(item) > MOST_BYTES:
                self._send_part(to, part)
                part, size = [], 0
            part.append(item)
            size += len(item)
        self._send_part(to, part)

    def _send_part(self, to: Node, items: list[msgspec.Raw]) -> None:
        self._bus.send(to.name, self._message(to.generation, items))
        self.sent += 1

    def _message(self, to: int, items: list[msgspec.Raw]) -> bytes:
        node = self._lease.node
        return wire.encode_envelope(wire.Envelope(node.name, node.generation, to, self._confirmed(), items))
