"""One client's conversation: its token, its requests in order, its limits, and the seat that it gives up in the end.

Whatever a client sends, it gets a reply or a close code from docs/protocol.md, section 9.
"""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from roomd.engine.ports import RETRY_AFTER, StorageFailed
from roomd.gateway.client import Client, Hangup, Services, end_of
from roomd.gateway.handlers import serve
from roomd.gateway.limits import Usage
from roomd.gateway.outbox import Outbox
from roomd.gateway.websocket import ClientSocket
from roomd.protocol import events, replies, requests
from roomd.protocol.codec import BadFrame, decode, request_id
from roomd.protocol.errors import INTERNAL_ERROR, RATE_LIMITED, RESTARTING, UNAVAILABLE, Close, Refused

log = logging.getLogger("roomd.gateway.connection")

BAD_TOKEN_GRACE = 1.0
"""Seconds that a connection with a bad token may take for its first request, whose reply then says so."""

RESTART_AFTER = 2.0
"""Seconds after which a client that asked during the drain may come back."""

INTERNAL_ERROR_CLOSE = 1011
"""RFC 6455, section 7.4.1: for a mistake of the daemon's own."""

SILENT = "silent before the first join"
TOO_MANY = "kept sending past the rate limit"


class Connection:
    """One client, from its handshake to its end.

    `spawn` starts a task and owns it; `on_lost` is called when the connection is gone.
    """

    __slots__ = (
        "_client",
        "_on_lost",
        "_refused",
        "_services",
        "_silence",
        "_spawn",
        "_under_way",
        "number",
        "outbox",
        "socket",
        "usage",
    )  # fmt: skip

    def __init__(
        self,
        number: int,
        transport: asyncio.Transport,
        services: Services,
        spawn: Callable[[Coroutine[Any, Any, None]], "asyncio.Task[None]"],
        on_lost: Callable[["Connection"], None],
    ) -> None:
        limits = services.limits
        self.number = number
        """Of the connection, for the log."""
        self.socket = ClientSocket(transport, limits.frame, self)
        self.outbox = Outbox(transport, limits.outbox, self.socket, self._close)
        self.usage = Usage(limits.request_rate, limits.request_burst, services.clock.monotonic())
        self._services = services
        self._spawn = spawn
        self._on_lost = on_lost
        self._client = Client(number, self.outbox, services)
        self._refused: Refused | None = None  # the token, which the first request is told
        self._under_way: asyncio.Future[None] | None = None  # the last request that took its time
        self._silence = 0  # ticks without a request, before the first join

    def start(self, token: str | None, received: bytes) -> None:
        """Check the token that came with the upgrade, None for a guest's, and serve what was `received` behind it."""
        if token is not None:
            self._under_way = self._spawn(self._admit(token))
            self.socket.hold(self._under_way)
        self.socket.start(received)

    def text(self, message: str) -> "asyncio.Future[None] | None":
        """Serve a request and answer it by the time that what is returned is done."""
        if self.outbox.closed:
            return None
        self._silence = 0
        if self._refused is not None:
            self._turn_away(request_id(message))
            return None
        if not self._allows(message):
            return None
        request: requests.Request | None = None
        try:
            request = decode(message)
            self._under_way = self._begin(request)
        except Exception as exc:  # noqa: BLE001 - told apart there
            self._explain(exc, request)
            return None
        return self._under_way

    def binary(self) -> None:
        """Close for a binary message."""
        if self._refused is not None:
            self._turn_away(None)
        else:
            self.outbox.close(Close.BINARY_FRAME, "text frames only")

    def overhead(self) -> None:
        """Hold frames that carry no message to the limit on requests, and what answers them to the outbox's."""
        now = self._services.clock.monotonic()
        if self.usage.take(now) and self.usage.is_lost(now):
            self.outbox.close(Close.RATE_LIMITED, TOO_MANY)
        self.outbox.check()

    def closed(self) -> None:
        """Give up the client's seat."""
        self.outbox.closed = True
        self._client.release()

    def lost(self, code: int) -> None:
        """Have the connection forgotten."""
        log.debug("disconnected", {"connection": self.number, "close": code})
        self._on_lost(self)

    def tick(self, ping_after: int, join_within: int) -> None:
        """Count a period; close after so many without a request before the first join, unless it is being served."""
        self.socket.tick(ping_after)
        if self._client.has_joined or self.outbox.closed:
            return
        if self._under_way is not None and not self._under_way.done():
            self._silence = 0
            return
        self._silence += 1
        if self._silence > join_within:
            self.outbox.close(Close.TOO_SLOW, SILENT)

    def tell(self, event: events.Event) -> None:
        """Write an event that concerns this client alone."""
        self._client.send(event)

    def _close(self, code: int, reason: str) -> None:
        level = logging.DEBUG if code == Close.RESTARTING else logging.INFO  # one line tells of a restart
        log.log(level, "closing", {"connection": self.number, "close": code})
        self.closed()
        self.socket.close(code, reason)

    async def _admit(self, token: str) -> None:
        """Check the token that came with the upgrade; a bad one is never a guest.

        The server says nothing before the client does, so the refusal answers the first request, or the silence.
        """
        try:
            self._client.authenticate(await self._client.identify(token))
        except Refused as refused:
            self._refused = refused
            asyncio.get_running_loop().call_later(BAD_TOKEN_GRACE, self._turn_away, None)
        except Exception as exc:
            log.exception("token check failed", {"connection": self.number, "error": type(exc).__name__})
            self.outbox.close(INTERNAL_ERROR_CLOSE, INTERNAL_ERROR.code)  # not a guest's connection either

    def _turn_away(self, to: replies.RequestId | None) -> None:
        """Answer a request, or none, that the token was refused, and close."""
        if self._refused is not None and not self.outbox.closed:
            self._client.refuse(self._refused, to)
            hangup = end_of(self._refused)
            self.outbox.close(hangup.code, hangup.reason)

    def _allows(self, message: str) -> bool:
        """Count a request against its limit; refuse it past that, and close for who does not stop."""
        now = self._services.clock.monotonic()
        wait = self.usage.take(now)
        if not wait:
            return True
        self._client.refuse(Refused(RATE_LIMITED, retry_after=math.ceil(wait * 1000) / 1000), request_id(message))
        if self.usage.is_lost(now):
            self.outbox.close(Close.RATE_LIMITED, TOO_MANY)
        return False

    def _begin(self, request: requests.Request) -> "asyncio.Future[None] | None":
        """Begin to serve a request; one that must await something gets a task for as long."""
        if self._services.rooms.is_draining:
            raise Refused(RESTARTING, retry_after=RESTART_AFTER)
        work = serve(self._client, request)
        if work is None or isinstance(work, asyncio.Future):
            return work
        return self._spawn(self._finish(work, request))

    async def _finish(self, work: Awaitable[None], request: requests.Request) -> None:
        try:
            await work
        except Exception as exc:  # noqa: BLE001 - told apart there
            self._explain(exc, request)

    def _explain(self, exc: Exception, request: requests.Request | None) -> None:
        """Answer a request that came to nothing."""
        to = request.id if request is not None else None
        match exc:
            case BadFrame():
                self._client.refuse(exc, exc.id)
            case Refused():
                self._client.refuse(exc, to)
            case StorageFailed():
                self._client.refuse(Refused(UNAVAILABLE, retry_after=RETRY_AFTER), to)
            case Hangup():
                self.outbox.close(exc.code, exc.reason)
            case _:  # the edge of the connection: a bug costs one reply
                log.error("request failed", {"connection": self.number, "error": type(exc).__name__}, exc_info=exc)
                self._client.refuse(Refused(INTERNAL_ERROR), to)
