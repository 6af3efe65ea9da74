"""Whatever happens in a room, in whatever order: `tests/support/room_machine.py` says what must hold."""

import os

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.support.room_machine import Busy, Machine

STEPS = int(os.environ.get("ROOM_MACHINE_STEPS", "800"))
"""Steps that must have been taken in the end; `make nightly` takes 100,000."""


@pytest.mark.parametrize("machine", [Machine, Busy])
def test_room_machine(machine: type[Machine]) -> None:
    """Places, views, holds and the log agree after every step, however many there are."""
    Machine.steps = 0
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=STEPS // 40,
            stateful_step_count=50,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )
    assert Machine.steps >= STEPS


def test_a_host_no_more_who_had_fallen_behind() -> None:
    """The new `room-state` comes alone, so nobody waits any more for whoever was the host before."""
    machine = Machine()
    deeds = (("update", 0), ("join", 0), ("crash", 0), ("join", 11), ("fall_behind", 0), ("update", 13))
    for deed, a in deeds:
        getattr(machine, deed)(a, 0)
    alice = machine.play.clients[-1]
    assert (alice.user, len(alice.view.lobby)) == ("alice", 1)
    machine.join_again(0, 0)
    assert list(alice.view.lobby) == []


def test_a_private_message_in_the_batch_of_a_return() -> None:
    """Whoever comes back is told of it, after what was missed."""
    machine = Busy()
    for deed, a, b, more in (("join", 0, 0, 0), ("join", 1, 0, 0), ("drop", 1, 1, 0), ("say", 0, 1, 1)):
        machine.play.gathering = more
        getattr(machine, deed)(a, b)
    machine.resume(1, 2)
    machine.teardown()
    _, back = machine.play.clients
    assert (back.user, [message.text for message in back.view.messages], len(back.heard)) == ("bob", ["hello"], 1)
