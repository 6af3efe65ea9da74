"""Start this daemon as a node of a cluster. Nothing here is imported without `cluster.nats`."""

import asyncio
import contextlib
import ssl
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path

from roomd.admin.cluster import ClusterOperations
from roomd.admin.server import Operation
from roomd.cluster.claims import NodeIds
from roomd.cluster.credentials import Credentials, WrongCredentials
from roomd.cluster.nats import NatsBus, NatsSettings
from roomd.cluster.node import ClusterNode
from roomd.cluster.notices import LOGGED, REWRITTEN
from roomd.cluster.ports import BusFailed
from roomd.config import ClusterConfig, Config, ConfigError, read_file
from roomd.counters import Counters
from roomd.engine.ports import Clock, Encode, StorageFailed
from roomd.eventlog.feed import Feed
from roomd.protocol.errors import Refused
from roomd.rooms.settings import Rules
from roomd.storage.errors import StoreBusy, StoreError
from roomd.storage.kinds import NodeStorage, Storage, open_node

LOOK_EVERY = 1.0
"""The seconds between two looks at the event log, while somebody waits for events."""


class RunningNode:
    """A node that serves, and its database. `ids` draws its ids."""

    def __init__(self, node: ClusterNode, database: NodeStorage, ids: NodeIds) -> None:
        self._node = node
        self._database = database
        self._tasks: set[asyncio.Task[None]] = set()
        self.rooms = node.rooms
        """All rooms of the cluster."""
        self.duties = node.duties
        """What this node does for the whole database."""
        self.peers = node.peers
        """All nodes, as operators see them."""
        self.failure: StoreError | None = None
        """Why the daemon has to stop; None as long as it has not."""
        self.ids = ids
        progress = database.progress(node.lease.node.generation)
        self.storage: Storage = database.storage._replace(progress=progress)
        """The database, by what it is used for."""

    def follow(self, feed: Feed) -> None:
        """Have the readers of the event log woken when any node has committed events.

        The bus may lose that. So as long as somebody waits, this looks into the log each second.
        """
        notices = self._node.notices
        self.storage.store.on_events = feed.committed
        notices.on(LOGGED, feed.committed)
        notices.on(REWRITTEN, lambda: self._spawn(feed.forget()))
        feed.on_rewritten = lambda: notices.tell(REWRITTEN)
        self._spawn(_look_again_and_again(feed))

    def spread(self, local: Mapping[str, Operation], endpoints: Callable[[], Sequence[str]]) -> Mapping[str, Operation]:
        """Return the operations of all nodes. `endpoints` returns the names of the endpoints of webhooks."""
        cluster = ClusterOperations(local, self._node.peers, endpoints)
        self._node.orders.serve = cluster.serve
        return cluster.operations

    async def outage(self) -> str | None:
        """Return what keeps this node from renewing its lease, so that it can serve no rooms; None when all is well."""
        return self._node.lease.away or None

    def replaced(self) -> None:
        """Note that another process has the name of this node."""
        self.failure = StoreError(
            f"cluster.node: another process has begun to serve as {self._node.lease.node.name}; give each node a name "
            "of its own, and start this one again"
        )

    async def close(self) -> None:
        """End the lease, and close the connections. Closing twice is fine."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._node.close()
        await self._database.close()

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _look_again_and_again(feed: Feed) -> None:
    while True:
        await asyncio.sleep(LOOK_EVERY)
        with contextlib.suppress(StorageFailed, Refused):  # the log is off
            await feed.look()


async def open_as_node(
    config: Config,
    rules: Rules,
    clock: Clock,
    encode: Encode,
    counters: Counters,
    on_replaced: Callable[[], None],
) -> RunningNode:
    """Open the database and the bus, and begin to hold a lease. `on_replaced` is called like that of `Lease`.

    Raises `ConfigError`, `StoreError` and `StorageFailed`; `StoreBusy` also when the bus does not answer.
    """
    settings = nats_settings(config.cluster)
    ids = NodeIds(config.rooms.code_groups)
    database = await open_node(config.database, counters)
    node = ClusterNode(
        database.rooms, database.owners, NatsBus(settings), clock, ids, rules, encode,
        name=config.cluster.node, address=config.cluster.advertise, counters=counters,
    )  # fmt: skip
    try:
        await node.open()
    except BaseException as exc:
        await database.close()
        if isinstance(exc, BusFailed):
            kind = StoreError if exc.is_lasting else StoreBusy
            raise kind(f"cluster.nats: cannot be used: {exc}") from None
        raise
    running = RunningNode(node, database, ids)

    def replaced() -> None:
        running.replaced()
        on_replaced()

    node.lease.on_replaced = replaced
    return running


def nats_settings(config: ClusterConfig) -> NatsSettings:
    """Read the files of the bus. Raises `ConfigError`."""
    needs_tls = config.ca_file or config.certificate_file or any(url.startswith("tls:") for url in config.nats)
    tls: ssl.SSLContext | None = None
    if needs_tls:
        try:
            tls = ssl.create_default_context(cafile=config.ca_file)
            if config.certificate_file is not None:
                tls.load_cert_chain(config.certificate_file, config.key_file)
        except OSError as exc:
            raise ConfigError(f"cluster: the files of TLS cannot be read: {exc.strerror or exc}") from None
    return NatsSettings(list(config.nats), config.subject, tls, _credentials(config.credentials_file))


def _credentials(path: str | None) -> Credentials | None:
    """Return the credentials in a file, after a check. Raises `ConfigError`."""
    if path is None:
        return None
    setting = "cluster.credentials_file"
    credentials = Credentials(lambda: read_file(Path(path), setting, is_secret=True))
    try:
        credentials.check()
    except WrongCredentials as exc:
        raise ConfigError(f"{setting}: {path}: {exc}") from None
    return credentials
