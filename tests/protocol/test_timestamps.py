"""Stamps of times."""

from hypothesis import given
from hypothesis import strategies as st

from roomd.protocol.timestamps import seconds_of, stamp


def test_a_time_as_text() -> None:
    """ISO 8601 in UTC with milliseconds."""
    assert stamp(1_772_534_160.0) == "2026-03-03T10:36:00.000Z"
    assert seconds_of("2026-03-03T10:36:00.000Z") == 1_772_534_160


@given(st.integers(0, 4_102_444_800_000))
def test_a_stamp_is_read_back(milliseconds: int) -> None:
    """To the millisecond."""
    assert abs(seconds_of(stamp(milliseconds / 1000)) - milliseconds / 1000) < 0.0015
