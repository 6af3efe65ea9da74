"""Times as the wire and the database write them: ISO 8601, UTC, milliseconds."""

from datetime import UTC, datetime
from functools import lru_cache


def stamp(seconds: float) -> str:
    """Write seconds since the epoch, e.g. `2026-03-03T10:36:00.000Z`."""
    whole, milliseconds = divmod(int(seconds * 1000), 1000)
    return f"{_second(whole)}.{milliseconds:03}Z"


@lru_cache(maxsize=4)
def _second(seconds: int) -> str:
    """Write whole seconds. The last ones are cached, since a busy server writes one ten thousand times."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
