"""What one client uses, and who it is charged to.

Until a client has a seat or a token, it is a stranger: what it uses is charged to its address, and to the pool that all
strangers share. After that it is charged to the client's user or guest seat, and never to others at its address. The
request of a join or a resume that succeeds is paid back, so an address with many people meets no limit.
"""

from typing import NamedTuple

import msgspec

from roomd.limits.addresses import Address
from roomd.limits.allowances import Holder
from roomd.limits.applied import Action, Demand, of_charge, of_request, slowest
from roomd.limits.failures import FAILURES, GUESS
from roomd.limits.ledger import Account, Use
from roomd.limits.ledgers import SLOWED_MOST, Ledgers, Stranger, guest_key, user_key
from roomd.protocol.errors import ErrorKind

CHARACTERS_SEARCHED = 256
"""The characters of a malformed frame that count as one more request: finding the `id` of 64 KiB takes about 15 ms."""
RATE_ARRIVALS = 50
"""The arrivals that a connection counts for which is closed for its rate: an address may have two a second of them."""


class Verdict(NamedTuple):
    """What happens to a request."""

    hold: float = 0.0
    """The seconds for which the client is not read after the request, which is served."""
    retry_after: float = 0.0
    """The seconds after which the client may ask again; 0 when the request is served."""
    must_close: bool = False
    """Whether the client has gone on after refusals, and must be disconnected."""


SERVED = Verdict()
"""The request is served, and the client read on."""


class Charge(msgspec.Struct, frozen=True):
    """The bytes of an event, or of something else that a client sends to a room."""

    told: int = 0
    """The bytes for all the recipients together."""
    told_room: int = 0
    """The bytes that everybody in the room gets."""
    stored: int = 0
    """The bytes in the database."""


class Usage:
    """What one client uses. `now` is in seconds of a monotonic clock.

    `address` is that of the client, for which `arrive` was called; None when it is not known.
    """

    __slots__ = (
        "_advanced",
        "_at_address",
        "_code",
        "_has_arrived",
        "_holder",
        "_is_closed",
        "_is_guest",
        "_ledgers",
        "_room",
        "_stranger",
        "_uncharged",
        "address",
        "payer",
    )  # fmt: skip

    def __init__(self, ledgers: Ledgers, address: Address | None) -> None:
        self._ledgers = ledgers
        self.address = address
        """The client's address; None when it is not known."""
        self._at_address = ledgers.addresses.open(address)
        self._stranger: Stranger | None = None  # the connection, while it is one of a stranger
        self._holder: str | None = None  # the holder of the account of the user or the guest seat
        self._is_guest = False  # whether that is a guest seat
        self._uncharged = 0  # bytes that were received since the last request
        self._code: str | None = None  # the code of the room of the last seat
        self._room: Account | None = None  # the account of that room, once something was charged to it
        self._is_closed = False
        self._has_arrived = False  # whether a seat was given, and the arrival paid back
        self._advanced: tuple[Account, ...] = ()  # the accounts that the last request of a stranger was charged to
        self.payer = self._at_address
        """The account that requests are charged to."""

    def begin(self, connection: Stranger, before: Stranger | None = None) -> None:
        """Count the client's connection among those of strangers, until the client has a seat or a token.

        `before` is the connection that it was, if that was counted. Doing so twice is fine.
        """
        if self._stranger is not None:
            return
        self._stranger = connection
        if before is not None:
            self._ledgers.replace_stranger(before, self.address, connection)
        else:
            self._ledgers.add_stranger(self.address, connection)

    def count(self, size: int) -> None:
        """Count the `size` bytes of a frame, or of a part of one that was never completed."""
        self._uncharged += size

    def request(self, now: float, *, is_reserved: bool = False) -> Verdict:
        """Charge a request, and the bytes received since the one before. A request that must be refused is not charged.

        Who is over its share is slowed: it is not read for a time. Who has been slowed for many requests, or would have
        to wait for longer than `SLOWED_MOST`, is refused. Who goes on then must be disconnected. A reserved request
        does not wait for the pool of the strangers.
        """
        size, self._uncharged = self._uncharged, 0
        payer = self.payer
        wait = payer.charge_request(size, now)
        if self._holder is None:
            wait = self._charge_pool(wait, size, now, is_reserved=is_reserved)
        self._ledgers.counters.received += size
        if not wait:
            return SERVED
        over = self._find_limit(now)
        patience = payer.take(Use.SLOWED, 1, now) if wait <= SLOWED_MOST else wait
        if not patience:
            self.spend(1, now)
            self._note("slowed", over.use, over.holder)
            return Verdict(hold=wait)
        must_close = payer.take(Use.REFUSALS, 1, now) > 0
        self._note("slowed" if is_reserved else "closed" if must_close else "refused", over.use, over.holder)
        return Verdict(retry_after=max(wait, patience), must_close=must_close)

    def spend(self, requests: float, now: float) -> None:
        """Charge the work of some requests, whatever the debt is."""
        self.payer.charge(Use.REQUESTS, requests, now)
        if self._holder is None:
            self._ledgers.strangers.charge(Use.REQUESTS, requests, now)

    def malformed(self, size: int, now: float) -> None:
        """Charge the work for a malformed frame of `size` characters, whether it is answered or refused."""
        requests = size // CHARACTERS_SEARCHED
        self.spend(requests, now)
        self.payer.charge(Use.REFUSALS, requests / 10, now)

    def take(self, charge: Charge, now: float, *, waits_for_room: bool = True) -> float:
        """Charge bytes, if all of them may be used now, and return 0. Else return the seconds until they may.

        Without `waits_for_room` they are charged to the room too, whatever others there have used.
        """
        told, stored = charge.told, charge.stored
        if wait := self.payer.take_bytes(told, stored, now):
            return wait
        if self._is_guest and (wait := self._at_address.take(Use.STORED, stored, now)):
            self.payer.charge_bytes(-told, -stored, now)
            return wait
        room = self._room or self._open_room()
        if room is None or not (wait := room.take_bytes(charge.told_room, stored, now)):
            return 0.0
        room.charge_bytes(charge.told_room, stored, now)
        if not waits_for_room:
            return 0.0
        self.give_back(charge, now)
        return wait

    def give_back(self, charge: Charge, now: float) -> None:
        """Take back a charge that `take` has made. After `close` it stays."""
        if self._is_closed:
            return
        self.payer.charge_bytes(-charge.told, -charge.stored, now)
        if (room := self._open_room()) is not None:
            room.charge_bytes(-charge.told_room, -charge.stored, now)
        if self._is_guest:
            self._at_address.charge(Use.STORED, -charge.stored, now)

    def take_own(self, use: Use, amount: int, now: float) -> float:
        """Charge what concerns nobody but the client, if it may be used now, and return 0; else the seconds to wait."""
        if wait := self.payer.take(use, amount, now):
            self._note("refused", use, self._payer_is)
        return wait

    def return_to(self, size: int, now: float) -> float:
        """Charge the bytes of a room's state for a client that comes back. Return the seconds to slow it for."""
        if wait := self.payer.charge(Use.TOLD, size, now):
            self._note("slowed", Use.TOLD, self._payer_is)
        return wait

    def _note(self, action: Action, use: Use, holder: Holder) -> None:
        """Count that a limit applied."""
        self._ledgers.counters.limited[holder, use, action] += 1

    def note_refused(self, charge: Charge, now: float) -> None:
        """Count the limit for which `take` has refused a charge."""
        demands = of_charge(self._payer_is, self.payer, charge.told, charge.stored)
        if self._is_guest:
            demands += of_charge("address", self._at_address, 0, charge.stored)
        if self._room is not None:
            demands += of_charge("room", self._room, charge.told_room, charge.stored)
        over = slowest(demands, now)
        self._note("refused", over.use, over.holder)

    def failed(self, kind: ErrorKind, now: float) -> None:
        """Charge an error reply, if it is one of `FAILURES`. A refused join is charged in place of its request.

        A guess of a guest is charged to the address too.
        """
        charge = FAILURES.get(kind, 0)
        if not charge:
            return
        self.payer.charge(Use.FAILURES, charge, now)
        if charge == GUESS:
            if self._is_guest:
                self._at_address.charge(Use.FAILURES, charge, now)
        elif self._holder is None and self._advanced:
            self._advanced = ()
            self._at_address.charge(Use.REQUESTS, -1, now)

    def closed_for_rate(self, now: float) -> None:
        """Charge a stranger's connection that is closed because it sent on: its address connects more slowly then."""
        if self._holder is None:
            self._at_address.charge(Use.ARRIVALS, RATE_ARRIVALS, now)

    def has_token(self, user_id: str, now: float) -> None:
        """Charge everything from now on to this user. Nothing changes after `close`."""
        if not self._is_closed:
            self._end_stranger()
            self._become(user_key(user_id), now, is_guest=False)

    def has_seat(
        self, code: str, user_id: str | None, participant_id: str, now: float, *, is_return: bool = False
    ) -> None:
        """Charge everything from now on to the user or the guest seat.

        The first time the arrival and the last request of the stranger are paid back: that is the one that led here.
        `code` is that of the room. `is_return` is whether the seat is one that the client had before: a new guest seat
        begins with the debts of the last guests of the address. After `close` nothing else changes: a join may be
        stored after its connection has ended.
        """
        if not self._has_arrived:
            self._has_arrived = True
            self._at_address.charge(Use.ARRIVALS, -1, now)
            for account in self._advanced:
                account.charge(Use.REQUESTS, -1, now)
            self._advanced = ()
        if self._is_closed:
            return
        if self._stranger is not None:
            self._end_stranger()
        if code != self._code:
            self._leave_room(now)
            self._code = code
        if user_id is not None:
            self._become(user_key(user_id), now, is_guest=False)
        elif self._is_guest and self._holder is not None:  # a guest keeps the debts
            holder = guest_key(participant_id)
            if holder != self._holder:
                self.payer = self._ledgers.members.move(self._holder, holder, now)
                self._holder = holder
        else:
            self._become(guest_key(participant_id), now, is_guest=True)
            if not is_return:
                self.payer.inherit(self._at_address, now)

    def close(self, now: float) -> None:
        """End the use of all accounts. The debts of a guest pass to the next guests of the address.

        Closing twice is fine.
        """
        if self._is_closed:
            return
        self._is_closed = True
        self._ledgers.counters.received += self._uncharged
        self.payer.charge(Use.RECEIVED, self._uncharged, now)
        if self._holder is None:
            self._ledgers.strangers.charge(Use.RECEIVED, self._uncharged, now)
        self._end_stranger()
        self._leave_room(now)
        self._leave_account(now)
        self._ledgers.addresses.close(self.address, now)

    @property
    def _payer_is(self) -> Holder:
        return "address" if self._holder is None else "member"

    def _find_limit(self, now: float) -> Demand:
        """Return what a request that has to wait is over: its own account, or else the pool of the strangers."""
        own = slowest(of_request(self._payer_is, self.payer), now)
        if own.wait(now) or self._holder is not None:
            return own
        return slowest(of_request("strangers", self._ledgers.strangers), now)

    def _charge_pool(self, wait: float, size: int, now: float, *, is_reserved: bool) -> float:
        """Charge a request to the pool, which its address was charged for unless it has to `wait`.

        Returns the seconds that it has to wait for both.
        """
        pool, payer = self._ledgers.strangers, self.payer
        if wait or is_reserved:
            pool.charge(Use.RECEIVED, size, now)
            self._advanced = () if wait else (payer,)
            return wait
        wait = min(pool.charge_request(size, now), SLOWED_MOST)
        if wait:
            payer.charge(Use.REQUESTS, -1, now)
            self._advanced = ()
        else:
            self._advanced = (payer, pool)
        return wait

    def _open_room(self) -> Account | None:
        """Return the account of the room that the client has a seat in; None without a seat."""
        if self._room is None and self._code is not None:
            self._room = self._ledgers.rooms.open(self._code)
        return self._room

    def _end_stranger(self) -> None:
        if self._stranger is not None:
            self._ledgers.remove_stranger(self._stranger)
            self._stranger = None

    def _become(self, holder: str, now: float, *, is_guest: bool) -> None:
        if holder != self._holder:
            self._leave_account(now)
            self._holder, self._is_guest = holder, is_guest
            self.payer = self._ledgers.members.open(holder)

    def _leave_room(self, now: float) -> None:
        if self._room is not None and self._code is not None:
            self._ledgers.rooms.close(self._code, now)
            self._room = None

    def _leave_account(self, now: float) -> None:
        if self._holder is not None and self._ledgers.members.close(self._holder, now) and self._is_guest:
            self._at_address.pass_on(self.payer)
