"""Start this daemon as a node of a cluster. Nothing here is imported without `cluster.nats`."""

import ssl
from collections.abc import Callable

from roomd.cluster.claims import NodeIds
from roomd.cluster.nats import NatsBus, NatsSettings
from roomd.cluster.node import ClusterNode
from roomd.cluster.ports import BusFailed
from roomd.config import ClusterConfig, Config, ConfigError
from roomd.counters import Counters
from roomd.engine.ports import Clock, Encode
from roomd.rooms.settings import Rules
from roomd.storage.errors import StoreBusy
from roomd.storage.kinds import NodeStorage, Storage, open_node


class RunningNode:
    """A node that serves, and its database. `ids` draws its ids."""

    def __init__(self, node: ClusterNode, database: NodeStorage, ids: NodeIds) -> None:
        self._node = node
        self._database = database
        self.rooms = node.rooms
        """All rooms of the cluster."""
        self.ids = ids
        self.storage: Storage = database.storage
        """The database, by what it is used for."""

    async def close(self) -> None:
        """End the lease, and close the connections. Closing twice is fine."""
        await self._node.close()
        await self._database.close()


async def open_as_node(
    config: Config,
    rules: Rules,
    clock: Clock,
    encode: Encode,
    counters: Counters,
    on_replaced: Callable[[], None],
) -> RunningNode:
    """Open the database and the bus, and begin to hold a lease. `on_replaced` is that of `Lease`.

    Raises `ConfigError`, `StoreError` and `StorageFailed`; `StoreBusy` also when the bus does not answer.
    """
    settings = nats_settings(config.cluster)
    ids = NodeIds(config.rooms.code_groups)
    database = await open_node(config.database, counters)
    node = ClusterNode(
        database.rooms, database.owners, NatsBus(settings), clock, ids, rules, encode,
        name=config.cluster.node, address=config.cluster.advertise, counters=counters,
    )  # fmt: skip
    node.lease.on_replaced = on_replaced
    try:
        await node.open()
    except BaseException as exc:
        await database.close()
        if isinstance(exc, BusFailed):
            raise StoreBusy(f"cluster.nats: does not answer: {exc}") from None
        raise
    return RunningNode(node, database, ids)


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
    return NatsSettings(list(config.nats), config.subject, tls, config.credentials_file)
