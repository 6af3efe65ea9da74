"""A Hypothesis state machine over one room: what must hold whatever happens in whatever order.

It does what `roomd/hub.py` does, without a loop and with storage that never fails: several commands may share a turn,
and every client makes the library's view from the frames that it gets, which must be the room.
"""

import asyncio
import os
from collections.abc import Callable
from typing import Any, ClassVar

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from roomd.client.catch_up import CATCH_UP
from roomd.client.connection import decode
from roomd.client.events import Placed, Said
from roomd.client.view import View
from roomd.engine.broadcast import Audience, Pending, Respond
from roomd.gateway.outbox import text_frame
from roomd.protocol import errors
from roomd.protocol.codec import encode, error_reply
from roomd.protocol.errors import Close, Refused
from roomd.protocol.objects import Participant
from roomd.protocol.replies import MessagesReply, ParticipantReply, WaitingReply
from roomd.rooms import commands
from roomd.rooms.commands import Caller, Command, Event, Kept, MessageSent, Moment, Queued, SeatChanged, Settings
from roomd.rooms.room import MESSAGES_SHOWN, Checkpoint, Room, waiting
from roomd.rooms.settings import Rules, open_room
from tests.support.fakes import FakeListener

HOLD = 10.0
RULES = Rules(HOLD, 100)
HOSTS = ("alice", "root")
NOBODY = -1
USERS = (None, "bob", None, "carol", "alice", None, "root")
ASKERS = ("alice", "root", "alice", "bob")
STATES: tuple[dict[str, Any], ...] = ({"muted": True}, {"muted": None}, {"hand": 1, "muted": None}, {})
CHOICES = (
    Settings(waiting_room=True), Settings(waiting_room=False), Settings(max_participants=2), Settings(is_locked=True),
    Settings(is_locked=False, allow_guest_access=True), Settings(max_participants=3), Settings(max_participants=5),
    Settings(allow_guest_access=False), Settings(is_locked=False, allow_guest_access=True, waiting_room=True),
    Settings(max_participants=3, waiting_room=False, is_locked=True), Settings(is_locked=False, max_participants=4),
)  # fmt: skip
MODERATION: tuple[Callable[[Caller, str], Command], ...] = (
    lambda who, key: commands.Admit(who, key),
    lambda who, _: commands.Admit(who, None),
    lambda who, key: commands.Remove(who, key, ban=True, reason=None),
    lambda who, key: commands.Deny(who, key),
    lambda who, _: commands.Unban(who, "bob"),
    lambda who, key: commands.Remove(who, key, ban=False, reason="spam"),
    lambda who, _: commands.Unban(who, "carol"),
)
OFTEN = {
    "join": 6, "join_again": 1, "resume": 3, "leave": 2, "drop": 2, "say": 2, "present": 2, "update": 3, "moderate": 5,
    "pass_time": 2, "crash": 1, "end": 1,
}  # fmt: skip
DEEDS = st.sampled_from([deed for deed, weight in OFTEN.items() for _ in range(weight)])
"""One rule for all of them, so that Hypothesis leaves none out of an example, as it does with rules."""
NUMBER = st.integers(min_value=0, max_value=99)


def caller(user: str | None, key: str | None = None, owner: int | None = None) -> Caller:
    return Caller(key, owner, user, user or "", admin=user == "root")


class Line(FakeListener):
    """One connection of a client."""

    def __init__(self, client: "Client") -> None:
        super().__init__()
        self.client = client

    def unseated(self, participant_id: str) -> None:
        if self.client.line is self and self.client.key == participant_id:
            self.client.key = None


class Client:
    """One person's client: the library's view, on one connection after another."""

    def __init__(self, user: str | None) -> None:
        self.user = user
        self.view = View()
        self.line: Line | None = None  # while it is connected
        self.key: str | None = None  # of the seat, or the place in the queue, that it has
        self.owner = 0
        self.secret = ""
        self.is_busy = False
        self.is_refused = False
        self.heard: set[str] = set()

    def enter(self, command: commands.Join | commands.Resume) -> Respond:
        """Answer a join as `roomd/requests.py` does."""
        line = self.line = self.line or Line(self)
        waits = False
        self.is_busy = True

        def respond(answer: Any, state: bytes) -> None:
            nonlocal waits
            self.is_busy = False
            if isinstance(answer, Refused):
                self.key = None if waits else self.key
                self.is_refused = self.key is None
                line.outbox.send(text_frame(encode(error_reply(answer, command.owner))))
                return
            person: Participant = answer.participant if isinstance(answer, Queued) else answer
            self.key, self.owner, self.secret = person.id, command.owner, command.resume_hash
            if isinstance(answer, Queued):
                first, waits = not waits, True
                id_, token = (command.owner, "token") if first else (None, None)
                reply: Any = WaitingReply(
                    id=id_, participant_id=person.id, position=answer.position, reason=answer.reason, resume_token=token
                )
            else:
                reply = ParticipantReply(id=command.owner, participant=person, resume_token="token")
            line.outbox.send(text_frame(encode(reply)), state)

        return respond

    def hear(self, line: FakeListener) -> None:
        for frame in line.transport.frames():
            known = decode(msgspec.json.encode(frame))
            assert known is not None
            self.take(known)

    def take(self, frame: Any) -> None:
        """Have the view take a frame in, and note which messages it tells of then."""
        self.heard |= {event.message.id for event in self.view.apply(frame) if isinstance(event, Said)}


class Machine(RuleBasedStateMachine):
    """Drives a room, and beside it keeps the log of events and every client."""

    steps = 0
    loop: ClassVar[asyncio.AbstractEventLoop]

    def __init__(self) -> None:
        super().__init__()
        self.start = open_room(
            Settings(max_participants=4), RULES, room_id="r", code="abc-def-ghi", host_id="alice", created_at=""
        )
        self.room = Room(Kept(self.start), RULES)
        self.audience = Audience()
        self.clock = 0.0
        self.count = 0
        self.log: list[Event] = []
        self.clients: list[Client] = []
        self.inbox: list[Pending] = []
        self.gathering = 0

    def now(self) -> Moment:
        return Moment(f"{self.clock:012.3f}", self.clock)

    # What the hub does.

    def submit(self, command: Command, respond: Respond = lambda *_: None, line: FakeListener | None = None) -> None:
        self.inbox.append(Pending(command, respond, self.loop.create_future(), line))
        self.gathering -= 1
        if self.gathering < 0:
            self.turn()

    def turn(self) -> None:
        """Serve all that waits, tell everyone, and see what they make of it."""
        inbox, self.inbox, self.gathering = self.inbox, [], 0
        before, events = self.room.checkpoint(), len(self.log)
        if self.is_due():
            self.answer(commands.Expire())
        answers = [(pending, self.answer(pending.command)) for pending in inbox]
        self.audience.tell(self.room, answers, self.log[events:], before)
        assert all(pending.done.done() for pending in inbox), "every request is answered"
        self.listen()
        self.check_secrets(self.log[events:])
        if self.is_due():
            self.turn()  # a drop that came later than its hold lasts

    def is_due(self) -> bool:
        deadline = self.room.deadline()
        return deadline is not None and deadline <= self.clock

    def answer(self, command: Command) -> Any:
        """Decide and apply, and settle those who wait; a refusal must change nothing."""
        before, now = self.room.checkpoint(), self.now()
        try:
            decision = self.room.decide(command, now)
        except Refused as refused:
            assert self.room.checkpoint() == before
            self.check_entry(command, refused, before)
            return refused
        self.check_entry(command, None, before)
        assert not decision.events or getattr(command, "owner", None) != NOBODY, "who owns nothing changes nothing"
        assert self.room.checkpoint() == before, "to decide is to read"
        self.apply(list(decision.events))
        if decision.events and self.room.queue:
            self.apply(self.room.follow_up(now))
        self.check_order(before)
        return decision.answer

    def apply(self, events: list[Event]) -> None:
        for event in events:
            self.room.apply(event)
        self.log += events

    def listen(self) -> None:
        """Let every client read, and compare what it knows with the room."""
        drops: list[Command] = []
        for client in self.clients.copy():
            if (line := client.line) is None:
                continue
            client.hear(line)
            if line.closes:
                assert line.closes[0] in (Close.TAKEN_OVER, Close.REMOVED)
                if client.key is not None:  # it took another place in the turn in which it lost the first
                    drops.append(commands.Drop(client.key, client.owner, self.now()))
            elif client.key is not None:
                self.compare(client)
                continue
            assert line.closes or client.view.over is not None or client.is_refused, "every way out is told"
            self.clients.remove(client)
        self.gathering = len(drops)
        for drop in drops:
            self.submit(drop)
        if drops:
            self.turn()
        owners = {seat.owner for seat in (*self.room.seats.values(), *self.room.queue.values())} - {None}
        live = [client for client in self.clients if client.line is not None and client.key is not None]
        assert owners == {client.owner for client in live}, "no seat is a ghost's, and whoever lost it was told"

    def compare(self, client: Client) -> None:
        room, view, key = self.room, client.view, client.key or ""
        if (seat := room.seats.get(key)) is not None:
            assert (view.status, view.is_stale, view.me) == ("joined", False, seat.participant)
            assert view.participants == {one.id: one for one in room.participants()}
            while view.missed is not None:  # it asks for what was said while it was away
                public = [
                    event.message for event in self.log if isinstance(event, MessageSent) and not event.message.to
                ]
                later = [one for one in public if one.id > (view.missed.cursor or "")]
                client.take(MessagesReply(id=CATCH_UP, messages=later, next_cursor=None))
            public = [one for one in view.messages if one.to is None]
            assert (view.room, public[-MESSAGES_SHOWN:]) == (room.view(), list(room.messages))
            assert list(view.lobby) == (waiting(room.queue) if client.user in HOSTS else [])
        else:
            place = [(one.participant_id, one.position, one.reason) for one in waiting(room.queue)]
            assert (view.status, view.room, view.participants, view.messages) == ("waiting", None, {}, [])
            assert view.place in [Placed(*one) for one in place if one[0] == key], "everyone is told their place"

    # What must hold of every command.

    def check_entry(self, command: Command, refused: Refused | None, before: Checkpoint) -> None:
        """Full is full, bans hold, what a user has is never refused, and a resume succeeds by its token alone."""
        if not isinstance(command, (commands.Join, commands.Resume)):
            return
        kind, user = refused.kind if refused is not None else None, command.caller.user_id
        if isinstance(command, commands.Join):
            is_full = len(before.seats) >= before.view.max_participants
            assert kind is not errors.ROOM_FULL or (is_full and not command.wait)
            assert kind is None or not before.view.is_active or user not in before.by_user
            assert (kind is errors.BANNED) == (user in before.bans and before.view.is_active)
        else:
            seat = before.seats.get(command.participant_id) or before.queue.get(command.participant_id)
            is_good = seat is not None and seat.resume_hash == command.token_hash
            assert kind is (errors.BANNED if user in before.bans else None if is_good else errors.SEAT_EXPIRED)

    def check_order(self, before: Checkpoint) -> None:
        """First come, first served: nobody sits down while somebody ahead of them still waits for a seat."""
        entered = [key for key in self.room.seats if key not in before.seats]
        view, queue = self.room.view(), self.room.queue
        assert not entered or view.participant_count <= view.max_participants
        order = list(before.queue)
        for key in entered:
            ahead = order[: order.index(key)] if key in order else order
            assert all(queue[one].waits_for != "room_full" for one in ahead if one in queue)
        assert list(queue) == [*(key for key in order if key in queue), *(key for key in queue if key not in order)]
        self.check_settled()

    def check_settled(self) -> None:
        view, queue = self.room.view(), self.room.queue
        assert self.room.follow_up(self.now()) == []
        reasons = {seat.waits_for for seat in queue.values()}
        if view.participant_count < view.max_participants or view.is_locked or not view.is_active:
            assert "room_full" not in reasons, "nobody waits for a seat while one is free, or none may be had"
        assert view.waiting_room or "waiting_room" not in reasons
        people = [seat.participant for seat in (*self.room.seats.values(), *queue.values())]
        users = [person.user_id for person in people if person.user_id is not None]
        assert len(users) == len(set(users)), "one place per user"
        assert not set(users) & set(self.room.checkpoint().bans), "who is banned has none"
        assert view.allow_guest_access or all(seat.participant.user_id is not None for seat in queue.values())

    def check_secrets(self, events: list[Event]) -> None:
        """A private message reaches exactly the two, where they are connected; a public one stays with the room."""
        for event in events:
            if isinstance(event, MessageSent) and event.message.to is not None:
                two = {event.message.participant_id, event.message.to}
                there = {key for key in two if key in self.room.seats and self.room.seats[key].owner is not None}
                heard = {client.key for client in self.clients if event.message.id in client.heard}
                assert heard == there
                assert event.message not in self.room.messages

    # What clients do, by two numbers that say who and how.

    @rule(deed=DEEDS, a=NUMBER, b=NUMBER)
    def step(self, deed: str, a: int, b: int) -> None:
        getattr(self, deed)(a, b)

    def pick(self, number: int, is_live: bool = True) -> Client | None:
        """Choose a client that can ask something, or any that has a token."""
        some = [one for one in self.clients if one.key and not one.is_busy and (one.line is not None) >= is_live]
        return some[number % len(some)] if some else None

    def key(self, number: int) -> str:
        """Choose a participant there is, or one there is not."""
        keys = [*self.room.seats, *self.room.queue, "nobody"]
        return keys[number % len(keys)]

    def join(self, a: int, b: int) -> None:
        client = Client(USERS[a % len(USERS)])
        self.clients.append(client)
        self.ask_for_seat(client, wait=b % 4 > 0)

    def join_again(self, a: int, b: int) -> None:
        """On the same connection: the same participant, and a new `room-state`."""
        if (client := self.pick(a)) and (client.key in self.room.seats or self.gathering == 0):
            self.ask_for_seat(client, wait=b % 4 > 0)

    def ask_for_seat(self, client: Client, wait: bool) -> None:
        self.count += 1
        who = caller(client.user, client.key, client.owner)
        name = None if client.user else "guest"
        command = commands.Join(who, name, f"p{self.count:06}", f"h{self.count}", self.count, wait)
        respond = client.enter(command)
        self.submit(command, respond, client.line)

    def resume(self, a: int, b: int) -> None:
        """With the token of a client that is away; or with that of one that is there, from another connection."""
        if (client := self.pick(a, is_live=False)) is None:
            return
        key, shown = client.key or "", client.secret if b % 4 > 0 else "used"
        if client.line is not None:
            client = Client(client.user)
            self.clients.append(client)
        client.key = None
        self.count += 1
        command = commands.Resume(caller(client.user), key, shown, f"h{self.count}", self.count)
        self.submit(command, client.enter(command), client.line)

    def leave(self, a: int, b: int) -> None:
        if (client := self.pick(a)) is None or client.line is None:
            return
        outbox = client.line.outbox

        def respond(answer: Any, _: bytes) -> None:
            client.is_busy = False
            if isinstance(answer, Participant):
                client.key = None
                outbox.send(text_frame(encode(ParticipantReply(id=0, participant=answer))))

        client.is_busy = True
        self.submit(commands.Leave(client.key or "", client.owner if b % 4 > 0 else NOBODY), respond)

    def drop(self, a: int, b: int) -> None:
        """Of the connection, or of one that the client had before and that owns nothing any more."""
        if client := self.pick(a):
            owner = client.owner if b % 4 > 0 else NOBODY
            if owner == client.owner:
                client.line = None
                client.view.drop()
            self.submit(commands.Drop(client.key or "", owner, self.now()))

    def say(self, a: int, b: int) -> None:
        if client := self.pick(a):
            self.count += 1
            to = self.key(b) if b % 2 else None
            self.submit(commands.Say(client.key or "", client.owner, f"m{self.count:06}", "hello", to))

    def present(self, a: int, b: int) -> None:
        if client := self.pick(a):
            self.submit(commands.Present(client.key or "", client.owner, STATES[b % len(STATES)]))

    # What hosts do.

    def update(self, a: int, b: int) -> None:
        self.submit(commands.Update(caller(ASKERS[b % len(ASKERS)]), CHOICES[a % len(CHOICES)]))

    def moderate(self, a: int, b: int) -> None:
        self.submit(MODERATION[a % len(MODERATION)](caller(ASKERS[b % len(ASKERS)]), self.key(b // len(ASKERS))))

    def end(self, a: int, b: int) -> None:
        if len(self.log) > 40:
            self.turn()  # an end has a turn of its own
            self.submit(commands.End(caller("alice")))

    # What befalls them all.

    def pass_time(self, a: int, b: int) -> None:
        """What waits for its turn goes on waiting, unless a hold runs out."""
        self.clock += (a + 1) / 16
        if self.gathering == 0 or self.is_due():
            self.turn()

    def crash(self, a: int, b: int) -> None:
        """What the log says is all that is left: everyone told of a place has it, held anew for the full window."""
        self.turn()
        told, now = self.room.checkpoint(), self.now()
        kept = self.replay().checkpoint()
        places = sorted((*kept.seats.values(), *kept.queue.values()), key=lambda seat: seat.participant.id)
        held = [
            msgspec.structs.replace(
                seat, participant=msgspec.structs.replace(seat.participant, is_active=False), owner=None,
                dropped_at=seat.dropped_at or now.stamp, held_until=self.clock + HOLD,
            )
            for seat in places
        ]  # fmt: skip
        self.log += [SeatChanged(seat) for seat in held]
        self.room = Room(Kept(kept.view, held, [*kept.bans.values()], kept.messages), RULES)
        assert list(self.room.queue) == list(told.queue), "at their positions"
        assert self.room.seats.keys() == told.seats.keys()
        assert (self.room.checkpoint().bans, self.room.messages) == (told.bans, told.messages)
        self.audience = Audience()
        for client in self.clients:
            client.line = None
            client.view.drop()

    @invariant()
    def holds_are_in_time(self) -> None:
        Machine.steps += 1
        for seat in (*self.room.seats.values(), *self.room.queue.values()):
            assert seat.participant.is_active == (seat.owner is not None)
            assert seat.owner is not None or self.clock < seat.held_until <= self.clock + HOLD

    def teardown(self) -> None:
        """Replaying the log rebuilds the room, and a stay is told once: nobody comes back under an id that left."""
        self.turn()
        again, now = self.replay().checkpoint(), self.room.checkpoint()
        assert (again, list(again.queue)) == (now, list(now.queue))
        left: set[str] = set()
        for event in self.log:
            if isinstance(event, SeatChanged):
                person = event.seat.participant
                assert person.id not in left
                if person.left_at is not None:
                    left.add(person.id)
                    assert person.left_at >= person.joined_at

    def replay(self) -> Room:
        again = Room(Kept(self.start), RULES)
        for event in self.log:
            again.apply(event)
        return again


class Busy(Machine):
    """The same while storage is slow: several commands share a turn, which may come late."""

    @rule(deed=DEEDS, a=NUMBER, b=NUMBER, more=st.integers(min_value=0, max_value=4))
    def step(self, deed: str, a: int, b: int, more: int = 0) -> None:
        self.gathering = self.gathering or more
        super().step(deed, a, b)


STEPS = int(os.environ.get("ROOM_MACHINE_STEPS", "2000"))
"""Steps that must have been taken in the end; `make nightly` takes 100,000."""


@pytest.mark.parametrize("machine", [Machine, Busy])
def test_room_machine(machine: type[Machine]) -> None:
    """Places, views, holds and the log agree after every step, however many there are."""
    Machine.steps, Machine.loop = 0, asyncio.new_event_loop()
    try:
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=STEPS // 40,
                stateful_step_count=50,
                deadline=None,
                suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
            ),
        )
    finally:
        Machine.loop.close()
    assert Machine.steps >= STEPS


def test_a_private_message_in_the_batch_of_a_return() -> None:
    """Who comes back is told of it, after what was missed."""
    loop = Machine.loop = asyncio.new_event_loop()
    machine = Busy()
    for deed, a, b, commands_before in (("join", 0, 0, 0), ("join", 1, 0, 0), ("drop", 1, 1, 0), ("say", 0, 1, 1)):
        machine.gathering = commands_before
        getattr(machine, deed)(a, b)
    machine.resume(1, 1)
    loop.close()
    _, bob = machine.clients
    assert (bob.user, [message.text for message in bob.view.messages], len(bob.heard)) == ("bob", ["hello"], 1)
