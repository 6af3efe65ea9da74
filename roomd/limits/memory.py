"""Which clients must go when too many bytes are held for all of them."""

from collections.abc import Hashable, Iterable
from typing import NamedTuple, TypeVar

C = TypeVar("C", bound=Hashable)


class Held(NamedTuple):
    """What is held for one client."""

    size: int
    """The bytes that are unfinished or unread."""
    is_member: bool
    """Whether the client has a seat or a token."""


def greediest(clients: Iterable[tuple[C, Held]], budget: int) -> list[C]:
    """Return the clients that must go so that the others together hold `budget` bytes at most.

    Those without a seat and a token go first, then those with the most bytes. Who holds no more than an equal share of
    the budget stays: without the others, all of them are within it.
    """
    found = list(clients)
    total = sum(held.size for _, held in found)
    if total <= budget:
        return []
    greedy = [client for client in found if client[1].size * len(found) > budget]
    greedy.sort(key=lambda client: (client[1].is_member, -client[1].size))
    gone = []
    for client, held in greedy:
        if total <= budget:
            break
        total -= held.size
        gone.append(client)
    return gone
