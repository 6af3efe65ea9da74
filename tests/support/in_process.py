"""Daemons in the process of the tests, by `roomd.testing`: for tests that look neither at a process nor at restarts."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from roomd import testing
from tests.support.daemon import SEAT_HOLD, SECRET, Reachable
from tests.support.postgresql import is_store, shared

UNHURRIED: testing.Settings = {
    "auth": {"secret": SECRET},
    "rooms": {"seat_hold": SEAT_HOLD},
    "server": {"port": 0, "ping_interval": 600},
    "limits": {"join_timeout": 3600},
}
"""Time limits that a test does not reach by being slow, and the secret that signs the tokens of tests."""


class InProcess(Reachable):
    """A daemon in a thread of this process, for the clients that tests have of a daemon in one of its own."""

    def __init__(self, daemon: testing.Daemon) -> None:
        self.daemon = daemon
        self.url = daemon.url

    def advance(self, seconds: float) -> None:
        """Move its clock; what came due meanwhile has been called when this returns."""
        self.daemon.clock.advance(seconds)


MakeInProcess = Callable[..., InProcess]
"""Starts a daemon with settings by section: `make_in_process(auth={"leeway": 0})`."""


@pytest.fixture
def make_in_process() -> Iterator[MakeInProcess]:
    """Start daemons in this process, and stop them in the end."""
    with contextlib.ExitStack() as stack:

        def make(**sections: Mapping[str, Any]) -> InProcess:
            if is_store():
                sections = {**sections, "database": {"url": shared().create(), **sections.get("database", {})}}
            names = UNHURRIED.keys() | sections.keys()
            settings = {name: {**UNHURRIED.get(name, {}), **sections.get(name, {})} for name in names}
            return InProcess(stack.enter_context(testing.Daemon(settings)))

        yield make
