"""What a node needs of the outside: a database that knows the owners of rooms, and a bus to the other nodes."""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple, Protocol

from roomd.protocol.log_events import LogEvent
from roomd.rooms.changes import Change
from roomd.rooms.model import StoredRoom


class Node(NamedTuple):
    """One run of a node. A node that is started again is another one."""

    name: str
    """Its name in the configuration."""
    generation: int
    """The number of the run, which no other run of any node has."""


class Replaced(Exception):  # noqa: N818 - an event, not a mistake of the caller
    """Another process has registered under the node's name: this one must serve nothing more."""


class Held(NamedTuple):
    """The lease of a node."""

    left: float
    """The seconds until it is over, unless it is renewed."""
    is_leaving: bool = False
    """Whether the node gives its rooms to others."""


class Found(NamedTuple):
    """Who has a room."""

    room_id: str
    """The id of the room."""
    owner: Node | None
    """Its owner, if the owner's lease is not over; else None."""


class Listed(NamedTuple):
    """What is stored of a node."""

    node: Node
    """Its last run."""
    address: str
    """Where others reach it."""
    left: float
    """The seconds until its lease is over; negative since then."""
    is_leaving: bool
    """Whether it gives its rooms to others."""
    rooms: int
    """The rooms whose owner it is, those that it has not in memory included."""


class Claimed(NamedTuple):
    """A room that a node has claimed."""

    room_id: str
    """The id of the room."""
    version: int
    """The version of the room after the claim."""
    live: frozenset[int]
    """The generations of the nodes whose leases were not over then."""


class Fence(NamedTuple):
    """What must be true of a room for an append to be stored."""

    node: Node
    """Its owner."""
    version: int
    """Its version; 0 for a room that is created."""


class Owners(Protocol):
    """The table of nodes and owners. Times are those of its clock alone. Every method may raise `StorageFailed`."""

    async def register(self, name: str, address: str, lease: float) -> Node:
        """Begin a run of the node `name`, with a lease for `lease` seconds. An earlier run of it has none any more.

        `address` is where operators and proxies reach the node; it is only shown.
        """
        ...

    async def beat(self, node: Node, lease: float, *, is_leaving: bool = False) -> Mapping[Node, Held]:
        """Renew the lease for `lease` seconds from now, and note whether the node gives its rooms to others.

        Return every node whose lease is not over, the first generation first. Raises `Replaced`.
        """
        ...

    async def listed(self) -> list[Listed]:
        """Read the nodes with a lease, and those whose lease was over in the last day, in the order of their names."""
        ...

    async def retire(self, node: Node) -> None:
        """End the lease, and give up all rooms of the node."""

    async def find(self, code: str) -> Found | None:
        """Find the owner of a room by its code; None without such a room."""
        ...

    async def claim(self, code: str, node: Node) -> Claimed | Node | None:
        """Make a node the owner of a room, unless another one is whose lease is not over: then return that one.

        None without such a room. The version rises, so that nothing of an earlier owner can be stored any more.
        """
        ...

    async def release(self, node: Node, room_ids: Sequence[str] | None) -> None:
        """Give up rooms, as far as the node still has them; all of them for None."""

    async def take_duties(self, names: Sequence[str], node: Node) -> Collection[str]:
        """Give a node, whose lease must be held, the duties that no node with a lease has. Return those that it has."""
        ...

    async def give_up_duties(self, names: Sequence[str], node: Node) -> None:
        """Give up duties, as far as the node still has them."""

    async def duties(self) -> dict[str, Node]:
        """Read who has which duties, among the nodes whose leases are not over."""
        ...

    async def orphans(self, limit: int) -> list[str]:
        """Read the codes of rooms, at most `limit`, with seats and without an owner whose lease is not over."""
        ...


class SharedStore(Protocol):
    """The storage of rooms that all nodes share. Every method may raise `StorageFailed`."""

    async def append(
        self, fence: Fence, room_id: str, changes: Sequence[Change], events: Sequence[LogEvent] = ()
    ) -> None:
        """Store changes of one room, maybe none, as `engine.ports.Store` does, if the fence allows it.

        The version of the room rises by one in the same statement. Raises `RoomLost` where the fence does not allow it,
        and where it stays unknown whether it was stored, besides what `engine.ports.Store` says.
        """

    async def load_with_seats(self, room_id: str) -> StoredRoom | None:
        """Read a room with its seats, which keep their claims as they were stored; None without such a room."""
        ...

    def is_nearly_full(self) -> bool:
        """Return whether new rooms and messages must be refused."""
        ...

    def is_failing(self) -> bool:
        """Return whether the last commit failed."""
        ...

    async def last_room_id(self) -> str:
        """Read the highest id of a room; empty without rooms."""
        ...

    async def next_ends(self, limit: int) -> list[tuple[str, str]]:
        """Read which rooms end by themselves next: the stamps of the times, and the codes, the earliest first."""
        ...


class BusFailed(Exception):  # noqa: N818 - an event, not a mistake of the caller
    """The bus does not answer. The text says why, and what to do if that is known."""

    is_lasting = False
    """Whether trying again does not help: somebody has to change something."""


class Receiver(Protocol):
    """The node, as the bus calls it."""

    def received(self, data: bytes) -> None:
        """Serve a message of another node."""

    def absent(self, name: str) -> None:
        """Note that a message found no node of this name."""

    def reconnected(self) -> None:
        """Note that messages may have been missed: the connection to the bus was lost, and is there again."""


class Bus(Protocol):
    """Sends messages between nodes: in order, at most once, and maybe never."""

    @property
    def lost(self) -> int:
        """The messages that were not sent, because the bus was not there or too many waited."""
        ...

    async def open(self, name: str, receiver: Receiver) -> None:
        """Connect, and receive the messages for the node `name`. Raises `BusFailed`."""

    def send(self, to: str, data: bytes) -> None:
        """Send a message to the node of a name, if the bus is there."""

    async def answers(self) -> None:
        """Return when the bus has answered. Raises `BusFailed`."""

    async def close(self) -> None:
        """Disconnect. Closing twice is fine."""
