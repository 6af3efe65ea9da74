"""The short form of `make blips`: a network that fails, and a daemon that is restarted and crashes."""

from collections.abc import Callable
from typing import Any

from tests.support.blips.attendees import Report
from tests.support.blips.run import SETTINGS, Plan, find_faults, run
from tests.support.daemon import Daemon, faults


async def test_nobody_loses_the_meeting(make_daemon: Callable[..., Daemon]) -> None:
    """Everyone is in under the first id, every message is there once and in one order, and nothing is unanswered."""
    daemon = make_daemon(**SETTINGS)
    figures = await run(daemon, Plan(seed=1, seconds=3, pause=0.15, longest=0.8, restart=1.2, talk=0.2, speed=5))
    assert figures["restarts"] == 2
    assert figures["messages"] > 30
    assert faults(daemon) == []


def test_what_is_missing_is_noticed() -> None:
    """Another id, a ghost, a message twice, in another order or not kept, a request without an answer."""
    messages = [{"id": "1", "text": "a"}, {"id": "2", "text": "b"}]
    here = [{"id": "p", "isActive": True}]

    def found(kept: list[Any] = messages, seats: list[Any] = here, **changes: object) -> list[str]:
        report = Report("one")
        good = {"ids": ["p"], "status": "joined", "heard": [("1", "a"), ("2", "b")], "said": ["a"]}
        report.__dict__.update({**good, **changes})
        return find_faults([report], kept, seats)

    assert found() == []
    assert found(ids=["p", "q"]) == ["one: joined, ids ['p', 'q']"]
    assert found(status="over") == ["one: over, ids ['p']"]
    assert found(unanswered=1) == ["one: 1 requests without an answer"]
    assert found(said=["c"]) == ["one: accepted and not kept: ['c']"]
    for heard in ([("2", "b"), ("1", "a")], [("1", "a"), ("1", "a"), ("2", "b")], [("1", "a")]):
        assert len(found(heard=heard)) == 1
    again = [*messages, {"id": "3", "text": "b"}]
    assert found(kept=again, heard=[("1", "a"), ("2", "b"), ("3", "b")]) == ["kept twice: ['b']"]
    assert found(seats=[*here, {"id": "g", "isActive": False}]) == ["1 seats for 1 clients, and 1 ghosts"]
