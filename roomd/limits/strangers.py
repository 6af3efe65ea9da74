"""The clients that have no seat and no token yet. They share a part of the connections."""

from collections.abc import Hashable
from typing import Generic, TypeVar

A = TypeVar("A", bound=Hashable)
C = TypeVar("C", bound=Hashable)


class Strangers(Generic[A, C]):
    """Clients `C` without a seat and without a token, by their address `A`.

    There may be `limit` of them. One more costs the address with the most of them its oldest, so that an address with
    many connections cannot keep others out.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._clients: dict[A, dict[C, None]] = {}  # the oldest is first
        self._addresses: dict[int, dict[A, None]] = {}  # by the number of their clients
        self._most = 0
        self._total = 0

    def __len__(self) -> int:
        """Return the number of clients."""
        return self._total

    def add(self, address: A, client: C) -> None:
        """Add a client. Call `take_excess` then, until it returns None."""
        clients = self._clients.setdefault(address, {})
        clients[client] = None
        self._count(address, len(clients) - 1, len(clients))
        self._total += 1

    def take_excess(self) -> C | None:
        """Remove and return the client that is too many; None when there is none."""
        if self._total <= self._limit:
            return None
        greediest = next(iter(self._addresses[self._most]))
        oldest = next(iter(self._clients[greediest]))
        self.remove(greediest, oldest)
        return oldest

    def remove(self, address: A, client: C) -> None:
        """Remove a client that has a seat or a token now, or that is gone. Removing it twice is fine."""
        clients = self._clients.get(address, {})
        if client not in clients:
            return
        del clients[client]
        self._total -= 1
        self._count(address, len(clients) + 1, len(clients))
        if not clients:
            del self._clients[address]

    def _count(self, address: A, before: int, after: int) -> None:
        """Note that the number of an address's clients has changed by one."""
        if before:
            del self._addresses[before][address]
            if not self._addresses[before]:
                del self._addresses[before]
        if after:
            self._addresses.setdefault(after, {})[address] = None
        if after > self._most or self._most not in self._addresses:
            self._most = after
