"""The connections without a seat and without a token. They share a part of all connections."""

from collections.abc import Hashable, Iterator
from itertools import islice
from typing import Generic, TypeVar

A = TypeVar("A", bound=Hashable)
C = TypeVar("C", bound=Hashable)

LOOKED_AT = 64
"""The addresses that are looked at for one that loses a connection."""


class Strangers(Generic[A, C]):
    """Connections `C` without a seat and without a token, by the address `A` of their client.

    There may be `limit` of them. One more costs the address with the most of them its oldest, so that an address with
    many connections cannot keep others out. The last `limit / 2` that were added are spared: behind a proxy all have
    its address until their requests are read.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        """The number of connections that there may be."""
        self._address_of: dict[C, A] = {}
        self._added = 0  # connections, ever
        self._at: dict[A, dict[C, int]] = {}  # their numbers in the order in which they were added; the oldest is first
        self._addresses: dict[int, dict[A, None]] = {}  # by the number of their connections

    def __len__(self) -> int:
        """Return the number of connections."""
        return len(self._address_of)

    def __contains__(self, connection: C) -> bool:
        """Return whether a connection was added and not removed."""
        return connection in self._address_of

    def add(self, address: A, connection: C) -> C | None:
        """Add a connection. Return the one that is too many then, which is removed; None if there is none."""
        self._address_of[connection] = address
        there = self._at.setdefault(address, {})
        self._added += 1
        there[connection] = self._added
        self._count(address, len(there) - 1, len(there))
        return self.take() if len(self._address_of) > self.limit else None

    def replace(self, before: C, address: A, connection: C) -> C | None:
        """Count a connection, of the same or another address, in place of one that has become it.

        Returns what `add` returns: one may be too many if the connection was not counted before.
        """
        if before not in self._address_of or self._address_of[before] != address:
            self.remove(before)
            return self.add(address, connection)
        del self._address_of[before]
        self._address_of[connection] = address
        there = self._at[address]
        there[connection] = there.pop(before)
        return None

    def take(self) -> C:
        """Remove and return the oldest connection of the address with the most of them; there must be one.

        It is one of the last that were added only where all that are looked at are. It is never the newest one while
        there is another.
        """
        last = self._added - self.limit // 2
        oldest = [next(iter(self._at[address].items())) for address in islice(self._greediest(), LOOKED_AT)]
        taken = next((connection for connection, number in oldest if number <= last), oldest[0][0])
        self.remove(taken)
        return taken

    def _greediest(self) -> Iterator[A]:
        """Yield the addresses, those with the most connections first."""
        for count in sorted(self._addresses, reverse=True):
            yield from self._addresses[count]

    def remove(self, connection: C) -> None:
        """Remove a connection that has a seat or a token now, or that has ended. Removing it twice is fine."""
        if connection not in self._address_of:
            return
        address = self._address_of.pop(connection)
        there = self._at[address]
        del there[connection]
        self._count(address, len(there) + 1, len(there))
        if not there:
            del self._at[address]

    def _count(self, address: A, before: int, after: int) -> None:
        """Note that the number of an address's connections has changed by one."""
        if before:
            del self._addresses[before][address]
            if not self._addresses[before]:
                del self._addresses[before]
        if after:
            self._addresses.setdefault(after, {})[address] = None
