"""The server API: `POST /api/v1/<type>` serves a request that needs no WebSocket (docs/protocol.md, section 11).

The body is the frame without `type` and `id`, the response the reply frame. The handlers are those of the WebSocket.
`GET /api/v1/events` reads the event log (section 10; see `event_readers.py`). Only a client whose token was verified
keeps its connection: every other response ends it.
"""

import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from http import HTTPStatus

from websockets.datastructures import Headers
from websockets.http11 import Response

from roomd.gateway.api_client import ApiClient, closed_outbox
from roomd.gateway.client import Spawn
from roomd.gateway.event_readers import EventReaders
from roomd.gateway.handlers import serve
from roomd.gateway.handshake import bearer_token
from roomd.gateway.http.connection import HttpConnection
from roomd.gateway.http.request import Fields, Request
from roomd.gateway.http.responses import JSON, Content, method_not_allowed, response, text_response
from roomd.gateway.services import Services
from roomd.gateway.serving import check_draining, refusal
from roomd.limits.ledgers import Ledgers
from roomd.limits.usage import Usage
from roomd.protocol.codec import BadFrame, decode_body, encode, error_reply
from roomd.protocol.errors import BAD_FRAME, NOT_IN_ROOM, UNAUTHENTICATED, UNKNOWN_TYPE, Refused, rate_limited
from roomd.protocol.openapi import EVENTS, PREFIX
from roomd.protocol.requests import BY_HTTP, REQUESTS, tag_of
from roomd.protocol.requests import Request as Asked

log = logging.getLogger("roomd.gateway.api")

NAME_THE_ROOM = f"{BAD_FRAME.message}: name the room with `code`"
"""The error of a request that would be about the room of the client's seat, if it had one."""
_KINDS = {PREFIX + tag_of(kind): kind for kind in BY_HTTP}
_ON_SOCKETS = {PREFIX + tag_of(kind) for kind in REQUESTS} - _KINDS.keys()
_READ = ("GET", "HEAD")
_EVENTS = EVENTS.removeprefix(PREFIX)

Serve = Callable[[ApiClient], None]
"""Serves the request of a client that may send one now."""


class Api:
    """Serve requests by HTTP. `spawn` starts a task and owns it; `path` is that of the WebSocket."""

    def __init__(
        self,
        services: Services,
        ledgers: Ledgers,
        spawn: Spawn,
        path: str,
        origins: Sequence[str],
    ) -> None:
        self._services = services
        self._ledgers = ledgers
        self._spawn = spawn
        self._path = path
        self._outbox = closed_outbox()
        self._readers = EventReaders(services.feed, ledgers)
        self.allow(origins)

    def allow(self, origins: Sequence[str]) -> None:
        """Let web pages of these origins read responses. Without any, no page of another origin can."""
        self._origins = frozenset(origins)

    def body_limit(self, request: Request) -> int:
        """Return how many bytes the body may have: as many as a frame; 0 where a body is of no use."""
        is_served = request.method == "POST" and _path(request) in _KINDS
        return self._services.limits.frame if is_served else 0

    def answer(self, connection: HttpConnection, request: Request, body: bytes) -> Content | None:
        """Answer a request whose path begins with `PREFIX`. None: the connection gets the response later."""
        headers, path = request.headers, _path(request)
        kind = _KINDS.get(path)
        serve: Serve  # what serves the request of this type
        if kind is not None and request.method == "POST":
            if (refused := _refuse_head(request, headers) or _refuse_body(headers, body)) is not None:
                return refused
            self._services.counters.requests[kind] += 1
            type_, serve = tag_of(kind), partial(self._serve, kind, body)
        elif path == EVENTS and request.method in _READ:
            if (refused := _refuse_head(request, headers)) is not None:
                return refused
            type_, serve = _EVENTS, partial(self._read, connection, request)
        else:
            return self._refuse(request, path)
        size, connection.received = connection.received, 0
        token, client = bearer_token(headers), connection.owner
        is_known = isinstance(client, ApiClient) and client.is_of(token, connection)
        if not isinstance(client, ApiClient) or not is_known:
            self.ended(connection)
            usage = Usage(self._ledgers, connection.address)
            client = ApiClient(connection, self._outbox, usage, self._services, self._spawn, token)
        client.begin(type_, self._cors(headers))
        client.usage.count(size)
        if is_known:
            self._admit(connection, client, serve)
        else:
            self._spawn(self._verify(connection, client, token, serve))
        return None

    def ended(self, connection: HttpConnection) -> None:
        """End what is kept with a connection. Ending it twice is fine."""
        client, connection.owner = connection.owner, None
        if isinstance(client, ApiClient):
            client.close()

    async def _verify(self, connection: HttpConnection, client: ApiClient, token: str | None, serve: Serve) -> None:
        """Verify the token and go on, or refuse the request and end the connection. Its request is charged anyway."""
        try:
            if token is None:
                raise Refused(UNAUTHENTICATED)
            client.authenticate(await client.identify(token))
        except Exception as exc:  # noqa: BLE001 - `refusal` selects by type
            client.must_close = True
            verdict = client.usage.request(client.now())
            refused = rate_limited(verdict.retry_after) if verdict.retry_after else refusal(exc, client.number)
            client.refuse(refused, None)
            client.close()
        else:
            if connection.transport.is_closing():
                client.close()
            else:
                connection.owner = client
                self._admit(connection, client, serve)

    def _admit(self, connection: HttpConnection, client: ApiClient, serve: Serve) -> None:
        """Charge a request, and serve it now or later, or refuse it."""
        verdict = client.usage.request(client.now())
        if verdict.retry_after:
            client.must_close = verdict.must_close
            client.refuse(rate_limited(verdict.retry_after), None)
        elif verdict.hold:
            connection.hold(verdict.hold, partial(serve, client))
        else:
            serve(client)

    def _read(self, connection: HttpConnection, request: Request, client: ApiClient) -> None:
        """Read the event log, in a task that ends with the connection."""
        client.reading = self._spawn(self._finish(client, self._readers.serve(connection, client, request)))

    def _serve(self, kind: type[Asked], body: bytes, client: ApiClient) -> None:
        rooms = self._services.rooms
        try:
            request = decode_body(kind, body or b"{}")
            if rooms.is_draining:
                check_draining(rooms, request)
            work = serve(client, request)
        except Exception as exc:  # noqa: BLE001 - `_fail` selects by type
            if isinstance(exc, BadFrame):
                client.usage.malformed(len(body), client.now())
            self._fail(client, exc)
        else:
            if isinstance(work, Coroutine):
                self._spawn(self._finish(client, work))

    async def _finish(self, client: ApiClient, work: Awaitable[None]) -> None:
        try:
            await work
        except Exception as exc:  # noqa: BLE001 - `_fail` selects by type
            self._fail(client, exc)

    def _fail(self, client: ApiClient, exc: Exception) -> None:
        """Refuse the request that raised `exc`."""
        refused = refusal(exc, client.number)
        if refused.kind is NOT_IN_ROOM:
            refused = Refused(BAD_FRAME, NAME_THE_ROOM)
        client.refuse(refused, None)

    def _cors(self, headers: Fields) -> str:
        """Return the header fields for a page that may read the response; none for others."""
        if not self._origins or (origin := headers.joined("origin")) not in self._origins:
            return ""
        return (
            f"Access-Control-Allow-Origin: {origin}\r\nAccess-Control-Expose-Headers: Retry-After\r\nVary: Origin\r\n"
        )

    def _refuse(self, request: Request, path: str) -> Response:
        """Build the response to a request with another method, or for a type that is not served."""
        if path in _KINDS or path == EVENTS:
            methods = _READ if path == EVENTS else ("POST",)
            if request.method == "OPTIONS" and (cors := self._cors(request.headers)):
                return _preflight(cors, methods)
            return method_not_allowed(*methods)
        if path in _ON_SOCKETS:
            text = f"{UNKNOWN_TYPE.message} by HTTP: it needs a WebSocket, at {self._path}"
        else:
            text = f"{UNKNOWN_TYPE.message}: see GET /openapi.json for those there are"
        body = encode(error_reply(Refused(UNKNOWN_TYPE, text), None))
        return response(HTTPStatus.BAD_REQUEST, JSON, body)


def _path(request: Request) -> str:
    return request.path.partition("?")[0]


def _refuse_head(request: Request, headers: Fields) -> Response | None:
    """Build the response to a request with a header that is not valid; None for others."""
    hosts = len(headers.get_all("host"))
    if hosts > 1 or (not hosts and request.protocol == "HTTP/1.1"):  # RFC 9112, section 3.2
        return text_response(HTTPStatus.BAD_REQUEST, "Send one header field Host.\n")
    expected = headers.get_all("expect")
    if expected and [text.lower() for text in expected] != ["100-continue"]:
        return text_response(HTTPStatus.EXPECTATION_FAILED, "Of Expect only 100-continue is served.\n")
    return None


def _refuse_body(headers: Fields, body: bytes) -> Response | None:
    """Build the response to a request with a body that is no JSON; None for others."""
    kinds = headers.get_all("content-type")
    if not kinds and not body:
        return None
    if len(kinds) == 1 and kinds[0].partition(";")[0].strip().lower() == JSON:
        return None
    return text_response(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Send JSON, with the header Content-Type: application/json.\n"
    )


def _preflight(cors: str, methods: Sequence[str]) -> Response:
    """Build the response that lets a page of another origin send its request (Fetch, section 3.3)."""
    fields = dict(line.split(": ", 1) for line in cors.splitlines())
    allowed = {
        "Access-Control-Allow-Methods": ", ".join(methods),
        "Access-Control-Allow-Headers": "Authorization, Content-Type, Last-Event-ID",
        "Access-Control-Max-Age": "7200",
        "Connection": "close",
    }
    return Response(HTTPStatus.NO_CONTENT.value, HTTPStatus.NO_CONTENT.phrase, Headers({**fields, **allowed}))
