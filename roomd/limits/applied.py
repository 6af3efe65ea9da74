"""Which limit applied to somebody who has to wait, for the counters. It is looked for only then."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from roomd.limits.allowances import Holder
from roomd.limits.ledger import Account, Use

Action = Literal["slowed", "refused", "closed"]
"""What is done to who is over a limit."""
ACTIONS: tuple[Action, ...] = ("slowed", "refused", "closed")


class Demand(NamedTuple):
    """What somebody wants to use."""

    holder: Holder
    """Whose account is charged."""
    account: Account
    """That account."""
    use: Use
    """What is used."""
    amount: float
    """The units of it; 0 for what was charged already."""

    def wait(self, now: float) -> float:
        """Return the seconds until it may be used."""
        return self.account.wait(self.use, now, self.amount)


def of_request(holder: Holder, account: Account) -> tuple[Demand, ...]:
    """Return what a request uses, when its bytes were charged."""
    return (
        Demand(holder, account, Use.REQUESTS, 1),
        Demand(holder, account, Use.RECEIVED, 0),
        Demand(holder, account, Use.FAILURES, 0),
    )


def of_charge(holder: Holder, account: Account, told: int, stored: int) -> tuple[Demand, ...]:
    """Return what bytes that are sent to others, and bytes that are stored, use."""
    uses = ((Use.TOLD, told), (Use.STORED, stored))
    return tuple(Demand(holder, account, use, amount) for use, amount in uses if amount)


def slowest(demands: Sequence[Demand], now: float) -> Demand:
    """Return the demand that has to wait longest; the first of equal ones."""
    return max(demands, key=lambda demand: demand.wait(now))
