"""The two kinds of storage, SQLite and PostgreSQL, and the one that the configuration chooses."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, Protocol

from roomd.config import DatabaseConfig
from roomd.counters import Counters
from roomd.engine.forgetting import PersonalRows
from roomd.engine.ports import Archive, EventLog, Store
from roomd.engine.progress import ProgressStore
from roomd.engine.retention import OldRows

if TYPE_CHECKING:  # a daemon that is alone imports nothing of it
    from roomd.cluster.ports import Owners, SharedStore


class Database(Store, Archive, Protocol):
    """An open database: the durable storage of rooms, and what else is stored beside them.

    Every method may raise `StorageFailed`.
    """

    on_events: Callable[[], None]
    """Called when log events were committed."""

    async def use_ticket(self, key: str, valid_until: float, now: float) -> bool:
        """Note that a ticket was used, durably. Return False when it was used before. Times are in seconds."""
        ...

    async def address_secret(self) -> bytes:
        """Read the key of the hashes of network addresses."""
        ...

    async def ping(self) -> None:
        """Return when the server of the database has answered, if it has one. It takes at most a few seconds."""

    async def answers(self) -> None:
        """Return when the threads of this process that use the database have answered, so that none of them hangs."""

    async def close(self) -> None:
        """Finish the waiting appends and close the database. Closing twice is fine."""


class Storage(NamedTuple):
    """An open database, by what it is used for. Closing the store closes all of it."""

    store: Database
    """Rooms, and what belongs to them."""
    events: EventLog
    """The event log."""
    old_rows: OldRows
    """What may be old."""
    people: PersonalRows
    """What is stored about people."""
    progress: ProgressStore
    """How far webhooks are."""


async def open_storage(config: DatabaseConfig, counters: Counters | None = None) -> Storage:
    """Open the database for this process alone. Create it when it is missing, and migrate it when it is old.

    The caller must close the store. Raises `StoreError`; `StoreBusy` when trying again later may help.
    """
    if config.url is None:  # either imports only what it needs
        return await _open_sqlite(config, counters)
    return await _open_postgresql(config, counters)


async def _open_sqlite(config: DatabaseConfig, counters: Counters | None) -> Storage:
    from roomd.storage.event_log import StoredEvents
    from roomd.storage.forgetting import StoredPeople
    from roomd.storage.opening import open_store
    from roomd.storage.upkeep import StoredRows
    from roomd.storage.webhooks import StoredProgress

    store = await open_store(config, counters)
    return Storage(store, StoredEvents(store), StoredRows(store), StoredPeople(store), StoredProgress(store))


async def _open_postgresql(config: DatabaseConfig, counters: Counters | None) -> Storage:
    from roomd.storage.postgresql.events import StoredEvents
    from roomd.storage.postgresql.forgetting import StoredPeople
    from roomd.storage.postgresql.opening import open_store
    from roomd.storage.postgresql.upkeep import StoredRows
    from roomd.storage.postgresql.webhooks import StoredProgress

    store = await open_store(config, counters)
    return Storage(store, StoredEvents(store), StoredRows(store), StoredPeople(store), StoredProgress(store))


class NodeStorage(NamedTuple):
    """The database of a node of a cluster."""

    storage: Storage
    """What is not the rooms' alone. Its store appends nothing."""
    rooms: "SharedStore"
    """The rooms of this node."""
    owners: "Owners"
    """The nodes, and which rooms they have."""
    progress: Callable[[int], ProgressStore]
    """How far webhooks are, for a node with this generation."""
    close: Callable[[], Awaitable[None]]
    """Finish the waiting appends and close the database. Closing twice is fine."""


async def open_node(config: DatabaseConfig, counters: Counters | None = None) -> NodeStorage:
    """Open the database for a node of a cluster. Create it when it is missing, and migrate it when it is old.

    The caller must close it. Raises `StoreError`; `StoreBusy` when trying again later may help.
    """
    from roomd.storage.postgresql.events import StoredEvents
    from roomd.storage.postgresql.forgetting import StoredPeople
    from roomd.storage.postgresql.node_opening import open_node_storage
    from roomd.storage.postgresql.upkeep import StoredRows
    from roomd.storage.postgresql.webhooks import StoredProgress

    opened = await open_node_storage(config, counters)
    store = opened.database
    storage = Storage(store, StoredEvents(store), StoredRows(store), StoredPeople(store), StoredProgress(store))
    return NodeStorage(storage, opened.rooms, opened.owners, partial(StoredProgress, store), opened.close)
