"""What the records have to agree with: the database, and what was asked of the daemon."""

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from roomd.protocol.logged import id_of, type_of
from tests.support.attacks.line import Frame
from tests.support.daemon import Daemon
from tests.support.databases import reading
from tests.support.views import as_sent, seconds

LATE = 2.0
"""Seconds by which a busy daemon may give up a seat after its hold."""
CONNECTED = ("left", "removed", "took-another-room")
"""Why somebody leaves a seat that is connected, if they or a host asked for it."""


class Restart(NamedTuple):
    """When the daemon was killed, and when it served again, in seconds since the epoch."""

    killed_at: float
    served_at: float


class Notes:
    """What people asked for, and what they were answered, by participant id."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}
        """Those of everybody who was told of a seat: user ids, and names of guests."""
        self.here: dict[str, str] = {}
        """The codes of the rooms of those who may still have a seat."""
        self.asked: defaultdict[str, Counter[str]] = defaultdict(Counter)
        """The requests that may have ended a stay, by the reason that it has then: those that were not refused."""
        self.done: dict[str, str] = {}
        """The reason of stays that a request has ended, which was acknowledged."""
        self.restarts: list[Restart] = []
        """The restarts of the daemon."""

    def sit(self, seat: str, name: str, code: str) -> None:
        """Note that somebody was told of a seat."""
        self.names[seat] = name
        self.here[seat] = code

    def ask(self, seat: str, reason: str) -> None:
        """Note that a request is about to be sent, which ends the stay for this reason."""
        self.asked[seat][reason] += 1

    def answer(self, seat: str, reason: str, *, is_done: bool) -> None:
        """Note the answer to such a request: it is done, or it was refused."""
        if is_done:
            self.done[seat] = reason
        else:
            self.asked[seat][reason] -= 1

    def end(self, code: str) -> None:
        """Note that a room has ended."""
        self.here = {seat: where for seat, where in self.here.items() if where != code}


class Truth(NamedTuple):
    """What the database has, read in one transaction."""

    log: dict[str, str]
    """The types of all events by their ids, in the order of the log."""
    stays: dict[str, Frame]
    """Everybody who was ever in a room: as on the wire, by participant id."""
    reasons: dict[str, frozenset[str | None]]
    """For each of them why the stay may have ended; None while it has not."""
    ends: dict[str, str]
    """When rooms ended, by their ids."""


def read_truth(daemon: Daemon, notes: Notes, hold: float) -> Truth:
    """Read the database. `hold` is `rooms.seat_hold`, which must be so short that a guest's is the same."""
    with reading(daemon) as db:
        rows = db.execute("SELECT body FROM events ORDER BY position").fetchall()
        log = {id_of(event): type_of(event) for event in (row[0].encode() for row in rows)}
        rows = db.execute("SELECT * FROM participants").fetchall()
        ends = dict(map(tuple, db.execute("SELECT id, ended_at FROM rooms WHERE ended_at IS NOT NULL")))
    reasons = {
        row["id"]: possible_reasons(row["id"], row["left_at"], row["dropped_at"], ends.get(row["room_id"]), hold, notes)
        for row in rows
    }
    return Truth(log, {row["id"]: as_sent(row) for row in rows}, reasons, ends)


def possible_reasons(
    seat: str, left_at: str | None, dropped_at: str | None, ended_at: str | None, hold: float, notes: Notes
) -> frozenset[str | None]:
    """Return why a stay may have ended, by the times in the table and by what was asked for.

    The table does not have the reason. A seat that was held at the end has the time of its drop. More than one reason
    is possible where a request was sent and the daemon ended before it answered, and where a room ended at about the
    time at which the hold was over.
    """
    if left_at is None:
        return frozenset({None})
    if seat in notes.done:
        return frozenset({notes.done[seat]})
    asked = +notes.asked[seat]
    if dropped_at is None:
        return frozenset((asked.keys() & CONNECTED) | ({"room-ended"} if left_at == ended_at else set()))
    found = asked.keys() & {"removed"}
    dropped, ended = seconds(dropped_at), seconds(ended_at) if ended_at is not None else math.inf
    if ended > dropped + hold - 0.01:  # times are cut to milliseconds
        found.add("expired")
    if ended < _end_of_hold(dropped, hold, notes.restarts) + LATE:
        found.add("room-ended")
    return frozenset(found)


def _end_of_hold(dropped: float, hold: float, restarts: Sequence[Restart]) -> float:
    """Return when a hold is over at the latest. One that has not ended when the daemon does begins anew."""
    end = dropped + hold
    for restart in restarts:
        if dropped < restart.served_at and restart.killed_at < end + LATE:
            end = restart.served_at + hold
    return end


def find_lost(notes: Notes, truth: Truth) -> list[str]:
    """Return the seats that clients were told of and that are not in the table, or are somebody else's, a line each."""
    stays = {key: one["userId"] or one["guestName"] for key, one in truth.stays.items()}
    return [
        f"participant {seat}: {name} was told of the seat, and the table has {stays.get(seat, 'nobody')}"
        for seat, name in notes.names.items()
        if stays.get(seat) != name
    ]
