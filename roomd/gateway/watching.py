"""A watch: one client that follows the event log on its WebSocket, without a seat.

It sends a part of the log after another, and the next one when the outbox takes it. So no more than the outbox's limit
and one part wait for a client, however far it is behind. It ends with the connection, with a later watch, and with an
`error` that carries the `id` of its request: when the token is over, when the client may not see the rooms any more,
and when events were deleted before it had read them.
"""

import asyncio
import logging

from roomd.engine.ports import RETRY_AFTER, LoggedEvents, StorageFailed
from roomd.eventlog.feed import MOST_EVENTS
from roomd.gateway.client import Client
from roomd.gateway.following import Follower, joined
from roomd.gateway.outbox import frame_header
from roomd.protocol.errors import INTERNAL_ERROR, Refused
from roomd.protocol.replies import RequestId, WatchingReply

log = logging.getLogger("roomd.gateway.watching")

TELL_EVERY = 5000
"""The events of other rooms after which the client is told how far the log was read, with no event."""


class Watch:
    """One client's watch, which `begin` starts. `to` is the `id` of its request."""

    def __init__(self, client: Client, to: RequestId | None, follower: Follower) -> None:
        self._client = client
        self._to = to
        self._follower = follower
        self._told = follower.after  # the number that the client knows
        self._has_drained = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Send the reply, and then the events, in a task of its own."""
        client = self._client
        client.end_watch()
        client.watch = self
        client.send(WatchingReply(id=self._to, next=self._follower.position))
        self._task = client.spawn(self._run())

    def drained(self) -> None:
        """Send more: everything that waited for the client was sent."""
        self._has_drained.set()

    def end(self) -> None:
        """Send nothing more."""
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        client = self._client
        try:
            while not (client.has_ended or client.services.feed.is_stopping):
                await self._step()
            return
        except Refused as refused:
            end = refused
        except Exception as exc:  # the edge of a task: a bug ends one watch
            log.exception("watch failed", {"connection": client.number, "error": type(exc).__name__})
            end = Refused(INTERNAL_ERROR)
        client.watch = self._task = None
        client.refuse(end, self._to)

    async def _step(self) -> None:
        """Read the next part, waiting for it if there is none, and send it."""
        follower = self._follower
        try:
            part = await follower.read(MOST_EVENTS)
        except StorageFailed:
            await asyncio.sleep(RETRY_AFTER)
            return
        if part.events or part.last - self._told >= TELL_EVERY:
            await self._send(part)
        await follower.pause()

    async def _send(self, part: LoggedEvents) -> None:
        """Send a part as soon as the outbox takes it."""
        payload = joined(part, b'{"type":"events","events":[', b'],"next":"%b"}' % self._follower.position.encode())
        while not self._client.outbox.offer(frame_header(len(payload)), payload):
            self._has_drained.clear()
            await self._has_drained.wait()
        self._told = part.last
