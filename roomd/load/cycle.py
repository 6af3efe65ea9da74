"""Joining and leaving without end: each guest asks the next as soon as the last was answered."""

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Callable

import msgspec

from roomd.load.dialect import Kind
from roomd.load.line import Line

RETRY_AFTER = 0.5
"""Seconds that a guest waits after a refusal."""


class Times:
    """How long things took, to 10 µs; as many as there may be, it stays small."""

    RESOLUTION = 1e-5

    def __init__(self) -> None:
        self.total = 0
        self._counts: defaultdict[int, int] = defaultdict(int)

    def add(self, seconds: float) -> None:
        """Count one."""
        self.total += 1
        self._counts[int(seconds / self.RESOLUTION)] += 1

    def quantile(self, share: float) -> float:
        """Return the seconds that a share of them, 0 to 1, does not exceed; 0 of none."""
        wanted, seen = self.total * share, 0
        for step in sorted(self._counts):
            seen += self._counts[step]
            if seen >= wanted:
                return (step + 1) * self.RESOLUTION
        return 0.0


class Tally:
    """What the guests of a test got done since the last look."""

    def __init__(self) -> None:
        self.joins = Times()
        self.leaves = Times()
        self.errors: Counter[str] = Counter()

    @property
    def replies(self) -> int:
        """How many requests were answered as they should be."""
        return self.joins.total + self.leaves.total

    def take(self) -> "Tally":
        """Hand over what there is, and begin anew."""
        taken = Tally()
        self.__dict__, taken.__dict__ = taken.__dict__, self.__dict__
        return taken


class Cycle:
    """One guest who joins and leaves."""

    def __init__(self, line: Line, code: str, number: int, tally: Tally, pace: float = 0.0) -> None:
        """`pace` is the least time from one request to the next, in seconds."""
        self.line = line
        self.tally = tally
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done once the guest has been told to end and has left."""
        self._code = code
        self._number = number
        self._pace = pace
        self._asked = 0.0
        self._is_ending = False
        line.on_frame = self._on_frame

    def start(self) -> None:
        """Ask for a seat."""
        if self._is_ending:
            if not self.ended.done():
                self.ended.set_result(None)
        elif self._is_connected():
            self._asked = time.perf_counter()
            self.line.join(self._code, self._number)

    def end(self) -> asyncio.Future[None]:
        """Give the seat up, or the next that is granted, and ask for no other."""
        self._is_ending = True
        return self.ended

    def _leave(self) -> None:
        if self._is_connected():
            self._asked = time.perf_counter()
            self.line.leave()

    def _on_frame(self, kind: Kind, payload: bytes) -> None:
        if kind is Kind.JOINED:
            self._answered(self.tally.joins, self._leave)
        elif kind is Kind.LEFT:
            self._answered(self.tally.leaves, self.start)
        elif kind is Kind.REFUSED:
            self.tally.errors[reason(payload)] += 1
            asyncio.get_running_loop().call_later(RETRY_AFTER, self.start)

    def _answered(self, times: Times, then: Callable[[], None]) -> None:
        taken = time.perf_counter() - self._asked
        times.add(taken)
        if taken < self._pace:
            asyncio.get_running_loop().call_later(self._pace - taken, then)
        else:
            then()

    def _is_connected(self) -> bool:
        # Between two joins a Colyseus client has no transport, and needs none.
        return self.line.transport is None or not self.line.transport.is_disconnected


def reason(refusal: bytes) -> str:
    """Find what an error says to programs, or all it says."""
    try:
        code: str = msgspec.json.decode(refusal)["code"]
    except (msgspec.DecodeError, KeyError, TypeError, UnicodeError):
        return refusal[:200].decode(errors="replace")
    return code
