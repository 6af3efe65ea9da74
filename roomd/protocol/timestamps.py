"""Stamps: times as text on the wire and in the database. They are ISO 8601 in UTC with milliseconds."""

from datetime import UTC, datetime
from functools import lru_cache


def stamp(seconds: float) -> str:
    """Return the stamp of a time in seconds since the epoch, like `2026-03-03T10:36:00.000Z`."""
    whole, milliseconds = divmod(int(seconds * 1000), 1000)
    return f"{_second(whole)}.{milliseconds:03}Z"


@lru_cache(maxsize=4)
def _second(seconds: int) -> str:
    """Format whole seconds. The last four are cached, because a busy server formats the same second many times."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
