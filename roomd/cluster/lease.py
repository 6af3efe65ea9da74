"""The lease of a node: whether it may have rooms, and which other nodes are there (rules 5 and 6).

    beat, each L/3 ── bus answers? ── database renews? ──→ the lease ends L after the beat was begun
         │                 │ no             │ no
         └─────────────────┴────────────────┴────────────→ nothing is renewed: the lease runs out

Each beat learns when the leases of the others will be over, and the next one is not later: so a node that is gone is
known to be gone as soon as its rooms may be claimed.

A node claims rooms only after it has been connected to both for L. So a node that was cut off does not take back what
others are about to take, and a start of many nodes is no rush for the rooms.
"""

import asyncio
import logging
import math
from collections.abc import Callable, Mapping

from roomd.cluster.ports import Bus, BusFailed, Held, Node, Owners, Replaced
from roomd.counters import Counters
from roomd.engine.ports import Clock, StorageFailed, Timer

log = logging.getLogger("roomd.cluster.lease")

LENGTH = 3.0
"""The seconds of a lease, L."""
MARGIN = 0.05
"""The seconds after the end of another node's lease at which this one looks whether it was renewed."""


class Lease:
    """The lease of this node. `name` and `address` are those of `Owners.register`, `length` is L in seconds.

    `clock` measures how long the lease is held; the database has a clock of its own for everybody else. Both run at
    nearly the same rate, and this one counts from before it has asked, so it ends here before it ends there.
    """

    def __init__(
        self,
        owners: Owners,
        bus: Bus,
        clock: Clock,
        name: str,
        address: str = "",
        length: float = LENGTH,
        counters: Counters | None = None,
    ) -> None:
        self._counters = counters or Counters()
        self._owners = owners
        self._bus = bus
        self._clock = clock
        self._address = address
        self.length = length
        """L, in seconds."""
        self.node = Node(name, 0)
        """This run of the node; its generation is 0 before `open`."""
        self.nodes: dict[int, Node] = {}
        """The nodes whose leases were not over at the last beat, by their generations."""
        self.is_leaving = False
        """Whether this node gives its rooms to others."""
        self.on_gone: Callable[[Node], None] = _ignore
        """Called with another node whose lease is over."""
        self.on_beat: Callable[[], None] = _nothing
        """Called after each beat that has renewed the lease."""
        self.on_over: Callable[[], None] = _nothing
        """Called when the lease of this node is over, and when another process has its name."""
        self.on_replaced: Callable[[], None] = _nothing
        """Called when another process has the name of this node, which can serve nothing more."""
        self._leaving: frozenset[Node] = frozenset()  # nodes that give their rooms to others
        self._until = self._renewed_at = self._next_beat = 0.0  # of the monotonic clock
        self.away = ""
        """What did not answer at the last beat; empty when all did."""
        self._connected_since: float | None = None
        self._can_claim = False
        self._claimers: list[asyncio.Future[None]] = []  # those who wait until this node may claim
        self._beat_timer: Timer | None = None
        self._end_timer: Timer | None = None
        self._task: asyncio.Task[None] | None = None
        self._is_closed = False

    @property
    def others(self) -> list[Node]:
        """The other nodes that are there, as far as the last beat said, in the order of their generations."""
        return [node for _, node in sorted(self.nodes.items()) if node != self.node]

    @property
    def takers(self) -> list[Node]:
        """The other nodes that take rooms, as far as the last beat said, in the order of their generations."""
        return [node for node in self.others if node not in self._leaving]

    @property
    def takes_rooms(self) -> bool:
        """Whether this node claims rooms: unless it is leaving, or when there is nobody else who does."""
        return not (self.is_leaving and self.takers)

    @property
    def age(self) -> float:
        """The seconds since the last beat that has renewed the lease began."""
        return self._clock.monotonic() - self._renewed_at

    @property
    def is_held(self) -> bool:
        """Whether no other node may take rooms from this one."""
        return self._clock.monotonic() < self._until

    async def open(self) -> None:
        """Register this run, and beat from now on. Raises `StorageFailed`."""
        began = self._clock.monotonic()
        self.node = await self._owners.register(self.node.name, self._address, self.length)
        self._renewed(began, {self.node: Held(self.length)})
        self._set_beat(self.length / 3)

    async def tell(self) -> None:
        """Return after a beat that was begun now, so that the database has `is_leaving` if it answers."""
        if self._task is not None:
            await asyncio.wait({self._task})  # its beat may have the state before
        if not self._is_closed:
            self._start_beat()
        if self._task is not None:
            await asyncio.wait({self._task})

    async def may_claim(self) -> None:
        """Wait until this node may claim rooms. Raises `StorageFailed` when it is not connected."""
        if not self._can_claim:
            if self._connected_since is None:
                raise StorageFailed
            waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._claimers.append(waiting)
            await waiting

    @property
    def can_claim(self) -> bool:
        """Whether this node may claim rooms now."""
        return self._can_claim

    def problems(self) -> list[str]:
        """Return why this node cannot have rooms as it should now; nothing when all is well."""
        away = [self.away] if self.away else []
        if not self.is_held:
            return [*away, "the lease of this node is over"]
        return away if away or self._can_claim else ["this node was connected a short time ago"]

    async def close(self) -> None:
        """Beat no more, and end the lease. Closing twice is fine."""
        if self._is_closed:
            return
        self._is_closed = True
        for timer in (self._beat_timer, self._end_timer):
            if timer is not None:
                timer.cancel()
        if self._task is not None:
            await self._task
        self._disconnected()
        self._until = 0.0
        try:
            await self._owners.retire(self.node)
        except StorageFailed:
            log.warning("lease not given up", {"node": self.node.name})

    def _set_beat(self, after: float) -> None:
        if self._beat_timer is not None:
            self._beat_timer.cancel()
        if not self._is_closed:
            self._next_beat = self._clock.monotonic() + after
            self._beat_timer = self._clock.call_later(after, self._start_beat)

    def _start_beat(self) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._beat())
        self._set_beat(self.length / 3)

    async def _beat(self) -> None:
        began = self._clock.monotonic()
        try:
            await self._bus.answers()
            self._counters.bus.add(self._clock.monotonic() - began)
            nodes = await self._owners.beat(self.node, self.length, is_leaving=self.is_leaving)
        except Replaced:
            log.critical("another process has the name of this node", {"node": self.node.name})
            self._is_closed = True
            for timer in (self._beat_timer, self._end_timer):
                if timer is not None:
                    timer.cancel()
            self._end()
            self.on_replaced()
        except (BusFailed, StorageFailed) as exc:
            self._failed(f"the {'bus' if isinstance(exc, BusFailed) else 'database'} does not answer")
        else:
            if self._clock.monotonic() >= began + self.length:  # the answer came too late to be of use
                self._failed("the bus or the database answers late")
                return
            self.away = ""
            self._renewed(began, nodes)
            self.on_beat()

    def _failed(self, reason: str) -> None:
        self.away = reason
        log.warning("lease not renewed", {"node": self.node.name, "reason": reason})
        self._disconnected()

    def _renewed(self, began: float, nodes: Mapping[Node, Held]) -> None:
        """Hold the lease that a beat has renewed. `nodes` is what `Owners.beat` returned."""
        self._renewed_at, self._until = began, began + self.length
        self._leaving = frozenset(node for node, held in nodes.items() if held.is_leaving)
        if self._end_timer is not None:
            self._end_timer.cancel()
        self._end_timer = self._clock.call_later(max(0.0, self._until - self._clock.monotonic()), self._end)
        if self._connected_since is None:
            self._connected_since = began
        if self._clock.monotonic() - self._connected_since >= self.length:
            self._can_claim = True
            self._wake_claimers(None)
        before, self.nodes = self.nodes, {node.generation: node for node in nodes}
        for generation, node in before.items():
            if generation not in self.nodes:
                log.info("node gone", {"node": node.name, "generation": generation})
                self.on_gone(node)
        first_end = MARGIN + min((held.left for node, held in nodes.items() if node != self.node), default=math.inf)
        if first_end < self._next_beat - self._clock.monotonic():
            self._set_beat(first_end)

    def _end(self) -> None:
        """Note that the lease is over. The node may hold another one as soon as a beat succeeds."""
        if not self.is_held or self._is_closed:
            log.error("lease over", {"node": self.node.name})
            self._until = 0.0
            self._disconnected()
            self.on_over()

    def _disconnected(self) -> None:
        self._connected_since = None
        self._can_claim = False
        self._wake_claimers(StorageFailed())

    def _wake_claimers(self, failure: StorageFailed | None) -> None:
        claimers, self._claimers = self._claimers, []
        for waiting in claimers:
            if waiting.done():
                continue
            if failure is not None:
                waiting.set_exception(failure)
            else:
                waiting.set_result(None)


def _nothing() -> None:
    """Do nothing."""


def _ignore(_: Node) -> None:
    """Do nothing."""
