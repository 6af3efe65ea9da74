"""A histogram of durations."""

from collections import defaultdict


class Times:
    """Durations, counted in steps of 10 µs. The memory does not grow with their number."""

    STEP = 1e-5
    """The size of a step, in seconds."""

    def __init__(self) -> None:
        self.total = 0
        """The number of durations that were added."""
        self._counts: defaultdict[int, int] = defaultdict(int)

    def add(self, seconds: float) -> None:
        """Count one duration, in seconds."""
        self.total += 1
        self._counts[int(seconds / self.STEP)] += 1

    def quantile(self, share: float) -> float:
        """Return the duration, in seconds, that a `share` of all durations does not exceed; 0 without any.

        `share` is from 0 to 1; the result is exact to one step.
        """
        wanted, seen = self.total * share, 0
        for step in sorted(self._counts):
            seen += self._counts[step]
            if seen >= wanted:
                return (step + 1) * self.STEP
        return 0.0
