"""Batches, with a store that stops at its gate: every race is forced, none is waited for."""

import asyncio

from roomd.engine.hub import MOST_IDLE
from roomd.rooms import commands
from roomd.rooms.model import Caller
from roomd.rooms.settings import Settings
from tests.support.stage import Stage


async def test_commands_gather_while_a_batch_commits(stage: Stage) -> None:
    """Flat combining: two appends for any number of joins, and one event for all of them."""
    (ann,) = await stage.seated("ann")
    stage.store.appends = 0
    stage.store.hold()
    first = ann.submit(commands.UpdateRoom(Caller(user_id="alice"), Settings(max_participants=100)))
    await stage.held()
    others = [stage.guest() for _ in range(50)]
    waiting = [other.join() for other in others]
    await stage.held()
    assert stage.store.appends == 1, "the second batch waits for the lock while the first one commits"
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


async def test_a_failed_append_undoes_its_batch(stage: Stage) -> None:
    """503 for every command of the batch, the refused ones too, and the room is as before; then it goes on."""
    (ann,) = await stage.seated("ann")
    stage.store.hold()
    first = ann.submit(commands.UpdateRoom(Caller(user_id="alice"), Settings(name="first")))
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
    """Both ask while another batch commits: exactly one is let in, in the order they asked."""
    await stage.seated("ann", "bob")
    stage.store.hold()
    blocker = stage.guest().submit(commands.UpdateRoom(Caller(user_id="alice"), Settings(name="x")))
    await stage.held()
    carol, dave = stage.guest(), stage.guest()
    waiting = [carol.join(), dave.join()]
    stage.store.let_go()
    await asyncio.gather(blocker, *waiting)
    assert (carol.answers, dave.answers) == (["ok"], ["room_full"])


async def test_the_lock_keeps_batches_apart(stage: Stage) -> None:
    """No one is told "full" for a seat that is not kept: the next batch begins when the one before it is over."""
    await stage.seated("ann", "bob")
    stage.store.hold()
    carol, dave = stage.guest(), stage.guest()
    first = carol.join()
    await stage.held()
    second = dave.join()
    await stage.held()
    assert stage.store.appends == 3, "the second batch has not begun"
    stage.store.fails_once = True
    stage.store.let_go()
    await asyncio.gather(first, second)
    assert (carol.answers, dave.answers) == (["unavailable"], ["ok"])


async def test_a_lock_that_comes_first_is_obeyed(stage: Stage) -> None:
    """The host locks while a join waits for its batch: the order they asked in decides."""
    stage.store.hold()
    ann, bob, carol = stage.guest(), stage.guest(), stage.guest()
    first = ann.join()
    await stage.held()
    waiting = [
        bob.join(),
        carol.submit(commands.UpdateRoom(Caller(user_id="alice"), Settings(is_locked=True))),
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


async def test_cancelling_who_waits_cancels_no_batch(stage: Stage) -> None:
    """A batch that has begun finishes: the client that went away is seated, and the others are served."""
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


async def test_join_and_takeover_in_one_batch(stage: Stage) -> None:
    """Both are answered, in order, and the second has the seat."""
    (ann,) = await stage.seated("ann")
    first, second = stage.user("bob"), stage.user("bob")
    await asyncio.gather(first.join(), second.join())
    assert first.said() == ["reply", ("state", 2, [ann.seat, first.seat])]
    assert second.said() == ["reply", ("state", 2, [ann.seat, first.seat])]
    assert (first.closes, second.closes) == ([4409], [])
    await ann.leave()
    assert (first.said(), second.said()) == ([], [("changed", 3, {"left": [ann.seat]})])


async def test_an_end_is_a_batch_of_its_own(stage: Stage) -> None:
    """Who joined before it is told of the end; who asked after it is refused; no member is left."""
    (ann,) = await stage.seated("ann")
    stage.store.hold()
    first = ann.submit(commands.UpdateRoom(Caller(user_id="alice"), Settings(name="x")))
    await stage.held()
    bob, host, carol = stage.guest(), stage.user("alice"), stage.guest()
    waiting = [bob.join(), host.submit(commands.EndRoom(host.caller())), carol.join()]
    stage.store.let_go()
    await asyncio.gather(first, *waiting)
    assert bob.said() == ["reply", ("state", 3, [ann.seat, bob.seat]), ("room-ended", 4)]
    assert ann.said() == ["reply", ("room-updated", 2), ("changed", 3, {"joined": [bob.seat]}), ("room-ended", 4)]
    assert (host.answers, carol.answers) == (["ok"], ["room_inactive"])
    assert (ann.lost, bob.lost) == ([ann.seat], [bob.seat])
    assert stage.hub.statistics() == {"rooms": 0, "listeners": 0}


async def test_who_moves_hears_nothing_of_the_room_it_left(stage: Stage) -> None:
    """From the moment that the second room gives it a seat; only the member itself can be silenced."""
    ann, bob = await stage.seated("ann", "bob")
    stage.hub.unsubscribe(stage.room.code, ann.seat, bob.sitting)
    stage.hub.unsubscribe("no-such-one", ann.seat, ann.sitting)
    stage.hub.unsubscribe(stage.room.code, bob.seat, bob.sitting)
    await stage.guest().join()
    assert [len(ann.said()), bob.said()] == [1, []]


async def test_an_empty_room_stays_in_memory_for_a_while(stage: Stage) -> None:
    """At most a thousand of them, the last ones asked for; none with messages or bans, which may be large."""
    rooms = [await stage.hub.create(Settings(), "alice") for _ in range(MOST_IDLE + 2)]
    for room in rooms:
        await stage.hub.ask(room.code, commands.GetRoom(Caller()))
    assert list(stage.hub._rooms) == [room.code for room in rooms[2:]]
    assert stage.hub.statistics() == {"rooms": 0, "listeners": 0}
    (ann,) = await stage.seated("ann")
    await ann.say("hello")
    await ann.leave()
    assert stage.room.code not in stage.hub._rooms
    back = stage.guest()
    await back.join()
    assert [message["text"] for message in back.frames()[1]["messages"]] == ["hello"]
