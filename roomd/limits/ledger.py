"""The ledger: what each address, user, guest and room has used lately.

An account belongs to somebody, not to a connection: who reconnects finds the account as it was. What somebody uses is
charged in units of what it costs: requests, bytes, rows. A charge becomes a debt, which is paid off at a fixed rate. So
an account answers one question: how long must its holder wait?

The ledger has a bound of its own. An account without a debt is forgotten when nobody uses it. When there are too many,
those with the smallest debts are forgotten first: an attacker with many addresses cannot make the ledger forget the
address that used most.
"""

import heapq
from collections import OrderedDict
from collections.abc import Hashable, Mapping, Sequence
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
    """Bytes sent to others: the bytes of an event for each one who gets it. Also a room's state for who comes back."""
    STORED = 3
    """Bytes written to the database."""
    READ = 4
    """Rows read from the database, and people looked at for a list."""
    FAILURES = 5
    """Joins that were refused, tokens that are not valid, and codes of no room."""
    ARRIVALS = 6
    """Connections without a seat. One that is closed for its rate counts as many."""
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


LONGEST_WAIT = 60.0
"""The seconds that a debt beyond the burst makes its holder wait at most: debts do not grow beyond that."""


class Allowances:
    """The allowance of one kind of holder for every `Use`. `rows` has those that are limited.

    No debt makes anybody wait for longer than `longest` seconds.
    """

    __slots__ = ("grace", "most", "of", "seconds")

    def __init__(self, rows: Mapping[Use, Allowance], longest: float = LONGEST_WAIT) -> None:
        self.of = [rows.get(use, UNLIMITED) for use in Use]
        """The allowances, in the order of `Use`."""
        self.seconds = [1 / one.rate for one in self.of]
        """The seconds in which one unit is paid off."""
        self.grace = [one.burst / one.rate if one is not UNLIMITED else one.burst for one in self.of]
        """The seconds of a debt up to which nobody has to wait."""
        self.most = [grace + longest for grace in self.grace]
        """The seconds that a debt has at most."""

    def replace(self, other: "Allowances") -> list[float]:
        """Take over other allowances, also for the accounts that have these.

        Returns the factor for each use by which the seconds of a debt change, so that it is as many units as before.
        """
        factors = [after / before if before else 1.0 for before, after in zip(self.seconds, other.seconds, strict=True)]
        self.of[:], self.seconds[:], self.grace[:], self.most[:] = other.of, other.seconds, other.grace, other.most
        return factors


_NONE = [0.0] * len(Use)
"""No debts."""
_REQUESTS, _RECEIVED, _FAILURES = int(Use.REQUESTS), int(Use.RECEIVED), int(Use.FAILURES)
_TOLD, _STORED, _ARRIVALS = int(Use.TOLD), int(Use.STORED), int(Use.ARRIVALS)


class Account:
    """What one holder has used lately. `now` is in seconds of a monotonic clock, and grows from call to call.

    A debt is kept as the time at which it is paid off.
    """

    __slots__ = ("_grace", "_most", "_paid_at", "_passed_on", "_passed_on_latest", "_seconds", "users")

    def __init__(self, allowances: Allowances) -> None:
        self._seconds = allowances.seconds
        self._grace = allowances.grace
        self._most = allowances.most
        self._paid_at = _NONE.copy()
        self._passed_on = _NONE
        self._passed_on_latest = 0.0  # the time at which all of those are paid off
        self.users = 0
        """The number of those who use the account now, for example connections."""

    def charge(self, use: Use, amount: float, now: float) -> float:
        """Add `amount` units to the debt and return what `wait` returns. A negative amount pays debt back."""
        paid_at = self._paid_at
        debt = paid_at[use] - now
        debt = (debt if debt > 0 else 0.0) + amount * self._seconds[use]
        grace = self._grace[use]
        if debt <= grace:  # the usual case
            paid_at[use] = now + debt
            return 0.0
        debt = min(debt, self._most[use])
        paid_at[use] = now + debt
        return debt - grace

    def charge_arrival(self, arrivals: float, size: int, now: float) -> float:
        """Add connections, and the `size` bytes received of one, to the debts. Return what `wait` returns for both."""
        paid_at, seconds, grace = self._paid_at, self._seconds, self._grace
        arrived, received = paid_at[_ARRIVALS], paid_at[_RECEIVED]
        arrived = (arrived if arrived > now else now) + arrivals * seconds[_ARRIVALS]
        received = (received if received > now else now) + size * seconds[_RECEIVED]
        if arrived - now <= grace[_ARRIVALS] and received - now <= grace[_RECEIVED]:  # the usual case
            paid_at[_ARRIVALS], paid_at[_RECEIVED] = arrived, received
            return 0.0
        return max(self.charge(Use.ARRIVALS, arrivals, now), self.charge(Use.RECEIVED, size, now))

    def charge_request(self, size: int, now: float) -> float:
        """Charge `size` bytes received, and a request unless it has to wait. Return the seconds it has to."""
        paid_at, seconds, grace = self._paid_at, self._seconds, self._grace
        received = paid_at[_RECEIVED]
        received = paid_at[_RECEIVED] = (received if received > now else now) + size * seconds[_RECEIVED]
        request = paid_at[_REQUESTS]
        request = (request if request > now else now) + seconds[_REQUESTS]
        if (
            received - now <= grace[_RECEIVED]
            and request - now <= grace[_REQUESTS]
            and paid_at[_FAILURES] - now <= grace[_FAILURES]
        ):
            paid_at[_REQUESTS] = request
            return 0.0
        paid_at[_RECEIVED] = min(received, now + self._most[_RECEIVED])
        return max(
            paid_at[_RECEIVED] - now - grace[_RECEIVED],
            request - now - grace[_REQUESTS],
            paid_at[_FAILURES] - now - grace[_FAILURES],
        )

    def take_bytes(self, told: int, stored: int, now: float) -> float:
        """Take bytes that are sent to others and bytes that are stored, both or none: like `take`, in one call."""
        paid_at, seconds, grace = self._paid_at, self._seconds, self._grace
        to_tell, to_store = paid_at[_TOLD], paid_at[_STORED]
        to_tell = (to_tell if to_tell > now else now) + told * seconds[_TOLD]
        to_store = (to_store if to_store > now else now) + stored * seconds[_STORED]
        if to_tell - now <= grace[_TOLD] and to_store - now <= grace[_STORED]:  # the usual case
            paid_at[_TOLD], paid_at[_STORED] = to_tell, to_store
            return 0.0
        wait = self.wait(Use.TOLD, now, told) if told else 0.0
        wait = max(wait, self.wait(Use.STORED, now, stored)) if stored else wait
        if not wait:
            self.charge_bytes(told, stored, now)
        return wait

    def charge_bytes(self, told: int, stored: int, now: float) -> None:
        """Add bytes that are sent to others and bytes that are stored to the debts. Negative ones pay debts back."""
        self.charge(Use.TOLD, told, now)
        self.charge(Use.STORED, stored, now)

    def take(self, use: Use, amount: float, now: float) -> float:
        """Charge `amount` units if they can be taken and return 0, else return what `wait` returns."""
        paid_at = self._paid_at
        debt = paid_at[use] - now
        debt = (debt if debt > 0 else 0.0) + amount * self._seconds[use]
        if debt <= self._grace[use]:  # the usual case
            paid_at[use] = now + debt
            return 0.0
        wait = self.wait(use, now, amount)
        if not wait:
            self.charge(use, amount, now)
        return wait

    def wait(self, use: Use, now: float, amount: float = 0.0) -> float:
        """Return the seconds until `amount` units can be taken; 0 if they can be now.

        They can be when the debt stays within the burst by them; more units than the burst, when there is no debt.
        """
        grace, cost = self._grace[use], amount * self._seconds[use]
        excess = max(self._paid_at[use], now) - now + min(cost, grace) - grace
        return excess if excess > 0 else 0.0

    def pass_on(self, other: "Account") -> None:
        """Keep the debts of another account, for those who `inherit` them."""
        self._passed_on = list(map(max, self._passed_on, other._paid_at))
        self._passed_on_latest = max(self._passed_on)

    def inherit(self, other: "Account", now: float) -> None:
        """Raise each debt to that which another account has kept, if it is smaller."""
        if other._passed_on_latest > now:
            self._paid_at = list(map(max, self._paid_at, other._passed_on))

    def copy_debts(self, other: "Account") -> None:
        """Raise each debt to that of another account, if it is smaller."""
        self._paid_at = list(map(max, self._paid_at, other._paid_at))

    def rescale(self, factors: Sequence[float], now: float) -> None:
        """Change the seconds of each debt by the factors of `Allowances.replace`, up to the most that it may have.

        Those that are kept for others stay: their allowances are others'.
        """
        self._paid_at = _rescaled(self._paid_at, factors, self._most, now)

    def rescale_passed_on(self, factors: Sequence[float], most: Sequence[float], now: float) -> None:
        """Do the same for the debts that are kept for those who `inherit` them, and have these allowances."""
        if self._passed_on_latest > now:
            self._passed_on = _rescaled(self._passed_on, factors, most, now)
            self._passed_on_latest = max(self._passed_on)

    def seconds_in_debt(self, now: float) -> float:
        """Return the seconds until every debt is paid off, with those that are kept for others."""
        latest = max(self._paid_at)
        if self._passed_on_latest > latest:
            latest = self._passed_on_latest
        return latest - now if latest > now else 0.0


def _rescaled(times: Sequence[float], factors: Sequence[float], most: Sequence[float], now: float) -> list[float]:
    return [
        now + min((time - now) * factor, bound) if time > now else time
        for time, factor, bound in zip(times, factors, most, strict=True)
    ]


CHECKED = 2
"""The unused accounts that are checked whenever one more is not used, so that paid ones go faster than they come."""

K = TypeVar("K", bound=Hashable)
"""The name of an account's holder."""
L = TypeVar("L", bound=Hashable)
"""That of another ledger."""


class Ledger(Generic[K]):
    """The accounts of all holders of one kind. It keeps `capacity` accounts that nobody uses, at most.

    `allowances` says how much each holder may use.
    """

    def __init__(self, allowances: Allowances, capacity: int) -> None:
        self._allowances = allowances
        self._capacity = capacity
        self._accounts: dict[K, Account] = {}
        self._unused: OrderedDict[K, None] = OrderedDict()

    def __len__(self) -> int:
        """Return the number of accounts."""
        return len(self._accounts)

    def use(self, allowances: Allowances, now: float, keeper: "Ledger[L] | None" = None) -> None:
        """Use other allowances from now on, for all accounts. Their debts stay as many units as they are.

        So do those that the accounts of `keeper` keep for accounts of this ledger.
        """
        if (allowances.seconds, allowances.most) == (self._allowances.seconds, self._allowances.most):
            return  # nothing else says what an account may use, and there may be many accounts
        factors = self._allowances.replace(allowances)
        for account in self._accounts.values():
            account.rescale(factors, now)
        for account in keeper._accounts.values() if keeper is not None else ():
            account.rescale_passed_on(factors, self._allowances.most, now)

    def open(self, holder: K) -> Account:
        """Return the account of a holder, which is kept until `close` was called as often as `open`."""
        account = self._accounts.get(holder)
        if account is None:
            account = self._accounts[holder] = Account(self._allowances)
        else:
            self._unused.pop(holder, None)
        account.users += 1
        return account

    def find(self, holder: K) -> Account | None:
        """Return the account of a holder that somebody uses now; None if nobody does."""
        account = self._accounts.get(holder)
        return account if account is not None and account.users else None

    def move(self, holder: K, to: K, now: float) -> Account:
        """Give the account of a holder, which `open` returned, to a new holder with its debts.

        If others use it too, or the new holder has one, it is closed instead, and the new holder's gets its debts.
        """
        account = self._accounts[holder]
        if account.users > 1 or to in self._accounts:
            other = self.open(to)
            other.copy_debts(account)
            self.close(holder, now)
            return other
        self._accounts[to] = self._accounts.pop(holder)
        return account

    def close(self, holder: K, now: float) -> bool:
        """Stop using the account of a holder, which `open` returned. Its debts are kept.

        Returns False if it has no debt and nobody else uses it: then it is forgotten.
        """
        account = self._accounts[holder]
        account.users -= 1
        if account.users:
            return True
        if account.seconds_in_debt(now) == 0:
            del self._accounts[holder]
            return False
        self._unused[holder] = None
        for _ in range(CHECKED):
            self._forget_paid(now)
        if len(self._unused) > self._capacity:
            self._forget(now)
        return True

    def _forget_paid(self, now: float) -> None:
        """Forget the account that has waited longest for this, if its debts are paid off; else it waits again."""
        holder, _ = self._unused.popitem(last=False)
        if self._accounts[holder].seconds_in_debt(now):
            self._unused[holder] = None
        else:
            del self._accounts[holder]

    def _forget(self, now: float) -> None:
        """Forget as many of the unused accounts with the smallest debts as are too many."""
        waits = {holder: self._accounts[holder].seconds_in_debt(now) for holder in self._unused}
        kept = heapq.nlargest(int(self._capacity * KEPT), waits, key=waits.__getitem__)
        for holder in self._unused.keys() - set(kept):
            del self._accounts[holder], self._unused[holder]
