"""The rules about what clients asked for: `limit`, `full`, `kept`, `doubles`, `ends`, `order`, `messages`."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from math import inf

from roomd.verify.facts import RoomFacts
from roomd.verify.records import Final, Operation
from roomd.verify.report import Report
from roomd.verify.stays import Stay, certain, possible


def check_counts(
    facts: RoomFacts, stays: Mapping[str, Stay], operations: Sequence[Operation], report: Report, *, is_log_whole: bool
) -> None:
    """Compare refusals and counts with the seats that were certainly and possibly taken meanwhile."""
    taken = certain(stays.values())
    most = max(taken.counts)
    report.check("limit", most <= facts.limit, f"{facts.code}: {most} clients had one of {facts.limit} seats")
    maybe = possible(stays.values(), operations, is_log_whole=is_log_whole)
    for operation in operations:
        if operation.answered is None:
            continue
        when = operation.sent, operation.answered
        if operation.outcome == "room_full" or operation.is_full:
            report.check(
                "full", maybe.most(*when) >= facts.limit,
                f"{facts.code}: {operation.person} was told that the room is full, with at most {maybe.most(*when)} of "
                f"{facts.limit} seats taken",
            )  # fmt: skip
        if operation.count is not None:
            report.check("limit", operation.count <= facts.limit, f"{facts.code}: participantCount {operation.count}")
            report.check(
                "kept", operation.count >= taken.least(*when),
                f"{facts.code}: participantCount {operation.count}, and {taken.least(*when)} seats were taken",
            )  # fmt: skip
            report.check(
                "state", operation.count <= maybe.most(*when),
                f"{facts.code}: participantCount {operation.count}, and at most {maybe.most(*when)} seats were taken",
            )  # fmt: skip


def check_kept(
    facts: RoomFacts, stays: Mapping[str, Stay], operations: Sequence[Operation], hold: float, report: Report
) -> None:
    """Check that a seat that somebody came back for was there, unless it was given up or its hold was over."""
    ends = [operation.sent for operation in operations if operation.kind == "end"]
    proofs: dict[str, float] = {}
    mine: dict[str, str] = {}  # the seat of a user, by person
    for operation in operations:
        seat = operation.seat or ""
        stay = stays.get(seat)
        lost = None
        if operation.kind == "resume":
            if operation.is_done:
                report.check(
                    "kept", operation.given == seat, f"{facts.code}: {seat} became {operation.given} by a resume"
                )
            elif operation.outcome == "seat_expired":
                lost = stay
        elif operation.kind == "join" and operation.is_done:
            before = mine.get(operation.person)
            lost = stays.get(before or "") if before not in (None, seat) else None
            mine[operation.person] = seat
        if lost is not None and operation.answered is not None:
            away = operation.answered - proofs.get(lost.id, 0.0)
            is_meant = (
                any(sent < operation.answered for sent in (*lost.leaves, *ends))
                or away >= hold
                or operation.is_guest  # a held seat may go to a newcomer, and only the event log says whether it did
            )
            report.check(
                "kept", is_meant, f"{facts.code}: {operation.person} had lost the seat {lost.id} after {away:.2f} s"
            )
        if operation.is_done and operation.seat is not None:
            proofs[seat] = max(proofs.get(seat, 0.0), operation.sent)
            if stay is not None:
                report.check(
                    "kept", operation.sent <= stay.end,
                    f"{facts.code}: {operation.person} used the seat {seat} after its end",
                )  # fmt: skip


def check_stored(
    facts: RoomFacts, stays: Iterable[Stay], final: Final | None, logged: Iterable[str] | None, report: Report
) -> None:
    """Check that every acknowledged seat is in the list of all stays, and in the event log."""
    listed = final.stays if final is not None else None
    sources = [("the list of participants", listed), ("the event log", logged)]
    known = [(name, set(ids)) for name, ids in sources if ids is not None]
    for stay in stays:
        if stay.acknowledged < inf:
            for name, ids in known:
                report.check(
                    "kept", stay.id in ids, f"{facts.code}: {stay.person} has the seat {stay.id}, not in {name}"
                )


def check_connections(facts: RoomFacts, operations: Sequence[Operation], report: Report) -> None:
    """Check that a connection whose seat was taken over does nothing with it any more."""
    taken: dict[str, tuple[float, int]] = {}  # the connection that took a seat last, and when that was answered
    for operation in sorted(operations, key=lambda one: one.until):
        seat = operation.seat
        if not operation.is_done or seat is None:
            continue
        if operation.kind in ("join", "resume"):
            taken[seat] = operation.until, operation.connection
            continue
        at, connection = taken.get(seat, (inf, operation.connection))
        report.check(
            "doubles", connection == operation.connection or operation.sent < at,
            f"{facts.code}: {operation.person} used the seat {seat} on two connections",
        )  # fmt: skip


def check_ends(facts: RoomFacts, operations: Sequence[Operation], report: Report) -> None:
    """Check that nobody got a seat in a room that had ended, and nobody was told of an end that nobody asked for."""
    ends = [operation for operation in operations if operation.kind == "end"]
    asked = min((operation.sent for operation in ends), default=inf)
    ended = min((operation.until for operation in ends if operation.is_done), default=inf)
    for operation in operations:
        if operation.kind in ("join", "resume", "say") and operation.answered is not None:
            if operation.is_done:
                report.check(
                    "ends",
                    operation.sent < ended,
                    f"{facts.code}: {operation.kind} of {operation.person} after the end",
                )
            elif operation.outcome == "room_inactive":
                report.check("ends", asked < operation.answered, f"{facts.code}: ended, and nobody asked for that")
    if facts.seen_end < inf:
        report.check("ends", asked < facts.seen_end, f"{facts.code}: ended, and nobody asked for that")


def check_ids(facts: RoomFacts, what: str, items: Iterable[tuple[float, float, str]], report: Report) -> None:
    """Check that ids grow in the order of time.

    An item is the time at which something was asked for, the time of the answer, and the id that came of it.
    """
    asked = sorted(items)
    answered = sorted((until, key) for _, until, key in asked if until < inf)
    greatest: list[str] = []
    for _, key in answered:
        greatest.append(max(key, greatest[-1]) if greatest else key)
    times = [until for until, _ in answered]
    for begin, _, key in asked:
        number = bisect_right(times, begin)
        if number:
            is_later = key >= greatest[number - 1]
            report.check("order", is_later, f"{facts.code}: {what} {key} is before one that was answered earlier")


def check_messages(facts: RoomFacts, operations: Sequence[Operation], final: Final, report: Report) -> None:
    """Check that each acknowledged message is stored once, no message twice, and none that nobody sent."""
    sent = {(one.seat or "", one.client_id): one for one in operations if one.kind == "say"}
    first: dict[tuple[str, str], tuple[float, float]] = {}
    for one in operations:
        if one.kind == "say":
            key = (one.seat or "", one.client_id)
            begin, until = first.get(key, (inf, inf))
            first[key] = min(begin, one.sent), min(until, one.until if one.is_done else inf)
    stored = Counter((text.sender, text.client_id) for text in final.texts)
    for key, (_, until) in first.items():
        if until < inf:
            report.check("messages", stored[key] > 0, f"{facts.code}: message {key[1]} of {sent[key].person} was lost")
    for key, number in stored.items():
        report.check("messages", number == 1, f"{facts.code}: message {key[1]} of {key[0]} is stored {number} times")
        report.check("messages", key in first, f"{facts.code}: nobody sent message {key[1]} of {key[0]}")
    ids = [text.id for text in final.texts]
    report.check("order", ids == sorted(ids), f"{facts.code}: list-messages is out of order")
    known = set(ids)
    lost = [key for key in facts.texts if key not in known]
    report.check("messages", not lost, f"{facts.code}: message {lost[:1]} was told and is not stored")
    times = [
        (*first[text.sender, text.client_id], text.id) for text in final.texts if (text.sender, text.client_id) in first
    ]
    check_ids(facts, "message", times, report)
