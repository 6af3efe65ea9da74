"""The rules about the event log: `log`, `limit`, `doubles`, `kept`, `order`."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from roomd.verify.facts import RoomFacts
from roomd.verify.records import Listing, LogRecord, Operation
from roomd.verify.replay import LogEvent, OutOfPlace, Replay
from roomd.verify.report import Report
from roomd.verify.stays import Stay

HOLD_OF_GUESTS = 3.0
"""The seconds for which the seat of a guest is held who had just come (docs/protocol.md, section 5)."""
Times = Mapping[str, float]
"""When the first reader was given each event, by the event's id."""


class RoomLog(msgspec.Struct):
    """The log of one room."""

    code: str
    events: list[LogEvent]
    times: Times
    replay: Replay = msgspec.field(default_factory=Replay)
    places: dict[tuple[str, str], int] = {}
    """Where in the room's events somebody joined and left, by type of event and participant id."""


def who_is(person: Mapping[str, Any]) -> str:
    """Return the person of a participant, as `records.Person.who`."""
    return str(person["guestName"] or person["userId"])


def compare_logs(logs: Sequence[LogRecord], report: Report) -> dict[str, RoomLog]:
    """Check that all readers were given the same, each event once, and return the log of each room, by code."""
    times: dict[str, float] = {}
    rooms: dict[str, RoomLog] = {}
    for log in logs:
        by_room: dict[str, list[LogEvent]] = {}
        seen: set[str] = set()
        for at, event in log.events:
            key = event["id"]
            report.check("doubles", key not in seen, f"{log.node}: {event['type']} {key} came twice in the event log")
            seen.add(key)
            times[key] = min(at, times.get(key, at))
            by_room.setdefault(event["room"]["code"], []).append(event)
        for code, events in by_room.items():
            first = rooms.setdefault(code, RoomLog(code, events, times))
            report.check_each("log", _differences(first.events, events, log.node, code))
    return rooms


def _differences(first: Sequence[LogEvent], other: Sequence[LogEvent], node: str, code: str) -> list[str]:
    ids, others = [event["id"] for event in first], [event["id"] for event in other]
    if ids == others:
        return []
    for place, (one, two) in enumerate(zip(ids, others, strict=False)):
        if one != two:
            here, there = other[place]["type"], first[place]["type"]
            return [f"{code}: event {place} at {node} is {here} {two}, elsewhere {there} {one}"]
    return [f"{code}: {len(others)} events at {node}, elsewhere {len(ids)}"]


def replay_log(log: RoomLog, facts: RoomFacts, report: Report) -> None:
    """Replay the log of a room: the limit holds at each event, and nobody has two seats."""
    seats: dict[str, str] = {}  # participant ids by person
    for place, event in enumerate(log.events):
        try:
            log.replay.read([event])
        except OutOfPlace as fault:
            report.check("log", False, f"{log.code}: {fault}")
        else:
            report.check("log", True, "")
        kind, person = event["type"], event.get("participant")
        if kind == "room-ended":
            facts.seen_end = min(facts.seen_end, log.times[event["id"]])
        if person is None:
            continue
        who, key = who_is(person), person["id"]
        facts.who[key] = who
        log.places[kind, key] = place
        if kind == "participant-joined":
            before = seats.get(who)
            report.check("doubles", before is None, f"{log.code}: {who} got the seat {key} and has {before}")
            seats[who] = key
            taken = len(log.replay.present(person["roomId"]))
            report.check("limit", taken <= facts.limit, f"{log.code}: {taken} seats of {facts.limit} in the event log")
        elif kind == "participant-left":
            seats.pop(who, None)
            facts.see_left(key, log.times[event["id"]])


def check_left(
    log: RoomLog, stays: Mapping[str, Stay], operations: Sequence[Operation], hold: float, report: Report
) -> None:
    """Check that each end of a seat was asked for, or that its connection was away for so long (rule `kept`)."""
    ends = [operation.sent for operation in operations if operation.kind == "end"]
    proofs: dict[str, list[float]] = {}
    for operation in operations:
        if operation.is_done and operation.seat is not None:
            proofs.setdefault(operation.seat, []).append(operation.sent)
    held: set[str] = set()
    for event in log.events:
        person, kind = event.get("participant", {}), event["type"]
        key = person.get("id", "")
        if kind == "participant-left":
            at, stay = log.times[event["id"]], stays[key]
            proof = max((sent for sent in proofs.get(key, ()) if sent < at), default=0.0)
            is_meant = {
                "left": any(sent < at for sent in stay.leaves),
                "room-ended": any(sent < at for sent in ends),
                "expired": at - proof >= (hold if person["userId"] is not None else min(hold, HOLD_OF_GUESTS)),
                "displaced": key in held and person["userId"] is None,
            }
            how = f"({event['reason']}) {at - proof:.2f} s after its last use"
            is_fine = is_meant.get(event["reason"], False)
            report.check("kept", is_fine, f"{log.code}: {stay.person} lost the seat {key} {how}")
        (held.add if kind == "participant-dropped" else held.discard)(key)


def check_stored(log: RoomLog, stored: Mapping[str, str | None], report: Report) -> None:
    """Compare the stays in the log with those that the server lists after the end."""
    told = {key: person["leftAt"] for key, person in log.replay.stays.items()}
    wrong = [key for key in sorted(told.keys() | stored.keys()) if told.get(key, "") != stored.get(key, "")]
    report.check(
        "log", not wrong, f"{log.code}: participant {wrong[:1]} is not the same in the event log and in the list"
    )


def check_order(log: RoomLog, facts: RoomFacts, report: Report) -> None:
    """Check that the log has joins and ends in the order in which clients were told of them.

    What one `participants-changed` has was one commit, so its events are before those of the next one.
    """
    told: dict[tuple[str, int], list[int]] = {}
    for kind, places in (("participant-joined", facts.joined), ("participant-left", facts.left)):
        for key, version in places.items():
            place = log.places.get((kind, key))
            report.check("log", place is not None, f"{log.code}: clients were told of the {kind} of {key}, not the log")
            if place is not None:
                told.setdefault(version, []).append(place)
    last: dict[str, int] = {}
    for (epoch, seq), numbers in sorted(told.items()):
        report.check(
            "order",
            min(numbers) > last.get(epoch, -1),
            f"{log.code}: the event log has seq {seq} before an earlier one",
        )
        last[epoch] = max(numbers)


def check_listing(listing: Listing, facts: RoomFacts, report: Report) -> None:
    """Check that what an admin listed is the state that clients have."""
    state = facts.states.get((listing.epoch, listing.seq))
    if state is not None:
        report.check(
            "state", state == listing.people, f"{facts.code}: list-participants at seq {listing.seq} is another"
        )
