"""Who was denied a seat waits also when the room was unloaded meanwhile: docs/protocol.md, section 8."""

from roomd.engine.hub import MOST_IDLE
from roomd.engine.past_denials import MOST_PAST_DENIALS, PastDenials
from roomd.rooms import commands
from roomd.rooms.denials import Denial
from roomd.rooms.model import Caller, PersonKey
from roomd.rooms.settings import Settings
from tests.support.stage import HOST, Stage

DENIED = "rate_limited"


async def deny(stage: Stage) -> None:
    """Have the host deny Bob a seat of the room, in which nobody is then."""
    bob = stage.user("bob")
    await bob.join()
    await stage.ask(commands.Deny(HOST, bob.seat))
    await stage.idle()
    assert stage.room.code not in stage.hub._rooms


async def knock(stage: Stage) -> str:
    """Knock as Bob, and give up the place in the queue; return the answer."""
    bob = stage.user("bob")
    await bob.join()
    await bob.leave()
    return bob.answers[0]


async def test_a_denial_outlives_the_memory_of_its_room(stage: Stage) -> None:
    """However often the room is loaded, and whatever fails then; after the waiting time one may knock again."""
    await stage.set(waiting_room=True)
    await deny(stage)
    assert await knock(stage) == DENIED
    stage.store.failing = True
    assert await knock(stage) == "unavailable"
    stage.store.failing = False
    assert await knock(stage) == DENIED
    other = await stage.hub.create(Settings(waiting_room=True), "alice")
    stage.room, room = other, stage.room
    assert await knock(stage) == "waiting", "another room knows nothing of it"
    stage.room = room
    stage.clock.advance(30)
    assert await knock(stage) == "waiting"
    await deny(stage)
    stage.clock.advance(31)
    assert await knock(stage) == DENIED, "the second in a row: a minute"


async def test_only_small_rooms_stay_in_memory(stage: Stage) -> None:
    """Denials take memory, and so do the client ids of private messages."""
    ann = stage.user("alice")
    await ann.join()
    await ann.say("for you", to=ann.seat, client_id="c1")
    await ann.leave()
    assert stage.hub._rooms == {}
    await stage.set(waiting_room=True)
    await deny(stage)
    small = [(await stage.hub.create(Settings(), "alice")).code for _ in range(MOST_IDLE + 1)]
    for code in small:
        await stage.hub.ask(code, commands.GetRoom(Caller()))
    assert list(stage.hub._rooms) == small[1:]


def denials(start: int, count: int, until: float) -> dict[PersonKey, Denial]:
    return {PersonKey("user", str(number)): Denial(1, 0, until) for number in range(start, start + count)}


def test_their_number_is_bounded() -> None:
    """Beyond it the room that was unloaded first is dropped."""
    past = PastDenials()
    for number in range(11):
        past.keep(f"room {number}", denials(number, MOST_PAST_DENIALS // 10, 100), 0)
    assert len(past) == MOST_PAST_DENIALS
    assert past.take("room 0") == {}
    assert past.take("room 1") == denials(1, MOST_PAST_DENIALS // 10, 100)
    assert len(past) == MOST_PAST_DENIALS * 9 // 10


def test_forgotten_ones_are_dropped() -> None:
    """A room goes when the last of its denials is forgotten, ten minutes after the waiting time."""
    past = PastDenials()
    past.keep("a", denials(0, 1, 100) | denials(1, 1, 200), 0)
    past.keep("b", denials(2, 1, 300), 100 + 600)
    assert len(past) == 3
    past.keep("c", denials(3, 1, 900), 200 + 600)
    assert (len(past), past.take("a")) == (2, {})
