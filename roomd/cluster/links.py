"""What this node has for the others: parts that arise at the same time are one message for each node."""

import asyncio
from collections.abc import Callable

import msgspec

from roomd.cluster import wire
from roomd.cluster.lease import Lease
from roomd.cluster.ports import Bus, Node

MOST_BYTES = 512 << 10
"""The bytes after which a message is full. NATS takes 1 MiB by default; a larger part is a message of its own."""


class Links:
    """The messages that are not sent yet. `confirmed` is that of `wire.Envelope`."""

    def __init__(self, bus: Bus, lease: Lease, confirmed: Callable[[], int]) -> None:
        self._bus = bus
        self._lease = lease
        self._confirmed = confirmed
        self._waiting: dict[Node, list[msgspec.Raw]] = {}
        self.sent = 0
        """The messages that were sent."""

    def post(self, to: Node, item: wire.AnyItem) -> None:
        """Send a part to a node, with all that this turn of the event loop has for it."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._send)
        self._waiting.setdefault(to, []).append(wire.encode_item(item))

    def _send(self) -> None:
        waiting, self._waiting = self._waiting, {}
        for to, items in waiting.items():
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
        node = self._lease.node
        envelope = wire.Envelope(node.name, node.generation, to.generation, self._confirmed(), items)
        self._bus.send(to.name, wire.encode_envelope(envelope))
        self.sent += 1
