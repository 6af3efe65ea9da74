"""Who is charged for what a client uses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roomd.config import LimitsConfig
from roomd.limits.addresses import Proxies
from roomd.limits.allowances import LIMITS, allowances
from roomd.limits.ledger import UNLIMITED, Use
from roomd.limits.usage import Ledgers, Usage, guest_key, user_key

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


def test_the_table_names_settings() -> None:
    """Every row has its two settings, and no holder has two rows for the same use."""
    config = LimitsConfig()
    for row in LIMITS:
        found = allowances(row.holder, config)[row.use]
        assert found.rate == getattr(config, f"{row.key}_rate")
        assert found.burst == getattr(config, f"{row.key}_burst")
    assert len({(row.holder, row.use) for row in LIMITS}) == len(LIMITS)
    assert allowances("room", config)[Use.REQUESTS] is UNLIMITED


def test_a_stranger_is_charged_to_the_address() -> None:
    """A reconnect, and a second connection, renew nothing."""
    ledgers = Ledgers(LIMITED)
    first = Usage(ledgers, HOME)
    assert [first.request(0) for _ in range(10)] == [0] * 10
    first.close(0)
    second = Usage(ledgers, HOME)
    assert second.is_stranger
    assert second.request(0) == pytest.approx(1)


def test_strangers_share_a_pool() -> None:
    """Many addresses together get no more than the pool has."""
    ledgers = Ledgers(LIMITED)
    addresses = [Proxies([]).client(f"192.0.2.{number}", [], []) for number in range(20)]
    waits = [Usage(ledgers, address).request(0) for address in addresses]
    assert waits == [pytest.approx(max(0, number - 14)) for number in range(20)]


def test_a_member_is_not_charged_for_others_at_its_address() -> None:
    """Whoever has a seat or a token pays for itself only."""
    ledgers = Ledgers(LIMITED)
    guest, user, stranger = Usage(ledgers, HOME), Usage(ledgers, HOME), Usage(ledgers, HOME)
    guest.has_seat(None, "p1", 0)
    user.has_token("alice", 0)
    for _ in range(30):
        stranger.request(0)
        stranger.failed(0)
    assert guest.request(0) == 0
    assert user.request(0) == 0
    assert stranger.request(0) > 10


def test_a_user_has_one_account() -> None:
    """The connections of one user share it; it is found again after a reconnect, and the seat changes nothing."""
    ledgers = Ledgers(LIMITED)
    phone, laptop = Usage(ledgers, HOME), Usage(ledgers, None)
    phone.has_token("alice", 0)
    laptop.has_token("alice", 0)
    phone.has_seat("alice", "p1", 0)
    for _ in range(10):
        assert phone.request(0) == 0
    assert laptop.request(0) == pytest.approx(1)
    phone.close(0)
    laptop.close(0)
    again = Usage(ledgers, HOME)
    again.has_token("alice", 0)
    assert again.request(0) == pytest.approx(2)
    assert len(ledgers.members) == 1


def test_a_join_is_paid_back() -> None:
    """A class behind one address joins, leaves and comes back without a limit."""
    ledgers = Ledgers(LIMITED)
    for number in range(1000):
        usage = Usage(ledgers, HOME)
        assert usage.arrived(0) == 0
        assert usage.request(0) == 0
        usage.has_seat(None, f"p{number}", 0)
        usage.close(0)


def test_arrivals_without_a_join() -> None:
    """Who connects again and again without joining waits for the answer to the handshake."""
    ledgers = Ledgers(LIMITED)
    waits = []
    for _ in range(5):
        usage = Usage(ledgers, HOME)
        waits.append(usage.arrived(0))
        usage.close(0)
    assert waits == [0, 0, pytest.approx(1), pytest.approx(2), pytest.approx(3)]


def test_failures() -> None:
    """Refused joins slow down further requests of strangers at the address."""
    ledgers = Ledgers(LIMITED)
    usage = Usage(ledgers, HOME)
    for _ in range(5):
        usage.failed(0)
    assert usage.request(0) == pytest.approx(2)
    assert usage.request(2) == 0


def test_bytes_are_charged_with_the_next_request() -> None:
    """Frames and bytes are counted, and the bytes are charged once."""
    usage = Usage(Ledgers(LimitsConfig(received_rate=10, received_burst=100)), HOME)
    for size in (6, 150, 0):
        usage.count(size)
    assert (usage.frames, usage.bytes) == (3, 156)
    assert usage.request(0) == pytest.approx(5.6)
    assert usage.request(5.6) == 0


def test_the_debts_of_a_guest_pass_to_the_next_guests() -> None:
    """A guest who joins anew, after a leave or a drop, begins with the debts of before; a user does not."""
    ledgers = Ledgers(LIMITED)
    first = Usage(ledgers, HOME)
    first.has_seat(None, "p1", 0)
    first.payer.charge(Use.STORED, 90, 0)
    first.has_seat(None, "p2", 0)
    assert first.payer.debt(Use.STORED, 0) == 90
    first.close(0)
    second, user, elsewhere = Usage(ledgers, HOME), Usage(ledgers, HOME), Usage(ledgers, None)
    second.has_seat(None, "p3", 10)
    user.has_seat("alice", "p4", 10)
    elsewhere.has_seat(None, "p5", 10)
    assert [usage.payer.debt(Use.STORED, 10) for usage in (second, user, elsewhere)] == [pytest.approx(80), 0, 0]
    assert user_key("p1") != guest_key("p1")


@given(st.lists(st.tuples(st.floats(0, 3), st.sampled_from(["send", "reconnect", "leave", "join"])), max_size=50))
def test_reconnects_and_new_seats_gain_nothing(steps: list[tuple[float, str]]) -> None:
    """A guest who comes back as another participant may have no more stored than one that stays."""
    ledgers = Ledgers(LIMITED)
    usage = Usage(ledgers, HOME)
    now, stored = 0.0, 0.0
    usage.has_seat(None, "p", now)
    for number, (pause, step) in enumerate(steps):
        now += pause
        if step == "send":
            stored += 40 if usage.payer.take(Use.STORED, 40, now) == 0 else 0
        else:
            if step == "reconnect":
                usage.close(now)
                usage = Usage(ledgers, HOME)
            usage.has_seat(None, f"p{number}", now)
        assert stored <= 100 + now + 1e-6
    usage.close(now)
