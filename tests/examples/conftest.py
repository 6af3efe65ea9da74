"""One daemon for the programs of all how-to pages."""

from collections.abc import Iterator

import pytest

from roomd.testing import Daemon


@pytest.fixture(scope="session")
def daemon() -> Iterator[Daemon]:
    """A daemon with the defaults, in this process; each test makes rooms of its own."""
    with Daemon() as daemon:
        yield daemon
