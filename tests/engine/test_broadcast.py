"""What a batch tells whom, and in which order: docs/protocol.md, sections 6 and 8; and relays, which need no batch."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from roomd.protocol.errors import Refused
from roomd.protocol.events import Event, SignalEvent
from roomd.rooms import commands
from roomd.rooms.answers import Reader
from roomd.rooms.settings import Settings
from tests.support.stage import HOLD, HOST, Person, Stage


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    stage = await Stage().open(max_participants=5)
    yield stage
    await stage.close()


def update(stage: Stage, **settings: Any) -> asyncio.Future[None]:
    return stage.command(commands.UpdateRoom(HOST, Settings(**settings)))


def remove(stage: Stage, who: Person, reason: str | None = None) -> asyncio.Future[None]:
    return stage.command(commands.RemoveParticipant(HOST, who.seat, False, reason))


async def test_the_order_of_a_batch(stage: Stage) -> None:
    """Replies, then one `participants-changed`, then `room-updated`, then every message; the queue for hosts last."""
    ann, bob = await stage.seated("ann", "bob")
    alice, carol = stage.user("alice"), stage.guest("carol")
    await alice.join()
    for person in (ann, bob, alice):
        person.said()
    await stage.in_one_batch(
        lambda: ann.say("one"),
        lambda: update(stage, name="x", waiting_room=True),
        lambda: ann.say("two"),
        lambda: bob.present(muted=True),
        carol.join,
        lambda: bob.say("three"),
        lambda: ann.present(muted=True),
        lambda: update(stage, name="y"),
    )
    told = [
        ("changed", 4, {"updated": [bob.seat, ann.seat]}),
        ("room-updated", 5),
        ("message", "one"),
        ("message", "two"),
        ("message", "three"),
    ]
    assert ann.said() == ["reply"] * 3 + told
    assert bob.said() == ["reply"] * 2 + told
    assert alice.said() == [*told, ("queue", [carol.seat])]
    assert carol.said() == [("waiting", 1, "waiting_room")]


async def test_messages_have_no_number(stage: Stage) -> None:
    """`seq` counts events of the room; a message in between leaves no gap."""
    ann, bob = await stage.seated("ann", "bob")
    await ann.say("hello")
    await bob.present(muted=True)
    assert bob.said() == [("message", "hello"), "reply", ("changed", 3, {"updated": [bob.seat]})]


async def test_a_private_message_reaches_two(stage: Stage) -> None:
    """The one it is for and the sender; a message to oneself comes once; the order among the public ones is kept."""
    ann, bob, carol = await stage.seated("ann", "bob", "carol")
    await stage.in_one_batch(
        lambda: ann.say("1"), lambda: ann.say("2", bob.seat), lambda: carol.say("3"), lambda: carol.say("4", carol.seat)
    )
    one, two, three, four = [("message", text) for text in "1234"]
    assert ann.said() == ["reply"] * 2 + [one, two, three]
    assert bob.said() == [one, two, three]
    assert carol.said() == ["reply"] * 2 + [one, three, four]


async def test_a_private_message_for_a_held_seat(stage: Stage) -> None:
    """It is kept and not told; an unknown one, one who left and one who waits is nobody."""
    ann, bob, carol = await stage.seated("ann", "bob", "carol")
    bob.drop()
    await carol.leave()
    await stage.set(waiting_room=True)
    dave = stage.guest()
    await dave.join()
    ann.said()
    await ann.say("hi", bob.seat)
    assert (ann.said(), bob.said(), dave.answers) == (["reply", ("message", "hi")], [], ["waiting"])
    for key in ("nobody", carol.seat, dave.seat, ""):
        await ann.say("hi", key)
    assert ann.answers[-4:] == ["participant_not_found"] * 4
    messages, *_ = await stage.store.messages(Reader(stage.room.id, bob.seat, None), None, 10)
    assert [message.text for message in messages] == ["hi"]


async def test_a_private_message_for_one_who_comes_back(stage: Stage) -> None:
    """Whoever takes the seat in the same batch is told: it is not in their `room-state`."""
    ann, bob = await stage.seated("ann", "bob")
    bob.drop()
    await stage.idle()
    ann.said()
    back = stage.guest()
    await stage.in_one_batch(
        lambda: ann.say("before", bob.seat), lambda: back.resume(bob), lambda: ann.say("after", bob.seat)
    )
    both = [("message", "before"), ("message", "after")]
    assert back.said() == ["reply", ("state", 4, [ann.seat, bob.seat]), *both]
    assert ann.said() == ["reply", "reply", ("changed", 4, {"updated": [bob.seat]}), *both]


async def test_a_newcomer_reads_a_message_once(stage: Stage) -> None:
    """Said in the batch of their join, before it or after it, it is in their `room-state` and not told again."""
    (ann,) = await stage.seated("ann")
    bob = stage.guest()
    await stage.in_one_batch(lambda: ann.say("before"), bob.join, lambda: ann.say("after"))
    reply, state = bob.frames()
    assert (reply["type"], [message["text"] for message in state["messages"]]) == ("participant", ["before", "after"])
    await ann.say("later")
    assert bob.said() == [("message", "later")]


async def test_a_message_is_told_once_it_is_kept(stage: Stage) -> None:
    """While the append is under way nobody has heard it; when it fails nobody ever does, and it is not shown."""
    ann, bob = await stage.seated("ann", "bob")
    stage.store.hold()
    saying = ann.say("hello")
    await stage.held()
    assert (ann.said(), bob.said()) == ([], [])
    stage.store.fails_once = True
    stage.store.let_go()
    await saying
    assert (ann.answers[-1], bob.said()) == ("unavailable", [])
    carol = stage.guest()
    await carol.join()
    assert carol.frames()[1]["messages"] == []
    await ann.say("again")
    assert bob.said()[1:] == [("message", "again")]


async def test_presence_travels_together(stage: Stage) -> None:
    """However often state changes in a batch, it is told once, with its net effect, and what changes nothing never."""
    ann, bob = await stage.seated("ann", "bob")
    await stage.in_one_batch(*(lambda n=n: ann.present(step=n) for n in range(9)), lambda: ann.present(hand=True))
    (frame,) = bob.frames()
    assert [who["state"] for who in frame["updated"]] == [{"step": 8, "hand": True}]
    appends = stage.store.appends
    await stage.in_one_batch(lambda: ann.present(step=8), lambda: ann.present(gone=None))
    await stage.in_one_batch(lambda: ann.present(hand=None), lambda: ann.present(hand=True))
    assert (bob.said(), ann.answers[-4:]) == ([], ["ok"] * 4)
    assert stage.store.appends == appends + 1


async def test_presence_tells_one_from_true(stage: Stage) -> None:
    """1, 1.0 and true are different values in JSON."""
    ann, bob = await stage.seated("ann", "bob")
    await ann.present(volume=1)
    await ann.present(volume=True)
    assert [frame["updated"][0]["state"] for frame in bob.frames()] == [{"volume": 1}, {"volume": True}]


async def test_presence_ends_with_its_sitting(stage: Stage) -> None:
    """It outlives a drop; a connection that lost the seat can neither change it nor speak."""
    ann, bob = await stage.seated("ann", "bob")
    await bob.present(muted=True)
    bob.drop()
    await stage.idle()
    back = stage.guest()
    await back.resume(bob)
    assert back.frames()[1]["participants"][1]["state"] == {"muted": True}
    await bob.present(muted=False)
    await bob.say("hello")
    assert bob.answers[-2:] == ["not_in_room"] * 2
    assert ("message", "hello") not in ann.said()


# Removed.


async def test_removed(stage: Stage) -> None:
    """`removed`, then the close with 4403, and nothing of the batch; the others see them left."""
    ann, bob, carol = await stage.seated("ann", "bob", "carol")
    await stage.in_one_batch(
        lambda: ann.say("before"), carol.leave, lambda: remove(stage, bob, "spam"), lambda: ann.say("after")
    )
    assert (bob.said(), bob.closes, bob.lost) == ([("removed", "spam")], [4403], [bob.seat])
    left = ("changed", 4, {"left": [carol.seat, bob.seat]})
    assert ann.said() == ["reply", "reply", left, ("message", "before"), ("message", "after")]
    await ann.say("later")
    assert bob.said() == []


async def test_what_the_removed_still_asked(stage: Stage) -> None:
    """What they asked in that batch before it is answered first; what they said was said. After it, they are nobody."""
    ann, bob = await stage.seated("ann", "bob")
    await stage.in_one_batch(
        lambda: bob.say("last"), lambda: remove(stage, bob), lambda: bob.say("too late"), lambda: remove(stage, bob)
    )
    assert bob.answers[-2:] == ["ok", "not_in_room"]
    assert (bob.said(), bob.closes) == (["reply", "reply", ("removed", None)], [4403])
    assert ann.said() == [("changed", 3, {"left": [bob.seat]}), ("message", "last")]


async def test_removed_while_they_come_back(stage: Stage) -> None:
    """Taken over and removed in one batch: the older is closed with 4409, the newer removed."""
    (ann,) = await stage.seated("ann")
    first, second = stage.user("bob"), stage.user("bob")
    await first.join()
    await stage.in_one_batch(second.join, lambda: remove(stage, first))
    assert (first.closes, second.closes) == ([4409], [4403])
    assert second.said()[-1] == ("removed", None)
    await ann.present(muted=True)
    assert ("changed", 4, {"updated": [ann.seat]}) in ann.said()


async def test_the_others_see_who_came_back_and_was_removed(stage: Stage) -> None:
    """`left` for those who are there, whatever else the batch held: each number is told once."""
    (ann,) = await stage.seated("ann")
    first, second = stage.user("bob"), stage.user("bob")
    await first.join()
    ann.said()
    await stage.in_one_batch(second.join, lambda: remove(stage, first))
    assert ann.said() == [("changed", 3, {"left": [first.seat]})]


async def test_removed_and_back_in_one_batch(stage: Stage) -> None:
    """Without a ban a user may join again: as another participant, whose connection nobody closes."""
    (ann,) = await stage.seated("ann")
    first, second = stage.user("bob"), stage.user("bob")
    await first.join()
    ann.said()
    await stage.in_one_batch(lambda: remove(stage, first), second.join)
    assert (first.closes, second.closes) == ([4403], [])
    assert second.said() == ["reply", ("state", 3, [ann.seat, second.seat])]
    assert ann.said() == [("changed", 3, {"joined": [second.seat], "left": [first.seat]})]


async def test_removal_that_cannot_be_kept(stage: Stage) -> None:
    """Nobody is closed for it."""
    ann, bob = await stage.seated("ann", "bob")
    await stage.while_it_commits(lambda: remove(stage, bob), lambda: ann.say("hello"), fails=True)
    assert (bob.said(), bob.closes, bob.lost) == ([("message", "hello")], [], [])


async def test_a_held_seat_is_removed(stage: Stage) -> None:
    """There is nobody to tell; the token is dead."""
    ann, bob = await stage.seated("ann", "bob")
    bob.drop()
    await stage.idle()
    await stage.in_one_batch(lambda: remove(stage, bob))
    back = stage.guest()
    await back.resume(bob)
    assert (back.answers, bob.said(), bob.closes) == (["seat_expired"], [], [])
    assert ann.said()[-1] == ("changed", 4, {"left": [bob.seat]})


async def test_removed_at_the_end(stage: Stage) -> None:
    """An end has a batch of its own: who was removed before it is not told of it."""
    ann, bob = await stage.seated("ann", "bob")
    await stage.in_one_batch(lambda: remove(stage, bob), lambda: stage.command(commands.EndRoom(HOST)))
    assert bob.said() == [("removed", None)]
    assert ann.said() == [("changed", 3, {"left": [bob.seat]}), ("room-ended", 4)]


# Relays.

SIGNAL = SignalEvent(sender="somebody", data=msgspec.Raw(b"{}"))


def relay(stage: Stage, key: str, event: Event = SIGNAL) -> str:
    """Relay an event; return the code of the refusal, or nothing."""
    try:
        stage.relay(key, event)
    except Refused as refused:
        return refused.kind.code
    return ""


async def test_a_relay_needs_no_batch(stage: Stage) -> None:
    """It arrives while a batch is under way, and storage is not asked."""
    ann, bob = await stage.seated("ann", "bob")
    stage.store.hold()
    saying = ann.say("hello")
    await stage.held()
    assert (relay(stage, bob.seat), bob.said(), ann.said()) == ("", ["signal"], [])
    stage.store.let_go()
    await saying


async def test_a_relay_reaches_who_is_connected(stage: Stage) -> None:
    """404 for one who is held, left, removed, on the way out, waiting or unknown, and in a room nobody is in."""
    ann, bob, carol, dave = await stage.seated("ann", "bob", "carol", "dave")
    assert stage.hub.statistics() == {"rooms": 1, "listeners": 4}
    bob.drop()
    await carol.leave()
    await stage.in_one_batch(lambda: remove(stage, dave))
    await stage.set(waiting_room=True)
    erin = stage.guest()
    await erin.join()
    for key in (bob.seat, carol.seat, dave.seat, erin.seat, "nobody", ""):
        assert relay(stage, key) == "participant_not_found"
    assert stage.hub.statistics() == {"rooms": 1, "listeners": 1}
    ann.close(4408)
    assert relay(stage, ann.seat) == "participant_not_found"
    with pytest.raises(Refused):
        stage.relay(ann.seat, SIGNAL, "zzz-zzz-zzz")
    assert erin.said() == [("waiting", 1, "waiting_room")]


async def test_a_relay_reaches_the_one_who_came_back(stage: Stage) -> None:
    """404 from the drop until the resume, then the newer connection."""
    _, bob = await stage.seated("ann", "bob")
    bob.drop()
    await stage.idle()
    assert relay(stage, bob.seat) == "participant_not_found"
    back = stage.guest()
    await back.resume(bob)
    back.said()
    assert (relay(stage, bob.seat), back.said(), bob.said()) == ("", ["signal"], [])


async def test_a_relay_never_costs_the_reader_its_connection(stage: Stage) -> None:
    """429 with `retryAfter` while the participant is behind with reading; the room's own events are still sent."""
    ann, bob = await stage.seated("ann", "bob")
    assert relay(stage, bob.seat) == ""
    bob.is_behind = True
    for _ in range(100):
        with pytest.raises(Refused) as caught:
            stage.relay(bob.seat, SIGNAL)
        assert (caught.value.kind.code, caught.value.retry_after) == ("rate_limited", 1.0)
    await ann.say("hello")
    assert (bob.said(), bob.closes) == (["signal", ("message", "hello")], [])
    bob.is_behind = False
    assert relay(stage, bob.seat) == ""


async def test_statistics(stage: Stage) -> None:
    """Live rooms and members; whoever waits, or has no connection, is not a member."""
    ann, bob = await stage.seated("ann", "bob")
    await stage.set(waiting_room=True)
    await stage.guest().join()
    assert stage.hub.statistics() == {"rooms": 1, "listeners": 2}
    bob.drop()
    await stage.idle()
    assert (stage.hub.statistics(), stage.hub.seats_in(stage.room.code)) == ({"rooms": 1, "listeners": 1}, 2)
    stage.clock.advance(HOLD)
    await stage.idle()
    assert stage.hub.seats_in(stage.room.code) == 1
    await ann.leave()
    assert stage.hub.statistics() == {"rooms": 1, "listeners": 0}, "one waits"
