"""What requests by WebSocket and by HTTP have in common: who is refused during a drain, and how a failure is told."""

import logging

from roomd.engine.ports import RETRY_AFTER, Rooms, StorageFailed
from roomd.protocol import requests
from roomd.protocol.errors import INTERNAL_ERROR, RESTARTING, UNAVAILABLE, Refused

log = logging.getLogger("roomd.gateway.connection")

RESTART_AFTER = 2.0
"""The `retryAfter`, in seconds, of requests that arrive while the server stops."""
NEWCOMERS = (requests.JoinRoom, requests.CreateRoom)
"""The requests that a daemon refuses which an operator wants empty. A seat from before is resumed."""


def check_draining(rooms: Rooms, request: requests.Request) -> None:
    """Check that a request is served while `rooms` are drained.

    Raises `Refused` (503 `restarting`).
    """
    if rooms.is_stopping or isinstance(request, NEWCOMERS):
        raise Refused(RESTARTING, retry_after=RESTART_AFTER)


def refusal(exc: Exception, connection: int) -> Refused:
    """Return the refusal of a request that raised `exc`. Log a fault of the daemon, with the connection's number."""
    match exc:
        case Refused():
            return exc
        case StorageFailed():
            return Refused(UNAVAILABLE, retry_after=RETRY_AFTER)
    log.error("request failed", {"connection": connection, "error": type(exc).__name__}, exc_info=exc)
    return Refused(INTERNAL_ERROR)
