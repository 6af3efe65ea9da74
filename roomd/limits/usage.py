"""What one client uses, and who it is charged to.

Until a client has a seat or a token, it is a stranger: what it uses is charged to its address, and to the pool that all
strangers share. After that it is charged to the client's user or guest seat, and never to others at its address. A join
or a resume that succeeds is paid back, so an address with many people meets no limit.
"""

from roomd.config import LimitsConfig
from roomd.limits.addresses import Address
from roomd.limits.allowances import allowances
from roomd.limits.ledger import Account, Ledger, Use

CAPACITY = 20_000
"""The accounts of each kind that are kept while nobody uses them: some 10 MB at most."""


class Ledgers:
    """The accounts of everybody."""

    def __init__(self, limits: LimitsConfig) -> None:
        self.members: Ledger[str] = Ledger(allowances("member", limits), CAPACITY)
        """The accounts of users, by user id, and of guests, by participant id; see `user_key` and `guest_key`."""
        self.guests: Ledger[Address | None] = Ledger(allowances("member", limits), CAPACITY)
        """For each address the largest debts of the guests that were there: the next guests begin with them."""
        self.rooms: Ledger[str] = Ledger(allowances("room", limits), CAPACITY)
        """The accounts of rooms, by code."""
        self.addresses: Ledger[Address | None] = Ledger(allowances("address", limits), CAPACITY)
        """The accounts of addresses. Clients whose address is not known share one."""
        self.strangers = Account(allowances("strangers", limits))
        """The pool of all clients without a seat and a token."""


def user_key(user_id: str) -> str:
    """Return the holder of a user's account."""
    return f"u{user_id}"


def guest_key(participant_id: str) -> str:
    """Return the holder of a guest seat's account."""
    return f"g{participant_id}"


class Usage:
    """What one client uses. `now` is in seconds of a monotonic clock.

    `address` is that of the client; None when it is not known.
    """

    __slots__ = (
        "_address",
        "_advance",
        "_at_address",
        "_holder",
        "_ledgers",
        "_uncharged",
        "bytes",
        "frames",
        "payer",
    )  # fmt: skip

    def __init__(self, ledgers: Ledgers, address: Address | None) -> None:
        self.frames = 0
        """The number of whole frames received, with control frames and fragments."""
        self.bytes = 0
        """The bytes of those frames, with their headers."""
        self._ledgers = ledgers
        self._address = address
        self._at_address = ledgers.addresses.open(address)
        self._holder: str | None = None  # the holder of the account of the user or the guest seat
        self._uncharged = 0  # bytes that were received since the last request
        self._advance = {Use.ARRIVALS: 0, Use.REQUESTS: 0}  # what a successful join will pay back
        self.payer = self._at_address
        """The account that requests are charged to."""

    @property
    def is_stranger(self) -> bool:
        """Whether the client has had no seat and no token."""
        return self._holder is None

    def count(self, size: int) -> None:
        """Count a frame of `size` bytes."""
        self.frames += 1
        self.bytes += size
        self._uncharged += size

    def request(self, now: float) -> float:
        """Charge a request, and the bytes received since the one before. Return the seconds to wait before the next."""
        size, self._uncharged = self._uncharged, 0
        payer = self.payer
        wait = max(payer.charge(Use.REQUESTS, 1, now), payer.charge(Use.RECEIVED, size, now))
        if self._holder is None:
            self._advance[Use.REQUESTS] += 1
            pool = self._ledgers.strangers
            wait = max(
                wait,
                pool.charge(Use.REQUESTS, 1, now),
                pool.charge(Use.RECEIVED, size, now),
                payer.wait(Use.FAILURES, now),
            )
        return wait

    def failed(self, now: float) -> None:
        """Charge a refused join, a token that is not valid, or a code of no room."""
        self.payer.charge(Use.FAILURES, 1, now)

    def arrived(self, now: float) -> float:
        """Charge the connection to its address. Return the seconds to wait before it is served."""
        self._advance[Use.ARRIVALS] = 1
        return self._at_address.charge(Use.ARRIVALS, 1, now)

    def has_token(self, user_id: str, now: float) -> None:
        """Charge everything from now on to this user."""
        self._become(user_key(user_id), now)

    def has_seat(self, user_id: str | None, participant_id: str, now: float) -> None:
        """Charge everything from now on to the user or the guest seat, and pay back what the way to it has cost."""
        for use, amount in self._advance.items():
            self._at_address.charge(use, -amount, now)
            self._ledgers.strangers.charge(use, -amount, now)
        self._advance.clear()
        if user_id is not None:
            self._become(user_key(user_id), now)
            return
        self._become(guest_key(participant_id), now)
        guests = self._ledgers.guests
        self.payer.raise_to(guests.open(self._address), now)
        guests.close(self._address, now)

    def close(self, now: float) -> None:
        """End the use of all accounts. The debts of a guest pass to the next guests of the address."""
        self._leave_account(now)
        self._ledgers.addresses.close(self._address, now)

    def _become(self, holder: str, now: float) -> None:
        if holder != self._holder:
            self._leave_account(now)
            self._holder = holder
            self.payer = self._ledgers.members.open(holder)

    def _leave_account(self, now: float) -> None:
        if self._holder is None:
            return
        if self._holder.startswith("g"):
            guests = self._ledgers.guests
            guests.open(self._address).raise_to(self.payer, now)
            guests.close(self._address, now)
        self._ledgers.members.close(self._holder, now)
