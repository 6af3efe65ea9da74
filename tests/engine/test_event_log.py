"""What the hub writes to the event log: with the changes, or not at all."""

import pytest

from roomd.protocol.errors import Refused
from roomd.protocol.logged import type_of
from roomd.rooms import commands
from roomd.rooms.settings import Rules, Settings
from tests.support.fakes import FakeStore
from tests.support.stage import HOLD, HOST, Stage


def logged(store: FakeStore) -> list[str]:
    """Return the types of the log events."""
    return [type_of(event) for event, _ in store.log.rows]


async def test_what_happens_is_logged_with_the_changes(stage: Stage) -> None:
    """A room, people, and the end; what changes nothing for a backend writes nothing."""
    (ann,) = await stage.seated("ann")
    await ann.leave()
    await stage.set(name="Daily")
    await stage.ask(commands.EndRoom(HOST))
    expected = ["room-created", "participant-joined", "participant-left", "room-updated", "room-ended"]
    assert logged(stage.store) == expected


async def test_what_is_not_stored_is_not_logged(stage: Stage) -> None:
    """A batch that storage refuses has no events."""
    stage.store.failing = True
    with pytest.raises(Refused):
        await stage.set(name="Daily")
    with pytest.raises(Refused):
        await stage.hub.create(Settings(), "alice")
    assert logged(stage.store) == ["room-created"]


async def test_a_restart_is_logged(stage: Stage) -> None:
    """Whoever was there has dropped; who does not come back expires."""
    stage.stay()
    await stage.seated("ann")
    again = await stage.restart()
    again.clock.advance(HOLD)
    await again.idle()
    assert logged(again.store)[-3:] == ["participant-joined", "participant-dropped", "participant-left"]
    await again.close()


async def test_without_the_log(stage: Stage) -> None:
    """`events.enabled`, and a reload that changes what is logged."""
    stage.hub.use(Rules(HOLD, 100))
    await stage.hub.create(Settings(), "alice")
    await stage.seated("ann")
    assert logged(stage.store) == ["room-created"]
    stage.hub.use(Rules(HOLD, 100, log_events=True))
    await stage.seated("bob")
    assert logged(stage.store) == ["room-created", "participant-joined"]
