"""Runs the measurements: which server is measured at what, in which order, and with what result."""

import gc
import secrets
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import uvloop

from bench.ceilings.rows import rows_per_second
from bench.peers.servers import PEERS, missing
from bench.processes import StartFailed, Usage
from bench.rig import Figure, Incomplete, Rig, running
from bench.work import asking, catchup, cold, crowd, cycle, growth, latency, memory, relay

CEILINGS = ("echo", "frames", "sqlite")
SERVERS = ("roomd", *CEILINGS, *PEERS)
WITH_ROOMS = ("roomd", *PEERS)
WORK = {
    "a": ("roomd", "echo", "sqlite", *PEERS),
    "b": WITH_ROOMS,
    "c": WITH_ROOMS,
    "d": ("roomd", "echo", *PEERS),
    "e": ("roomd", "frames", *PEERS),
    "f": WITH_ROOMS,
    "g": WITH_ROOMS,
    "h": WITH_ROOMS,
    "i": ("roomd",),
    "j": ("roomd",),
    "k": ("roomd",),
}
"""Which servers are measured at what; the letters are those of bench/README.md. (h), (i) and (j) are measured once."""

LARGEST_ROOM = {"ROOMD_LIMITS_MAX_PARTICIPANTS": str(crowd.LARGEST)}
PROBE = 0.5
"""Seconds to measure the peak for (g) in, where (a) was not measured."""


class Sample(NamedTuple):
    """A figure, and where it came from."""

    round: int
    """From 1 on; 0 for what is measured once."""
    row: str
    server: str
    value: float
    usage: Usage | None


class Failure(NamedTuple):
    """A measurement that failed."""

    round: int
    what: str
    server: str
    reason: str


class Plan(NamedTuple):
    """What to measure."""

    work: tuple[str, ...]
    """Letters."""
    servers: tuple[str, ...]
    seconds: float
    """How long a rate is measured."""
    is_quick: bool
    """Leave out what is large."""
    history: growth.History = growth.MILLION
    """The content of the largest database."""
    has_largest: bool = True
    """Measure the storm of the largest crowd."""

    @property
    def crowds(self) -> tuple[int, ...]:
        """The sizes of crowds; only roomd is measured with the largest."""
        has_largest = self.has("c", "roomd") and self.has_largest and not self.is_quick
        return (crowd.SMALL, crowd.LARGE, crowd.LARGEST) if has_largest else (crowd.SMALL, crowd.LARGE)

    def has(self, letter: str, server: str) -> bool:
        """Return whether a server is measured at something."""
        return letter in self.work and server in self.servers and server in WORK[letter]

    def times(self, letter: str) -> int:
        """Return how often roomd is measured at something that has a server of its own: three times, or once."""
        return (1 if self.is_quick else 3) if self.has(letter, "roomd") else 0

    def of(self, letter: str) -> list[str]:
        """List the servers that are measured at something."""
        return [server for server in SERVERS if self.has(letter, server)]


Measure = Callable[[Rig], Coroutine[Any, Any, list[Figure]]]


class Step(NamedTuple):
    """One measurement of one server."""

    what: str
    """The letter, of (c) and (e) with the size of the crowd."""
    server: str
    measure: Measure


def steps(plan: Plan, measure_latency: Measure) -> Iterator[Step]:
    """List what a round of `plan` measures, in order; a work is done with one server after the other."""
    seconds = plan.seconds
    for server in plan.of("a"):
        if server != "sqlite":
            yield Step("a", server, lambda rig: cycle.small_rooms(rig, seconds))
    for server in plan.of("b"):
        yield Step("b", server, lambda rig: cycle.one_room(rig, seconds))
    for size in plan.crowds:
        for server in SERVERS:
            storms, sends = plan.has("c", server), plan.has("e", server) and size < crowd.LARGEST
            if sends or (storms and (size < crowd.LARGEST or server == "roomd")):
                yield Step(f"c{size}", server, _crowd(size, seconds if sends else 0))
    for server in plan.of("d"):
        yield Step("d", server, lambda rig: cold.measure(rig, seconds))
    for server in plan.of("f"):
        yield Step("f", server, lambda rig: relay.measure(rig, seconds))
    for server in plan.of("g"):
        yield Step("g", server, measure_latency)
    for server in plan.of("k"):
        yield Step("k", server, lambda rig: asking.measure(rig, seconds))


def _crowd(size: int, seconds: float) -> Measure:
    return lambda rig: crowd.measure(rig, size, seconds)


class Record:
    """Carries measurements out, and keeps their figures."""

    def __init__(self) -> None:
        self.samples: list[Sample] = []
        self.failures: list[Failure] = []

    def measure(self, round_: int, step: Step, rig: Rig) -> bool:
        """Resume a paused server, measure it, and pause it again; return whether that worked."""
        gc.collect()
        start = time.perf_counter()
        rig.server.resume()
        failures = len(self.failures)
        try:
            figures = uvloop.run(step.measure(rig))
        except (RuntimeError, OSError) as exc:
            reason = " ".join(str(exc).split()) or type(exc).__name__
            self.failures.append(Failure(round_, step.what, step.server, reason))
            print(f"  {step.what:8} {step.server:16} failed: {exc}", file=sys.stderr, flush=True)
            figures = exc.figures if isinstance(exc, Incomplete) else []
        rig.server.pause()
        self.keep(round_, step.server, figures)
        taken = time.perf_counter() - start
        print(f"  {step.what:8} {step.server:16} {taken:6.1f} s", file=sys.stderr, flush=True)
        return len(self.failures) == failures

    def keep(self, round_: int, server: str, figures: list[Figure]) -> None:
        """Keep figures of a server."""
        self.samples += [Sample(round_, figure.row, server, figure.value, figure.usage) for figure in figures]


@contextmanager
def temporary(folder: Path) -> Iterator[Path]:
    """Make a folder below `folder`, and remove it when the block ends."""
    with tempfile.TemporaryDirectory(prefix="bench-", dir=folder, ignore_cleanup_errors=True) as name:
        yield Path(name)


def paused(stack: ExitStack, rig: Rig) -> Rig:
    """Pause a server until it is measured, and continue it at the end of `stack`, since it could not end otherwise."""
    stack.callback(rig.server.resume)
    rig.server.pause()
    return rig


def check_installed(servers: Iterable[str], needs: Callable[[str], str | None] = missing) -> None:
    """Raise `StartFailed` for the first of `servers` that needs something; `needs` names what a peer needs."""
    for server in servers:
        if server in PEERS and (lacking := needs(server)):
            raise StartFailed(f"{server} needs {lacking}: python -m bench.peers.install")


class Suite(Record):
    """Carries a plan out."""

    def __init__(self, plan: Plan, cores: set[int], folder: Path) -> None:
        super().__init__()
        self.plan = plan
        self._cores = cores
        self._folder = folder
        self._secret = secrets.token_hex(32)
        self._round = 0
        self._too_slow: set[tuple[str, str]] = set()

    def check_servers(self) -> None:
        """Start every server of the plan once, and stop it; raise `StartFailed` for the first that does not start.

        So a run stops before anything was measured, and not half way.
        """
        wanted = {server: None for letter in self.plan.work for server in self.plan.of(letter) if server != "sqlite"}
        check_installed(wanted)
        for server in wanted:
            with temporary(self._folder) as folder, ExitStack() as stack:
                self._start(stack, server, folder)

    def run_round(self) -> None:
        """Measure all that is repeated once: each work with one server after the other."""
        self._round += 1
        todo = list(steps(self.plan, self._latency))
        with temporary(self._folder) as folder, ExitStack() as stack:
            rigs = {server: self._start(stack, server, folder) for server in {step.server: None for step in todo}}
            for step in todo:
                if (step.what, step.server) not in self._too_slow:
                    self._measure(step, rigs[step.server])
            if self.plan.has("a", "sqlite"):
                self.keep(self._round, "sqlite", [Figure("a", rows_per_second(folder, self.plan.seconds))])

    def run_once(self) -> None:
        """Measure what is not repeated, with servers of its own."""
        for server in self.plan.of("h"):
            self._measure_memory(server)
        if self.plan.has("i", "roomd"):
            if self.plan.is_quick:
                histories: list[growth.History] = [growth.EMPTY]
            else:
                histories = [growth.EMPTY, *growth.ROOMS_ONLY, self.plan.history] * 2  # in turn, against drift
            for history in histories:
                self._measure_growth(history)

        for _ in range(self.plan.times("j")):
            self._measure_catching_up()

    async def _latency(self, rig: Rig) -> list[Figure]:
        peaks = [sample.value for sample in self.samples if (sample.row, sample.server) == ("a", rig.name)]
        if not peaks:
            [figure] = await cycle.small_rooms(rig, PROBE)
            peaks = [figure.value]
        return await latency.measure(rig, self.plan.seconds, peaks[-1])

    def _measure_memory(self, server: str) -> None:
        sizes, settings = [memory.FEW], {}
        if not self.plan.is_quick:
            sizes.append(memory.MANY)
            if server == "roomd" and (most := memory.most_clients()) > memory.MANY:
                sizes.append(most)
                settings = {"ROOMD_LIMITS_CONNECTIONS": str(most)}
        with temporary(self._folder) as folder, ExitStack() as stack:
            rig = self._start(stack, server, folder, settings)
            self._measure(Step("h", server, lambda rig: memory.measure(rig, sizes)), rig)

    def _measure_growth(self, history: growth.History) -> None:
        database = growth.prepare(history, self._folder) if history.rooms else None
        measures: list[Measure] = [lambda rig: growth.start(rig, history)] * 2
        measures.append(lambda rig: growth.measure(rig, history, self.plan.seconds))
        with temporary(self._folder) as folder:
            for measure in measures:  # each with a new process
                with ExitStack() as stack:
                    rig = self._start(stack, "roomd", folder, database=database)
                    self._measure(Step(f"i {history.name}", "roomd", measure), rig)

    def _measure_catching_up(self) -> None:
        with temporary(self._folder) as folder, ExitStack() as stack:
            database = folder / "events.db"
            catchup.prepare(database, catchup.EVENTS)
            rig = self._start(stack, "roomd", folder, database=database)
            self._measure(Step("j", "roomd", lambda rig: catchup.measure(rig, catchup.EVENTS)), rig)

    def _start(
        self,
        stack: ExitStack,
        server: str,
        folder: Path,
        settings: dict[str, str] = LARGEST_ROOM,
        database: Path | None = None,
    ) -> Rig:
        return paused(
            stack, stack.enter_context(running(server, self._cores, folder, self._secret, settings, database))
        )

    def _measure(self, step: Step, rig: Rig) -> None:
        if not self.measure(self._round, step, rig) and step.server != "roomd":
            self._too_slow.add((step.what, step.server))
