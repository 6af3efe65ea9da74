"""The token of a user: a string, or a function that gets one for each connection."""

import asyncio
import binascii
import inspect
import json
from base64 import urlsafe_b64decode
from collections.abc import Awaitable, Callable

from roomd.client.connection import Unreachable

Token = str | Callable[[], str | None] | Callable[[], Awaitable[str | None]] | None
"""A token, or a function that returns one for each connection. None: join as a guest."""


class Tokens:
    """Gets tokens."""

    def __init__(self, token: Token, patience: float, url: str) -> None:
        """`patience` is the number of seconds that a function may take; `url` is for error messages."""
        self._token = token
        self._patience = patience
        self._url = url

    async def get(self) -> str | None:
        """Return a token. Raises what the function raises, and `Unreachable` when it takes too long."""
        if not callable(self._token):
            return self._token
        token = self._token()
        try:
            return await asyncio.wait_for(token, self._patience) if inspect.isawaitable(token) else token
        except TimeoutError:
            raise Unreachable(self._url, f"no token within {self._patience:g} seconds") from None

    async def get_later(self) -> str | None:
        """Return a token once the meeting has begun.

        A function that fails then counts as a server that cannot be reached: a token service is often unreachable for
        the same reason as the server.
        """
        try:
            return await self.get()
        except Unreachable:
            raise
        except Exception as exc:  # the edge to the program's own function
            raise Unreachable(self._url, f"there is no token ({exc!r})") from exc

    async def get_fresh(self, now: float) -> str | None:
        """Return a token that is worth sending where none is needed; None when there is none.

        `now` is in seconds since 1970.
        """
        try:
            token = await self.get_later()
        except Unreachable:
            return None
        return token if token is not None and not has_expired(token, now) else None


def has_expired(token: str, now: float) -> bool:
    """Tell whether a token says of itself that it has expired. A server may know better: its clock counts."""
    try:
        claims = token.split(".")[1]
        expires_at = json.loads(urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["exp"]
        return bool(expires_at <= now)
    except (ValueError, LookupError, TypeError, binascii.Error, RecursionError):
        return False  # not a JWT, as far as this client can see
