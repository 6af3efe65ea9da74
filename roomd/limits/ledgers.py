"""The accounts of everybody: users and guest seats, rooms, addresses, and the strangers together."""

from collections.abc import Hashable
from typing import Protocol

from roomd.config import LimitsConfig
from roomd.counters import Counters
from roomd.limits.addresses import Address
from roomd.limits.allowances import allowances
from roomd.limits.ledger import Account, Ledger
from roomd.limits.strangers import Strangers

SLOWED_MOST = 1.0
"""The seconds for which a client over its share is not read. Who would have to wait for longer is refused."""
_USER, _GUEST = "u", "g"
CAPACITY = 20_000
"""The accounts of each kind that are kept while nobody uses them: some 10 MB at most."""


class Stranger(Hashable, Protocol):
    """A connection whose client has no seat and no token yet, or whose request is not complete."""

    def give_way(self) -> None:
        """End the connection, so that another can be served."""


class Ledgers:
    """The accounts of everybody."""

    def __init__(self, limits: LimitsConfig, counters: Counters | None = None) -> None:
        self.counters = counters or Counters()
        self.members: Ledger[str] = Ledger(allowances("member", limits), CAPACITY)
        """The accounts of users, by user id, and of guests, by participant id; see `user_key` and `guest_key`."""
        self.rooms: Ledger[str] = Ledger(allowances("room", limits), CAPACITY)
        """The accounts of rooms, by code."""
        self.addresses: Ledger[Address | None] = Ledger(allowances("address", limits), CAPACITY)
        """The accounts of addresses. Clients whose address is not known share one."""
        self._pool = allowances("strangers", limits, SLOWED_MOST)
        self.strangers = Account(self._pool)
        """The pool of all clients without a seat and a token. They are slowed for each other, and not refused."""
        self._connections: Strangers[Address | None, Stranger] = Strangers(_strangers_limit(limits))

    def use(self, limits: LimitsConfig, now: float) -> None:
        """Use other limits from now on, for everybody. What was used before stays charged."""
        self.members.use(allowances("member", limits), now, self.addresses)
        self.rooms.use(allowances("room", limits), now)
        self.addresses.use(allowances("address", limits), now)
        self.strangers.rescale(self._pool.replace(allowances("strangers", limits, SLOWED_MOST)), now)
        self._connections.limit = _strangers_limit(limits)

    def add_stranger(self, address: Address | None, connection: Stranger) -> None:
        """Count a connection of a stranger. If there are too many, the address with the most of them loses its oldest.

        They may be half of all connections.
        """
        self._end(self._connections.add(address, connection))

    def replace_stranger(self, before: Stranger, address: Address | None, connection: Stranger) -> None:
        """Count a connection of a stranger in place of one that has become it: now its address is known."""
        self._end(self._connections.replace(before, address, connection))

    def stranger_connections(self) -> int:
        """Return the number of strangers' connections."""
        return len(self._connections)

    def make_way(self, newest: Stranger) -> bool:
        """End a connection of another stranger for the newest connection. Return False if there is no other stranger.

        The newest connection may be one of a stranger too.
        """
        if len(self._connections) == (newest in self._connections):
            return False
        self._connections.take().give_way()
        return True

    def remove_stranger(self, connection: Stranger) -> None:
        """Count a connection no more. Removing it twice, or one that was never added, is fine."""
        self._connections.remove(connection)

    def _end(self, excess: Stranger | None) -> None:
        if excess is not None:
            excess.give_way()


def _strangers_limit(limits: LimitsConfig) -> int:
    return max(1, limits.connections // 2)


def arrive(ledgers: Ledgers, address: Address | None, now: float, size: int = 0, arrivals: float = 1) -> float:
    """Charge a new connection, and the `size` bytes of its request, to its address.

    Returns the seconds to wait before it is served. `arrivals` is 0 for bytes of a connection that was charged before.
    """
    if (used := ledgers.addresses.find(address)) is not None:
        return used.charge_arrival(arrivals, size, now)
    account = ledgers.addresses.open(address)
    wait = account.charge_arrival(arrivals, size, now)
    ledgers.addresses.close(address, now)
    return wait


def user_key(user_id: str) -> str:
    """Return the holder of a user's account."""
    return _USER + user_id


def guest_key(participant_id: str) -> str:
    """Return the holder of a guest seat's account."""
    return _GUEST + participant_id
