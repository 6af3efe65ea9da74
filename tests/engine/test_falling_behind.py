"""Members who leave out events because too much waits for them: what brings them up to date, and when."""

from collections.abc import AsyncIterator

import msgspec
import pytest

from roomd.engine.ports import RETRY_AFTER
from roomd.protocol.errors import Refused
from roomd.protocol.events import SignalEvent
from roomd.rooms import commands
from tests.support.stage import HOST, Person, Stage


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    stage = await Stage().open(max_participants=3)
    yield stage
    await stage.close()


def read_again(stage: Stage, person: Person) -> None:
    """Read all that was sent, and ask for what was left out."""
    person.is_full = False
    stage.hub.refresh(stage.room.code, person.seat, person.sitting)


async def test_a_state_in_place_of_what_was_left_out(stage: Stage) -> None:
    """The `room-state` has all of it, and what comes later follows, each once; the others get nothing more."""
    ann, bob = await stage.seated("ann", "bob")
    bob.is_full = True
    await ann.say("one")
    await ann.present(muted=True)
    await ann.say("for bob", bob.seat)
    ann.said()
    read_again(stage, bob)
    await ann.say("two")
    await stage.idle()
    assert ann.said() == ["reply", ("message", "two")]
    await ann.present(muted=False)
    state, *later = bob.frames()
    assert (state["type"], state["seq"]) == ("room-state", 3)
    assert [message["text"] for message in state["messages"]] == ["one", "two"]
    assert [person["state"] for person in state["participants"]] == [{"muted": True}, {}]
    assert [(frame["type"], frame["seq"]) for frame in later] == [("participants-changed", 4)]


async def test_only_what_is_stored_is_in_the_state(stage: Stage) -> None:
    """A state is never sent while a batch is at the store: it would show what may still fail."""
    ann, bob = await stage.seated("ann", "bob")
    bob.is_full = True
    await ann.present(muted=True)
    await stage.while_it_commits(lambda: ann.present(muted=False), lambda: read_again(stage, bob), fails=True)
    (state,) = bob.frames()
    assert (state["seq"], [person["state"] for person in state["participants"]]) == (3, [{"muted": True}, {}])


async def test_a_state_is_sent_later_when_storage_fails(stage: Stage) -> None:
    """Whoever waits for one gets it when the store works again."""
    ann, bob = await stage.seated("ann", "bob")
    bob.is_full = True
    await ann.present(muted=True)
    await stage.in_one_batch(
        lambda: setattr(stage.store, "fails_once", True), lambda: read_again(stage, bob), lambda: ann.say("lost")
    )
    assert (bob.said(), ann.answers[-1]) == ([], "unavailable")
    stage.clock.advance(RETRY_AFTER)
    await stage.idle()
    assert bob.said() == [("state", 3, [ann.seat, bob.seat])]


async def test_a_reader_who_falls_behind_again_before_the_state(stage: Stage) -> None:
    """The state is left out too, until the member asks again."""
    ann, bob = await stage.seated("ann", "bob")
    bob.is_full = True
    await ann.present(muted=True)
    read_again(stage, bob)
    bob.is_full = True
    await stage.idle()
    assert bob.said() == []
    read_again(stage, bob)
    await stage.idle()
    assert bob.said() == [("state", 3, [ann.seat, bob.seat])]


async def test_a_place_in_the_queue(stage: Stage) -> None:
    """Who waits gets the place there is now; one who got a seat meanwhile has had the state with it."""
    people = await stage.crowded("dan", "eve", "fay")
    eve, fay = people[4:]
    eve.is_full = fay.is_full = True
    await people[0].leave()
    await people[1].leave()
    assert [brief if isinstance(brief, str) else brief[0] for brief in eve.said()] == ["reply", "state"]
    assert fay.said() == []
    read_again(stage, fay)
    read_again(stage, eve)
    await stage.idle()
    assert fay.said() == [("waiting", 1, "room_full")]
    assert [brief[0] for brief in eve.said()] == ["state"], "the last place that it was not told is in the past"


async def test_a_host_gets_the_queue_after_the_state(stage: Stage) -> None:
    """The newest one only."""
    alice, bob, carol = stage.user("alice"), stage.guest("bob"), stage.guest("carol")
    await alice.join()
    await stage.set(waiting_room=True)
    alice.said()
    alice.is_full = True
    await bob.join()
    await carol.join()
    assert alice.said() == []
    read_again(stage, alice)
    await stage.idle()
    assert alice.said() == [("state", 2, [alice.seat]), ("queue", [bob.seat, carol.seat])]


async def test_signals_do_not_overtake_the_state(stage: Stage) -> None:
    """They are refused until it was sent."""
    ann, bob = await stage.seated("ann", "bob")
    bob.is_full = True
    await ann.say("left out")
    signal = SignalEvent(sender=ann.seat, data=msgspec.Raw(b"{}"))
    read_again(stage, bob)
    with pytest.raises(Refused):
        stage.relay(bob.seat, signal)
    await stage.idle()
    stage.relay(bob.seat, signal)
    assert [brief[0] if isinstance(brief, tuple) else brief for brief in bob.said()] == ["state", "signal"]


async def test_the_end_is_never_left_out(stage: Stage) -> None:
    """Who is behind is told that the room has ended, or that it was removed, and gets nothing after it."""
    ann, bob, carol = await stage.seated("ann", "bob", "carol")
    bob.is_full = carol.is_full = True
    await ann.say("left out")
    await stage.command(commands.RemoveParticipant(HOST, carol.seat, False, None))
    carol_sitting, bob_sitting = carol.last_place, bob.sitting
    assert carol_sitting is not None
    stage.hub.refresh(stage.room.code, carol.seat, carol_sitting)
    read_again(stage, bob)
    bob.is_full = True
    await stage.command(commands.EndRoom(HOST))
    stage.hub.refresh(stage.room.code, bob.seat, bob_sitting)
    stage.hub.refresh("zzz-zzz-zzz", bob.seat, bob_sitting)
    await stage.idle()
    assert (bob.said(), carol.said()) == ([("room-ended", 5)], [("removed", None)])


async def test_a_seat_that_another_connection_has_taken(stage: Stage) -> None:
    """The newer one has had its state with the reply; it gets no second one for what the older has missed."""
    ann, bob = await stage.seated("ann", "bob")
    bob.is_full = True
    await ann.say("left out")
    sitting, back = bob.sitting, stage.guest()
    await back.resume(bob)
    back.said()
    stage.hub.refresh(stage.room.code, bob.seat, sitting)
    await stage.idle()
    assert back.said() == []
