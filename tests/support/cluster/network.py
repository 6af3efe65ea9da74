"""A bus in memory that loses, holds back and cuts off what a test says."""

import asyncio
from collections.abc import Callable

from roomd.cluster.ports import BusFailed, Receiver

Loses = Callable[[str, str, bytes], bool]
"""Whether a message from one node to another is lost."""


class Network:
    """The bus, as all nodes share it."""

    def __init__(self) -> None:
        self.receivers: dict[str, Receiver] = {}
        self.cut: set[str] = set()
        """The nodes that reach nobody and are reached by nobody."""
        self.loses: Loses = lambda sender, to, data: False
        self.delivered = 0
        """The messages that have arrived."""
        self._held: list[tuple[str, str, bytes]] | None = None

    def bus(self) -> "MemoryBus":
        """Return the bus as one node uses it."""
        return MemoryBus(self)

    def hold(self) -> None:
        """Hold all messages back from now on."""
        self._held = []

    def let_go(self) -> None:
        """Deliver what was held back."""
        held, self._held = self._held or [], None
        for message in held:
            self._carry(*message)

    def remove(self, name: str) -> None:
        """Take a node away whose process is gone."""
        self.receivers.pop(name, None)

    def reconnect(self, name: str) -> None:
        """Connect a node again that was cut off."""
        self.cut.discard(name)
        self.receivers[name].reconnected()

    def send(self, sender: str, to: str, data: bytes) -> None:
        """Carry a message, or lose it."""
        if self._held is not None:
            self._held.append((sender, to, data))
        else:
            self._carry(sender, to, data)

    def _carry(self, sender: str, to: str, data: bytes) -> None:
        asyncio.get_running_loop().call_soon(self._deliver, sender, to, data)

    def _deliver(self, sender: str, to: str, data: bytes) -> None:
        if {sender, to} & self.cut or self.loses(sender, to, data):
            return
        if (receiver := self.receivers.get(to)) is not None:
            self.delivered += 1
            receiver.received(data)
        elif sender in self.receivers:
            self.receivers[sender].absent(to)


class MemoryBus:
    """The bus of one node. It implements `roomd.cluster.ports.Bus`."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._name = ""
        self.lost = 0
        self.is_dead = False
        """Whether the process is gone, which sends nothing more."""

    async def open(self, name: str, receiver: Receiver) -> None:
        self._name = name
        self._network.receivers[name] = receiver

    def send(self, to: str, data: bytes) -> None:
        if not self.is_dead:
            self._network.send(self._name, to, data)

    async def answers(self) -> None:
        await asyncio.sleep(0)
        if self.is_dead or self._name in self._network.cut:
            raise BusFailed

    async def close(self) -> None:
        self._network.remove(self._name)
