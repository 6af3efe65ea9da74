"""One room without a loop: people, moments, commands that are made true, and what came of them."""

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import msgspec
import pytest

from roomd.protocol.errors import ErrorKind, Refused
from roomd.protocol.objects import Admission, Ban, Participant
from roomd.protocol.objects import Room as View
from roomd.rooms import commands
from roomd.rooms.answers import ParticipantChanges
from roomd.rooms.changes import Change, Removal, SeatChanged
from roomd.rooms.model import Caller, Moment, PersonKey, StoredRoom, WaitsFor
from roomd.rooms.room import Checkpoint, Command, Room
from roomd.rooms.seats import apply_changes, follow_up
from roomd.rooms.settings import Rules

A = TypeVar("A")

RULES = Rules(seat_hold=30.0, max_participants=1000)
HOST = Caller(None, 1, "alice", "Alice")
ADMIN = Caller(None, 2, "root", "Root", is_admin=True)
BOB = Caller(None, 3, "bob", "Bob")
GUEST = Caller(None, 4)
CAROL = Caller(None, 5, "carol", "Carol")
COHOST = Caller(None, 6, "dora", "Dora", is_cohost=True, metadata={"team": "red"})
HIDDEN = Caller(None, 8, "eve", "Eve", is_admin=True, is_hidden=True)

DAY = 1_772_532_000.0
"""2026-03-03T10:00:00.000Z, when the clock is at 0."""


def at(clock: float, key: str = "") -> Moment:
    """A moment `clock` seconds into the test, in which the next id is `key`; without one it sorts after the last."""

    def new_id(above: str) -> str:
        return key or f"{above}+"

    return Moment(DAY + clock, clock, new_id)


def decided(command: Command[object], clock: float) -> Moment:
    """The moment of a decision: a join made by `join` gets the id it was made for, a message `z-` and its text."""
    if isinstance(command, commands.Join):
        return at(clock, command.resume_hash.removeprefix("t-"))
    if isinstance(command, commands.BanPerson | commands.RemoveParticipant):
        return at(clock, "ban")
    if isinstance(command, commands.SendMessage):
        return at(clock, f"z-{command.text}")
    return at(clock)


def new_room(banned: Sequence[str] = (), **changes: Any) -> Room:
    """A room of Alice's for three."""
    view = View(
        id="room", code="abc-def-ghi", name="Weekly", host_id="alice", is_active=True, is_locked=False,
        max_participants=3, allow_guest_access=True, waiting_room=False, history_visible="all", participant_count=0,
        created_at=at(0).stamp, ended_at=None,
    )  # fmt: skip
    bans = [(PersonKey("user", key), user_ban(key)) for key in banned]
    return Room(StoredRoom(msgspec.structs.replace(view, **changes), bans=bans), RULES)


def user_ban(user_id: str, name: str | None = None, reason: str | None = None, clock: float = 0) -> Ban:
    """The ban of a user; its id is that of the user with a `b-` before it."""
    return Ban(
        id=f"b-{user_id}", user_id=user_id, display_name=name or user_id, reason=reason, banned_at=at(clock).stamp,
        expires_at=None,
    )  # fmt: skip


def lobby(**changes: Any) -> Room:
    """Alice sits in `p1` of three seats; Bob in `p2`, the guest of `p3` and Carol in `p4` wait for her."""
    a_room = new_room(**{"waiting_room": True, **changes})
    do(a_room, join(HOST, "p1"))
    return _with_queue(a_room)


def full(**changes: Any) -> Room:
    """Alice and a guest sit in `p1` and `p9`, the only seats; Bob in `p2`, a guest in `p3` and Carol wait for one."""
    a_room = new_room(**{"max_participants": 2, **changes})
    do(a_room, join(HOST, "p1"))
    do(a_room, join(Caller(None, 9), "p9"))
    return _with_queue(a_room)


def _with_queue(a_room: Room) -> Room:
    for who, key in ((BOB, "p2"), (GUEST, "p3"), (CAROL, "p4")):
        do(a_room, join(who, key, wait=True))
    return a_room


def meeting() -> Room:
    """Alice sits in `p1`, Bob in `p2`, and a guest in `p3`, whose connection was lost at 10:00:05."""
    a_room = new_room()
    for who, key in ((HOST, "p1"), (BOB, "p2"), (GUEST, "p3")):
        do(a_room, join(who, key))
    do(a_room, commands.Drop("p3", 4, 0), 5)
    return a_room


def someone(key: str) -> Participant:
    """A guest."""
    return Participant(
        id=key, room_id="room", user_id=None, guest_name=key, is_active=True, is_host=False,
        joined_at=at(0).stamp, left_at=None, display_name=key,
    )  # fmt: skip


def bob(key: str) -> Participant:
    """Bob, who came at 10:00:01."""
    return Participant(
        id=key, room_id="room", user_id="bob", guest_name=None, is_active=True, is_host=False,
        joined_at=at(1).stamp, left_at=None, display_name="Bob",
    )  # fmt: skip


# Asking.


def join(who: Caller, key: str, name: str | None = None, *, wait: bool = False) -> commands.Join:
    """A join that is to get the id `key` and the token `t-key`; guests get a name."""
    return commands.Join(
        caller=who,
        guest_name=name if name or who.user_id else f"guest {key}",
        resume_hash=f"t-{key}",
        claim=who.claim or 0,
        wait=wait,
    )


def take_over(user_id: str, claim: int, token: str = "next") -> commands.Join:
    """A join by another connection of a user who has a place."""
    return commands.Join(caller=Caller(user_id=user_id), guest_name=None, resume_hash=token, claim=claim)


def resume(key: str, token: str, claim: int, who: Caller | None = None, *, then: str = "next") -> commands.Resume:
    """A resume with a token; `then` is the next one."""
    return commands.Resume(caller=who or Caller(), participant_id=key, token_hash=token, resume_hash=then, claim=claim)


def settle(a_room: Room, changes: Iterable[Change], clock: float = 1.0) -> list[Change]:
    """Make changes true, and what follows from them for those who wait, as a batch does; return all of them."""
    settled = list(apply_changes(a_room, list(changes), at(clock)))
    assert follow_up(a_room, at(clock)) == [], "what is settled stays so"
    return settled


def do(a_room: Room, command: Command[A], clock: float = 1.0) -> A:
    """Decide and apply; return the answer."""
    decision = a_room.decide(command, decided(command, clock))
    settle(a_room, decision.changes, clock)
    return decision.answer


def act(a_room: Room, command: Command[object], clock: float = 1.0) -> list[Change]:
    """Decide and apply; return what happened."""
    return settle(a_room, a_room.decide(command, decided(command, clock)).changes, clock)


def refused(a_room: Room, command: Command[object], clock: float = 1.0) -> ErrorKind:
    """Decide what must be refused, check that nothing changed, and return why."""
    before = a_room.checkpoint()
    with pytest.raises(Refused) as caught:
        a_room.decide(command, decided(command, clock))
    assert a_room.checkpoint() == before
    return caught.value.kind


# What came of it.


def changed(a_room: Room, before: Checkpoint, changes: Iterable[Change]) -> ParticipantChanges:
    """The net effect on who is in the room."""
    return a_room.changed_since(before, [change for change in changes if isinstance(change, SeatChanged)])


def told(changes: Iterable[Change]) -> dict[str, ErrorKind | Removal]:
    """Who is told what, of those who did not ask for it."""
    seats = [change for change in changes if isinstance(change, SeatChanged)]
    found = [(change.seat.participant.id, change.refusal or change.removal) for change in seats]
    assert not any(change.refusal and change.removal for change in seats)
    return {key: what for key, what in found if what is not None}


def queue(a_room: Room) -> dict[str, WaitsFor | None]:
    """Who waits for what, in order."""
    return {key: seat.waits_for for key, seat in a_room.queue.items()}


def standing(a_room: Room, key: str) -> str:
    """The state of a participant, by the table in `roomd/rooms/seats.py`."""
    if (seat := a_room.queue.get(key)) is not None:
        return "waiting" if seat.participant.is_active and seat.claim is not None else "waiting, dropped"
    if (seat := a_room.seats.get(key)) is not None:
        return "connected" if seat.participant.is_active and seat.claim is not None else "held"
    return "gone"


def refusal(kind: ErrorKind, message: str | None = None) -> Admission:
    """The `admission` of somebody whose join would be refused."""
    return Admission(allowed=False, status_code=kind.status_code, code=kind.code, message=message or kind.message)


ADMITTED = Admission(allowed=True)
"""The `admission` of somebody whose join would be served."""
