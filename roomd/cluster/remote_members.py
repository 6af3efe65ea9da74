"""The members of a room whose clients are on other nodes."""

from typing import Protocol

from roomd.cluster import registry, wire
from roomd.cluster.ports import Node
from roomd.engine.moving import Moved
from roomd.engine.ports import SeatLost
from roomd.protocol.errors import Refused
from roomd.protocol.objects import Participant
from roomd.rooms.model import WaitsFor


class Tells(Protocol):
    """What sends an edge what its clients are told: `owner.RoomOwner`."""

    def tell(self, edge: Node, code: str, told: wire.Told) -> None:
        """Send what a member is told."""

    def tell_frame(self, edge: Node, code: str, make: "MakeTold", frame: bytes) -> None:
        """Send what a member is told with a frame."""

    def tell_events(self, edge: Node, code: str, claim: int, frames: bytes, *, are_last: bool) -> None:
        """Send events."""

    def remember(self, edge: Node, number: int, again: "Again | None") -> None:
        """Keep how an answer is sent again."""

    def attach_again(self, member: "RemoteMember", participant_id: str) -> None:
        """Send a member its seat again."""

    def answer(self, edge: Node, code: str, number: int, told: wire.Told) -> None:
        """Send an answer, and keep it until it is confirmed."""

    def elsewhere(self, edge: Node, number: int, moved: Moved) -> None:
        """Send that the room is not here."""


class MakeTold(Protocol):
    """Builds what a member is told from the index of its frame."""

    def __call__(self, index: int, /) -> wire.Told:
        """Return it."""
        ...


class Again(Protocol):
    """Sends an answer again."""

    def __call__(self) -> None:
        """Send it."""


class RemoteMember:
    """A sitting on another node. It implements `engine.ports.Member`; that node knows how much its client has read."""

    __slots__ = ("_number", "_owner", "claim", "code", "edge", "is_answered")

    is_open = True
    """Its node drops the seat when the connection has ended."""
    is_behind = False
    """Its node leaves out what its client does not read, and asks for the state then."""

    def __init__(self, owner: Tells, edge: Node, code: str, claim: int, number: int) -> None:
        self._owner = owner
        self.edge = edge
        """The node of the client."""
        self.code = code
        """The code of the room."""
        self.claim = claim
        """The claim of the sitting."""
        self._number = number
        self.is_answered = False
        """Whether the item that was sent for it last is answered."""

    def ask(self, number: int) -> None:
        """Note that another item was sent for it."""
        self._number, self.is_answered = number, False

    def is_of(self, edge: Node, claim: int) -> bool:
        """Return whether this is the sitting of an edge with this claim."""
        return (self.edge, self.claim) == (edge, claim)

    def seated(self, participant: Participant, state: bytes) -> None:
        """Send the seat and the state."""
        self._answered_with_place(participant)
        claim = self.claim
        self._owner.tell_frame(self.edge, self.code, lambda index: wire.Seated(claim, participant, index), state)

    def queued(self, participant: Participant, position: int, reason: WaitsFor) -> None:
        """Send the place in the queue."""
        self._answered_with_place(participant)
        self._owner.tell(self.edge, self.code, wire.Queued(self.claim, participant, position, reason))

    def refused(self, refused: Refused) -> None:
        """Send the refusal, or that the room is not here."""
        if isinstance(refused, Moved):
            self._owner.elsewhere(self.edge, self._number, refused)
        elif self.is_answered:  # it has waited
            self._owner.tell(self.edge, self.code, wire.Unseated(self.claim, registry.refusal(refused)))
        else:
            self.is_answered = True
            declined = wire.Declined(self._number, registry.refusal(refused))
            self._owner.answer(self.edge, self.code, self._number, declined)

    def seat_lost(self, lost: SeatLost) -> None:
        """Send that the seat is lost."""
        self._owner.tell(self.edge, self.code, wire.Lost(self.claim, lost))

    def refreshed(self, state: bytes) -> None:
        """Send a new state."""
        claim = self.claim
        self._owner.tell_frame(self.edge, self.code, lambda index: wire.Refreshed(claim, index), state)

    def events(self, frames: bytes, *, are_last: bool = False) -> None:
        """Send events."""
        self._owner.tell_events(self.edge, self.code, self.claim, frames, are_last=are_last)

    def _answered_with_place(self, participant: Participant) -> None:
        """If the edge asks again, it gets the place as it is then."""
        if not self.is_answered:
            self.is_answered = True
            self._owner.remember(self.edge, self._number, lambda: self._owner.attach_again(self, participant.id))
