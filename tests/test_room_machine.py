"""A Hypothesis state machine over one room: what must hold whatever happens in whatever order."""

import os
from typing import Any

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from roomd import commands, errors, room
from roomd.commands import Caller, Event, Moment, Seat, SeatChanged, Settings
from roomd.errors import Refused
from roomd.frames import Participant
from roomd.room import Checkpoint, Room, Rules

SEATS = 4
HOLD = 10.0
USERS = st.sampled_from([None, None, "alice", "bob", "carol"])
ANY = st.integers(min_value=0, max_value=30)


class Machine(RuleBasedStateMachine):
    """Drives a room, and beside it keeps the log of events and every member's view."""

    steps = 0

    def __init__(self) -> None:
        super().__init__()
        view = room.open_room(
            Settings(max_participants=SEATS),
            Rules(HOLD, 100),
            room_id="r",
            code="abc-def-ghi",
            host_id="alice",
            created_at="",
        )
        self.start = view
        self.room = Room(view, Rules(HOLD, 100))
        self.clock = 0.0
        self.count = 0
        self.log: list[Event] = []
        self.tokens: dict[str, str] = {}  # participant id → the resume hash that was told last
        self.views: dict[str, dict[str, Participant]] = {}  # one per connected member, built from what it is told

    def now(self) -> Moment:
        return Moment(f"{self.clock:012.3f}", self.clock)

    def do(self, command: commands.Command) -> Any:
        """Decide, apply, and tell every view the net effect, as a turn does; a refusal must change nothing."""
        before = self.room.checkpoint()
        try:
            decision = self.room.decide(command, self.now())
        except Refused as refused:
            assert self.room.checkpoint() == before
            return refused
        for event in decision.events:
            self.room.apply(event)
        self.log += decision.events
        self.tell(before, list(decision.events))
        return decision.answer

    def tell(self, before: Checkpoint, events: list[Event]) -> None:
        joined, updated, left = self.room.changes_since(before, events)
        ids = [p.id for p in (*joined, *updated, *left)]
        assert len(ids) == len(set(ids)), "a participant stands in at most one list"
        for view in self.views.values():
            view.update({p.id: p for p in (*joined, *updated)})
            for p in left:
                del view[p.id]
        for key in list(self.views):
            seat = self.room.seats.get(key)
            if seat is None or seat.owner is None:
                del self.views[key]

    def seat(self, answer: Any, resume_hash: str) -> None:
        """Take what a client gets with its seat: the token, and the room's state."""
        if isinstance(answer, Participant):
            self.tokens[answer.id] = resume_hash
            self.views[answer.id] = {p.id: p for p in self.room.participants()}

    def pick(self, number: int) -> str:
        """Choose some participant there ever was."""
        keys = list(self.tokens)
        return keys[number % len(keys)]

    @rule(user=USERS)
    def join(self, user: str | None) -> None:
        self.count += 1
        seats, free = set(self.room.seats), SEATS - len(self.room.seats)
        has_seat = user is not None and any(s.participant.user_id == user for s in self.room.seats.values())
        view = self.room.view()
        resume_hash = f"h{self.count}"
        command = commands.Join(
            Caller(user_id=user, display_name=user or ""),
            None if user else "guest",
            f"p{self.count:06}",
            resume_hash,
            self.count,
        )
        answer = self.do(command)
        self.seat(answer, resume_hash)
        if isinstance(answer, Refused):
            if answer.kind is errors.ROOM_FULL:
                assert free <= 0, "no one is told full while a seat is free"
            assert not (has_seat and view.is_active), "a user's own seat is never refused"
        elif has_seat:
            assert set(self.room.seats) == seats, "one seat per user"

    @precondition(lambda self: self.tokens)
    @rule(number=ANY, good=st.booleans())
    def resume(self, number: int, good: bool) -> None:
        self.count += 1
        key = self.pick(number)
        resume_hash = f"h{self.count}"
        shown = self.tokens[key] if good else "used"
        was_seated = key in self.room.seats
        answer = self.do(commands.Resume(Caller(), key, shown, resume_hash, self.count))
        assert isinstance(answer, Participant) == (good and was_seated)
        self.seat(answer, resume_hash)

    @precondition(lambda self: self.tokens)
    @rule(number=ANY, own=st.booleans())
    def leave(self, number: int, own: bool) -> None:
        self.go(commands.Leave, number, own)

    @precondition(lambda self: self.tokens)
    @rule(number=ANY, own=st.booleans())
    def drop(self, number: int, own: bool) -> None:
        self.go(lambda key, owner: commands.Drop(key, owner, self.now()), number, own)

    def go(self, command: Any, number: int, own: bool) -> None:
        key = self.pick(number)
        seat = self.room.seats.get(key)
        owner = seat.owner if own and seat is not None and seat.owner is not None else -1
        before = self.room.checkpoint()
        self.do(command(key, owner))
        if owner == -1:
            assert self.room.checkpoint() == before, "who does not own a seat cannot touch it"

    @rule(seconds=st.floats(min_value=0.1, max_value=8))
    def wait(self, seconds: float) -> None:
        self.clock += seconds
        self.do(commands.Expire())
        deadline = self.room.deadline()
        assert deadline is None or deadline > self.clock

    @rule(locked=st.booleans(), guests=st.booleans())
    def update(self, locked: bool, guests: bool) -> None:
        self.do(commands.Update(Caller(user_id="alice"), Settings(is_locked=locked, allow_guest_access=guests)))

    @precondition(lambda self: len(self.log) > 30)
    @rule(sure=st.integers(min_value=0, max_value=9))
    def end(self, sure: int) -> None:
        if sure == 0:
            self.do(commands.End(Caller(user_id="alice")))

    @rule()
    def crash_and_restart(self) -> None:
        """What the log says is all that is left: everyone told of a seat has it, held anew for the full window."""
        told = {key: seat.participant for key, seat in self.room.seats.items()}
        again = self.replay()
        held = [
            Seat(
                msgspec.structs.replace(seat.participant, is_active=False),
                seat.resume_hash,
                None,
                seat.dropped_at or self.now().stamp,
                self.clock + HOLD,
            )
            for seat in again.seats.values()
        ]
        self.log += [SeatChanged(seat) for seat in held]
        self.room = Room(again.view(), Rules(HOLD, 100), held)
        self.views.clear()
        assert self.room.participants() == [msgspec.structs.replace(p, is_active=False) for p in told.values()]
        assert all(seat.resume_hash == self.tokens[key] for key, seat in self.room.seats.items())

    @invariant()
    def seats_never_exceed_the_maximum(self) -> None:
        Machine.steps += 1
        assert len(self.room.seats) <= SEATS
        users = [s.participant.user_id for s in self.room.seats.values() if s.participant.user_id]
        assert len(users) == len(set(users))

    @invariant()
    def held_seats_are_due(self) -> None:
        for seat in self.room.seats.values():
            assert seat.participant.is_active == (seat.owner is not None)
            assert seat.owner is not None or self.clock < seat.held_until <= self.clock + HOLD

    @invariant()
    def every_view_is_the_room(self) -> None:
        people = {p.id: p for p in self.room.participants()}
        for view in self.views.values():
            assert view == people

    def teardown(self) -> None:
        """Replaying the log rebuilds the room, and a stay is told once: nobody comes back under an id that left."""
        again, now = self.replay().checkpoint(), self.room.checkpoint()
        assert (again.seats, again.by_user, again.held) == (now.seats, now.by_user, now.held)
        left: set[str] = set()
        for event in self.log:
            if isinstance(event, SeatChanged):
                assert event.seat.participant.id not in left
                if event.seat.participant.left_at is not None:
                    left.add(event.seat.participant.id)

    def replay(self) -> Room:
        again = Room(self.start, Rules(HOLD, 100))
        for event in self.log:
            again.apply(event)
        return again


STEPS = int(os.environ.get("ROOM_MACHINE_STEPS", "2000"))
"""Steps that must have been taken in the end; `make nightly` takes 100,000."""


def test_room_machine() -> None:
    """Seats, views, holds and the log agree after every step, however many there are."""
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=STEPS // 20,
            stateful_step_count=50,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )
    assert Machine.steps >= STEPS
