"""Clients that know a room by the library's view alone, for the state machine in tests/rooms."""

from collections.abc import Callable, Set
from functools import partial
from typing import Any, Generic, NamedTuple, TypeVar

from msgspec import UNSET, UnsetType

from roomd.client.catch_up import CATCH_UP
from roomd.client.connection import decode
from roomd.client.events import Said
from roomd.client.view import View
from roomd.engine.ports import Asker
from roomd.protocol.errors import Refused
from roomd.protocol.objects import Message, Metadata
from roomd.protocol.replies import MessagesReply
from roomd.rooms.model import Caller
from roomd.rooms.room import Command, Decision
from tests.support.members import FakeClient, FakeMember

A = TypeVar("A")


class Asked(Generic[A]):
    """A command that waits for its batch: what `Pending` is in the engine."""

    def __init__(self, command: Command[A], asked_at: float, asker: Asker[A]) -> None:
        self._command = command
        self._asked_at = asked_at
        self._asker = asker
        self._send: Callable[[], None]
        self.is_done = False

    def decide(self, decide: Callable[[Command[A]], Decision[A]], clock: float) -> None:
        """Decide the command, and keep what is to be sent."""
        try:
            answer = decide(self._command.delayed(clock - self._asked_at)).answer
        except Refused as refused:
            self._send = partial(self._asker.refused, refused)
        else:
            self._send = partial(self._asker.answered, answer)

    def send_answer(self) -> None:
        """Send the answer or the refusal to the asker."""
        assert not self.is_done, "every request is answered once"
        self._send()
        self.is_done = True


class Token(NamedTuple):
    """What a token says of its user, beside the user id."""

    is_admin: bool = False
    is_cohost: bool = False
    is_hidden: bool = False
    metadata: Metadata | UnsetType = UNSET


PLAIN = Token()
"""A token that says nothing more."""


class Viewer:
    """One person's client: the library's view, on one connection after another."""

    def __init__(self, user: str | None, address: str | None = None, token: Token = PLAIN) -> None:
        self.user = user
        self.address = address
        """The key of its network address."""
        self.token = token
        """What its token says; of no meaning for a guest."""
        self.view = View()
        self.line: FakeClient | None = None
        """Its connection, while there is one."""
        self.request: Asked[Any] | None = None
        """Its last request for a seat or for leaving one."""
        self.heard: set[str] = set()
        """Ids of the messages that its view told of."""
        self._kept: FakeMember | None = None  # the place that it had when the connection was lost
        self._own: set[str] = set()  # the participant ids that it was told as its own

    @property
    def place(self) -> FakeMember | None:
        """Where it sits or waits; while it has no connection, where it did."""
        return self._kept if self.line is None else self.line.place

    @property
    def key(self) -> str | None:
        """Its participant id."""
        return self.place.participant.id if self.place is not None else None

    @property
    def claim(self) -> int | None:
        """The claim of its place."""
        return self.place.claim if self.place is not None else None

    @property
    def is_busy(self) -> bool:
        """Whether it waits for a reply: until then it asks for nothing else."""
        return self.request is not None and not self.request.is_done

    @property
    def is_behind(self) -> bool:
        """Whether it does not know what happened last."""
        return self.line is not None and self.line.place is not None and self.line.place.has_missed

    @property
    def is_refused(self) -> bool:
        """Whether all that its connection ever got is a refusal."""
        return self.line is not None and self.line.last_place is None and bool(self.line.answers)

    def caller(self) -> Caller:
        return caller(self.user, self.key, self.claim, self.address, self.token)

    def by_seat(self) -> Caller:
        """Return what it is without a token: whoever has its seat."""
        return Caller(self.key, self.claim, address_key=self.address)

    def connect(self) -> FakeClient:
        """Open a connection, unless there is one. What it had before is worth its resume token only."""
        if self.line is None:
            self.line, self._kept = FakeClient(), None
        return self.line

    def drop(self) -> None:
        """Lose the connection."""
        if self.line is not None:
            self._kept = self.line.place
            self.line.is_open = False
            self.line = None
        self.view.drop()

    def hear(self, unseen: Set[str] = frozenset()) -> None:
        """Read what was sent. Of those who are `unseen` it hears nothing, unless that is itself."""
        if self.line is not None:
            self._own |= {one.participant.id for one in (self.line.place, self.line.last_place) if one is not None}
        others = [f'"{key}"'.encode() for key in unseen - self._own]
        for line in self.line.take() if self.line is not None else ():
            assert not any(key in line for key in others), "who is hidden is told to nobody"
            frame = decode(line)
            assert frame is not None
            self._apply(frame)

    def read_again(self) -> FakeMember | None:
        """Read what was sent; return its place if something was left out there."""
        if self.line is not None:
            self.line.is_full = False
        return self.place if self.is_behind else None

    def catch_up(self, said: list[Message]) -> None:
        """Ask for what was said while it was away, of these public messages; what came meanwhile is told then."""
        while self.view.missed is not None:
            later = [message for message in said if message.id > (self.view.missed.cursor or "")]
            self._apply(MessagesReply(id=CATCH_UP, messages=later, next_cursor=None))

    def _apply(self, frame: Any) -> None:
        self.heard |= {event.message.id for event in self.view.apply(frame) if isinstance(event, Said)}


def caller(
    user: str | None,
    key: str | None = None,
    claim: int | None = None,
    address: str | None = None,
    token: Token = PLAIN,
) -> Caller:
    """Somebody who asks, with what a token says of them."""
    said = token._asdict() if user is not None else {}
    return Caller(key, claim, user, user or "", address_key=address, **said)


def token_of(caller: Caller) -> Token:
    """Return what somebody's token says."""
    return Token(caller.is_admin, caller.is_cohost, caller.is_hidden, caller.metadata)


def resume_token(claim: int | None) -> str:
    """The resume token, and its hash, of a sitting."""
    return f"t{claim}"
