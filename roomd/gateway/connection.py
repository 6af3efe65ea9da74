"""One client's connection: read a frame, have it served, and let go of the seat when the client is gone.

Most frames are served by `take`, where they were read. What must wait, for the one before it or for something awaited,
stands in line for the connection's task, `serve`. Either way replies come in the order of the requests.

Whatever a client sends, it gets a reply or a close code from docs/protocol.md, section 9.
"""

import asyncio
import contextlib
import logging
import math
from typing import cast

from websockets.exceptions import ConnectionClosed

from roomd.engine.ports import RETRY_AFTER, StorageFailed
from roomd.gateway.client import Client, Hangup, Services, end_of
from roomd.gateway.handlers import AT_ONCE, serve
from roomd.gateway.limits import RequestLimit
from roomd.gateway.outbox import Outbox
from roomd.gateway.websocket import Door
from roomd.protocol import events, requests
from roomd.protocol.codec import BadFrame, decode, request_id
from roomd.protocol.errors import INTERNAL_ERROR, RATE_LIMITED, RESTARTING, UNAVAILABLE, Close, Refused

log = logging.getLogger("roomd.gateway.connection")

CLOSE_TIMEOUT = 4.0
"""Seconds a client gets to answer a close before its connection is cut."""

BAD_TOKEN_GRACE = 1.0
"""Seconds that a connection with a bad token may take for its first request, whose reply then says so."""

RESTART_AFTER = 2.0
"""Seconds after which a client that asked during the drain may come back."""

SILENT = "silent before the first join"
TOO_MANY = "kept sending past the rate limit"


class Connection:
    """One client, from its handshake to its end."""

    __slots__ = (
        "_asked_at",
        "_client",
        "_closing",
        "_is_behind",
        "_limit",
        "_services",
        "_token",
        "_under_way",
        "_websocket",
        "number",
        "outbox",
    )  # fmt: skip

    def __init__(self, number: int, websocket: Door, services: Services, token: str | None) -> None:
        self.number = number
        self.outbox = Outbox(websocket.transport, services.limits.outbox, websocket.protocol, self._close)
        self._websocket = websocket
        self._services = services
        self._token = token
        self._client = Client(number, self.outbox, services)
        limits = services.limits
        self._limit = RequestLimit(limits.request_rate, limits.request_burst, services.clock.monotonic())
        self._closing: asyncio.Task[None] | None = None
        self._asked_at = 0.0  # by the loop's clock; until the first join
        self._is_behind = True  # something is to be done before the next frame
        self._under_way: asyncio.Future[None] | None = None  # the last request that took its time

    async def serve(self) -> None:
        """Converse until either side closes."""
        try:
            if self._token is not None:
                token, self._token = self._token, None
                await self._admit(token)
            self._is_behind = False
            self._asked_at = asyncio.get_running_loop().time()
            while not self.outbox.closed:
                if self._client.has_joined:
                    await self._websocket.readable()
                else:
                    await self._listen()
                if self._websocket.is_readable:
                    await self._serve_next()
        except Hangup as hangup:
            self.outbox.close(hangup.code, hangup.reason)
        except ConnectionClosed:
            pass
        finally:
            self._let_go()
        if self._closing is not None:
            await self._discard()
            await self._closing

    def take(self, data: bytes) -> bool:
        """Serve a text frame where it was read, which spares it a queue and this task two turns of the loop.

        False when it has to wait in line: behind others, or for something that a task must await.
        """
        if self._is_behind or self.outbox.closed or self._is_busy():
            return False
        try:
            text = str(data, "utf-8")
            request = decode(text)
        except (UnicodeDecodeError, BadFrame):
            return False
        if type(request) not in AT_ONCE:
            return False
        if self._allows(text):
            try:
                work = self._begin(request)
                if work is not None and not self._client.has_joined:
                    work.add_done_callback(self._websocket.wake)  # silence may be over
            except Exception as exc:  # noqa: BLE001 - told apart there
                self._explain(exc, request)
        return True

    def tell(self, event: events.Event) -> None:
        """Write an event that concerns this client alone."""
        self._client.send(event)

    def count_control_frame(self) -> None:
        """Hold pings and pongs, which the library answers by itself, to the limit on requests."""
        now = self._services.clock.monotonic()
        if self._limit.take(now) and self._limit.is_lost(now):
            self.outbox.close(Close.RATE_LIMITED, TOO_MANY)

    def _let_go(self) -> None:
        self.outbox.closed = True
        self._client.release()

    def _close(self, code: int, reason: str) -> None:
        level = logging.DEBUG if code == Close.RESTARTING else logging.INFO  # of a restart one line tells
        log.log(level, "closing", {"connection": self.number, "close": code})
        self._let_go()
        self._closing = asyncio.get_running_loop().create_task(self._shake_hands(code, reason))

    async def _shake_hands(self, code: int, reason: str) -> None:
        """Close in order, or cut a client off that does not let what was written before get through."""
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await self._websocket.close(code, reason)
        except TimeoutError:
            self._websocket.transport.abort()

    async def _discard(self) -> None:
        """Read on to no end: behind what the client still sent comes its answer to the close."""
        # The library asserts where a message breaks off because it closed the connection itself.
        with contextlib.suppress(ConnectionClosed, AssertionError):
            while True:
                await self._websocket.recv()

    async def _admit(self, token: str) -> None:
        """Check the token that came with the upgrade; a bad one is never a guest.

        The server says nothing before the client does, so the refusal answers the first request, or the silence.
        """
        try:
            self._client.authenticate(await self._client.identify(token))
        except Refused as refused:
            first = None
            with contextlib.suppress(TimeoutError, Hangup):
                async with asyncio.timeout(BAD_TOKEN_GRACE):
                    first = request_id(await self._receive())
            self._client.refuse(refused, first)
            raise end_of(refused) from None

    async def _listen(self) -> None:
        """Wait for something to read, or for the first join, as long as a client may be silent before that.

        Raises `Hangup` when it is over.
        """
        patience = self._services.limits.join_timeout
        now = asyncio.get_running_loop().time()
        if self._is_busy():  # it is the client who waits
            self._asked_at = now
        elif now >= self._asked_at + patience:
            raise Hangup(Close.TOO_SLOW, SILENT)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(self._asked_at + patience):
                await self._websocket.readable()

    async def _serve_next(self) -> None:
        """Serve the next frame in line, unless the rest of it does not come in time."""
        until = None if self._client.has_joined else self._asked_at + self._services.limits.join_timeout
        try:
            async with asyncio.timeout_at(until):
                text = await self._receive()
        except TimeoutError:
            return  # whether that is too late, `_listen` knows
        self._is_behind = True
        if self._is_busy():
            await cast("asyncio.Future[None]", self._under_way)
        if not self.outbox.closed:
            await self._handle(text)
        self._is_behind = False
        self._asked_at = asyncio.get_running_loop().time()

    async def _receive(self) -> str:
        """Wait for a text frame.

        Raises `Hangup` on a binary frame.
        """
        data = await self._websocket.recv()
        if isinstance(data, bytes):
            raise Hangup(Close.BINARY_FRAME, "text frames only")
        return data

    async def _handle(self, text: str) -> None:
        """Serve one frame; whatever comes of it, answer it."""
        if not self._allows(text):
            return
        request: requests.Request | None = None
        try:
            request = decode(text)
            work = self._begin(request)
            if work is not None:
                self._is_behind = type(request) not in AT_ONCE  # theirs is answered when `work` is done
                await work
        except Exception as exc:  # noqa: BLE001 - told apart there
            self._explain(exc, request)

    def _allows(self, text: str) -> bool:
        """Count a request against its limit; refuse it past that, and close for who does not stop."""
        now = self._services.clock.monotonic()
        if not self._client.has_joined:
            self._asked_at = asyncio.get_running_loop().time()
        wait = self._limit.take(now)
        if not wait:
            return True
        self._client.refuse(Refused(RATE_LIMITED, retry_after=math.ceil(wait * 1000) / 1000), request_id(text))
        if self._limit.is_lost(now):
            self.outbox.close(Close.RATE_LIMITED, TOO_MANY)
        return False

    def _begin(self, request: requests.Request) -> asyncio.Future[None] | None:
        if self._services.rooms.is_draining:
            raise Refused(RESTARTING, retry_after=RESTART_AFTER)
        work = serve(self._client, request)
        self._under_way = work if work is None or isinstance(work, asyncio.Future) else asyncio.ensure_future(work)
        return self._under_way

    def _is_busy(self) -> bool:
        return self._under_way is not None and not self._under_way.done()

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
