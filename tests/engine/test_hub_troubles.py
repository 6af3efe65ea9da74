"""What time, failing storage and bugs do to live rooms; nothing is waited for."""

import asyncio
from typing import TypeVar

import pytest

from roomd.engine.ports import RETRY_AFTER
from roomd.protocol import errors
from roomd.protocol.errors import Refused
from roomd.rooms import commands
from roomd.rooms.answers import Reader, RoomAnswer
from roomd.rooms.model import Caller, Moment
from roomd.rooms.room import Command, Decision, Room
from roomd.rooms.settings import Settings
from tests.support.members import FakeAsker
from tests.support.stage import HOLD, Person, Stage

A = TypeVar("A")


async def test_a_seat_is_held_and_runs_out(stage: Stage) -> None:
    """Others see `updated`, then `left`; a seat that ran out is free for whoever asks in that moment."""
    ann, bob, carol = await stage.seated("ann", "bob", "carol")
    bob.drop()
    await stage.idle()
    assert ann.said() == [("changed", 4, {"updated": [bob.seat]})]
    assert bob.said() == []
    stage.clock.timers.clear()  # the timer is late; the batch is not
    stage.clock.seconds += HOLD
    dave = stage.guest()
    await dave.join()
    assert dave.answers == ["ok"]
    assert carol.said()[1] == ("changed", 5, {"joined": [dave.seat], "left": [bob.seat]})


async def test_the_timer_empties_the_room(stage: Stage) -> None:
    """With nobody asking anything, a seat that runs out is left and the room is no longer live."""
    (ann,) = await stage.seated("ann")
    ann.drop()
    await stage.idle()
    stage.clock.advance(HOLD)
    await stage.idle()
    ((participant,), _) = await stage.store.history(stage.room.id, None, 10)
    assert (participant.left_at, participant.is_active) == ("2026-03-03T10:35:00.000Z", False)
    assert stage.hub.statistics() == {"rooms": 0, "listeners": 0}


async def test_a_drop_is_kept_however_long_storage_fails(stage: Stage) -> None:
    """Others hear of it once it is kept; `leftAt` is when the connection was last there."""
    ann, bob = await stage.seated("ann", "bob")
    stage.store.failing = True
    bob.drop()
    for _ in range(3):
        await stage.idle()
        stage.clock.advance(RETRY_AFTER)
    assert ann.said() == []
    stage.store.failing = False
    stage.clock.advance(RETRY_AFTER)
    await stage.idle()
    assert ann.said() == [("changed", 3, {"updated": [bob.seat]})]
    stage.clock.advance(HOLD - 4)
    await stage.idle()
    assert ann.said() == [("changed", 4, {"left": [bob.seat]})]
    assert (await stage.store.history(stage.room.id, None, 10))[0][1].left_at == "2026-03-03T10:35:00.000Z"


async def test_expiry_that_cannot_be_kept_is_tried_again(stage: Stage) -> None:
    """A storage failure at the deadline costs neither the seat's end nor a busy loop."""
    ann, bob = await stage.seated("ann", "bob")
    bob.drop()
    await stage.idle()
    ann.said()
    stage.store.failing = True
    stage.clock.advance(HOLD)
    await stage.idle()
    assert stage.clock.timers, "it will be tried again"
    assert min(timer.due for timer in stage.clock.timers if not timer.cancelled) >= HOLD + RETRY_AFTER
    stage.store.failing = False
    stage.clock.advance(RETRY_AFTER)
    await stage.idle()
    assert ann.said() == [("changed", 4, {"left": [bob.seat]})]


MISSING: list[tuple[Command[object], errors.ErrorKind]] = [
    (commands.GetRoom(Caller()), errors.ROOM_NOT_FOUND),
    (commands.Drop("p", 1, 0), errors.ROOM_NOT_FOUND),
    (
        commands.Resume(caller=Caller(), participant_id="p", token_hash="h", resume_hash="n", claim=1),
        errors.SEAT_EXPIRED,
    ),
]


@pytest.mark.parametrize(("command", "kind"), MISSING)
async def test_rooms_that_do_not_exist(stage: Stage, command: Command[object], kind: errors.ErrorKind) -> None:
    """404, or 410 for a seat in them; asking for them leaves nothing in memory."""
    with pytest.raises(Refused) as caught:
        await stage.hub.ask("zzz-zzz-zzz", command)
    assert caught.value.kind == kind
    assert (stage.hub.statistics()["rooms"], stage.hub.seats_in("zzz-zzz-zzz")) == (0, 0)


async def test_a_room_that_cannot_be_loaded(stage: Stage) -> None:
    """503, and the next one who asks finds it."""
    stage.store.failing = True
    ann = stage.guest()
    await ann.join()
    stage.store.failing = False
    await ann.join()
    assert ann.answers == ["unavailable", "ok"]


class Bug(Command[None], frozen=True):
    """A command whose decision has a bug."""

    def decide(self, room: Room, now: Moment) -> Decision[None]:
        raise RuntimeError("broken")


async def test_a_bug_in_a_decision_costs_one_answer(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """500 `internal_error`, logged, and the others of the batch are served."""
    (ann,) = await stage.seated("ann")
    bob, carol = stage.guest(), stage.guest()
    await asyncio.gather(bob.submit(Bug()), bob.join(), carol.join())
    assert (bob.answers, carol.answers) == (["internal_error", "ok"], ["ok"])
    assert [record.message for record in caplog.records] == ["decision failed"]
    assert ann.said() == [("changed", 2, {"joined": [bob.seat, carol.seat]})]


async def test_a_bug_in_a_batch_changes_nothing(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """500 `internal_error` for everyone in it, logged; the room is as before, and a drop is not forgotten."""
    ann, bob = await stage.seated("ann", "bob")
    stage.store.broken = RuntimeError("broken")
    carol = stage.guest()
    bob.drop()
    await carol.join()
    assert carol.answers == ["internal_error"]
    assert [record.message for record in caplog.records] == ["batch failed"]
    stage.store.broken = None
    stage.clock.advance(RETRY_AFTER)
    await stage.idle()
    assert ann.said() == [("changed", 3, {"updated": [bob.seat]})]


class BrokenAsker(FakeAsker[A]):
    """An asker that cannot be told."""

    def answered(self, answer: A) -> None:
        raise RuntimeError("broken")


class BrokenClient(Person):
    """A client that nothing can be written to."""

    def write(self, frames: bytes) -> None:
        raise RuntimeError("broken")


async def test_a_reply_that_fails_costs_the_others_nothing(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """One client's connection breaks in the middle of a batch: the batch goes on."""
    ann, bob = stage.guest(), stage.guest()
    broken: BrokenAsker[RoomAnswer] = BrokenAsker()
    waiting = [ann.join(), stage.hub.submit(stage.room.code, commands.GetRoom(Caller()), broken), bob.join()]
    await asyncio.gather(*waiting)
    assert (ann.answers, bob.answers) == (["ok"], ["ok"])
    assert [record.message for record in caplog.records] == ["reply failed"]


@pytest.mark.parametrize("waits", [False, True], ids=["a seat", "a place in the queue"])
async def test_who_is_taken_over_by_a_broken_client_is_told(
    stage: Stage, caplog: pytest.LogCaptureFixture, waits: bool
) -> None:
    """The reply of the newer connection fails: the older one has lost its place all the same."""
    await stage.seated(*(["ann", "bob", "carol"] if waits else ["ann"]))
    first, second = stage.user("dave"), BrokenClient(stage, "dave", None)
    await first.join(wait=True)
    await second.join()
    assert (first.closes, first.lost) == ([4409], [first.seat])
    assert [record.message for record in caplog.records] == ["reply failed"]


async def test_a_waiter_who_cannot_be_told_costs_the_others_nothing(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    """Two are given seats in one batch, and the first one's reply fails."""
    await stage.seated("ann", "bob", "carol")
    dave, erin = BrokenClient(stage, None, "dave"), stage.guest()
    await dave.join(wait=True)
    await erin.join(wait=True)
    caplog.clear()
    await stage.set(max_participants=5)
    assert erin.answers == ["waiting", "ok"]
    assert "reply failed" in {record.message for record in caplog.records}


async def test_create_needs_storage(stage: Stage) -> None:
    """503 when the room cannot be kept."""
    stage.store.failing = True
    with pytest.raises(Refused) as caught:
        await stage.hub.create(Settings(), "alice")
    assert caught.value.kind == errors.UNAVAILABLE


async def test_a_restart_holds_every_seat_anew(stage: Stage) -> None:
    """Section 5: under the same id for the full window, in a new epoch; after it no seat remains."""
    ann, bob = await stage.seated("ann", "bob")
    bob.drop()
    await stage.idle()
    stage.clock.advance(HOLD - 1)
    again = await stage.restart()
    stage.clock.advance(HOLD - 1)
    back = again.guest()
    await back.resume(ann)
    assert back.answers == ["ok"]
    assert back.said() == ["reply", ("state", 1, [ann.seat, bob.seat])]
    stage.clock.advance(1)
    await again.idle()
    assert back.said() == [("changed", 2, {"left": [bob.seat]})]
    await again.close()


# Seats that are given up while storage fails, or is slow.


async def test_a_leave_is_kept_however_long_storage_fails(stage: Stage) -> None:
    """A seat that a client left for another one does not stay behind; of a later sitting nothing is given up."""
    ann, bob = await stage.seated("ann", "bob")
    stage.store.failing = True
    stage.hub.leave(stage.room.code, bob.seat, bob.claim)
    for _ in range(3):
        await stage.idle()
        stage.clock.advance(RETRY_AFTER)
    assert ann.said() == []
    stage.store.failing = False
    stage.clock.advance(RETRY_AFTER)
    await stage.idle()
    assert ann.said() == [("changed", 3, {"left": [bob.seat]})]
    stage.hub.leave(stage.room.code, ann.seat, bob.claim)
    await stage.idle()
    assert (ann.said(), stage.clock.timers) == ([], []), "refused, and not asked again"


async def test_a_drop_behind_a_slow_batch_counts_from_the_loss(stage: Stage) -> None:
    """`leftAt` is when the connection was last there, and the hold runs from then, however slow storage is."""
    ann, bob = await stage.seated("ann", "bob")
    stage.store.hold()
    saying = ann.say("hello")
    await stage.held()
    bob.drop()
    await stage.held()
    stage.clock.seconds += 7
    stage.store.let_go()
    await saying
    await stage.idle()
    stage.clock.advance(HOLD - 7)
    await stage.idle()
    assert ann.said()[2:] == [("changed", 3, {"updated": [bob.seat]}), ("changed", 4, {"left": [bob.seat]})]
    assert (await stage.store.history(stage.room.id, None, 10))[0][1].left_at == "2026-03-03T10:35:00.000Z"


async def test_a_drop_that_cannot_be_kept_while_draining(stage: Stage) -> None:
    """The next start holds every seat anew: nothing is asked again, and no timer is left."""
    ann, bob = await stage.seated("ann", "bob")
    bob.drop()
    await stage.idle()
    assert [timer for timer in stage.clock.timers if not timer.cancelled]
    await stage.hub.drain()
    stage.store.failing = True
    ann.drop()
    await stage.idle()
    assert not [timer for timer in stage.clock.timers if not timer.cancelled]


class DeafClient(Person):
    """A client that no event can be written to."""

    def write(self, frames: bytes) -> None:
        if b"participants-changed" in frames:
            raise RuntimeError("broken")
        super().write(frames)


async def test_a_bug_in_the_telling_answers_nobody_twice(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """What was answered before stays answered; the change is kept, and the next batch is served."""
    deaf, bob, carol = DeafClient(stage, None, "deaf"), stage.guest(), stage.guest()
    await deaf.join()
    await bob.join()
    assert bob.answers == ["ok"]
    assert [record.message for record in caplog.records] == ["batch failed"]
    await carol.join()
    assert carol.said()[1][2] == [deaf.seat, bob.seat, carol.seat]


# Ids.


async def test_ids_sort_after_what_storage_has(stage: Stage) -> None:
    """A clock that was set back before a restart makes no id that sorts before an older one."""
    ann, bob = await stage.seated("ann", "bob")
    await ann.say("last")
    (said,), _ = await stage.store.messages(Reader(stage.room.id, None, None), None, 10)
    stage.clock.wall_offset = -3600.0
    again = await stage.restart()
    carol = again.guest()
    await carol.join()
    await carol.say("after")
    (_, after), _ = await stage.store.messages(Reader(stage.room.id, None, None), None, 10)
    assert ann.seat < bob.seat < said.id < carol.seat < after.id
    await again.close()


async def test_ids_follow_the_order_of_the_batch(stage: Stage) -> None:
    """Who is decided first has the lower id, and a message that comes between them stands between them."""
    (ann,) = await stage.seated("ann")
    bob, carol = stage.guest(), stage.guest()
    await stage.in_one_batch(bob.join, lambda: ann.say("between"), carol.join)
    (said,), _ = await stage.store.messages(Reader(stage.room.id, None, None), None, 10)
    assert ann.seat < bob.seat < said.id < carol.seat
