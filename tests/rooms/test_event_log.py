"""The log events of a batch: one table for seats, one for reasons, and what else is logged."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest

from roomd.protocol.log_events import LogEvent
from roomd.rooms import commands
from roomd.rooms.event_log import created, dropped_at_start, log_events
from roomd.rooms.room import Command, Room
from roomd.rooms.settings import Settings
from tests.support.rooms import BOB, CAROL, GUEST, HOST, act, at, do, join, new_room, resume, someone

Step = tuple[Command[Any], float]


def logged(room: Room, *steps: Step, with_messages: bool = False) -> list[LogEvent]:
    """Do commands in one batch, and return its log events."""
    before, changes = room.checkpoint(), []
    for command, clock in steps:
        changes += act(room, command, clock)
    return log_events(before, changes, at(99).stamp, with_messages=with_messages)


def told(events: Sequence[LogEvent]) -> list[tuple[Any, ...]]:
    """Shorten events to their type, the participant, and the reason."""
    wire = [msgspec.to_builtins(event) for event in events]
    return [
        (
            one["type"],
            *((one["participant"]["id"],) if "participant" in one else ()),
            *filter(None, [one.get("reason")]),
        )
        for one in wire
    ]


def lobby() -> Room:
    """A room with a waiting room, in which Bob waits as `p1`."""
    room = new_room(waiting_room=True)
    do(room, join(BOB, "p1"))
    return room


def seated() -> Room:
    """A room in which Bob has the seat `p1`."""
    room = new_room()
    do(room, join(BOB, "p1"))
    return room


def held() -> Room:
    """The same, and the connection was lost at 10 seconds."""
    room = seated()
    do(room, commands.Drop("p1", 3, 0), 10)
    return room


def away() -> Room:
    """Bob waits, and the connection was lost."""
    room = lobby()
    do(room, commands.Drop("p1", 3, 0), 10)
    return room


LEAVE = commands.Leave("p1", 3)
JOINED, STARTED = ("participant-joined", "p1"), ("waiting-started", "p1", "waiting_room")
RETURNED, DROPPED = ("participant-returned", "p1"), ("participant-dropped", "p1")


def left(reason: str) -> list[tuple[str, ...]]:
    """The leave of `p1`."""
    return [("participant-left", "p1", reason)]


def ended(reason: str) -> list[tuple[str, ...]]:
    """The end of the waiting of `p1`."""
    return [("waiting-ended", "p1", reason)]


SEATS: dict[str, tuple[Callable[[], Room], list[Step], list[tuple[str, ...]]]] = {
    "joins": (new_room, [(join(BOB, "p1"), 1)], [JOINED]),
    "joins and leaves in one batch": (new_room, [(join(BOB, "p1"), 1), (LEAVE, 2)], [JOINED, *left("left")]),
    "joins again": (seated, [(join(BOB, "p1"), 1)], []),
    "resumes": (seated, [(resume("p1", "t-p1", 9), 1)], []),
    "drops": (seated, [(commands.Drop("p1", 3, 0), 1)], [DROPPED]),
    "drops and comes back": (seated, [(commands.Drop("p1", 3, 0), 1), (join(BOB, "p1"), 2)], [DROPPED, RETURNED]),
    "comes back": (held, [(join(BOB, "p1"), 12)], [RETURNED]),
    "leaves": (seated, [(LEAVE, 1)], left("left")),
    "goes to another room": (seated, [(commands.Leave("p1", 3, "took-another-room"), 1)], left("took-another-room")),
    "expires": (held, [(commands.Expire(), 40)], left("expired")),
    "closes, and wants no hold": (seated, [(commands.Drop("p1", 3, 0, 0.0), 1)], left("expired")),
    "is removed": (seated, [(commands.RemoveParticipant(HOST, "p1", False, None), 1)], left("removed")),
    "is removed while held": (held, [(commands.RemoveParticipant(HOST, "p1", False, None), 11)], left("removed")),
    "room ends": (seated, [(commands.EndRoom(HOST), 1)], [*left("room-ended"), ("room-ended",)]),
    "state": (seated, [(commands.UpdateState("p1", 3, {"muted": True}), 1)], []),
    "confirms": (seated, [(commands.Confirm("p1", 3), 1)], []),
    "renews": (seated, [(commands.Renew(BOB), 1)], []),
    "waits": (lambda: new_room(waiting_room=True), [(join(BOB, "p1"), 1)], [STARTED]),
    "waits, again": (lobby, [(join(BOB, "p1"), 1)], []),
    "waits, drops": (lobby, [(commands.Drop("p1", 3, 0), 1)], []),
    "waits, comes back": (away, [(join(BOB, "p1"), 12)], []),
    "waits, is admitted": (lobby, [(commands.Admit(HOST, "p1"), 1)], [*ended("admitted"), JOINED]),
    "waits, is admitted while away": (away, [(commands.Admit(HOST, "p1"), 11)], [*ended("admitted"), JOINED]),
    "waits, in one batch": (
        lambda: new_room(waiting_room=True),
        [(join(BOB, "p1"), 1), (commands.Admit(HOST, "p1"), 1), (LEAVE, 2)],
        [STARTED, *ended("admitted"), JOINED, *left("left")],
    ),
    "waits, leaves": (lobby, [(LEAVE, 1)], ended("left")),
    "waits, goes": (lobby, [(commands.Leave("p1", 3, "took-another-room"), 1)], ended("took-another-room")),
    "waits, expires": (away, [(commands.Expire(), 40)], ended("expired")),
    "waits, is denied": (lobby, [(commands.Deny(HOST, "p1"), 1)], ended("denied")),
    "waits, is removed": (lobby, [(commands.RemoveParticipant(HOST, "p1", False, None), 1)], ended("denied")),
    "waits, room ends": (lobby, [(commands.EndRoom(HOST), 1)], [*ended("room-ended"), ("room-ended",)]),
}


@pytest.mark.parametrize(("start", "steps", "expected"), SEATS.values(), ids=SEATS)
def test_what_a_seat_writes(start: Callable[[], Room], steps: list[Step], expected: list[tuple[str, ...]]) -> None:
    """Section 10: what the table in the docstring of `event_log` says, and why somebody left."""
    assert told(logged(start(), *steps)) == expected


def test_guests_who_wait_are_told_apart_by_the_reason() -> None:
    """Those who wait are kept out by a new setting: by the lock, or because guests are not allowed any more."""
    room = new_room(max_participants=2)
    for key in ("p1", "p2"):
        do(room, join(GUEST, key, key))
    do(room, join(BOB, "p3", wait=True))
    do(room, join(GUEST, "p4", "Jane", wait=True))
    events = logged(room, (commands.UpdateRoom(HOST, Settings(allow_guest_access=False)), 1))
    assert told(events) == [("room-updated",), ("waiting-ended", "p4", "guests-not-allowed")]
    events = logged(room, (commands.UpdateRoom(HOST, Settings(is_locked=True)), 2))
    assert told(events) == [("room-updated",), ("waiting-ended", "p3", "room-locked")]


def test_guests_who_wait_for_the_host_when_guests_are_no_longer_allowed() -> None:
    """The same for those in the waiting room."""
    room = new_room(waiting_room=True)
    do(room, join(GUEST, "p1", "Jane"))
    events = logged(room, (commands.UpdateRoom(HOST, Settings(allow_guest_access=False)), 1))
    assert told(events) == [("room-updated",), ("waiting-ended", "p1", "guests-not-allowed")]


def test_a_held_guest_whose_place_is_taken() -> None:
    """Section 4: the host of a full room takes the place of a held guest, who is `displaced`."""
    room = new_room(max_participants=2)
    for key in ("p1", "p2"):
        do(room, join(GUEST, key, key))
    do(room, commands.Drop("p2", 4, 0), 10)
    events = logged(room, (join(HOST, "p3"), 11))
    assert told(events) == [("participant-left", "p2", "displaced"), ("participant-joined", "p3")]


def test_times_and_the_room() -> None:
    """`leftAt` is the time of the drop, `duration` what lies between it and `joinedAt`, `at` the time of the batch."""
    (event,) = msgspec.to_builtins(logged(held(), (commands.Expire(), 40)))
    person = event["participant"]
    assert (event["at"], person["joinedAt"], person["leftAt"]) == (at(99).stamp, at(1).stamp, at(10).stamp)
    assert event["duration"] == 9
    assert event["room"] == {"id": "room", "code": "abc-def-ghi", "externalId": None, "metadata": {}}
    (event,) = msgspec.to_builtins(logged(seated(), (LEAVE, 1)))
    assert event["duration"] == 0


def test_rooms() -> None:
    """Events of a room have it whole, with the participants that it has at that place of the log."""
    room = seated()
    events = logged(
        room,
        (join(CAROL, "p2"), 1),
        (commands.UpdateRoom(HOST, Settings(name="Daily")), 1),
        (commands.Leave("p2", 5), 2),
    )
    assert told(events) == [("participant-joined", "p2"), ("room-updated",), ("participant-left", "p2", "left")]
    updated = msgspec.to_builtins(events[1])["room"]
    assert (updated["name"], updated["participantCount"], updated["isActive"]) == ("Daily", 2, True)
    *_, event = msgspec.to_builtins(logged(room, (commands.EndRoom(HOST), 3)))
    assert (event["room"]["participantCount"], event["room"]["endedAt"]) == (0, at(3).stamp)
    made = msgspec.to_builtins(created(room.settings))
    assert (made["type"], made["at"], made["room"]["code"]) == ("room-created", at(0).stamp, "abc-def-ghi")


def test_bans() -> None:
    """A ban and its end, of which the room is told what was banned; also when both are in one batch."""
    room = seated()
    events = logged(room, (commands.RemoveParticipant(HOST, "p1", True, "spam"), 1))
    assert told(events) == [("participant-left", "p1", "removed"), ("user-banned",)]
    assert msgspec.to_builtins(events[1])["ban"]["reason"] == "spam"
    (event,) = msgspec.to_builtins(logged(room, (commands.Unban(HOST, "bob"), 2)))
    assert (event["type"], event["ban"]["userId"]) == ("user-unbanned", "bob")
    events = logged(room, (commands.BanPerson(HOST, "carol", None, None, None), 3), (commands.Unban(HOST, "carol"), 3))
    assert told(events) == [("user-banned",), ("user-unbanned",)]


def test_messages_are_logged_where_configured_and_private_ones_never() -> None:
    """`events.messages`."""
    room = seated()
    do(room, join(CAROL, "p2"))
    both: list[Step] = [
        (commands.SendMessage("p1", 3, "to all", None), 1),
        (commands.SendMessage("p1", 3, "to one", "p2"), 1),
    ]
    (event,) = msgspec.to_builtins(logged(room, *both, with_messages=True))
    assert (event["type"], event["message"]["text"]) == ("message-sent", "to all")
    assert logged(room, *both) == []


def test_a_denial_alone_is_nothing_more() -> None:
    """What is not stored is not in the log."""
    room = lobby()
    events = logged(room, (commands.Deny(HOST, "p1"), 1))
    assert len(events) == 1


def test_the_end_of_the_daemon_is_a_drop() -> None:
    """Whoever was connected is dropped as of the restart."""
    event = msgspec.to_builtins(dropped_at_start(new_room().settings, someone("p1"), at(5).stamp))
    assert (event["type"], event["at"], event["participant"]["isActive"]) == (*DROPPED[:1], at(5).stamp, False)
