"""`roomd.client` and a real daemon: what everyone's view is worth when people talk, drop, wait and are sent away."""

import asyncio
import functools
import random
import re
import subprocess
import sys
from asyncio.subprocess import PIPE
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest

from roomd import client
from roomd.client import (
    AnyMeetingEvent,
    Dropped,
    Entered,
    Joined,
    Left,
    Meeting,
    MuteRequested,
    Over,
    Placed,
    Refused,
    Returned,
    Said,
    Signalled,
    Updated,
)
from roomd.client.meeting import open_meeting
from roomd.client.settings import Settings
from roomd.protocol.objects import Message, Participant, Room
from roomd.protocol.requests import JoinRoom
from roomd.rooms.room import MESSAGES_SHOWN
from tests.support.daemon import Daemon
from tests.support.processes import PATIENCE, child

E = TypeVar("E", bound=AnyMeetingEvent)
join = functools.partial(client.join, patience=PATIENCE)


async def until(meeting: Meeting, kind: type[E]) -> E:
    """Skip the events before the next of a kind."""
    async with asyncio.timeout(PATIENCE):
        async for event in meeting:
            if isinstance(event, kind):
                return event
    raise AssertionError(f"the meeting was over before {kind.__name__}: {meeting.over}")


def lose(meeting: Meeting) -> None:
    """Lose the network, as far as this meeting goes."""
    connection = meeting._connection
    assert connection is not None
    connection._websocket.transport.abort()


class Gate:
    """Nobody comes back while it is shut; then everybody does at once."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.open.set()
        self.pace = Settings(patience=PATIENCE, leave_patience=PATIENCE, sleep=self.sleep)

    async def sleep(self, _: float) -> None:
        await self.open.wait()


async def truth(daemon: Daemon, code: str) -> tuple[Room, list[Participant], list[Message]]:
    """What the daemon tells a newcomer, less the newcomer."""
    async with daemon.client("observer") as observer:
        state = (await observer.join(code))["state"]
        me = (await observer.ask("leave-room"))["participant"]["id"]
    others = [msgspec.convert(one, Participant) for one in state["participants"] if one["id"] != me]
    room = msgspec.convert({**state["room"], "participantCount": len(others)}, Room)
    return room, others, msgspec.convert(state["messages"], list[Message])


async def settled(meeting: Meeting) -> tuple[Room | None, list[Participant], list[Message]]:
    """What a view has once everything told before now was taken in."""
    await meeting.list_messages(limit=1)
    async with asyncio.timeout(PATIENCE):
        await meeting._conditions.wait_for(lambda: meeting._view.missed is None)
    public = [message for message in meeting.messages if message.to is None]
    return meeting.room, list(meeting.participants.values()), public[-MESSAGES_SHOWN:]


async def test_two_meet(daemon: Daemon) -> None:
    """What one does the other sees, and both know the room as the daemon does."""
    code = (await daemon.room("alice", name="Weekly"))["code"]
    async with join(daemon.url, code, token=daemon.token("alice")) as alice:
        async with join(daemon.url, code, "Jane") as jane:
            assert alice.me is not None
            assert jane.me is not None
            assert (await until(alice, Joined)).participant == jane.me
            await jane.update_state({"muted": True, "handRaised": True})
            await jane.update_state({"handRaised": None})
            assert (await until(alice, Updated)).participant.state in (
                {"muted": True},
                {"muted": True, "handRaised": True},
            )
            await jane.say("Hello")
            assert (await until(alice, Said)).message.text == "Hello"
            await jane.say("psst", to=alice.me.id)
            whisper = (await until(alice, Said)).message
            assert (whisper.text, whisper.to, whisper.participant_id) == ("psst", alice.me.id, jane.me.id)
            await jane.signal(alice.me.id, {"sdp": ["v=0"]})
            assert await until(alice, Signalled) == Signalled(jane.me.id, {"sdp": ["v=0"]})
            await alice.mute(jane.me.id)
            await until(jane, MuteRequested)
            room = await alice.update_room(is_locked=True, name="Daily")
            assert (room.is_locked, room.name) == (True, "Daily")
            await alice.update_room(is_locked=False)
            said = [message.text for message in (await alice.list_messages()).messages]
            assert said == ["Hello", "psst"]
            assert await settled(alice) == await settled(jane)
            assert jane.me.state == {"muted": True}
        assert jane.over == Over("left", "You left the room")
        assert (await until(alice, Left)).participant.id == jane.me.id
        assert await settled(alice) == await truth(daemon, code)


async def test_loses_the_network(daemon: Daemon) -> None:
    """The seat is the same afterwards; the others see it dropped and back; what was said meanwhile is told."""
    code = (await daemon.room("alice"))["code"]
    gate = Gate()
    async with (
        join(daemon.url, code, token=daemon.token("alice")) as alice,
        open_meeting(daemon.url, JoinRoom(code=code, guest_name="Jane"), None, gate.pace) as jane,
    ):
        me = jane.me
        gate.open.clear()
        lose(jane)
        dropped = await until(alice, Updated)
        assert (dropped.participant.is_active, dropped.before) == (False, me)
        await alice.say("are you there?")
        gate.open.set()
        assert isinstance(await until(jane, Returned), Returned)
        assert (await until(jane, Said)).message.text == "are you there?"
        assert (await until(alice, Updated)).participant == jane.me == me
        assert await settled(alice) == await settled(jane) == await truth(daemon, code)


async def test_what_was_said_while_away(daemon: Daemon) -> None:
    """More public messages than `room-state` has, and private ones: all are told, in the order they were said, once."""
    code = (await daemon.room("alice"))["code"]
    gate = Gate()
    async with (
        join(daemon.url, code, token=daemon.token("alice")) as alice,
        open_meeting(daemon.url, JoinRoom(code=code), functools.partial(daemon.token, "jane"), gate.pace) as jane,
    ):
        assert jane.me is not None
        await alice.say("before")
        await until(jane, Said)
        gate.open.clear()
        lose(jane)
        assert not (await until(alice, Updated)).participant.is_active
        texts = [f"{number}" for number in range(3 * MESSAGES_SHOWN)]
        for text in texts:
            await alice.say(text, to=jane.me.id if int(text) % 10 == 7 else None)
        gate.open.set()
        await until(jane, Returned)
        await alice.say("now")
        assert [(await until(jane, Said)).message.text for _ in range(len(texts) + 1)] == [*texts, "now"]
        assert [message.text for message in jane.messages] == ["before", *texts, "now"]
        assert [message.to for message in jane.messages].count(jane.me.id) == len(texts) / 10


async def test_a_gap(daemon: Daemon) -> None:
    """A view that is out of step is mended on the same connection, and nobody else notices."""
    code = (await daemon.room("alice"))["code"]
    async with join(daemon.url, code, token=daemon.token("alice")) as alice, join(daemon.url, code, "Jane") as jane:
        me, connection = jane.me, jane._connection
        jane._view.participants = {}
        jane._view.is_stale = True
        jane._conditions.wake()
        assert {(await until(jane, Joined)).participant.display_name for _ in range(1)} == {"alice"}
        assert await settled(jane) == await settled(alice) == await truth(daemon, code)
        assert (jane.me, jane._connection) == (me, connection)
        assert me is not None
        lose(jane)  # the resume token of the second join serves
        await until(jane, Returned)
        assert jane.me == me


async def test_a_crash(make_daemon: Callable[..., Daemon]) -> None:
    """After kill -9 everyone is back in their seats, and who waited in their places."""
    daemon = make_daemon()
    code = (await daemon.room("alice", waitingRoom=True))["code"]
    gate = Gate()
    async with AsyncExitStack() as stack:
        entry = JoinRoom(code=code)
        token = functools.partial(daemon.token, "alice")
        alice = await stack.enter_async_context(open_meeting(daemon.url, entry, token, gate.pace))
        entries = [JoinRoom(code=code, guest_name=name) for name in ("Jane", "Joe", "Jim")]
        waiters = [await stack.enter_async_context(open_meeting(daemon.url, one, None, gate.pace)) for one in entries]
        assert [waiter.place and waiter.place.position for waiter in waiters] == [1, 2, 3]
        await settled(alice)
        await alice.admit(alice.lobby[0].participant_id)
        await asyncio.wait_for(waiters[0].wait_present(), PATIENCE)
        seats, places = [alice.me, waiters[0].me], [waiter.place for waiter in waiters[1:]]
        gate.open.clear()
        daemon.kill()
        for meeting in (alice, *waiters):
            await until(meeting, Dropped)
        daemon.start()
        gate.open.set()
        for meeting in (alice, waiters[0]):
            await until(meeting, Returned)
        for waiter in waiters[1:]:
            await until(waiter, Placed)
        assert [alice.me, waiters[0].me] == seats
        assert [waiter.place for waiter in waiters[1:]] == [
            Placed(place.participant_id, number, place.reason) for number, place in enumerate(places, 1) if place
        ]
        await alice.admit_all()
        for waiter in waiters:
            assert await asyncio.wait_for(waiter.wait_present(), PATIENCE)
        await settled(alice)  # what the others know may still be on its way to her
        assert len(alice.participants) == 4
        await alice.update_room(waiting_room=False)
        told = await truth(daemon, code)
        assert all([await settled(meeting) == told for meeting in (alice, *waiters)])


async def test_the_lobby(daemon: Daemon) -> None:
    """The host sees who waits, lets in and sends away; who waits is told where they are and how it ends."""
    code = (await daemon.room("alice", waitingRoom=True))["code"]
    async with join(daemon.url, code, token=daemon.token("alice")) as alice:
        async with join(daemon.url, code, "Jane") as jane, join(daemon.url, code, "Joe") as joe:
            await settled(alice)
            assert [one.display_name for one in alice.lobby] == ["Jane", "Joe"]
            assert jane.place == Placed(alice.lobby[0].participant_id, 1, "waiting_room")
            await alice.deny(alice.lobby[0].participant_id)
            assert [event async for event in jane] == [jane.place]
            assert jane.over == Over("denied", "The host declined")
            await until(joe, Placed)
            assert (await until(joe, Placed)).position == 1
            await settled(alice)
            await alice.admit(alice.lobby[0].participant_id)
            await until(joe, Entered)
            assert [one.display_name for one in joe.participants.values()] == ["alice", "Joe"]
        await settled(alice)
        assert (list(alice.lobby), [one.display_name for one in alice.participants.values()]) == ([], ["alice"])


async def test_waits_for_a_seat(daemon: Daemon) -> None:
    """Who leaves the queue or a seat lets the next one in."""
    code = (await daemon.room("alice", maxParticipants=2))["code"]
    with pytest.raises(Refused, match="room_full"):
        async with join(daemon.url, code, "A"), join(daemon.url, code, "B"), join(daemon.url, code, "C"):
            pass
    async with join(daemon.url, code, "A"), AsyncExitStack() as stack:
        second = await stack.enter_async_context(join(daemon.url, code, "B"))
        third = await stack.enter_async_context(join(daemon.url, code, "C", wait=True))
        fourth = await stack.enter_async_context(join(daemon.url, code, "D", wait=True))
        assert [meeting.place and meeting.place.position for meeting in (third, fourth)] == [1, 2]
        await third.leave()
        await until(fourth, Placed)
        assert (await until(fourth, Placed)).position == 1
        await second.leave()
        assert await asyncio.wait_for(fourth.wait_present(), PATIENCE)


async def test_sent_away(daemon: Daemon) -> None:
    """Who is removed hears why; a ban holds until it is lifted; the end of the room is everyone's end."""
    code = (await daemon.room("alice"))["code"]
    async with join(daemon.url, code, token=daemon.token("alice")) as alice:
        async with join(daemon.url, code, token=daemon.token("bob")) as bob:
            assert bob.me is not None
            await alice.remove(bob.me.id, ban=True, reason="spam")
            await asyncio.wait_for(bob.wait_present(), PATIENCE)
            assert [type(event) async for event in bob] == [Entered]
            assert bob.over == Over("removed", "You were removed from this room", "spam")
        [ban] = (await alice.list_bans()).bans
        assert (ban.user_id, ban.reason) == ("bob", "spam")
        with pytest.raises(Refused, match="banned"):
            await join(daemon.url, code, token=daemon.token("bob")).__aenter__()
        await alice.unban("bob")
        async with join(daemon.url, code, token=daemon.token("bob")) as bob:
            await alice.end_room()
            for meeting in (alice, bob):
                assert all([True async for _ in meeting])
                assert meeting.over == Over("room_ended", "The room has ended")


async def test_taken_over(daemon: Daemon) -> None:
    """The same person elsewhere has the seat now, and the two do not fight over it."""
    code = (await daemon.room("alice"))["code"]
    async with (
        join(daemon.url, code, token=daemon.token("bob")) as here,
        join(daemon.url, code, token=daemon.token("bob")) as there,
    ):
        assert [event async for event in here] == [Entered()]
        assert here.over is not None
        assert here.over.code == "taken_over"
        assert (await settled(there))[1] == [there.me]


async def do_something(chance: random.Random, meeting: Meeting) -> None:
    """One random thing a participant does; what comes to nothing is fine."""
    deeds: list[Callable[[], Any]] = [
        lambda: meeting.say(f"{chance.random()}"),
        lambda: meeting.update_state({chance.choice("abc"): chance.choice([None, True, 1, "x"])}),
        lambda: meeting.update_room(is_locked=chance.random() < 0.5, name=f"Room {chance.randrange(9)}"),
        lambda: asyncio.sleep(0),
    ]
    if chance.random() < 0.2:
        lose(meeting)
    else:
        await chance.choice(deeds)()


async def test_every_view_is_the_room(make_daemon: Callable[..., Daemon]) -> None:
    """After a storm of doings and drops, with a restart in it, every view equals the daemon's, and nobody is lost."""
    daemon = make_daemon()
    code = (await daemon.room("alice"))["code"]
    chance = random.Random(4)
    gate = Gate()
    async with AsyncExitStack() as stack:
        tokens = [functools.partial(daemon.token, name) for name in ("alice", "bob", "carol", "dave", "erin")]
        entry = JoinRoom(code=code)
        meetings = [
            await stack.enter_async_context(open_meeting(daemon.url, entry, token, gate.pace)) for token in tokens
        ]
        seats = [meeting.me and meeting.me.id for meeting in meetings]
        for round_ in range(6):
            for _ in range(30):
                meeting = chance.choice(meetings)
                if meeting.status == "joined":
                    await asyncio.gather(do_something(chance, meeting), return_exceptions=True)
            if round_ == 2:
                gate.open.clear()
                await asyncio.to_thread(daemon.stop)
                daemon.start()
                gate.open.set()
            for meeting in meetings:
                assert await asyncio.wait_for(meeting.wait_present(), PATIENCE)
        await meetings[0].update_room(is_locked=False)
        assert [meeting.me and meeting.me.id for meeting in meetings] == seats
        told = await truth(daemon, code)
        assert all([await settled(meeting) == told for meeting in meetings])
        assert len(told[1]) == 5


def example() -> str:
    """Return the program of the tutorial."""
    lesson = (Path(__file__).parents[2] / "docs/tutorial/2-a-client.md").read_text(encoding="utf-8")
    [program] = re.findall(r"```python\n(import asyncio\nimport roomd.client.*?)```", lesson, re.DOTALL)
    return str(program)


def test_the_tutorial_s_program_is_typed(tmp_path: Path) -> None:
    """It passes strict mypy as it stands."""
    (tmp_path / "example.py").write_text(example())
    check = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), "example.py"]
    done = subprocess.run(check, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stdout


async def test_the_tutorial_s_program(daemon: Daemon) -> None:
    """The program of the tutorial works as it stands."""
    program = example()
    code = (await daemon.room("alice"))["code"]
    program = program.replace("ws://127.0.0.1:8765/ws", daemon.url).replace("abc-def-ghi", code)
    reading = child(sys.executable, "-c", program, stdout=PIPE)
    async with join(daemon.url, code, token=daemon.token("alice")) as alice, reading as run:
        assert (await until(alice, Said)).message.text == "Hello, all 2 of you"
        async with join(daemon.url, code, token=daemon.token("bob")) as bob:
            assert (await until(bob, Said)).message.text == "Welcome"
        await alice.end_room()
        out, _ = await asyncio.wait_for(run.communicate(), PATIENCE)
    assert out.decode().splitlines()[:2] == ["Jane Smith: Hello, all 2 of you", "Jane Smith: Welcome"]
    assert "room_ended" in out.decode().splitlines()[2]
