"""What the daemon's process uses, by /proc."""

import os
import time
from pathlib import Path

from tests.support.daemon import Daemon, memory

CLOCK = os.sysconf("SC_CLK_TCK")


class Gauge:
    """The daemon's memory, descriptors and processor time, and the largest that were seen."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self.memory_before = memory(daemon)
        """KiB at the start."""
        self.files_before = self.files()
        """Descriptors at the start."""
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
