"""The order of things does not depend on the clock: docs/protocol.md, section 1. Item 7."""

from typing import Any

import msgspec
import pytest

from roomd.protocol.objects import Room
from roomd.rooms import commands
from roomd.rooms.answers import Reader
from roomd.rooms.settings import Settings
from tests.support.stage import HOST, Person, Stage

HOURS = 7200.0


async def rooms_of(stage: Stage) -> list[Room]:
    rooms, _ = await stage.store.rooms_of("alice", None, None, 100)
    return rooms


async def test_rooms_after_a_clock_that_was_ahead(stage: Stage) -> None:
    """Room ids grow per server: a list of rooms has the newest first, and a cursor that was good stays good."""
    stage.clock.wall_offset = HOURS
    ahead = [await stage.hub.create(Settings(name=f"ahead {n}"), "alice") for n in range(3)]
    again = await stage.restart()
    again.clock.wall_offset = 0
    later = [await again.hub.create(Settings(name=f"later {n}"), "alice") for n in range(3)]
    names = [room.name for room in await rooms_of(again)]
    assert names == ["later 2", "later 1", "later 0", "ahead 2", "ahead 1", "ahead 0", "Meeting"]
    page, _ = await again.store.rooms_of("alice", None, ahead[2].id, 100)
    assert [room.name for room in page] == ["ahead 1", "ahead 0", "Meeting"]
    assert later[0].created_at < ahead[0].created_at, "times are the clock's"
    await again.close()


@pytest.mark.parametrize("offsets", [(0, HOURS, 0, -HOURS, HOURS), (-HOURS, 0), (HOURS, 0)])
async def test_a_step_of_the_clock_while_running(stage: Stage, offsets: tuple[float, ...]) -> None:
    """Both ways: messages, participants and rooms stay in the order in which they came."""
    await stage.set(max_participants=50)
    (ann,) = await stage.seated("ann")
    came, said, made = [ann.seat], [], [stage.room.name]
    for number, offset in enumerate(offsets):
        stage.clock.wall_offset = offset
        person = stage.guest(f"guest {number}")
        await person.join()
        came.append(person.seat)
        for one in (ann, person):
            await one.say(f"{number} {one.name}")
            said.append(f"{number} {one.name}")
        made.append((await stage.hub.create(Settings(name=f"room {number}"), "alice")).name)
    messages, *_ = await stage.store.messages(Reader(stage.room.id, None, "alice"), None, 100)
    people, _ = await stage.store.history(stage.room.id, None, 100)
    assert [message.text for message in messages] == said
    assert [person.id for person in people] == came
    assert [room.name for room in await rooms_of(stage)] == made[::-1]
    again = await stage.restart()
    again.clock.wall_offset = -HOURS
    back = again.guest("ann")
    await back.resume(ann)
    _, state = back.frames()
    assert [message["text"] for message in state["messages"]] == said
    assert [person["id"] for person in state["participants"]] == came
    await back.say("after")
    messages, *_ = await again.store.messages(Reader(stage.room.id, None, "alice"), messages[-1].id, 100)
    assert [message.text for message in messages] == ["after"]
    await again.close()


async def test_seats_that_were_waited_for_stay_in_their_order(stage: Stage) -> None:
    """Those who were admitted come where they were admitted, whatever the clock did, and after a restart as well."""
    await stage.set(max_participants=50, waiting_room=True)
    guests = [stage.guest(name) for name in ("a", "b", "c", "d")]
    for guest in guests:
        await guest.join()
    a, b, c, d = guests
    seats = []
    for guest, offset in ((c, HOURS), (a, 0), (d, -HOURS), (b, HOURS)):
        stage.clock.wall_offset = offset
        await stage.ask(commands.Admit(HOST, guest.seat))
        seats.append(guest.seat)
    live = stage.hub._rooms[stage.room.code].room
    assert live is not None
    assert list(live.seats) == seats
    again = await stage.restart()
    live = again.hub._rooms[stage.room.code].room
    assert live is not None
    assert list(live.seats) == seats
    await again.close()


async def leave(stage: Stage, person: Person) -> None:
    await person.leave()


async def expire(stage: Stage, person: Person) -> None:
    person.drop()
    await stage.idle()
    stage.clock.advance(3600)


async def end(stage: Stage, person: Person) -> None:
    await stage.ask(commands.EndRoom(HOST))


async def remove(stage: Stage, person: Person) -> None:
    await stage.ask(commands.RemoveParticipant(HOST, person.seat, ban=False, reason=None))


async def restart(stage: Stage, person: Person) -> None:
    again = await stage.restart()
    again.clock.advance(3600)
    await again.close()


@pytest.mark.parametrize("how", [leave, expire, end, remove, restart])
async def test_nobody_leaves_before_they_joined(stage: Stage, how: Any) -> None:
    """`leftAt` is never before `joinedAt`, nor `endedAt` before `createdAt`, when the clock was set back."""
    stage.clock.wall_offset = HOURS
    stage.room = await stage.hub.create(Settings(name="ahead"), "alice")
    (ann,) = await stage.seated("ann")
    stage.clock.wall_offset = -HOURS
    await how(stage, ann)
    await stage.idle()
    ((person,), _) = await stage.store.history(stage.room.id, None, 10)
    assert person.left_at == person.joined_at
    room = (await rooms_of(stage))[0]
    assert room.ended_at in (None, room.created_at)
    assert msgspec.structs.asdict(room)["name"] == "ahead"
