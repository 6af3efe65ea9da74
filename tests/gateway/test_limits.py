"""Token buckets, with the time passed in."""

import pytest

from roomd.gateway.limits import TokenBucket, Usage


def test_a_burst_and_then_the_rate() -> None:
    """`burst` go at once, then `rate` a second, and the answer says how long to wait."""
    bucket = TokenBucket(rate=2, burst=3, now=100)
    assert [bucket.take(100) for _ in range(3)] == [0, 0, 0]
    assert bucket.take(100) == pytest.approx(0.5)
    assert bucket.take(100.25) == pytest.approx(0.25)
    assert bucket.take(100.5) == 0
    assert bucket.take(100.5) == pytest.approx(0.5)


def test_a_bucket_fills_no_further_than_the_burst() -> None:
    """A quiet hour earns no more than one burst."""
    bucket = TokenBucket(rate=2, burst=3, now=0)
    assert [bucket.take(3600) > 0 for _ in range(4)] == [False, False, False, True]


def test_many_tokens_at_once() -> None:
    """Section 8: a long message takes as many tokens as it has bytes, all of them or none."""
    bucket = TokenBucket(rate=10, burst=100, now=0)
    assert bucket.take(0, 60) == 0
    assert bucket.take(0, 60) == pytest.approx(2), "the 40 that are there stay there"
    assert bucket.take(0, 40) == 0
    assert bucket.take(2, 20) == 0
    assert bucket.take(2, 0) == 0


def test_more_than_the_burst_takes_a_full_bucket() -> None:
    """What is larger than the burst is let through by a full bucket, and paid off before anything else is."""
    bucket = TokenBucket(rate=10, burst=100, now=0)
    assert bucket.take(0, 250) == 0
    assert bucket.take(0) == pytest.approx(15.1)
    assert bucket.take(15) == pytest.approx(0.1)
    assert bucket.take(15.2) == 0
    assert bucket.take(15.2, 1000) == pytest.approx(9.9)
    assert bucket.take(25.2, 1000) == 0


def test_patience_ends_with_a_client_that_keeps_sending() -> None:
    """Section 9: 4429 for who kept sending past the limit, not for who was refused once and waited."""
    limit = Usage(rate=10, burst=20, now=0)
    assert sum(limit.take(0) == 0 for _ in range(30)) == 20
    assert [limit.count_refusal(0) for _ in range(3)] == [False, False, True]
    polite = Usage(rate=10, burst=20, now=0)
    for second in range(100):
        assert sum(polite.take(second) == 0 for _ in range(11)) >= 10
        assert polite.count_refusal(second) is False


def test_frames_and_bytes_are_counted() -> None:
    """What a client sent is counted in one place, apart from what it may send."""
    usage = Usage(rate=10, burst=20, now=0)
    for size in (6, 100, 0):
        usage.count(size)
    assert (usage.frames, usage.bytes) == (3, 106)
    assert usage.take(0) == 0


def test_a_malformed_frame_counts_by_its_length() -> None:
    """Finding the id of a long malformed frame takes long: it counts as one request more for each 256 characters."""
    usage = Usage(rate=10, burst=100, now=0)
    usage.count_malformed(0, 255)
    assert usage.take(0, 100) == 0, "a short one costs nothing more"
    usage.count_malformed(10, 256 * 80)
    assert usage.take(10, 20) == 0
    assert usage.take(10) == pytest.approx(0.1)
    assert not usage.count_refusal(10), "2 of 10 are left"
    usage.count_malformed(10, 256 * 80)
    assert usage.take(10) == pytest.approx(8.1), "it is paid off before anything else is served"
    assert usage.count_refusal(10), "a client that goes on with it is disconnected"
