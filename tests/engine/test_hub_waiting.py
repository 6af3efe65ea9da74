"""Who waits, in batches that a store stops at its gate: docs/protocol.md, section 8, "Waiting"."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from roomd.engine.ports import RETRY_AFTER
from roomd.rooms import commands
from roomd.rooms.settings import Settings
from tests.support.stage import HOLD, HOST, Person, Stage

FULL = "room_full"
LOBBY = "waiting_room"


async def lobby(stage: Stage, *names: str) -> list[Person]:
    """Let people wait for the host."""
    await stage.set(waiting_room=True)
    people = [stage.guest(name) for name in names]
    for person in people:
        await person.join()
        person.said()
    return people


# A seat comes free.


async def test_nobody_overtakes_who_waits(stage: Stage) -> None:
    """A seat that is left goes to who waits, whatever newcomers ask in the same batch, before it or after it."""
    ann, bob, carol, dave = await stage.crowded("dave")
    early, late, last = stage.guest(), stage.guest(), stage.guest()
    await stage.in_one_batch(early.join, ann.leave, late.join, lambda: last.join(wait=True))
    assert (early.answers, late.answers, last.answers) == ([FULL], [FULL], ["waiting"])
    assert last.said() == [("waiting", 1, FULL)]
    assert dave.said() == ["reply", ("state", 4, [bob.seat, carol.seat, dave.seat])]
    assert bob.said() == [("changed", 4, {"joined": [dave.seat], "left": [ann.seat]})]
    assert carol.said() == [("changed", 4, {"joined": [dave.seat], "left": [ann.seat]})]


async def test_nobody_overtakes_while_it_commits(stage: Stage) -> None:
    """Nor when they ask while the batch that seats the waiter is at the store."""
    ann, _, _, dave = await stage.crowded("dave")
    late = stage.guest()
    await stage.while_it_commits(ann.leave, late.join)
    assert (dave.answers, late.answers) == (["waiting", "ok"], [FULL])


async def test_nothing_is_told_of_a_seat_before_it_is_kept(stage: Stage) -> None:
    """While the append is under way the waiter has heard nothing."""
    ann, bob, _, dave = await stage.crowded("dave")
    stage.store.hold()
    leaving = ann.leave()
    await stage.held()
    assert (dave.said(), bob.said(), ann.said()) == ([], [], [])
    stage.store.let_go()
    await leaving
    assert [len(person.said()) for person in (dave, bob, ann)] == [2, 1, 1]


async def test_two_wait_for_one_seat(stage: Stage) -> None:
    """The one who waits longest gets it, the other hears that they have moved up, and only then."""
    ann, bob, _, dave, erin = await stage.crowded("dave", "erin")
    await ann.leave()
    assert (dave.answers, erin.said()) == (["waiting", "ok"], [("waiting", 1, FULL)])
    await bob.present(muted=True)
    assert erin.said() == []
    await bob.leave()
    assert erin.answers[-1] == "ok"


async def test_as_many_sit_as_seats_come_free(stage: Stage) -> None:
    """A higher `maxParticipants` seats several in one batch, in order, and tells everyone else once."""
    ann, bob, carol, dave, erin, frank = await stage.crowded("dave", "erin", "frank")
    await stage.set(max_participants=5)
    state = ("state", 5, [ann.seat, bob.seat, carol.seat, dave.seat, erin.seat])
    assert (dave.said(), erin.said()) == (["reply", state], ["reply", state])
    assert frank.said() == [("waiting", 1, FULL)]
    assert ann.said() == [("changed", 4, {"joined": [dave.seat, erin.seat]}), ("room-updated", 5)]


async def test_a_seat_that_runs_out_goes_to_who_waits(stage: Stage) -> None:
    """A held seat that expires is not free for the one who asks in that moment, but for the one who waits."""
    ann, *_, dave = await stage.crowded("dave")
    ann.drop()
    await stage.idle()
    stage.clock.timers.clear()
    stage.clock.seconds += HOLD
    late = stage.guest()
    await late.join()
    assert (late.answers, dave.answers) == ([FULL], ["waiting", "ok"])


# Who waits goes away.


async def test_a_waiter_drops_while_a_batch_seats_them(stage: Stage) -> None:
    """The seat is held from the drop, like any; when that runs out the next in the queue has it."""
    ann, bob, _, dave, erin = await stage.crowded("dave", "erin")
    stage.store.hold()
    leaving = ann.leave()
    await stage.held()
    dave.drop()
    stage.store.let_go()
    await leaving
    await stage.idle()
    assert bob.said() == [
        ("changed", 4, {"joined": [dave.seat], "left": [ann.seat]}),
        ("changed", 5, {"updated": [dave.seat]}),
    ]
    assert erin.said() == [("waiting", 1, FULL)]
    stage.clock.advance(HOLD)
    await stage.idle()
    assert bob.said() == [("changed", 6, {"joined": [erin.seat], "left": [dave.seat]})]


async def test_a_dropped_waiter_gets_a_held_seat(stage: Stage) -> None:
    """A seat for somebody whose connection is lost is held, counted from the drop; a resume takes it."""
    ann, bob, carol, dave = await stage.crowded("dave")
    stage.stay()
    dave.drop()
    await stage.idle()
    stage.clock.advance(HOLD - 1)
    await ann.leave()
    assert (dave.said(), bob.said()) == ([], [("changed", 4, {"joined": [dave.seat], "left": [ann.seat]})])
    back = stage.guest()
    await back.resume(dave)
    assert back.said() == ["reply", ("state", 5, [bob.seat, carol.seat, dave.seat])]
    back.drop()
    await stage.idle()
    stage.clock.advance(HOLD)
    await stage.idle()
    assert bob.said()[-1] == ("changed", 7, {"left": [dave.seat]})


async def test_the_hold_of_a_dropped_waiter_runs_on(stage: Stage) -> None:
    """A place that became a seat while its connection was lost is held from the drop, not from then."""
    ann, bob, _, dave, erin = await stage.crowded("dave", "erin")
    stage.stay()
    dave.drop()
    await stage.idle()
    stage.clock.advance(HOLD - 1)
    await ann.leave()
    bob.said()
    stage.clock.advance(1)
    await stage.idle()
    assert bob.said() == [("changed", 5, {"joined": [erin.seat], "left": [dave.seat]})]


async def test_a_place_in_the_queue_is_held(stage: Stage) -> None:
    """It is taken back at its position with the token; after the window it is gone and the others move up."""
    *_, dave, erin, frank = await stage.crowded("dave", "erin", "frank")
    stage.stay()
    dave.drop()
    erin.drop()
    await stage.idle()
    stage.clock.advance(HOLD - 1)
    assert frank.said() == [], "their places are kept"
    back = stage.guest()
    await back.resume(erin)
    assert back.said() == [("waiting", 2, FULL)]
    stage.clock.advance(1)
    await stage.idle()
    assert (back.said(), frank.said()) == ([("waiting", 1, FULL)], [("waiting", 2, FULL)])
    late = stage.guest()
    await late.resume(dave)
    assert late.answers == ["seat_expired"]


async def test_a_waiter_leaves_while_a_batch_seats_them(stage: Stage) -> None:
    """They sat for a moment; the seat goes on to the next."""
    ann, bob, _, dave, erin = await stage.crowded("dave", "erin")
    await stage.while_it_commits(ann.leave, dave.leave)
    assert (dave.answers, erin.answers) == (["waiting", "ok", "ok"], ["waiting", "waiting", "ok"])
    assert bob.said() == [
        ("changed", 4, {"joined": [dave.seat], "left": [ann.seat]}),
        ("changed", 5, {"joined": [erin.seat], "left": [dave.seat]}),
    ]


async def test_a_waiter_leaves_in_the_batch_that_seats_them(stage: Stage) -> None:
    """Both in one batch: their leave is answered, and nobody ever saw them."""
    ann, bob, _, dave, erin = await stage.crowded("dave", "erin")
    await stage.in_one_batch(ann.leave, dave.leave)
    assert (dave.answers, dave.said()) == (["waiting", "ok"], ["reply"])
    assert bob.said() == [("changed", 4, {"joined": [erin.seat], "left": [ann.seat]})]


async def test_a_waiter_who_went_to_another_room(stage: Stage) -> None:
    """Silenced while a batch seats them, they are told nothing of it; their late leave gives the seat to the next."""
    ann, bob, _, dave, erin = await stage.crowded("dave", "erin")

    def move() -> asyncio.Future[None]:
        stage.hub.unsubscribe(stage.room.code, erin.seat, dave.sitting)  # not their own place
        stage.hub.unsubscribe(stage.room.code, dave.seat, dave.sitting)
        return dave.leave()

    await stage.while_it_commits(ann.leave, move)
    assert dave.said() == ["reply"], "the answer to the leave"
    assert (dave.answers, erin.answers) == (["waiting", "ok"], ["waiting", "waiting", "ok"])
    assert bob.said()[1:] == [("changed", 5, {"joined": [erin.seat], "left": [dave.seat]})]


# Takeovers.


async def test_takeover_of_a_place_in_the_queue(stage: Stage) -> None:
    """The place is another connection's of the same user now; the older one is closed with 4409."""
    ann, *_ = await stage.crowded()
    first, second = stage.user("dave"), stage.user("dave")
    await first.join(wait=True)
    await second.join()
    assert (second.seat, second.said()) == (first.seat, [("waiting", 1, FULL)])
    assert (first.closes, first.lost, second.closes) == ([4409], [first.seat], [])
    first.drop()
    await stage.idle()
    assert stage.queue() == [first.seat], "its late drop changes nothing"
    first.said()
    await ann.leave()
    assert (first.said(), second.answers) == ([], ["waiting", "ok"])


async def test_join_and_takeover_of_a_place_in_one_batch(stage: Stage) -> None:
    """Both are answered, the older is closed with 4409, the newer waits."""
    ann, *_ = await stage.crowded()
    first, second = stage.user("dave"), stage.user("dave")
    await stage.in_one_batch(lambda: first.join(wait=True), lambda: second.join(wait=True))
    assert (first.said(), second.said()) == ([("waiting", 1, FULL)], [("waiting", 1, FULL)])
    assert (first.closes, second.closes) == ([4409], [])
    await ann.leave()
    assert (first.said(), len(second.said())) == ([], 2)


async def test_a_place_that_is_taken_over_and_becomes_a_seat_in_one_batch(stage: Stage) -> None:
    """Both are answered with the seat; the older is told once that it has lost it."""
    ann, *_ = await stage.crowded()
    first, second = stage.user("dave"), stage.user("dave")
    await stage.in_one_batch(lambda: first.join(wait=True), lambda: second.join(wait=True), ann.leave)
    assert ([member.record for member in stage.members[-2:]], first.closes) == (["sl", "s"], [4409])
    assert (first.answers, second.answers) == (["ok"], ["ok"])
    await only_the_newer_hears(stage, first, second)


@pytest.mark.parametrize("again", ["join", "resume"])
async def test_takeover_in_the_batch_before_it_seats(stage: Stage, again: str) -> None:
    """Taken over first and seated then, in one batch: the newer connection sits."""
    first, second, back, ann = await waits_twice(stage, again)
    await stage.in_one_batch(back, ann.leave)
    assert (first.closes, first.said()) == ([4409], [])
    assert (second.closes, second.answers, second.said()[0]) == ([], ["ok"], "reply")
    await only_the_newer_hears(stage, first, second)


@pytest.mark.parametrize("again", ["join", "resume"])
async def test_takeover_in_the_batch_after_it_seats(stage: Stage, again: str) -> None:
    """Seated first and taken over then, in one batch: the newer connection sits."""
    first, second, back, ann = await waits_twice(stage, again)
    await stage.in_one_batch(ann.leave, back)
    assert second.answers == ["ok"]
    assert (first.closes, second.closes) == ([4409], [])
    await only_the_newer_hears(stage, first, second)


async def waits_twice(stage: Stage, again: str) -> tuple[Person, Person, Callable[[], Any], Person]:
    """A user who waits, and how a second connection of theirs comes to take the place."""
    ann, *_ = await stage.crowded()
    first, second = stage.user("dave"), stage.user("dave")
    await first.join(wait=True)
    first.said()
    back = second.join if again == "join" else lambda: second.resume(first)
    return first, second, back, ann


async def only_the_newer_hears(stage: Stage, first: Person, second: Person) -> None:
    """Check whose the seat is."""
    first.said()
    second.said()
    await stage.set(name="Heard")
    assert (len(first.said()), len(second.said())) == (0, 1)
    await second.leave()
    assert second.answers[-1] == "ok"


# Storage fails.


async def test_an_append_that_fails_seats_nobody(stage: Stage) -> None:
    """503 for who asked; who waits is told nothing, keeps the place, and is seated later."""
    ann, bob, carol, dave, erin = await stage.crowded("dave", "erin")
    await stage.while_it_commits(ann.leave, fails=True)
    assert ann.answers[-1] == "unavailable"
    assert (dave.said(), erin.said(), bob.said(), stage.queue()) == ([], [], [], [dave.seat, erin.seat])
    newcomer = stage.guest()
    await newcomer.join()
    assert newcomer.answers == [FULL]
    await ann.leave()
    assert (dave.answers, erin.said()) == (["waiting", "ok"], [("waiting", 1, FULL)])
    assert dave.said() == ["reply", ("state", 4, [bob.seat, carol.seat, dave.seat])]


async def test_a_place_that_cannot_be_kept(stage: Stage) -> None:
    """503 for who would wait and for who asked to see them go; nobody is in the queue for it."""
    await stage.crowded()
    dave = stage.guest()
    stage.store.fails_once = True
    await dave.join(wait=True)
    assert (dave.answers, stage.queue()) == (["unavailable"], [])
    await dave.join(wait=True)
    assert dave.said()[-1] == ("waiting", 1, FULL)


async def test_a_place_that_runs_out_while_storage_fails(stage: Stage) -> None:
    """It is given up once that can be kept, and then the others are told."""
    *_, dave, erin = await stage.crowded("dave", "erin")
    dave.drop()
    await stage.idle()
    stage.store.failing = True
    stage.clock.advance(HOLD)
    await stage.idle()
    assert erin.said() == []
    stage.store.failing = False
    stage.clock.advance(RETRY_AFTER)
    await stage.idle()
    assert erin.said() == [("waiting", 1, FULL)]


# What it costs.


async def test_a_room_is_live_while_somebody_waits(stage: Stage) -> None:
    """With the last seat left and somebody in the queue it stays in memory; when they go, it goes."""
    (ann,) = await stage.seated("ann")
    (dave,) = await lobby(stage, "dave")
    await ann.leave()
    assert stage.hub.statistics() == {"rooms": 1, "listeners": 0}
    dave.drop()
    await stage.idle()
    assert stage.hub.statistics()["rooms"] == 1
    stage.clock.advance(HOLD)
    await stage.idle()
    assert stage.hub.statistics() == {"rooms": 0, "listeners": 0}


@pytest.mark.parametrize("first_back", [0, 1, 2])
async def test_a_restart_keeps_the_queue(stage: Stage, first_back: int) -> None:
    """Everyone comes back to their position, in whatever order, for the full window; then the order still holds."""
    ann, *_, dave, erin, frank = await stage.crowded("dave", "erin", "frank")
    waiters = [dave, erin, frank]
    again = await stage.restart()
    stage.clock.advance(HOLD - 1)
    order = [(first_back + step) % 3 for step in range(3)]
    back = {place: again.guest() for place in order}
    for place in order:
        await back[place].resume(waiters[place])
        assert back[place].said() == [("waiting", place + 1, FULL)]
    stage.clock.advance(1)  # the three seats run out
    await again.idle()
    assert [back[place].answers for place in range(3)] == [["waiting", "ok"]] * 3
    state = back[0].said()[1]
    assert state[2] == [person.seat for person in waiters]
    assert ann.said() == []
    await again.hub.drain()


async def test_a_restart_keeps_what_they_wait_for(stage: Stage) -> None:
    """Who waits for the host still does, and is admitted by the id the host knows."""
    (dave,) = await lobby(stage, "dave")
    again = await stage.restart()
    back = again.guest()
    await back.resume(dave)
    assert back.said() == [("waiting", 1, LOBBY)]
    await again.ask(commands.Admit(HOST, dave.seat))
    assert back.said() == ["reply", ("state", 1, [dave.seat])]
    await again.hub.drain()


async def test_the_hundredth_and_the_next(stage: Stage) -> None:
    """At most 100 wait; the next is refused, and may wait when one has gone, in a batch of the same."""
    await stage.crowded()
    people = [stage.user(f"u{number}") for number in range(101)]
    await asyncio.gather(*(person.join(wait=True) for person in people))
    assert [person.answers for person in people] == [["waiting"]] * 100 + [[FULL]]
    assert [person.said()[0] for person in people[:100]] == [("waiting", n, FULL) for n in range(1, 101)]
    await stage.in_one_batch(people[50].leave, lambda: people[100].join(wait=True))
    assert people[100].said()[-1] == ("waiting", 100, FULL)
    assert [person.said() for person in people[51:100]] == [[("waiting", n, FULL)] for n in range(51, 100)]
    assert [person.said() for person in people[:50]] == [[]] * 50
    await stage.ask(commands.UpdateRoom(HOST, Settings(is_locked=True)))
    assert people[0].answers[-1] == "room_locked"
