"""What the daemon's process uses, by /proc."""

import os
import time
from pathlib import Path

from tests.support.daemon import Daemon, memory

CLOCK = os.sysconf("SC_CLK_TCK")


class Gauge:
    """The daemon's memory, descriptors and processor time, and the largest that were seen.

    `level` are those of a quiet phase: some ordinary clients may be away at the start.
    """

    def __init__(self, daemon: Daemon, level: "Gauge | None" = None) -> None:
        self._daemon = daemon
        self.memory_before: int = max(memory(daemon), level.memory_before if level is not None else 0)
        """KiB at the start, or in the quiet phase."""
        self.files_before: int = max(self.files(), level.files_before if level is not None else 0)
        """Descriptors at the start, or in the quiet phase."""
        self.memory_peak = self.memory_before
        """KiB at the most."""
        self.files_peak = self.files_before
        """Descriptors at the most."""
        self.restart()

    def restart(self) -> None:
        """Begin to count the processor time anew."""
        self._since = time.monotonic()
        self._used = self._processor()

    def look(self) -> None:
        """Note the largest values."""
        self.memory_peak = max(self.memory_peak, memory(self._daemon))
        self.files_peak = max(self.files_peak, self.files())

    def files(self) -> int:
        """Return the number of open descriptors."""
        return len(os.listdir(f"/proc/{self._daemon.process.pid}/fd"))  # noqa: PTH208 - only counted

    def memory(self) -> int:
        """Return the memory now, in KiB."""
        return memory(self._daemon)

    def load(self) -> float:
        """Return the part of one processor that was used since `restart`."""
        return (self._processor() - self._used) / (time.monotonic() - self._since)

    def _processor(self) -> float:
        fields = Path(f"/proc/{self._daemon.process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / CLOCK
