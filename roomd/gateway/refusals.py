"""How a client is refused or closed for the limits and for its token, and what the log has of it.

Anybody can cause refusals at any rate. So one refused request is a line of the level debug, and the log has one line
with the numbers for each connection: at its end, and each minute before.
"""

import logging

from roomd.protocol.errors import UNAVAILABLE, Close, Refused

limited = logging.getLogger("roomd.gateway.limited")


class CloseConnection(Exception):  # noqa: N818 - a result, not an error
    """The connection must be closed with a close code and a reason."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason


def close_for(refused: Refused) -> CloseConnection:
    """Return how a connection is closed whose token was refused."""
    if refused.kind is UNAVAILABLE:  # the issuer's keys are not available now
        return CloseConnection(Close.CONNECTION_LIMIT, refused.kind.code)
    return CloseConnection(Close.BAD_TOKEN, refused.kind.code)


class Refusals:
    """The refused requests of one connection that are not reported yet. `number` is that of the connection."""

    __slots__ = ("_codes", "_number")

    def __init__(self, number: int) -> None:
        self._number = number
        self._codes: dict[str, int] | None = None  # how many there were, by error code

    def count(self, code: str) -> None:
        """Count a refused request by the code of its error."""
        limited.debug("refused", {"connection": self._number, "code": code})
        if self._codes is None:
            self._codes = {}
        self._codes[code] = self._codes.get(code, 0) + 1

    def token(self, refused: Refused) -> None:
        """Log why a token is refused, but only the first time for each code. `count` counts its request."""
        is_first = self._codes is None or refused.kind.code not in self._codes
        fields = {"connection": self._number, "code": refused.kind.code, "reason": refused.reason}
        limited.log(logging.INFO if is_first else logging.DEBUG, "token refused", fields)

    def report(self) -> None:
        """Log how many requests were refused since the last report, by error code, if there were any."""
        if self._codes is not None:
            limited.info("refusals", {"connection": self._number, "codes": self._codes})
            self._codes = None
