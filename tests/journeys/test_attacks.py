"""The short form of `make attack`: each attack for 0.3 s, with a part of its connections and messages."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.attacks.attacker import ATTACKS
from tests.support.attacks.result import Result, judge
from tests.support.attacks.stage import Plan, settings, staged
from tests.support.daemon import Daemon

SCALE = 0.03
SLOWEST = 2.0
"""The p99, in seconds, that is right here, where other tests run beside. `make attack` asks for 0.25."""


@pytest.mark.sqlite
@pytest.mark.long
def test_ordinary_clients_notice_no_attack(make_daemon: Callable[..., Daemon], tmp_path: Path) -> None:
    """Nobody is cut or refused or waits long, and memory and descriptors are as before, after each attack."""
    daemon = make_daemon(**settings(SCALE, tmp_path))
    with staged(daemon, Plan(quiet=1, seconds=0.3, scale=SCALE, recovery=30)) as stage:
        results = [stage.attack(name) for name in ATTACKS]
    assert judge(results, SLOWEST) == []
    assert sum(len(result.times) for result in results) > 300
    assert sum(result.joined for result in results) > 5


def test_what_is_noticed_is_reported() -> None:
    """A cut, a long wait, a newcomer without a seat, what the attack saw, and memory and descriptors that stay."""
    quiet = [0.01] * 100

    def found(**changes: Any) -> list[str]:
        good: dict[str, Any] = {
            "name": "one", "quiet": quiet, "times": [0.2] * 100, "wrong": {}, "arrivals": [0.1], "tried": 1,
            "joined": 1, "faults": [], "memory": (1_000, 9_000, 1_200), "files": (100, 900, 110), "load": 0.5,
        }  # fmt: skip
        return judge([Result(**good | changes)], slowest=0.25)

    assert found() == []
    assert found(times=[0.3] * 100) == ["one: p99 is above 250 ms"]
    assert found(times=[0.3] * 100, quiet=[0.1] * 100) == []
    assert found(times=[]) == ["one: p99 is above 250 ms"]
    assert found(wrong={"closed 1013": 2}) == ["one: 2 times closed 1013"]
    assert found(faults=["the slow member was closed"]) == ["one: the slow member was closed"]
    assert found(joined=0) == ["one: 1 newcomers did not get in"]
    assert found(memory=(1_000, 9_000, 1_300)) == ["one: memory is 1.30 times that before"]
    assert found(files=(100, 900, 400)) == ["one: 300 descriptors were not closed"]
