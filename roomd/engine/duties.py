"""Duties: what is done for the whole database, by one process at a time."""

from collections.abc import Awaitable, Callable
from typing import Protocol

RETENTION = "retention"
"""The duty to delete what is old."""


def _nothing() -> None:
    """Do nothing."""


class Duties(Protocol):
    """Says which duties this process has. Where it is alone, it has all of them."""

    async def perform(
        self, name: str, work: Callable[[], Awaitable[None]], lost: Callable[[], None] = _nothing
    ) -> None:
        """Run `work` as long as this process has the duty, from the beginning each time that it gets it.

        When it loses the duty, `work` is cancelled, and `lost` is called once it has ended. This returns when `work`
        does. After that, and when this is cancelled, the process has the duty until it gives it up. No two calls have
        the same name at the same time.
        """

    async def give_up(self, name: str) -> None:
        """Let another process have a duty, which this one performs no more."""

    def has(self, name: str) -> bool:
        """Return whether this process has a duty now."""
        ...


class AllDuties:
    """The duties of a process that is alone."""

    async def perform(
        self,
        name: str,  # noqa: ARG002 - of the port
        work: Callable[[], Awaitable[None]],
        lost: Callable[[], None] = _nothing,  # noqa: ARG002
    ) -> None:
        """Run `work`."""
        await work()

    async def give_up(self, name: str) -> None:
        """Do nothing: there is no other process."""

    def has(self, name: str) -> bool:  # noqa: ARG002
        """Return True."""
        return True
