"""Values and events as the daemon sends them, for tests to compare with."""

from datetime import UTC, datetime
from typing import Any


def now() -> str:
    """Return the present time as the wire writes it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def changed(seq: int, **lists: list[dict[str, Any]]) -> dict[str, Any]:
    """Build a `participants-changed` event; lists that are not given are empty."""
    return {"type": "participants-changed", "seq": seq, "joined": [], "updated": [], "left": [], **lists}
