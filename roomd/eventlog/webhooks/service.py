"""All webhooks of the daemon: the endpoints, how far each is, and what an operator can do with them."""

import asyncio
import contextlib
import logging
import ssl
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Literal

import msgspec

from roomd.counters import Counters
from roomd.engine.duties import Duties
from roomd.engine.ports import Clock, StorageFailed
from roomd.engine.progress import Progress, ProgressStore
from roomd.eventlog.feed import LATEST, Feed
from roomd.eventlog.webhooks.endpoints import Endpoint
from roomd.eventlog.webhooks.signing import sign
from roomd.protocol.admin import Webhook, WebhookTested
from roomd.protocol.errors import Refused
from roomd.protocol.timestamps import seconds_of, stamp

if TYPE_CHECKING:
    from roomd.eventlog.webhooks.pusher import Pusher

log = logging.getLogger("roomd.eventlog.webhooks")

SAVE_EVERY = 1.0
"""The seconds between two transactions that store the progress. What was delivered since comes again after a crash."""
LOOK_EVERY = 5.0
"""The seconds between two looks at how far the endpoints are behind, while nothing is delivered."""
OLDEST = "oldest"
"""The position before the oldest event that is kept."""


class NoSuchEndpoint(Exception):  # noqa: N818 - an answer, not a fault
    """There is no endpoint with this name, or it cannot be moved there. The text says why and what to do."""


class Lag(msgspec.Struct, frozen=True):
    """How far an endpoint is behind the log."""

    events: int = 0
    """The events behind its position, also those of types that it does not get."""
    seconds: float = 0.0
    """The age of the oldest of them; 0 without any."""


class Webhooks:
    """The endpoints of the configuration, and a pusher for each.

    `new_id` returns the id of a test event, and takes the time; `random` returns a number from 0 to 1.
    """

    def __init__(
        self,
        feed: Feed,
        store: ProgressStore,
        clock: Clock,
        counters: Counters,
        new_id: Callable[[float], str],
        random: Callable[[], float],
        duties: Duties,
    ) -> None:
        self._feed = feed
        self._store = store
        self._clock = clock
        self._counters = counters
        self._new_id = new_id
        self._random = random
        self._duties = duties
        self._pushers: dict[str, Pusher] = {}
        self._stored: dict[str, Progress] = {}
        self._left: dict[str, Progress] = {}  # of endpoints that were taken out, which is not stored yet
        self._lags: dict[str, Lag] = {}
        self._moved = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._tls: ssl.SSLContext | None = None
        self._is_closed = False
        self._closing: dict[str, asyncio.Task[None]] = {}  # the ends of pushers that were taken out

    async def open(self, endpoints: Iterable[Endpoint]) -> None:
        """Begin to push. A new endpoint begins at the end of the log, as it is now.

        Raises `StorageFailed`.
        """
        self._stored = await self._store.read_progress()
        self.use(endpoints)
        for pusher in self._pushers.values():
            if pusher.is_here:
                await pusher.place()
        await self.save()

    def use(self, endpoints: Iterable[Endpoint]) -> None:
        """Use these endpoints from now on. Those that have not changed go on as they are. After `close` do nothing."""
        if self._is_closed:
            return
        wanted = {endpoint.name: endpoint for endpoint in endpoints}
        for name in self._pushers.keys() - wanted.keys():
            pusher = self._pushers.pop(name)
            self._lags.pop(name, None)
            pusher.cancel()
            if pusher.progress is not None:
                self._left[name] = pusher.progress
            self._closing[name] = asyncio.create_task(self._take_out(pusher, self._closing.get(name)))
        for name, endpoint in wanted.items():
            if (found := self._pushers.get(name)) is None:
                found = self._pushers[name] = self._pusher(endpoint)
                found.begin(self._closing.get(name))
            elif found.endpoint != endpoint:
                found.restart(endpoint=endpoint)
        if self._pushers and self._keeper is None:
            self._keeper = asyncio.create_task(self._keep(), name="keep the progress of webhooks")

    async def close(self) -> None:
        """Stop, and store how far the endpoints are. Closing twice is fine."""
        self._is_closed = True
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.cancel()
            await asyncio.wait([keeper])
        pushers = list(self._pushers.values())
        await asyncio.gather(*(pusher.close() for pusher in pushers), *self._closing.values())
        with contextlib.suppress(StorageFailed):  # it is in the log, and the events come again
            await self.save()
        self._pushers.clear()  # nobody moves one any more
        await asyncio.gather(*(pusher.give_up() for pusher in pushers))

    async def save(self) -> None:
        """Store the progress that has changed, in one transaction.

        Raises `StorageFailed`.
        """
        now = {name: pusher.progress for name, pusher in self._pushers.items() if pusher.progress is not None}
        changed = {name: one for name, one in (self._left | now).items() if one != self._stored.get(name)}
        if changed:
            await self._store.write_progress(changed)
            self._stored |= changed
        self._left = {name: one for name, one in self._left.items() if self._stored.get(name) != one}

    async def look(self) -> None:
        """Look how far the endpoints are behind.

        Raises `StorageFailed`.
        """
        last = await self._feed.start(LATEST)
        self._lags = {name: lag for name, lag in self._lags.items() if name in self.here()}
        for name in self.here():
            pusher = self._pushers[name]
            number = last if pusher.progress is None else pusher.progress.number
            self._lags[name] = Lag(last - number, await self._age(number)) if number < last else Lag()

    def names(self) -> list[str]:
        """Return the names of all endpoints, in the order of the configuration."""
        return list(self._pushers)

    def here(self) -> list[str]:
        """Return the names of those that this process pushes to, and no other one."""
        return [name for name, pusher in self._pushers.items() if pusher.is_here]

    def lags(self) -> Mapping[str, Lag]:
        """Return how far those were behind when they were last looked at, a few seconds ago at most."""
        return {name: self._lags.get(name, Lag()) for name in self.here()}

    async def status(self) -> list[Webhook]:
        """Return what an operator sees of the endpoints that this process pushes to.

        Raises `StorageFailed`.
        """
        await self.look()
        return [self._status(name, self._pushers[name], lag) for name, lag in self.lags().items()]

    async def skip(self, name: str, to: str) -> None:
        """Have an endpoint go on at a later position, or at `latest`: what is before it is not delivered.

        Raises `NoSuchEndpoint`, `Refused` (a position that is none, or has expired) and `StorageFailed`.
        """
        await self._move(name, await self._feed.start(to), forward=True)

    async def replay(self, name: str, after: str) -> None:
        """Have an endpoint go on at an earlier position, or at `oldest`: what is behind it is delivered again.

        Raises like `skip`.
        """
        await self._move(name, await self._feed.start(None if after == OLDEST else after), forward=False)

    async def enable(self, name: str) -> None:
        """Have an endpoint that has answered 410 go on where it was. One that waits tries again at once.

        Raises `NoSuchEndpoint` and `StorageFailed`.
        """
        pusher = self._find_here(name)
        progress = pusher.progress
        pusher.restart(progress=None if progress is None else progress._replace(is_gone=False))
        await self.save()

    async def test(self, name: str) -> WebhookTested:
        """Send an event of the type `webhook-test`, once, beside the others, and return what came of it.

        Raises `NoSuchEndpoint`.
        """
        from roomd.eventlog.webhooks.sending import Sender

        endpoint, now = self._find(name).endpoint, self._clock.wall()
        event_id = self._new_id(now)
        body = msgspec.json.encode({"id": event_id, "at": stamp(now), "type": "webhook-test"})
        sender = Sender(endpoint.url, is_private=endpoint.is_private, timeout=endpoint.timeout, tls=self._context())
        began = time.perf_counter()
        try:
            outcome = await sender.post(body, sign(event_id, int(now), body, endpoint.secrets), now)
        finally:
            await sender.close()
        seconds = round(time.perf_counter() - began, 3)
        return WebhookTested(id=event_id, status=outcome.status, error=outcome.error or None, seconds=seconds)

    def _pusher(self, endpoint: Endpoint) -> "Pusher":
        from roomd.eventlog.webhooks.pusher import Pusher, Shared  # they import the HTTP library

        shared = Shared(
            self._feed, self._clock, self._counters, self._random, self._context(), self._moved.set, self._duties,
            self._read,
        )  # fmt: skip
        return Pusher(endpoint, None, shared)

    async def _read(self, name: str) -> Progress | None:
        if name in self._left:
            return self._left.pop(name)
        stored = (await self._store.read_progress()).get(name)
        if stored is not None:
            self._stored[name] = stored
        return stored

    async def _take_out(self, pusher: "Pusher", before: asyncio.Task[None] | None) -> None:
        """End a pusher, after the one `before` of the same name, and let another process push."""
        if before is not None:
            await asyncio.wait([before])
        await pusher.close()
        with contextlib.suppress(StorageFailed):  # it is stored later
            await self.save()
        await pusher.give_up()

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = ssl.create_default_context()
        return self._tls

    def _find(self, name: str) -> "Pusher":
        if name not in self._pushers:
            known = ", ".join(self._pushers) or "none; webhooks.endpoints has them"
            raise NoSuchEndpoint(f"{name}: there is no such endpoint; there are: {known}")
        return self._pushers[name]

    def _find_here(self, name: str) -> "Pusher":
        pusher = self._find(name)
        if not pusher.is_here:
            raise NoSuchEndpoint(f"{name}: another node pushes to it, or will in a moment; try again there")
        return pusher

    async def _move(self, name: str, number: int, *, forward: bool) -> None:
        pusher = self._find_here(name)
        progress = pusher.progress or Progress(self._feed.log_id, number)
        if number != progress.number and forward != (number > progress.number):
            command = f"`roomd webhooks {'replay' if forward else 'skip'}`"
            raise NoSuchEndpoint(f"{name}: that is {'before' if forward else 'behind'} its position; use {command}")
        pusher.restart(progress=progress._replace(number=number))
        log.info("webhook moved", {"endpoint": name, "events": number - progress.number})
        await self.save()

    async def _age(self, number: int) -> float:
        try:
            part = await self._feed.read(number, 1)
        except Refused:  # its oldest events were deleted just now
            return 0.0
        at = [msgspec.json.decode(event, type=_Timed).at for event in part.events]
        return max(0.0, self._clock.wall() - seconds_of(at[0])) if at else 0.0

    def _status(self, name: str, pusher: "Pusher", lag: Lag) -> Webhook:
        progress, trouble = pusher.progress, pusher.trouble
        state: Literal["delivering", "failing", "gone"] = "failing" if trouble.failures else "delivering"
        return Webhook(
            name=name,
            state="gone" if progress is not None and progress.is_gone else state,
            position=None if progress is None else self._feed.position(progress.number),
            behind=lag.events,
            age=round(lag.seconds, 3),
            delivered_at=None if progress is None else progress.delivered_at,
            failures=trouble.failures,
            error=trouble.error or None,
            failed_at=trouble.at,
            lost=trouble.lost,
            types=list(pusher.endpoint.types),
        )

    async def _keep(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY):
                    await self._moved.wait()
            self._moved.clear()
            try:
                await self.save()
                await self.look()
            except StorageFailed:
                self._moved.set()
            await asyncio.sleep(SAVE_EVERY)


class _Timed(msgspec.Struct):
    at: str
