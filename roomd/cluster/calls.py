"""What clients of this node have asked, and the places that they have: the edge's side of each."""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Generic, Literal, Protocol, TypeVar

import msgspec

from roomd.cluster import registry, wire
from roomd.cluster.ports import Node
from roomd.engine.moving import Moved, Uncertain
from roomd.engine.ports import RETRY_AFTER, Asker, Member, SeatLost
from roomd.protocol.errors import INTERNAL_ERROR, TAKEN_OVER, UNAVAILABLE, Refused
from roomd.protocol.objects import Participant
from roomd.rooms.commands import Attach, SeatCommand
from roomd.rooms.model import WaitsFor
from roomd.rooms.room import Command

log = logging.getLogger("roomd.cluster.calls")

A = TypeVar("A")


class Edge(Protocol):
    """What calls and seats need of their edge."""

    def moved(self, call: "Call", *, is_in_doubt: bool) -> None:
        """Find the room of a call again, and send the call there."""

    def attach(self, seat: "EdgeSeat", after: float = 0.0) -> None:
        """Have the owner send a seat the state of its room, after so many seconds."""

    def forget(self, code: str, claim: int) -> None:
        """Forget a seat, which gets nothing more."""

    def abandon(self, seat: "EdgeSeat") -> None:
        """Have the seat held that may have been given, though nobody was told of it."""

    def finished(self, call: "Call") -> None:
        """Note that a call is answered, though not by its number."""


class Call(ABC):
    """Something that was asked of a room, wherever that is. Each kind of call is a subclass."""

    def __init__(self, code: str, asked_at: float) -> None:
        self.code = code
        self.asked_at = asked_at
        """When it was asked, on the monotonic clock."""
        self.number = 0
        """Its number on the wire; 0 while it has none."""
        self.owner: Node | None = None
        """Where it was sent; None while it is not on the wire."""
        self.is_in_doubt = False
        """Whether an owner may have served it whose answer did not come."""
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """The future that is done when the asker was answered."""

    @abstractmethod
    def item(self, clock: float) -> wire.AnyItem:
        """Return what is sent to the owner at a time of the monotonic clock."""

    def repeat(self) -> bool:
        """Prepare to be served by another owner, though one may have served it. Return whether that is possible."""
        return True

    @abstractmethod
    def answered(self, answer: msgspec.Raw) -> None:
        """Send the answer to the asker."""

    @abstractmethod
    def refused(self, refused: Refused) -> None:
        """Send a refusal to the asker."""

    def give_up(self) -> None:
        """Refuse the call, because its room could not be reached in time."""
        self.refused(Uncertain() if self.is_in_doubt else Refused(UNAVAILABLE, retry_after=RETRY_AFTER))

    def finish(self, send: Callable[[], None]) -> None:
        """Send an answer, whatever becomes of it, and complete `done`."""
        try:
            send()
        except Exception as exc:  # the edge of a call: others must be answered
            log.exception("reply failed", {"error": type(exc).__name__})
        if not self.done.done():
            self.done.set_result(None)


class CommandCall(Call, Generic[A]):
    """A command whose answer goes to an asker."""

    def __init__(self, code: str, asked_at: float, command: Command[A], asker: Asker[A]) -> None:
        super().__init__(code, asked_at)
        self.command: Command[A] = command
        self._asker = asker

    def delayed(self, clock: float) -> Command[A]:
        """Return the command as it is at a time of the monotonic clock."""
        return self.command.delayed(clock - self.asked_at)

    def item(self, clock: float) -> wire.AnyItem:
        """Return the command with its number."""
        return wire.Ask(self.number, self.code, registry.encode_command(self.delayed(clock)))

    def repeat(self) -> bool:
        """Use the form of the command that has no second effect, if it has one."""
        repeated = self.command.repeated()
        if repeated is not None:
            self.command = repeated
        return repeated is not None

    def answered(self, answer: msgspec.Raw) -> None:
        """Send the answer to the asker."""
        try:
            decoded = registry.decode_answer(self.command, answer)
        except msgspec.DecodeError:  # of a node with another version
            self.refused(Refused(INTERNAL_ERROR))
            return
        self.answer(decoded)

    def answer(self, answer: A) -> None:
        """Send an answer of the hub of this node to the asker."""
        self.finish(lambda: self._asker.answered(answer))

    def refused(self, refused: Refused) -> None:
        """Send the refusal to the asker."""
        self.finish(lambda: self._asker.refused(refused))


class LocalAsker(Generic[A]):
    """The asker of a call that the hub of this node serves."""

    def __init__(self, edge: Edge, call: CommandCall[A]) -> None:
        self._edge = edge
        self._call = call

    def answered(self, answer: A) -> None:
        """Send the answer."""
        self._call.answer(answer)

    def refused(self, refused: Refused) -> None:
        """Send the refusal, or find the room again."""
        if isinstance(refused, Moved):
            self._edge.moved(self._call, is_in_doubt=refused.is_in_doubt)
        else:
            self._call.refused(refused)


class LeavingAsker(Generic[A]):
    """The asker of a `Leave`: when it is answered, the seat gets nothing more."""

    def __init__(self, edge: Edge, code: str, claim: int, asker: Asker[A]) -> None:
        self._edge = edge
        self._code = code
        self._claim = claim
        self._asker = asker

    def answered(self, answer: A) -> None:
        """Forget the seat, and send the answer."""
        self._edge.forget(self._code, self._claim)
        self._asker.answered(answer)

    def refused(self, refused: Refused) -> None:
        """Send the refusal."""
        self._asker.refused(refused)


class RelayCall(Call):
    """An event for one participant, as a whole frame. Sent twice, it does no harm that the network would not do."""

    def __init__(self, code: str, asked_at: float, participant_id: str, frame: bytes, asker: Asker[None]) -> None:
        super().__init__(code, asked_at)
        self.participant_id = participant_id
        self.frame = frame
        self._asker = asker

    def item(self, clock: float) -> wire.AnyItem:  # noqa: ARG002 - it does not depend on the time
        """Return the event with its number."""
        return wire.Relay(self.number, self.code, self.participant_id, self.frame)

    def answered(self, answer: object) -> None:  # noqa: ARG002 - it is always None
        """Tell the asker that the event was sent."""
        self.finish(lambda: self._asker.answered(None))

    def refused(self, refused: Refused) -> None:
        """Send the refusal to the asker."""
        self.finish(lambda: self._asker.refused(refused))


class SeatCall(Call):
    """A join, a resume or an `Attach`, whose answers go to a seat."""

    def __init__(self, asked_at: float, command: SeatCommand | Attach, seat: "EdgeSeat") -> None:
        super().__init__(seat.code, asked_at)
        self.command = command
        self.seat = seat

    def item(self, clock: float) -> wire.AnyItem:  # noqa: ARG002 - its age does not matter
        """Return the command with its number."""
        return wire.Ask(self.number, self.code, registry.encode_command(self.command))

    def repeat(self) -> bool:
        """Use the form of the command that has no second effect."""
        repeated = self.command.repeated()
        if isinstance(repeated, SeatCommand | Attach):
            self.command = repeated
        return repeated is not None

    def answered(self, answer: msgspec.Raw) -> None:
        """Do nothing: the answer goes to the seat."""

    def refused(self, refused: Refused) -> None:
        """Send the refusal to the seat."""
        self.seat.refused(refused)


class EdgeSeat:
    """A client's seat, or its place in a queue, or its request for one. It is the `Member` of its room.

        state    | seated          | queued           | refused, of an Attach    | refused        | seat_lost
        ---------|-----------------|------------------|--------------------------|----------------|----------
        asked    | seated          | queued           |                          | gone           | (its call goes on)
        queued   | seated          | queued           | gone, or attach again    | gone           | gone
        seated   | refreshed       |                  | gone, or attach again    |                | gone
        gone     |                 |                  | (not told)               |                |

    An `Attach` may be served twice, as the bus may repeat it: so it may be refused when there is no call any more.
    While it `is_stale`, it has missed events: it is sent none until a new state, for which an `Attach` is on its way.

    A client may join again on the connection that has its seat, which is `before`. Until that join is answered, the
    seat of before is not told that it was taken over: it may have been by this very join, whose answer comes later.
    When the join is seated, the seat of before is gone. When it has another answer, the seat of before asks the room.
    """

    __slots__ = (
        "_before",
        "_edge",
        "_next",
        "call",
        "claim",
        "code",
        "is_stale",
        "member",
        "participant_id",
        "state",
    )  # fmt: skip

    def __init__(self, edge: Edge, code: str, claim: int, member: Member, before: "EdgeSeat | None" = None) -> None:
        self._edge = edge
        self._before = before
        self._next: EdgeSeat | None = None
        if before is not None:
            before._next = self
        self.code = code
        self.claim = claim
        self.member = member
        self.participant_id = ""
        """The id of the participant; empty while there is none."""
        self.state: Literal["asked", "queued", "seated", "gone"] = "asked"
        self.is_stale = False
        """Whether it has missed events."""
        self.call: SeatCall | None = None
        """What was asked for it and is not answered yet."""

    @property
    def is_attached(self) -> bool:
        """Whether the room knows the seat, or has known it."""
        return self.state in ("queued", "seated")

    @property
    def is_open(self) -> bool:
        """Whether the client can still be sent anything."""
        return self.member.is_open

    @property
    def is_behind(self) -> bool:
        """Whether so many bytes wait for the client that events should be sent later."""
        return self.member.is_behind

    def seated(self, participant: Participant, state: bytes) -> None:
        """Give the client its seat; or only the state, if it has the seat already."""
        self.is_stale = False
        self.participant_id = participant.id
        was_seated, self.state = self.state == "seated", "seated"
        member = self.member
        self._finish(lambda: member.refreshed(state) if was_seated else member.seated(participant, state))
        if (before := self._take_before()) is not None:
            self._edge.forget(before.code, before.claim)
            before.state = "gone"
            before._finish(_nothing)

    def queued(self, participant: Participant, position: int, reason: WaitsFor) -> None:
        """Tell the client its place in the queue."""
        self.is_stale = False
        self.participant_id = participant.id
        self.state = "queued"
        self._finish(lambda: self.member.queued(participant, position, reason))
        self._ask_before()

    def refused(self, refused: Refused) -> None:
        """Tell the client the refusal, or find the room again."""
        call = self.call
        if self.state == "gone":
            return  # of an `Attach` that the hub of this node had when the seat was lost
        if isinstance(refused, Moved) and call is not None:
            self._edge.moved(call, is_in_doubt=refused.is_in_doubt)
        elif self.state == "seated" or (self.state == "queued" and call is not None):  # of an `Attach`
            self._not_attached(refused)
        else:
            self._edge.forget(self.code, self.claim)
            self.state = "gone"
            self._finish(lambda: self.member.refused(refused))
            if isinstance(refused, Uncertain):
                self._edge.abandon(self)
            self._ask_before()

    def _not_attached(self, refused: Refused) -> None:
        """Try again after a failure of a server; after any other refusal the seat is lost."""
        if refused.kind.status_code >= 500:
            self._finish(_nothing)
            self._edge.attach(self, RETRY_AFTER)
            return
        self.seat_lost(SeatLost("taken_over" if refused.kind is TAKEN_OVER else "dropped"))

    def seat_lost(self, lost: SeatLost) -> None:
        """Tell the client that the seat is lost. One that has not got it yet is answered by its call."""
        if self.state == "asked":
            return
        if lost.cause == "taken_over" and self._next is not None:
            self.is_stale = True
            self._finish(_nothing)
            return
        self._edge.forget(self.code, self.claim)
        self.state = "gone"
        self._finish(lambda: self.member.seat_lost(lost))

    def refreshed(self, state: bytes) -> None:
        """Send the client a new state."""
        self.is_stale = False
        self.member.refreshed(state)

    def events(self, frames: bytes, *, are_last: bool = False) -> None:
        """Send the client events, unless it has missed some, or its seat, and gets the state soon."""
        if self.state == "seated" and (are_last or not self.is_stale):
            self.member.events(frames, are_last=are_last)

    def _take_before(self) -> "EdgeSeat | None":
        """Return the seat of before, which this one is not to replace any more."""
        before, self._before = self._before, None
        if before is not None and before._next is self:
            before._next = None
        return before

    def _ask_before(self) -> None:
        """Have the seat of before ask the room, if it may have been taken over meanwhile."""
        before = self._take_before()
        if before is not None and before.is_stale:
            self._edge.attach(before)

    def _finish(self, send: Callable[[], None]) -> None:
        """Tell the member something, and complete the call that it answers."""
        call, self.call = self.call, None
        if call is not None:
            self._edge.finished(call)
            call.finish(send)
        else:
            send()


def _nothing() -> None:
    """Do nothing."""
