"""Who is charged for what a client uses."""

import pytest

from roomd.config import LimitsConfig
from roomd.limits.addresses import Proxies
from roomd.limits.allowances import LIMITS, allowances
from roomd.limits.ledger import UNLIMITED, Use
from roomd.limits.ledgers import SLOWED_MOST, Ledgers, arrive, guest_key, user_key
from roomd.limits.usage import SERVED, Charge, Usage
from roomd.protocol.errors import RATE_LIMITED, ROOM_FULL, ROOM_NOT_FOUND
from tests.support.debts import CODE, HOME, LIMITED, debt


def test_the_table_names_settings() -> None:
    """Every row has its two settings, and no holder has two rows for the same use."""
    config = LimitsConfig()
    for row in LIMITS:
        found = allowances(row.holder, config).of[row.use]
        assert found.rate == getattr(config, f"{row.key}_rate")
        assert found.burst == getattr(config, f"{row.key}_burst")
    assert len({(row.holder, row.use) for row in LIMITS}) == len(LIMITS)
    assert allowances("room", config).of[Use.REQUESTS] is UNLIMITED


def test_a_stranger_is_charged_to_the_address() -> None:
    """A reconnect, and a second connection, renew nothing."""
    ledgers = Ledgers(LIMITED)
    first = Usage(ledgers, HOME)
    assert [first.request(0) for _ in range(10)] == [SERVED] * 10
    first.close(0)
    second = Usage(ledgers, HOME)
    assert second.request(0).hold == pytest.approx(1)


def test_strangers_share_a_pool() -> None:
    """Many addresses together are slowed when they are over what the pool has; whoever comes waits for a second."""
    ledgers = Ledgers(LIMITED)
    addresses = [Proxies([]).client(f"192.0.2.{number}", [], []) for number in range(200)]
    usages = [Usage(ledgers, address) for address in addresses]
    for usage in usages:
        usage.count(1 << 24)
    verdicts = [usage.request(0) for usage in usages]
    assert [one.retry_after for one in verdicts] == [0] * 200
    assert [one.hold for one in verdicts[20:]] == [1] * 180
    assert Usage(ledgers, HOME).request(1.01).hold < 1
    assert Usage(ledgers, HOME).request(3.1) == SERVED


def test_a_member_is_not_charged_for_others_at_its_address() -> None:
    """Whoever has a seat or a token pays for itself only."""
    ledgers = Ledgers(LIMITED)
    guest, user, stranger = Usage(ledgers, HOME), Usage(ledgers, HOME), Usage(ledgers, HOME)
    guest.has_seat(CODE, None, "p1", 0)
    user.has_token("alice", 0)
    for _ in range(30):
        stranger.request(0)
        stranger.failed(ROOM_NOT_FOUND, 0)
    assert guest.request(0) == user.request(0) == SERVED
    assert stranger.request(0).retry_after > 10


def test_a_user_has_one_account() -> None:
    """The connections of one user share it; it is found again after a reconnect, and the seat changes nothing."""
    ledgers = Ledgers(LIMITED)
    phone, laptop = Usage(ledgers, HOME), Usage(ledgers, None)
    phone.has_token("alice", 0)
    laptop.has_token("alice", 0)
    phone.has_seat(CODE, "alice", "p1", 0)
    for _ in range(10):
        assert phone.request(0) == SERVED
    assert laptop.request(0).hold == pytest.approx(1)
    phone.close(0)
    laptop.close(0)
    again = Usage(ledgers, HOME)
    again.has_token("alice", 0)
    assert again.request(0).retry_after == pytest.approx(2)
    assert len(ledgers.members) == 1


def test_a_join_is_paid_back() -> None:
    """A class behind one address joins, leaves and comes back without a limit."""
    ledgers = Ledgers(LIMITED)
    for number in range(1000):
        assert arrive(ledgers, HOME, 0) == 0
        usage = Usage(ledgers, HOME)
        assert usage.request(0) == SERVED
        usage.has_seat(CODE, None, f"p{number}", 0)
        usage.close(0)


def test_a_seat_after_the_end() -> None:
    """A join that is stored after its connection has ended is paid back, and opens no account that nobody closes."""
    ledgers = Ledgers(LIMITED)
    for number in range(1000):
        assert arrive(ledgers, HOME, 0) == 0
        usage = Usage(ledgers, HOME)
        assert usage.request(0) == SERVED
        usage.close(0)
        usage.has_seat(CODE, None, f"p{number}", 0)
        usage.has_seat("xyz-xyz-xyz", None, f"q{number}", 0)
        usage.has_token("alice", 0)
        usage.close(0)
    assert [len(ledgers.members), len(ledgers.rooms)] == [0, 0]


def test_arrivals_without_a_join() -> None:
    """Who connects again and again without joining waits for the answer to the handshake."""
    ledgers = Ledgers(LIMITED)
    waits = [arrive(ledgers, HOME, 0) for _ in range(5)]
    assert waits == [0, 0, pytest.approx(1), pytest.approx(2), pytest.approx(3)]
    Usage(ledgers, HOME)
    assert arrive(ledgers, HOME, 0) == pytest.approx(4), "the account is the same while somebody is connected"


def test_a_connection_that_is_closed_for_its_rate() -> None:
    """It counts as many arrivals, also when it is not the last of its address; one of a member counts as none."""
    ledgers = Ledgers(LimitsConfig(arrival_rate=100, arrival_burst=101))
    usage, member = Usage(ledgers, HOME), Usage(ledgers, HOME)
    member.has_token("alice", 0)
    member.closed_for_rate(0)
    assert arrive(ledgers, HOME, 0) == 0
    usage.closed_for_rate(0)
    usage.closed_for_rate(0)
    assert arrive(ledgers, HOME, 0) == pytest.approx(0.01)


def test_the_bytes_of_an_arrival() -> None:
    """They are charged as received bytes; those that come later make no further arrival."""
    ledgers = Ledgers(LimitsConfig(received_rate=10, received_burst=100, arrival_rate=1, arrival_burst=1))
    assert arrive(ledgers, HOME, 0, size=100) == 0
    assert arrive(ledgers, HOME, 0, size=50, arrivals=0) == pytest.approx(5)
    assert arrive(ledgers, HOME, 50, arrivals=0) == 0


def test_failures() -> None:
    """Refused joins slow down further requests of strangers at the address."""
    ledgers = Ledgers(LIMITED)
    usage = Usage(ledgers, HOME)
    for _ in range(5):
        usage.failed(ROOM_FULL, 0)
    assert usage.request(0).retry_after == pytest.approx(2)
    assert usage.request(2) == SERVED


def test_a_refused_join() -> None:
    """It is charged in place of its request; one of a user leaves the requests of the address as they are."""
    usage, user = (Usage(Ledgers(LIMITED), HOME) for _ in range(2))
    for _ in range(10):
        usage.request(0)
        user.request(0)
    user.has_token("alice", 0)
    for one in (usage, user):
        one.failed(ROOM_FULL, 0)
        one.failed(ROOM_FULL, 0)
    assert usage.request(0) == SERVED
    assert usage.request(0).hold == pytest.approx(1)


def test_a_guess_of_a_guest() -> None:
    """It is charged to the address too, so that a seat is no way to guess more."""
    ledgers = Ledgers(LIMITED)
    guest, user = Usage(ledgers, HOME), Usage(ledgers, HOME)
    guest.has_seat(CODE, None, "p1", 0)
    user.has_token("alice", 0)
    user.failed(ROOM_NOT_FOUND, 0)
    guest.failed(ROOM_FULL, 0)
    assert Usage(ledgers, HOME).request(0) == SERVED
    guest.failed(ROOM_NOT_FOUND, 0)
    assert Usage(ledgers, HOME).request(0).retry_after == pytest.approx(7)


def test_a_guess_counts_more() -> None:
    """A code of no room is charged like ten joins that were refused."""
    usage = Usage(Ledgers(LIMITED), HOME)
    usage.failed(ROOM_NOT_FOUND, 0)
    assert usage.request(0).retry_after == pytest.approx(7)


def test_bytes_are_charged_with_the_next_request() -> None:
    """The bytes of all frames are charged once."""
    usage = Usage(Ledgers(LimitsConfig(received_rate=10, received_burst=100)), HOME)
    for size in (6, 150, 0):
        usage.count(size)
    assert usage.request(0).retry_after == pytest.approx(5.6)
    assert usage.request(5.601) == SERVED


def test_the_debts_of_a_guest_pass_to_the_next_guests() -> None:
    """A guest who joins anew, after a leave or a drop, begins with the debts of before; a user does not."""
    ledgers = Ledgers(LIMITED)
    first = Usage(ledgers, HOME)
    first.has_seat(CODE, None, "p1", 0)
    first.payer.charge(Use.STORED, 90, 0)
    first.has_seat(CODE, None, "p2", 0)
    assert debt(first.payer, Use.STORED, 0) == 90
    first.has_seat(CODE, None, "p2", 0)
    assert debt(first.payer, Use.STORED, 0) == 90
    first.close(0)
    second, user, elsewhere = Usage(ledgers, HOME), Usage(ledgers, HOME), Usage(ledgers, None)
    second.has_seat(CODE, None, "p3", 10)
    user.has_seat(CODE, "alice", "p4", 10)
    elsewhere.has_seat(CODE, None, "p5", 10)
    assert [debt(usage.payer, Use.STORED, 10) for usage in (second, user, elsewhere)] == [pytest.approx(80), 0, 0]
    assert user_key("p1") != guest_key("p1")


def test_a_seat_that_was_had_before() -> None:
    """A guest who comes back has the debts of the seat, and not those of others at the address."""
    ledgers = Ledgers(LIMITED)
    attacker, back = Usage(ledgers, HOME), Usage(ledgers, HOME)
    attacker.has_seat(CODE, None, "p1", 0)
    attacker.payer.charge(Use.STORED, 90, 0)
    attacker.close(0)
    back.has_seat(CODE, None, "p2", 0, is_return=True)
    assert debt(back.payer, Use.STORED, 0) == 0
    robbed = Usage(ledgers, HOME)
    robbed.has_seat(CODE, None, "p1", 0, is_return=True)
    assert debt(robbed.payer, Use.STORED, 0) == pytest.approx(90)


def test_over_the_share() -> None:
    """A client is slowed, then refused, then closed; a request that is refused is not charged."""
    usage = Usage(Ledgers(LimitsConfig(request_rate=10, request_burst=10)), HOME)
    verdicts = [usage.request(0) for _ in range(18)]
    assert verdicts[:10] == [SERVED] * 10
    assert [verdict.hold for verdict in verdicts[10:15]] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])
    assert [verdict.retry_after for verdict in verdicts[15:]] == pytest.approx([1, 1, 1])
    assert [verdict.must_close for verdict in verdicts[15:]] == [False, True, True]
    assert usage.request(2) == SERVED


def test_a_long_wait_is_refused_at_once() -> None:
    """Nobody is left unread for longer than a second."""
    usage = Usage(Ledgers(LimitsConfig(request_rate=0.001, request_burst=2)), HOME)
    assert [usage.request(0).retry_after for _ in range(3)] == [0, 0, pytest.approx(1000)]
    assert SLOWED_MOST == 1


def test_malformed_frames() -> None:
    """Finding the id of a long malformed frame is work, which is charged; a short one costs nothing more."""
    usage = Usage(Ledgers(LimitsConfig(request_rate=10, request_burst=100)), HOME)
    usage.malformed(255, 0)
    assert debt(usage.payer, Use.REQUESTS, 0) == 0
    usage.malformed(256 * 80, 0)
    assert debt(usage.payer, Use.REQUESTS, 0, 10) == 80
    usage.malformed(256 * 80, 0)
    verdict = usage.request(0)
    assert (verdict.hold, verdict.must_close) == (0, True)
    assert verdict.retry_after == pytest.approx(6.1)


def test_what_others_are_sent() -> None:
    """An event is charged to its sender for each recipient, and once to the room, which all its members share."""
    ledgers = Ledgers(LimitsConfig(told_rate=10, told_burst=1000, room_told_rate=10, room_told_burst=150))
    one, other = Usage(ledgers, HOME), Usage(ledgers, HOME)
    one.has_seat(CODE, None, "p1", 0)
    other.has_seat(CODE, "bob", "p2", 0)
    assert one.take(Charge(told=900, told_room=100), 0) == 0
    assert one.take(Charge(told=180, told_room=20), 0) == pytest.approx(8), "its own share"
    assert other.take(Charge(told=60, told_room=60), 0) == pytest.approx(1), "that of the room"
    assert other.take(Charge(told=1000), 0) == 0
    assert other.take(Charge(told=1), 0) == pytest.approx(0.1)
    other.has_seat("xyz-xyz-xyz", "bob", "p3", 1)
    assert other.take(Charge(told=10, told_room=10), 1) == 0, "another room"


def test_what_is_stored() -> None:
    """Stored bytes are charged to the member and the room; those of guests also to their address."""
    ledgers = Ledgers(LimitsConfig(stored_burst=100, room_stored_burst=250, address_stored_burst=120))
    guests = [Usage(ledgers, HOME) for _ in range(2)]
    for number, guest in enumerate(guests):
        guest.has_seat(CODE, None, f"p{number}", 0)
    assert guests[0].take(Charge(stored=100), 0) == 0
    assert guests[0].take(Charge(stored=1), 0) > 0, "the guest's share"
    assert guests[1].take(Charge(stored=30), 0) > 0, "that of the address"
    users = [Usage(ledgers, HOME) for _ in range(2)]
    for number, user in enumerate(users):
        user.has_seat(CODE, f"user{number}", f"p{number}", 0)
    assert users[0].take(Charge(stored=100), 0) == 0
    assert users[1].take(Charge(stored=60), 0) > 0, "that of the room"
    assert users[1].take(Charge(stored=50), 0) == 0
    ahead = Usage(ledgers, HOME)
    ahead.has_token("carol", 0)
    assert ahead.take(Charge(stored=100), 0) == 0, "a user without a seat, who creates rooms"
    assert ahead.take(Charge(stored=1), 0) > 0


def test_a_host_does_not_wait_for_the_room() -> None:
    """What a host sends is charged to the room too, and waits only for what the host has used."""
    ledgers = Ledgers(LimitsConfig(stored_burst=100, room_stored_rate=1, room_stored_burst=50, stored_rate=1))
    guest, host = Usage(ledgers, HOME), Usage(ledgers, HOME)
    guest.has_seat(CODE, None, "p1", 0)
    host.has_seat(CODE, "alice", "p2", 0)
    assert guest.take(Charge(stored=50), 0) == 0
    assert host.take(Charge(stored=10), 0) == pytest.approx(10)
    assert host.take(Charge(stored=10), 0, waits_for_room=False) == 0
    assert host.take(Charge(stored=95), 0, waits_for_room=False) == pytest.approx(5)
    assert guest.take(Charge(stored=1), 0) == pytest.approx(11)


def test_what_is_given_back() -> None:
    """All that a charge was made to; nothing after the end."""
    ledgers = Ledgers(LimitsConfig(stored_burst=100, address_stored_burst=100, room_stored_burst=100))
    guest = Usage(ledgers, HOME)
    guest.has_seat(CODE, None, "p1", 0)
    for _ in range(3):
        assert guest.take(Charge(1, 1, 100), 0) == 0
        guest.give_back(Charge(1, 1, 100), 0)
    guest.close(0)
    guest.give_back(Charge(1, 1, 100), 0)
    user = Usage(ledgers, HOME)
    user.has_token("alice", 0)
    for _ in range(3):
        assert user.take(Charge(stored=100), 0) == 0, "without a seat"
        user.give_back(Charge(stored=100), 0)
    user.close(0)
    assert [len(ledgers.members), len(ledgers.rooms)] == [0, 0]


def test_other_errors_are_no_failures() -> None:
    """Only what strangers guess or try in vain is charged."""
    usage = Usage(Ledgers(LIMITED), HOME)
    for _ in range(10):
        usage.failed(RATE_LIMITED, 0)
    assert usage.request(0) == SERVED


def test_what_was_never_finished_is_charged() -> None:
    """The bytes of a frame that breaks off are charged when the connection ends."""
    ledgers = Ledgers(LimitsConfig(received_rate=10, received_burst=100))
    first = Usage(ledgers, HOME)
    first.count(150)
    first.close(0)
    assert Usage(ledgers, HOME).request(0).retry_after == pytest.approx(5)
    assert debt(ledgers.strangers, Use.RECEIVED, 0, 4 << 20) == pytest.approx(150)


def test_a_way_back_waits_for_nobody() -> None:
    """A reserved request is served though others have used up the pool."""
    ledgers = Ledgers(LIMITED)
    for number in range(30):
        Usage(ledgers, Proxies([]).client(f"192.0.2.{number}", [], [])).request(0)
    late = Proxies([]).client("192.0.2.99", [], [])
    assert Usage(ledgers, late).request(0).hold > 0
    assert Usage(ledgers, late).request(0, is_reserved=True) == SERVED
