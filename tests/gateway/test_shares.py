"""What the connection of a client is charged for, and what it is told then (docs/reference/limits.md)."""

from collections.abc import AsyncIterator

import pytest

from roomd.rooms.settings import Settings
from tests.support.conversations import Stage


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    stage = await Stage().open()
    yield stage
    await stage.close()


async def test_a_join_that_is_stored_after_the_end(stage: Stage) -> None:
    """The seat is held and not kept, also that in a second room, and no account of a room is left."""
    other = (await stage.hub.create(Settings(), "alice")).code
    jane, host = stage.connect(), stage.connect(stage.token("alice"))
    await host.ask("join-room", code=other)
    await jane.ask("join-room", code=stage.code, guestName="Jane")
    stage.store.hold()
    jane.send("join-room", code=other, guestName="Jane")
    await stage.store.reached.wait()
    jane.transport.lose()
    stage.store.let_go()
    await stage.idle()
    host.heard()
    assert sorted(person["isActive"] for person in host.view.values()) == [False, True]
    host.transport.lose()
    await stage.idle()
    stage.clock.advance(3600)
    await stage.idle()
    assert await stage.people() == {}
    assert len(stage.ledgers.rooms) == 0


async def test_who_has_left_is_a_stranger_again(stage: Stage) -> None:
    """A connection without a place and a token can give way, unless its client joins again."""
    leaves, stays, user = stage.connect(), stage.connect(), stage.connect(stage.token("alice"))
    for client in (leaves, stays, user):
        await client.ask("join-room", code=stage.code, guestName="Jane")
    for client in (leaves, user):
        await client.ask("leave-room")

    def tick() -> None:
        for client in stage.clients:
            client.connection.tick(60, 60, 60)

    tick()
    await leaves.ask("join-room", code=stage.code, guestName="Jane")
    tick()
    assert not stage.ledgers.make_way()
    await leaves.ask("leave-room")
    tick()
    tick()
    assert stage.ledgers.make_way()
    assert not stage.ledgers.make_way()
    assert await leaves.closed() == 1013


async def test_an_ended_room_makes_strangers(stage: Stage) -> None:
    """Whoever was in it without a token has no place any more."""
    jane, host = stage.connect(), stage.connect(stage.token("alice"))
    await jane.ask("join-room", code=stage.code, guestName="Jane")
    await host.ask("end-room", code=stage.code)
    jane.connection.tick(60, 60, 60)
    assert stage.ledgers.make_way()
    assert await jane.closed() == 1013
