"""How far the event log was pushed to the endpoints of webhooks, and where that is kept."""

from collections.abc import Mapping
from typing import NamedTuple, Protocol


class Progress(NamedTuple):
    """How far one endpoint is."""

    log_id: str
    """The id of the log that the number belongs to."""
    number: int
    """The number of the last event that was delivered, or that is not for the endpoint."""
    delivered_at: str | None = None
    """When an event was last delivered; None for never."""
    is_gone: bool = False
    """Whether the endpoint has said that it wants no more events."""


class ProgressStore(Protocol):
    """Keeps the progress of the endpoints, by their names. Every method may raise `StorageFailed`."""

    async def read_progress(self) -> dict[str, Progress]:
        """Read the progress of every endpoint that there ever was."""
        ...

    async def write_progress(self, changed: Mapping[str, Progress]) -> None:
        """Store the progress of these endpoints, in one transaction."""
