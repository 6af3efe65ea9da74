"""Start this daemon alone: all rooms of the database are its own. `node.py` starts it as one of several."""

from collections.abc import Callable, Mapping, Sequence

from roomd.admin.cluster import alone_operations
from roomd.admin.server import Operation
from roomd.config import Config
from roomd.counters import Counters
from roomd.engine.duties import AllDuties, Duties
from roomd.engine.hub import Hub
from roomd.engine.peers import Peers
from roomd.engine.ports import Clock, Encode, StorageFailed
from roomd.eventlog.feed import Feed
from roomd.rooms.settings import Rules
from roomd.storage.errors import StoreError
from roomd.storage.kinds import Storage, open_storage
from roomd.system.ids import Ids

AWAY = "the database does not answer"


class RunningAlone:
    """The rooms of a daemon that is alone, and their database. `ids` draws their ids."""

    def __init__(self, storage: Storage, hub: Hub, ids: Ids) -> None:
        self.storage = storage
        """The database, by what it is used for."""
        self.rooms = hub
        """All rooms."""
        self.ids = ids
        self.duties: Duties = AllDuties()
        """What this process does for the whole database: everything."""
        self.peers: Peers | None = None
        """There are no other nodes."""
        self.failure: StoreError | None = None
        """Why the daemon has to stop; it never has to."""

    def follow(self, feed: Feed) -> None:
        """Have the readers of the event log woken when events were committed."""
        self.storage.store.on_events = feed.committed

    def spread(self, local: Mapping[str, Operation], _: Callable[[], Sequence[str]]) -> Mapping[str, Operation]:
        """Return the operations of the admin interface, with those of a cluster, which are refused."""
        return {**local, **alone_operations()}

    async def outage(self) -> str | None:
        """Return why no room can be served now; None when all is well."""
        try:
            await self.storage.store.ping()
        except StorageFailed:
            return AWAY
        return None

    async def close(self) -> None:
        """Close the database. Closing twice is fine."""
        await self.storage.store.close()


async def open_alone(config: Config, rules: Rules, clock: Clock, encode: Encode, counters: Counters) -> RunningAlone:
    """Open the database, and load the rooms with seats.

    Raises `StoreError` and `StorageFailed`.
    """
    storage = await open_storage(config.database, counters)
    ids = Ids(config.rooms.code_groups)
    hub = Hub(storage.store, rules, clock, ids, encode, counters)
    try:
        await hub.open()
    except BaseException:
        await storage.store.close()
        raise
    return RunningAlone(storage, hub, ids)
