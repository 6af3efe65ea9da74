"""Which clients must go when too many bytes are held for all of them."""

from collections.abc import Hashable, Iterable
from typing import NamedTuple, TypeVar

C = TypeVar("C", bound=Hashable)


class Held(NamedTuple):
    """What is held for one client."""

    size: int
    """The bytes that are unfinished or unread."""
    has_joined: bool
    """Whether the client has, or has had, a seat."""


def greediest(clients: Iterable[tuple[C, Held]], budget: int) -> list[C]:
    """Return the clients that must go so that the others together hold `budget` bytes at most.

    Those who have not joined go first, then those with the most bytes.
    """
    order = sorted(clients, key=lambda client: (client[1].has_joined, -client[1].size))
    total = sum(held.size for _, held in order)
    found = []
    for client, held in order:
        if total <= budget:
            break
        total -= held.size
        found.append(client)
    return found
