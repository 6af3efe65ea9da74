"""When a client comes back after its connection ended, and when it does not (docs/protocol.md, section 9).

It waits as long as the server asked for, which the server has jittered; else twice as long each time, with jitter, so
that a restart does not bring everyone back in the same moment. Only a visit that lasted makes the waits short again: a
server that drops everyone who comes is not stormed.
"""

from collections.abc import Callable

from roomd.client.connection import Closed, Unreachable
from roomd.client.events import REMOVED, Over, refusal
from roomd.protocol.errors import BANNED, DENIED, Close, Refused

FIRST_DELAY = 0.5
LONGEST_DELAY = 30.0
LATER_DELAY = 5.0
"""Seconds to wait at least after a close that means "later" (1013, 4429)."""
LASTING = 10.0
"""Seconds after which a visit has lasted."""

_LATER = frozenset({Close.CONNECTION_LIMIT, Close.RATE_LIMITED})
_BAD_TOKEN = Over("bad_token", "The server does not accept the token any more")
_BAD_FRAME = Over("bad_frame", "The server did not understand this client")
_FINAL = {
    Close.REMOVED: REMOVED,
    Close.TAKEN_OVER: Over("taken_over", "The seat was taken over by another connection of the same person"),
    Close.BINARY_FRAME: _BAD_FRAME,
    1007: _BAD_FRAME,
    1009: _BAD_FRAME,
}
"""Closes after which coming back would be wrong or useless."""
_SENT_AWAY = frozenset({BANNED.code, DENIED.code})
"""Refusals that are the host's word, also to a `resume`: the seat or the place was taken away while this client was."""


def backoff(attempt: int, jitter: float) -> float:
    """Say how many seconds to wait before the attempt, the first being 0; `jitter` is between 0 and 1."""
    longest = min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** min(attempt, 16))
    return longest * (0.5 + jitter / 2)


class Comeback:
    """Decides, each time a connection ended, how long to wait, or that the meeting is over."""

    def __init__(self, random: Callable[[], float], clock: Callable[[], float], *, can_renew: bool) -> None:
        """`random` draws jitter, from 0 to 1; `clock` counts seconds; `can_renew`: each connection has a new token."""
        self._random = random
        self._clock = clock
        self._can_renew = can_renew
        self._attempt = 0
        self._renewed = False
        self._arrived_at: float | None = None

    def arrived(self) -> None:
        """Hear that the client is back where it was."""
        self._arrived_at = self._clock()
        self._renewed = False

    def after(self, end: Refused | Closed | Unreachable) -> float | Over:
        """Say how many seconds to wait before the next connection, or why there is none."""
        if self._arrived_at is not None and self._clock() - self._arrived_at >= LASTING:
            self._attempt = 0
        self._arrived_at = None
        if isinstance(end, Refused):
            return self._after_refusal(end)
        if isinstance(end, Closed):
            return self._after_close(end)
        return self._backoff()

    def _after_refusal(self, refused: Refused) -> float | Over:
        kind = refused.kind
        if kind.code in _SENT_AWAY:
            return refusal(kind.code, kind.message)
        if kind.status_code == 401:
            return self._renew(Over("bad_token", kind.message))
        if refused.retry_after is not None:
            return self._asked(refused.retry_after)
        return self._backoff() if kind.status_code >= 500 else refusal(kind.code, kind.message)

    def _after_close(self, closed: Closed) -> float | Over:
        if closed.code in _FINAL:
            return _FINAL[closed.code]
        if closed.code == Close.BAD_TOKEN:
            return self._renew(_BAD_TOKEN)
        if closed.retry_after is not None:
            return self._asked(closed.retry_after)
        return max(self._backoff(), LATER_DELAY if closed.code in _LATER else 0.0)

    def _renew(self, over: Over) -> float | Over:
        """Try once more with a fresh token, where there can be one; a second refusal is meant."""
        if not self._can_renew or self._renewed:
            return over
        self._renewed = True
        return self._backoff()

    def _asked(self, seconds: float) -> float:
        self._attempt += 1
        return max(0.0, seconds)

    def _backoff(self) -> float:
        self._attempt += 1
        return backoff(self._attempt - 1, self._random())
