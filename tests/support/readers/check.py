"""The check of one record: replayed, it is the table of participants; in order, nothing missing, nothing twice."""

from collections.abc import Sequence

from roomd.verify.replay import OutOfPlace, Replay
from tests.support.attacks.line import Frame
from tests.support.readers.truth import Truth


def find_faults(record: Sequence[Frame], truth: Truth, *, may_repeat: bool = False) -> list[str]:
    """Return what is wrong with a record, a line each. What was logged after `truth` was read is left out.

    With `may_repeat` an event may have been delivered again: the reader knows it by its id.
    """
    wrong: list[str] = []
    kept: dict[str, Frame] = {}
    for event in record:
        before = kept.setdefault(event["id"], event)
        if before is not event and not may_repeat:
            wrong.append(f"{_named(event)}: twice")
        elif before != event:
            wrong.append(f"{_named(event)}: again, and not the same")
    events = list(kept.values())
    while events and events[-1]["id"] not in truth.log:
        events.pop()
    replay = Replay()
    for event in events:
        try:
            replay.read([event])
        except OutOfPlace:
            wrong.append(f"{_named(event)}: it does not follow from the events before")
    return [*wrong, *_compare_order([event["id"] for event in events], truth), *_compare_stays(replay, truth)]


def _compare_order(ids: Sequence[str], truth: Truth) -> list[str]:
    """Compare the events with those of the log."""
    known = set(ids)
    wrong = [f"{kind} {key}: missing" for key, kind in truth.log.items() if key not in known]
    order = {key: number for number, key in enumerate(truth.log)}
    last = -1
    for key in ids:
        if key not in order:
            wrong.append(f"event {key}: it is not in the log")
        elif order[key] < last:
            wrong.append(f"{truth.log[key]} {key}: after a later one")
        else:
            last = order[key]
    return wrong


def _compare_stays(replay: Replay, truth: Truth) -> list[str]:
    """Compare who was there, from when, to when and why, and when rooms ended."""
    wrong = []
    for key in sorted(replay.stays.keys() | truth.stays.keys()):
        told, stored = replay.stays.get(key), truth.stays.get(key)
        if told != stored:
            wrong.append(f"participant {key}: {_brief(told)} in the record, {_brief(stored)} in the table")
        elif (reason := replay.reasons.get(key)) not in truth.reasons[key]:
            expected = " or ".join(sorted(map(str, truth.reasons[key]))) or "there"
            wrong.append(f"participant {key}: {reason} in the record, and it must be {expected}")
    ends = {key: room["endedAt"] for key, room in replay.rooms.items() if room["endedAt"] is not None}
    return wrong + [
        f"room {key}: ended {ends.get(key)} in the record, {truth.ends.get(key)} in the table"
        for key in sorted(ends.keys() | truth.ends.keys())
        if ends.get(key) != truth.ends.get(key)
    ]


def _named(event: Frame) -> str:
    return f"{event['type']} {event['id']}"


def _brief(person: Frame | None) -> str:
    if person is None:
        return "nobody"
    who = person["userId"] or person["guestName"]
    return f"{who} from {person['joinedAt']} to {person['leftAt']}, {'' if person['isActive'] else 'not '}connected"
