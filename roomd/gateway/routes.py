"""The paths that are served over HTTP: the WebSocket, the health check, the welcome text, and the static files."""

from collections.abc import Callable, Sequence
from http import HTTPStatus

import msgspec
from websockets.http11 import Response

from roomd import __version__
from roomd.config import ServerConfig
from roomd.gateway.handshake import Handshake
from roomd.gateway.http.request import Request
from roomd.gateway.http.responses import method_not_allowed, response, text_response
from roomd.gateway.static import StaticFiles

WELCOME = """roomd {version}: rooms people can join.

{page}This is a WebSocket server. Connect to {path} with any WebSocket client and send JSON, for example

    {example}

A backend can POST the same to /api/v1/<type>, with a token: GET /openapi.json lists the types.
README.md and docs/protocol.md of roomd say the rest; GET /asyncapi.json is the same for programs. GET /healthz tells
whether it is well, GET /readyz whether new clients should come.
"""
HEALTH, READY = "/healthz", "/readyz"
"""The paths of the health checks: whether the daemon is alive, and whether new clients should come to it."""
PAGE = "A browser that opens this address gets a page to meet on.\n\n"
EXAMPLE = '{"type": "join-room", "id": 1, "code": "abc-def-ghi", "guestName": "Jane Smith"}'


class Routes:
    """Answer every request by its path.

    `is_stopping` returns whether the server stops. Then the health check fails, and no new client is accepted.
    `problems` returns why new clients should not come now; nothing when they should. Whether it `is_balanced` is up to
    `StaticFiles`.
    """

    def __init__(
        self,
        config: ServerConfig,
        is_stopping: Callable[[], bool],
        problems: Callable[[], Sequence[str]],
        *,
        is_balanced: bool = False,
    ) -> None:
        self._config = config
        self._is_stopping = is_stopping
        self._problems = problems
        self._site = StaticFiles(config, is_balanced=is_balanced)
        self.allow(config.allowed_origins)

    def allow(self, origins: Sequence[str]) -> None:
        """Accept WebSockets from web pages of these origins only; of all, if there are none."""
        self._handshake = Handshake(origins)

    def is_health_check(self, request: Request) -> bool:
        """Return whether a request is for one of the health checks."""
        return request.path.partition("?")[0] in (HEALTH, READY)

    def answer(self, request: Request) -> Response:
        """Return the response to a request; 101 for a successful handshake."""
        path = request.path.partition("?")[0]
        if request.method not in ("GET", "HEAD"):
            return method_not_allowed()
        if path == self._config.path:
            return self._connect(request)
        if path == HEALTH:
            return self._health()
        if path == READY:
            return self._ready()
        if served := self._site.answer(path, request.headers):
            return served
        if path == "/":
            return text_response(HTTPStatus.OK, self._welcome())
        return text_response(HTTPStatus.NOT_FOUND, "There is nothing here. See GET / for what is.\n")

    def _connect(self, request: Request) -> Response:
        if "websocket" not in request.headers.joined("upgrade").lower():
            answer = text_response(HTTPStatus.UPGRADE_REQUIRED, "Connect to this with a WebSocket client.\n")
            answer.headers["Upgrade"] = "websocket"
            answer.headers["Connection"] = "Upgrade"
            return answer
        answer = self._handshake.answer(request)
        if self._is_stopping() and answer.status_code == HTTPStatus.SWITCHING_PROTOCOLS:
            return self._handshake.reject(HTTPStatus.SERVICE_UNAVAILABLE, "Server is shutting down.\n")
        return answer

    def _welcome(self) -> str:
        page = PAGE if self._config.demo else ""
        return WELCOME.format(version=__version__, page=page, path=self._config.path, example=EXAMPLE)

    def _health(self) -> Response:
        stopping = self._is_stopping()
        status = HTTPStatus.SERVICE_UNAVAILABLE if stopping else HTTPStatus.OK
        body = {"status": "restarting" if stopping else "ok", "version": __version__}
        return response(status, "application/json", msgspec.json.encode(body))

    def _ready(self) -> Response:
        problems = self._problems()
        status = HTTPStatus.SERVICE_UNAVAILABLE if problems else HTTPStatus.OK
        body = {"status": "unavailable", "reasons": problems} if problems else {"status": "ready"}
        return response(status, "application/json", msgspec.json.encode({**body, "version": __version__}))
