"""A watch: one client that follows the event log, without a seat.

It sends a part of the log after another, and the next one when the outbox takes it. So no more than the outbox's limit
and one part wait for a client, however far it is behind. It ends with the connection, with a later watch, and with an
`error` that carries the `id` of its request: when the token is over, when the client may not see the rooms any more,
and when events were deleted before it had read them.
"""

import asyncio
import logging
from collections.abc import Sequence

from roomd.auth.tokens import Identity
from roomd.engine.ports import RETRY_AFTER, LoggedEvents, StorageFailed
from roomd.gateway.client import Client
from roomd.gateway.outbox import text_frame
from roomd.limits.ledger import Use
from roomd.protocol.errors import INTERNAL_ERROR, NOT_HOST, TOKEN_EXPIRED, Refused
from roomd.protocol.replies import RequestId, WatchingReply
from roomd.rooms import commands

log = logging.getLogger("roomd.gateway.watching")

MOST_EVENTS = 500
"""The events in one frame."""
CHECK_EVERY = 30.0
"""The seconds after which it is checked again, at most, that the client may see what it watches."""
TELL_EVERY = 5000
"""The events of other rooms after which the client is told how far the log was read, with no event."""


async def allowed_rooms(client: Client, codes: Sequence[str] | None) -> frozenset[str] | None:
    """Return the ids of the rooms that a client may watch by these codes; None for all rooms, without codes.

    Raises `Refused`: 401 `unauthenticated` without a valid token, 403 `not_host`, `wrong_room`, 404 `room_not_found`.
    """
    session, now = client.session, client.wall()
    session.identity(now)
    if codes is None:
        if not session.user(now).is_admin:
            raise Refused(NOT_HOST, "Only an admin may watch all rooms; give the rooms that you host")
        return None
    rooms = client.services.rooms
    asked = [
        await rooms.ask(code, commands.CheckHost(session.caller(code, client.wall())))
        for code in map(session.room_code, codes)
    ]
    return frozenset(asked)


class Watch:
    """One client's watch, which `begin` starts. `to` is the `id` of its request, `codes` are the rooms, None for all.

    `rooms` are their ids, and `after` is the number of the event that it begins after.
    """

    def __init__(
        self,
        client: Client,
        to: RequestId | None,
        codes: Sequence[str] | None,
        rooms: frozenset[str] | None,
        after: int,
    ) -> None:
        self._client = client
        self._to = to
        self._codes = codes
        self._rooms = rooms
        self._after = after
        self._told = after  # the number that the client knows
        self._identity = client.session.identity(client.wall())
        self._check_at = client.now() + CHECK_EVERY
        self._has_drained = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Send the reply, and then the events, in a task of its own."""
        client = self._client
        client.end_watch()
        client.watch = self
        client.send(WatchingReply(id=self._to, next=client.services.feed.position(self._after)))
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
            while not client.has_ended:
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
        client = self._client
        await self._check()
        wait = min(CHECK_EVERY, client.session.valid_for(client.wall()))
        try:
            part = await client.services.feed.read(self._after, MOST_EVENTS, wait, self._rooms)
        except StorageFailed:
            await asyncio.sleep(RETRY_AFTER)
            return
        self._after = part.last
        if part.events or self._after - self._told >= TELL_EVERY:
            await self._check()
            await self._send(part)
        await self._charge(part)

    async def _check(self) -> None:
        """Check that the token is valid, and now and then, or with another token, that it still allows this.

        Raises `Refused` like `allowed_rooms`, and 401 `token_expired`.
        """
        client = self._client
        if client.session.valid_for(client.wall()) == 0:
            raise Refused(TOKEN_EXPIRED)
        identity: Identity = client.session.identity(client.wall())
        if identity is not self._identity or client.now() >= self._check_at:
            self._rooms = await allowed_rooms(client, self._codes)
            self._identity, self._check_at = identity, client.now() + CHECK_EVERY

    async def _send(self, part: LoggedEvents) -> None:
        """Send a part as soon as the outbox takes it."""
        position = self._client.services.feed.position(part.last)
        events = b",".join([event.json for event in part.events])
        frame = text_frame(b'{"type":"events","events":[%b],"next":"%b"}' % (events, position.encode()))
        while not self._client.outbox.offer(frame):
            self._has_drained.clear()
            await self._has_drained.wait()
        self._told = part.last

    async def _charge(self, part: LoggedEvents) -> None:
        """Charge a host what was read; an admin reads as fast as it can."""
        client = self._client
        if self._identity.is_admin:
            return
        client.charge_read(part.read)
        if wait := client.usage.take_own(Use.READ, 0, client.now()):
            await asyncio.sleep(wait)
