"""The audit: records in, findings out.

It does not search for an order of all requests that explains every answer. It checks conditions that are necessary in
any such order, so it reports no false fault: of a request without an answer it assumes what explains most. What it
therefore cannot see: a refusal that is wrong while a request is in doubt whose effect would explain it.
"""

from math import inf

from roomd.verify import log, seats
from roomd.verify.facts import RoomFacts
from roomd.verify.records import History, Operation
from roomd.verify.report import Report
from roomd.verify.stays import find_stays
from roomd.verify.views import check_track


def audit(history: History) -> Report:
    """Check every rule. See `report.RULES`."""
    report = Report()
    logs = log.compare_logs(history.logs, report)
    by_room: dict[str, list[Operation]] = {}
    for operation in sorted(history.operations, key=lambda one: one.sent):
        by_room.setdefault(operation.room, []).append(operation)
    for code, operations in by_room.items():
        _audit_room(history, code, operations, logs.get(code), report)
    report.check_each("settled", history.unsettled)
    return report


def _audit_room(
    history: History, code: str, operations: list[Operation], room_log: log.RoomLog | None, report: Report
) -> None:
    facts = RoomFacts(code, history.limit)
    heard = [check_track(track, facts, report) for track in history.tracks if track.room == code]
    final = history.finals.get(code)
    for text in final.texts if final is not None else ():
        facts.texts.setdefault(text.id, text)
    ids = sorted(facts.texts)
    for one in heard:
        one.check_gaps(ids)
    if room_log is not None:
        log.replay_log(room_log, facts, report)
    stays = find_stays(operations, facts)
    seats.check_counts(facts, stays, operations, report, is_log_whole=room_log is not None)
    seats.check_kept(facts, stays, operations, history.hold, report)
    seats.check_connections(facts, operations, report)
    seats.check_ends(facts, operations, report)
    times = [(stay.begin, stay.acknowledged, stay.id) for stay in stays.values() if stay.acknowledged < inf]
    seats.check_ids(facts, "participant", times, report)
    logged = room_log.replay.stays if room_log is not None else None
    seats.check_stored(facts, stays.values(), final, logged, report)
    for listing in history.listings.get(code, ()):
        log.check_listing(listing, facts, report)
    if final is not None:
        seats.check_messages(facts, operations, final, report)
    if room_log is not None:
        log.check_left(room_log, stays, operations, history.hold, report)
        log.check_order(room_log, facts, report)
        if final is not None:
            log.check_stored(room_log, final.stays, report)
