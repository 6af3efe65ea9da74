"""The door: one port for WebSockets and a few plain HTTP answers, the connection limit, and an orderly end."""

import asyncio
import contextlib
import itertools
import logging
import random
import re
from http import HTTPStatus
from typing import Any, cast

import msgspec
import websockets.asyncio.server as ws
from websockets.datastructures import Headers
from websockets.http11 import Request, Response
from websockets.typing import Origin, Subprotocol

from roomd import __version__
from roomd.config import Config, ConfigError
from roomd.connection import CLOSE_TIMEOUT, Connection, Services
from roomd.errors import Close
from roomd.frames import ServerRestarting
from roomd.outbox import Outbox

log = logging.getLogger("roomd.server")

_METHOD = re.compile(rb"[A-Z]+ ")
SUBPROTOCOL = Subprotocol("roomd.v1")
LONGEST_METHOD = 16
"""Bytes; what goes on without a space is no HTTP."""
DRAIN_TIMEOUT = 2.0
"""Seconds that turns under way get to finish when the server stops."""
RESTART_JITTER = (1.0, 5.0)
"""Seconds, between which clients are told to come back after a restart, so that they do not come at once."""

WELCOME = """roomd {version}: rooms people can join.

This is a WebSocket server. Connect to {path} with any WebSocket client and send JSON, for example

    {example}

README.md and docs/protocol.md of roomd say the rest. GET /healthz tells whether it is well.
"""
EXAMPLE = '{"type": "join-room", "id": 1, "code": "abc-def-ghi", "guestName": "Jane Smith"}'


class Server:
    """Listens, and makes a `Connection` of every WebSocket."""

    def __init__(self, config: Config, services: Services) -> None:
        self._config = config
        self._services = services
        self._numbers = itertools.count(1)
        self._connections: set[Connection] = set()
        self._server: ws.Server | None = None
        self._restarting = False
        self.port = config.server.port
        """The port that is listened on, once it is: the system's choice if the configuration says 0."""

    async def open(self) -> None:
        """Start to listen.

        Raises `ConfigError` when the address cannot be had.
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
            server_header=None,
            open_timeout=CLOSE_TIMEOUT,
            ping_interval=settings.ping_interval,
            ping_timeout=settings.ping_interval,
            close_timeout=CLOSE_TIMEOUT,
            max_size=limits.frame,
            # The outbox bounds what waits, not the library's flow control; that only marks who is past all bounds.
            write_limit=2 * limits.outbox,
            create_connection=_Door,
        )
        try:
            self._server = await serving
        except OSError as exc:
            raise ConfigError(
                f"server: cannot listen on {settings.host}:{settings.port}: {exc.strerror or exc}; "
                "choose another address with --host and --port"
            ) from None
        self.port = next(iter(self._server.sockets)).getsockname()[1]

    async def close(self) -> None:
        """Stop accepting, finish what was begun, send every client away to come back. Closing twice is fine."""
        if self._server is None or self._restarting:
            return
        self._restarting = True
        log.info("restarting", {"connections": len(self._connections)})
        self._server.close(close_connections=False)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_TIMEOUT):
                await self._services.hub.drain()
        for connection in list(self._connections):
            connection.tell(ServerRestarting(retry_after=round(random.uniform(*RESTART_JITTER), 1)))  # noqa: S311 - jitter
            connection.outbox.close(Close.RESTARTING, "the server restarts")
        with contextlib.suppress(TimeoutError):  # a handshake that never ends must not hold up the end
            async with asyncio.timeout(CLOSE_TIMEOUT + 1):
                await self._server.wait_closed()
        await self._services.hub.drain()

    async def _converse(self, websocket: ws.ServerConnection) -> None:
        number = next(self._numbers)
        if len(self._connections) >= self._config.limits.connections:
            log.warning("at the connection limit", {"connection": number})
            await websocket.close(Close.CONNECTION_LIMIT, "at the connection limit")
            return
        request = websocket.request
        connection = Connection(number, websocket, self._services, _token(request.headers) if request else None)
        self._connections.add(connection)
        cast("_Door", websocket).outbox = connection.outbox
        log.info("connected", {"connection": number})
        try:
            await connection.serve()
        finally:
            self._connections.discard(connection)
            log.debug("disconnected", {"connection": number, "close": websocket.close_code})

    def _answer_http(self, _: ws.ServerConnection, request: Request) -> Response | None:
        """Answer what is no WebSocket handshake; None goes on with the handshake."""
        path = request.path.partition("?")[0]
        if path == self._config.server.path:
            if "websocket" in request.headers.get("Upgrade", "").lower():
                return None
            response = _text(HTTPStatus.UPGRADE_REQUIRED, "This is a WebSocket; connect with a WebSocket client.\n")
            response.headers["Upgrade"] = "websocket"
            response.headers["Connection"] = "Upgrade"
        elif path == "/healthz":
            response = self._health()
        elif path == "/":
            response = _text(HTTPStatus.OK, self._welcome())
        else:
            response = _text(HTTPStatus.NOT_FOUND, "There is nothing here. See GET / for what is.\n")
        if request.method == "HEAD":
            response.body = b""
        return response

    def _welcome(self) -> str:
        return WELCOME.format(version=__version__, path=self._config.server.path, example=EXAMPLE)

    def _health(self) -> Response:
        status = HTTPStatus.SERVICE_UNAVAILABLE if self._restarting else HTTPStatus.OK
        body = {"status": "restarting" if self._restarting else "ok", "version": __version__}
        return _response(status, "application/json", msgspec.json.encode(body))


class _Door(ws.ServerConnection):
    """A connection that also does what the library leaves open.

    It answers the HTTP methods that no handshake uses (RFC 9110, section 15.5.6), since the library reads only requests
    without a body. And it holds the pongs, which the library writes by itself, to the outbox's bound.
    """

    outbox: Outbox | None = None

    _head: bytes | None = b""  # of the request, until its method is known

    def data_received(self, data: bytes) -> None:
        """Look at a request's method before the library does."""
        if self._head is not None:
            data = self._head = self._head + data
            if not (b" " in data or b"\n" in data or len(data) > LONGEST_METHOD):
                return
            self._head = None
            if not data.startswith((b"GET ", b"HEAD ")) and _METHOD.match(data):
                self._refused = True
                response = _text(HTTPStatus.METHOD_NOT_ALLOWED, "Only GET and HEAD are served.\n")
                response.headers["Allow"] = "GET, HEAD"
                self.transport.write(response.serialize())
                self.transport.write_eof()
        if not self._refused:  # else a body may follow, and is read to no end, so that the answer is not lost
            super().data_received(data)
            if self.outbox is not None:
                self.outbox.check()

    _refused = False

    def pause_writing(self) -> None:
        """Cut off who was told to go and still asks for more without reading."""
        super().pause_writing()
        self.loop.call_soon(self.transport.abort)


def _select_subprotocol(_: ws.ServerConnection, offered: Any) -> Subprotocol | None:
    """Echo roomd.v1 when it is offered; it is never required."""
    return SUBPROTOCOL if SUBPROTOCOL in offered else None


def _token(headers: Headers) -> str | None:
    """Find the token of an upgrade request: in `Authorization`, or among the subprotocols; None for a guest.

    An `Authorization` that is no bearer token comes back as the empty token, which is never good.
    """
    authorization = headers.get_all("Authorization")
    if authorization:
        scheme, _, token = authorization[0].partition(" ")
        return token.strip() if scheme.lower() == "bearer" and len(authorization) == 1 else ""
    offered = (name.strip() for value in headers.get_all("Sec-WebSocket-Protocol") for name in value.split(","))
    return next((name.removeprefix("bearer.") for name in offered if name.startswith("bearer.")), None)


def _text(status: HTTPStatus, text: str) -> Response:
    return _response(status, "text/plain; charset=utf-8", text.encode())


def _response(status: HTTPStatus, content_type: str, body: bytes) -> Response:
    headers = Headers(
        {
            "Content-Type": content_type,
            "Content-Length": str(len(body)),
            "Cache-Control": "no-store",
            "Connection": "close",
        }
    )
    return Response(status.value, status.phrase, headers, body)
