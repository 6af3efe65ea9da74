"""Stays: from when to when each seat was certainly taken, and from when to when it was possibly taken.

A request without an answer may have been carried out at any time since it was sent, or never. So a stay has two spans:

- *certain*: from the first answer that gave the seat to the time at which the last request was sent that was carried
  out on that seat. A participant id is never given twice, so the seat was taken in between.
- *possible*: from the time at which the request was sent that may have given the seat, to the first time at which
  anybody knew that it was given up.

These give necessary conditions, which no correct server breaks: the certain spans never overlap more often than there
are seats, and a room is full only where as many possible spans overlap. It is no search for an order of all requests,
which would also find a server whose answers each can be right, and not all together.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from math import inf

import msgspec

from roomd.verify.facts import RoomFacts
from roomd.verify.records import Operation


class Stay(msgspec.Struct):
    """One seat that a client was given, or that somebody was seen to have."""

    id: str
    person: str
    begin: float
    """When the request was sent that gave it, or the first one that may have."""
    acknowledged: float = inf
    """When a client was first told that it has it; infinite if none was."""
    proof: float = 0.0
    """When the last request was sent that was carried out on it."""
    end: float = inf
    """When it was first known that it was given up."""
    leaves: list[float] = []
    """When somebody asked to leave it."""


class Span(msgspec.Struct, frozen=True):
    """The number of seats over time: `counts[n]` holds from `times[n]` on."""

    times: list[float]
    counts: list[int]

    def most(self, begin: float, end: float) -> int:
        """Return the greatest number between two times, both included."""
        return max(self._between(begin, end))

    def least(self, begin: float, end: float) -> int:
        """Return the smallest number between two times, both included."""
        return min(self._between(begin, end))

    def _between(self, begin: float, end: float) -> Sequence[int]:
        return self.counts[max(0, bisect_left(self.times, begin) - 1) : bisect_right(self.times, end)]


def count(spans: Iterable[tuple[float, float]], *, is_closed: bool) -> Span:
    """Count how many spans there are at each time. Where they are closed, an end and a begin at one time overlap."""
    begin, end = (0, 1) if is_closed else (1, 0)
    steps = sorted(step for first, last in spans for step in ((first, begin), (last, end)))
    times, counts, now = [0.0], [0], 0
    for at, kind in steps:
        now += 1 if kind == begin else -1
        times.append(at)
        counts.append(now)
    return Span(times, counts)


def find_stays(operations: Sequence[Operation], facts: RoomFacts) -> dict[str, Stay]:
    """Return the stays of a room, by participant id. The operations are those of the room, in the order of `sent`."""
    stays: dict[str, Stay] = {}
    unanswered: dict[str, float] = {}  # when somebody first sent a join of which nobody knows what came of it
    proofs: dict[str, float] = {}  # when somebody last had a seat for certain: the next one came after it
    for operation in operations:
        if operation.kind == "join" and operation.answered is None:
            unanswered.setdefault(operation.person, operation.sent)
        if not operation.is_done or operation.seat is None:
            continue
        stay = stays.get(operation.seat)
        if stay is None:
            begin = max(unanswered.get(operation.person, inf), proofs.get(operation.person, 0.0))
            begin = min(operation.sent, begin)
            stay = stays[operation.seat] = Stay(operation.seat, operation.person, begin)
        proofs[operation.person] = operation.sent
        stay.acknowledged = min(stay.acknowledged, operation.until)
        stay.proof = max(stay.proof, operation.sent)
        if operation.kind == "leave":
            stay.end = min(stay.end, operation.until)
    for seat, person in facts.who.items():
        if seat not in stays:
            stays[seat] = Stay(seat, person, unanswered.get(person, 0.0))
    _end(stays, operations, facts)
    return stays


def _end(stays: dict[str, Stay], operations: Sequence[Operation], facts: RoomFacts) -> None:
    for operation in operations:
        stay = stays.get(operation.seat or "")
        if stay is not None and operation.kind == "leave":
            stay.leaves.append(operation.sent)
        elif stay is not None and operation.kind == "resume" and operation.outcome == "seat_expired":
            stay.end = min(stay.end, operation.until)
    for seat, stay in stays.items():
        stay.end = min(stay.end, facts.seen_left.get(seat, inf), facts.seen_end)


def certain(stays: Iterable[Stay]) -> Span:
    """Count the seats that were certainly taken."""
    spans = [(stay.acknowledged, stay.proof) for stay in stays if stay.acknowledged < stay.proof]
    return count(spans, is_closed=False)


def possible(stays: Iterable[Stay], operations: Iterable[Operation], *, is_log_whole: bool) -> Span:
    """Count the seats that were possibly taken, with joins of which nobody knows what came of them.

    Where the event log is known as a whole, such a join was carried out only if somebody's stay is in it.
    """
    spans = [(stay.begin, stay.end) for stay in stays]
    if not is_log_whole:
        unknown: dict[str, float] = defaultdict(lambda: inf)
        for operation in operations:
            if operation.kind == "join" and operation.answered is None:
                unknown[operation.person] = min(unknown[operation.person], operation.sent)
        spans += [(begin, inf) for begin in unknown.values()]
    return count([(begin, end) for begin, end in spans if begin <= end], is_closed=True)
