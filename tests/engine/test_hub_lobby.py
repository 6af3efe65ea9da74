"""The host's side of waiting, and what else meets it in a batch: docs/protocol.md, section 8, "Waiting"."""

import asyncio

import msgspec
import pytest

from roomd.protocol.errors import Refused
from roomd.rooms import commands
from roomd.rooms.model import Caller
from roomd.rooms.settings import Settings
from tests.support.stage import ADMIN, HOLD, HOST, Person, Stage

FULL = "room_full"
LOBBY = "waiting_room"


class Lobby:
    """A room with Ann in it, its waiting room on, and Dave and Erin waiting for the host."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.ann, self.dave, self.erin = (stage.guest(name) for name in ("ann", "dave", "erin"))

    async def open(self) -> "Lobby":
        await self.ann.join()
        await self.stage.set(waiting_room=True)
        await self.dave.join()
        await self.erin.join()
        assert [person.said()[-1] for person in (self.dave, self.erin)] == [
            ("waiting", 1, LOBBY),
            ("waiting", 2, LOBBY),
        ]
        self.ann.said()
        return self

    def act(self, word: str) -> asyncio.Future[None] | None:
        """What may meet Dave's waiting."""
        key = self.dave.seat
        match word:
            case "admit":
                return self.stage.command(commands.Admit(HOST, key))
            case "admit all":
                return self.stage.command(commands.Admit(HOST, None))
            case "deny":
                return self.stage.command(commands.Deny(HOST, key))
            case "remove":
                return self.stage.command(commands.RemoveParticipant(HOST, key, False, "spam"))
            case "end":
                return self.stage.command(commands.EndRoom(HOST))
            case "lock":
                return self.stage.command(commands.UpdateRoom(HOST, Settings(is_locked=True)))
            case "no guests":
                return self.stage.command(commands.UpdateRoom(HOST, Settings(allow_guest_access=False)))
            case "no lobby":
                return self.stage.command(commands.UpdateRoom(HOST, Settings(waiting_room=False)))
            case "leave":
                return self.dave.leave()
            case "drop":
                self.dave.drop()
                return None
            case _:
                raise AssertionError(word)


@pytest.fixture
async def room(stage: Stage) -> Lobby:
    return await Lobby(stage).open()


# In which order two things come that are served by one batch, what Dave hears, and whether he has a seat then.
RACES: dict[tuple[str, str], tuple[list[str], bool]] = {
    ("admit", "deny"): (["ok"], True),
    ("deny", "admit"): (["denied"], False),
    ("admit", "lock"): (["ok"], True),
    ("lock", "admit"): (["ok"], True),
    ("admit", "no guests"): (["ok"], True),
    ("no guests", "admit"): (["guests_not_allowed"], False),
    ("admit", "no lobby"): (["ok"], True),
    ("no lobby", "admit"): (["ok"], True),
    ("no lobby", "deny"): (["ok"], True),
    ("admit", "admit all"): (["ok"], True),
    ("admit all", "deny"): (["ok"], True),
    ("admit", "leave"): (["ok"], False),
    ("leave", "admit"): (["ok"], False),
    ("deny", "leave"): (["not_in_room", "denied"], False),
    ("admit", "drop"): (["ok"], True),
    ("drop", "admit"): ([], True),
    ("drop", "deny"): ([], False),
    ("remove", "admit"): (["denied"], False),
    ("admit", "end"): (["ok"], False),
    ("end", "admit"): (["room_inactive"], False),
    ("deny", "end"): (["denied"], False),
}


@pytest.mark.parametrize(("order", "expected"), RACES.items(), ids=[" then ".join(key) for key in RACES])
@pytest.mark.parametrize("commits", [False, True], ids=["one batch", "while it commits"])
async def test_races(
    stage: Stage, room: Lobby, order: tuple[str, str], expected: tuple[list[str], bool], commits: bool
) -> None:
    """The order they were asked in decides; who waits gets one answer; who does not is not told of them."""
    first, second = (lambda: room.act(order[0])), (lambda: room.act(order[1]))
    await (stage.while_it_commits(first, second) if commits else stage.in_one_batch(first, second))
    answers, sits = expected
    if commits and order == ("admit", "leave"):
        answers = ["ok", "ok"]  # of the join and of the leave
    elif commits and order == ("deny", "leave"):
        answers = ["denied", "not_in_room"]
    if "drop" in order:
        assert room.dave.said() == [], "there is nobody to tell"
    else:
        assert room.dave.answers[1:] == answers
    if "end" in order:
        assert stage.hub.statistics() == {"rooms": 0, "listeners": 0}
        assert (room.erin.answers[0], room.erin.answers[-1]) == ("waiting", "room_inactive")
        return
    live = stage.hub._rooms[stage.room.code]
    assert live.room is not None
    assert (room.dave.seat in live.room.seats) == sits
    listens = sits and "drop" not in order
    assert (room.dave.seat in live.broadcast.members) == listens
    assert set(live.broadcast.waiters) <= {room.erin.seat}, "nobody else still waits to be told"


@pytest.mark.parametrize("order", [("drop", "admit"), ("admit", "drop")], ids=["before", "after"])
async def test_who_sits_and_drops_in_one_batch(stage: Stage, room: Lobby, order: tuple[str, str]) -> None:
    """The others are told `joined`, held already: each number is told once to every member."""
    await stage.in_one_batch(lambda: room.act(order[0]), lambda: room.act(order[1]))
    assert room.ann.said() == [("changed", 3, {"joined": [room.dave.seat]})]


async def test_removed_in_the_batch_that_seats(stage: Stage, room: Lobby) -> None:
    """Every way out is told: admitted and then removed in one batch, they are denied."""
    await stage.in_one_batch(lambda: room.act("admit"), lambda: room.act("remove"))
    assert (room.dave.answers, room.dave.closes) == (["waiting", "denied"], [])


async def test_removed_in_the_batch_that_seats_a_takeover(stage: Stage, room: Lobby) -> None:
    """A request gets exactly one reply, a join that takes over a place in such a batch too."""
    first, second = stage.user("fred"), stage.user("fred")
    await first.join()
    remove = commands.RemoveParticipant(HOST, first.seat, False, None)
    joining: list[asyncio.Future[None]] = []
    await stage.in_one_batch(
        lambda: joining.append(second.join()),
        lambda: stage.command(commands.Admit(HOST, first.seat)),
        lambda: stage.command(remove),
    )
    assert joining[0].done(), "the connection is stuck in its join"


@pytest.mark.parametrize("again", ["join", "resume"])
async def test_admitted_while_another_connection_takes_over(stage: Stage, room: Lobby, again: str) -> None:
    """Taken over in the batch before, the newer connection is let in."""
    first, second = stage.user("fred"), stage.user("fred")
    await first.join()
    first.said()
    back = second.join if again == "join" else lambda: second.resume(first)
    await stage.while_it_commits(back, lambda: stage.command(commands.Admit(HOST, first.seat)))
    assert (first.said(), first.closes, second.answers, second.closes) == ([], [4409], ["waiting", "ok"], [])


async def test_admitted_while_nothing_can_be_kept(stage: Stage, room: Lobby) -> None:
    """Nobody is told anything wrong, and the host may admit again."""
    await stage.while_it_commits(lambda: room.act("admit"), fails=True)
    assert (room.dave.said(), room.erin.said(), room.ann.said()) == ([], [], [])
    await stage.in_one_batch(lambda: room.act("admit"))
    assert room.dave.answers == ["waiting", "ok"]
    assert room.erin.said() == [("waiting", 1, LOBBY)]


async def test_both_to_wait_for(stage: Stage, room: Lobby) -> None:
    """Who meets both waits for the host first, then at the same place for a seat, and hears of each once."""
    await stage.in_one_batch(lambda: room.act("admit all"))
    for person in (room.dave, room.erin):
        person.said()
    fred, gina = stage.guest(), stage.guest()
    await fred.join(wait=True)
    await gina.join(wait=True)
    assert (fred.said(), gina.said()) == ([("waiting", 1, LOBBY)], [("waiting", 2, LOBBY)])
    await stage.ask(commands.Admit(HOST, gina.seat))
    assert (fred.said(), gina.said()) == ([], [("waiting", 2, FULL)])
    await room.ann.leave()
    assert (fred.said(), gina.answers[-1]) == ([], "ok"), "Fred is first, and needs the host"
    await room.dave.leave()
    assert fred.said() == [], "a seat is free and it is the host that keeps him"
    await stage.ask(commands.Admit(HOST, None))
    assert fred.answers[-1] == "ok"


async def test_a_full_room_that_is_locked(stage: Stage, room: Lobby) -> None:
    """Locked, those who wait for a seat are told so; who waits for the host still does, until a seat is free."""
    await stage.set(max_participants=2)
    gina = stage.guest()
    await stage.in_one_batch(lambda: room.act("admit"))
    await gina.join(wait=True)
    await stage.ask(commands.Admit(HOST, room.erin.seat))
    assert room.erin.said() == [("waiting", 1, LOBBY), ("waiting", 1, FULL)]
    await stage.in_one_batch(lambda: room.act("lock"))
    assert (room.erin.answers[-1], gina.answers) == ("room_locked", ["waiting", "waiting"])
    with pytest.raises(Refused) as caught:
        await stage.ask(commands.Admit(HOST, gina.seat))
    assert caught.value.kind.code == FULL
    await stage.ask(commands.Admit(HOST, None))
    assert stage.queue() == [gina.seat]
    await room.ann.leave()
    assert gina.answers[-1] == "waiting"
    await stage.ask(commands.Admit(HOST, gina.seat))
    assert gina.answers[-1] == "ok"


# Who hears of the queue.


async def test_hosts_hear_of_the_queue(stage: Stage, room: Lobby) -> None:
    """The host and admins, when they come in and whenever it changes; nobody else, and for nothing else."""
    alice, boss = stage.user("alice"), Boss(stage)
    await alice.join()
    await boss.join()
    both = ("queue", [room.dave.seat, room.erin.seat])
    there = [room.ann.seat, alice.seat]
    assert alice.said() == ["reply", ("state", 3, there), both, ("changed", 4, {"joined": [boss.seat]})]
    assert boss.said() == ["reply", ("state", 4, [*there, boss.seat]), both]
    await room.ann.present(muted=True)
    assert (alice.said(), boss.said()) == ([("changed", 5, {"updated": [room.ann.seat]})],) * 2
    await stage.in_one_batch(lambda: room.act("deny"))
    assert (alice.said(), boss.said()) == ([("queue", [room.erin.seat])],) * 2
    await room.erin.leave()
    assert (alice.said(), boss.said()) == ([("queue", [])],) * 2
    assert [frame for frame in room.ann.said() if frame[0] == "queue"] == []


async def test_hosts_hear_of_a_batch_once(stage: Stage, room: Lobby) -> None:
    """One list for all that a batch changed, after the change it goes with; a drop shows in it."""
    alice = stage.user("alice")
    await alice.join()
    await stage.set(max_participants=5)
    alice.said()
    gina, hugo = stage.guest(), stage.guest()
    await stage.in_one_batch(gina.join, lambda: room.act("admit"), hugo.join)
    assert alice.said() == [
        ("changed", 5, {"joined": [room.dave.seat]}),
        ("queue", [room.erin.seat, gina.seat, hugo.seat]),
    ]
    gina.drop()
    await stage.idle()
    (frame,) = alice.frames()
    assert [(who["isActive"], who["position"], who["reason"]) for who in frame["waiting"]] == [
        (True, 1, LOBBY),
        (False, 2, LOBBY),
        (True, 3, LOBBY),
    ]


async def test_a_host_who_is_held_hears_nothing(stage: Stage, room: Lobby) -> None:
    """Dropped, they are told the list when they are back, as it is then."""
    alice = stage.user("alice")
    await alice.join()
    alice.said()
    alice.drop()
    await stage.idle()
    await room.erin.leave()
    assert alice.said() == []
    back, fred = stage.user("alice"), stage.guest()
    await stage.in_one_batch(back.join, fred.join)
    assert back.said()[2:] == [("queue", [room.dave.seat, fred.seat])]
    await room.dave.leave()
    assert (alice.said(), back.said()) == ([], [("queue", [fred.seat])])


async def test_a_host_comes_back_to_an_empty_queue(stage: Stage, room: Lobby) -> None:
    """A `room-state` alone says that nobody waits."""
    alice = stage.user("alice")
    await alice.join()
    alice.drop()
    await stage.in_one_batch(room.dave.leave, room.erin.leave)
    back = stage.user("alice")
    await back.join()
    assert [frame for frame in back.said() if frame[0] == "queue"] == []


async def test_a_host_who_reads_slowly_gets_the_last_list(stage: Stage, room: Lobby) -> None:
    """A guest who hops on and off the queue does not cost the host their connection; the last list comes in time."""
    alice = stage.user("alice")
    await alice.join()
    alice.said()
    alice.is_behind = True
    for _ in range(5):
        fred = stage.guest()
        await fred.join()
        await fred.leave()
    await room.dave.leave()
    assert (alice.said(), alice.closes) == ([], [])
    stage.clock.advance(1)
    await stage.idle()
    assert alice.said() == []
    alice.is_behind = False
    stage.clock.advance(1)
    await stage.idle()
    assert alice.said() == [("queue", [room.erin.seat])]
    stage.clock.advance(1)
    await stage.idle()
    assert alice.said() == []


async def test_an_admin_comes_back_as_a_user(stage: Stage, room: Lobby) -> None:
    """Only hosts are told of the queue: not the same user by a token without the grant."""
    boss, plain = Boss(stage), stage.user("root")
    await boss.join()
    await plain.join()
    plain.said()
    await room.erin.leave()
    assert plain.said() == []


async def test_a_token_that_makes_a_member_an_admin(stage: Stage, room: Lobby) -> None:
    """Who presents it is told of the queue at once; by a token without the grant the queue is empty, and stays so."""
    root = stage.user("root")
    await root.join()
    await stage.ask(commands.Admit(HOST, root.seat))
    root.said()
    plain = Caller(root.seat, root.claim, "root", "Root", token_exp=1.0)
    await root.submit(commands.Renew(msgspec.structs.replace(plain, is_admin=True)))
    assert [one for one in root.said() if one[0] != "changed"] == ["reply", ("queue", stage.queue())]
    await root.submit(commands.Renew(plain))
    await room.erin.leave()
    assert [one for one in root.said() if one[0] != "changed"] == ["reply", ("queue", [])]


async def test_a_place_taken_back_as_it_moves_up(stage: Stage, room: Lobby) -> None:
    """`waiting` comes again when position or reason changes, and only then: once in this batch."""
    room.erin.drop()
    await stage.idle()
    back = stage.guest()
    await stage.in_one_batch(room.dave.leave, lambda: back.resume(room.erin))
    assert back.said() == [("waiting", 1, LOBBY)]


async def test_the_order_of_those_admitted(stage: Stage, room: Lobby) -> None:
    """A `room-state` has the order they took their seats in: admitted later, listed later, after a restart too."""
    await stage.ask(commands.Admit(HOST, room.erin.seat))
    stage.clock.seconds += 1
    await stage.ask(commands.Admit(HOST, room.dave.seat))
    order = [room.ann.seat, room.erin.seat, room.dave.seat]
    assert room.dave.said()[1][2] == order, "room-state"
    again = await stage.restart()
    back = again.guest()
    await back.resume(room.ann)
    await again.hub.drain()
    assert back.said()[1][2] == order


async def test_nobody_hears_of_a_waiter(stage: Stage, room: Lobby) -> None:
    """Those who wait see nothing of the room, and it sees nothing of them: no number is used up."""
    fred = stage.guest()
    await fred.join()
    fred.drop()
    await stage.idle()
    stage.clock.advance(HOLD)
    await stage.idle()
    await room.ann.say("hello")
    assert (fred.said(), room.dave.said(), room.erin.said()) == ([("waiting", 3, LOBBY)], [], [])
    assert room.ann.said() == ["reply", ("message", "hello")]
    assert stage.hub._rooms[stage.room.code].broadcast.seq == 2
    (listed, _) = await stage.store.history(stage.room.id, None, 100)
    assert [who.id for who in listed] == [room.ann.seat]


class Boss(Person):
    """An admin who is not the host."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage, "root", None)

    def caller(self) -> Caller:
        return ADMIN


async def test_hosts_hear_of_the_queue_four_times_a_second(stage: Stage, room: Lobby) -> None:
    """Section 8: at most, and then of the last list as it is; a host who comes in is sent it at once."""
    alice = stage.user("alice")
    await alice.join()
    alice.said()
    times: list[float] = []
    for _ in range(100):  # six seconds; guests join and leave the queue all the time
        fred = stage.guest()
        await fred.join()
        await fred.leave()
        times += [stage.clock.seconds] * len(alice.said())  # what the timer sent at this time, too
        stage.clock.advance(1 / 16)
        await stage.idle()
    assert len(times) >= 20
    assert all(later - earlier >= 1 for earlier, later in zip(times, times[4:], strict=False))
    await (boss := Boss(stage)).join()
    assert boss.said()[2:] == [("queue", [room.dave.seat, room.erin.seat])]
    await room.dave.leave()
    stage.clock.advance(1)
    await stage.idle()
    assert alice.said()[-1:] == boss.said() == [("queue", [room.erin.seat])]
