"""The listening port: accept connections up to a limit, close silent ones, and stop in order."""

import asyncio
import contextlib
import logging
import math
import random
import socket
import time
from collections.abc import Coroutine, Sequence
from typing import Any

from roomd.config import Config, ListenAddress, TcpAddress, listen_addresses, url_of
from roomd.engine.served import ServedRooms
from roomd.gateway.api import Api
from roomd.gateway.connection import Connection
from roomd.gateway.connection_log import ConnectionLog
from roomd.gateway.handshake import find_token
from roomd.gateway.http.connection import HttpConnection
from roomd.gateway.http.request import Request
from roomd.gateway.http.responses import Content
from roomd.gateway.routes import Routes
from roomd.gateway.services import Services
from roomd.gateway.sockets import OpenSockets
from roomd.gateway.websocket import CLOSE_TIMEOUT, ClientSocket
from roomd.limits.addresses import Address, Proxies
from roomd.limits.ledger import Use
from roomd.limits.ledgers import Ledgers, arrive
from roomd.limits.memory import Held, greediest
from roomd.limits.usage import Usage
from roomd.protocol.errors import Close
from roomd.protocol.events import ServerRestarting
from roomd.protocol.openapi import PREFIX
from roomd.system.memory import Releaser

log = logging.getLogger("roomd.gateway.listener")
limited = logging.getLogger("roomd.gateway.limited")

HANDSHAKE_TIMEOUT = 5.0
"""The seconds from the start of a connection until its request must be complete."""
READ_TIMEOUT = 30.0
"""The seconds for which a client may take nothing of what waits for it."""
DRAIN_TIMEOUT = 2.0
"""The seconds that running requests have to finish when the server stops."""
RESTART_JITTER = (1.0, 5.0)
"""The range, in seconds, of the random `retryAfter` at a restart, so that clients do not all reconnect at once."""
KEPT_JITTER = (0.0, 1.0)
"""The same where another process keeps the sockets open meanwhile: who comes too early waits and is not refused."""
CLOSING_ALLOWED = 100
"""The connections that may be closing at any time; see `closing_limit`."""
LONGEST_DELAY = 2.0
"""The seconds for which a request waits at most: less than `HANDSHAKE_TIMEOUT`."""
FILE_ARRIVAL = 0.1
"""The arrivals that a plain request by HTTP counts for: a browser makes some 45 of them to show the page."""
FULL_REASON = "at the connection limit"
"""The close reason of a client that finds no place, though no stranger could give way to it."""
MEMORY_TICK = 0.1
"""The seconds between two looks at the memory that clients hold while it is more than a quarter of its limit."""
REPORT_INTERVAL = 60.0
"""The seconds after which the refusals of a connection are logged that has not ended."""
TICKS = 4
"""The number of ticks in the shortest timeout that is counted in ticks."""
SHORTEST_TICK = 0.02
"""The shortest time between two ticks, in seconds."""


def closing_limit(connections: int) -> int:
    """Return how many connections may be closing beside the `connections` that may be open.

    When there are more, the oldest of them is aborted for each new connection.
    """
    return CLOSING_ALLOWED + connections // 10


class Listener:
    """Listen on the port, and build a `Connection` for every WebSocket.

    Silence is counted in ticks, not in time. Between two ticks the event loop reads every socket that has data, even
    when it was blocked for long. So no client is disconnected while data from it was received and not read.
    """

    def __init__(self, config: Config, services: Services, hub: ServedRooms) -> None:
        self._settings = config.server
        self._services = services
        self._hub = hub
        self.connections: set[Connection] = set()
        """The open WebSockets."""
        self._closing: dict[Connection, None] = {}  # those that are closed and not lost yet; the oldest is first
        self._counters = services.counters
        self._ledgers = Ledgers(services.limits, services.counters)
        self._proxies = Proxies(config.server.trusted_proxies)
        self._report_at = services.clock.monotonic() + REPORT_INTERVAL  # when refusals are logged next
        self._gone = 0  # the connections that have ended, of both kinds
        self._has_warned = False  # of a proxy that does not tell the addresses of its clients
        self._http_connections: set[HttpConnection] = set()  # those that are no WebSockets, or not yet
        self._tasks: set[asyncio.Task[None]] = set()  # running requests
        self._ticking: asyncio.Task[None] | None = None
        self._sockets = OpenSockets(lambda: HttpConnection(self))
        self._jitter = RESTART_JITTER
        self._memory_timer: asyncio.TimerHandle | None = None  # the next look at memory, before the next tick
        self._releaser = Releaser(services.clock.monotonic)
        self._is_stopping = False
        self._outage: str | None = None
        self._all_closed = asyncio.Event()  # set when the last connection has ended after `close` began
        is_balanced = bool(config.cluster.nats)
        self._routes = Routes(config.server, lambda: self._is_stopping, self._problems, is_balanced=is_balanced)
        server = config.server
        self._api = Api(services, self._ledgers, self.spawn, server.path, server.allowed_origins)
        self.body_limit = self._api.body_limit
        self._tick = self._tick_for(config)

    def use(self, config: Config) -> None:
        """Use another configuration from now on, but for the address, the path and the page.

        A tick never gets longer: ticks that were counted before would count for more time than has passed.
        """
        self._settings = config.server
        self._routes.allow(config.server.allowed_origins)
        self._api.allow(config.server.allowed_origins)
        self._proxies = Proxies(config.server.trusted_proxies)
        self._ledgers.use(config.limits, self._services.clock.monotonic())
        self._tick = min(self._tick, self._tick_for(config))

    async def open(self, inherited: Sequence[socket.socket] = ()) -> None:
        """Start to listen: on `inherited` sockets if there are any, or else where the configuration says.

        Raises `AddressUnavailable` when an address cannot be used.
        """
        if inherited:
            self._jitter = KEPT_JITTER
            await self._sockets.adopt(inherited)
        else:
            settings = self._settings
            await self._sockets.open(listen_addresses(settings), int(settings.socket_mode, 8))
        self._ticking = asyncio.get_running_loop().create_task(self._keep_ticking())

    @property
    def addresses(self) -> list[ListenAddress]:
        """The addresses that are listened on, with the real ports."""
        return self._sockets.addresses

    @property
    def url(self) -> str | None:
        """The URL of the WebSocket for a client on this machine; None when there are Unix sockets only."""
        found = [address for address in self.addresses if isinstance(address, TcpAddress)]
        return url_of(found[0], self._settings.path) if found else None

    async def close(self) -> None:
        """Stop accepting, finish the running requests, and close every connection. Closing twice is fine.

        Clients get `server-restarting` and reconnect later.
        """
        if self._ticking is None or self._is_stopping:
            return
        self._is_stopping = True
        log.info("restarting", {"connections": len(self.connections), **self._hub.statistics()})
        self._sockets.close()
        for http_connection in list(self._http_connections):
            http_connection.finish()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_TIMEOUT):
                await self._hub.drain()
        for connection in list(self.connections):
            connection.tell(ServerRestarting(retry_after=round(random.uniform(*self._jitter), 1)))  # noqa: S311 - jitter
            connection.outbox.close(Close.RESTARTING, "the server restarts")
        await self._end_everything()
        await self._hub.drain()

    def note_outage(self, reason: str | None) -> None:
        """Note why no room can be served, so that new clients go elsewhere; None when they can be."""
        self._outage = reason

    def send_away(self, reason: str) -> None:
        """Close the connections of clients with a seat, or a place in a queue. They come back to it."""
        away = [connection for connection in self.connections if connection.has_place]
        if away:
            log.error("clients sent away", {"connections": len(away), "reason": reason})
        for connection in away:
            connection.send_away(reason)

    @property
    def limit(self) -> int:
        """The most connections that may be open."""
        return self._services.limits.connections

    @property
    def strangers(self) -> int:
        """The number of connections without a seat and a token."""
        return self._ledgers.stranger_connections()

    def bytes_sent(self) -> int:
        """Return the bytes of frames that were written to all WebSockets since the start."""
        return self._counters.sent + sum(one.sent for one in (*self.connections, *self._closing))

    def opened(self, connection: HttpConnection) -> None:
        """Count a connection that is no WebSocket yet. It is one of a stranger at the address of its other end.

        At the connection limit another stranger gives way to it.
        """
        self._http_connections.add(connection)
        connection.address = self._proxies.peer(connection.peer)
        self._ledgers.add_stranger(connection.address, connection)
        if self._is_over_limit():
            self._ledgers.make_way(connection)
        if len(self._closing) > closing_limit(self._services.limits.connections):
            oldest = next(iter(self._closing))
            del self._closing[oldest]
            oldest.socket.abort()

    def ended(self, connection: HttpConnection) -> None:
        """Count a connection no more, and charge what was not charged yet."""
        if connection in self._http_connections:
            self._gone += 1
            self._http_connections.discard(connection)
            self._ledgers.remove_stranger(connection)
            self._api.ended(connection)
            if connection.received or not connection.has_arrived:
                self._charge(connection)

    def delay(self, connection: HttpConnection, request: Request | None) -> float:
        """Charge a request, and return the seconds until it may be answered: more if many came from its address.

        A join pays a handshake back. A health check never waits, whoever else is at the address.
        """
        if request is not None:
            connection.address = self._address(connection, request)
            if request.path.startswith(PREFIX) and connection.has_arrived:
                return 0.0  # the request is charged to its user
        wait = self._charge(connection, 1 if request is None or "upgrade" in request.headers.by_name else FILE_ARRIVAL)
        if not wait or (request is not None and self._routes.is_health_check(request)):
            return 0.0
        self._counters.limited["address", Use.ARRIVALS, "slowed"] += 1
        return min(wait, LONGEST_DELAY)

    def _charge(self, connection: HttpConnection, arrivals: float = 1) -> float:
        arrivals = 0 if connection.has_arrived else arrivals
        size, connection.received, connection.has_arrived = connection.received, 0, True
        return arrive(self._ledgers, connection.address, self._services.clock.monotonic(), size, arrivals)

    def answer(self, connection: HttpConnection, request: Request, body: bytes) -> Content | None:
        """Answer a request; with 101 for a successful handshake. None: the connection gets the response later."""
        if request.path.startswith(PREFIX):
            return self._api.answer(connection, request, body)
        return self._routes.answer(request)

    def upgrade(self, opened: HttpConnection, request: Request, transport: asyncio.Transport, rest: bytes) -> None:
        """Start a connection after its handshake. It is one of a stranger until it has a verified token or a seat.

        At the connection limit a stranger gives way to it. If there is none, it is closed with 1013.
        """
        number = self._counters.opened = self._counters.opened + 1
        limits = self._services.limits
        transport.set_write_buffer_limits(limits.outbox, 0)
        usage = Usage(self._ledgers, opened.address)
        lines = ConnectionLog(number, self._shown(usage.address))
        connection = Connection(lines, transport, usage, self._services, self.spawn, self._closed, self._forget)
        self._http_connections.discard(opened)
        self.connections.add(connection)
        connection.admit(find_token(request.headers))
        if connection.is_member:
            self._ledgers.remove_stranger(opened)
        else:
            usage.begin(connection, opened)
        if self._is_over_limit() and not self._ledgers.make_way(connection):
            lines.is_one_too_many()
            connection.outbox.close(Close.CONNECTION_LIMIT, FULL_REASON)
        connection.start(rest)

    def _problems(self) -> list[str]:
        """Return why new clients should not come now. Strangers are no reason, because they give way to others."""
        is_full = len(self.connections) >= self._services.limits.connections
        own = {
            "stopping": self._is_stopping,
            "draining": self._hub.is_draining and not self._is_stopping,
            FULL_REASON: is_full,
        }
        outage = [self._outage] if self._outage is not None else []
        problems = [*(text for text, is_so in own.items() if is_so), *outage, *self._hub.problems()]
        return list(dict.fromkeys(problems))

    def _is_over_limit(self) -> bool:
        return len(self.connections) + len(self._http_connections) > self._services.limits.connections

    def _address(self, connection: HttpConnection, request: Request) -> Address | None:
        headers = request.headers.by_name
        forwarded_for, forwarded = headers.get("x-forwarded-for", ()), headers.get("forwarded", ())
        if not (forwarded_for or forwarded):
            if not self._has_warned and "origin" in headers:
                self._warn_of_proxy(connection.peer)
            return connection.address if not connection.has_arrived else self._proxies.peer(connection.peer)
        return self._proxies.client(connection.peer, forwarded_for, forwarded)

    def _warn_of_proxy(self, peer: str | None) -> None:
        self._has_warned = self._proxies.is_remote_proxy(peer)
        if self._has_warned:
            log.warning("a trusted proxy names no client")

    def _shown(self, address: Address | None) -> str | None:
        """Return what the log shows of an address, as `server.log_addresses` says."""
        shown = self._settings.log_addresses
        if address is None or shown == "none":
            return None
        return address.masked() if shown == "masked" else str(address)

    def tick(self) -> None:
        """Count a tick for every connection."""
        for http_connection in list(self._http_connections):
            http_connection.tick(int(HANDSHAKE_TIMEOUT / self._tick))
        ping_after = self._ticks(self._settings.ping_interval)
        join_within = self._ticks(self._services.limits.join_timeout)
        read_within = self._ticks(READ_TIMEOUT)
        for connection in list(self.connections):
            connection.tick(ping_after, join_within, read_within)
        if (now := self._services.clock.monotonic()) >= self._report_at:
            self._report_at = now + REPORT_INTERVAL
            for connection in self.connections:
                connection.report_refusals()
        self._bound_memory()
        self._releaser.tick(len(self.connections) + len(self._http_connections), self._gone)

    def _bound_memory(self) -> None:
        """Abort clients while more is unfinished or unread than all may have together: strangers first."""
        limit = self._services.limits.memory
        held: list[tuple[ClientSocket | HttpConnection, Held]] = [
            (one.socket, Held(size, one.is_member)) for one in self.connections if (size := one.socket.held())
        ]
        held += [(one.socket, Held(size, False)) for one in self._closing if (size := one.socket.held())]
        held += [(one, Held(size, False)) for one in self._http_connections if (size := one.held())]
        if gone := greediest(held, limit):
            self._counters.memory_aborts += len(gone)
            limited.warning("over the memory limit", {"aborted": len(gone)})
        for one in gone:
            one.abort()
        if self._memory_timer is not None:
            self._memory_timer.cancel()
            self._memory_timer = None
        if sum(size for _, (size, _) in held) > limit / 4:
            self._memory_timer = asyncio.get_running_loop().call_later(MEMORY_TICK, self._bound_memory)

    @staticmethod
    def _tick_for(config: Config) -> float:
        return max(
            SHORTEST_TICK, min(config.server.ping_interval, config.limits.join_timeout, HANDSHAKE_TIMEOUT) / TICKS
        )

    def _ticks(self, seconds: float) -> int:
        return math.ceil(seconds / self._tick)

    async def _keep_ticking(self) -> None:
        while True:
            due = time.monotonic() + self._tick
            await asyncio.sleep(self._tick)
            self._counters.lag.add(max(0.0, time.monotonic() - due))
            self.tick()

    def spawn(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """Start a task, and own it: it ends before `close` does."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _closed(self, connection: Connection) -> None:
        """Count a connection no more, unless it is lost already: it closes, and another can be served."""
        if connection in self.connections:
            self.connections.discard(connection)
            self._closing[connection] = None
            self._ledgers.remove_stranger(connection)

    def _forget(self, connection: Connection) -> None:
        self._gone += 1
        connection.usage.close(self._services.clock.monotonic())
        self.connections.discard(connection)
        self._closing.pop(connection, None)
        if self._is_stopping and not self.connections and not self._closing:
            self._all_closed.set()

    async def _end_everything(self) -> None:
        """Wait until clients have disconnected and requests have finished. Then abort the rest."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT + 1):
                if self.connections or self._closing:
                    await self._all_closed.wait()
                if self._tasks:
                    await asyncio.wait(self._tasks)
        for connection in (*self.connections, *self._closing):
            connection.socket.abort()
        for http_connection in list(self._http_connections):
            http_connection.close()
        tasks = [*self._tasks, *([self._ticking] if self._ticking is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._memory_timer is not None:
            self._memory_timer.cancel()
