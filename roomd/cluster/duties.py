"""The duties of a node: what one node at a time does for the whole database.

A duty belongs to the node that has written its generation beside it, until the lease of that node is over or the node
gives the duty up. So there is one lease, that of the node, and who has lost it does nothing more.

    nobody has it ──a beat of any node──→ this node has it: `work` runs ──→ the lease is over, another node has it,
          ↑                                                                 or this node is drained: `work` is cancelled
          └──────────────────────────────────────────────────────────────────────┘
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from roomd.cluster.lease import Lease
from roomd.cluster.ports import Owners
from roomd.engine.ports import StorageFailed

log = logging.getLogger("roomd.cluster.duties")


def _nothing() -> None:
    """Do nothing."""


class _Duty:
    """A duty that this node would do."""

    def __init__(self) -> None:
        self.is_here = asyncio.Event()
        """Set while this node has it."""
        self.was_lost = False
        """Whether the work does not know yet that it was lost."""
        self.task: asyncio.Task[None] | None = None
        """The work, while it runs."""

    def lose(self) -> None:
        if self.is_here.is_set():
            self.is_here.clear()
            self.was_lost = True
        if self.task is not None:
            self.task.cancel()


class NodeDuties:
    """The duties of this node. It implements `engine.duties.Duties`."""

    def __init__(self, owners: Owners, lease: Lease) -> None:
        self._owners = owners
        self._lease = lease
        self._duties: dict[str, _Duty] = {}
        self._losses = 0  # how often this node has lost all duties
        self._looking = asyncio.Lock()

    async def perform(
        self, name: str, work: Callable[[], Awaitable[None]], lost: Callable[[], None] = _nothing
    ) -> None:
        """Run `work` as long as this node has the duty; see `engine.duties.Duties`."""
        duty = self._duties.setdefault(name, _Duty())
        while True:
            await duty.is_here.wait()
            if duty.was_lost:
                duty.was_lost = False
                lost()
            task = duty.task = asyncio.create_task(_run(work), name=f"duty {name}")
            try:
                await asyncio.wait([task])
            finally:  # also when this is cancelled
                task.cancel()
                await asyncio.wait([task])
                duty.task = None
            if not task.cancelled():
                return task.result()
            log.info("duty lost", {"duty": name})
            duty.was_lost = False
            lost()

    async def give_up(self, name: str) -> None:
        """Let another node have a duty, which this one performs no more."""
        duty = self._duties.pop(name, None)
        if duty is not None and duty.is_here.is_set():
            await self._give_up([name])

    def has(self, name: str) -> bool:
        """Return whether this node has a duty now."""
        duty = self._duties.get(name)
        return duty is not None and duty.is_here.is_set() and self._lease.is_held

    async def look(self) -> None:
        """Take duties that nobody has, and notice those that another node has."""
        async with self._looking:
            if not (self._duties and self._lease.can_claim and self._lease.takes_rooms):
                return
            losses = self._losses
            try:
                here = await self._owners.take_duties(list(self._duties), self._lease.node)
            except StorageFailed:
                return
            if losses != self._losses:
                return  # what was answered may be of before
            for name, duty in self._duties.items():
                if name in here and not duty.is_here.is_set():
                    log.info("duty begun", {"duty": name})
                    duty.is_here.set()
                elif name in here:
                    continue
                else:
                    duty.lose()

    def lose_all(self) -> list[str]:
        """Stop all work: another node may begin with it. Return what this node had."""
        self._losses += 1
        lost = [name for name, duty in self._duties.items() if duty.is_here.is_set()]
        for duty in self._duties.values():
            duty.lose()
        return lost

    async def hand_over(self) -> None:
        """Stop all work, and let other nodes begin with it at once."""
        running = [duty.task for duty in self._duties.values() if duty.task is not None]
        lost = self.lose_all()
        if running:
            await asyncio.wait(running)
        await self._give_up(lost)

    async def _give_up(self, names: list[str]) -> None:
        try:
            if names and self._lease.is_held:
                await self._owners.give_up_duties(names, self._lease.node)
        except StorageFailed:
            log.warning("duties not given up", {"duties": names})  # the others wait for the end of the lease


async def _run(work: Callable[[], Awaitable[None]]) -> None:
    await work()
