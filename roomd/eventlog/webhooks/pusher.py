"""Push the event log to one endpoint: one event at a time, in order, each until it is delivered."""

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import msgspec

from roomd.counters import Counters
from roomd.engine.duties import Duties
from roomd.engine.ports import RETRY_AFTER, Clock, StorageFailed
from roomd.engine.progress import Progress
from roomd.eventlog.feed import LATEST, Feed
from roomd.eventlog.webhooks.endpoints import Endpoint
from roomd.eventlog.webhooks.sending import GONE, Outcome, Sender
from roomd.eventlog.webhooks.signing import sign
from roomd.protocol.errors import Refused
from roomd.protocol.logged import id_of, number_of, type_of
from roomd.protocol.timestamps import stamp

log = logging.getLogger("roomd.eventlog.webhooks")

DUTY = "webhook "
"""What the name of the duty to push to an endpoint begins with; the name of the endpoint is the rest."""
EVENTS_READ = 100
"""The events that are read from the log at once."""
WAIT = 3600.0
"""The seconds of one wait for new events."""
MOST_DOUBLED = 40
"""How often the wait between two attempts is doubled at most, so that its number stays small."""


class Shared(NamedTuple):
    """What all pushers use."""

    feed: Feed
    """The event log."""
    clock: Clock
    """The time of the signatures, and of the waits between attempts."""
    counters: Counters
    """Where attempts are counted."""
    random: Callable[[], float]
    """Returns a number from 0 to 1, so that not everybody tries again at the same time."""
    tls: ssl.SSLContext
    """How certificates are verified."""
    moved: Callable[[], None]
    """Called when the progress has changed."""
    duties: Duties
    """Say whether this process pushes to an endpoint, or another one does."""
    stored: Callable[[str], Awaitable[Progress | None]]
    """Reads how far an endpoint was pushed, by its name; None for a new one. Raises `StorageFailed`."""


class Trouble(msgspec.Struct):
    """What an operator sees of the attempts since the start."""

    failures: int = 0
    """The attempts that have failed since one succeeded."""
    error: str = ""
    """Why the last attempt that failed did; empty without one."""
    at: str | None = None
    """When that was."""
    lost: int = 0
    """The events that were deleted from the log before they were delivered."""


class Pusher:
    """Follows the log for one endpoint. `progress` is how far it was pushed; None if that is to be read."""

    def __init__(self, endpoint: Endpoint, progress: Progress | None, shared: Shared) -> None:
        self.endpoint = endpoint
        """What the configuration says."""
        self.progress = progress
        """How far it is; None until that is known, and while another process pushes."""
        self.trouble = Trouble()
        """What went wrong."""
        self._shared = shared
        self._task: asyncio.Task[None] | None = None

    @property
    def is_here(self) -> bool:
        """Whether this process pushes to the endpoint, and no other one."""
        return self._shared.duties.has(self._duty)

    @property
    def _duty(self) -> str:
        return f"{DUTY}{self.endpoint.name}"

    async def place(self) -> None:
        """Begin where the endpoint was, at the end of the log when it is new; note a log that is not the one of before.

        Raises `StorageFailed`.
        """
        feed = self._shared.feed
        last = await feed.start(LATEST)
        stored = await self._shared.stored(self.endpoint.name) if self.progress is None else None
        self.progress = self.progress or stored
        before = self.progress  # after the wait, in which it may have got a place
        if before is None:
            self._reach(Progress(feed.log_id, last))
        elif before.log_id != feed.log_id:
            # A backup was restored, or the log was off: the database has the progress that goes with its events.
            log.warning("webhook log is another one", {"endpoint": self.endpoint.name})
            self._reach(before._replace(log_id=feed.log_id, number=min(before.number, last)))

    def begin(self, after: asyncio.Task[None] | None) -> None:
        """Begin when a task has ended, that of a pusher before."""
        self._task = asyncio.create_task(self._start(after), name=f"push to {self.endpoint.name}")

    def restart(self, *, endpoint: Endpoint | None = None, progress: Progress | None = None) -> None:
        """Begin anew with what is given. A running attempt is cancelled; its event may come twice."""
        self.endpoint = endpoint or self.endpoint
        self.trouble.failures = 0
        self.cancel()
        if progress is not None:
            self._reach(progress)
        self.begin(self._task)

    def cancel(self) -> None:
        """Move no further from here on. `close` waits for the end."""
        if self._task is not None:
            self._task.cancel()

    async def close(self) -> None:
        """Stop. A running attempt is cancelled. Closing twice is fine."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def give_up(self) -> None:
        """Let another process push to the endpoint, after `close`."""
        await self._shared.duties.give_up(self._duty)

    async def _start(self, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await asyncio.wait([before])  # never two attempts at once
        await self._shared.duties.perform(self._duty, self._run, self._lost)

    def _lost(self) -> None:
        """Forget how far the endpoint is: another process may push it further."""
        self.progress = None
        self.trouble = Trouble(lost=self.trouble.lost)

    async def _run(self) -> None:
        endpoint = self.endpoint
        sender = Sender(endpoint.url, is_private=endpoint.is_private, timeout=endpoint.timeout, tls=self._shared.tls)
        try:
            while True:
                try:
                    return await self._follow(sender)
                except StorageFailed:
                    await self._sleep(RETRY_AFTER)  # the reason is in the log already
                except Exception as exc:  # the edge of a webhook: the others go on, and this one tries again
                    log.exception("webhook failed", {"endpoint": endpoint.name, "error": type(exc).__name__})
                    await self._sleep(endpoint.retry_longest)
        finally:
            await sender.close()

    async def _follow(self, sender: Sender) -> None:
        """Deliver event after event. Return when the endpoint wants no more."""
        await self.place()
        types = self.endpoint.types
        while (progress := self.progress) is not None and not progress.is_gone:
            try:
                part = await self._shared.feed.read(progress.number, EVENTS_READ, WAIT)
            except Refused:
                await self._go_on_from_oldest(progress)
                continue
            for event in part.events:
                if not types or type_of(event) in types:
                    if not await self._deliver(sender, event):
                        return
                    progress = progress._replace(delivered_at=stamp(self._shared.clock.wall()))
                progress = progress._replace(number=number_of(event))
                self._reach(progress)
            self._reach(progress._replace(number=part.last))

    async def _go_on_from_oldest(self, progress: Progress) -> None:
        oldest = await self._shared.feed.start(None)
        lost = max(0, oldest - progress.number)
        self.trouble.lost += lost
        self._shared.counters.webhooks_lost[self.endpoint.name] += lost
        log.error("webhook events lost", {"endpoint": self.endpoint.name, "events": lost})
        self._reach(progress._replace(number=oldest))

    async def _deliver(self, sender: Sender, event: bytes) -> bool:
        """Try until the event is delivered. Return False when the endpoint wants no more."""
        clock, trouble, name = self._shared.clock, self.trouble, self.endpoint.name
        while True:
            outcome = await self._attempt(sender, event)
            if not outcome.error:
                if trouble.failures:
                    log.info("webhook delivered again", {"endpoint": name, "failures": trouble.failures})
                trouble.failures = 0
                return True
            trouble.failures += 1
            trouble.error, trouble.at = outcome.error, stamp(clock.wall())
            fields = {"endpoint": name, "event": id_of(event), "reason": outcome.error, "failures": trouble.failures}
            if outcome.status == GONE and self.progress is not None:
                log.error("webhook endpoint is gone", fields)
                self._reach(self.progress._replace(is_gone=True))
                return False
            wait = max(outcome.retry_after, self._back_off())
            log.warning("webhook not delivered", {**fields, "retryAfter": round(wait, 1)})
            await self._sleep(wait)

    async def _attempt(self, sender: Sender, event: bytes) -> Outcome:
        now = self._shared.clock.wall()
        headers = sign(id_of(event), int(now), event, self.endpoint.secrets)
        outcome = await sender.post(event, headers, now)
        result = "delivered" if not outcome.error else "refused" if outcome.status is not None else "failed"
        self._shared.counters.webhooks[self.endpoint.name, result] += 1
        return outcome

    def _back_off(self) -> float:
        """Return the seconds until the next attempt: they double, and a quarter more or less is left to chance."""
        endpoint = self.endpoint
        doubled = endpoint.retry_first * 2.0 ** min(self.trouble.failures - 1, MOST_DOUBLED)
        return min(doubled, endpoint.retry_longest) * (0.75 + self._shared.random() / 2)

    def _reach(self, progress: Progress) -> None:
        if progress != self.progress:
            self.progress = progress
            self._shared.moved()

    async def _sleep(self, seconds: float) -> None:
        due = asyncio.Event()
        timer = self._shared.clock.call_later(seconds, due.set)
        try:
            await due.wait()
        finally:
            timer.cancel()
