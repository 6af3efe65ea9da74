"""The ledger: what each address, user, seat and room has used lately.

An account belongs to somebody, not to a connection: who reconnects finds the account as it was. What somebody uses is
charged in units of what it costs: frames, bytes, rows. A charge becomes a debt, which is paid off at a fixed rate. So
the ledger answers one question: how long must this account wait?

The ledger has a bound of its own. An account without a debt is forgotten when nobody uses it. When there are too many,
those with the smallest debts are forgotten first: an attacker with many addresses cannot make the ledger forget the
address that used most.
"""

import heapq
from collections.abc import Hashable, Mapping
from enum import Enum
from typing import Generic, TypeVar

import msgspec

KEPT = 0.75
"""The part of the accounts that is kept when there are too many."""


class Allowance(msgspec.Struct, frozen=True):
    """How much of something may be used: `burst` units at once, and `rate` units a second after that."""

    rate: float
    """The units a second in which a debt is paid off."""
    burst: float
    """The debt, in units, up to which nobody has to wait."""


W = TypeVar("W", bound=Enum)
"""The enumeration of what can be used."""


class Account(Generic[W]):
    """What one holder has used lately. `now` is in seconds of a monotonic clock."""

    __slots__ = ("_allowances", "_debts", "users")

    def __init__(self, allowances: Mapping[W, Allowance]) -> None:
        self._allowances = allowances
        self._debts: dict[W, tuple[float, float]] = {}  # the debt in units, and the time when it had that size
        self.users = 0
        """The number of those who use the account now, for example connections."""

    def charge(self, what: W, amount: float, now: float) -> float:
        """Add `amount` units to the debt. Return the seconds until the debt is within the burst again; 0 if it is."""
        allowance = self._allowances[what]
        debt = self.debt(what, now) + amount
        self._debts[what] = (debt, now)
        return max(0.0, (debt - allowance.burst) / allowance.rate)

    def take(self, what: W, amount: float, now: float) -> float:
        """Charge `amount` units if the debt stays within the burst and return 0, else the seconds until it would.

        More units than the burst are charged when there is no debt.
        """
        allowance = self._allowances[what]
        debt = self.debt(what, now)
        room = max(0.0, allowance.burst - amount)
        if debt > room:
            return (debt - room) / allowance.rate
        self._debts[what] = (debt + amount, now)
        return 0.0

    def debt(self, what: W, now: float) -> float:
        """Return the debt in units."""
        debt, since = self._debts.get(what, (0.0, now))
        return max(0.0, debt - max(0.0, now - since) * self._allowances[what].rate)

    def add_debts(self, other: "Account[W]", now: float) -> None:
        """Take over the debts of another account of the same kind, which must not be used any more."""
        for what in other._debts:
            self.charge(what, other.debt(what, now), now)
        other._debts.clear()

    def seconds_in_debt(self, now: float) -> float:
        """Return the seconds until every debt is paid off."""
        return max((self.debt(what, now) / self._allowances[what].rate for what in self._debts), default=0.0)


K = TypeVar("K", bound=Hashable)
"""The name of an account's holder."""


class Ledger(Generic[K, W]):
    """The accounts of all holders of one kind. It keeps `capacity` accounts that nobody uses, at most.

    `allowances` says how much each holder may use.
    """

    def __init__(self, allowances: Mapping[W, Allowance], capacity: int) -> None:
        self._allowances = allowances
        self._capacity = capacity
        self._accounts: dict[K, Account[W]] = {}
        self._unused: dict[K, None] = {}

    def __len__(self) -> int:
        """Return the number of accounts."""
        return len(self._accounts)

    def open(self, holder: K) -> Account[W]:
        """Return the account of a holder, which is kept until `close` was called as often as `open`."""
        account = self._accounts.get(holder)
        if account is None:
            account = self._accounts[holder] = Account(self._allowances)
        else:
            self._unused.pop(holder, None)
        account.users += 1
        return account

    def close(self, holder: K, now: float) -> None:
        """Stop using the account of a holder, which `open` returned. Its debts are kept."""
        account = self._accounts[holder]
        account.users -= 1
        if account.users:
            return
        if account.seconds_in_debt(now) == 0:
            del self._accounts[holder]
            return
        self._unused[holder] = None
        if len(self._unused) > self._capacity:
            self._forget(now)

    def _forget(self, now: float) -> None:
        """Forget unused accounts: all without a debt, and as many of those with the smallest debts as are too many."""
        waits = {holder: self._accounts[holder].seconds_in_debt(now) for holder in self._unused}
        kept = heapq.nlargest(int(self._capacity * KEPT), waits, key=waits.__getitem__)
        for holder in self._unused.keys() - {holder for holder in kept if waits[holder]}:
            del self._accounts[holder], self._unused[holder]
