"""The three ways to read the event log give the same record, whoever is killed meanwhile."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from roomd.protocol import log_events
from roomd.protocol.log_events import LogEvent
from roomd.rooms.event_log import reference
from tests.support.daemon import Daemon, faults
from tests.support.people import BOB, BOB_AWAY, BOB_LEFT, JANE, ROOM
from tests.support.processes import PATIENCE
from tests.support.readers.check import find_faults
from tests.support.readers.follow import KINDS
from tests.support.readers.record import Record, read_record
from tests.support.readers.run import DOWN, TROUBLES, Plan, Readers, run
from tests.support.readers.truth import Notes, Restart, Truth, find_lost, possible_reasons, read_truth
from tests.support.views import seconds

SHORT = Plan(seed=1, actions=60, people=10, pause=0.2, hold=0.5, kill=25, kill_reader=3, down=0.5)
"""The short form of `make readers`."""


@pytest.mark.long
async def test_every_record_is_the_table(make_daemon: Callable[..., Daemon], tmp_path: Path, untraced: None) -> None:
    """Each has every event once, in order, though daemon and readers are killed; replayed, it is the table."""
    readers = Readers(tmp_path, SHORT)
    outcome = await run(make_daemon(**readers.settings), readers, SHORT)
    assert outcome.wrong == []
    assert {reader.name for reader in readers.all} == {"webhook", DOWN, *TROUBLES, *KINDS}
    assert all(reader.kills for reader in readers.all)
    assert outcome.figures["kills of the daemon"] != 0


def record() -> list[dict[str, Any]]:
    """Return the record of a room that Jane and Bob join; Bob's hold runs out, and the room ends with Jane in it."""
    room = reference(ROOM)
    empty = msgspec.structs.replace(ROOM, participant_count=0)
    end = "2026-03-03T10:50:00.000Z"
    events: list[LogEvent] = [
        log_events.LoggedRoomCreated(ROOM.created_at, empty),
        log_events.LoggedParticipantJoined(JANE.joined_at, room, JANE),
        log_events.LoggedParticipantJoined(BOB.joined_at, room, BOB),
        log_events.LoggedParticipantDropped(BOB_LEFT.left_at or "", room, BOB_AWAY),
        log_events.LoggedParticipantLeft("2026-03-03T10:40:30.000Z", room, BOB_LEFT, "expired", 240.0),
        log_events.LoggedParticipantLeft(
            end, room, msgspec.structs.replace(JANE, is_active=False, left_at=end), "room-ended", 840.0
        ),
        log_events.LoggedRoomEnded(end, msgspec.structs.replace(empty, is_active=False, ended_at=end)),
    ]
    return [{**msgspec.to_builtins(event), "id": f"e{number}"} for number, event in enumerate(events)]


def truth() -> Truth:
    """Return what the database has of it."""
    events = record()
    stays = {event["participant"]["id"]: event["participant"] for event in events if event["type"] == LEFT}
    reasons: dict[str, frozenset[str | None]] = {"bob": frozenset({"expired"}), "jane": frozenset({"room-ended"})}
    log = {event["id"]: event["type"] for event in events}
    return Truth(log, stays, reasons, {"r": "2026-03-03T10:50:00.000Z"})


LEFT = "participant-left"
JANE_WAS_THERE = "Jane from 2026-03-03T10:36:00.000Z to 2026-03-03T10:50:00.000Z, not connected"
BOB_WAS_THERE = "Bob from 2026-03-03T10:36:00.000Z to 2026-03-03T10:40:00.000Z, not connected"


def changed(number: int, **fields: Any) -> list[dict[str, Any]]:
    """Return the record with an event that is different."""
    events = record()
    events[number] = {**events[number], **fields}
    return events


def later(number: int) -> list[dict[str, Any]]:
    """Return the record with an event after the next one."""
    events = record()
    events[number : number + 2] = events[number + 1], events[number]
    return events


NEW = {**record()[3], "id": "new"}
BAD: dict[str, tuple[list[dict[str, Any]], list[str]]] = {
    "the end of a stay is missing": (
        [event for event in record() if event["id"] != "e4"],
        [
            "room-ended e6: it does not follow from the events before",
            "participant-left e4: missing",
            f"participant bob: {BOB_WAS_THERE.replace('2026-03-03T10:40:00.000Z', 'None')} in the record, "
            f"{BOB_WAS_THERE} in the table",
            "room r: ended None in the record, 2026-03-03T10:50:00.000Z in the table",
        ],
    ),
    "a drop is missing": (
        [event for event in record() if event["id"] != "e3"],
        ["participant-dropped e3: missing"],
    ),
    "the last events are missing": (
        record()[:5],
        [
            "participant-left e5: missing",
            "room-ended e6: missing",
            "participant jane: Jane from 2026-03-03T10:36:00.000Z to None, connected in the record, "
            f"{JANE_WAS_THERE} in the table",
            "room r: ended None in the record, 2026-03-03T10:50:00.000Z in the table",
        ],
    ),
    "twice": ([*record()[:4], *record()[3:]], ["participant-dropped e3: twice"]),
    "in another order": (later(1), ["participant-joined e1: after a later one"]),
    "in an impossible order": (
        later(3),
        [
            "participant-dropped e3: it does not follow from the events before",
            "participant-dropped e3: after a later one",
        ],
    ),
    "another reason": (
        changed(4, reason="left"),
        ["participant bob: left in the record, and it must be expired"],
    ),
    "another time": (
        changed(4, participant={**record()[4]["participant"], "leftAt": "2026-03-03T10:40:30.000Z"}),
        [
            f"participant bob: {BOB_WAS_THERE.replace('10:40:00', '10:40:30')} in the record, "
            f"{BOB_WAS_THERE} in the table"
        ],
    ),
    "told and not stored": (
        [*record()[:2], {**record()[1], "id": "new", "participant": msgspec.to_builtins(BOB)}, *record()[2:]],
        [
            "participant-joined e2: it does not follow from the events before",
            "event new: it is not in the log",
        ],
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_record_is_noticed(case: str) -> None:
    """What is missing, twice, out of order, or not as in the table."""
    bad, faults_ = BAD[case]
    assert find_faults(bad, truth()) == faults_


def test_a_good_record() -> None:
    """What was logged after the look at the table does not count, and what a webhook delivers again counts once."""
    assert find_faults(record(), truth()) == []
    assert find_faults([*record(), NEW], truth()) == []
    again = [*record()[:4], *record()[2:]]
    assert find_faults(again, truth(), may_repeat=True) == []
    again[4] = {**again[4], "at": ""}
    assert find_faults(again, truth(), may_repeat=True) == ["participant-joined e2: again, and not the same"]


DROPPED, SOON, LATE, LATER = (f"2026-03-03T10:50:{second}.000Z" for second in ("00", "02", "04", "50"))
WHY: dict[str, tuple[str | None, str | None, str | None, dict[str, int], set[str | None]]] = {
    "somebody who is there": (None, None, None, {}, {None}),
    "somebody who is held": (None, DROPPED, None, {"removed": 1}, {None}),
    "a leave, and the daemon ended": (SOON, None, None, {"left": 1}, {"left"}),
    "a move, and a removal without an answer": (
        SOON, None, LATER, {"took-another-room": 1, "removed": 1}, {"took-another-room", "removed"},
    ),
    "nothing was asked for": (SOON, None, LATER, {}, set()),
    "the room ended": (LATER, None, LATER, {}, {"room-ended"}),
    "a hold that ran out": (DROPPED, DROPPED, None, {"left": 1}, {"expired"}),
    "a removal while it was held": (DROPPED, DROPPED, None, {"removed": 1}, {"removed", "expired"}),
    "a room that ended in the hold": (DROPPED, DROPPED, SOON, {}, {"room-ended"}),
    "a room that ended when the hold did": (DROPPED, DROPPED, LATE, {}, {"room-ended", "expired"}),
    "a room that ended after the hold": (DROPPED, DROPPED, LATER, {}, {"expired"}),
}  # fmt: skip


@pytest.mark.parametrize("case", WHY)
def test_why_a_stay_has_ended(case: str) -> None:
    """By the times in the table, and by what was asked for. What was acknowledged is certain."""
    left_at, dropped_at, ended_at, asked, expected = WHY[case]
    notes = Notes()
    notes.asked["seat"].update(asked)
    assert possible_reasons("seat", left_at, dropped_at, ended_at, 3.0, notes) == expected
    if left_at is not None:
        notes.ask("seat", "left")
        notes.answer("seat", "left", is_done=True)
        assert possible_reasons("seat", left_at, dropped_at, ended_at, 3.0, notes) == {"left"}


def test_a_hold_that_a_restart_began_anew() -> None:
    """It is over later, so the room may have ended before; a restart after the hold changes nothing."""
    notes, dropped = Notes(), seconds(DROPPED)
    notes.restarts += [Restart(dropped - 5, dropped - 4), Restart(dropped + 30, dropped + 49)]
    assert possible_reasons("seat", DROPPED, DROPPED, LATER, 3.0, notes) == {"expired"}
    notes.restarts.insert(1, Restart(dropped + 2, dropped + 46))
    assert possible_reasons("seat", DROPPED, DROPPED, LATER, 3.0, notes) == {"expired", "room-ended"}


def test_a_request_that_was_refused() -> None:
    """It has not ended the stay; another one, which had no answer, may have."""
    notes = Notes()
    notes.ask("seat", "removed")
    notes.answer("seat", "removed", is_done=False)
    assert possible_reasons("seat", SOON, None, None, 3.0, notes) == set()
    notes.ask("seat", "removed")
    notes.ask("seat", "removed")
    notes.answer("seat", "removed", is_done=False)
    assert possible_reasons("seat", SOON, None, None, 3.0, notes) == {"removed"}


async def test_a_seat_that_is_not_in_the_table(make_daemon: Callable[..., Daemon]) -> None:
    """Who was told of a seat has it in the table."""
    daemon, notes = make_daemon(), Notes()
    room = await daemon.room()
    async with daemon.client("bob") as bob:
        seat = (await bob.join(room["code"]))["participant"]["id"]
    notes.sit(seat, "bob", room["code"])
    assert find_lost(notes, read_truth(daemon, notes, 3.0)) == []
    notes.sit(seat, "carol", room["code"])
    notes.sit("other", "dave", room["code"])
    assert find_lost(notes, read_truth(daemon, notes, 3.0)) == [
        f"participant {seat}: carol was told of the seat, and the table has bob",
        "participant other: dave was told of the seat, and the table has nobody",
    ]


@pytest.mark.parametrize("torn", [b"", b"ok", b'ok {"id": "c", "position": "3"}'])
def test_a_reader_goes_on_from_its_record(tmp_path: Path, torn: bytes) -> None:
    """A torn last line is cut off: its event is read again."""
    file = tmp_path / "record"
    with Record(file) as new:
        assert new.position is None
        new.add([b'{"id": "a", "position": "1"}', b'{"id": "b", "position": "2"}'])
        new.add([])
        assert new.position == "2"
    with file.open("ab") as more:
        more.write(torn)
    assert [given.event["id"] for given in read_record(file)] == ["a", "b"]
    with Record(file) as again:
        assert again.position == "2"
        again.add([b'{"id": "c", "position": "3"}'], "500")
        assert again.position == "3"
    assert [(given.how, given.event["id"], given.is_kept) for given in read_record(file)] == [
        ("ok", "a", True),
        ("ok", "b", True),
        ("500", "c", False),
    ]
    assert read_record(tmp_path / "none") == []


def token(daemon: Daemon) -> str:
    return daemon.token("root", ttl=1e6, roomd={"admin": True})


async def test_a_restart_with_many_readers(make_daemon: Callable[..., Daemon]) -> None:
    """Polls are answered and streams end at once when the daemon stops, so it stops as soon as without them."""
    daemon = make_daemon()
    head = f"Host: x\r\nAuthorization: Bearer {token(daemon)}\r\n"
    pairs = []
    for number in range(100):
        reader, writer = await asyncio.open_connection("127.0.0.1", daemon.port)
        accept = "Accept: text/event-stream\r\n" if number % 2 else ""
        writer.write(f"GET /api/v1/events?after=latest&wait=25 HTTP/1.1\r\n{head}{accept}\r\n".encode())
        pairs.append((reader, writer))
    async with asyncio.timeout(PATIENCE):
        for reader, _ in pairs[1::2]:
            await reader.readuntil(b"retry: ")
        began = asyncio.get_running_loop().time()
        assert await asyncio.to_thread(daemon.stop) == 0
        taken = asyncio.get_running_loop().time() - began
        ends = [await reader.read() for reader, _ in pairs]
    assert taken < 2, "less than what requests that do not end are given"
    for number, end in enumerate(ends):
        assert end.endswith(b"0\r\n\r\n") if number % 2 else end.startswith((b"HTTP/1.1 200", b"HTTP/1.1 503"))
    for _, writer in pairs:
        writer.close()
    assert faults(daemon) == []
