"""A Hypothesis state machine over one room: what must hold whatever happens in whatever order."""

import math

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from roomd.engine.broadcast import SeatAsker
from roomd.protocol.objects import Participant
from roomd.protocol.replies import ParticipantReply
from roomd.rooms import commands
from roomd.rooms.model import Caller
from tests.support.deeds import (
    ADDRESSES,
    ASKERS,
    CHOICES,
    MODERATION,
    OFTEN,
    STATES,
    TOKENS,
    USERS,
    forgotten,
    in_future,
)
from tests.support.members import FakeAsker, FakeMember
from tests.support.played_room import HOLD, NOBODY, PlayedRoom
from tests.support.viewers import Viewer, caller, resume_token

EXPIRIES = (None, 0.0)
"""When tokens expire that are presented later: never, or long ago."""
DEEDS = st.sampled_from([deed for deed, weight in OFTEN.items() for _ in range(weight)])
"""One rule for all of them, so that Hypothesis leaves none out of an example, as it does with rules."""
NUMBER = st.integers(min_value=0, max_value=99)


class Machine(RuleBasedStateMachine):
    """Has clients, hosts and time do what they choose to, in a room that is played."""

    steps = 0

    def __init__(self) -> None:
        super().__init__()
        self.play = PlayedRoom()
        self.claims = 0

    # What clients do, by two numbers that say who and how.

    @rule(deed=DEEDS, a=NUMBER, b=NUMBER)
    def step(self, deed: str, a: int, b: int) -> None:
        getattr(self, deed)(a, b)

    def pick(self, number: int, is_live: bool = True) -> Viewer | None:
        """Choose a client that can ask something, or any that has a token."""
        some = [one for one in self.play.clients if one.key and not one.is_busy and (one.line is not None) >= is_live]
        return some[number % len(some)] if some else None

    def key(self, number: int) -> str:
        """Choose a participant there is, or one there is not."""
        keys = [*self.play.room.seats, *self.play.room.queue, *self.play.room.hidden, "nobody"]
        return keys[number % len(keys)]

    def join(self, a: int, b: int) -> None:
        user = USERS[a % len(USERS)]
        client = Viewer(user, ADDRESSES[b % len(ADDRESSES)], TOKENS[user][b % len(TOKENS[user])])
        self.play.clients.append(client)
        self.ask_for_seat(client, wait=b % 4 > 0, take_over=b % 3 > 0)

    def join_again(self, a: int, b: int) -> None:
        """On the same connection: the same participant, and a new `room-state`."""
        if (client := self.pick(a)) and (client.key not in self.play.room.queue or self.play.gathering == 0):
            self.present_token(client, b)
            self.ask_for_seat(client, wait=b % 4 > 0)

    def present_token(self, client: Viewer, number: int) -> None:
        """Have a client use another token of its user from now on, or the same."""
        client.token = TOKENS[client.user][number % len(TOKENS[client.user])]

    def ask_for_seat(self, client: Viewer, wait: bool, take_over: bool = True) -> None:
        claim, name = self.new_claim(), None if client.user else "guest"
        self.take_seat(client, commands.Join(
            caller=client.caller(), guest_name=name, resume_hash=resume_token(claim), claim=claim, wait=wait,
            take_over=take_over,
        ))  # fmt: skip

    def resume(self, a: int, b: int) -> None:
        """With a token, current or previous, of a client that is away, or that is there on another connection."""
        if (client := self.pick(a, is_live=False)) is None:
            return
        key, seat = client.key or "", self.play.room.place_of(client.key)
        previous = (seat.previous_hash if seat is not None else None) or "used"
        shown = ("used", previous, *[resume_token(client.claim)] * 2)[b % 4]
        if client.line is not None:
            client = Viewer(client.user, client.address)
            self.play.clients.append(client)
        self.present_token(client, b // 4)
        who, claim = caller(client.user, token=client.token) if b % 3 else Caller(), self.new_claim()
        self.take_seat(client, commands.Resume(
            caller=who, participant_id=key, token_hash=shown, resume_hash=resume_token(claim), claim=claim,
        ))  # fmt: skip

    def new_claim(self) -> int:
        self.claims += 1
        return self.claims

    def take_seat(self, client: Viewer, command: commands.SeatCommand) -> None:
        member = FakeMember(client.connect(), command.claim, request_id=command.claim)
        self.play.members.append(member)
        client.request = self.play.submit(command, SeatAsker(self.play.broadcast, command, member))

    def confirm(self, a: int, b: int) -> None:
        if client := self.pick(a):
            self.play.submit(commands.Confirm(client.key or "", (client.claim or 0) if b % 4 > 0 else NOBODY))

    def renew(self, a: int, b: int) -> None:
        if (client := self.pick(a)) and client.user is not None:
            self.present_token(client, b)
            self.play.submit(commands.Renew(msgspec.structs.replace(client.caller(), token_exp=EXPIRIES[b % 2])))

    def leave(self, a: int, b: int) -> None:
        if (client := self.pick(a)) is None or (line := client.line) is None:
            return

        def reply(participant: Participant) -> ParticipantReply:
            line.place = None
            return ParticipantReply(id=0, participant=participant)

        command = commands.Leave(client.key or "", (client.claim or 0) if b % 4 > 0 else NOBODY)
        client.request = self.play.submit(command, FakeAsker(line, reply))

    def drop(self, a: int, b: int) -> None:
        """Of the connection, or of one that the client had before, whose claim is an old one."""
        if client := self.pick(a):
            key, claim = client.key or "", (client.claim or 0) if b % 4 > 0 else NOBODY
            if claim != NOBODY:
                client.drop()
            self.play.submit(commands.Drop(key, claim, age=0, hold=(math.inf, HOLD, 5, 0)[b % 4]))

    def say(self, a: int, b: int) -> None:
        if client := self.pick(a):
            to, again = self.key(b) if b % 2 else None, f"c{b % 5}" if b % 3 else None
            self.play.submit(commands.SendMessage(client.key or "", client.claim or 0, "hello", to, client_id=again))

    def present(self, a: int, b: int) -> None:
        if client := self.pick(a):
            self.play.submit(commands.UpdateState(client.key or "", client.claim or 0, STATES[b % len(STATES)]))

    def fall_behind(self, a: int, b: int) -> None:
        if client := self.pick(a):
            client.connect().is_full = True

    def read_again(self, a: int, b: int) -> None:
        """Get a new `room-state`, or the place in the queue, with the next batch, if anything was left out."""
        full = [client for client in self.play.clients if client.line is not None and client.line.is_full]
        if full and (place := full[a % len(full)].read_again()) is not None:
            assert self.play.broadcast.refresh_later(place.participant.id, place)
            if self.play.gathering == 0:
                self.play.batch()

    # What hosts do.

    def asker(self, number: int) -> Caller:
        """Choose who asks: somebody from outside with a token, or a client by its seat alone."""
        client = self.pick(number // len(ASKERS)) if number % 3 == 0 else None
        return client.by_seat() if client is not None else ASKERS[number % len(ASKERS)]

    def update(self, a: int, b: int) -> None:
        choice = in_future(CHOICES[a % len(CHOICES)], b, self.play.now())
        self.play.submit(commands.UpdateRoom(self.asker(b), choice))

    def moderate(self, a: int, b: int) -> None:
        self.play.submit(MODERATION[a % len(MODERATION)](self.asker(b), self.key(b // len(ASKERS)), self.play.room))

    def delete_some(self, a: int, b: int) -> None:
        """What nobody in the room asks for: old messages, and what is known of somebody who is forgotten."""
        if a % 2:
            self.play.submit(forgotten(self.play.room))
        elif self.play.room.messages:
            through = self.play.room.messages[b % len(self.play.room.messages)].id
            self.play.submit(commands.DeleteMessages(through, self.play.room.message_bytes // 2))

    def end(self, a: int, b: int) -> None:
        """By a host, or because it is over for long; these have a batch of their own."""
        if len(self.play.log) > 15:
            self.play.batch()
            ways = (commands.EndRoom(self.asker(b)), commands.DeleteRoom(self.asker(b)), commands.DeleteOld("9999"))
            self.play.submit(ways[a % len(ways)])
            self.play.begin_again()

    def pass_time(self, a: int, b: int) -> None:
        """What waits for its batch goes on waiting, unless a hold runs out, or the room ends by itself."""
        self.play.clock += (a + 1) / 16
        if self.play.gathering == 0 or self.play.is_due():
            self.play.batch()
        self.play.end_if_due()

    def crash(self, a: int, b: int) -> None:
        self.play.crash()

    @invariant()
    def holds_are_in_time(self) -> None:
        Machine.steps += 1
        for seat in self.play.places():
            assert seat.participant.is_active == (seat.claim is not None)
            assert seat.claim is not None or self.play.clock < seat.held_until <= self.play.clock + HOLD

    def teardown(self) -> None:
        self.play.batch()
        for _ in self.play.clients.copy():
            self.read_again(0, 0)
        self.play.batch()
        self.play.close()


class Busy(Machine):
    """The same while storage is slow: several commands share a batch, which may come late."""

    @rule(deed=DEEDS, a=NUMBER, b=NUMBER, more=st.integers(min_value=0, max_value=4))
    def step(self, deed: str, a: int, b: int, more: int = 0) -> None:
        self.play.gathering = self.play.gathering or more
        super().step(deed, a, b)
