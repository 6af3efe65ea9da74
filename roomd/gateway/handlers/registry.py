"""Which handler serves which request.

`@handles` registers a handler for its type of request. A handler replies before it returns, or before the future that
it returns is done. It is a coroutine only if it must await something before it can reply or submit a command. It raises
`Refused` for a request that it does not serve.
"""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from roomd.gateway.client import Client
from roomd.protocol.requests import Request

PAGE = 100
"""The number of items in a page when the request has no `limit`."""

Work = Awaitable[None] | None
"""What a handler returns: None when the request is answered, else an awaitable that is done when it is."""

R = TypeVar("R", bound=Request)
Handler = Callable[[Client, R], Work]

_HANDLERS: dict[type[Request], Handler[Any]] = {}


def handles(request: type[R]) -> Callable[[Handler[R]], Handler[R]]:
    """Register a handler for a type of request."""

    def register(handler: Handler[R]) -> Handler[R]:
        _HANDLERS[request] = handler
        return handler

    return register


def serve(client: Client, request: Request) -> Work:
    """Serve a request. Returns None when it is answered, else an awaitable that is done when it is.

    The function, and a returned coroutine, raise `Refused` for an error reply, `StorageFailed` for 503 `unavailable`,
    and `CloseConnection`. A returned future raises nothing.
    """
    return _HANDLERS[type(request)](client, request)
