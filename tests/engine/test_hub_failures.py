"""Live rooms when holds run out, when storage fails or is slow, and when code has a bug; no test waits."""

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
from tests.support.stage import HOLD, HOST, Person, Stage

A = TypeVar("A")


async def test_a_dropped_seat_is_held_and_released(stage: Stage) -> None:
    """Others receive `updated`, then `left`; a join after the hold gets the seat, though the timer is late."""
    ann, bob, carol = await stage.seated("ann", "bob", "carol")
    bob.drop()
    await stage.idle()
    assert ann.said() == [("changed", 4, {"updated": [bob.seat]})]
    assert bob.said() == []
    stage.clock.timers.clear()  # the timer is late, and the batch must not need it
    stage.clock.seconds += HOLD
    dave = stage.guest()
    await dave.join()
    assert dave.answers == ["ok"]
    assert carol.said()[1] == ("changed", 5, {"joined": [dave.seat], "left": [bob.seat]})


async def test_a_nearly_full_storage_takes_no_messages_and_no_rooms(stage: Stage) -> None:
    """507 `storage_low` for these alone; a message sent again is answered, joins, drops, lock and end are stored."""
    ann, bob = await stage.seated("ann", "bob")
    sent = commands.SendMessage(ann.seat, ann.claim, "Hello", None, "c1")
    await stage.ask(sent)
    stage.store.nearly_full = True
    await stage.ask(sent)
    with pytest.raises(Refused) as caught:
        await stage.ask(commands.SendMessage(ann.seat, ann.claim, "Hello again", None, "c2"))
    assert caught.value.kind == errors.STORAGE_LOW
    with pytest.raises(Refused) as caught:
        await stage.hub.create(Settings(), "alice")
    assert caught.value.kind == errors.STORAGE_LOW
    bob.drop()
    carol = stage.guest("carol")
    await carol.join()
    assert carol.answers == ["ok"]
    assert (await stage.ask(commands.UpdateRoom(HOST, Settings(is_locked=True)))).is_locked
    assert not (await stage.ask(commands.EndRoom(HOST))).is_active
    stage.store.nearly_full = False
    assert (await stage.hub.create(Settings(), "alice")).is_active


async def test_the_timer_releases_the_last_seat(stage: Stage) -> None:
    """Without any command, a seat is released after its hold, and the room is no longer live."""
    (ann,) = await stage.seated("ann")
    ann.drop()
    await stage.idle()
    stage.clock.advance(HOLD)
    await stage.idle()
    ((participant,), _) = await stage.store.history(stage.room.id, None, 10)
    assert (participant.left_at, participant.is_active) == ("2026-03-03T10:35:00.000Z", False)
    assert stage.hub.statistics() == {"rooms": 0, "listeners": 0}


async def test_a_drop_is_stored_however_long_storage_fails(stage: Stage) -> None:
    """Others receive the drop once it is stored; `leftAt` is when the connection was last open."""
    ann, bob = await stage.seated("ann", "bob")
    stage.stay()
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
    assert (await stage.store.history(stage.room.id, None, 10))[0][1].left_at == "2026-03-03T10:35:30.000Z"


async def test_a_release_that_cannot_be_stored_is_tried_again(stage: Stage) -> None:
    """When storage fails at the end of a hold, the release is tried again later, and not in a busy loop."""
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
    """404, or 410 for a seat in them; such a command leaves nothing in memory."""
    with pytest.raises(Refused) as caught:
        await stage.hub.ask("zzz-zzz-zzz", command)
    assert caught.value.kind == kind
    assert (stage.hub.statistics()["rooms"], stage.hub.seats_in("zzz-zzz-zzz")) == (0, 0)


async def test_a_room_that_cannot_be_loaded(stage: Stage) -> None:
    """503; the next command loads the room."""
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


async def test_a_bug_in_a_decision_fails_one_command(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """500 `internal_error`, logged; the other commands of the batch are served."""
    (ann,) = await stage.seated("ann")
    bob, carol = stage.guest(), stage.guest()
    await asyncio.gather(bob.submit(Bug()), bob.join(), carol.join())
    assert (bob.answers, carol.answers) == (["internal_error", "ok"], ["ok"])
    assert [record.message for record in caplog.records] == ["decision failed"]
    assert ann.said() == [("changed", 2, {"joined": [bob.seat, carol.seat]})]


async def test_a_bug_in_a_batch_changes_nothing(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """500 `internal_error` for every command in it, logged; the room is as before, and a drop is tried again."""
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
    """An asker whose answer raises an error."""

    def answered(self, answer: A) -> None:
        raise RuntimeError("broken")


class BrokenClient(Person):
    """A client to which every write raises an error."""

    def write(self, frames: bytes) -> None:
        raise RuntimeError("broken")


async def test_others_are_served_when_a_reply_fails(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """When writing one reply raises an error, the batch continues."""
    ann, bob = stage.guest(), stage.guest()
    broken: BrokenAsker[RoomAnswer] = BrokenAsker()
    waiting = [ann.join(), stage.hub.submit(stage.room.code, commands.GetRoom(Caller()), broken), bob.join()]
    await asyncio.gather(*waiting)
    assert (ann.answers, bob.answers) == (["ok"], ["ok"])
    assert [record.message for record in caplog.records] == ["reply failed"]


@pytest.mark.parametrize("waits", [False, True], ids=["a seat", "a place in the queue"])
async def test_takeover_by_a_client_whose_reply_fails(
    stage: Stage, caplog: pytest.LogCaptureFixture, waits: bool
) -> None:
    """The older connection is sent that it lost its place, though the newer one's reply fails."""
    await stage.seated(*(["ann", "bob", "carol"] if waits else ["ann"]))
    first, second = stage.user("dave"), BrokenClient(stage, "dave", None)
    await first.join(wait=True)
    await second.join()
    assert (first.closes, first.lost) == ([4409], [first.seat])
    assert [record.message for record in caplog.records] == ["reply failed"]


async def test_others_get_seats_when_a_waiting_clients_reply_fails(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    """Two waiting clients get seats in one batch; the first one's reply fails, the second one's is written."""
    await stage.seated("ann", "bob", "carol")
    dave, erin = BrokenClient(stage, None, "dave"), stage.guest()
    await dave.join(wait=True)
    await erin.join(wait=True)
    caplog.clear()
    await stage.set(max_participants=5)
    assert erin.answers == ["waiting", "ok"]
    assert "reply failed" in {record.message for record in caplog.records}


async def test_a_room_is_not_created_while_storage_fails(stage: Stage) -> None:
    """503 when the room cannot be stored."""
    stage.store.failing = True
    with pytest.raises(Refused) as caught:
        await stage.hub.create(Settings(), "alice")
    assert caught.value.kind == errors.UNAVAILABLE


async def test_a_restart_holds_every_seat_once_more(stage: Stage) -> None:
    """Every seat is held under its id for the full time, in a new epoch (docs/protocol.md, section 5)."""
    ann, bob = await stage.seated("ann", "bob")
    stage.stay()
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


# Seats that are released while storage fails or is slow.


async def test_a_leave_is_stored_however_long_storage_fails(stage: Stage) -> None:
    """A leave is tried again until it is stored; a leave with an older claim is refused."""
    ann, bob = await stage.seated("ann", "bob")
    stage.store.failing = True
    stage.hub.leave(stage.room.code, bob.seat, bob.claim, "left")
    for _ in range(3):
        await stage.idle()
        stage.clock.advance(RETRY_AFTER)
    assert ann.said() == []
    stage.store.failing = False
    stage.clock.advance(RETRY_AFTER)
    await stage.idle()
    assert ann.said() == [("changed", 3, {"left": [bob.seat]})]
    stage.hub.leave(stage.room.code, ann.seat, bob.claim, "left")
    await stage.idle()
    assert (ann.said(), stage.clock.timers) == ([], []), "refused, and not tried again"


async def test_the_hold_runs_from_the_drop_though_storage_is_slow(stage: Stage) -> None:
    """`leftAt` is when the connection was last open, and the hold runs from then, however slow storage is."""
    ann, bob = await stage.seated("ann", "bob")
    stage.stay()
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
    assert (await stage.store.history(stage.room.id, None, 10))[0][1].left_at == "2026-03-03T10:35:30.000Z"


async def test_a_drop_that_cannot_be_stored_while_draining(stage: Stage) -> None:
    """It is not tried again and leaves no timer, because the next start holds every seat once more."""
    ann, bob = await stage.seated("ann", "bob")
    bob.drop()
    await stage.idle()
    assert [timer for timer in stage.clock.timers if not timer.cancelled]
    await stage.hub.drain()
    stage.store.failing = True
    ann.drop()
    await stage.idle()
    assert not [timer for timer in stage.clock.timers if not timer.cancelled]


class NoEventsClient(Person):
    """A client to which writing `participants-changed` raises an error."""

    def write(self, frames: bytes) -> None:
        if b"participants-changed" in frames:
            raise RuntimeError("broken")
        super().write(frames)


async def test_a_bug_in_the_broadcast_sends_no_second_reply(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """Clients that have their replies get no second one; the change is stored, and the next batch is served."""
    deaf, bob, carol = NoEventsClient(stage, None, "deaf"), stage.guest(), stage.guest()
    await deaf.join()
    await bob.join()
    assert bob.answers == ["ok"]
    assert [record.message for record in caplog.records] == ["batch failed"]
    await carol.join()
    assert carol.said()[1][2] == [deaf.seat, bob.seat, carol.seat]


# Ids.


async def test_new_ids_sort_after_stored_ones(stage: Stage) -> None:
    """After a restart with the clock set back, new ids still sort after older ones."""
    ann, bob = await stage.seated("ann", "bob")
    await ann.say("last")
    (said,), *_ = await stage.store.messages(Reader(stage.room.id, None, None), None, 10)
    stage.clock.wall_offset = -3600.0
    again = await stage.restart()
    carol = again.guest()
    await carol.join()
    await carol.say("after")
    (_, after), *_ = await stage.store.messages(Reader(stage.room.id, None, None), None, 10)
    assert ann.seat < bob.seat < said.id < carol.seat < after.id
    await again.close()


async def test_ids_follow_the_order_of_the_batch(stage: Stage) -> None:
    """Ids of participants and messages sort in the order in which a batch decides its commands."""
    (ann,) = await stage.seated("ann")
    bob, carol = stage.guest(), stage.guest()
    await stage.in_one_batch(bob.join, lambda: ann.say("between"), carol.join)
    (said,), *_ = await stage.store.messages(Reader(stage.room.id, None, None), None, 10)
    assert ann.seat < bob.seat < said.id < carol.seat
