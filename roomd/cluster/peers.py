"""The nodes of the cluster, as operators see them and give them orders."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from roomd.cluster.lease import Lease
from roomd.cluster.orders import Orders
from roomd.cluster.owned import OwnedRooms
from roomd.cluster.ports import Bus, Listed, Owners
from roomd.engine.peers import LONGEST, Answer, NoAnswer, NobodyElse, NodeFigures, Peer
from roomd.engine.ports import StorageFailed

log = logging.getLogger("roomd.cluster.peers")


class NodePeers:
    """All nodes, from this one. It implements `engine.peers.Peers`. `hand_over` gives the rooms of this node up."""

    def __init__(
        self,
        owners: Owners,
        owned: OwnedRooms,
        lease: Lease,
        bus: Bus,
        orders: Orders,
        hand_over: Callable[[], Awaitable[int]],
    ) -> None:
        self._owners = owners
        self._owned = owned
        self._lease = lease
        self._bus = bus
        self._orders = orders
        self._hand_over = hand_over

    @property
    def name(self) -> str:
        """The name of this node."""
        return self._lease.node.name

    def figures(self) -> NodeFigures:
        """Return what is known of this node now."""
        lease = self._lease
        return NodeFigures(len(lease.others) + 1, len(self._owned), lease.age, lease.is_leaving, self._bus.lost)

    async def all(self) -> list[Peer]:
        """Return all nodes; see `engine.peers.Peers`."""
        try:
            async with asyncio.timeout(LONGEST):
                listed = await self._owners.listed()
        except (StorageFailed, TimeoutError):
            length = self._lease.length
            nodes = sorted({self._lease.node, *self._lease.others})
            listed = [Listed(node, "", length - self._lease.age, False, 0) for node in nodes]
        return [self._peer(one) for one in listed]

    async def ask(self, name: str, operation: str, body: bytes = b"", longest: float = LONGEST) -> Answer:
        """Have another node serve an operation; see `engine.peers.Peers`."""
        node = next((node for node in self._lease.others if node.name == name), None)
        if node is None:
            raise NoAnswer
        return await self._orders.ask(node, operation, body, longest)

    async def hand_over(self) -> int:
        """Give the rooms and duties of this node to others; see `engine.peers.Peers`."""
        if not self._lease.takers:
            raise NobodyElse
        rooms = await self._hand_over()
        await self._lease.tell()
        log.warning("drained", {"node": self.name, "rooms": rooms})
        return rooms

    async def take_rooms(self) -> None:
        """Take rooms and duties again."""
        self._lease.is_leaving = False
        await self._lease.tell()
        log.warning("drained no more", {"node": self.name})

    async def doer(self, duty: str) -> str | None:
        """Return the name of the node that has a duty; None for nobody. Raises `StorageFailed`."""
        node = (await self._owners.duties()).get(duty)
        return node.name if node is not None else None

    def _peer(self, one: Listed) -> Peer:
        age = max(0.0, self._lease.length - one.left)
        return Peer(one.node.name, one.node.generation, one.address, age, one.left > 0, one.is_leaving, one.rooms)
