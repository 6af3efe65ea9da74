"""What is counted when a limit applies: whose limit, of what, and what was done."""

import ipaddress

from roomd.config import LimitsConfig
from roomd.counters import SIZES, Counters, Histogram
from roomd.limits.addresses import Address
from roomd.limits.ledger import Use
from roomd.limits.ledgers import Ledgers
from roomd.limits.usage import Charge, Usage

HOME = Address(ipaddress.ip_network("192.0.2.1"), "192.0.2.1")


def limited(**limits: float) -> tuple[Counters, Ledgers]:
    """Make accounts with some limits, and what is counted for them."""
    counters = Counters()
    return counters, Ledgers(LimitsConfig(**limits), counters)  # type: ignore[arg-type]  # some of them are integers


def test_requests_that_are_slowed_refused_and_closed() -> None:
    """By the limit that makes the client wait: of requests, of bytes, or of failures."""
    counters, ledgers = limited(request_rate=10, request_burst=10)
    usage = Usage(ledgers, HOME)
    usage.has_token("alice", 0)
    verdicts = [usage.request(0) for _ in range(20)]
    assert counters.limited == {
        ("member", Use.REQUESTS, "slowed"): sum(bool(one.hold) for one in verdicts),
        ("member", Use.REQUESTS, "refused"): sum(bool(one.retry_after) and not one.must_close for one in verdicts),
        ("member", Use.REQUESTS, "closed"): sum(one.must_close for one in verdicts),
    }
    assert all(counters.limited.values())

    counters, ledgers = limited(received_rate=10, received_burst=100)
    stranger = Usage(ledgers, HOME)
    stranger.count(105)
    assert stranger.request(0).hold
    assert counters.limited == {("address", Use.RECEIVED, "slowed"): 1}
    assert counters.received == 105
    stranger.count(7)
    stranger.close(0)
    assert counters.received == 112


def test_the_pool_of_strangers() -> None:
    """A stranger whose own account is fine waits for the pool."""
    counters, ledgers = limited(stranger_request_rate=10, stranger_request_burst=1)
    assert not Usage(ledgers, HOME).request(0).hold
    assert Usage(ledgers, None).request(0).hold
    assert counters.limited == {("strangers", Use.REQUESTS, "slowed"): 1}


def test_a_way_back_is_slowed_and_never_refused() -> None:
    """It is counted as what happens to it."""
    counters, ledgers = limited(request_rate=0.001, request_burst=1)
    usage = Usage(ledgers, HOME)
    usage.request(0)
    usage.request(0, is_reserved=True)
    assert counters.limited == {("address", Use.REQUESTS, "slowed"): 1}


def refuse(usage: Usage, charge: Charge) -> None:
    """Charge something that cannot be taken."""
    assert usage.take(charge, 0)
    usage.note_refused(charge, 0)


def test_charges_that_are_refused() -> None:
    """By whose account refuses them: the client's, its address, or its room."""
    counters, ledgers = limited(told_burst=100, room_told_burst=50, stored_burst=100, address_stored_burst=60)
    guest, user = Usage(ledgers, HOME), Usage(ledgers, None)
    guest.has_seat("abc", None, "p1", 0)
    user.has_token("alice", 0)
    assert not user.take(Charge(100, 0, 0), 0)
    refuse(user, Charge(100, 0, 0))
    assert not guest.take(Charge(0, 0, 60), 0)
    refuse(guest, Charge(0, 0, 30))
    assert not guest.take(Charge(0, 50, 0), 0)
    refuse(guest, Charge(0, 50, 0))
    assert counters.limited == {
        ("member", Use.TOLD, "refused"): 1,
        ("address", Use.STORED, "refused"): 1,
        ("room", Use.TOLD, "refused"): 1,
    }


def test_what_concerns_nobody_else() -> None:
    """A read that is refused, and a return that is slowed, are counted for the client; what may be used is not."""
    counters, ledgers = limited(read_burst=10, told_burst=100)
    usage = Usage(ledgers, HOME)
    usage.has_token("alice", 0)
    assert not usage.take_own(Use.READ, 10, 0)
    assert not usage.return_to(100, 0)
    assert not counters.limited
    assert usage.take_own(Use.READ, 1, 0)
    assert usage.return_to(100, 0)
    assert counters.limited == {("member", Use.READ, "refused"): 1, ("member", Use.TOLD, "slowed"): 1}


def test_histograms() -> None:
    """A value at a bound is below it, and one above all of them has no bound."""
    sizes = Histogram(SIZES)
    for size in (1, 2, 3, 4, 5000):
        sizes.add(size)
    assert sizes.counts == [1, 1, 2, *[0] * 8, 1]
    assert sizes.total == 5010


def test_reloads() -> None:
    """A reload that failed leaves the time of the last one that did not."""
    counters = Counters()
    counters.reloaded(True, 7.0)
    counters.reloaded(False, 9.0)
    assert (counters.reloads, counters.reload_succeeded, counters.reloaded_at) == ({True: 1, False: 1}, False, 7.0)
