"""The ledger of what was used."""

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roomd.limits.ledger import LONGEST_WAIT, UNLIMITED, Account, Allowance, Allowances, Ledger, Use
from tests.support.debts import debt

ALLOWANCES = Allowances({Use.REQUESTS: Allowance(rate=2, burst=3), Use.STORED: Allowance(rate=10, burst=100)})


def account() -> Account:
    """Make an account."""
    return Account(ALLOWANCES)


def test_a_burst_and_then_the_rate() -> None:
    """`burst` at once, then `rate` a second, and the answer is how long to wait."""
    one = account()
    assert [one.take(Use.REQUESTS, 1, 100) for _ in range(3)] == [0, 0, 0]
    assert one.take(Use.REQUESTS, 1, 100) == pytest.approx(0.5)
    assert one.take(Use.REQUESTS, 1, 100.5) == 0
    assert one.take(Use.REQUESTS, 1, 100.5) == pytest.approx(0.5)
    assert [one.take(Use.REQUESTS, 1, 4000) for _ in range(4)] == [0, 0, 0, pytest.approx(0.5)]


def test_more_than_the_burst() -> None:
    """What is larger than the burst is let through without a debt, and paid off before anything else is."""
    one = account()
    assert one.take(Use.STORED, 250, 0) == 0
    assert one.take(Use.STORED, 1, 0) == pytest.approx(15.1)
    assert one.take(Use.STORED, 1000, 0) == pytest.approx(25)
    assert one.take(Use.STORED, 1000, 25) == 0


def test_two_kinds_of_bytes() -> None:
    """Both are taken or none; a debt of one kind holds up nobody who uses only the other."""
    one = Account(Allowances({Use.TOLD: Allowance(10, 100), Use.STORED: Allowance(10, 100)}))
    assert one.take_bytes(60, 50, 0) == 0
    assert one.take_bytes(10, 60, 0) == pytest.approx(1)
    assert one.take_bytes(50, 10, 0) == pytest.approx(1)
    assert one.take_bytes(250, 50, 6) == 0, "more than the burst, without a debt"
    assert one.take_bytes(1, 0, 6) > 0
    assert one.take_bytes(0, 50, 6) == 0
    assert one.take_bytes(0, 1, 6) == pytest.approx(0.1)
    one.charge_bytes(-250, -100, 6)
    assert one.take_bytes(100, 100, 6) == 0


def test_a_charge_is_always_made() -> None:
    """What was used already is charged whatever the debt is."""
    one = account()
    assert one.charge(Use.REQUESTS, 3, 0) == 0
    assert one.charge(Use.REQUESTS, 3, 0) == pytest.approx(1.5)
    assert one.charge(Use.REQUESTS, 0, 1.5) == 0
    assert debt(one, Use.REQUESTS, 1.5, 2) == pytest.approx(3)


def test_a_debt_has_a_bound() -> None:
    """Whatever somebody has used, the wait is a minute beyond the burst at most, or what the allowances say."""
    one, pool = account(), Account(Allowances({Use.STORED: UNLIMITED, Use.RECEIVED: Allowance(10, 100)}, longest=1))
    assert [one.charge(Use.REQUESTS, 1e6, 0) for _ in range(2)] == [LONGEST_WAIT] * 2
    assert one.wait(Use.REQUESTS, 59) == pytest.approx(1)
    assert [one.charge_request(0, 0), one.charge_request(0, 60.5)] == [pytest.approx(60.5), 0]
    assert [pool.charge_request(10**9, 0) for _ in range(2)] == pytest.approx([1, 1])
    assert debt(pool, Use.RECEIVED, 0, 10) == pytest.approx(110)
    assert pool.charge(Use.STORED, 1e300, 0) == 0


def test_paying_back() -> None:
    """A join that succeeds is paid back; nobody gets a credit by that."""
    one = account()
    one.charge(Use.REQUESTS, 5, 0)
    assert one.wait(Use.REQUESTS, 0) == pytest.approx(1)
    assert one.charge(Use.REQUESTS, -2, 0) == 0
    one.charge(Use.REQUESTS, -20, 0)
    assert one.charge(Use.REQUESTS, 4, 0) == pytest.approx(0.5)


def test_what_is_not_limited() -> None:
    """Without an allowance nobody waits and nothing is remembered."""
    one = account()
    assert one.charge(Use.READ, 1e12, 0) == 0
    assert one.take(Use.READ, 1e12, 0) == 0
    assert one.wait(Use.READ, 0) == 0
    assert one.seconds_in_debt(0) == 0


def test_each_thing_has_its_own_debt() -> None:
    """Rows are not paid with frames."""
    one = account()
    one.charge(Use.STORED, 1000, 0)
    assert one.take(Use.REQUESTS, 1, 0) == 0
    assert one.seconds_in_debt(0) == pytest.approx(70), "as far as the bound"


def test_debts_pass_on() -> None:
    """The next guest of an address begins with the debts of the last one, who keeps them."""
    address, left, comes, other = account(), account(), account(), account()
    left.charge(Use.STORED, 80, 0)
    left.charge(Use.REQUESTS, 1, 0)
    comes.charge(Use.REQUESTS, 4, 0)
    address.pass_on(left)
    comes.inherit(address, 1)
    comes.inherit(other, 1)
    assert [debt(comes, Use.STORED, 1, 10), debt(comes, Use.REQUESTS, 1, 2)] == pytest.approx([70, 2])
    assert debt(left, Use.STORED, 1, 10) == pytest.approx(70)
    assert debt(address, Use.STORED, 1, 10) == 0, "it is kept, not charged"
    assert address.seconds_in_debt(1) == pytest.approx(7)


def test_a_request_is_charged_with_its_bytes() -> None:
    """It waits for requests, for bytes and for failures; a request that has to wait is not charged, its bytes are."""
    limits = {use: Allowance(rate=1, burst=10) for use in (Use.REQUESTS, Use.RECEIVED, Use.FAILURES)}
    one = Account(Allowances(limits))
    assert one.charge_request(12, 0) == pytest.approx(2)
    assert debt(one, Use.REQUESTS, 0) == 0
    assert [one.charge_request(0, 2) for _ in range(11)] == [*[0] * 10, pytest.approx(1)]
    assert debt(one, Use.REQUESTS, 2) == 10
    one.charge(Use.FAILURES, 15, 3)
    assert one.charge_request(0, 3) == pytest.approx(5)
    assert Account(Allowances({})).charge_request(1 << 40, 0) == 0


def test_a_reconnect_finds_its_account() -> None:
    """An account outlives its connections while it has a debt."""
    ledger: Ledger[str] = Ledger(ALLOWANCES, 10)
    ledger.open("a").charge(Use.STORED, 100, 0)
    ledger.close("a", 1)
    assert debt(ledger.open("a"), Use.STORED, 1, 10) == pytest.approx(90)
    ledger.close("a", 10)
    assert len(ledger) == 0


def test_an_account_moves_to_the_next_seat() -> None:
    """With its debts, which stay where they were too if somebody else uses the account."""
    ledger: Ledger[str] = Ledger(ALLOWANCES, 10)
    first = ledger.open("a")
    first.charge(Use.STORED, 50, 0)
    assert ledger.move("a", "b", 0) is first
    assert ledger.open("b") is first
    other = ledger.move("b", "c", 0)
    assert (other is first, debt(other, Use.STORED, 0, 10), ledger.open("b") is first) == (False, 50, True)
    other.charge(Use.STORED, 20, 0)
    assert ledger.move("c", "b", 0) is first
    assert debt(first, Use.STORED, 0, 10) == 70


def test_an_account_in_use_is_never_forgotten() -> None:
    """Two connections use one account; it is closed with the last."""
    ledger: Ledger[str] = Ledger(ALLOWANCES, 1)
    first, second = ledger.open("a"), ledger.open("a")
    assert first is second
    ledger.close("a", 0)
    for stranger in range(100):
        ledger.open(f"stranger{stranger}").charge(Use.STORED, 1000, 0)
        ledger.close(f"stranger{stranger}", 0)
    assert ledger.open("a") is first


def test_the_greediest_is_forgotten_last() -> None:
    """Many addresses do not make the ledger larger, nor hide the one that used most. A nightly run has a million."""
    ledger: Ledger[int] = Ledger(ALLOWANCES, 1000)
    for number in range(int(os.environ.get("TEST_ROOMD_ADDRESSES", "20000"))):
        ledger.open(number).charge(Use.STORED, 500 if number == 77 else 50, 0)
        ledger.close(number, 0)
        assert len(ledger) <= 1000
    assert debt(ledger.open(77), Use.STORED, 0, 10) == 500


def test_forgetting_what_is_paid_off() -> None:
    """Accounts that are paid off are forgotten as others come; those with a debt stay while there is space."""
    ledger: Ledger[str] = Ledger(ALLOWANCES, 2)
    for holder, rows in (("a", 10), ("b", 700)):
        ledger.open(holder).charge(Use.STORED, rows, 0)
        ledger.close(holder, 0)
    ledger.open("c").charge(Use.STORED, 1000, 50)
    ledger.close("c", 50)
    assert len(ledger) == 2, "a is paid off"
    assert debt(ledger.open("b"), Use.STORED, 50, 10) == 200
    ledger.open("d").charge(Use.STORED, 1000, 50)
    ledger.close("d", 50)
    ledger.open("c")
    ledger.open("d")
    for holder in ("c", "d"):
        ledger.close(holder, 1000)
    assert len(ledger) == 1, "b is in use"


STEPS = st.lists(st.tuples(st.floats(0, 5), st.sampled_from(["use", "reconnect"]), st.integers(1, 20)), max_size=60)


@settings(deadline=None)
@given(STEPS)
def test_a_reconnect_gains_nothing(steps: list[tuple[float, str, int]]) -> None:
    """No sequence of reconnects gets more than one connection would."""
    ledger: Ledger[str] = Ledger(ALLOWANCES, 10)
    lasting = account()
    now = 0.0
    current = ledger.open("a")
    for pause, action, amount in steps:
        now += pause
        if action == "reconnect":
            ledger.close("a", now)
            current = ledger.open("a")
        else:
            assert (current.take(Use.STORED, amount, now) == 0) == (lasting.take(Use.STORED, amount, now) == 0)


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 2), st.floats(0, 100)), max_size=80))
def test_nobody_gets_more_than_the_allowance(uses: list[tuple[float, float]]) -> None:
    """In every span of time the amount taken is at most the burst and the rate times the span."""
    one = account()
    now, taken = 0.0, []
    for pause, amount in uses:
        now += pause
        if one.take(Use.STORED, amount, now) == 0:
            taken.append((now, amount))
    for index, (start, _) in enumerate(taken):
        used = 0.0
        for at, amount in taken[index:]:
            used += amount
            assert used <= 100 + 10 * (at - start) + 1e-6


def test_other_allowances_hold_for_accounts_in_use() -> None:
    """What was used stays used, in units: at another rate it is paid off sooner or later."""
    rows = {Use.REQUESTS: Allowance(rate=1, burst=10), Use.STORED: Allowance(rate=10, burst=100)}
    ledger = Ledger[str](Allowances(rows), 2)
    one = ledger.open("one")
    one.charge(Use.REQUESTS, 10, 0)
    one.charge(Use.STORED, 50, 0)
    ledger.use(Allowances({**rows, Use.REQUESTS: Allowance(rate=2, burst=6)}), 4)
    assert one.wait(Use.REQUESTS, 4, 1) == 0.5, "of the six units that were left, one is too many"
    assert one.wait(Use.REQUESTS, 4.5, 1) == 0
    assert one.wait(Use.STORED, 4, 91) == pytest.approx(0.1), "ten were left"
    assert ledger.open("two").wait(Use.REQUESTS, 4, 6) == 0
    ledger.use(Allowances({**rows, Use.REQUESTS: Allowance(rate=0.001, burst=1)}, longest=60), 4)
    assert one.wait(Use.REQUESTS, 4) == 60, "no debt grows beyond the longest wait"


def test_other_allowances_hold_for_debts_that_were_passed_on() -> None:
    """The next guests of an address inherit as many units as the last ones have used, by the rates of guests."""
    rows = {Use.REQUESTS: Allowance(rate=1, burst=10)}
    addresses, guests = Ledger[str](Allowances(rows), 2), Ledger[str](Allowances(rows), 2)
    address, guest = addresses.open("address"), guests.open("guest")
    guest.charge(Use.REQUESTS, 10, 0)
    address.pass_on(guest)
    addresses.use(Allowances({Use.REQUESTS: Allowance(rate=100, burst=10)}), 0)
    guests.use(Allowances({Use.REQUESTS: Allowance(rate=2, burst=10)}), 0, addresses)
    later = guests.open("later")
    later.inherit(address, 0)
    assert later.seconds_in_debt(0) == 5
