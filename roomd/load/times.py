"""A histogram of durations."""

from collections import defaultdict


class Times:
    """Durations, counted in steps of 10 µs: the memory does not grow with their number."""

    STEP = 1e-5
    """Seconds."""

    def __init__(self) -> None:
        self.total = 0
        """How many durations were added."""
        self._counts: defaultdict[int, int] = defaultdict(int)

    def add(self, seconds: float) -> None:
        """Count one duration."""
        self.total += 1
        self._counts[int(seconds / self.STEP)] += 1

    def quantile(self, share: float) -> float:
        """Return the seconds that a share of the durations, 0 to 1, does not exceed; 0 if there are none."""
        wanted, seen = self.total * share, 0
        for step in sorted(self._counts):
            seen += self._counts[step]
            if seen >= wanted:
                return (step + 1) * self.STEP
        return 0.0
