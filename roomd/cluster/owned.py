"""The store of a node: the hub's view of a database that several nodes share.

It knows the versions of the rooms that this node has claimed, and adds them to each append (rule 2). An append that the
database does not accept, or of which it stays unknown whether it was stored, loses the room: the hub drops it from
memory, and loads it again when it needs it.
"""

from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

from roomd.cluster.lease import Lease
from roomd.cluster.ports import Fence, Node, Owners, SharedStore
from roomd.counters import Counters
from roomd.engine.moving import RoomLost
from roomd.protocol.log_events import LogEvent
from roomd.rooms.changes import Change
from roomd.rooms.model import StoredRoom


class _Owned(NamedTuple):
    """A room that this node has claimed."""

    room_id: str
    term: int
    """Its version after the claim."""


class OwnedRooms:
    """The rooms of this node. It implements `engine.ports.Store`."""

    def __init__(self, store: SharedStore, owners: Owners, lease: Lease, counters: Counters) -> None:
        self._counters = counters
        self._store = store
        self._owners = owners
        self._lease = lease
        self._rooms: dict[str, _Owned] = {}  # by their codes
        self._versions: dict[str, int] = {}  # by their ids
        self.on_logged: Callable[[], None] = _nothing
        """Called after each append that had log events."""

    def term(self, code: str) -> int:
        """Return the version that a room had when this node claimed it; 0 for a room that it does not have."""
        owned = self._rooms.get(code)
        return owned.term if owned is not None else 0

    async def append(self, room_id: str, changes: Sequence[Change], events: Sequence[LogEvent] = ()) -> None:
        """Store changes of one room, maybe none, if this node still has it.

        A room that this node has not claimed must be a new one: that of `create`. Raises like `SharedStore.append`.
        """
        version = self._versions.get(room_id, 0)
        try:
            await self._store.append(Fence(self._lease.node, version), room_id, changes, events)
        except RoomLost as lost:
            self._counters.fenced += not lost.is_in_doubt
            self._versions.pop(room_id, None)
            raise
        if version:
            self._versions[room_id] = version + 1
        if events:
            self.on_logged()

    async def load(self, code: str) -> StoredRoom | None:
        """Claim a room, and read it when that is acknowledged (rule 6); None without such a room.

        Raises `RoomLost` when another node has it, and `StorageFailed`.
        """
        if not self._lease.takes_rooms:
            await self._release_left(code)
            raise RoomLost
        await self._lease.may_claim()
        claimed = await self._owners.claim(code, self._lease.node)
        if claimed is None:
            return None
        if isinstance(claimed, Node):
            raise RoomLost
        stored = await self._store.load_with_seats(claimed.room_id)
        if stored is None:
            return None
        self._rooms[code] = _Owned(claimed.room_id, claimed.version)
        self._versions[claimed.room_id] = claimed.version
        return stored._replace(live_nodes=claimed.live)

    def __len__(self) -> int:
        """Return the number of rooms that this node has in memory."""
        return len(self._rooms)

    def forget(self, code: str) -> str | None:
        """Forget a room that is not in memory any more. Return its id, if this node may still own it."""
        owned = self._rooms.pop(code, None)
        if owned is None or self._versions.pop(owned.room_id, None) is None:
            return None
        return owned.room_id

    async def release(self, room_ids: Collection[str] | None) -> None:
        """Give rooms up, all for None, so that other nodes need not wait for the end of the lease.

        Raises `StorageFailed`.
        """
        await self._owners.release(self._lease.node, None if room_ids is None else list(room_ids))

    async def _release_left(self, code: str) -> None:
        """Give a room up that this node does not take, if it still has it, as one that was just created here."""
        found = await self._owners.find(code)
        if found is not None and found.owner == self._lease.node:
            await self._owners.release(self._lease.node, [found.room_id])

    def is_nearly_full(self) -> bool:
        """Return whether new rooms and messages must be refused."""
        return self._store.is_nearly_full()

    def is_failing(self) -> bool:
        """Return whether the last commit failed."""
        return self._store.is_failing()

    async def hold_seats(self, restarted_at: str, *, log_events: bool = False) -> list[StoredRoom]:  # noqa: ARG002
        """Return nothing: a node takes rooms one by one, as they are needed."""
        return []

    async def last_room_id(self) -> str:
        """Read the highest id of a room; empty without rooms. Raises `StorageFailed`."""
        return await self._store.last_room_id()

    async def next_ends(self, limit: int) -> list[tuple[str, str]]:
        """Read which rooms end by themselves next, as `engine.ports.Store` says. Raises `StorageFailed`."""
        return await self._store.next_ends(limit)


def _nothing() -> None:
    """Do nothing."""
