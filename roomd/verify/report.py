"""What an audit found: each rule, how often it was checked, and the first evidence against it."""

from collections.abc import Iterable
from typing import Literal

import msgspec

MOST_EVIDENCE = 20
"""The faults of one rule that are kept in words."""

Rule = Literal["limit", "kept", "versions", "state", "full", "messages", "order", "doubles", "ends", "log", "settled"]

RULES: dict[Rule, str] = {
    "limit": "a room never has more seats taken than maxParticipants",
    "kept": "an acknowledged seat is kept until it is given up, its hold is over, or its room ends",
    "versions": "the events of each connection follow the room-state without a gap",
    "state": "the room-state and the events after it give the state that the server has",
    "full": "nobody is told that a room is full while a seat is free",
    "messages": "each acknowledged message is stored once and told to everybody once",
    "order": "everybody sees the same changes in the same order, and ids grow in the order of time",
    "doubles": "one person has one seat, one seat has one connection, one change is one event",
    "ends": "a room that has ended stays so, and nobody gets a seat in it",
    "log": "the event log, replayed, gives the rooms, and is the same at every node",
    "settled": "after the last fault everybody is served, and learns what happened",
}
"""What each rule says."""


class Checks(msgspec.Struct, rename="camel"):
    """How often a rule was checked, and what broke it."""

    checked: int = 0
    broken: int = 0
    evidence: list[str] = []
    """The first faults, in words."""


class Report(msgspec.Struct, rename="camel"):
    """The result of an audit."""

    rules: dict[Rule, Checks] = msgspec.field(default_factory=lambda: {rule: Checks() for rule in RULES})

    @property
    def is_fine(self) -> bool:
        """Whether no rule is broken."""
        return not any(checks.broken for checks in self.rules.values())

    def check(self, rule: Rule, holds: bool, evidence: str) -> None:
        """Count a check; `evidence` says what is wrong where it does not hold."""
        checks = self.rules[rule]
        checks.checked += 1
        if not holds:
            checks.broken += 1
            if len(checks.evidence) < MOST_EVIDENCE:
                checks.evidence.append(evidence)

    def check_each(self, rule: Rule, faults: Iterable[str]) -> None:
        """Count one check, and each fault in it."""
        found = list(faults)
        self.check(rule, not found, found[0] if found else "")
        for fault in found[1:]:
            self.check(rule, False, fault)

    def broken(self) -> list[Rule]:
        """Return the rules that are broken."""
        return [rule for rule, checks in self.rules.items() if checks.broken]


def report_text(report: Report) -> str:
    """Return the rules as lines for people: `held`, `broken` or `not checked`, with the first evidence."""
    lines = []
    for rule, checks in report.rules.items():
        verdict = "broken" if checks.broken else "held" if checks.checked else "not checked"
        lines.append(f"{rule:<9}{verdict:<12}{checks.checked:>9,} checks  {RULES[rule]}")
        if checks.broken:
            lines.append(f"{'':<9}{checks.broken:,} times; first: {checks.evidence[0]}")
    return "\n".join(lines)
