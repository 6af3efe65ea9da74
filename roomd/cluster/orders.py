"""What operators ask of other nodes: operations of the admin interface that one node sends to another.

An order is sent once. Nothing is known of one without an answer: it was lost, or its answer was, or the node is slow.
"""

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable

from roomd.cluster import wire
from roomd.cluster.links import Links
from roomd.cluster.ports import Node
from roomd.engine.peers import Answer, NoAnswer
from roomd.engine.ports import Clock

log = logging.getLogger("roomd.cluster.orders")

Serve = Callable[[str, bytes], Awaitable[Answer]]
"""Serves an operation, by "METHOD /path", with a body."""


class Orders:
    """The orders of this node, and those of others. It sees to it that none waits for ever."""

    def __init__(self, links: Links, clock: Clock) -> None:
        self._links = links
        self._clock = clock
        self._numbers = itertools.count(1)
        self._waiting: dict[int, tuple[Node, asyncio.Future[Answer]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.serve: Serve = _refuse
        """Serves what other nodes ask."""

    async def ask(self, node: Node, operation: str, body: bytes, longest: float) -> Answer:
        """Have another node serve an operation, in at most `longest` seconds.

        Raises `NoAnswer`.
        """
        number = next(self._numbers)
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting[number] = node, answer
        timer = self._clock.call_later(longest, lambda: _fail(answer))
        self._links.post(node, wire.Order(number, operation, body))
        try:
            return await answer
        finally:
            timer.cancel()
            del self._waiting[number]

    def ordered(self, sender: Node, item: wire.Order) -> None:
        """Serve what another node asks."""
        task = asyncio.get_running_loop().create_task(self._serve(sender, item))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def reported(self, item: wire.Report) -> None:
        """Take an answer."""
        waiting = self._waiting.get(item.number)
        if waiting is not None and not waiting[1].done():
            waiting[1].set_result(Answer(item.status, item.body))

    def gone(self, node: Node) -> None:
        """Wait no longer for a node that is not there."""
        for to, answer in self._waiting.values():
            if to == node:
                _fail(answer)

    async def close(self) -> None:
        """End what is served, and wait for nothing."""
        for _, answer in self._waiting.values():
            _fail(answer)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, sender: Node, item: wire.Order) -> None:
        log.info("order of another node", {"node": sender.name, "operation": item.operation})
        status, body = await self.serve(item.operation, item.body)
        self._links.post(sender, wire.Report(item.number, status, body))


def _fail(answer: "asyncio.Future[Answer]") -> None:
    if not answer.done():
        answer.set_exception(NoAnswer())


async def _refuse(operation: str, body: bytes) -> Answer:  # noqa: ARG001
    return Answer(503, b'{"error":"the node begins to serve"}')
