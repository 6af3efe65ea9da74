"""What one attack did to the daemon and the ordinary clients, and whether that is bearable."""

from typing import Any

import msgspec

RATIO = 4.0
"""The p99 under attack may be so many times that of quiet."""
MEMORY = 1.2
"""The memory after an attack may be so many times that before."""


class Result(msgspec.Struct, kw_only=True):
    """The figures of one attack. Times are in seconds, memory in KiB."""

    name: str
    note: str = ""
    """What came of the attack, in words."""
    quiet: list[float]
    """The times of the ordinary clients without an attack."""
    times: list[float]
    """Their times under attack."""
    wrong: dict[str, int]
    """Cuts, refusals and requests without an answer of ordinary clients, and how often."""
    arrivals: list[float]
    """The times of newcomers from a connection to a seat."""
    tried: int
    """Newcomers who got a seat or gave up."""
    joined: int
    """Newcomers who got a seat."""
    faults: list[str]
    """What else must not happen: seen by the attack, or in the daemon's log."""
    memory: tuple[int, int, int]
    """Before, at the most, and after."""
    files: tuple[int, int, int]
    """Descriptors before, at the most, and after."""
    load: float
    """The part of one processor that the daemon used."""

    def found(self, slowest: float) -> list[str]:
        """Return what is wrong, a line each. A p99 of up to `slowest` seconds is right whatever quiet was."""
        wrong = [f"{count} times {what}" for what, count in sorted(self.wrong.items())] + self.faults
        bound = max(RATIO * percentile(self.quiet, 99), slowest)
        if percentile(self.times, 99) > bound:
            wrong.append(f"p99 is above {1000 * bound:.0f} ms")
        if self.joined < self.tried:
            wrong.append(f"{self.tried - self.joined} newcomers did not get in")
        if self.memory[2] > MEMORY * self.memory[0]:
            wrong.append(f"memory is {self.memory[2] / self.memory[0]:.2f} times that before")
        if self.files[2] > self.files[0] + FILES:
            wrong.append(f"{self.files[2] - self.files[0]} descriptors were not closed")
        return wrong

    def line(self) -> str:
        """Return the figures as one line."""
        p50, p99, quiet50, quiet99 = (
            1000 * percentile(times, part) for times in (self.times, self.quiet) for part in (50, 99)
        )
        memory = " ".join(f"{kib / 1024:.0f}" for kib in self.memory)
        files = " ".join(map(str, self.files))
        arrival = 1000 * percentile(self.arrivals, 99)
        return (
            f"{self.name}: p50 {quiet50:.1f} → {p50:.1f} ms, p99 {quiet99:.1f} → {p99:.1f} ms"
            f" ({p99 / max(quiet99, 0.001):.1f} ×), {sum(self.wrong.values())} cut or refused,"
            f" newcomers {self.joined} of {self.tried}, their p99 {arrival:.0f} ms, MiB {memory},"
            f" descriptors {files}, processor {100 * self.load:.0f} %; {self.note}"
        )


FILES = 20
"""Descriptors by which the daemon may differ: newcomers, and clients who are reconnecting."""


def percentile(times: list[float], part: int) -> float:
    """Return the time that `part` percent do not exceed; infinite without a time."""
    return sorted(times)[min(len(times) - 1, len(times) * part // 100)] if times else float("inf")


def judge(results: list[Result], slowest: float) -> list[str]:
    """Return all that is wrong, with the name of the attack before it."""
    return [f"{result.name}: {wrong}" for result in results for wrong in result.found(slowest)]


def figures(taken: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a result that the ordinary clients measured."""
    return {name: taken[name] for name in ("times", "wrong", "arrivals", "tried", "joined")}
