"""Limits that are small, one address, and what an account owes, which the daemon itself never asks."""

from roomd.config import LimitsConfig
from roomd.limits.addresses import Proxies
from roomd.limits.ledger import Account, Use

CODE = "abc-def-ghi"
HOME = Proxies([]).client("192.0.2.1", [], [])
LIMITED = LimitsConfig(
    request_rate=1,
    request_burst=10,
    failure_rate=1,
    failure_burst=3,
    arrival_rate=1,
    arrival_burst=2,
    stranger_request_rate=1,
    stranger_request_burst=15,
    stored_rate=1,
    stored_burst=100,
)


def debt(account: Account, use: Use, now: float, rate: float = 1) -> float:
    """Return the debt in units: an amount larger than the burst has to wait for all of it."""
    return account.wait(use, now, 1e300) * rate
