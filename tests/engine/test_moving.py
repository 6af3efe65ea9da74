"""Rooms that another process takes over: commands are refused so that they are submitted again."""

import msgspec
import pytest

from roomd.engine.hub import Hub
from roomd.engine.moving import Moved, RoomLost
from roomd.engine.ports import StorageFailed
from roomd.protocol.errors import Refused
from roomd.rooms import commands
from roomd.rooms.model import Caller, Seat, StoredRoom
from roomd.rooms.settings import Rules
from roomd.system.ids import Ids
from tests.support.fakes import FakeStore
from tests.support.members import FakeMember, encode_line
from tests.support.stage import HOLD, HOST, Stage


class SharedStore(FakeStore):
    """A store that has the seats of a room, with their claims, as another process would have left them."""

    live: frozenset[int] = frozenset()

    async def load(self, code: str) -> StoredRoom | None:
        stored = await super().load(code)
        if stored is None:
            return None
        seats = [_as_stored(seat) for seat in self.people.values() if seat.participant.left_at is None]
        return stored._replace(seats=seats, live_nodes=self.live)


def _as_stored(seat: Seat) -> Seat:
    return msgspec.structs.replace(seat, held_until=0.0)


@pytest.fixture
async def shared() -> Stage:
    """A stage whose hub shares its store; `on` collects what the hub calls."""
    stage = Stage()
    stage.store = SharedStore()
    stage.hub = Hub(stage.store, Rules(HOLD, 100, log_events=True), stage.clock, Ids(), encode_line, is_shared=True)
    return await stage.open()


async def test_a_batch_without_changes_asks_the_store(shared: Stage) -> None:
    """Somebody who is answered from memory could be told what is not so any more."""
    await shared.ask(commands.GetRoom(HOST))
    assert shared.store.appends == 1


async def test_a_lost_room_is_told_to_nobody(shared: Stage) -> None:
    """The batch, and the commands behind it, are refused with `Moved`; the next command loads the room again."""
    ann, bob = await shared.seated("ann", "bob")
    lost: list[str] = []
    shared.hub.when_shared(lambda code: None, lost.append, lambda room_id: None)
    shared.store.hold()
    first = ann.say("first")
    await shared.held()
    second = ann.say("second")
    shared.store.broken = RoomLost()
    shared.store.let_go()
    await first
    await second
    assert (ann.answers[-2:], bob.said(), lost) == (["unavailable"] * 2, [], [shared.room.code])
    shared.store.broken = None
    room = await shared.ask(commands.GetRoom(HOST))
    assert room.room is not None
    assert room.room.participant_count == 2, "loaded again, with the seats of others"


async def test_a_lost_room_says_whether_the_commit_is_in_doubt(shared: Stage) -> None:
    """Then the command may have had its effect."""
    for is_in_doubt in (False, True):
        shared.store.broken = RoomLost(is_in_doubt=is_in_doubt)
        with pytest.raises(Moved) as caught:
            await shared.ask(commands.GetRoom(HOST))
        assert caught.value.is_in_doubt == is_in_doubt


async def test_a_failure_of_storage_loses_no_room(shared: Stage) -> None:
    """The same process may try again."""
    shared.store.broken = StorageFailed()
    with pytest.raises(Refused) as caught:
        await shared.ask(commands.GetRoom(HOST))
    assert not isinstance(caught.value, Moved)


async def test_a_room_is_given_up_after_its_batch(shared: Stage) -> None:
    """What the batch has done is told; what waits behind it is to be submitted elsewhere."""
    ann, bob = await shared.seated("ann", "bob")
    shared.store.hold()
    first = ann.say("first")
    await shared.held()
    second = ann.say("second")
    giving_up = shared.hub.give_up(shared.room.code)
    shared.store.let_go()
    await giving_up
    await first
    await second
    assert (bob.said(), ann.answers[-2:]) == ([("message", "first")], ["ok", "unavailable"])
    assert shared.hub.codes() == []


async def test_seats_of_nodes_that_are_gone_are_held(shared: Stage) -> None:
    """In the first batch after the room was loaded; those of nodes that are there stay connected, and are not sent
    anything until they attach."""
    here, gone = 7 << 32, 8 << 32
    shared.claims = iter([here | 1, gone | 1])
    ann, bob = await shared.seated("ann", "bob")
    loaded: list[str] = []
    shared.hub.when_shared(loaded.append, lambda code: None, lambda room_id: None)
    await shared.hub.give_up(shared.room.code)
    assert isinstance(shared.store, SharedStore)
    shared.store.live = frozenset([7])
    people = (await shared.ask(commands.ListParticipants(HOST, False))).participants
    assert [person.is_active for person in people] == [True, False]
    assert (loaded, [seat.participant.id for seat in shared.hub.unattached(shared.room.code)]) == (
        [shared.room.code],
        [ann.seat],
    )
    await shared.hub.take_seat(shared.room.code, commands.Attach(ann.seat, ann.claim), ann.sitting)
    assert ann.said() == ["reply", ("state", 1, [ann.seat, bob.seat])], "a new epoch begins with a state"
    assert shared.hub.unattached(shared.room.code) == []
    await shared.hub.take_seat(shared.room.code, commands.Attach(bob.seat, bob.claim), bob.sitting)
    assert bob.answers[-1] == "seat_expired"
    shared.clock.advance(HOLD)
    await shared.idle()
    people = (await shared.ask(commands.ListParticipants(HOST, False))).participants
    assert [person.id for person in people] == [ann.seat]
    shared.store.let_go()


async def test_a_join_that_is_submitted_again_takes_one_seat(shared: Stage) -> None:
    """Also for a guest, whom only the claim names."""
    join = commands.Join(caller=Caller(), guest_name="ann", resume_hash="h", claim=3)
    again = join.repeated()
    for command in (join, again):
        ann = shared.guest("ann")
        await shared.hub.take_seat(shared.room.code, command, FakeMember(ann, 3))
        assert ann.answers == ["ok"]
    assert len((await shared.ask(commands.ListParticipants(HOST, False))).participants) == 1
