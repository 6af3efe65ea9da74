"""One connection: check its token, serve its requests in order, apply its limits, and drop its seat at the end.

For everything that a client sends it gets a reply, or a close code from docs/protocol.md, section 9.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from roomd.gateway.client import Client
from roomd.gateway.connection_log import ConnectionLog
from roomd.gateway.handlers import serve
from roomd.gateway.outbox import Outbox
from roomd.gateway.refusals import CloseConnection, close_for
from roomd.gateway.services import Services
from roomd.gateway.serving import check_draining, refusal
from roomd.gateway.websocket import ClientSocket
from roomd.limits.ledgers import SLOWED_MOST
from roomd.limits.usage import SERVED, Usage, Verdict
from roomd.protocol import events, replies, requests
from roomd.protocol.admin import ConnectionStatus
from roomd.protocol.codec import BadFrame, decode, request_id
from roomd.protocol.errors import INTERNAL_ERROR, Close, Refused, rate_limited

log = logging.getLogger("roomd.gateway.connection")
limited = logging.getLogger("roomd.gateway.limited")

BAD_TOKEN_GRACE = 1.0
"""The seconds for which a connection with a bad token stays open, so that the error can answer its first request."""

CLEAN_CLOSES = (1000, 1001)
"""The close codes of a client that closes in order: it is done, or its page goes away (RFC 6455, section 7.4.1)."""

INTERNAL_ERROR_CLOSE = 1011
"""The close code for a fault of the daemon (RFC 6455, section 7.4.1)."""

WAYS_BACK = (requests.Resume, requests.Authenticate)
"""The requests that nobody else's flood can keep a host or somebody with a seat from. They are never refused."""
SILENT_REASON = "silent before the first join"
"""The close reason of a client that sends no request before its first join."""
STRANGERS_REASON = "too many connections without a seat"
"""The close reason of a client that gives its connection to another."""
RATE_REASON = "kept sending past the rate limit"
"""The close reason of a client that ignores the rate limit."""


class Connection:
    """The connection of one client, from its handshake to its end. It implements `message_handler.MessageHandler`.

    `number` is for the log. `spawn` starts a task and owns it. `on_closed` is called when the connection closes and
    has no seat any more, also more than once. `on_lost` is called once, when it is lost; `on_closed` may follow.
    """

    __slots__ = (
        "_began",
        "_client",
        "_on_closed",
        "_on_lost",
        "_refused",
        "_running",
        "_services",
        "_silent_ticks",
        "_spawn",
        "number",
        "outbox",
        "socket",
        "usage",
    )  # fmt: skip

    def __init__(
        self,
        lines: ConnectionLog,
        transport: asyncio.Transport,
        usage: Usage,
        services: Services,
        spawn: Callable[[Coroutine[Any, Any, None]], "asyncio.Task[None]"],
        on_closed: Callable[["Connection"], None],
        on_lost: Callable[["Connection"], None],
    ) -> None:
        limits = services.limits
        self.number = lines.number
        """The number of the connection, for the log."""
        self.socket = ClientSocket(transport, limits.frame, self, services.backlog)
        self.outbox = Outbox(transport, limits.outbox, self.socket, self._close)
        self.usage = usage
        self._services = services
        self._began = services.clock.monotonic()
        self._spawn = spawn
        self._on_closed = on_closed
        self._on_lost = on_lost
        self._client = Client(lines, self.outbox, usage, services, spawn)
        self._refused: Refused | None = None  # why the token was refused; the first request is answered with it
        self._running: asyncio.Future[None] | None = None  # the last request that was not answered at once
        self._silent_ticks = 0  # the number of ticks without a request, before the first join

    @property
    def is_member(self) -> bool:
        """Whether the client has a place in a room or a verified token now."""
        return not self._client.session.is_stranger

    @property
    def has_place(self) -> bool:
        """Whether the client has a seat, or a place in a queue."""
        return bool(self._client.session.places)

    def send_away(self, reason: str) -> None:
        """Close the connection, because no room can be served. The places are held from when they can be again."""
        self._client.is_sent_away = True
        self.outbox.close(Close.CONNECTION_LIMIT, reason)

    def give_way(self) -> None:
        """Close the connection, so that another can be served: the client has no seat and no token."""
        self.outbox.close(Close.CONNECTION_LIMIT, STRANGERS_REASON)

    def admit(self, token: str | None) -> None:
        """Check the token of the handshake, None for a guest: at once, or as soon as the keys for it were fetched."""
        if token is not None and not self._admit(token):
            self._running = self._spawn(self._admit_later(token))
            self.socket.wait_for(self._running)

    def start(self, received: bytes) -> None:
        """Serve the bytes `received` after the handshake, and all that follows."""
        self.socket.start(received)

    def text(self, message: str) -> "asyncio.Future[None] | None":
        """Serve a request. It is answered when the returned future is done; None means that it is answered now."""
        if self.outbox.is_closed:
            return None
        self._silent_ticks = 0
        if self._refused is not None:
            self._refuse_token(request_id(message))
            return None
        try:
            request = decode(message)
        except BadFrame as bad:
            verdict = self.usage.request(self._services.clock.monotonic())
            if verdict is SERVED or self._is_served(verdict, bad.id):
                self._client.refuse(bad, bad.id)
            self.usage.malformed(len(message), self._services.clock.monotonic())
            return None
        self._services.counters.requests[type(request)] += 1
        is_reserved = isinstance(request, WAYS_BACK)
        verdict = self.usage.request(self._services.clock.monotonic(), is_reserved=is_reserved)
        if verdict is not SERVED and not self._is_served(verdict, request.id, request, is_reserved=is_reserved):
            return None
        try:
            self._running = self._begin(request)
        except Exception as exc:  # noqa: BLE001 - `_answer_failure` selects by type
            self._answer_failure(exc, request)
            return None
        return self._running

    def binary(self) -> None:
        """Close the connection for a binary message."""
        if self._refused is not None:
            self._refuse_token(None)
        else:
            self.outbox.close(Close.BINARY_FRAME, "text frames only")

    def overhead(self, pong: bytes = b"") -> None:
        """Count a frame without a message as a request, and check the outbox, because pings are answered elsewhere.

        A pong that answers a ping shows that the client has received what was sent before it. Reading is not held for a
        frame that would be refused if it had a reply: then no client would ever have as many as it is closed for.
        """
        if pong:
            self._client.arrived(pong)
        now = self._services.clock.monotonic()
        verdict = self.usage.request(now)
        if verdict.must_close:
            self.outbox.close(Close.RATE_LIMITED, RATE_REASON)
        elif verdict.hold:
            self.socket.hold_reading(verdict.hold)
        self.outbox.check()

    def drained(self) -> None:
        """Have the rooms send the client what it has missed."""
        self._client.drained()

    def closed(self) -> None:
        """Drop the client's seat: no more requests follow."""
        self.outbox.end()
        self._client.release(is_clean=self.socket.close_received in CLEAN_CLOSES)
        self._on_closed(self)

    def lost(self, code: int) -> None:
        """Report the end of the connection to its owner."""
        self._client.lines.connected()
        self._client.lines.report()
        log.debug("disconnected", {"connection": self.number, "close": code})
        counters = self._services.counters
        counters.closes[code] += 1
        counters.sent += self.sent
        self._on_lost(self)

    def tick(self, ping_after: int, join_within: int, read_within: int) -> None:
        """Count one tick of the listener.

        The connection is closed after `join_within` ticks without a request before the first join. Ticks in which a
        request is running do not count. It is closed after `read_within` ticks in which the client has taken nothing of
        what waits for it. After `ping_after` ticks without a frame the client is pinged. A client that has left all its
        places counts as a stranger again, so that its connection can give way. The log gets the line of a client that
        has taken no seat yet.
        """
        self.socket.tick(ping_after)
        self.outbox.tick(read_within)
        for payload in self._client.take_told():
            self.socket.ping(payload)
        if self.outbox.is_closed:
            return
        self._client.lines.connected()
        if self._client.has_joined:
            if self._client.session.is_stranger:
                self.usage.begin(self)
            return
        if self._running is not None and not self._running.done():
            self._silent_ticks = 0
            return
        self._silent_ticks += 1
        if self._silent_ticks > join_within:
            self.outbox.close(Close.TOO_SLOW, SILENT_REASON)

    def report_refusals(self) -> None:
        """Log how many requests were refused since the last report, if there were any."""
        self._client.lines.report()

    def status(self, now: float) -> ConnectionStatus:
        """Return what an operator sees of the connection."""
        session = self._client.session
        return ConnectionStatus(
            number=self.number,
            user_id=session.user_id,
            seat=session.seat.code if session.seat is not None else None,
            waits=session.waiting.code if session.waiting is not None else None,
            participant_id=next((place.participant.id for place in session.places), None),
            seconds=round(now - self._began, 1),
            unsent=self.outbox.unsent(),
            is_full=self.socket.is_full,
        )

    @property
    def sent(self) -> int:
        """The bytes of frames that were written to the client."""
        return self.outbox.written + self.socket.bytes_written

    def _count_result(self, refused: Refused, request: requests.Request | None) -> None:
        """Count the result of a join or a resume that was refused before its room was asked."""
        counters = self._services.counters
        if isinstance(request, requests.JoinRoom):
            counters.joins[refused.kind.code] += 1
        elif isinstance(request, requests.Resume):
            counters.resumes[refused.kind.code] += 1

    def tell(self, event: events.Event) -> None:
        """Send an event for this client only."""
        self._client.send(event)

    def _close(self, code: int, reason: str) -> None:
        level = logging.DEBUG if code == Close.RESTARTING else logging.INFO  # the listener logs a restart once
        limited.log(level, "closing", {"connection": self.number, "close": code})
        if code == Close.RATE_LIMITED:
            self.usage.closed_for_rate(self._services.clock.monotonic())
        self.closed()
        self.socket.close(code, reason)

    def _admit(self, token: str) -> bool:
        """Check the token of the handshake, if the keys for it are at hand. Return whether they are."""
        try:
            identity = self._client.identify_at_once(token)
            if identity is None:
                return False
            self._client.authenticate(identity)
        except Exception as exc:  # noqa: BLE001 - `_token_failed` selects by type
            self._token_failed(exc)
        return True

    async def _admit_later(self, token: str) -> None:
        """Check the token of the handshake after the keys for it were fetched."""
        try:
            self._client.authenticate(await self._client.identify(token))
        except Exception as exc:  # noqa: BLE001 - `_token_failed` selects by type
            self._token_failed(exc)

    def _token_failed(self, exc: Exception) -> None:
        """Keep the error of a bad token of the handshake. Its client is never treated as a guest.

        The server sends nothing before the client's first request, so the error is kept as the answer to it. If no
        request comes within `BAD_TOKEN_GRACE`, it is sent without one. The failure is charged now: the client may be
        gone by then.
        """
        if isinstance(exc, Refused):
            self._refused = exc
            self.usage.failed(exc.kind, self._services.clock.monotonic())
            asyncio.get_running_loop().call_later(BAD_TOKEN_GRACE, self._refuse_token, None)
        else:
            log.error("token check failed", {"connection": self.number, "error": type(exc).__name__}, exc_info=exc)
            self.outbox.close(INTERNAL_ERROR_CLOSE, INTERNAL_ERROR.code)

    def _refuse_token(self, to: replies.RequestId | None) -> None:
        """Send the error of the token and close. `to` is the `id` of the request that it answers, if any."""
        if self._refused is not None and not self.outbox.is_closed:
            self._client.send_refusal(self._refused, to)
            closing = close_for(self._refused)
            self.outbox.close(closing.code, closing.reason)

    def _is_served(
        self,
        verdict: Verdict,
        to: replies.RequestId | None,
        request: requests.Request | None = None,
        *,
        is_reserved: bool = False,
    ) -> bool:
        """Return whether a request over the client's share is served. `to` is its `id`; None: it was not understood.

        The client is read more slowly, then refused. One that continues to send is closed.
        """
        if verdict.retry_after and not is_reserved:
            refused = rate_limited(verdict.retry_after)
            self._count_result(refused, request)
            self._client.refuse(refused, to)
            if verdict.must_close:
                self.outbox.close(Close.RATE_LIMITED, RATE_REASON)
            return False
        self.socket.hold_reading(verdict.hold or SLOWED_MOST)
        return True

    def _begin(self, request: requests.Request) -> "asyncio.Future[None] | None":
        """Begin to serve a request. A handler that is a coroutine runs in a task of its own.

        Returns the future that is done when the request is answered, None when it is answered now. Raises `Refused` and
        `CloseConnection`.
        """
        rooms = self._services.rooms
        if rooms.is_draining:
            check_draining(rooms, request)
        work = serve(self._client, request)
        if work is None or isinstance(work, asyncio.Future):
            return work
        return self._spawn(self._finish(work, request))

    async def _finish(self, work: Awaitable[None], request: requests.Request) -> None:
        try:
            await work
        except Exception as exc:  # noqa: BLE001 - `_answer_failure` selects by type
            self._answer_failure(exc, request)

    def _answer_failure(self, exc: Exception, request: requests.Request) -> None:
        """Send the reply to a request that raised `exc`, or close the connection."""
        if isinstance(exc, CloseConnection):
            self.outbox.close(exc.code, exc.reason)
            return
        if isinstance(exc, Refused):
            self._count_result(exc, request)
        self._client.refuse(refusal(exc, self.number), request.id)
