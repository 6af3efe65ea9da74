"""One daemon, the ordinary clients and the attacker: first it is quiet, then there is one attack after another."""

import contextlib
import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from tests.support.attacks.attack import Target
from tests.support.attacks.attacker import ATTACKS
from tests.support.attacks.gauge import Gauge
from tests.support.attacks.on_webhooks import hook_ports, hook_settings
from tests.support.attacks.result import FILES, MEMORY, Result, figures
from tests.support.attacks.worker import TICK, Worker, worker
from tests.support.daemon import Daemon, faults

NICE = 10
"""How far the attacker stands back for the daemon and the ordinary clients, who share the processors with it."""

FIRST_NETWORK = 20
"""The addresses of the first attack are in 10.20.0.0/16."""
WARM_UP = "idle-beside-members"
"""The attack before the quiet phase: the allocator keeps what so many connections take once for the next ones."""


class Plan(msgspec.Struct, frozen=True):
    """How long and how hard."""

    quiet: float
    """Seconds without an attack."""
    seconds: float
    """Seconds of each attack."""
    scale: float
    """The part of the whole number of connections, messages and so on; 1 for all."""
    recovery: float
    """Seconds after an attack in which memory and descriptors must be back."""


class Stage:
    """What runs, with the figures of the quiet phase after `quiet`."""

    def __init__(self, daemon: Daemon, plan: Plan, crowd: Worker, attacker: Worker) -> None:
        self._daemon, self._plan, self._crowd, self._attacker = daemon, plan, crowd, attacker
        self._quiet: list[float] = []
        self._level: Gauge  # after the quiet phase

    def quiet(self) -> None:
        """Have the ordinary clients come, and measure their times without an attack."""
        self._crowd.order("begin", port=self._daemon.port, secret=self._daemon.secret)
        gauge = Gauge(self._daemon)
        self._begin(WARM_UP, self._plan.quiet / 2)
        self._attacker.order("attack")
        self._attacker.order("end")
        self._recover(gauge)
        self._crowd.order("take")
        time.sleep(self._plan.quiet)
        self._quiet = self._crowd.order("take")["times"]
        self._level = Gauge(self._daemon)

    def attack(self, name: str) -> Result:
        """Run one attack, and wait until the daemon is as before, as long as the plan allows."""
        gauge = Gauge(self._daemon, self._level)
        noted = len(faults(self._daemon))
        self._begin(name, self._plan.seconds, gauge.look)
        self._crowd.order("take")
        gauge.restart()
        said: dict[str, Any] = self._attacker.order("attack", gauge.look)
        load = gauge.load()
        taken = self._crowd.order("take")
        self._attacker.order("end", gauge.look)
        self._recover(gauge)
        return Result(
            name=name,
            note=said["note"],
            quiet=self._quiet,
            faults=said["faults"] + faults(self._daemon)[noted:],
            memory=(gauge.memory_before, gauge.memory_peak, gauge.memory()),
            files=(gauge.files_before, gauge.files_peak, gauge.files()),
            load=load,
            **figures(taken),
        )

    def _begin(self, name: str, seconds: float, during: Callable[[], object] = lambda: None) -> None:
        """Have the attacker do what an attack does beforehand."""
        daemon, network = self._daemon, FIRST_NETWORK + list(ATTACKS).index(name)
        ports = hook_ports(daemon.environ)
        target = Target(daemon.port, daemon.secret, str(daemon.database), ports, seconds, network, self._plan.scale)
        self._attacker.order("prepare", during, name=name, target=msgspec.to_builtins(target))

    def _recover(self, gauge: Gauge) -> None:
        deadline = time.monotonic() + self._plan.recovery
        while time.monotonic() < deadline and (
            gauge.memory() > MEMORY * gauge.memory_before or gauge.files() > gauge.files_before + FILES
        ):
            time.sleep(TICK)


@contextlib.contextmanager
def staged(daemon: Daemon, plan: Plan) -> Iterator[Stage]:
    """Start the ordinary clients and the attacker beside a daemon that runs; it is quiet first."""
    with worker("ordinary") as crowd, worker("attacker", NICE) as attacker:
        stage = Stage(daemon, plan, crowd, attacker)
        stage.quiet()
        yield stage


def settings(scale: float, folder: Path) -> dict[str, str]:
    """Return the settings of the daemon, with files in a folder.

    They are the defaults, but for the connections, of which descriptors allow some, and for endpoints of webhooks.
    """
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1] * 3 // 4
    return {
        "ROOMD_LIMITS_CONNECTIONS": str(min(most, max(300, int(10_000 * scale)))),
        "ROOMD_LIMITS_JOIN_TIMEOUT": "60",
        "ROOMD_ROOMS_SEAT_HOLD": "30",
        "ROOMD_SERVER_PING_INTERVAL": "20",
        **hook_settings(folder),
    }
