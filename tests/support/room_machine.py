"""A Hypothesis state machine over one room: what must hold whatever happens in whatever order.

It does what `roomd/engine/live_room.py` does, without a loop and with storage that never fails: several commands may
share a batch, and every client makes the library's view from the frames that it gets, which must be the room.
"""

import math
from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from roomd.client.events import Placed
from roomd.engine.broadcast import Broadcast, SeatAsker
from roomd.engine.host_queue import PERIOD
from roomd.engine.ports import Asker
from roomd.protocol.errors import Close, Refused
from roomd.protocol.objects import Message, Participant, Waiting
from roomd.protocol.replies import ParticipantReply
from roomd.rooms import commands
from roomd.rooms.changes import Change, KnockDenied, MessageSent, SeatChanged
from roomd.rooms.event_log import created, dropped_at_start, log_events
from roomd.rooms.model import Caller, Moment, StoredRoom
from roomd.rooms.room import MESSAGES_SHOWN, Command, Decision, Room
from roomd.rooms.seats import apply_changes, describe_queue
from roomd.rooms.settings import Rules, Settings, open_room
from tests.support.attendance import Follower
from tests.support.deeds import ADDRESSES, ASKERS, CHOICES, MODERATION, OFTEN, STATES, USERS, held_anew
from tests.support.fakes import START
from tests.support.invariants import check_entry, check_given_up, check_order, check_secrets
from tests.support.members import FakeAsker, FakeMember, encode_line
from tests.support.viewers import Asked, Viewer, caller, token

A = TypeVar("A")

HOLD = 10.0
RULES = Rules(HOLD, 100, address_ban=20.0)
HOSTS = ("alice", "root")
NOBODY = -1
FIRST = "000000"
DEEDS = st.sampled_from([deed for deed, weight in OFTEN.items() for _ in range(weight)])
"""One rule for all of them, so that Hypothesis leaves none out of an example, as it does with rules."""
NUMBER = st.integers(min_value=0, max_value=99)


class Machine(RuleBasedStateMachine):
    """Drives a room, and beside it keeps the log of changes and every client."""

    steps = 0

    def __init__(self) -> None:
        super().__init__()
        self.start = open_room(
            Settings(max_participants=4), RULES, room_id="r", code="abc-def-ghi", host_id="alice", created_at=""
        )
        self.room = Room(StoredRoom(self.start, last_id=FIRST), RULES)
        self.broadcast = Broadcast(encode_line)
        self.clock = 0.0
        self.claims = 0
        self.bans = 0
        self.last_id = FIRST
        self.log: list[Change] = []
        self.backend = Follower()
        self.backend.follow([created(self.start)], self.room)
        self.public: list[Message] = []
        self.clients: list[Viewer] = []
        self.members: list[FakeMember] = []
        self.inbox: list[Asked[Any]] = []
        self.gathering = 0

    def now(self) -> Moment:
        return Moment(START + self.clock, self.clock, self.new_id)

    def new_id(self, above: str) -> str:
        if not above:
            self.bans += 1
            return f"b{self.bans}"  # bans are in no order with the rest
        assert above == self.last_id, "the highest id that the room has had"
        self.last_id = f"{int(above or 0) + 1:06}"
        return self.last_id

    # What the hub does.

    def submit(self, command: Command[A], asker: Asker[A] | None = None) -> Asked[A]:
        asked = Asked(command, self.clock, asker or FakeAsker())
        self.inbox.append(asked)
        self.gathering -= 1
        if self.gathering < 0:
            self.batch()
        return asked

    def batch(self) -> None:
        """Serve all that waits, tell everyone, and see what they make of it."""
        inbox, self.inbox, self.gathering = self.inbox, [], 0
        before, known = self.room.checkpoint(), len(self.log)
        if self.is_due():
            self.decide(commands.Expire())
        for asked in inbox:
            asked.decide(self.decide, self.clock)
        changes = self.log[known:]
        self.backend.follow(log_events(before, changes, self.now().stamp), self.room)
        self.broadcast.tell(self.room, inbox, changes, before, self.clock)
        assert all(asked.is_done for asked in inbox), "every request is answered"
        self.listen()
        check_secrets(changes, self.room, self.clients)
        if self.is_due():
            self.batch()  # a drop that came later than its hold lasts

    def is_due(self) -> bool:
        deadline = self.room.deadline()
        return deadline is not None and deadline <= self.clock

    def decide(self, command: Command[A]) -> Decision[A]:
        """Decide and apply, and settle those who wait; a refusal must change nothing."""
        before, now = self.room.checkpoint(), self.now()
        try:
            decision = self.room.decide(command, now)
        except Refused as refused:
            assert self.room.checkpoint() == before
            check_entry(command, refused, before, now)
            raise
        check_entry(command, None, before, now)
        assert not decision.changes or getattr(command, "claim", None) != NOBODY, "an old claim changes nothing"
        assert self.room.checkpoint() == before, "to decide is to read"
        if isinstance(command, commands.Join):
            check_given_up(decision.changes, before, command.caller.user_id)
        if decision.changes:
            self.note(apply_changes(self.room, decision.changes, now))
            check_order(self.room, before, now)
        return decision

    def note(self, changes: Sequence[Change]) -> None:
        for change in changes:
            if isinstance(change, MessageSent) and change.message.to is None:
                self.public.append(change.message)
        self.log += changes

    def listen(self) -> None:
        """Let every client read, and compare what it knows with the room."""
        queue = describe_queue(self.room.queue)
        drops: list[commands.Drop] = []
        for client in self.clients.copy():
            if (line := client.line) is None:
                continue
            client.hear()
            if line.closes:
                assert line.closes[0] in (Close.TAKEN_OVER, Close.REMOVED)
                if client.key is not None:  # it was given another place in the batch that closed it
                    drops.append(commands.Drop(client.key, client.claim or 0, age=0))
            elif client.key is not None:
                self.compare(client, queue)
                continue
            assert line.closes or client.view.over is not None or client.is_refused, "every way out is told"
            self.clients.remove(client)
        self.gathering = len(drops)
        for drop in drops:
            self.submit(drop)
        if drops:
            self.batch()
        claims = {seat.claim for seat in (*self.room.seats.values(), *self.room.queue.values())} - {None}
        live = {client.claim for client in self.clients if client.line is not None}
        assert claims == live, "every claim is a client's, and whoever lost a place was told"

    def compare(self, client: Viewer, queue: list[Waiting]) -> None:
        room, view, key = self.room, client.view, client.key or ""
        if client.is_behind:
            pass
        elif (seat := room.seats.get(key)) is not None:
            assert (view.status, view.is_stale, view.me) == ("joined", False, seat.participant)
            assert view.participants == {one.id: one for one in room.participants()}
            client.catch_up(self.public)
            public = [one for one in view.messages if one.to is None]
            assert (view.room, public[-MESSAGES_SHOWN:]) == (room.view(), list(room.messages))
            is_host = client.user in HOSTS
            assert self.broadcast.hosts.is_host(key) == is_host
            if not is_host or self.broadcast.hosts.is_idle:
                assert list(view.lobby) == (queue if is_host else [])
            else:
                assert self.broadcast.hosts.wake_at(self.clock) <= self.clock + PERIOD, "it is on its way"
        else:
            place = [Placed(one.participant_id, one.position, one.reason) for one in queue if one.participant_id == key]
            assert (view.status, view.room, view.participants, view.messages) == ("waiting", None, {}, [])
            assert [view.place] == place, "everyone is told their place"

    # What clients do, by two numbers that say who and how.

    @rule(deed=DEEDS, a=NUMBER, b=NUMBER)
    def step(self, deed: str, a: int, b: int) -> None:
        getattr(self, deed)(a, b)

    def pick(self, number: int, is_live: bool = True) -> Viewer | None:
        """Choose a client that can ask something, or any that has a token."""
        some = [one for one in self.clients if one.key and not one.is_busy and (one.line is not None) >= is_live]
        return some[number % len(some)] if some else None

    def key(self, number: int) -> str:
        """Choose a participant there is, or one there is not."""
        keys = [*self.room.seats, *self.room.queue, "nobody"]
        return keys[number % len(keys)]

    def join(self, a: int, b: int) -> None:
        client = Viewer(USERS[a % len(USERS)], ADDRESSES[b % len(ADDRESSES)])
        self.clients.append(client)
        self.ask_for_seat(client, wait=b % 4 > 0, take_over=b % 3 > 0)

    def join_again(self, a: int, b: int) -> None:
        """On the same connection: the same participant, and a new `room-state`."""
        if (client := self.pick(a)) and (client.key in self.room.seats or self.gathering == 0):
            self.ask_for_seat(client, wait=b % 4 > 0)

    def ask_for_seat(self, client: Viewer, wait: bool, take_over: bool = True) -> None:
        claim, name = self.new_claim(), None if client.user else "guest"
        self.take_seat(client, commands.Join(
            caller=client.caller(), guest_name=name, resume_hash=token(claim), claim=claim, wait=wait,
            take_over=take_over,
        ))  # fmt: skip

    def resume(self, a: int, b: int) -> None:
        """With a token, current or previous, of a client that is away, or that is there on another connection."""
        if (client := self.pick(a, is_live=False)) is None:
            return
        key, seat = client.key or "", self.room.place_of(client.key)
        previous = (seat.previous_hash if seat is not None else None) or "used"
        shown, who = ("used", previous, *[token(client.claim)] * 2)[b % 4], caller(client.user) if b % 3 else Caller()
        if client.line is not None:
            client = Viewer(client.user, client.address)
            self.clients.append(client)
        claim = self.new_claim()
        self.take_seat(client, commands.Resume(
            caller=who, participant_id=key, token_hash=shown, resume_hash=token(claim), claim=claim,
        ))  # fmt: skip

    def new_claim(self) -> int:
        self.claims += 1
        return self.claims

    def take_seat(self, client: Viewer, command: commands.SeatCommand) -> None:
        member = FakeMember(client.connect(), command.claim, request_id=command.claim)
        self.members.append(member)
        client.request = self.submit(command, SeatAsker(self.broadcast, command, member))

    def confirm(self, a: int, b: int) -> None:
        if client := self.pick(a):
            self.submit(commands.Confirm(client.key or "", (client.claim or 0) if b % 4 > 0 else NOBODY))

    def renew(self, a: int, b: int) -> None:
        if (client := self.pick(a)) and client.user is not None:
            self.submit(commands.Renew(msgspec.structs.replace(client.caller(), token_exp=float(b))))

    def leave(self, a: int, b: int) -> None:
        if (client := self.pick(a)) is None or (line := client.line) is None:
            return

        def reply(participant: Participant) -> ParticipantReply:
            line.place = None
            return ParticipantReply(id=0, participant=participant)

        command = commands.Leave(client.key or "", (client.claim or 0) if b % 4 > 0 else NOBODY)
        client.request = self.submit(command, FakeAsker(line, reply))

    def drop(self, a: int, b: int) -> None:
        """Of the connection, or of one that the client had before, whose claim is an old one."""
        if client := self.pick(a):
            key, claim = client.key or "", (client.claim or 0) if b % 4 > 0 else NOBODY
            if claim != NOBODY:
                client.drop()
            self.submit(commands.Drop(key, claim, age=0, hold=(math.inf, HOLD, 5, 0)[b % 4]))

    def say(self, a: int, b: int) -> None:
        if client := self.pick(a):
            to, again = self.key(b) if b % 2 else None, f"c{b % 5}" if b % 3 else None
            self.submit(commands.SendMessage(client.key or "", client.claim or 0, "hello", to, client_id=again))

    def present(self, a: int, b: int) -> None:
        if client := self.pick(a):
            self.submit(commands.UpdateState(client.key or "", client.claim or 0, STATES[b % len(STATES)]))

    def fall_behind(self, a: int, b: int) -> None:
        if client := self.pick(a):
            client.connect().is_full = True

    def read_again(self, a: int, b: int) -> None:
        """Get a new `room-state`, or the place in the queue, with the next batch, if anything was left out."""
        full = [client for client in self.clients if client.line is not None and client.line.is_full]
        if full and (place := full[a % len(full)].read_again()) is not None:
            assert self.broadcast.refresh_later(place.participant.id, place)
            if self.gathering == 0:
                self.batch()

    # What hosts do.

    def update(self, a: int, b: int) -> None:
        self.submit(commands.UpdateRoom(caller(ASKERS[b % len(ASKERS)]), CHOICES[a % len(CHOICES)]))

    def moderate(self, a: int, b: int) -> None:
        self.submit(MODERATION[a % len(MODERATION)](caller(ASKERS[b % len(ASKERS)]), self.key(b // len(ASKERS))))

    def end(self, a: int, b: int) -> None:
        if len(self.log) > 40:
            self.batch()  # an end has a batch of its own
            self.submit(commands.EndRoom(caller("alice")))

    def pass_time(self, a: int, b: int) -> None:
        """What waits for its batch goes on waiting, unless a hold runs out."""
        self.clock += (a + 1) / 16
        if self.gathering == 0 or self.is_due():
            self.batch()

    def crash(self, a: int, b: int) -> None:
        """What the log says is all that is left: everyone told of a place has it, held anew for the full window."""
        self.batch()
        told, now = self.room.checkpoint(), self.now()
        stored = self.replay().checkpoint()
        places = sorted((*stored.seats.values(), *stored.queue.values()), key=lambda seat: seat.participant.id)
        held = [held_anew(seat, now, HOLD) for seat in places]
        self.log = [change for change in self.log if not isinstance(change, KnockDenied)]  # these are not stored
        self.log += [SeatChanged(seat) for seat in held]
        kept = (stored.messages, stored.last_id, stored.sent, stored.message_bytes, stored.deleted_bytes)
        self.room = Room(StoredRoom(stored.view, held, [*stored.bans.items()], *kept), RULES)
        assert list(self.room.queue) == list(told.queue), "at their positions"
        assert self.room.seats.keys() == told.seats.keys()
        assert (self.room.checkpoint().bans, self.room.messages) == (told.bans, told.messages)
        connected = [seat.participant for seat in told.seats.values() if seat.claim is not None]
        self.backend.follow([dropped_at_start(stored.view, one, now.stamp) for one in connected], self.room)
        self.broadcast = Broadcast(encode_line)
        for client in self.clients:
            client.drop()

    @invariant()
    def holds_are_in_time(self) -> None:
        Machine.steps += 1
        for seat in (*self.room.seats.values(), *self.room.queue.values()):
            assert seat.participant.is_active == (seat.claim is not None)
            assert seat.claim is not None or self.clock < seat.held_until <= self.clock + HOLD

    def teardown(self) -> None:
        """Replaying the log rebuilds the room, and a stay is told once: nobody comes back under an id that left."""
        self.batch()
        for _ in self.clients.copy():
            self.read_again(0, 0)
        self.batch()
        assert not any(client.is_behind for client in self.clients), "everyone knows the room in the end"
        again, now = self.replay().checkpoint(), self.room.checkpoint()
        assert (again, list(again.queue)) == (now, list(now.queue))
        self.backend.check_stays(self.log)
        for member in self.members:
            member.check()

    def replay(self) -> Room:
        again = Room(StoredRoom(self.start, last_id=FIRST), RULES)
        for change in self.log:
            again.apply(change)
        return again


class Busy(Machine):
    """The same while storage is slow: several commands share a batch, which may come late."""

    @rule(deed=DEEDS, a=NUMBER, b=NUMBER, more=st.integers(min_value=0, max_value=4))
    def step(self, deed: str, a: int, b: int, more: int = 0) -> None:
        self.gathering = self.gathering or more
        super().step(deed, a, b)
