"""When a client reconnects after its connection ended, and when it does not.

The rules are the same in the JavaScript client: docs/reference/clients.md describes them, and `clients/vectors` tests
both. No I/O: the clock and the random numbers are arguments.
"""

from collections.abc import Callable

from roomd.client.connection import Closed, Unreachable
from roomd.client.events import BAD_FRAME, BAD_TOKEN, REMOVED, TAKEN_OVER, Over, over_by_refusal
from roomd.protocol.errors import Close, Refused

FIRST_DELAY = 1.0
"""Seconds: the longest delay before the first attempt. It doubles with each attempt that follows."""
LONGEST_DELAY = 30.0
"""Seconds: the delay does not grow beyond this."""
LATER_DELAY = 5.0
"""Seconds: the shortest delay after a close that means "later" (1013, 4429) and names no time."""
LONGEST_RETRY_AFTER = 3600.0
"""Seconds: a `retryAfter` above this counts as this."""
LASTED = 10.0
"""Seconds: a visit that lasted this long resets the delay to the first one."""
MOST_TOKENS = 3
"""Tokens that the server may refuse in a row before a token function is not asked again."""

_LATER = frozenset({Close.CONNECTION_LIMIT, Close.RATE_LIMITED})
_FINAL = {
    Close.REMOVED: REMOVED,
    Close.TAKEN_OVER: TAKEN_OVER,
    Close.BINARY_FRAME: BAD_FRAME,
    1007: BAD_FRAME,
    1009: BAD_FRAME,
}
"""Closes after which reconnecting is useless (docs/protocol.md, section 9)."""

End = Refused | Closed | Unreachable
"""How an attempt to connect, or a connection, can end."""


def backoff(attempt: int, jitter: float) -> float:
    """Return the seconds to wait before an attempt: half of the longest delay, and a random share of the other half.

    `attempt` counts from 0; `jitter` is from 0 to 1.
    """
    longest = min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** min(attempt, 16))
    return longest * (0.5 + jitter / 2)


class ReconnectPolicy:
    """Decides after each connection how long to wait before the next one, or that the meeting is over."""

    def __init__(self, random: Callable[[], float], clock: Callable[[], float], *, has_token_function: bool) -> None:
        """`random` returns jitter from 0 to 1; `clock` returns seconds and never goes back."""
        self._random = random
        self._clock = clock
        self._has_token_function = has_token_function
        self._attempt = 0
        self._refused_tokens = 0
        self._refused_token: str | None = None
        self._arrived_at: float | None = None

    def arrived(self) -> None:
        """Note that the client has its seat, or its place in the queue: a visit begins."""
        self._arrived_at = self._clock()

    def accepted(self) -> None:
        """Note that the server has accepted a token."""
        self._refused_tokens = 0
        self._refused_token = None

    def refused(self, token: str | None) -> None:
        """Note that the server has refused a token."""
        self._refused_tokens += 1
        self._refused_token = token

    def refuses(self, token: str | None) -> bool:
        """Tell whether the server has just refused this very token, so that connecting with it is useless."""
        return token is not None and token == self._refused_token

    def may_authenticate(self, token: str | None) -> bool:
        """Tell whether a token is worth sending after a `resume`, where a refused one costs the connection."""
        return token is not None and not self.refuses(token) and self._refused_tokens < MOST_TOKENS

    def may_renew(self, end: End, token: str | None) -> bool:
        """Tell whether to try again with a new token. Counts `token` when `end` means that the server refused it.

        It does not help when the token is fixed, when the function returned the refused token again, or when
        `MOST_TOKENS` were refused in a row.
        """
        if not _is_about_token(end):
            return False
        is_same = self.refuses(token)
        self.refused(token)
        return self._has_token_function and not is_same and self._refused_tokens < MOST_TOKENS

    def after(self, end: End, token: str | None = None, *, can_resume: bool = False) -> float | Over:
        """Return the seconds to wait before the next connection, or why there is none.

        `token` is the one that the ended connection used. With `can_resume` there is a resume token: then a refused
        token is no reason to stay away.
        """
        if self._arrived_at is not None and self._clock() - self._arrived_at >= LASTED:
            self._attempt = 0
        self._arrived_at = None
        if _is_about_token(end):
            if not self.may_renew(end, token) and not can_resume:
                return Over(BAD_TOKEN.code, end.message) if isinstance(end, Refused) else BAD_TOKEN
        elif (over := _final(end)) is not None:
            return over
        self._attempt += 1
        return max(backoff(self._attempt - 1, self._random()), _asked_delay(end))


def _is_about_token(end: End) -> bool:
    if isinstance(end, Refused):
        return end.kind.status_code == 401
    return isinstance(end, Closed) and end.code == Close.BAD_TOKEN


def _final(end: End) -> Over | None:
    """Return the end of the meeting where another attempt would be useless; None where it may help."""
    if isinstance(end, Closed):
        return _FINAL.get(end.code)
    if isinstance(end, Refused) and end.kind.status_code < 500 and end.kind.status_code != 429:
        return over_by_refusal(end.kind.code, end.message)
    return None


def _asked_delay(end: End) -> float:
    """Return the seconds for which the server wants to be left alone; 0 where it asked for nothing."""
    if isinstance(end, Unreachable):
        return 0.0
    if end.retry_after is not None:
        return min(LONGEST_RETRY_AFTER, end.retry_after)
    return LATER_DELAY if isinstance(end, Closed) and end.code in _LATER else 0.0


def describe(end: End) -> str:
    """Return for people why a connection ended."""
    if isinstance(end, Refused):
        return end.message
    return "Connection lost" if isinstance(end, Closed) else f"Cannot reach the server: {end.reason}"
