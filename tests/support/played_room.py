"""A room with its log and its clients, for the state machine in tests/rooms.

It does what `roomd/engine/live_room.py` does, without a loop and with storage that never fails: several commands may
share a batch, and every client makes the library's view from the frames that it gets, which must be the room.
"""

from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec

from roomd.client.events import Placed
from roomd.engine.broadcast import Broadcast
from roomd.engine.host_queue import PERIOD
from roomd.engine.ports import Asker
from roomd.protocol.errors import Close, Refused
from roomd.protocol.objects import Message, Waiting
from roomd.rooms import commands
from roomd.rooms.answers import Participants
from roomd.rooms.changes import Change, KnockDenied, MessagesDeleted, MessageSent, SeatChanged
from roomd.rooms.commands.ending import note_emptiness
from roomd.rooms.event_log import created, dropped_at_start, log_events
from roomd.rooms.model import Moment, Seat, StoredRoom
from roomd.rooms.room import MESSAGES_SHOWN, Command, Decision, Room
from roomd.rooms.seats import apply_changes, describe_queue
from roomd.rooms.settings import Rules, Settings, open_room
from tests.support.attendance import Follower
from tests.support.deeds import held_anew
from tests.support.fakes import START
from tests.support.invariants import (
    check_entry,
    check_given_up,
    check_order,
    check_places,
    check_rights,
    check_secrets,
)
from tests.support.members import FakeAsker, FakeMember, encode_line
from tests.support.viewers import Asked, Token, Viewer, token_of

A = TypeVar("A")

HOLD = 10.0
RULES = Rules(HOLD, 100, address_ban=20.0)
NOBODY = -1
"""A claim that nobody has."""
FIRST = "000000"
READS = (
    commands.ListParticipants, commands.ListWaiting, commands.ListBans, commands.ListMessages, commands.CheckMute,
    commands.CheckHost, commands.GetRoom,
)  # fmt: skip
"""Commands that change nothing."""


class PlayedRoom:
    """The room, and beside it the log of its changes, every client, and a backend that reads the event log."""

    def __init__(self) -> None:
        self.clock = 0.0
        self.bans = 0
        self.members: list[FakeMember] = []
        self.inbox: list[Asked[Any]] = []
        self.gathering = 0
        """How many more commands the next batch waits for."""
        self.begin()

    def begin(self) -> None:
        """Make a room, in which nobody is yet."""
        self.start = open_room(
            Settings(max_participants=4), RULES, room_id="r", code="abc-def-ghi", host_id="alice",
            created_at=self.now().stamp,
        )  # fmt: skip
        self.room = Room(StoredRoom(self.start, last_id=FIRST), RULES)
        self.broadcast = Broadcast(encode_line)
        self.last_id = FIRST
        self.log: list[Change] = []
        self.backend = Follower()
        self.backend.follow([created(self.start)], self.room)
        self.public: list[Message] = []
        self.deleted: set[str] = set()
        self.clients: list[Viewer] = []
        self.tokens: dict[str, Token] = {}
        self.unseen: set[str] = set()

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
        if self.room.settings.end_when_empty is not None or self.room.empty_since is not None:
            now = self.now()
            self.note(apply_changes(self.room, note_emptiness(self.room, self.log[known:], now), now))
        changes = self.log[known:]
        check_places(self.room, self.tokens)
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
            check_rights(command, refused, before, self.tokens)
            raise
        check_entry(command, None, before, now)
        check_rights(command, None, before, self.tokens)
        self.check_answer(command, decision)
        assert not decision.changes or getattr(command, "claim", None) != NOBODY, "an old claim changes nothing"
        assert self.room.checkpoint() == before, "to decide is to read"
        if isinstance(command, commands.Join):
            check_given_up(decision.changes, before, command.caller.user_id)
        if decision.changes:
            self.note(apply_changes(self.room, decision.changes, now))
            check_order(self.room, before, now)
        if isinstance(command, commands.SeatCommand | commands.Renew) and command.caller.user_id is not None:
            place = self.room.place_of_user(command.caller.user_id)
            if place is not None:
                self.tokens[place.participant.id] = token_of(command.caller)
        return decision

    def check_answer(self, command: Command[object], decision: Decision[object]) -> None:
        """Who asks is answered what is so, and nobody is told of who is hidden."""
        answer = decision.answer
        if isinstance(command, READS):
            assert not decision.changes
            told = msgspec.json.encode(answer) if not isinstance(command, commands.ListMessages) else b""
            assert not any(f'"{key}"'.encode() in told for key in self.unseen)
        if isinstance(command, commands.ListParticipants):
            assert isinstance(answer, Participants)
            assert answer.participants == self.room.participants()
        elif isinstance(command, commands.ListWaiting):
            assert answer == describe_queue(self.room.queue)

    def note(self, changes: Sequence[Change]) -> None:
        for change in changes:
            if isinstance(change, MessageSent) and change.message.to is None:
                self.public.append(change.message)
            elif isinstance(change, MessagesDeleted):
                gone = {one.id for one in self.public if one.id <= change.through or one.id in change.ids}
                self.public = [one for one in self.public if one.id not in gone]
                self.deleted |= gone
        self.log += changes
        self.unseen |= self.room.hidden.keys()

    def listen(self) -> None:
        """Let every client read, and compare what it knows with the room."""
        queue = describe_queue(self.room.queue)
        drops: list[commands.Drop] = []
        for client in self.clients.copy():
            if (line := client.line) is None:
                continue
            client.hear(self.unseen)
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
        claims = {seat.claim for seat in self.places()} - {None}
        live = {client.claim for client in self.clients if client.line is not None}
        assert claims == live, "every claim is a client's, and whoever lost a place was told"

    def compare(self, client: Viewer, queue: list[Waiting]) -> None:
        room, view, key = self.room, client.view, client.key or ""
        if client.is_behind:
            pass
        elif (seat := room.seats.get(key) or room.hidden.get(key)) is not None:
            assert (view.status, view.is_stale) == ("joined", False)
            assert view.me == seat.participant or (key in room.hidden and view.me is not None and view.me.id == key)
            assert view.participants == {one.id: one for one in room.participants()}
            client.catch_up(self.public)
            public = [one for one in view.messages if one.to is None and one.id not in self.deleted]
            assert (view.room, public[-MESSAGES_SHOWN:]) == (room.view(), list(room.messages))
            is_host = seat.participant.role != "member"
            assert self.broadcast.hosts.is_host(key) == is_host
            if not is_host or self.broadcast.hosts.is_idle:
                assert list(view.lobby) == (queue if is_host else [])
            else:
                assert self.broadcast.hosts.wake_at(self.clock) <= self.clock + PERIOD, "it is on its way"
        else:
            place = [Placed(one.participant_id, one.position, one.reason) for one in queue if one.participant_id == key]
            assert (view.status, view.room, view.participants, view.messages) == ("waiting", None, {}, [])
            assert [view.place] == place, "everyone is told their place"

    def places(self) -> list[Seat]:
        """Return the seats, the places in the queue, and the hidden ones."""
        return [*self.room.seats.values(), *self.room.queue.values(), *self.room.hidden.values()]

    def end_if_due(self) -> None:
        """End the room when its time has come, as the hub does. The batch before may have changed that."""
        if self.has_time_come():
            self.batch()
            must_end = self.has_time_come()
            self.submit(commands.EndDue())
            assert self.room.settings.is_active != must_end

    def has_time_come(self) -> bool:
        """Return whether the room ends by itself now."""
        return self.room.ends_at is not None and self.room.ends_at <= self.now().stamp

    def begin_again(self) -> None:
        """Go on with a new room if this one was deleted."""
        if self.room.is_deleted:
            assert all(client.line is None for client in self.clients), "everybody was told"
            assert not self.backend.replay.rooms
            self.finish()
            self.begin()

    def crash(self) -> None:
        """What the log says is all that is left: everyone told of a place has it, held anew for the full window."""
        self.batch()
        told, now = self.room.checkpoint(), self.now()
        stored = self.replay().checkpoint()
        everybody = (*stored.seats.values(), *stored.queue.values(), *stored.hidden.values())
        places = sorted(everybody, key=lambda seat: seat.participant.id)
        held = [held_anew(seat, now, HOLD) for seat in places]
        self.log = [change for change in self.log if not isinstance(change, KnockDenied)]  # these are not stored
        self.log += [SeatChanged(seat) for seat in held]
        kept = (stored.messages, stored.last_id, stored.sent, stored.message_bytes, stored.deleted_bytes)
        self.room = Room(StoredRoom(stored.view, held, [*stored.bans.items()], *kept, stored.empty_since), RULES)
        assert list(self.room.queue) == list(told.queue), "at their positions"
        assert (self.room.seats.keys(), self.room.hidden.keys()) == (told.seats.keys(), told.hidden.keys())
        assert (self.room.checkpoint().bans, self.room.messages) == (told.bans, told.messages)
        there = (*told.seats.values(), *told.hidden.values())
        connected = [seat.participant for seat in there if seat.claim is not None]
        self.backend.follow([dropped_at_start(stored.view, one, now.stamp) for one in connected], self.room)
        self.broadcast = Broadcast(encode_line)
        for client in self.clients:
            client.drop()
        self.end_if_due()

    def close(self) -> None:
        """Check what holds in the end."""
        assert not any(client.is_behind for client in self.clients), "everyone knows the room in the end"
        self.finish()
        for member in self.members:
            member.check()

    def finish(self) -> None:
        """Replaying the log rebuilds the room, and a stay is told once: nobody comes back under an id that left."""
        again, now = self.replay().checkpoint(), self.room.checkpoint()
        assert (again, list(again.queue)) == (now, list(now.queue))
        self.backend.check_stays(self.log)

    def replay(self) -> Room:
        again = Room(StoredRoom(self.start, last_id=FIRST), RULES)
        for change in self.log:
            again.apply(change)
        return again
