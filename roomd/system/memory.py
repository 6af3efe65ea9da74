"""Memory of the process."""

import ctypes
import gc
import os
import time
from collections.abc import Callable
from pathlib import Path

GROWTH = 1.2
"""How many times as large as its least size the process must be for a release."""
CROWD = 100
"""The users who must have gone at least, when a release is due soon because many have."""
INTERVAL = 10.0
"""The seconds between two releases."""
CALM = 0.5
"""The part of one processor up to which the process has time for a release."""
LONGEST_INTERVAL = 3600.0
"""The same when the last ones gave nothing back."""
_STATM = Path("/proc/self/statm")


def resident() -> int:
    """Return the bytes of the process that are in memory (proc(5)); 0 where the system does not tell."""
    try:
        return int(_STATM.read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def release() -> None:
    """Collect objects in cycles, and give memory that is not used any more back to the system.

    It takes some 13 ms for every 1,000 clients with a seat (65 ms were measured with 5,000 in 100 rooms).
    """
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # of glibc; other C libraries have none
    if trim is not None:
        trim(0)


class Releaser:
    """Release memory when the process has grown. `clock` returns seconds, `worked` those of its processor time.

    A crowd that has gone leaves objects in cycles, and memory that the C library keeps for later.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        size: Callable[[], int] = resident,
        release: Callable[[], None] = release,
        worked: Callable[[], float] = time.process_time,
    ) -> None:
        self._clock = clock
        self._size = size
        self._release = release
        self._worked = worked
        self._before = (clock(), worked())  # at the last tick
        self._least = size()
        self._gone = 0  # the users that had gone at the last release
        self._interval = INTERVAL
        self._last = clock()

    def tick(self, users: int, gone: int) -> None:
        """Release memory if the process is a fifth larger than it was, has time, and the last time was long enough ago.

        A release that does not help doubles the time to the next one: what has grown is in use. `users` is the number
        of those who use memory, `gone` that of all who have ever gone. When a fifth of the users, and a crowd more,
        have gone since the last release, the time is the shortest again, also if as many have come.
        """
        now, worked = self._clock(), self._worked()
        (then, worked_then), self._before = self._before, (now, worked)
        have_gone = gone - self._gone > CROWD + users / 5
        if have_gone:
            self._interval = INTERVAL
        if now < self._last + self._interval or worked - worked_then > CALM * (now - then):
            return
        if self._size() > GROWTH * self._least:
            self._release()
            self._gone, self._last = gone, now
            helped = have_gone or self._size() <= GROWTH * self._least
            self._interval = INTERVAL if helped else min(2 * self._interval, LONGEST_INTERVAL)
        self._least = min(self._least, self._size())
