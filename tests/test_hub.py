"""Turns, with a store that stops at its gate: every race is forced, none is waited for."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from roomd import commands, errors
from roomd.commands import Caller, Settings
from roomd.errors import Refused
from roomd.frames import Room
from roomd.hub import RETRY_AFTER, Hub
from roomd.ids import Ids
from roomd.outbox import text_frame
from roomd.room import Rules
from tests.fakes import FakeClock, FakeListener, FakeStore

HOLD = 30.0


class Stage:
    """A hub with one room of Alice's for three, on a steerable store and clock."""

    def __init__(self) -> None:
        self.store = FakeStore()
        self.clock = FakeClock()
        self.hub = Hub(self.store, Rules(HOLD, 100), self.clock, Ids())
        self.room: Room
        self.connections = 0

    async def open(self, **settings: Any) -> "Stage":
        self.room = await self.hub.create(Settings(**{"max_participants": 3, **settings}), "alice")
        self.store.appends = 0
        return self

    def guest(self, name: str = "guest") -> "Person":
        self.connections += 1
        return Person(self, self.connections, None, name)

    def user(self, user_id: str) -> "Person":
        self.connections += 1
        return Person(self, self.connections, user_id, None)

    async def seated(self, *names: str) -> list["Person"]:
        """People who joined one after another, with nothing left to read."""
        people = [self.guest(name) for name in names]
        for person in people:
            await person.join()
        for person in people:
            person.said()
        return people

    async def idle(self) -> None:
        """Wait until no turn is under way."""
        while self.hub._tasks:
            await asyncio.wait(self.hub._tasks, timeout=5)

    async def held(self) -> None:
        """Make the store hold, and wait until everything that can run has run."""
        await asyncio.wait_for(self.store.reached.wait(), 5)
        for _ in range(20):
            await asyncio.sleep(0)


class Person(FakeListener):
    """A connection as the hub sees it, writing its replies as `connection` does."""

    def __init__(self, stage: Stage, number: int, user_id: str | None, name: str | None) -> None:
        super().__init__()
        self.stage = stage
        self.number = number
        self.user_id = user_id
        self.name = name
        self.seat = ""
        self.answers: list[str] = []

    def caller(self) -> Caller:
        return Caller(self.seat or None, self.number, self.user_id, self.user_id or "")

    def submit(self, command: commands.Command, listens: bool = False) -> asyncio.Future[None]:
        def respond(answer: Any, state: bytes) -> None:
            if isinstance(answer, Refused):
                self.answers.append(answer.kind.code)
            else:
                self.answers.append("ok")
                if listens:
                    self.seat = answer.id
            self.outbox.send(text_frame(b'{"type":"reply"}'), state)

        return self.stage.hub.submit(self.stage.room.code, command, respond, self if listens else None)

    def join(self) -> asyncio.Future[None]:
        command = commands.Join(self.caller(), self.name, f"p{self.number:02}", f"hash-{self.number}", self.number)
        return self.submit(command, listens=True)

    def resume(self, key: str, token: str) -> asyncio.Future[None]:
        return self.submit(commands.Resume(self.caller(), key, token, f"hash-{self.number}", self.number), listens=True)

    def leave(self) -> asyncio.Future[None]:
        return self.submit(commands.Leave(self.seat, self.number))

    def drop(self) -> None:
        self.stage.hub.release(self.stage.room.code, commands.Drop(self.seat, self.number, self.stage.clock.now()))

    def said(self) -> list[Any]:
        """What was written to this client since the last look, one word a frame."""
        return [brief(frame) for frame in self.transport.frames()]


def brief(frame: dict[str, Any]) -> Any:
    """Write a frame as its type and what tells two of them apart."""
    if frame["type"] == "room-state":
        return ("state", frame["seq"], [p["id"] for p in frame["participants"]])
    if frame["type"] == "participants-changed":
        lists = {key: [p["id"] for p in frame[key]] for key in ("joined", "updated", "left") if frame[key]}
        return ("changed", frame["seq"], lists)
    return (frame["type"], frame["seq"]) if "seq" in frame else frame["type"]


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    stage = await Stage().open()
    yield stage
    stage.store.failing = False
    stage.store.let_go()
    await stage.hub.drain()


async def test_commands_gather_while_a_turn_commits(stage: Stage) -> None:
    """Flat combining: two appends for any number of joins, and one event for all of them."""
    (ann,) = await stage.seated("ann")
    stage.store.appends = 0
    stage.store.hold()
    first = ann.submit(commands.Update(Caller(user_id="alice"), Settings(max_participants=100)))
    await stage.held()
    others = [stage.guest() for _ in range(50)]
    waiting = [other.join() for other in others]
    await stage.held()
    assert stage.store.appends == 1, "the second turn waits for the lock while the first one commits"
    stage.store.let_go()
    await asyncio.gather(first, *waiting)
    assert stage.store.appends == 2
    assert ann.said() == ["reply", ("room-updated", 2), ("changed", 3, {"joined": [o.seat for o in others]})]
    for other in others:
        assert other.said() == ["reply", ("state", 3, [ann.seat, *(o.seat for o in others)])]


async def test_nothing_is_told_before_it_is_kept(stage: Stage) -> None:
    """While the append is under way nobody has heard of it."""
    (ann,) = await stage.seated("ann")
    stage.store.hold()
    bob = stage.guest()
    joining = bob.join()
    await stage.held()
    assert (ann.said(), bob.said(), stage.hub.seats_in(stage.room.code)) == ([], [], 1)
    stage.store.let_go()
    await joining
    assert bob.said() == ["reply", ("state", 2, [ann.seat, bob.seat])]
    assert ann.said() == [("changed", 2, {"joined": [bob.seat]})]


async def test_a_failed_append_undoes_its_turn(stage: Stage) -> None:
    """503 for every command of the turn, the refused ones too, and the room is as before; then it goes on."""
    (ann,) = await stage.seated("ann")
    stage.store.hold()
    first = ann.submit(commands.Update(Caller(user_id="alice"), Settings(name="first")))
    await stage.held()
    late = [stage.guest() for _ in range(3)]  # for two free seats
    waiting = [person.join() for person in late]
    stage.store.failing = True
    stage.store.let_go()
    await asyncio.gather(first, *waiting)
    assert [person.answers for person in (ann, *late)] == [["ok", "unavailable"]] + [["unavailable"]] * 3
    assert ann.said() == ["reply"]
    stage.store.failing = False
    await asyncio.gather(*(person.join() for person in late))
    assert [person.answers[-1] for person in late] == ["ok", "ok", "room_full"]
    assert ann.said() == [("changed", 2, {"joined": [late[0].seat, late[1].seat]})]


async def test_one_seat_left_for_two(stage: Stage) -> None:
    """Both ask while another turn commits: exactly one is let in, in the order they asked."""
    await stage.seated("ann", "bob")
    stage.store.hold()
    blocker = stage.guest().submit(commands.Update(Caller(user_id="alice"), Settings(name="x")))
    await stage.held()
    carol, dave = stage.guest(), stage.guest()
    waiting = [carol.join(), dave.join()]
    stage.store.let_go()
    await asyncio.gather(blocker, *waiting)
    assert (carol.answers, dave.answers) == (["ok"], ["room_full"])


async def test_the_lock_keeps_turns_apart(stage: Stage) -> None:
    """No one is told "full" for a seat that is not kept: the next turn begins when the one before it is over."""
    await stage.seated("ann", "bob")
    stage.store.hold()
    carol, dave = stage.guest(), stage.guest()
    first = carol.join()
    await stage.held()
    second = dave.join()
    await stage.held()
    assert stage.store.appends == 3, "the second turn has not begun"
    stage.store.fails_once = True
    stage.store.let_go()
    await asyncio.gather(first, second)
    assert (carol.answers, dave.answers) == (["unavailable"], ["ok"])


async def test_a_lock_that_comes_first_is_obeyed(stage: Stage) -> None:
    """The host locks while a join waits for its turn: the order they asked in decides."""
    stage.store.hold()
    ann, bob, carol = stage.guest(), stage.guest(), stage.guest()
    first = ann.join()
    await stage.held()
    waiting = [
        bob.join(),
        carol.submit(commands.Update(Caller(user_id="alice"), Settings(is_locked=True))),
        carol.join(),
    ]
    stage.store.let_go()
    await asyncio.gather(first, *waiting)
    assert (bob.answers, carol.answers) == (["ok"], ["ok", "room_locked"])
    assert bob.said() == ["reply", ("state", 3, [ann.seat, bob.seat])]
    assert ann.said() == [
        "reply",
        ("state", 1, [ann.seat]),
        ("changed", 2, {"joined": [bob.seat]}),
        ("room-updated", 3),
    ]


async def test_cancelling_who_waits_cancels_no_turn(stage: Stage) -> None:
    """A turn that has begun finishes: the client that went away is seated, and the others are served."""
    stage.store.hold()
    ann, bob = stage.guest(), stage.guest()
    task = asyncio.ensure_future(_wait(ann.join()))
    await stage.held()
    other = bob.join()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    stage.store.let_go()
    await other
    assert (ann.answers, bob.answers) == (["ok"], ["ok"])
    assert bob.said() == ["reply", ("state", 2, [ann.seat, bob.seat])]


async def _wait(future: asyncio.Future[None]) -> None:
    await future


async def test_takeover_and_late_drop(stage: Stage) -> None:
    """The connection that lost its seat is closed with 4409, and its late cleanup changes nothing."""
    (ann,) = await stage.seated("ann")
    first, second = stage.user("bob"), stage.user("bob")
    await first.join()
    await second.join()
    assert second.seat == first.seat
    assert (first.closes, first.lost) == ([4409], [first.seat])
    stage.store.appends = 0
    first.drop()
    await stage.idle()
    assert stage.store.appends == 0
    assert ann.said() == [("changed", 2, {"joined": [first.seat]})], "the same person under the same id is no news"
    assert second.said() == ["reply", ("state", 2, [ann.seat, first.seat])]


async def test_join_and_takeover_in_one_turn(stage: Stage) -> None:
    """Both are answered, in order, and the second has the seat."""
    (ann,) = await stage.seated("ann")
    first, second = stage.user("bob"), stage.user("bob")
    await asyncio.gather(first.join(), second.join())
    assert first.said() == ["reply", ("state", 2, [ann.seat, first.seat])]
    assert second.said() == ["reply", ("state", 2, [ann.seat, first.seat])]
    assert (first.closes, second.closes) == ([4409], [])
    await ann.leave()
    assert (first.said(), second.said()) == ([], [("changed", 3, {"left": [ann.seat]})])


async def test_a_seat_is_held_and_runs_out(stage: Stage) -> None:
    """Others see `updated`, then `left`; a seat that ran out is free for whoever asks in that moment."""
    ann, bob, carol = await stage.seated("ann", "bob", "carol")
    bob.drop()
    await stage.idle()
    assert ann.said() == [("changed", 4, {"updated": [bob.seat]})]
    assert bob.said() == []
    stage.clock.timers.clear()  # the timer is late; the turn is not
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


async def test_an_end_is_a_turn_of_its_own(stage: Stage) -> None:
    """Who joined before it is told of the end; who asked after it is refused; nobody listens any more."""
    (ann,) = await stage.seated("ann")
    stage.store.hold()
    first = ann.submit(commands.Update(Caller(user_id="alice"), Settings(name="x")))
    await stage.held()
    bob, host, carol = stage.guest(), stage.user("alice"), stage.guest()
    waiting = [bob.join(), host.submit(commands.End(host.caller())), carol.join()]
    stage.store.let_go()
    await asyncio.gather(first, *waiting)
    assert bob.said() == ["reply", ("state", 3, [ann.seat, bob.seat]), ("room-ended", 4)]
    assert ann.said() == ["reply", ("room-updated", 2), ("changed", 3, {"joined": [bob.seat]}), ("room-ended", 4)]
    assert (host.answers, carol.answers) == (["ok"], ["room_inactive"])
    assert (ann.lost, bob.lost) == ([ann.seat], [bob.seat])
    assert stage.hub.statistics() == {"rooms": 0, "listeners": 0}


async def test_who_moves_hears_nothing_of_the_room_it_left(stage: Stage) -> None:
    """From the moment the second room lets it in; only the connection that listens can be silenced."""
    ann, bob = await stage.seated("ann", "bob")
    stage.hub.silence(stage.room.code, ann.seat, bob)
    stage.hub.silence("no-such-one", ann.seat, ann)
    stage.hub.silence(stage.room.code, bob.seat, bob)
    await stage.guest().join()
    assert [len(ann.said()), bob.said()] == [1, []]


MISSING = [
    (commands.Get(Caller()), errors.ROOM_NOT_FOUND),
    (commands.Resume(Caller(), "p", "h", "n", 1), errors.SEAT_EXPIRED),
]


@pytest.mark.parametrize(("command", "kind"), MISSING)
async def test_rooms_that_do_not_exist(stage: Stage, command: commands.Command, kind: errors.ErrorKind) -> None:
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


async def test_a_bug_in_a_decision_costs_one_answer(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """500 `internal_error`, logged, and the others of the turn are served."""
    (ann,) = await stage.seated("ann")
    bob, carol = stage.guest(), stage.guest()
    await asyncio.gather(bob.submit("no command at all"), bob.join(), carol.join())  # type: ignore[arg-type]
    assert (bob.answers, carol.answers) == (["internal_error", "ok"], ["ok"])
    assert [record.message for record in caplog.records] == ["decision failed"]
    assert ann.said() == [("changed", 2, {"joined": [bob.seat, carol.seat]})]


async def test_a_bug_in_a_turn_changes_nothing(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """500 `internal_error` for everyone in it, logged; the room is as before, and a drop is not forgotten."""
    ann, bob = await stage.seated("ann", "bob")
    stage.store.broken = RuntimeError("broken")
    carol = stage.guest()
    bob.drop()
    await carol.join()
    assert carol.answers == ["internal_error"]
    assert [record.message for record in caplog.records] == ["turn failed"]
    stage.store.broken = None
    stage.clock.advance(RETRY_AFTER)
    await stage.idle()
    assert ann.said() == [("changed", 3, {"updated": [bob.seat]})]


async def test_a_reply_that_fails_costs_the_others_nothing(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """One client's connection breaks in the middle of a turn: the turn goes on."""

    def broken(answer: Any, state: bytes) -> None:
        raise RuntimeError("broken")

    ann, bob = stage.guest(), stage.guest()
    waiting = [ann.join(), stage.hub.submit(stage.room.code, commands.Get(Caller()), broken), bob.join()]
    await asyncio.gather(*waiting)
    assert (ann.answers, bob.answers) == (["ok"], ["ok"])
    assert [record.message for record in caplog.records] == ["reply failed"]


async def test_create_needs_storage(stage: Stage) -> None:
    """503 when the room cannot be kept."""
    stage.store.failing = True
    with pytest.raises(Refused) as caught:
        await stage.hub.create(Settings(), "alice")
    assert caught.value.kind == errors.UNAVAILABLE


async def test_a_restart_holds_every_seat_anew(stage: Stage) -> None:
    """Section 5: under the same id for the full window, in a new epoch; after it no ghost remains."""
    ann, bob = await stage.seated("ann", "bob")
    bob.drop()
    await stage.idle()
    stage.clock.advance(HOLD - 1)
    await stage.hub.drain()
    again = Stage()
    again.store, again.clock, again.room = stage.store, stage.clock, stage.room
    again.hub = Hub(again.store, Rules(HOLD, 100), again.clock, Ids())
    await again.hub.open()
    stage.clock.advance(HOLD - 1)
    again.connections = 50
    back = again.guest()
    await back.resume(ann.seat, "hash-1")
    assert back.answers == ["ok"]
    assert back.said() == ["reply", ("state", 1, [ann.seat, bob.seat])]
    stage.clock.advance(1)
    await again.idle()
    assert back.said() == [("changed", 2, {"left": [bob.seat]})]
    await again.hub.drain()
