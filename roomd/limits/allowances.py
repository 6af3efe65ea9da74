"""The table of all rates: who may use how much of what, by which settings, and what a client is told.

Every row has two settings, `limits.KEY_rate` and `limits.KEY_burst`. docs/reference/limits.md is generated from it. How
many requests are slowed before one is refused, and how many are refused before the client is closed, are parts of
`request_rate` and `request_burst`.
"""

from typing import Literal, NamedTuple

from roomd.config import LimitsConfig
from roomd.limits.ledger import LONGEST_WAIT, Allowance, Allowances, Use

Holder = Literal["member", "room", "address", "strangers"]
"""Who has an account: a user or a guest's seat, a room, an address, and all clients without a seat and a token."""


class Limit(NamedTuple):
    """One row of the table."""

    key: str
    """The first part of the names of the two settings."""
    holder: Holder
    """Who has the allowance."""
    use: Use
    """What is limited."""
    over: str
    """What happens to who is over it."""


_SLOWED = "is read more slowly, then gets 429 `rate_limited`, then is closed with 4429"
_REFUSED = "gets 429 `rate_limited`"

LIMITS = (
    Limit("request", "member", Use.REQUESTS, _SLOWED),
    Limit("received", "member", Use.RECEIVED, _SLOWED),
    Limit("told", "member", Use.TOLD, _REFUSED),
    Limit("stored", "member", Use.STORED, _REFUSED),
    Limit("read", "member", Use.READ, _REFUSED),
    Limit("failure", "member", Use.FAILURES, _SLOWED),
    Limit("room_told", "room", Use.TOLD, _REFUSED),
    Limit("room_stored", "room", Use.STORED, _REFUSED),
    Limit("request", "address", Use.REQUESTS, _SLOWED),
    Limit("received", "address", Use.RECEIVED, _SLOWED),
    Limit("address_stored", "address", Use.STORED, _REFUSED),
    Limit("failure", "address", Use.FAILURES, _SLOWED),
    Limit("arrival", "address", Use.ARRIVALS, "waits for the answer to its request; a health check never does"),
    Limit("stranger_request", "strangers", Use.REQUESTS, _SLOWED),
    Limit("stranger_received", "strangers", Use.RECEIVED, _SLOWED),
)
"""Who may use how much of what."""


HOLDERS: dict[Holder, str] = {
    "member": "one user, or one guest's seat",
    "room": "all in one room",
    "address": "one network address: its clients without a seat and a token, and its guests for what is stored",
    "strangers": "all clients without a seat and a token",
}
"""What each kind of holder is, for the documentation."""

UNITS = {
    Use.REQUESTS: "requests, and frames without a message",
    Use.RECEIVED: "bytes sent to the server",
    Use.TOLD: "bytes sent to others",
    Use.STORED: "bytes in the database",
    Use.READ: "rows read from the database, and people looked at for a list",
    Use.FAILURES: "refused joins, bad tokens, unknown codes",
    Use.ARRIVALS: "connections that get no seat, with those for an HTTP request or without a whole one; "
    "one that is closed with 4429 counts as 50",
}
"""What is counted, for the documentation."""


def allowances(holder: Holder, limits: LimitsConfig, longest: float = LONGEST_WAIT) -> Allowances:
    """Return what each holder of a kind may use. No debt makes it wait for longer than `longest` seconds."""
    found = {
        row.use: Allowance(getattr(limits, f"{row.key}_rate"), getattr(limits, f"{row.key}_burst"))
        for row in LIMITS
        if row.holder == holder
    }
    if (requests := found.get(Use.REQUESTS)) is not None:
        found[Use.SLOWED] = Allowance(requests.rate / 10, max(1.0, requests.burst / 2))
        found[Use.REFUSALS] = Allowance(requests.rate / 10, max(1.0, requests.burst / 10))
    return Allowances(found, longest)
