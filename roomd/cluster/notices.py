"""What every node is told of the database: that events were logged or rewritten, and that a room was deleted.

A notice is lost as easily as any message. Who needs to know looks by itself, too, only later. It goes with what
each node is sent anyway.
"""

from collections.abc import Callable, Sequence

from roomd.cluster import wire
from roomd.cluster.links import Links
from roomd.engine.ports import Clock, Timer

GATHER = 0.05
"""The seconds between two notices of one node: what happens meanwhile is in the second."""

LOGGED, REWRITTEN, DELETED = "logged", "rewritten", "deleted"
"""What happened; `wire.Noticed` says what each means."""


class Notices:
    """The notices of this node, and those of others."""

    def __init__(self, links: Links, clock: Clock) -> None:
        self._links = links
        self._clock = clock
        self._waiting: set[str] = set()
        self._timer: Timer | None = None
        self._calls: dict[str, Callable[[], None]] = {}

    def on(self, what: str, call: Callable[[], None]) -> None:
        """Call `call` when another node tells of it."""
        self._calls[what] = call

    def tell(self, what: str) -> None:
        """Tell the other nodes, with the next message unless they were told a moment ago."""
        self._waiting.add(what)
        if self._timer is None:
            self._send()

    def received(self, what: Sequence[str]) -> None:
        """Call what is to be called. A newer node may tell of what this one does not know."""
        for one in what:
            if one in self._calls:
                self._calls[one]()

    def close(self) -> None:
        """Send what waits now."""
        if self._timer is not None:
            self._timer.cancel()
        self._post()

    def _send(self) -> None:
        self._timer = self._clock.call_later(GATHER, self._send) if self._waiting else None
        self._post()

    def _post(self) -> None:
        if self._waiting:
            waiting, self._waiting = self._waiting, set()
            self._links.post_all(wire.Noticed(sorted(waiting)))
