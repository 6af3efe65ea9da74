"""The opening handshake (RFC 6455, section 4), by the library: the origin, the subprotocol, and the client's token."""

import logging
from collections.abc import Sequence
from http import HTTPStatus
from typing import cast

from websockets.datastructures import Headers
from websockets.http11 import Request as LibraryRequest
from websockets.http11 import Response
from websockets.server import ServerProtocol
from websockets.typing import Origin, Subprotocol

from roomd.gateway.http.request import Fields, Request

limited = logging.getLogger("roomd.gateway.limited")

SUBPROTOCOL = Subprotocol("roomd.v1")
"""The name of the protocol, which a client may offer."""


class Handshake:
    """Answer requests to upgrade.

    `origins` are the origins of web pages that may connect; empty allows all. A request without an origin is allowed.
    """

    def __init__(self, origins: Sequence[str]) -> None:
        self._origins = [*(Origin(origin) for origin in origins), None] if origins else None
        self._library = self._new_library()

    def answer(self, request: Request) -> Response:
        """Return the response: 101, or the status of the error."""
        fields = request.headers.by_name
        if "transfer-encoding" in fields or fields.get("content-length", ["0"]) != ["0"]:
            return self._library.reject(HTTPStatus.BAD_REQUEST, "A handshake has no body.\n")
        response = self._library.accept(
            LibraryRequest(request.path, cast("Headers", request.headers), request.method, request.protocol)
        )
        if self._library.handshake_exc is not None:
            # Building one takes a third of the time of a handshake, so one is used until a handshake has failed.
            self._library = self._new_library()
        if response.status_code == HTTPStatus.FORBIDDEN:
            limited.info("refused", {"code": "origin"})
        return response

    def reject(self, status: HTTPStatus, text: str) -> Response:
        """Return a response that refuses a handshake, for a reason that is not in the request."""
        return self._library.reject(status, text)

    def _new_library(self) -> ServerProtocol:
        return ServerProtocol(origins=self._origins, select_subprotocol=_select_subprotocol)


def _select_subprotocol(_: ServerProtocol, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """Select `roomd.v1` when the client offers it. It is never required."""
    return SUBPROTOCOL if SUBPROTOCOL in offered else None


def find_token(headers: Fields) -> str | None:
    """Return the token in `Authorization` or in a subprotocol; None for a guest.

    For an `Authorization` that has no bearer token the result is an empty token, which is never valid.
    """
    if (token := bearer_token(headers)) is not None:
        return token
    offered = (name.strip() for value in headers.get_all("sec-websocket-protocol") for name in value.split(","))
    return next((name.removeprefix("bearer.") for name in offered if name.startswith("bearer.")), None)


def bearer_token(headers: Fields) -> str | None:
    """Return the token in `Authorization`; None without this field.

    For an `Authorization` that has no bearer token the result is an empty token, which is never valid.
    """
    authorization = headers.by_name.get("authorization")
    if not authorization:
        return None
    scheme, _, token = authorization[0].partition(" ")
    return token.strip() if scheme.lower() == "bearer" and len(authorization) == 1 else ""
