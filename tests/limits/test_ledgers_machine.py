"""A Hypothesis state machine over all accounts: whatever clients do, each pays for itself and for nobody else."""

from collections import Counter

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from roomd.config import LimitsConfig
from roomd.limits.addresses import Address, Proxies
from roomd.limits.ledger import LONGEST_WAIT, Account, Use
from roomd.limits.ledgers import Ledgers, arrive
from roomd.limits.usage import Charge, Usage
from roomd.protocol.errors import INVALID_TOKEN, ROOM_FULL, ROOM_NOT_FOUND, UNKNOWN_TYPE
from tests.support.debts import HOME

SCHOOL = Proxies([]).client("192.0.2.2", [], [])
ADDRESSES: tuple[Address | None, ...] = (HOME, SCHOOL, None)
CODES = ("abc-def-ghi", "jkl-mno-pqr")
USERS = ("alice", "bob")
FEW = LimitsConfig(
    connections=12, request_rate=1, request_burst=10, failure_rate=1, failure_burst=3, arrival_rate=1, arrival_burst=2,
    stranger_request_rate=1, stranger_request_burst=15, stored_rate=1, stored_burst=100, told_rate=10, told_burst=1_000,
    read_rate=1, read_burst=50, room_told_rate=10, room_told_burst=2_000, room_stored_rate=1, room_stored_burst=300,
    address_stored_rate=1, address_stored_burst=150, received_rate=100, received_burst=10_000,
    stranger_received_rate=100, stranger_received_burst=20_000,
)  # fmt: skip
MORE = LimitsConfig(connections=16, request_rate=5, request_burst=7, stored_rate=2, stored_burst=40, arrival_burst=30)
NUMBER = st.integers(min_value=0, max_value=99)
DEEDS = (
    "connect", "connect", "ask", "ask", "ask", "garbage", "fail", "sign_in", "sit", "sit", "say", "take_back", "read",
    "come_back", "is_closed_for_rate", "close",
)  # fmt: skip
KINDS = (INVALID_TOKEN, ROOM_NOT_FOUND, ROOM_FULL, UNKNOWN_TYPE)
PAID_BACK = ("sit", "fail", "take_back")
"""What may pay back: the request and the arrival that led to a seat, a refused join's request, a message refused."""
OF_GUESTS = {Use.STORED, Use.FAILURES}
"""What a guest uses that is charged to the address too."""

Debts = dict[tuple[str, object, Use], float]


class Client:
    """A client, and what it is by now."""

    def __init__(self, ledgers: Ledgers, address: Address | None) -> None:
        self.address = address
        self.usage = Usage(ledgers, address)
        self.holder: str | None = None
        """Its user id or the id of its guest seat; None while it is a stranger."""
        self.is_guest = False
        self.code: str | None = None
        self.is_gone = False
        """Whether it had to give way."""
        self.charges: list[Charge] = []

    def give_way(self) -> None:
        self.is_gone = True


class Machine(RuleBasedStateMachine):
    """Has clients of two addresses, and of none, do what a connection does with its usage."""

    def __init__(self) -> None:
        super().__init__()
        self.ledgers = Ledgers(FEW)
        self.now = 0.0
        self.seats = 0
        self.clients: list[Client] = []

    @rule(deed=st.sampled_from(DEEDS), a=NUMBER, b=NUMBER)
    def step(self, deed: str, a: int, b: int) -> None:
        if deed == "connect" or not self.clients:
            self.connect(a)
            return
        client = self.clients[a % len(self.clients)]
        before, was_stranger, was_guest = self.debts(), client.holder is None, client.is_guest
        getattr(self, deed)(client, b)
        after = self.debts()
        charged = {key for key, value in after.items() if value > before.get(key, 0.0) + 1e-9}
        paid_back = {key for key, value in before.items() if after.get(key, value) < value - 1e-9}
        self.check_payers(charged, client, was_stranger, was_guest)
        assert not paid_back or deed in PAID_BACK

    @rule(a=NUMBER, size=NUMBER)
    def arrive(self, a: int, size: int) -> None:
        """Have a connection come whose client is not known yet: it is charged to its address alone."""
        address, before = ADDRESSES[a % len(ADDRESSES)], self.debts()
        arrive(self.ledgers, address, self.now, size)
        changed = {key for key, value in self.debts().items() if value != before.get(key, 0.0)}
        assert changed <= {("address", address, use) for use in (Use.ARRIVALS, Use.RECEIVED)}

    @rule(seconds=st.floats(min_value=0, max_value=100))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    @rule(more=st.booleans())
    def reload(self, more: bool) -> None:
        self.ledgers.use(MORE if more else FEW, self.now)

    def connect(self, number: int) -> None:
        """Begin as a stranger, like every connection."""
        client = Client(self.ledgers, ADDRESSES[number % len(ADDRESSES)])
        self.clients.append(client)
        client.usage.begin(client)
        for one in [one for one in self.clients if one.is_gone]:
            self.close(one, 0)

    def ask(self, client: Client, number: int) -> None:
        client.usage.count(number * 10)
        client.usage.request(self.now, is_reserved=number % 5 == 0)

    def garbage(self, client: Client, number: int) -> None:
        client.usage.malformed(number * 50, self.now)

    def fail(self, client: Client, number: int) -> None:
        client.usage.failed(KINDS[number % len(KINDS)], self.now)

    def sign_in(self, client: Client, number: int) -> None:
        if client.holder is None:
            client.holder = USERS[number % len(USERS)]
            client.usage.has_token(client.holder, self.now)

    def sit(self, client: Client, number: int) -> None:
        """Take a seat: that of the user, the guest's own once more, or a new one."""
        client.code, user = CODES[number % len(CODES)], client.holder if not client.is_guest else None
        if user is None and (client.holder is None or number % 3 == 0):
            self.seats += 1
            client.holder, client.is_guest = f"guest-{self.seats}", True
        client.usage.has_seat(client.code, user, client.holder or "", self.now, is_return=number % 2 == 0)

    def come_back(self, client: Client, number: int) -> None:
        """Be told the state of the room."""
        client.usage.return_to(number * 10, self.now)

    def say(self, client: Client, number: int) -> None:
        charge = Charge(told=number * 5, told_room=number, stored=number)
        if client.usage.take(charge, self.now, waits_for_room=number % 4 > 0) == 0:
            client.charges.append(charge)
        else:
            client.usage.note_refused(charge, self.now)

    def take_back(self, client: Client, number: int) -> None:
        if client.charges:
            client.usage.give_back(client.charges.pop(), self.now)

    def read(self, client: Client, number: int) -> None:
        client.usage.take_own(Use.READ, number, self.now)

    def is_closed_for_rate(self, client: Client, number: int) -> None:
        client.usage.closed_for_rate(self.now)

    def close(self, client: Client, number: int) -> None:
        client.usage.close(self.now)
        client.usage.close(self.now)
        self.clients.remove(client)

    # What must hold.

    def accounts(self) -> dict[tuple[str, object], Account]:
        ledgers = self.ledgers
        found: dict[tuple[str, object], Account] = {("strangers", None): ledgers.strangers}
        for kind, ledger in (("member", ledgers.members), ("room", ledgers.rooms), ("address", ledgers.addresses)):
            found |= {(kind, holder): account for holder, account in ledger._accounts.items()}
        return found

    def debts(self) -> Debts:
        """Return the seconds of every debt."""
        return {
            (*name, use): account.wait(use, self.now, 1e300) for name, account in self.accounts().items() for use in Use
        }

    def check_payers(
        self, charged: set[tuple[str, object, Use]], client: Client, was_stranger: bool, was_guest: bool
    ) -> None:
        """A client is charged to itself, to its room, and to its address for what the table says; to nobody else."""
        for kind, holder, use in charged:
            if kind == "member":
                assert str(holder)[1:] == client.holder
            elif kind == "room":
                assert holder == client.code
            elif kind == "strangers":
                assert was_stranger
            else:
                assert holder == client.address
                assert was_stranger or (was_guest and use in OF_GUESTS)

    @invariant()
    def debts_are_bounded(self) -> None:
        assert all(seconds >= 0 for seconds in self.debts().values())
        assert all(
            account.wait(use, self.now) <= LONGEST_WAIT + 1e-6 for account in self.accounts().values() for use in Use
        )

    @invariant()
    def accounts_know_their_users(self) -> None:
        """So none is forgotten that is used, and none is kept for nobody."""
        members = Counter(one.holder for one in self.clients if one.holder is not None)
        for (kind, holder), account in self.accounts().items():
            if kind == "member":
                assert account.users == members[str(holder)[1:]]
            elif kind == "address":
                assert account.users == sum(one.address == holder for one in self.clients)
        strangers = sum(one.holder is None for one in self.clients)
        assert self.ledgers.stranger_connections() == strangers

    def teardown(self) -> None:
        for client in self.clients.copy():
            self.close(client, 0)
        assert [name for name, account in self.accounts().items() if account.users] == []


def test_everybody_pays_for_themselves() -> None:
    """Over connections, seats, users, reloads and time."""
    run_state_machine_as_test(
        Machine,
        settings=settings(max_examples=60, stateful_step_count=50, suppress_health_check=[HealthCheck.too_slow]),
    )
