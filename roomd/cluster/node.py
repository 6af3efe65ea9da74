"""A node: the parts of this package, connected, from its start to its end."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import assert_never

import msgspec

from roomd.cluster import wire
from roomd.cluster.claims import NodeIds
from roomd.cluster.duties import NodeDuties
from roomd.cluster.edge import ClusterRooms
from roomd.cluster.lease import LENGTH, Lease
from roomd.cluster.links import GATHER, Links
from roomd.cluster.notices import LOGGED, Notices
from roomd.cluster.orders import Orders
from roomd.cluster.owned import OwnedRooms
from roomd.cluster.owner import RoomOwner
from roomd.cluster.peers import NodePeers
from roomd.cluster.ports import Bus, Node, Owners, SharedStore
from roomd.cluster.receiving import Receiving
from roomd.cluster.router import Router
from roomd.counters import Counters
from roomd.engine.askers import IgnoringAsker
from roomd.engine.hub import Hub
from roomd.engine.ports import Clock, Encode, StorageFailed
from roomd.rooms.commands import Expire
from roomd.rooms.settings import Rules

log = logging.getLogger("roomd.cluster.node")

MOST_ORPHANS = 100
"""The rooms of nodes that are gone that one node claims at a time."""
AT_ONCE = 50
"""The rooms that are given up at the same time: each of them rests until others have been told."""


class ClusterNode:
    """A node of the cluster. `name` is its name, `address` that of `Owners.register`, `length` the seconds of a lease.

    `gather` is like `links.GATHER`. It is the `Receiver` of its bus.
    """

    def __init__(
        self,
        store: SharedStore,
        owners: Owners,
        bus: Bus,
        clock: Clock,
        ids: NodeIds,
        rules: Rules,
        encode: Encode,
        *,
        name: str,
        address: str = "",
        length: float = LENGTH,
        gather: float = GATHER,
        counters: Counters | None = None,
    ) -> None:
        self.counters = counters or Counters()
        """What was counted."""
        self._owners = owners
        self._bus = bus
        self._ids = ids
        self._tasks: set[asyncio.Task[None]] = set()
        self._beats = 0
        self._is_closed = False
        counters = self.counters
        self.lease = Lease(owners, bus, clock, name, address, length, counters)
        """The lease of this node."""
        self.owned = OwnedRooms(store, owners, self.lease, counters)
        """The store of the hub."""
        self.hub = Hub(self.owned, rules, clock, ids, encode, counters, is_shared=True)
        """The rooms that this node has."""
        self._router = Router(self.hub, owners, self.lease, clock, counters)
        self._links = self._router.links = Links(bus, self.lease, clock, gather, self._router.confirmed)
        self._receiving = Receiving(self._router, counters)
        self.duties = NodeDuties(owners, self.lease)
        """What this node does for the whole database."""
        self.orders = Orders(self._links, clock)
        """What operators ask of other nodes."""
        self.peers = NodePeers(owners, self.owned, self.lease, bus, self.orders, self.hand_over)
        """All nodes, as operators see them."""
        self.notices = Notices(self._links, clock)
        """What nodes tell each other of the database."""
        self._owner = RoomOwner(self.hub, self.owned, self.lease, self._links, clock, self.hub.seat_hold)
        self.rooms = ClusterRooms(self.hub, self._router, self._links, self.notices, clock, encode, self.drain)
        """All rooms, as the clients of this node see them."""
        self.lease.on_gone, self.lease.on_beat, self.lease.on_over = self._gone, self._beat, self._over
        self.hub.when_shared(self._owner.loaded, self._lost, self._owner.unloaded)
        self.owned.on_logged = lambda: self.notices.tell(LOGGED)
        self._owner.on_owned = lambda item: self._receiving.owned(self.lease.node, item)

    async def open(self) -> None:
        """Connect to the bus, and begin to hold a lease. Raises `BusFailed` and `StorageFailed`."""
        await self._bus.open(self.lease.node.name, self)
        await self.lease.open()
        self._ids.generation = self.lease.node.generation
        await self.hub.open()

    async def hand_over(self) -> int:
        """Give all rooms up, and take none as long as others do (rule 15). Return the number of rooms given up."""
        self.lease.is_leaving = True
        await self.duties.hand_over()
        codes = self.hub.codes()
        for start in range(0, len(codes), AT_ONCE):
            await self._owner.give_up(codes[start : start + AT_ONCE])
        try:
            await self.owned.release(None)  # those that it has not in memory
        except StorageFailed:
            log.warning("rooms not given up")  # the others wait for the end of the lease
        return len(codes)

    async def drain(self) -> None:
        """Stop: finish the running batches, and give all rooms up. Drops are still sent to other nodes."""
        await self.hub.drain()
        await self.hand_over()

    async def close(self) -> None:
        """End the lease, and disconnect. Closing twice is fine."""
        self._is_closed = True
        await self.orders.close()
        await self._router.close()
        await self.lease.close()
        await asyncio.gather(*self._tasks)
        self.notices.close()
        self._links.flush()
        await self._bus.close()

    def received(self, data: bytes) -> None:
        """Serve a message of another node; drop one that is for an earlier run of this node."""
        try:
            message = wire.decode(data)
        except msgspec.DecodeError as exc:
            log.error("message not understood", {"reason": str(exc)})
            return
        sender = Node(message.sender, message.generation)
        is_mine = message.to == self.lease.node.generation
        if is_mine:
            self._owner.confirmed(sender, message.confirmed)
        for item in message.items:
            if is_mine:
                self._receive(sender, item)
            elif isinstance(item, wire.Ask | wire.Relay):
                self._links.post(sender, wire.Elsewhere(item.number, True))

    def _receive(self, sender: Node, item: wire.AnyItem) -> None:
        match item:
            case wire.Ask():
                self._owner.ask(sender, item)
            case wire.Relay():
                self._owner.relay(sender, item)
            case wire.Unsubscribe():
                self._owner.unsubscribe(sender, item)
            case wire.News():
                self._receiving.news(sender, item)
            case wire.Answered() | wire.Declined():
                self._receiving.answer(item)
            case wire.Elsewhere():
                self._receiving.elsewhere(item)
            case wire.Owned():
                self._receiving.owned(sender, item)
            case wire.Released():
                self._receiving.released(sender, item)
            case wire.Beacon():
                self._receiving.beacon(sender, item)
            case wire.Noticed():
                self.notices.received(item.what)
            case wire.Order():
                self.orders.ordered(sender, item)
            case wire.Report():
                self.orders.reported(item)
            case _:
                assert_never(item)

    def absent(self, name: str) -> None:
        """Note that a message found no node of this name."""
        for node in self.lease.nodes.values():
            if node.name == name:
                self._router.gone(node, is_absent=True)
                self.orders.gone(node)

    def reconnected(self) -> None:
        """Note that messages of other nodes may have been missed."""
        self._router.reconnected()

    def _lost(self, code: str) -> None:
        self._owner.lost(code)
        self._router.lost_here(code)

    def _gone(self, node: Node) -> None:
        self._router.gone(node)
        self._owner.gone(node)
        self.orders.gone(node)

    def _beat(self) -> None:
        self._owner.beacon()
        self._spawn(self.duties.look())
        self._beats += 1
        if self._beats % 3 == 0 and self.lease.can_claim and self.lease.takes_rooms:
            self._spawn(self._sweep())

    def _over(self) -> None:
        """Give up all rooms: other nodes may take them, and may hold the seats of this node's clients."""
        self.duties.lose_all()
        self._router.reconnected()
        self._spawn(self._owner.give_up(self.hub.codes()))

    async def _sweep(self) -> None:
        """Claim rooms with seats whose owners are gone, so that holds run out even when nobody asks (rule 13)."""
        try:
            for code in await self._owners.orphans(MOST_ORPHANS):
                if not self._is_closed:
                    self.hub.submit(code, Expire(), IgnoringAsker())
        except StorageFailed:
            log.warning("rooms without owner not found")

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
