"""Everything that the daemon counts, as plain integers. `roomd/metrics/families.py` says what is shown of it.

One object is created at the start, and each part adds to it where things happen. What follows from the state of the
daemon is not counted here: it is looked up when somebody asks. Nothing here is ever set back.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence

from roomd.protocol.requests import REQUESTS, Request

COMMIT_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""The bounds of the times of transactions: an fsync takes from 0.1 ms to seconds."""
LAG_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""The bounds of the times by which the event loop is late. Timers are exact to a millisecond or two."""
FORWARD_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""The bounds of the times of commands for other nodes: a bus alone takes half a millisecond each way."""
BUS_SECONDS = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
"""The bounds of the times of the bus."""
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
"""The bounds of the sizes of batches and transactions."""


class Histogram:
    """How often values fell below bounds. `bounds` are the upper ones, in rising order; one more has no bound."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        """The upper bounds. A value at a bound is below it."""
        self.counts = [0] * (len(bounds) + 1)
        """The number of values between each bound and the one before."""
        self.total = 0.0
        """The sum of all values."""

    def add(self, value: float) -> None:
        """Count a value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


class Counters:
    """What was counted since the start, which was at `started_at`, in seconds since the epoch."""

    __slots__ = (
        "api",
        "batches",
        "bus",
        "changes",
        "closes",
        "commits",
        "fenced",
        "forwarded",
        "joins",
        "lag",
        "limited",
        "lines_dropped",
        "memory_aborts",
        "opened",
        "received",
        "refusals",
        "reload_succeeded",
        "reloaded_at",
        "reloads",
        "requests",
        "resumes",
        "resyncs",
        "sent",
        "started_at",
        "storage_failures",
        "webhooks",
        "webhooks_lost",
    )  # fmt: skip

    def __init__(self, started_at: float = 0.0) -> None:
        self.started_at = started_at
        """When the daemon started, in seconds since the epoch."""
        self.opened = 0
        """The WebSockets that were opened."""
        self.closes: defaultdict[int, int] = defaultdict(int)
        """Those that have ended, by the code of the first close frame; 1006 without one."""
        self.requests: dict[type[Request], int] = dict.fromkeys(REQUESTS, 0)
        """The requests, refused ones included, by type."""
        self.api: defaultdict[tuple[str, int], int] = defaultdict(int)
        """The requests by HTTP, by type and by the status of the response. They are among `requests` too, but for
        those that read the event log, of the type `events`."""
        self.refusals: defaultdict[str, int] = defaultdict(int)
        """The `error` replies, by code."""
        self.joins: defaultdict[str, int] = defaultdict(int)
        """The results of `join-room`: `seated`, `waiting`, or the code of the error."""
        self.resumes: defaultdict[str, int] = defaultdict(int)
        """The same of `resume`."""
        self.received = 0
        """The bytes of the frames of WebSockets that were received and served."""
        self.sent = 0
        """The bytes of frames that were written to WebSockets which have ended."""
        self.batches = Histogram(SIZES)
        """The commands in a batch of a room."""
        self.commits = Histogram(COMMIT_SECONDS)
        """The seconds of a transaction that stored changes, with the wait for the database thread."""
        self.changes = Histogram(SIZES)
        """The changes in such a transaction."""
        self.storage_failures: defaultdict[str, int] = defaultdict(int)
        """The failures of the database, by reason."""
        self.webhooks: defaultdict[tuple[str, str], int] = defaultdict(int)
        """The attempts to deliver an event, by endpoint and result: delivered, refused (another status) or failed."""
        self.webhooks_lost: defaultdict[str, int] = defaultdict(int)
        """The events that were deleted before they were delivered, by endpoint."""
        self.limited: defaultdict[tuple[str, int, str], int] = defaultdict(int)
        """How often a limit applied: by its holder, its use, and what was done: slowed, refused or closed."""
        self.memory_aborts = 0
        """The connections that were aborted because all together held too much memory."""
        self.lag = Histogram(LAG_SECONDS)
        """The seconds by which a timer of the event loop was late."""
        self.lines_dropped: defaultdict[str, int] = defaultdict(int)
        """The log lines that were not written: `limit` or `not_written`."""
        self.forwarded = Histogram(FORWARD_SECONDS)
        """The seconds until a command for a room of another node was answered."""
        self.bus = Histogram(BUS_SECONDS)
        """The seconds until the bus between nodes has answered."""
        self.resyncs = 0
        """How often news of a room of another node were missed."""
        self.fenced = 0
        """The appends that were refused, because another node had the room."""
        self.reloads = {True: 0, False: 0}
        """How often the configuration was read again, by whether it was taken."""
        self.reload_succeeded = True
        """Whether the last time it was, or it was never read again."""
        self.reloaded_at = started_at
        """When it was last taken, in seconds since the epoch. The start counts."""

    def reloaded(self, succeeded: bool, wall: float) -> None:
        """Note that the configuration was read again, and whether it was taken."""
        self.reloads[succeeded] += 1
        self.reload_succeeded = succeeded
        if succeeded:
            self.reloaded_at = wall
