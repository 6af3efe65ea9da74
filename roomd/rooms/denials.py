"""How long somebody who was denied a seat waits before the next knock (docs/protocol.md, section 8).

    denials in a row     | 1    | 2     | 3     | 4     | 5     | 6 and more
    ---------------------|------|-------|-------|-------|-------|-----------
    user, or connection  | 30 s | 1 min | 2 min | 4 min | 8 min | 10 min
    address, guests only | -    | -     | 30 s  | 1 min | 2 min | twice as long each time, at most 10 min

A denial is forgotten ten minutes after its waiting time. It is kept in memory only, and holds in one room only. Whoever
has a seat or a place in the queue is not affected.
"""

from typing import NamedTuple

from roomd.rooms.model import Caller, PersonKey, Seat

FIRST_WAIT, LONGEST_WAIT = 30.0, 600.0
"""The seconds that somebody waits after the first denial, and at most. Each further denial doubles them."""
ADDRESS_DENIALS = 3
"""The denial of an address after which it waits. Several people may share the address."""


class Denial(NamedTuple):
    """The last of some denials in a row. Times are seconds of the monotonic clock."""

    in_a_row: int
    """The number of denials in a row."""
    denied_at: float
    """When the last one was."""
    until: float
    """When the next knock is allowed."""

    def is_forgotten(self, clock: float) -> bool:
        """Return whether the next denial at `clock` would be the first one again."""
        return self.until + LONGEST_WAIT <= clock


def next_denial(who: PersonKey, before: Denial | None, clock: float) -> Denial:
    """Return the denial of `who` at `clock`, after the one `before`, if any."""
    count = before.in_a_row + 1 if before is not None and not before.is_forgotten(clock) else 1
    counted = count - (ADDRESS_DENIALS - 1 if who.kind == "address" else 0)
    # The exponent is bounded: a float has no room for the power of a large one.
    wait = min(FIRST_WAIT * 2 ** min(counted - 1, 10), LONGEST_WAIT) if counted > 0 else 0.0
    return Denial(count, clock, clock + wait)


def keys_of(person: Caller | Seat) -> list[PersonKey]:
    """Return the signs by which a room recognises somebody who knocks again: a guest also by the address."""
    user_id = person.user_id if isinstance(person, Caller) else person.participant.user_id
    keys = [PersonKey("user", user_id)] if user_id is not None else []
    if person.connection is not None:
        keys.append(PersonKey("connection", str(person.connection)))
    if user_id is None and person.address_key is not None:
        keys.append(PersonKey("address", person.address_key))
    return keys
