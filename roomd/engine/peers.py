"""The other nodes of a cluster, for operators."""

from typing import NamedTuple, Protocol

LONGEST = 2.0
"""The seconds that the database, and other nodes, have to answer an operator."""


class NoAnswer(Exception):  # noqa: N818 - a state, not a mistake
    """A node did not answer in time."""


class NobodyElse(Exception):  # noqa: N818 - a state, not a mistake
    """No other node takes rooms."""


class Answer(NamedTuple):
    """The answer of a node to an operation."""

    status: int
    """200, or the status of an error (HTTP)."""
    body: bytes
    """The JSON of the answer."""


class Peer(NamedTuple):
    """A node, as the database knows it."""

    name: str
    """Its name."""
    generation: int
    """The number of its run."""
    address: str
    """Where others reach it; empty if nobody has said so."""
    lease_age: float
    """The seconds since its lease was renewed."""
    has_lease: bool
    """Whether its lease lasts; otherwise the node was lost, in the last day."""
    is_drained: bool
    """Whether it has given its rooms to others, and takes none."""
    rooms: int
    """The rooms whose owner it is, those that it has not in memory included."""


class NodeFigures(NamedTuple):
    """What is known of this node at any time."""

    nodes: int
    """The nodes whose leases last, this one included."""
    owned: int
    """The rooms that this node has in memory."""
    lease_age: float
    """The seconds since its lease was renewed."""
    is_drained: bool
    """Whether it gives its rooms to others."""
    lost: int
    """The messages that were not sent."""


class Peers(Protocol):
    """The nodes of the cluster, as one of them reaches them."""

    @property
    def name(self) -> str:
        """The name of this node."""
        ...

    def figures(self) -> NodeFigures:
        """Return what is known of this node now."""
        ...

    async def all(self) -> list[Peer]:
        """Return all nodes, this one included, by name. While the database is away, those that were last there.

        It takes at most `LONGEST` seconds.
        """
        ...

    async def ask(self, name: str, operation: str, body: bytes = b"", longest: float = LONGEST) -> Answer:
        """Have another node serve an operation, "METHOD /path", in at most `longest` seconds.

        Raises `NoAnswer`, also when there is no such node.
        """
        ...

    async def hand_over(self) -> int:
        """Give the rooms and duties of this node to others, and take none. Return the number of rooms.

        Raises `NobodyElse`.
        """
        ...

    async def take_rooms(self) -> None:
        """Take rooms and duties again."""

    async def doer(self, duty: str) -> str | None:
        """Return the name of the node that has a duty; None for nobody. Raises `StorageFailed`."""
        ...
