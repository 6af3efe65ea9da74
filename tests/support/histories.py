"""A made history of `roomd verify`: one room with two seats, in which everything happened as it must.

Ann (connection 1) and Bob (2) take the seats. Cy (3) is refused, because the room is full. Ann says m1. Bob drops,
comes back (4), says m2 and leaves. Then Cy gets a seat, and the room is ended.
"""

from typing import Any

from roomd.verify.records import (
    OK,
    Changes,
    Ended,
    Final,
    Gone,
    History,
    Kind,
    Listing,
    LogRecord,
    Operation,
    Person,
    Seated,
    State,
    Text,
    Told,
    Track,
)

ROOM = "abc-def-ghi"
EPOCH = "e"
ANN, BOB, CY = Person("p1", "ann", True), Person("p2", "bob", True), Person("p3", "cy", True)
AWAY = BOB._replace(is_active=False)
M1, M2 = Text("m1", "p1", "1"), Text("m2", "p2", "2")
LEFT = {"p1": "2026-03-03T10:00:20.000Z", "p2": "2026-03-03T10:00:15.000Z", "p3": "2026-03-03T10:00:20.000Z"}


def asked(kind: Kind, person: str, connection: int, sent: float, outcome: str | None = OK, **more: Any) -> Operation:
    """Return a request that was answered after a second; not at all without an outcome."""
    return Operation(
        kind=kind, room=ROOM, person=person, connection=connection, sent=sent, outcome=outcome,
        answered=None if outcome is None else sent + 1, **more,
    )  # fmt: skip


def state(at: float, seq: int, *people: Person, texts: tuple[Text, ...] = ()) -> State:
    """Return a `room-state`."""
    return State(at, EPOCH, seq, people, len(people), texts)


def changes(
    at: float,
    seq: int,
    joined: tuple[Person, ...] = (),
    updated: tuple[Person, ...] = (),
    left: tuple[Person, ...] = (),
) -> Changes:
    """Return a `participants-changed`."""
    return Changes(at, seq, joined, updated, left)


def logged(number: int, kind: str, person: Person | None = None, **more: Any) -> tuple[float, dict[str, Any]]:
    """Return an event of the log, which came `number` seconds after the begin."""
    room = {"id": "r", "code": ROOM, "participantCount": 0, "isActive": kind != "room-ended"}
    event = {"id": f"{kind} {number}", "type": kind, "room": room, **more}
    if person is not None:
        is_there = kind in ("participant-joined", "participant-returned")
        event["participant"] = {
            "id": person.id, "roomId": "r", "userId": person.who, "guestName": None, "displayName": person.who,
            "isActive": is_there, "joinedAt": "2026-03-03T10:00:00.000Z",
            "leftAt": LEFT[person.id] if kind == "participant-left" else None,
        }  # fmt: skip
    return float(number), event


def left(number: int, person: Person, reason: str) -> tuple[float, dict[str, Any]]:
    """Return the event that a seat was given up."""
    return logged(number, "participant-left", person, reason=reason, duration=1.0)


def make_log(node: str = "a") -> LogRecord:
    """Return what a reader of the log was given."""
    return LogRecord(
        node,
        [
            logged(0, "room-created"),
            logged(2, "participant-joined", ANN),
            logged(4, "participant-joined", BOB),
            logged(9, "participant-dropped", BOB),
            logged(11, "participant-returned", BOB),
            left(15, BOB, "left"),
            logged(17, "participant-joined", CY),
            left(20, ANN, "room-ended"),
            left(21, CY, "room-ended"),
            logged(22, "room-ended"),
        ],
    )


def make_history() -> History:
    """Return a new history, in which nothing is wrong."""
    operations = [
        asked("join", "ann", 1, 1, seat="p1"),
        asked("join", "bob", 2, 3, seat="p2"),
        asked("join", "cy", 3, 5, "room_full"),
        asked("look", "cy", 3, 6.2, count=2, is_full=True),
        asked("say", "ann", 1, 7.5, seat="p1", client_id="1"),
        asked("resume", "bob", 4, 10, seat="p2", given="p2"),
        asked("say", "bob", 4, 12, seat="p2", client_id="2"),
        asked("leave", "bob", 4, 14, seat="p2"),
        asked("join", "cy", 3, 16, seat="p3"),
        asked("say", "ann", 1, 18, "rate_limited", seat="p1", client_id="3"),
        asked("end", "host", 0, 19),
    ]
    ann = Track(1, "ann", ROOM, "a", [
        Seated(2, "p1"), state(2, 1, ANN), changes(4, 2, joined=(BOB,)), Told(8.5, M1), changes(9, 3, updated=(AWAY,)),
        changes(11, 4, updated=(BOB,)), Told(13, M2), changes(15, 5, left=(BOB,)), changes(17, 6, joined=(CY,)),
        Ended(20, 7),
    ])  # fmt: skip
    bob = Track(2, "bob", ROOM, "a", [Seated(4, "p2"), state(4, 2, ANN, BOB), Told(8.5, M1), Gone(9)])
    again = Track(4, "bob", ROOM, "b", [
        Seated(11, "p2"), state(11, 4, ANN, BOB, texts=(M1,)), Told(13, M2), Gone(15),
    ])  # fmt: skip
    cy = Track(3, "cy", ROOM, "b", [Seated(17, "p3"), state(17, 6, ANN, CY, texts=(M1, M2)), Ended(20, 7)])
    return History(
        limit=2, hold=3.0, operations=operations, tracks=[ann, bob, again, cy], logs=[make_log("a"), make_log("b")],
        listings={ROOM: [Listing(EPOCH, 6, {"p1": True, "p3": True})]},
        finals={ROOM: Final([M1, M2], dict(LEFT))},
    )  # fmt: skip
