"""The free space of the file system that the database is on. It is looked at seldom, and never for each request."""

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

log = logging.getLogger("roomd.storage.space")

LOOK_AFTER = 1.0
"""The seconds after which the file system is looked at again, when somebody asks."""
LOOKS_PER_RESERVE = 16
"""The part of the reserve after which it is looked at again is one of so many, when so much was written meanwhile."""


def free_bytes(file: Path) -> int:
    """Return the bytes that this user can still write to the file system of a file.

    Raises `OSError`.
    """
    status = os.statvfs(file)
    return status.f_bavail * status.f_frsize


class Space:
    """Whether the file system of `file` has less than `reserve` bytes left.

    `clock` is monotonic, in seconds. `free` returns the bytes that are left.
    """

    def __init__(
        self,
        file: Path,
        reserve: int,
        clock: Callable[[], float] = time.monotonic,
        free: Callable[[Path], int] = free_bytes,
    ) -> None:
        self._file = file
        self._reserve = reserve
        self._clock = clock
        self._free = free
        self._look_at = clock()
        self._written = 0  # bytes since the last look
        self._is_low = False

    def wrote(self, size: int) -> None:
        """Count bytes that were written."""
        self._written += size

    def is_low(self) -> bool:
        """Return whether less than the reserve was left when it was last looked at."""
        if self._clock() >= self._look_at or self._written * LOOKS_PER_RESERVE >= self._reserve:
            self._look()
        return self._is_low

    def _look(self) -> None:
        self._look_at, self._written = self._clock() + LOOK_AFTER, 0
        try:
            free = self._free(self._file)
        except OSError as exc:  # then a write fails, too, and says so
            log.warning("cannot read the free space", {"reason": exc.strerror})
            return
        was_low, self._is_low = self._is_low, free < self._reserve
        if self._is_low and not was_low:
            log.warning("storage is nearly full", {"free": free, "reserve": self._reserve})
        elif was_low and not self._is_low:
            log.info("storage has space again", {"free": free, "reserve": self._reserve})
