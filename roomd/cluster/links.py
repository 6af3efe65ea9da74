"""What this node has for the others: parts that arise at the same time are one message for each node."""

import asyncio
from collections.abc import Callable

import msgspec

from roomd.cluster import wire
from roomd.cluster.lease import Lease
from roomd.cluster.ports import Bus, Node

MOST_BYTES = 512 << 10
"""The bytes after which a message is full. NATS takes 1 MiB by default; a larger part is a message of its own."""

ALL = 0
"""The generation to which a message for all nodes is addressed."""


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

    def post_all(self, item: wire.AnyItem) -> None:
        """Send a part to all other nodes, at once."""
        self._bus.send_all(self._message(ALL, [wire.encode_item(item)]))
        self.sent += 1

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
        self._bus.send(to.name, self._message(to.generation, items))
        self.sent += 1

    def _message(self, to: int, items: list[msgspec.Raw]) -> bytes:
        node = self._lease.node
        return wire.encode_envelope(wire.Envelope(node.name, node.generation, to, self._confirmed(), items))
