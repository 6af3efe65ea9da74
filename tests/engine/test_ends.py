"""Rooms that end by themselves, and rooms that are deleted: with a store and a clock that are steered."""

import asyncio
from typing import Any

import pytest

from roomd.engine.ends import LONGEST, MOST_AT_ONCE
from roomd.engine.ports import ExternalIdTaken
from roomd.protocol.errors import Refused
from roomd.protocol.objects import Room
from roomd.protocol.timestamps import stamp
from roomd.rooms import commands
from roomd.rooms.settings import Settings
from tests.support.processes import PATIENCE
from tests.support.stage import HOLD, HOST, Stage


def in_seconds(stage: Stage, seconds: float) -> str:
    return stamp(stage.clock.wall() + seconds)


async def pass_time(stage: Stage, seconds: float) -> None:
    """Move the clock, in steps as long as a timer may be set for, and let what is due come about."""
    while seconds > 0:
        step = min(seconds, LONGEST)
        stage.clock.advance(step)
        seconds -= step
        await settled(stage)


async def settled(stage: Stage) -> None:
    async with asyncio.timeout(PATIENCE):
        while (task := stage.hub._ends._task) is not None or stage.hub._tasks:
            await asyncio.wait([one for one in (task, *stage.hub._tasks) if one is not None])


async def view(stage: Stage, room: Room | None = None) -> Room | None:
    """Look at a room as an admin does."""
    code = (room or stage.room).code
    return (await stage.hub.ask(code, commands.GetRoom(HOST))).room


async def is_active(stage: Stage, room: Room | None = None) -> bool:
    seen = await view(stage, room)
    return seen is not None and seen.is_active


async def test_a_room_expires(stage: Stage) -> None:
    """Everyone is told as by `end-room`, with the reason, at the time and not before."""
    await stage.set(expires_at=in_seconds(stage, 100))
    (ann,) = await stage.seated("ann")
    await pass_time(stage, 99)
    assert await is_active(stage)
    ann.take()
    await pass_time(stage, 1)
    frames = ann.frames()
    assert [(frame["type"], frame["reason"]) for frame in frames] == [("room-ended", "expired")]
    ended = await view(stage)
    assert ended is not None
    assert (ended.is_active, ended.ended_at) == (False, stage.clock.stamp())


async def test_a_room_that_nobody_joined_expires(stage: Stage) -> None:
    """Rooms in nobody's memory: there is one timer for all of them."""
    rooms = [await stage.hub.create(Settings(expires_at=in_seconds(stage, 10 + n)), "alice") for n in range(3)]
    assert len([timer for timer in stage.clock.timers if not timer.cancelled]) == 1
    for number, room in enumerate(rooms):
        await pass_time(stage, 10 if number == 0 else 1)
        assert [await is_active(stage, one) for one in rooms] == [n > number for n in range(3)], room


async def test_expiry_after_a_restart(stage: Stage) -> None:
    """What came due meanwhile is ended by the next process, and what comes due later too."""
    await stage.set(expires_at=in_seconds(stage, 100))
    later = await stage.hub.create(Settings(expires_at=in_seconds(stage, 200)), "alice")
    await stage.hub.drain()
    stage.clock.advance(150)
    again = await stage.restart()
    await pass_time(again, 1)
    assert (await is_active(again), await is_active(again, later)) == (False, True)
    await pass_time(again, 50)
    assert not await is_active(again, later)
    await again.close()


async def test_many_rooms_expire_at_once(stage: Stage) -> None:
    """More than are ended at the same time."""
    due = in_seconds(stage, 10)
    rooms = [await stage.hub.create(Settings(expires_at=due), "alice") for _ in range(MOST_AT_ONCE + 20)]
    await pass_time(stage, 10)
    await pass_time(stage, 0.02)
    await pass_time(stage, 0.02)
    assert not any([await is_active(stage, room) for room in rooms])


async def test_the_expiry_changes(stage: Stage) -> None:
    """An earlier one counts at once; one that was put off, or removed, ends nothing."""
    await stage.set(expires_at=in_seconds(stage, 1000))
    await stage.set(expires_at=in_seconds(stage, 10))
    await stage.set(expires_at=in_seconds(stage, 20))
    await pass_time(stage, 15)
    assert await is_active(stage)
    await stage.set(expires_at="never")
    await pass_time(stage, 2000)
    assert await is_active(stage)


async def test_the_clock_is_set(stage: Stage) -> None:
    """Forward: the room ends within seconds. Back: it ends at its time."""
    await stage.set(expires_at=in_seconds(stage, 7200))
    stage.clock.wall_offset = -3600
    await pass_time(stage, 7200)
    assert await is_active(stage)
    stage.clock.wall_offset = 3600
    await pass_time(stage, LONGEST)
    assert not await is_active(stage)


async def test_an_empty_room_ends(stage: Stage) -> None:
    """After that long without anybody, from the creation on; whoever comes begins it anew; a held seat counts."""
    never = await stage.hub.create(Settings(end_when_empty=60), "alice")
    await stage.set(end_when_empty=60)
    (ann,) = await stage.seated("ann")
    stage.stay()
    await settled(stage)
    await pass_time(stage, 59 - HOLD)
    assert await is_active(stage, never)
    await pass_time(stage, 1)
    assert (await is_active(stage, never), await is_active(stage)) == (False, True)
    ann.drop()
    await pass_time(stage, HOLD + 59)
    assert await is_active(stage), "empty since the hold was over"
    (bob,) = await stage.seated("bob")
    await pass_time(stage, 100)
    await bob.leave()
    await pass_time(stage, 59)
    assert await is_active(stage)
    await pass_time(stage, 1)
    assert not await is_active(stage)


async def test_who_comes_at_the_last_moment(stage: Stage) -> None:
    """A join that is served before the end is not undone by it."""
    await stage.set(end_when_empty=60)
    stage.clock.seconds += 60
    ann = stage.guest("ann")
    joining = ann.join()
    stage.clock.advance(0)
    await joining
    await settled(stage)
    assert await is_active(stage)
    assert ann.answers == ["ok"]


async def test_emptiness_over_a_restart(stage: Stage) -> None:
    """It goes on where it was; seats are held first."""
    empty = await stage.hub.create(Settings(end_when_empty=60), "alice")
    await stage.set(end_when_empty=60)
    await stage.seated("ann")
    await pass_time(stage, 40)
    again = await stage.restart()
    await pass_time(again, 20)
    assert (await is_active(again, empty), await is_active(again)) == (False, True)
    await pass_time(again, HOLD - 20)
    await pass_time(again, 59)
    assert await is_active(again)
    await pass_time(again, 1)
    assert not await is_active(again)
    await again.close()


async def test_an_end_that_cannot_be_stored(stage: Stage) -> None:
    """It is tried again until it can; nobody is told before."""
    await stage.set(expires_at=in_seconds(stage, 10))
    (ann,) = await stage.seated("ann")
    stage.store.fails_once = True
    await pass_time(stage, 10)
    assert (await is_active(stage), ann.said()) == (True, [])
    await pass_time(stage, 1)
    assert (await is_active(stage), ann.said()) == (False, [("room-ended", 3)])


async def test_ends_that_cannot_be_read(stage: Stage) -> None:
    """It is tried again until they can."""
    await stage.set(expires_at=in_seconds(stage, 10))
    stage.store.failing = True
    await pass_time(stage, 12)
    stage.store.failing = False
    await pass_time(stage, 1)
    assert not await is_active(stage)


async def test_a_room_that_ends_while_the_next_ones_are_looked_for(stage: Stage) -> None:
    """A room that comes to end soon during the look is not forgotten."""
    await stage.set(expires_at=in_seconds(stage, 10))
    stage.store.hold()
    stage.clock.advance(10)
    await stage.held()
    soon = asyncio.create_task(stage.hub.create(Settings(expires_at=in_seconds(stage, 5)), "alice"))
    await asyncio.sleep(0)
    stage.store.let_go()
    room = await soon
    await settled(stage)
    await pass_time(stage, 5)
    assert (await is_active(stage), await is_active(stage, room)) == (False, False)


async def test_nothing_ends_while_the_server_stops(stage: Stage) -> None:
    """No timer is left, and none is set."""
    await stage.set(expires_at=in_seconds(stage, 10))
    await stage.hub.drain()
    stage.clock.advance(20)
    assert stage.hub._ends._task is None


# External ids.


async def test_a_taken_external_id(stage: Stage) -> None:
    """The one that came first keeps it."""
    room = await stage.hub.create(Settings(host_id="bob"), "alice", "x")
    assert (room.external_id, room.host_id) == ("x", "bob")
    with pytest.raises(ExternalIdTaken):
        await stage.hub.create(Settings(), "alice", "x")


# Deletion.


async def test_a_room_is_deleted(stage: Stage) -> None:
    """Members are told that it ended; whatever is asked after that, also in the same moment, finds no room."""
    ann, bob = await stage.seated("ann", "bob")
    late = stage.guest("late")
    await stage.while_it_commits(
        lambda: stage.command(commands.DeleteRoom(HOST)),
        late.join,
        lambda: late.submit(commands.GetRoom(HOST)),
        lambda: bob.resume(ann),
    )
    assert late.answers == ["room_not_found", "room_not_found"]
    for person in (ann, bob):
        frames: list[dict[str, Any]] = person.frames()
        assert (frames[0]["type"], frames[0]["reason"]) == ("room-ended", "deleted")
    assert bob.answers[-1] == "seat_expired"
    assert (stage.store.rooms, stage.store.people, stage.hub.statistics()["rooms"]) == ({}, {}, 0)
    with pytest.raises(Refused, match="room_not_found"):
        await stage.ask(commands.EndRoom(HOST))


async def test_a_deletion_that_cannot_be_stored(stage: Stage) -> None:
    """503, and the room is as it was."""
    (ann,) = await stage.seated("ann")
    stage.store.fails_once = True
    with pytest.raises(Refused, match="unavailable"):
        await stage.ask(commands.DeleteRoom(HOST))
    assert (await is_active(stage), ann.said(), len(stage.store.people)) == (True, [], 1)
    await stage.ask(commands.DeleteRoom(HOST))
    assert ann.said() == [("room-ended", 2)]


# Hand-over.


async def test_members_see_the_new_host(stage: Stage) -> None:
    """Those whose `isHost` changed are `updated`, and `room-updated` has the `hostId`.

    The new host gets the queue, and for who is host no more it is empty.
    """
    await stage.set(waiting_room=True)
    alice, bob, carol = stage.user("alice"), stage.user("bob"), stage.guest("carol")
    await alice.join()
    await bob.join(wait=True)
    await stage.ask(commands.Admit(HOST, bob.seat))
    await carol.join(wait=True)
    stage.clock.advance(1)
    await settled(stage)
    for person in (alice, bob):
        person.take()
    await stage.set(host_id="bob")
    stage.clock.advance(1)
    await settled(stage)
    for person, queue in ((alice, [[]]), (bob, [[carol.seat]])):
        frames = person.frames()
        seen = {frame["type"]: frame for frame in frames}
        updated = seen["participants-changed"]["updated"]
        assert [(one["id"], one["isHost"]) for one in updated] == [(alice.seat, False), (bob.seat, True)]
        assert seen["room-updated"]["room"]["hostId"] == "bob"
        told = [frame["waiting"] for frame in frames if frame["type"] == "waiting-changed"]
        assert [[one["participantId"] for one in waiting] for waiting in told] == queue


@pytest.mark.parametrize(("user", "is_host"), [("alice", False), ("bob", True)])
async def test_a_hand_over_in_the_batch_of_a_join(stage: Stage, user: str, is_host: bool) -> None:
    """Who is host after the batch is told of the queue, and nobody else, whoever was host when the join was decided."""
    person, carol = stage.user(user), stage.guest("carol")
    handed_over = commands.UpdateRoom(HOST, Settings(host_id="bob", waiting_room=True))
    await stage.in_one_batch(person.join, lambda: stage.command(handed_over))
    person.said()
    await carol.join(wait=True)
    await settled(stage)
    assert person.said() == ([("queue", [carol.seat])] if is_host else [])
