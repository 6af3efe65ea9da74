"""The door: one port for WebSockets and a few plain HTTP answers, the connection limit, and an orderly end."""

import asyncio
import contextlib
import itertools
import logging
import os
import random
from http import HTTPStatus
from typing import Any, cast

import msgspec
import websockets.asyncio.server as ws
from websockets.datastructures import Headers
from websockets.http11 import Request, Response
from websockets.typing import Origin, Subprotocol

from roomd import __version__
from roomd.config import Config
from roomd.engine.hub import Hub
from roomd.gateway.client import Services
from roomd.gateway.connection import CLOSE_TIMEOUT, Connection
from roomd.gateway.static import Site
from roomd.gateway.websocket import Door, response, text_response
from roomd.protocol.errors import Close
from roomd.protocol.events import ServerRestarting

log = logging.getLogger("roomd.gateway.listener")

SUBPROTOCOL = Subprotocol("roomd.v1")
PARTICIPANT_SIZE = 1024
"""Bytes of JSON, about the most: a `room-state` has one for every seat."""
DRAIN_TIMEOUT = 2.0
"""Seconds that turns under way get to finish when the server stops."""
RESTART_JITTER = (1.0, 5.0)
"""Seconds, between which clients are told to come back after a restart, so that they do not come at once."""

WELCOME = """roomd {version}: rooms people can join.

{page}This is a WebSocket server. Connect to {path} with any WebSocket client and send JSON, for example

    {example}

README.md and docs/protocol.md of roomd say the rest; GET /asyncapi.json is the same for programs. GET /healthz tells
whether it is well.
"""
PAGE = "A browser that opens this address gets a page to meet on.\n\n"
EXAMPLE = '{"type": "join-room", "id": 1, "code": "abc-def-ghi", "guestName": "Jane Smith"}'


class AddressUnavailable(Exception):  # noqa: N818 - a state of the machine, not a mistake
    """The address cannot be listened on now; the text says what to do."""


class Server:
    """Listens, and makes a `Connection` of every WebSocket."""

    def __init__(self, config: Config, services: Services, hub: Hub) -> None:
        self._hub = hub
        self._config = config
        self._services = services
        self._numbers = itertools.count(1)
        self._connections: dict[Connection, Door] = {}
        self._pinging: asyncio.Task[None] | None = None
        self._site = Site(config.server)
        self._server: ws.Server | None = None
        self._restarting = False
        self.port = config.server.port
        """The port that is listened on, once it is: the system's choice if the configuration says 0."""

    async def open(self) -> None:
        """Start to listen.

        Raises `AddressUnavailable`.
        """
        settings, limits = self._config.server, self._config.limits
        origins: list[Any] | None = [Origin(origin) for origin in settings.allowed_origins] or None
        serving = ws.serve(
            self._converse,
            settings.host,
            settings.port,
            origins=[*origins, None] if origins else None,  # programs send no Origin; only pages are held to it
            select_subprotocol=_select_subprotocol,
            compression=None,  # an event is the same bytes for everyone
            process_request=self._answer_http,
            process_response=self._log_refusal,
            server_header=None,
            open_timeout=CLOSE_TIMEOUT,
            ping_interval=None,  # one task asks all of them: see _ping_silent
            close_timeout=CLOSE_TIMEOUT,
            max_size=limits.frame,
            # The outbox bounds what waits, not the library's flow control; that only marks who is past all bounds.
            write_limit=2 * limits.outbox + limits.max_participants * PARTICIPANT_SIZE,
            create_connection=Door,
        )
        try:
            self._server = await serving
        except OSError as exc:
            raise AddressUnavailable(
                f"server: cannot listen on {settings.host}:{settings.port}: {os.strerror(exc.errno or 0)}; "
                "choose another address with --host and --port"
            ) from None
        self.port = next(iter(self._server.sockets)).getsockname()[1]
        self._pinging = asyncio.create_task(self._ping_silent(settings.ping_interval))

    async def _ping_silent(self, interval: float) -> None:
        """Ask clients that are silent whether they are there; a task for each of them would double its memory."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(interval / 4)
            for door in list(self._connections.values()):
                door.ping_or_drop(loop.time(), interval)

    async def close(self) -> None:
        """Stop accepting, finish what was begun, send every client away to come back. Closing twice is fine."""
        if self._server is None or self._restarting:
            return
        self._restarting = True
        log.info("restarting", {"connections": len(self._connections), **self._hub.statistics()})
        self._server.close(close_connections=False)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_TIMEOUT):
                await self._hub.drain()
        for connection in list(self._connections):
            connection.tell(ServerRestarting(retry_after=round(random.uniform(*RESTART_JITTER), 1)))  # noqa: S311 - jitter
            connection.outbox.close(Close.RESTARTING, "the server restarts")
        with contextlib.suppress(TimeoutError):  # a handshake that never ends must not hold up the end
            async with asyncio.timeout(CLOSE_TIMEOUT + 1):
                await self._server.wait_closed()
        if self._pinging is not None:
            self._pinging.cancel()
            await asyncio.gather(self._pinging, return_exceptions=True)
        await self._hub.drain()

    async def _converse(self, websocket: ws.ServerConnection) -> None:
        number = next(self._numbers)
        if len(self._connections) >= self._config.limits.connections:
            log.warning("at the connection limit", {"connection": number})
            await websocket.close(Close.CONNECTION_LIMIT, "at the connection limit")
            return
        door = cast("Door", websocket)
        connection = Connection(number, door, self._services, _token(websocket.request))
        self._connections[connection] = door
        door.client = connection
        door.slim()
        log.info("connected", {"connection": number})
        try:
            await connection.serve()
        finally:
            del self._connections[connection]
            log.debug("disconnected", {"connection": number, "close": websocket.close_code})

    def _answer_http(self, _: ws.ServerConnection, request: Request) -> Response | None:
        """Answer what is no WebSocket handshake; None goes on with the handshake."""
        path = request.path.partition("?")[0]
        if path == self._config.server.path:
            if "websocket" in ",".join(request.headers.get_all("Upgrade")).lower():
                return None
            answer = text_response(HTTPStatus.UPGRADE_REQUIRED, "Connect to this with a WebSocket client.\n")
            answer.headers["Upgrade"] = "websocket"
            answer.headers["Connection"] = "Upgrade"
        elif path == "/healthz":
            answer = self._health()
        elif served := self._site.answer(path, request.headers):
            answer = served
        elif path == "/":
            answer = text_response(HTTPStatus.OK, self._welcome())
        else:
            answer = text_response(HTTPStatus.NOT_FOUND, "There is nothing here. See GET / for what is.\n")
        if request.method == "HEAD":
            answer.body = b""
        return answer

    def _log_refusal(self, _: ws.ServerConnection, __: Request, answer: Response) -> None:
        """Log the page whose origin the library refused."""
        if answer.status_code == HTTPStatus.FORBIDDEN:
            log.info("refused", {"code": "origin"})

    def _welcome(self) -> str:
        settings = self._config.server
        page = PAGE if settings.demo else ""
        return WELCOME.format(version=__version__, page=page, path=settings.path, example=EXAMPLE)

    def _health(self) -> Response:
        status = HTTPStatus.SERVICE_UNAVAILABLE if self._restarting else HTTPStatus.OK
        body = {"status": "restarting" if self._restarting else "ok", "version": __version__}
        return response(status, "application/json", msgspec.json.encode(body))


def _select_subprotocol(_: ws.ServerConnection, offered: Any) -> Subprotocol | None:
    """Echo roomd.v1 when it is offered; it is never required."""
    return SUBPROTOCOL if SUBPROTOCOL in offered else None


def _token(request: Request | None) -> str | None:
    """Find the token of an upgrade request: in `Authorization`, or among the subprotocols; None for a guest.

    An `Authorization` that is no bearer token comes back as the empty token, which is never good.
    """
    headers = request.headers if request is not None else Headers()
    authorization = headers.get_all("Authorization")
    if authorization:
        scheme, _, token = authorization[0].partition(" ")
        return token.strip() if scheme.lower() == "bearer" and len(authorization) == 1 else ""
    offered = (name.strip() for value in headers.get_all("Sec-WebSocket-Protocol") for name in value.split(","))
    return next((name.removeprefix("bearer.") for name in offered if name.startswith("bearer.")), None)
