"""An endpoint: where events are pushed to, and how."""

from collections.abc import Collection

import msgspec


class Endpoint(msgspec.Struct, frozen=True):
    """What the configuration says of one endpoint."""

    name: str
    """Its name, by which its progress is kept."""
    url: str
    """Where events are sent. It may have a secret in it, so it is never logged."""
    secrets: tuple[bytes, ...]
    """What is signed with: each one gives a signature."""
    types: Collection[str]
    """The types of the events that it gets; all when it is empty."""
    is_private: bool
    """Whether it may be at an address that is not public."""
    timeout: float
    """The seconds that an attempt may take."""
    retry_first: float
    """The seconds before the second attempt. They double with each further one."""
    retry_longest: float
    """The most seconds between two attempts."""


def load() -> None:
    """Import the HTTP library, which takes a tenth of a second. Called in a thread, before endpoints are used."""
    import roomd.eventlog.webhooks.sending  # noqa: F401 - that is all
