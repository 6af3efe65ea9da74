"""The contract of `Owners` and `SharedStore`: the fake of the tests and PostgreSQL keep it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import NamedTuple

import msgspec
import pytest

from roomd.cluster.ports import Claimed, Fence, Node, Owners, Replaced, SharedStore
from roomd.config import DatabaseConfig
from roomd.engine.moving import RoomLost
from roomd.engine.ports import AlreadySent, ExternalIdTaken, StorageFailed
from roomd.engine.progress import Progress
from roomd.protocol.objects import Message, Room
from roomd.rooms.changes import MessageSent, RoomChanged, RoomDeleted, SeatChanged
from roomd.rooms.model import Seat
from roomd.storage.errors import StoreBusy
from roomd.storage.kinds import open_storage
from roomd.storage.postgresql.connection import connect
from roomd.storage.postgresql.node_opening import open_node_storage
from roomd.storage.postgresql.webhooks import StoredProgress
from tests.support.cluster.database import FakeDatabase
from tests.support.fakes import FakeClock
from tests.support.postgresql import Server
from tests.support.processes import PATIENCE
from tests.support.rooms import new_room, someone

LONG = 1000.0


class Nodes(NamedTuple):
    """A database, as two nodes reach it."""

    stores: tuple[SharedStore, SharedStore]
    owners: Owners
    end_lease: Callable[[Node], Awaitable[None]]
    """Lets the lease of a node run out."""


@pytest.fixture(params=["fake", "postgresql"])
async def nodes(request: pytest.FixtureRequest) -> AsyncIterator[Nodes]:
    if request.param == "fake":
        clock = FakeClock()
        database = FakeDatabase(clock)
        one = database.connection()

        async def forget(node: Node) -> None:
            database.leases[node.name] = (node, clock.seconds)

        yield Nodes((one, database.connection()), one, forget)
        return
    server: Server = request.getfixturevalue("postgresql")
    url = server.create()
    first, second = [await open_node_storage(DatabaseConfig(url=url)) for _ in range(2)]

    async def run_out(node: Node) -> None:
        await first.database.fetch("UPDATE nodes SET lease_until = clock_timestamp() WHERE name = $1", node.name)

    yield Nodes((first.rooms, second.rooms), first.owners, run_out)
    await first.close()
    await second.close()


def room(number: int = 1, **changes: object) -> Room:
    """A new room."""
    view = msgspec.structs.replace(new_room().view(), participant_count=0)
    fields = {"id": f"r{number}", "code": f"abc-def-gh{chr(96 + number)}", **changes}
    return msgspec.structs.replace(view, **fields)


def seat(key: str, claim: int | None, room_id: str = "r1", **changes: object) -> SeatChanged:
    """A seat of a guest."""
    person = msgspec.structs.replace(someone(key), room_id=room_id, is_active=claim is not None)
    return SeatChanged(Seat(msgspec.structs.replace(person, **changes), "hash", claim))


async def with_rooms(nodes: Nodes, *numbers: int) -> tuple[Node, Node]:
    """Two nodes, of which the first has made some rooms."""
    ann = await nodes.owners.register("ann", "http://ann", LONG)
    bob = await nodes.owners.register("bob", "http://bob", LONG)
    for number in numbers:
        await nodes.stores[0].append(Fence(ann, 0), f"r{number}", [RoomChanged(room(number))])
    return ann, bob


async def claim(nodes: Nodes, code: str, node: Node) -> Claimed:
    claimed = await nodes.owners.claim(code, node)
    assert isinstance(claimed, Claimed)
    return claimed


async def test_each_run_of_a_node_is_another(nodes: Nodes) -> None:
    """Generations rise, whatever the names are; the earlier run can beat no more."""
    first = await nodes.owners.register("a", "", LONG)
    other = await nodes.owners.register("b", "", LONG)
    again = await nodes.owners.register("a", "", LONG)
    assert first.generation < other.generation < again.generation
    assert list(await nodes.owners.beat(again, LONG)) == [other, again]
    with pytest.raises(Replaced):
        await nodes.owners.beat(first, LONG)
    await nodes.owners.retire(first)
    assert again in await nodes.owners.beat(other, LONG)
    await nodes.owners.retire(again)
    assert list(await nodes.owners.beat(other, LONG)) == [other]


async def test_who_makes_a_room_has_it(nodes: Nodes) -> None:
    """Everybody finds the owner, until its lease is over; a code without a room is nobody's."""
    ann, bob = await with_rooms(nodes, 1)
    found = await nodes.owners.find("abc-def-gha")
    assert found == ("r1", ann)
    assert await nodes.owners.claim("abc-def-gha", bob) == ann
    await nodes.end_lease(ann)
    assert await nodes.owners.find("abc-def-gha") == ("r1", None)
    assert await nodes.owners.find("zzz-zzz-zzz") is None
    assert await nodes.owners.claim("zzz-zzz-zzz", bob) is None


async def test_a_claim_raises_the_version(nodes: Nodes) -> None:
    """Also that of the node that has the room already. Nothing is stored any more under the version before."""
    ann, bob = await with_rooms(nodes, 1)
    first = await claim(nodes, "abc-def-gha", ann)
    assert (first.room_id, first.live) == ("r1", frozenset({ann.generation, bob.generation}))
    second = await claim(nodes, "abc-def-gha", ann)
    assert second.version > first.version
    with pytest.raises(RoomLost):
        await nodes.stores[0].append(Fence(ann, first.version), "r1", [seat("p1", 1)])
    await nodes.stores[0].append(Fence(ann, second.version), "r1", [seat("p1", 1)])
    await nodes.end_lease(ann)
    third = await claim(nodes, "abc-def-gha", bob)
    assert (third.version, third.live) == (second.version + 2, frozenset({bob.generation}))
    with pytest.raises(RoomLost):
        await nodes.stores[0].append(Fence(ann, second.version + 1), "r1", [seat("p2", 2)])
    stored = await nodes.stores[1].load_with_seats("r1")
    assert stored is not None
    assert [one.participant.id for one in stored.seats] == ["p1"]


async def test_of_two_who_claim_one_gets_it(nodes: Nodes) -> None:
    """At the same time, of a room whose owner is gone."""
    ann, bob = await with_rooms(nodes, 1)
    await nodes.owners.retire(ann)
    carol = await nodes.owners.register("carol", "", LONG)
    results = await asyncio.gather(*(nodes.owners.claim("abc-def-gha", node) for node in (bob, carol) * 3))
    winners = {result for result in results if isinstance(result, Node)}
    assert len(winners) == 1
    assert [isinstance(result, Claimed) for result in results].count(True) == 3, "who has it may claim it again"


async def test_an_append_without_changes(nodes: Nodes) -> None:
    """It confirms that the room is still the node's (rule 4), and counts like any other."""
    ann, bob = await with_rooms(nodes, 1)
    version = (await claim(nodes, "abc-def-gha", ann)).version
    for number in range(3):
        await nodes.stores[0].append(Fence(ann, version + number), "r1", [])
    for fence in (Fence(ann, version), Fence(bob, version + 3), Fence(ann, version + 4)):
        with pytest.raises(RoomLost):
            await nodes.stores[0].append(fence, "r1", [])


async def test_each_room_of_a_commit_has_its_own_outcome(nodes: Nodes) -> None:
    """What one room is refused does not keep the others from being stored."""
    ann, _ = await with_rooms(nodes, 1, 2, 3)
    versions = [(await claim(nodes, room(number).code, ann)).version for number in (1, 2, 3)]
    versions[1] -= 1
    results = await asyncio.gather(
        *(
            nodes.stores[0].append(Fence(ann, version), f"r{number}", [seat(f"p{number}", number, f"r{number}")])
            for number, version in enumerate(versions, 1)
        ),
        return_exceptions=True,
    )
    assert [type(result) for result in results] == [type(None), RoomLost, type(None)]
    loaded = [await nodes.stores[0].load_with_seats(f"r{number}") for number in (1, 2, 3)]
    assert [len(stored.seats) if stored is not None else None for stored in loaded] == [1, 0, 1]


async def test_seats_keep_their_claims(nodes: Nodes) -> None:
    """Those whose connection is there; a held one has none. They come in the order in which they were taken."""
    ann, _ = await with_rooms(nodes, 1)
    version = (await claim(nodes, "abc-def-gha", ann)).version
    high = (1 << 62) + 7
    held = msgspec.structs.replace(seat("p2", None).seat, dropped_at="2026-03-03T10:00:00.000Z")
    changes = [seat("p1", high), seat("p2", 5), SeatChanged(held), seat("p3", 6), seat("p3", 9)]
    await nodes.stores[0].append(Fence(ann, version), "r1", changes)
    stored = await nodes.stores[1].load_with_seats("r1")
    assert stored is not None
    assert [(one.participant.id, one.claim) for one in stored.seats] == [("p1", high), ("p2", None), ("p3", 9)]
    assert await nodes.stores[0].load_with_seats("r9") is None


async def test_what_is_stored_already(nodes: Nodes) -> None:
    """As without a cluster: the version does not rise then."""
    ann, _ = await with_rooms(nodes, 1)
    version = (await claim(nodes, "abc-def-gha", ann)).version
    message = Message(
        id="m1", participant_id="p1", display_name="Ann", text="hello", sent_at="2026-03-03T10:00:00.000Z", to=None,
        client_id="c1",
    )  # fmt: skip
    sent = MessageSent(message, None, None)
    await nodes.stores[0].append(Fence(ann, version), "r1", [sent])
    again = msgspec.structs.replace(sent, message=msgspec.structs.replace(sent.message, id="m2"))
    with pytest.raises(AlreadySent):
        await nodes.stores[0].append(Fence(ann, version + 1), "r1", [again])
    await nodes.stores[0].append(Fence(ann, version + 1), "r1", [RoomChanged(room(1, external_id="x"))])
    with pytest.raises(ExternalIdTaken):
        await nodes.stores[0].append(Fence(ann, 0), "r7", [RoomChanged(room(7, external_id="x"))])


async def test_rooms_that_were_given_up(nodes: Nodes) -> None:
    """Others need not wait; what was on its way is not stored. Rooms with seats are found without being asked for."""
    ann, bob = await with_rooms(nodes, 1, 2)
    version = (await claim(nodes, "abc-def-gha", ann)).version
    await nodes.stores[0].append(Fence(ann, version), "r1", [seat("p1", 1)])
    assert await nodes.owners.orphans(9) == []
    await nodes.owners.release(ann, ["r1", "r2"])
    assert await nodes.owners.find("abc-def-gha") == ("r1", None)
    assert await nodes.owners.orphans(9) == ["abc-def-gha"]
    assert await nodes.owners.orphans(0) == []
    with pytest.raises(RoomLost):
        await nodes.stores[0].append(Fence(ann, version + 1), "r1", [])
    await claim(nodes, "abc-def-gha", bob)
    await nodes.owners.release(ann, ["r1"])
    assert await nodes.owners.find("abc-def-gha") == ("r1", bob)
    assert await nodes.owners.orphans(9) == []
    await nodes.end_lease(bob)
    assert await nodes.owners.orphans(9) == ["abc-def-gha"]


async def test_a_deleted_room_is_nobodys(nodes: Nodes) -> None:
    """Its code is unknown."""
    ann, _ = await with_rooms(nodes, 1)
    version = (await claim(nodes, "abc-def-gha", ann)).version
    await nodes.stores[0].append(Fence(ann, version), "r1", [RoomDeleted(room(1))])
    assert await nodes.owners.find("abc-def-gha") is None
    assert await nodes.owners.claim("abc-def-gha", ann) is None


async def test_a_duty_belongs_to_one_node(nodes: Nodes) -> None:
    """To the first that takes it, until it gives it up or its lease is over."""
    ann, bob = [await nodes.owners.register(name, "", LONG) for name in ("ann", "bob")]
    assert set(await nodes.owners.take_duties(["x", "y"], ann)) == {"x", "y"}
    assert set(await nodes.owners.take_duties(["y", "z"], bob)) == {"z"}
    assert await nodes.owners.duties() == {"x": ann, "y": ann, "z": bob}
    await nodes.owners.give_up_duties(["x", "z"], ann)
    assert await nodes.owners.duties() == {"y": ann, "z": bob}
    assert set(await nodes.owners.take_duties(["x", "y"], bob)) == {"x"}
    await nodes.end_lease(ann)
    assert await nodes.owners.duties() == {"x": bob, "z": bob}
    assert set(await nodes.owners.take_duties(["x", "y", "z"], bob)) == {"x", "y", "z"}
    again = await nodes.owners.register("bob", "", LONG)
    assert await nodes.owners.duties() == {}
    assert set(await nodes.owners.take_duties(["x"], again)) == {"x"}


async def test_two_nodes_take_a_duty_at_the_same_time(nodes: Nodes) -> None:
    """One gets it."""
    ann, bob = [await nodes.owners.register(name, "", LONG) for name in ("ann", "bob")]
    for number in range(20):
        taken = await asyncio.gather(*(nodes.owners.take_duties([str(number)], node) for node in (ann, bob)))
        assert sum(map(len, taken)) == 1


# PostgreSQL alone.


async def test_progress_of_who_has_lost_the_duty(postgresql: Server) -> None:
    """A node that was frozen does not set the progress of a webhook back."""
    storage = await open_node_storage(DatabaseConfig(url=postgresql.create()))
    owners = storage.owners
    ann, bob = [await owners.register(name, "", LONG) for name in ("ann", "bob")]
    mine, theirs = [StoredProgress(storage.database, node.generation) for node in (ann, bob)]
    await owners.take_duties(["webhook one"], ann)
    await owners.take_duties(["webhook two"], bob)
    late = {name: Progress("0123456789ab", 1) for name in ("one", "two")}
    await mine.write_progress(late)
    assert await mine.read_progress() == {"one": late["one"]}
    await owners.retire(ann)
    await owners.take_duties(["webhook one"], bob)
    known = {name: Progress("0123456789ab", 9) for name in ("one", "two")}
    await theirs.write_progress(known)
    await mine.write_progress(late)
    assert await mine.read_progress() == known
    await storage.close()


async def test_a_connection_that_is_lost_in_a_commit(postgresql: Server) -> None:
    """All of its rooms are in doubt; the next claim raises the version, and the next append is stored."""
    storage = await open_node_storage(DatabaseConfig(url=postgresql.create()))
    owners = storage.owners
    ann = await owners.register("ann", "", LONG)
    await storage.rooms.append(Fence(ann, 0), "r1", [RoomChanged(room())])
    async with storage.database.reading() as db:
        await db.fetch(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
            "AND datname = current_database()"
        )
    with pytest.raises(RoomLost) as caught:
        await storage.rooms.append(Fence(ann, 1), "r1", [])
    assert caught.value.is_in_doubt
    with contextlib.suppress(StorageFailed):  # the connection for claims was ended, too, which it may notice only now
        await owners.claim("abc-def-gha", ann)
    claimed = await owners.claim("abc-def-gha", ann)
    assert isinstance(claimed, Claimed)
    await storage.rooms.append(Fence(ann, claimed.version), "r1", [seat("p1", 1)])
    assert not storage.rooms.is_failing()
    await storage.close()


async def test_a_deadlock(postgresql: Server) -> None:
    """A commit that the server rolls back in favour of another one is tried again: nobody is refused for it."""
    url = postgresql.create()
    storage = await open_node_storage(DatabaseConfig(url=url))
    owners = storage.owners
    ann = await owners.register("ann", "", LONG)
    for number in (1, 2):
        await storage.rooms.append(Fence(ann, 0), f"r{number}", [RoomChanged(room(number))])
    other = await connect(url)
    await other.execute("SET deadlock_timeout = '60s'")  # the node's commit notices it first
    lock = "SELECT 1 FROM owners WHERE room_id = $1 FOR UPDATE"
    waits = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    async with other.transaction():
        await other.fetch(lock, "r2")
        appends = [asyncio.ensure_future(storage.rooms.append(Fence(ann, 1), f"r{number}", [])) for number in (1, 2)]
        async with asyncio.timeout(PATIENCE):
            while not await other.fetch(waits):  # noqa: ASYNC110 - the server tells nobody
                await asyncio.sleep(0.01)
        await other.fetch(lock, "r1")
    await asyncio.gather(*appends)
    claimed = await owners.claim("abc-def-gha", ann)
    assert isinstance(claimed, Claimed)
    assert claimed.version == 3
    await other.close()
    await storage.close()


async def test_a_cluster_and_a_single_daemon_exclude_each_other(postgresql: Server) -> None:
    """Either keeps the other from starting; a single daemon that starts later ends the ownership of all nodes."""
    config = DatabaseConfig(url=postgresql.create())
    storage = await open_node_storage(config)
    owners = storage.owners
    ann = await owners.register("ann", "", LONG)
    await storage.rooms.append(Fence(ann, 0), "r1", [RoomChanged(room())])
    with pytest.raises(StoreBusy):
        await open_storage(config)
    other = await open_node_storage(config)
    await storage.close()
    await other.close()
    single = await open_storage(config)
    with pytest.raises(StoreBusy):
        await open_node_storage(config)
    await single.store.append("r1", [seat("p1", (1 << 64) - 1)])
    await single.store.close()
    storage = await open_node_storage(config)
    with pytest.raises(RoomLost):
        await storage.rooms.append(Fence(ann, 1), "r1", [])
    with pytest.raises(StorageFailed):
        await single.store.append("r1", [])
    stored = await storage.rooms.load_with_seats("r1")
    assert stored is not None
    assert [one.claim for one in stored.seats] == [0], "of no node that is there"
    await storage.close()


async def test_nodes_that_start_at_the_same_time(postgresql: Server) -> None:
    """One of them makes the tables; the others wait for it."""
    config = DatabaseConfig(url=postgresql.create())
    opened = await asyncio.gather(*(open_node_storage(config) for _ in range(4)))
    nodes = [await one.owners.register(str(number), "", LONG) for number, one in enumerate(opened)]
    assert len({node.generation for node in nodes}) == 4
    for one in opened:
        await one.close()
