"""A database in memory that knows the owners of rooms, and as one node reaches it."""

import asyncio
import math
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import msgspec

from roomd.cluster.ports import Claimed, Fence, Found, Held, Listed, Node, Replaced
from roomd.engine.moving import RoomLost
from roomd.engine.ports import StorageFailed
from roomd.protocol.log_events import LogEvent
from roomd.rooms.changes import Change
from roomd.rooms.model import Seat, StoredRoom
from tests.support.fakes import FakeClock, FakeStore


class Owner(NamedTuple):
    """A row of the table of owners."""

    node: Node | None
    version: int


class FakeDatabase:
    """The rows that all nodes share. `is_fenced` is whether appends are compared with the owner and the version."""

    def __init__(self, clock: FakeClock, *, is_fenced: bool = True) -> None:
        self.clock = clock
        self.is_fenced = is_fenced
        self.store = FakeStore()
        self.owners: dict[str, Owner] = {}
        """By the ids of rooms."""
        self.leases: dict[str, tuple[Node, float]] = {}
        """By the names of nodes: the last run, and when its lease is over."""
        self.leaving: set[Node] = set()
        """The nodes that give their rooms to others."""
        self.duties: dict[str, Node] = {}
        """The nodes that have the duties, by the names of these."""
        self.refused = 0
        """The appends that the fence did not allow."""
        self.most_seats: dict[str, int] = {}
        """The most seats that each room ever had."""
        self.lock = asyncio.Lock()
        """Held by each transaction, so that others see all of it or nothing."""
        self._generation = 0

    def connection(self) -> "FakeConnection":
        """Return the database as one node reaches it."""
        return FakeConnection(self)

    def next_generation(self) -> int:
        self._generation += 1
        return self._generation

    def live(self) -> dict[int, Node]:
        """The nodes whose leases are not over, by their generations."""
        return {node.generation: node for node, until in self.leases.values() if self.clock.seconds < until}

    def owner_of(self, room_id: str) -> Node | None:
        """The owner of a room, if its lease is not over."""
        row = self.owners.get(room_id)
        return row.node if row is not None and row.node is not None and row.node.generation in self.live() else None

    def room_id(self, code: str) -> str | None:
        return next((room.id for room in self.store.rooms.values() if room.code == code), None)

    async def append(self, fence: Fence, room_id: str, changes: Sequence[Change], events: Sequence[LogEvent]) -> None:
        async with self.lock:
            await self._append(fence, room_id, changes, events)

    async def _append(self, fence: Fence, room_id: str, changes: Sequence[Change], events: Sequence[LogEvent]) -> None:
        row = self.owners.get(room_id)
        is_allowed = row is None if not fence.version else row == Owner(fence.node, fence.version)
        if self.is_fenced and not is_allowed:
            self.refused += 1
            raise RoomLost
        if changes:
            await self.store.append(room_id, changes, events)
        self.owners[room_id] = Owner(fence.node, (row.version if row is not None else 0) + 1)
        seated = [one for one in self.seats(room_id) if one.waits_for is None]
        self.most_seats[room_id] = max(self.most_seats.get(room_id, 0), len(seated))

    def seats(self, room_id: str) -> list[Seat]:
        """The places of a room, in their order."""
        found = [
            (("" if seat.waits_for else seat.since, key), seat)
            for (room, key), seat in self.store.people.items()
            if room == room_id and seat.participant.left_at is None
        ]
        return [seat for _, seat in sorted(found, key=lambda item: item[0])]


class FakeConnection:
    """The database, as one node reaches it. It implements `Owners` and `SharedStore`.

    While it `is_cut`, nothing gets there. `hold` keeps appends at a gate before the database, so that a test can have
    them arrive late; `doubts` makes the next one be stored, or not, without an answer.
    """

    def __init__(self, database: FakeDatabase) -> None:
        self._database = database
        self.is_cut = False
        self.appends = 0
        self.reached = asyncio.Event()
        self.doubts: bool | None = None
        """Whether the next append is stored, whose answer is lost; None for an ordinary one."""
        self._gate = asyncio.Event()
        self._gate.set()

    def hold(self) -> None:
        """Keep appends from now on; `reached` is set when one waits."""
        self.reached.clear()
        self._gate.clear()

    def let_go(self) -> None:
        """Let the appends that wait go on."""
        self._gate.set()

    async def _reach(self) -> None:
        await asyncio.sleep(0)
        if self.is_cut:
            raise StorageFailed

    async def append(
        self, fence: Fence, room_id: str, changes: Sequence[Change], events: Sequence[LogEvent] = ()
    ) -> None:
        self.appends += 1
        self.reached.set()
        await self._gate.wait()
        await self._reach()
        doubts, self.doubts = self.doubts, None
        if doubts is not False:
            await self._database.append(fence, room_id, changes, events)
        if doubts is not None:
            raise RoomLost(is_in_doubt=True)

    async def load_with_seats(self, room_id: str) -> StoredRoom | None:
        await self._reach()
        async with self._database.lock:
            return self._load(room_id)

    def _load(self, room_id: str) -> StoredRoom | None:
        store = self._database.store
        room = store.rooms.get(room_id)
        seats = [_as_stored(seat) for seat in self._database.seats(room_id)]
        return store._kept(room, seats) if room is not None else None

    def is_nearly_full(self) -> bool:
        return False

    def is_failing(self) -> bool:
        return self.is_cut

    async def last_room_id(self) -> str:
        await self._reach()
        return await self._database.store.last_room_id()

    async def next_ends(self, limit: int) -> list[tuple[str, str]]:
        await self._reach()
        return await self._database.store.next_ends(limit)

    async def register(self, name: str, address: str, lease: float) -> Node:
        await self._reach()
        node = Node(name, self._database.next_generation())
        self._database.leases[name] = (node, self._database.clock.seconds + lease)
        return node

    async def beat(self, node: Node, lease: float, *, is_leaving: bool = False) -> Mapping[Node, Held]:
        await self._reach()
        if self._database.leases[node.name][0] != node:
            raise Replaced
        self._database.leases[node.name] = (node, self._database.clock.seconds + lease)
        (self._database.leaving.add if is_leaving else self._database.leaving.discard)(node)
        leases, leaving, now = self._database.leases, self._database.leaving, self._database.clock.seconds
        live = [node for _, node in sorted(self._database.live().items())]
        return {node: Held(leases[node.name][1] - now, node in leaving) for node in live}

    async def listed(self) -> list[Listed]:
        await self._reach()
        now, owners = self._database.clock.seconds, self._database.owners.values()
        return [
            Listed(node, "", until - now, node in self._database.leaving, sum(row.node == node for row in owners))
            for node, until in sorted(self._database.leases.values())
            if until > now - 86_400
        ]

    async def retire(self, node: Node) -> None:
        await self._reach()
        if self._database.leases[node.name][0] == node:
            self._database.leases[node.name] = (node, -math.inf)

    async def find(self, code: str) -> Found | None:
        await self._reach()
        room_id = self._database.room_id(code)
        return Found(room_id, self._database.owner_of(room_id)) if room_id is not None else None

    async def claim(self, code: str, node: Node) -> Claimed | Node | None:
        await self._reach()
        async with self._database.lock:
            return self._claim(code, node)

    def _claim(self, code: str, node: Node) -> Claimed | Node | None:
        room_id = self._database.room_id(code)
        if room_id is None:
            return None
        owner = self._database.owner_of(room_id)
        if owner not in (None, node):
            return owner
        version = self._database.owners[room_id].version + 1
        self._database.owners[room_id] = Owner(node, version)
        return Claimed(room_id, version, frozenset(self._database.live()))

    async def release(self, node: Node, room_ids: Sequence[str] | None) -> None:
        await self._reach()
        for room_id in list(self._database.owners) if room_ids is None else room_ids:
            row = self._database.owners[room_id]
            if row.node == node:
                self._database.owners[room_id] = Owner(None, row.version + 1)

    async def take_duties(self, names: Sequence[str], node: Node) -> Collection[str]:
        await self._reach()
        duties, live = self._database.duties, self._database.live()
        for name in names:
            if name not in duties or duties[name].generation not in live:
                duties[name] = node
        return {name for name in names if duties[name] == node}

    async def give_up_duties(self, names: Sequence[str], node: Node) -> None:
        await self._reach()
        for name in names:
            if self._database.duties.get(name) == node:
                del self._database.duties[name]

    async def duties(self) -> dict[str, Node]:
        await self._reach()
        live = self._database.live()
        return {name: node for name, node in self._database.duties.items() if node.generation in live}

    async def orphans(self, limit: int) -> list[str]:
        await self._reach()
        store = self._database.store
        codes = [room.code for room in store.rooms.values() if self._database.seats(room.id)]
        return [code for code in codes if self._database.owner_of(self._database.room_id(code) or "") is None][:limit]


def _as_stored(seat: Seat) -> Seat:
    """Return a seat as a database has it: a lost connection has no claim, and no time of a monotonic clock is kept."""
    return msgspec.structs.replace(
        seat,
        claim=seat.claim if seat.participant.is_active else None,
        held_until=0.0,
        connection=None,
        address_key=seat.address_key if seat.participant.user_id is None else None,
        here_since=-math.inf,
    )
