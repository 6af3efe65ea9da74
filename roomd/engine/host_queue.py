"""Who of a room's members gets the queue, and when.

The event `waiting-changed` has the whole queue, so a host who gets it later misses nothing. It is sent to each host at
most four times in any second, and not while too many bytes wait for the host: otherwise a guest who joins and leaves
the queue repeatedly could fill the host's outbox, and the host would miss events. With a new snapshot it is sent at
once, because a snapshot alone means that nobody waits.
"""

import math
from collections import deque
from collections.abc import Mapping, Sequence, Set

from roomd.engine.ports import RETRY_AFTER, Member
from roomd.protocol.objects import Waiting

MOST, PERIOD = 4, 1.0
"""How often a host is sent the queue at most, within so many seconds."""


class HostQueue:
    """The hosts among the members of one room. All keys are participant ids, times are of the monotonic clock."""

    __slots__ = ("_former", "_hosts", "_later", "_sent_at")

    def __init__(self) -> None:
        self._hosts: set[str] = set()
        self._later: set[str] = set()  # the hosts who do not know the last queue
        self._former: set[str] = set()  # the members who are hosts no more, and may still show the queue
        self._sent_at: dict[str, deque[float]] = {}  # the last times, at most `MOST` of them

    def add(self, key: str) -> None:
        """Send the queue to this host from now on."""
        self._hosts.add(key)
        self._former.discard(key)

    def demote(self, key: str) -> None:
        """Send it to this member no more, who stays. Nothing happens to somebody who is no host."""
        if key in self._hosts:
            self.remove(key)
            self._former.add(key)

    def remove(self, key: str) -> None:
        """Send it to this member no more, who goes. Removing somebody who is no host is fine."""
        self._hosts.discard(key)
        self._later.discard(key)
        self._former.discard(key)
        self._sent_at.pop(key, None)

    def take_former(self) -> set[str]:
        """Return who is a host no more since the last call: they must not keep the queue."""
        former, self._former = self._former, set()
        return former

    def clear(self) -> None:
        """Send it to nobody."""
        self._hosts.clear()
        self._later.clear()
        self._former.clear()
        self._sent_at.clear()

    def is_host(self, key: str) -> bool:
        """Return whether this member gets the queue."""
        return key in self._hosts

    def send_later(self, key: str) -> None:
        """Send the queue to this host as soon as that is allowed."""
        self._later.add(key)

    @property
    def is_idle(self) -> bool:
        """Whether nobody is to be sent the queue, unless it changes or a host gets a snapshot."""
        return not self._later

    def take_due(
        self,
        waiting: Sequence[Waiting],
        before: Sequence[Waiting],
        got_snapshot: Set[str],
        members: Mapping[str, Member],
        clock: float,
    ) -> set[str]:
        """Return the hosts who are to be sent the queue `waiting` now; the others get it later.

        `before` is the queue before the batch, `got_snapshot` are those who got a snapshot in it.
        """
        entered = self._hosts & got_snapshot if waiting else set()
        due = set(self._hosts) if waiting != before else entered | self._later
        early = {key for key in due - got_snapshot if clock < self._allowed_at(key)}
        self._later = early | {key for key in due if members[key].is_behind}
        to = due - self._later
        for key in to:
            self._sent_at.setdefault(key, deque(maxlen=MOST)).append(clock)
        return to

    def wake_at(self, clock: float) -> float:
        """Return the time at which a host who gets the queue later is looked at again; infinite without one."""
        if not self._later:
            return math.inf
        times = (self._allowed_at(key) for key in self._later)
        return min(at if at > clock else clock + RETRY_AFTER for at in times)

    def _allowed_at(self, key: str) -> float:
        times = self._sent_at.get(key)
        return times[0] + PERIOD if times is not None and len(times) == MOST else -math.inf
