"""What is known of one room from everything that was shown: the states, the order of changes, and who was seen when."""

from collections.abc import Mapping
from math import inf

import msgspec

from roomd.verify.records import Text
from roomd.verify.report import Report

People = Mapping[str, bool]
"""Whether each participant is active, by id."""


class RoomFacts(msgspec.Struct):
    """What all clients saw of one room."""

    code: str
    limit: int
    states: dict[tuple[str, int], People] = {}
    """Who has a seat, by epoch and `seq`, as the first client saw it."""
    joined: dict[str, tuple[str, int]] = {}
    """The first epoch and `seq` of an event with somebody's join."""
    left: dict[str, tuple[str, int]] = {}
    """The first epoch and `seq` of an event with somebody's end."""
    who: dict[str, str] = {}
    """The person of each participant id."""
    seen_left: dict[str, float] = {}
    """When the first client or reader of the log learned that a seat was given up."""
    seen_end: float = inf
    """When the first one learned that the room has ended."""
    texts: dict[str, Text] = {}
    """Every message that anybody saw, by id."""

    def see_state(self, epoch: str, seq: int, people: People, report: Report, witness: str) -> None:
        """Compare a state with what others saw at the same `seq`."""
        before = self.states.setdefault((epoch, seq), people)
        if before is not people:
            wrong = f"{self.code}: {witness} saw another state at seq {seq}: "
            report.check("order", before == people, wrong + differences(before, people))

    def see_left(self, seat: str, at: float) -> None:
        """Keep the earliest time at which a seat was known to be given up."""
        self.seen_left[seat] = min(at, self.seen_left.get(seat, inf))


def differences(one: People, other: People) -> str:
    """Return in words what two states do not have in common."""
    words = [
        f"{key} is {_word(one, key)} in the one and {_word(other, key)} in the other"
        for key in sorted(one.keys() | other.keys())
        if one.get(key) != other.get(key)
    ]
    return "; ".join(words[:3])


def _word(people: People, key: str) -> str:
    return "missing" if key not in people else "active" if people[key] else "held"
