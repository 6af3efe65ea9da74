"""The ledger: what each address, user, guest and room has used lately.

An account belongs to somebody, not to a connection: who reconnects finds the account as it was. What somebody uses is
charged in units of what it costs: requests, bytes, rows. A charge becomes a debt, which is paid off at a fixed rate. So
an account answers one question: how long must its holder wait?

The ledger has a bound of its own. An account without a debt is forgotten when nobody uses it. When there are too many,
those with the smallest debts are forgotten first: an attacker with many addresses cannot make the ledger forget the
address that used most.
"""

import heapq
from collections.abc import Hashable, Sequence
from enum import IntEnum
from typing import Generic, TypeVar

import msgspec

KEPT = 0.75
"""The part of the accounts that is kept when there are too many."""


class Use(IntEnum):
    """What can be used, and the unit that it is counted in."""

    REQUESTS = 0
    """Requests, and frames without a message."""
    RECEIVED = 1
    """Bytes received, with the headers of the frames."""
    TOLD = 2
    """Bytes sent to others: the bytes of an event for each one who gets it."""
    STORED = 3
    """Bytes written to the database."""
    READ = 4
    """Rows read from the database."""
    FAILURES = 5
    """Joins that were refused, tokens that are not valid, and codes of no room."""
    ARRIVALS = 6
    """Connections without a seat."""
    SLOWED = 7
    """Requests after which the client was not read for a time."""
    REFUSALS = 8
    """Requests that were refused for a limit."""


class Allowance(msgspec.Struct, frozen=True):
    """How much of something may be used: `burst` units at once, and `rate` units a second after that."""

    rate: float
    """The units a second in which a debt is paid off."""
    burst: float
    """The debt, in units, up to which nobody has to wait."""


UNLIMITED = Allowance(float("inf"), float("inf"))
"""The allowance for what is not limited for a kind of holder."""

Allowances = Sequence[Allowance]
"""The allowance for every `Use`, in its order."""


class Account:
    """What one holder has used lately. `now` is in seconds of a monotonic clock, and grows from call to call."""

    __slots__ = ("_allowances", "_debts", "_since", "users")

    def __init__(self, allowances: Allowances) -> None:
        self._allowances = allowances
        self._debts = [0.0] * len(allowances)  # in units
        self._since = [0.0] * len(allowances)  # the time when the debt had that size
        self.users = 0
        """The number of those who use the account now, for example connections."""

    def charge(self, use: Use, amount: float, now: float) -> float:
        """Add `amount` units to the debt and return what `wait` returns. A negative amount pays debt back."""
        allowance = self._allowances[use]
        if allowance is UNLIMITED:
            return 0.0
        debt = self._debts[use] = max(0.0, self.debt(use, now) + amount)
        self._since[use] = now
        return (debt - allowance.burst) / allowance.rate if debt > allowance.burst else 0.0

    def take(self, use: Use, amount: float, now: float) -> float:
        """Charge `amount` units if they can be taken and return 0, else return what `wait` returns."""
        wait = self.wait(use, now, amount)
        if not wait:
            self.charge(use, amount, now)
        return wait

    def wait(self, use: Use, now: float, amount: float = 0.0) -> float:
        """Return the seconds until `amount` units can be taken; 0 if they can be now.

        They can be when the debt stays within the burst by them; more units than the burst, when there is no debt.
        """
        allowance = self._allowances[use]
        excess = self.debt(use, now) + min(amount, allowance.burst) - allowance.burst
        return excess / allowance.rate if excess > 0 else 0.0

    def debt(self, use: Use, now: float) -> float:
        """Return the debt in units."""
        debt = self._debts[use]
        if not debt:
            return 0.0
        return max(0.0, debt - (now - self._since[use]) * self._allowances[use].rate)

    def raise_to(self, other: "Account", now: float) -> None:
        """Raise each debt to that of another account, if it is smaller."""
        for use in Use:
            self.charge(use, max(0.0, other.debt(use, now) - self.debt(use, now)), now)

    def seconds_in_debt(self, now: float) -> float:
        """Return the seconds until every debt is paid off."""
        return max(self.debt(use, now) / self._allowances[use].rate for use in Use)


K = TypeVar("K", bound=Hashable)
"""The name of an account's holder."""


class Ledger(Generic[K]):
    """The accounts of all holders of one kind. It keeps `capacity` accounts that nobody uses, at most.

    `allowances` says how much each holder may use.
    """

    def __init__(self, allowances: Allowances, capacity: int) -> None:
        self._allowances = allowances
        self._capacity = capacity
        self._accounts: dict[K, Account] = {}
        self._unused: dict[K, None] = {}

    def __len__(self) -> int:
        """Return the number of accounts."""
        return len(self._accounts)

    def open(self, holder: K) -> Account:
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
