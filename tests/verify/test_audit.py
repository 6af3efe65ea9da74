"""The audit: it finds each broken promise in a made history."""

from collections.abc import Callable

import pytest

from roomd.verify.audit import audit
from roomd.verify.records import History, Listing, Seated, Told
from roomd.verify.report import RULES, Rule, report_text
from tests.support.histories import (
    ANN,
    AWAY,
    BOB,
    CY,
    EPOCH,
    M1,
    M2,
    ROOM,
    asked,
    changes,
    left,
    logged,
    make_history,
    make_log,
    state,
)

Change = Callable[[History], object]
CASES: list[tuple[Rule, str, Change]] = []


def breaks(rule: Rule) -> Callable[[Change], Change]:
    """Add a case: what the function does to the history must be found under this rule."""

    def add(change: Change) -> Change:
        CASES.append((rule, (change.__doc__ or "").rstrip("."), change))
        return change

    return add


@breaks("limit")
def _(h: History) -> None:
    """A client sees one seat too many."""
    h.tracks[0].entries[3:] = [changes(5, 3, joined=(CY,))]


@breaks("limit")
def _(h: History) -> None:
    """The event log has one seat too many."""
    for log in h.logs:
        log.events.insert(3, logged(5, "participant-joined", CY))


@breaks("limit")
def _(h: History) -> None:
    """Three clients use a seat of two at the same time."""
    h.logs.clear()
    h.operations[2] = asked("join", "cy", 3, 5, seat="p3")
    h.operations.append(asked("say", "cy", 3, 13, seat="p3", client_id="4"))


@breaks("limit")
def _(h: History) -> None:
    """get-room counts one seat too many."""
    h.operations[3].count = 3


@breaks("kept")
def _(h: History) -> None:
    """An acknowledged seat is not in the list of all stays."""
    del h.finals[ROOM].stays["p2"]


@breaks("kept")
def _(h: History) -> None:
    """An acknowledged seat is not in the event log."""
    for log in h.logs:
        log.events[:] = [one for one in log.events if one[1].get("participant", {}).get("id") != "p2"]


@breaks("kept")
def _(h: History) -> None:
    """A seat is gone that was away for less than its hold."""
    h.operations[5:8] = [asked("resume", "bob", 4, 4.5, "seat_expired", seat="p2")]


@breaks("kept")
def _(h: History) -> None:
    """A user who comes back gets another seat, though the first was not given up."""
    h.operations[5:8] = [asked("join", "bob", 4, 4.5, seat="p4")]


@breaks("kept")
def _(h: History) -> None:
    """A resume gives another seat."""
    h.operations[5].given = "p4"


@breaks("kept")
def _(h: History) -> None:
    """The state after a join lacks the own seat."""
    h.tracks[3].entries[1] = state(17, 6, ANN, texts=(M1, M2))


@breaks("kept")
def _(h: History) -> None:
    """The event log ends a seat before its hold was over."""
    for log in h.logs:
        log.events[5] = left(15, BOB, "expired")


@breaks("kept")
def _(h: History) -> None:
    """The event log says that somebody left who did not."""
    del h.operations[7]


@breaks("kept")
def _(h: History) -> None:
    """The event log says that a host removed somebody, and no host did."""
    for log in h.logs:
        log.events[5] = left(15, BOB, "removed")


@breaks("kept")
def _(h: History) -> None:
    """get-room counts fewer seats than were taken."""
    h.operations[3].count = 1


@breaks("kept")
def _(h: History) -> None:
    """A seat is used after everybody saw its end."""
    h.operations.append(asked("say", "bob", 4, 16, seat="p2", client_id="4"))


@breaks("versions")
def _(h: History) -> None:
    """An event is not told."""
    del h.tracks[0].entries[4]


@breaks("versions")
def _(h: History) -> None:
    """An event is told twice."""
    h.tracks[0].entries.insert(2, h.tracks[0].entries[2])


@breaks("state")
def _(h: History) -> None:
    """A client that asks for the state again finds another one than it knows."""
    h.tracks[0].entries[5:] = [Seated(10, "p1"), state(10, 3, ANN, BOB)]


@breaks("state")
def _(h: History) -> None:
    """What an admin lists is not what clients have."""
    h.listings[ROOM] = [Listing(EPOCH, 6, {"p1": True})]


@breaks("state")
def _(h: History) -> None:
    """Somebody leaves whom the client did not know."""
    h.tracks[0].entries[2] = changes(4, 2, left=(BOB,))


@breaks("state")
def _(h: History) -> None:
    """Somebody joins who was there."""
    h.tracks[0].entries[2] = changes(4, 2, joined=(ANN,))


@breaks("state")
def _(h: History) -> None:
    """The participantCount of a room-state is not that of its participants."""
    h.tracks[3].entries[1] = state(17, 6, ANN, CY)._replace(seats=1)


@breaks("state")
def _(h: History) -> None:
    """get-room counts more seats than can have been taken."""
    h.operations.insert(1, asked("look", "cy", 3, 1.2, count=2))


@breaks("full")
def _(h: History) -> None:
    """A join is refused while a seat is free."""
    h.operations[2] = asked("join", "cy", 3, 1.5, "room_full")


@breaks("full")
def _(h: History) -> None:
    """get-room says that a room is full after somebody has left."""
    h.operations.insert(8, asked("look", "dan", 5, 15.5, count=1, is_full=True))
    h.operations[8].answered = 15.9


@breaks("messages")
def _(h: History) -> None:
    """An acknowledged message is not stored."""
    del h.finals[ROOM].texts[0]


@breaks("messages")
def _(h: History) -> None:
    """A message is stored twice."""
    h.finals[ROOM].texts.append(M2._replace(id="m3"))


@breaks("messages")
def _(h: History) -> None:
    """A message is stored that nobody sent."""
    h.finals[ROOM].texts.append(M2._replace(id="m3", client_id="9"))


@breaks("messages")
def _(h: History) -> None:
    """A client is told a message twice."""
    h.tracks[0].entries.insert(4, Told(9, M1))


@breaks("messages")
def _(h: History) -> None:
    """A client is not told a message."""
    del h.tracks[0].entries[3]


@breaks("messages")
def _(h: History) -> None:
    """A message is told and not stored."""
    del h.finals[ROOM].texts[1]
    h.operations[6].outcome = h.operations[6].answered = None


@breaks("order")
def _(h: History) -> None:
    """Two clients see another state at the same version."""
    h.tracks[1].entries[1] = state(4, 2, ANN, AWAY)


@breaks("order")
def _(h: History) -> None:
    """A client is told messages in another order."""
    h.tracks[0].entries[3], h.tracks[0].entries[6] = Told(8.5, M2), Told(13, M1)


@breaks("order")
def _(h: History) -> None:
    """A seat that was given later has a lower id."""
    h.operations[8].seat = "p0"


@breaks("order")
def _(h: History) -> None:
    """The event log has changes in another order than clients."""
    for log in h.logs:
        log.events[1], log.events[5:7] = log.events[1], [log.events[6], log.events[5]]


@breaks("doubles")
def _(h: History) -> None:
    """One person is shown with two seats."""
    h.tracks[0].entries[2:] = [changes(4, 2, joined=(BOB._replace(who="ann"),))]


@breaks("doubles")
def _(h: History) -> None:
    """The event log gives one user two seats."""
    for log in h.logs:
        log.events.insert(3, logged(5, "participant-joined", CY._replace(who="bob")))


@breaks("doubles")
def _(h: History) -> None:
    """A reader of the log is given an event twice."""
    h.logs[1].events.append(h.logs[1].events[-1])


@breaks("doubles")
def _(h: History) -> None:
    """A connection goes on with a seat that another one has taken over."""
    h.operations.append(asked("say", "bob", 2, 12, seat="p2", client_id="4"))


@breaks("ends")
def _(h: History) -> None:
    """Somebody gets a seat after the end."""
    h.operations.append(asked("join", "dan", 5, 21, seat="p5"))


@breaks("ends")
def _(h: History) -> None:
    """A room has ended, and nobody asked for that."""
    h.operations[-1] = asked("join", "dan", 5, 19, "room_inactive")


@breaks("log")
def _(h: History) -> None:
    """A reader at another node misses an event."""
    del h.logs[1].events[4]


@breaks("log")
def _(h: History) -> None:
    """Two nodes give the log in another order."""
    h.logs[1].events[1:3] = reversed(h.logs[1].events[1:3])


@breaks("log")
def _(h: History) -> None:
    """A leave is not logged."""
    for log in h.logs:
        del log.events[5]


@breaks("log")
def _(h: History) -> None:
    """Somebody returns in the log who was not away."""
    for log in h.logs:
        del log.events[3]


@breaks("log")
def _(h: History) -> None:
    """The log and the list of all stays disagree on the time of an end."""
    h.finals[ROOM].stays["p1"] = "2026-03-03T10:00:21.000Z"


@breaks("settled")
def _(h: History) -> None:
    """Something did not come true after the last fault."""
    h.unsettled.append("within 60 s there was not a seat for a client")


def test_the_made_history_is_fine() -> None:
    """Every rule is checked, and holds."""
    report = audit(make_history())
    assert report.broken() == [], [report.rules[rule].evidence for rule in report.broken()]
    assert {rule for rule, checks in report.rules.items() if checks.checked} == set(RULES)


@pytest.mark.parametrize(("rule", "change"), [pytest.param(rule, change, id=name) for rule, name, change in CASES])
def test_a_broken_promise_is_found(rule: Rule, change: Change) -> None:
    """The rule is broken, with evidence, and the report says so."""
    history = make_history()
    change(history)
    report = audit(history)
    assert rule in report.broken()
    assert report.rules[rule].evidence[0]
    assert any(line.startswith(rule) and "broken" in line for line in report_text(report).splitlines())


def test_every_rule_has_a_case() -> None:
    """No rule is without a history that breaks it."""
    assert {rule for rule, _, _ in CASES} == set(RULES)


def test_one_log_is_enough() -> None:
    """With one node there is one reader, and the log is checked against all else."""
    history = make_history()
    history.logs = [make_log()]
    assert audit(history).is_fine
