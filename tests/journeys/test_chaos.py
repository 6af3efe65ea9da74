"""The short form of `make chaos`: each fault for a moment."""

import contextlib
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.chaos.faults import FAULTS
from tests.support.chaos.people import Person, lost
from tests.support.chaos.run import SETTINGS, Plan, run, small_disk
from tests.support.daemon import Daemon, serving
from tests.support.databases import change

STORAGE = ("full disk", "locked database", "I/O errors")
"""The faults that clients are told of: 503."""


@pytest.mark.sqlite
async def test_nothing_is_lost_and_everybody_is_served_again(tmp_path: Path) -> None:
    """After each fault the database has no broken rule and all that was acknowledged, and the daemon serves.

    Without the right to mount a file system, no disk is full.
    """
    with contextlib.ExitStack() as stack:
        is_small = stack.enter_context(small_disk(tmp_path))
        only = [name for name in FAULTS if is_small or name != "full disk"]
        daemon = stack.enter_context(serving(tmp_path, True, **SETTINGS))
        outcomes = await run(daemon, Plan(seed=1, people=8, seconds=0.4, longer={}, pause=0.04, only=only))
    assert [wrong for outcome in outcomes for wrong in outcome.wrong] == []
    assert all(outcome.said >= 8 for outcome in outcomes)
    for outcome in outcomes:
        if outcome.fault in STORAGE:
            assert "unavailable" in outcome.refused, outcome


async def test_what_is_lost_is_noticed(make_daemon: Callable[..., Daemon]) -> None:
    """A message, a seat or a leave that was acknowledged and is not in the database."""
    daemon = make_daemon()
    room = await daemon.room()
    async with daemon.client("bob") as bob:
        seat = (await bob.join(room["code"]))["participant"]["id"]
        await bob.ask("send-message", text="Hello")
    person = Person(daemon, room["code"], 1, random.Random(1), 1)
    person.said, person.seats = ["Hello"], [seat]
    assert lost(daemon, [person]) == []
    person.left = [seat]
    assert lost(daemon, [person]) == [f"person-1: leaves that were lost: ['{seat}']"]
    daemon.stop()
    change(daemon, "DELETE FROM messages", "DELETE FROM participants")
    assert lost(daemon, [person]) == [
        "person-1: messages that were lost: ['Hello']",
        f"person-1: seats that were lost: ['{seat}']",
        f"person-1: leaves that were lost: ['{seat}']",
    ]
