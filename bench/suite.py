"""Runs the measurements: who is measured at what, in which order, and what came of it."""

import gc
import secrets
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import uvloop

from bench.ceilings.rows import rows_per_second
from bench.peers.servers import PEERS, missing
from bench.processes import Usage
from bench.rig import Figure, Incomplete, Rig, running
from bench.work import cold, crowd, cycle, growth, latency, memory, relay

CEILINGS = ("echo", "frames", "sqlite")
SERVERS = ("roomd", *CEILINGS, *PEERS)
ROOMS = ("roomd", *PEERS)
"""Who has rooms."""
WORK = {
    "a": ("roomd", "echo", "sqlite", *PEERS),
    "b": ROOMS,
    "c": ROOMS,
    "d": ("roomd", "echo", *PEERS),
    "e": ("roomd", "frames", *PEERS),
    "f": ROOMS,
    "g": ROOMS,
    "h": ROOMS,
    "i": ("roomd",),
}
"""Who is measured at what; the letters are those of bench/README.md."""
ONCE = ("h", "i")
"""Work that takes long, and gives about the same every time."""

LARGEST_ROOM = {"ROOMD_LIMITS_MAX_PARTICIPANTS": str(crowd.LARGEST)}
HALF_A_PEAK = 0.5
"""Seconds to find the peak in, where (a) was not measured."""


class Sample(NamedTuple):
    """A figure, and where it came from."""

    round: int
    row: str
    server: str
    value: float
    usage: Usage | None


class Failure(NamedTuple):
    """A measurement that came to nothing."""

    round: int
    what: str
    server: str
    reason: str


class Plan(NamedTuple):
    """What to measure."""

    work: tuple[str, ...]
    servers: tuple[str, ...]
    seconds: float
    """How long a rate is measured."""
    is_quick: bool
    past: growth.Past
    """The largest that a database has."""
    has_memory: bool = True
    """There is enough for the largest crowd."""

    @property
    def crowds(self) -> tuple[int, ...]:
        """The sizes of crowds; only roomd meets the largest."""
        meets_largest = self.has("c", "roomd") and self.has_memory and not self.is_quick
        return (crowd.SMALL, crowd.LARGE, crowd.LARGEST) if meets_largest else (crowd.SMALL, crowd.LARGE)

    def has(self, letter: str, server: str) -> bool:
        """Say whether a server is measured at something."""
        return letter in self.work and server in self.servers and server in WORK[letter]


Measure = Callable[[Rig], Coroutine[Any, Any, list[Figure]]]


class Turn(NamedTuple):
    """One measurement with one server."""

    what: str
    server: str
    measure: Measure


class Suite:
    """Runs the parts of a plan and keeps what came of them."""

    def __init__(self, plan: Plan, cores: set[int], folder: Path) -> None:
        self.plan = plan
        self.samples: list[Sample] = []
        self.failures: list[Failure] = []
        self._cores = cores
        self._folder = folder
        self._secret = secrets.token_hex(32)
        self._round = 0
        self._too_slow: set[tuple[str, str]] = set()

    def run_round(self) -> None:
        """Do all that is repeated once: each work with one server after the other."""
        self._round += 1
        turns = list(self._turns())
        with self._temporary() as name, ExitStack() as stack:
            folder = Path(name)
            rigs = {server: self._start(stack, server, folder) for server in {turn.server: None for turn in turns}}
            for turn in turns:
                if (rig := rigs[turn.server]) is not None and (turn.what, turn.server) not in self._too_slow:
                    rig.server.resume()
                    self._measure(turn, rig)
                    rig.server.pause()
            if self.plan.has("a", "sqlite"):
                self._keep("sqlite", [Figure("a", rows_per_second(folder, self.plan.seconds))])

    def run_once(self) -> None:
        """Do what is not repeated, each with a server of its own."""
        for server in ROOMS:
            if self.plan.has("h", server):
                self._measure_memory(server)
        if self.plan.has("i", "roomd"):
            pasts = (growth.EMPTY,) if self.plan.is_quick else (*growth.PASTS, self.plan.past)
            for past in pasts if self.plan.is_quick else pasts * 2:  # in turn, not one after the other
                self._measure_growth(past)

    def _turns(self) -> Iterator[Turn]:
        seconds = self.plan.seconds
        for server in self._of("a"):
            if server != "sqlite":
                yield Turn("a", server, lambda rig: cycle.small_rooms(rig, seconds))
        for server in self._of("b"):
            yield Turn("b", server, lambda rig: cycle.one_room(rig, seconds))
        for size in self.plan.crowds:
            for server in SERVERS:
                storms, talks = self.plan.has("c", server), self.plan.has("e", server) and size < crowd.LARGEST
                if talks or (storms and (size < crowd.LARGEST or server == "roomd")):
                    yield Turn(f"c{size}", server, _crowd(size, seconds if talks else 0))
        for server in self._of("d"):
            yield Turn("d", server, lambda rig: cold.measure(rig, seconds))
        for server in self._of("f"):
            yield Turn("f", server, lambda rig: relay.measure(rig, seconds))
        for server in self._of("g"):
            yield Turn("g", server, self._latency)

    def _of(self, letter: str) -> list[str]:
        return [server for server in SERVERS if self.plan.has(letter, server)]

    async def _latency(self, rig: Rig) -> list[Figure]:
        peaks = [sample.value for sample in self.samples if (sample.row, sample.server) == ("a", rig.name)]
        if not peaks:
            [figure] = await cycle.small_rooms(rig, HALF_A_PEAK)
            peaks = [figure.value]
        return await latency.measure(rig, self.plan.seconds, peaks[-1])

    def _measure_memory(self, server: str) -> None:
        sizes, settings = [1000], {}
        if not self.plan.is_quick:
            sizes.append(10_000)
            if server == "roomd" and (most := memory.most_clients()) > sizes[-1]:
                sizes.append(most)
                settings = {"ROOMD_LIMITS_CONNECTIONS": str(most)}
        with self._temporary() as folder, ExitStack() as stack:
            if rig := self._start(stack, server, Path(folder), settings):
                rig.server.resume()
                self._measure(Turn("h", server, lambda rig: memory.measure(rig, sizes)), rig)

    def _measure_growth(self, past: growth.Past) -> None:
        database = growth.prepare(past, self._folder) if past.rooms else None
        measures: list[Measure] = [lambda rig: growth.start(rig, past)] * 2
        measures.append(lambda rig: growth.measure(rig, past, self.plan.seconds))
        with self._temporary() as folder:
            for measure in measures:  # a start for each
                with ExitStack() as stack:
                    if rig := self._start(stack, "roomd", Path(folder), database=database):
                        rig.server.resume()
                        self._measure(Turn(f"i {past.name}", "roomd", measure), rig)

    def _start(
        self,
        stack: ExitStack,
        server: str,
        folder: Path,
        settings: dict[str, str] = LARGEST_ROOM,
        database: Path | None = None,
    ) -> Rig | None:
        """Start a server that is to stand still between its turns; None, and a failure, if it does not come up."""
        if server in PEERS and (lacking := missing(server)):
            self._fail("start", server, f"needs {lacking}")
            return None
        try:
            rig = stack.enter_context(running(server, self._cores, folder, self._secret, settings, database))
        except RuntimeError as exc:
            print(exc, file=sys.stderr)
            self._fail("start", server, str(exc))
            return None
        stack.callback(rig.server.resume)  # standing still, it could not be ended
        rig.server.pause()
        return rig

    def _measure(self, turn: Turn, rig: Rig) -> None:
        gc.collect()
        start = time.perf_counter()
        try:
            figures = uvloop.run(turn.measure(rig))
        except (RuntimeError, OSError) as exc:
            self._fail(turn.what, turn.server, str(exc))
            figures = exc.figures if isinstance(exc, Incomplete) else []
        self._keep(turn.server, figures)
        taken = time.perf_counter() - start
        print(f"  {turn.what:8} {turn.server:16} {taken:6.1f} s", file=sys.stderr, flush=True)

    def _keep(self, server: str, figures: list[Figure]) -> None:
        self.samples += [Sample(self._round, figure.row, server, figure.value, figure.usage) for figure in figures]

    def _fail(self, what: str, server: str, reason: str) -> None:
        self.failures.append(Failure(self._round, what, server, (reason or "no reason given").splitlines()[0]))
        if server != "roomd":
            self._too_slow.add((what, server))
        print(f"  {what:8} {server:16} failed: {reason}", file=sys.stderr, flush=True)

    def _temporary(self) -> "tempfile.TemporaryDirectory[str]":
        return tempfile.TemporaryDirectory(prefix="bench-", dir=self._folder, ignore_cleanup_errors=True)


def _crowd(size: int, seconds: float) -> Measure:
    return lambda rig: crowd.measure(rig, size, seconds)
