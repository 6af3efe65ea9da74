"""A roomd for tests: the real daemon, in the process of the test, with a clock that the test moves."""

from roomd.testing.clock import Clock
from roomd.testing.daemon import Daemon, Settings

__all__ = ["Clock", "Daemon", "Settings"]
