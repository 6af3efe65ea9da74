"""The opening handshake of RFC 6455, section 4, answered by the library: origins, subprotocol, and the token in it."""

import logging
from collections.abc import Sequence
from http import HTTPStatus

from websockets.datastructures import Headers
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol
from websockets.typing import Origin, Subprotocol

log = logging.getLogger("roomd.handshake")

SUBPROTOCOL = Subprotocol("roomd.v1")


class Handshake:
    """Answer requests to upgrade.

    `origins` are those of pages that may connect; empty for any. Programs send none and may always.
    """

    def __init__(self, origins: Sequence[str]) -> None:
        self._origins = [*(Origin(origin) for origin in origins), None] if origins else None
        self._library = self._new_library()

    def answer(self, request: Request) -> Response:
        """Answer 101, or with the status that says what is wrong."""
        if request.headers.get_all("Transfer-Encoding") or set(request.headers.get_all("Content-Length")) - {"0"}:
            return self._library.reject(HTTPStatus.BAD_REQUEST, "A handshake has no body.\n")
        response = self._library.accept(request)
        if self._library.handshake_exc is not None:
            # To make one takes a third as long as to accept: the same one serves while nothing of it is spent.
            self._library = self._new_library()
        if response.status_code == HTTPStatus.FORBIDDEN:
            log.info("refused", {"code": "origin"})
        return response

    def reject(self, status: HTTPStatus, text: str) -> Response:
        """Refuse a handshake for a reason that is not in it."""
        return self._library.reject(status, text)

    def _new_library(self) -> ServerProtocol:
        return ServerProtocol(origins=self._origins, select_subprotocol=_select_subprotocol)


def _select_subprotocol(_: ServerProtocol, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """Echo roomd.v1 when it is offered; it is never required."""
    return SUBPROTOCOL if SUBPROTOCOL in offered else None


def find_token(headers: Headers) -> str | None:
    """Find the token of an upgrade request: in `Authorization`, or among the subprotocols; None for a guest.

    An `Authorization` that is no bearer token comes back as the empty token, which is never good.
    """
    authorization = headers.get_all("Authorization")
    if authorization:
        scheme, _, token = authorization[0].partition(" ")
        return token.strip() if scheme.lower() == "bearer" and len(authorization) == 1 else ""
    offered = (name.strip() for value in headers.get_all("Sec-WebSocket-Protocol") for name in value.split(","))
    return next((name.removeprefix("bearer.") for name in offered if name.startswith("bearer.")), None)
