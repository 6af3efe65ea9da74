"""The plugin of pytest: a fixture with a running daemon.

pytest loads this module at each start, so it imports the daemon only when a test uses it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from roomd.testing import Daemon


@pytest.fixture
def roomd_settings() -> Mapping[str, Mapping[str, Any]]:
    """Return the settings of the fixture `roomd`, by section and key. Define a fixture of this name to set your own."""
    return {}


@pytest.fixture
def roomd(roomd_settings: Mapping[str, Mapping[str, Any]]) -> Iterator[Daemon]:
    """Start a roomd for one test. It runs in a thread, so tests with and without an event loop can use it."""
    from roomd.testing import Daemon

    with Daemon(roomd_settings) as daemon:
        yield daemon
