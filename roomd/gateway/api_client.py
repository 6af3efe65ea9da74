"""The client of requests by HTTP: the handlers of the WebSocket serve it, and its one reply becomes the response."""

import asyncio
import math
from collections.abc import Callable, Iterable
from http import HTTPStatus

from roomd.gateway.client import Client, Spawn
from roomd.gateway.connection_log import ConnectionLog
from roomd.gateway.http.connection import HttpConnection
from roomd.gateway.http.responses import Answer, Stream
from roomd.gateway.outbox import Outbox
from roomd.gateway.services import Services
from roomd.limits.usage import Usage
from roomd.protocol.codec import encode
from roomd.protocol.events import Event
from roomd.protocol.replies import ErrorReply, OkReply, Reply
from roomd.protocol.requests import Request

NUMBER = 0
"""The number of every connection by HTTP in the log and in rooms. WebSockets are numbered from 1."""
_BAD_TOKENS = ("invalid_token", "token_expired")


class ApiClient(Client):
    """The client of the requests of one HTTP connection that have the same token and come from the same address.

    It has no seat, so it gets no events: `outbox` is one that is closed.
    """

    __slots__ = ("_connection", "_keys", "_policy", "_token", "cors", "is_answered", "must_close",
                 "on_close", "reading", "type")  # fmt: skip

    def __init__(
        self,
        connection: HttpConnection,
        outbox: Outbox,
        usage: Usage,
        services: Services,
        spawn: Spawn,
        token: str | None,
    ) -> None:
        super().__init__(ConnectionLog(NUMBER), outbox, usage, services, spawn)
        self._connection = connection
        self._token = token
        self._keys, self._policy = services.keys, services.policy
        self.type = ""
        """The type of the current request."""
        self.is_answered = True
        """Whether the current request is answered."""
        self.must_close = False
        """Whether the connection ends with the next response."""
        self.cors = ""
        """The header fields for a page of another origin that may read the next response."""
        self.reading: asyncio.Task[None] | None = None
        """The task that reads the event log for the current request; `close` cancels it."""
        self.on_close: Callable[[], None] | None = None
        """Called at the end, once the client has read the event log."""

    def is_of(self, token: str | None, connection: HttpConnection) -> bool:
        """Return whether a request with this token is one of this client, whose token need not be verified again.

        Keys or conditions that a reload has replaced, and a token that has expired, have it verified again.
        """
        services = self.services
        return (
            token == self._token
            and connection.address == self.usage.address
            and services.keys is self._keys
            and services.policy is self._policy
            and not self.session.is_expired(self.wall())
        )

    def begin(self, kind: str, cors: str) -> None:
        """Begin a request of a type."""
        self.type = kind
        self.cors = cors
        self.is_answered = False

    def send(self, frame: Reply | Event) -> None:
        """Respond with the reply to the current request."""
        if self.is_answered or isinstance(frame, Event):
            return
        status, headers = HTTPStatus.OK.value, self.cors
        if isinstance(frame, ErrorReply):
            status, headers = frame.status_code, headers + _error_headers(frame)
        self.respond(Answer(status, encode(frame), headers, must_close=self.must_close))

    def respond(self, content: Answer | Stream) -> None:
        """Respond to the current request, which is not answered yet."""
        self.is_answered = True
        self.services.counters.api[self.type, content.status] += 1
        self._connection.respond(content)

    def acknowledge(self, request: Request) -> None:
        """Send `ok`, which every request by HTTP needs that has no other reply."""
        self.send(OkReply(id=request.id))

    def close(self) -> None:
        """End the use of all accounts, and what is read for the client: no more requests follow."""
        if self.reading is not None:
            self.reading.cancel()
        if self.on_close is not None:
            self.on_close()
            self.on_close = None
        self.lines.report()
        self.usage.close(self.now())


def _error_headers(error: ErrorReply) -> str:
    """Return the header fields of an error (RFC 9110, section 10.2.3; RFC 6750, section 3)."""
    headers = ""
    if error.retry_after is not None:
        headers = f"Retry-After: {math.ceil(error.retry_after)}\r\n"
    if error.status_code == HTTPStatus.UNAUTHORIZED:
        why = ', error="invalid_token"' if error.code in _BAD_TOKENS else ""
        headers += f'WWW-Authenticate: Bearer realm="roomd"{why}\r\n'
    return headers


class _NoSocket:
    """The WebSocket of those who have none."""

    is_open = False
    is_full = False
    bytes_written = 0

    def write(self, data: bytes, /) -> None:
        """Do nothing."""

    def writelines(self, list_of_data: Iterable[bytes], /) -> None:
        """Do nothing."""

    def get_write_buffer_size(self) -> int:
        """Return 0."""
        return 0

    def hold_reading(self, seconds: float) -> None:
        """Do nothing."""

    def hold_until_drained(self) -> None:
        """Do nothing."""


def closed_outbox() -> Outbox:
    """Return an outbox that is closed."""
    socket = _NoSocket()
    outbox = Outbox(socket, 0, socket, lambda _code, _reason: None)
    outbox.end()
    return outbox
