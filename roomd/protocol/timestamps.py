"""Stamps: times as text on the wire and in the database. They are ISO 8601 in UTC with milliseconds."""

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache


def stamp(seconds: float) -> str:
    """Return the stamp of a time in seconds since the epoch, like `2026-03-03T10:36:00.000Z`."""
    whole, milliseconds = divmod(int(seconds * 1000), 1000)
    return f"{_second(whole)}.{milliseconds:03}Z"


def seconds_of(text: str) -> float:
    """Return the time of a stamp, in seconds since the epoch."""
    return datetime.fromisoformat(text).timestamp()


def seconds_between(start: str, end: str) -> float:
    """Return the seconds from one stamp to another, with three decimals."""
    return round((datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds(), 3)


def read_time(text: str) -> str | None:
    """Return the stamp of a time in ISO 8601 with an offset from UTC; None if the text is no such time since 1970."""
    try:
        time = datetime.fromisoformat(text)
        return stamp(time.timestamp()) if time.tzinfo is not None and time.timestamp() >= 0 else None
    except (ValueError, OverflowError):  # no time, or one before the year 1 or after 9999
        return None


_STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", re.ASCII)


def next_stamp(text: str) -> str | None:
    """Return the stamp one millisecond after the given one; None if the text is no stamp or there is no later one."""
    if not _STAMP.fullmatch(text):
        return None
    try:
        time = datetime.fromisoformat(text) + timedelta(milliseconds=1)
    except (ValueError, OverflowError):
        return None
    return f"{time:%Y-%m-%dT%H:%M:%S}.{time.microsecond // 1000:03}Z"


@lru_cache(maxsize=4)
def _second(seconds: int) -> str:
    """Format whole seconds. The last four are cached, because a busy server formats the same second many times."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
