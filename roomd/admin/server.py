"""The admin interface: each operation is a request by HTTP, with a JSON object as its body and its reply.

    curl --unix-socket /run/roomd/admin.sock http://roomd/status

`GET` asks and `POST` changes something. An error is 400, or 404 for an operation that there is not, with the reply
`{"error": "what is wrong"}`. Only root and the user of the daemon are served (SO_PEERCRED of unix(7)).
"""

import asyncio
import inspect
import logging
import os
import socket
import struct
from collections.abc import Callable, Coroutine, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from websockets.http11 import Response

from roomd.gateway.http.connection import HttpConnection
from roomd.gateway.http.request import Request
from roomd.gateway.http.responses import Content, response
from roomd.protocol.admin import Failed
from roomd.system.unix_sockets import UnixListener, listen_on

log = logging.getLogger("roomd.admin.server")

BODY_LIMIT = 65_536
"""The bytes that the body of a request may have."""
CONNECTIONS = 64
"""The connections at the same time. For one more, the oldest is cut off."""
_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid

Operation = Callable[[bytes], Any]
"""Takes the body of the request. Returns the object for the reply, or an awaitable of it; a whole `Response` for a
reply that is not JSON. Raises `AdminError`."""
S = TypeVar("S", bound=msgspec.Struct)


class AdminError(Exception):
    """The operation is refused. The text says why and what to do."""


def takes(kind: type[S], serve: Callable[[S], Any]) -> Operation:
    """Return an operation that takes an object of a kind."""
    decoder = msgspec.json.Decoder(kind)
    return lambda body: serve(decoder.decode(body))


class OperationServer:
    """Serve operations, by "METHOD /path", to everybody who connects."""

    def __init__(self, operations: Mapping[str, Operation]) -> None:
        self._operations = operations
        self._connections: dict[HttpConnection, None] = {}
        self._tasks: set[asyncio.Task[Response]] = set()

    def protocol(self) -> HttpConnection:
        """Return the protocol of a new connection."""
        return HttpConnection(self)

    def end(self) -> None:
        """End every operation and every connection."""
        for task in list(self._tasks):
            task.cancel()
        for connection in list(self._connections):
            connection.abort()

    def opened(self, connection: HttpConnection) -> None:
        """Take a connection. When there are too many, cut the oldest off."""
        self._connections[connection] = None
        if len(self._connections) > CONNECTIONS:
            next(iter(self._connections)).abort()

    def ended(self, connection: HttpConnection) -> None:
        """Forget a connection."""
        self._connections.pop(connection, None)

    def body_limit(self, request: Request) -> int:
        """Return how many bytes the body may have."""
        has_body = request.headers.joined("content-length") not in ("", "0")
        return BODY_LIMIT if request.method == "POST" and has_body else 0

    def delay(self, connection: HttpConnection, request: Request | None) -> float:  # noqa: ARG002 - of the protocol
        """Return 0: an operator waits for nobody."""
        return 0.0

    def answer(
        self,
        connection: HttpConnection,  # noqa: ARG002 - of the protocol
        request: Request,
        body: bytes,
    ) -> Response | asyncio.Future[Content]:
        """Return the response, or a future of it. The operation goes on without its client."""
        operation = self._operations.get(f"{request.method} {request.path.partition('?')[0]}")
        if operation is None:
            known = ", ".join(self._operations)
            return _json(HTTPStatus.NOT_FOUND, Failed(error=f"there is no such operation; there are: {known}"))
        task = asyncio.get_running_loop().create_task(run_operation(operation, body))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return asyncio.shield(task)

    def spawn(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """Start a task that sends a stream; no operation has one."""
        return asyncio.get_running_loop().create_task(work)

    def upgrade(self, connection: HttpConnection, request: Request, transport: asyncio.Transport, rest: bytes) -> None:
        """Do nothing: no response is a 101."""


class AdminServer(OperationServer):
    """Serve operations to root and the daemon's own user."""

    def __init__(self, operations: Mapping[str, Operation]) -> None:
        super().__init__(operations)
        self._server: asyncio.Server | None = None
        self._listener: UnixListener | None = None

    async def open(self, path: Path) -> None:
        """Start to listen.

        Raises `OSError`.
        """
        self._listener = listen_on(path, 0o600, CONNECTIONS)
        self._server = await asyncio.get_running_loop().create_unix_server(self.protocol, sock=self._listener.socket)

    async def close(self) -> None:
        """Stop listening, and end every connection. Closing twice is fine."""
        if self._server is None or self._listener is None:
            return
        self._listener.remove()
        server, self._server = self._server, None
        server.close()
        self.end()
        await server.wait_closed()

    def opened(self, connection: HttpConnection) -> None:
        """Take a connection of root or the daemon's own user. Abort every other one."""
        peer = connection.transport.get_extra_info("socket")
        credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        uid = _CREDENTIALS.unpack(credentials)[1]
        if uid in (0, os.geteuid()):
            super().opened(connection)
        else:
            log.warning("admin refused", {"uid": uid})
            connection.abort()


async def run_operation(operation: Operation, body: bytes) -> Response:
    """Run an operation, and return its response, also where it is refused or fails."""
    try:
        result = operation(body)
        if inspect.isawaitable(result):
            result = await result
    except (AdminError, msgspec.DecodeError) as wrong:
        return _json(HTTPStatus.BAD_REQUEST, Failed(error=str(wrong)))
    except Exception as exc:
        log.exception("admin operation failed", {"error": type(exc).__name__})
        return _json(HTTPStatus.INTERNAL_SERVER_ERROR, Failed(error="the operation failed; the daemon's log says why"))
    return result if isinstance(result, Response) else _json(HTTPStatus.OK, result)


def _json(status: HTTPStatus, content: Any) -> Response:
    return response(status, "application/json", msgspec.json.encode(content))
