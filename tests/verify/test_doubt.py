"""The audit finds nothing in histories in which requests are in doubt, or parts of the records are missing."""

from collections.abc import Callable

import pytest

from roomd.verify.audit import audit
from roomd.verify.records import Changes, Gone, History, Listing, Seated, State, Told
from tests.support.histories import ANN, BOB, M1, M2, ROOM, asked, make_history, state

Change = Callable[[History], object]


def _lost_leave(h: History) -> None:
    """The reply to a leave is lost, and it was carried out."""
    h.operations[7].answered = h.operations[7].outcome = None


def _lost_join(h: History) -> None:
    """The reply to a join is lost, and the seat is there: others find the room full."""
    h.operations[1].answered = h.operations[1].outcome = h.operations[1].seat = None
    h.tracks[1].entries[:] = [Gone(4)]


def _lost_join_without_log(h: History) -> None:
    """Nobody saw the seat of a join without a reply, and the log is not known: the room may be full."""
    h.logs.clear()
    h.operations[:] = [
        h.operations[0],
        asked("join", "dan", 5, 1.5, None),
        asked("join", "cy", 3, 5, "room_full"),
        *h.operations[4:5],
        *h.operations[-1:],
    ]
    h.tracks[:] = h.tracks[:1]
    h.tracks[0].entries[:] = [Seated(2, "p1"), state(2, 1, ANN), Told(8.5, M1)]
    h.finals.clear()
    h.listings.clear()


def _lost_message(h: History) -> None:
    """The reply to a message is lost; it was stored."""
    h.operations[6].answered = h.operations[6].outcome = None


def _lost_message_of_nobody(h: History) -> None:
    """The reply to a message is lost; it was not stored."""
    h.operations.append(asked("say", "ann", 1, 17.5, None, seat="p1", client_id="8"))


def _message_sent_again(h: History) -> None:
    """A message whose reply was lost is sent again, and is stored once."""
    h.operations.insert(4, asked("say", "ann", 1, 7, None, seat="p1", client_id="1"))


def _lost_end(h: History) -> None:
    """The reply to the end is lost, and a client finds the room ended."""
    h.operations[-1].answered = h.operations[-1].outcome = None
    h.operations.append(asked("join", "dan", 5, 20, "room_inactive"))


def _two_epochs(h: History) -> None:
    """Another node takes the room: the version begins anew, and everybody gets the state unasked."""
    track = h.tracks[0].entries
    track[5:] = [
        state(12, 1, ANN, BOB, texts=(M1,))._replace(epoch="f"),
        Told(13, M2),
        *(one._replace(seq=one.seq - 3) for one in track[7:9] if isinstance(one, Changes)),
        track[9],
    ]  # fmt: skip
    for one in h.tracks[2:]:
        entry = one.entries[1]
        assert isinstance(entry, State)
        one.entries[1] = entry._replace(epoch="f", seq=entry.seq - 3)
    h.listings[ROOM] = [Listing("f", 3, {"p1": True, "p3": True})]


def _no_log(h: History) -> None:
    """The server keeps no event log."""
    h.logs.clear()


def _no_end(h: History) -> None:
    """The servers could not be asked in the end."""
    h.finals.clear()
    h.listings.clear()
    h.logs.clear()


@pytest.mark.parametrize(
    "change",
    [
        _lost_leave, _lost_join, _lost_join_without_log, _lost_message, _lost_message_of_nobody, _message_sent_again,
        _lost_end, _two_epochs, _no_log, _no_end,
    ],
    ids=lambda change: change.__doc__,
)  # fmt: skip
def test_doubt_is_no_fault(change: Change) -> None:
    """A request without an answer may have been carried out or not: the audit takes what explains the rest."""
    history = make_history()
    change(history)
    report = audit(history)
    assert report.broken() == [], [report.rules[rule].evidence for rule in report.broken()]
