"""The guests of `roomd bench`: how they count what a daemon answers."""

import pytest

from roomd.load.guest import LEAVE, Counts, refusal_code
from roomd.load.times import Times
from roomd.protocol import codec, requests


def test_times_are_known_to_ten_microseconds() -> None:
    times = Times()
    assert times.quantile(0.5) == 0
    for milliseconds in range(100):
        times.add(milliseconds / 1000)
    assert times.total == 100
    assert times.quantile(0.5) == pytest.approx(0.049, abs=2e-5)
    assert times.quantile(0.99) == pytest.approx(0.098, abs=2e-5)


def test_a_tally_begins_new_times_and_keeps_its_errors() -> None:
    counts = Counts()
    counts.joins.add(0.1)
    counts.errors["room_full"] += 1
    joins, leaves = counts.take()
    assert (joins.total, leaves.total) == (1, 0)
    assert (counts.joins.total, counts.errors) == (0, {"room_full": 1})


def test_a_leave_is_a_request_of_the_protocol() -> None:
    assert codec.decode(LEAVE.decode()) == requests.LeaveRoom(id=2)


@pytest.mark.parametrize(
    ("refusal", "code"),
    [
        (b'{"type":"error","code":"room_full"}', "room_full"),
        (b'{"type":"error"}', '{"type":"error"}'),
        (b'{"type":"error", no JSON', '{"type":"error", no JSON'),
    ],
)
def test_an_error_is_counted_by_its_code(refusal: bytes, code: str) -> None:
    assert refusal_code(refusal) == code
